"""Randomisation tests of the coefficient of a fitted model, through its refits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, did_you_mean
from wwc_eval.estimate import Estimate
from wwc_eval.inference.inversion import bisected_interval
from wwc_eval.randomisation.scheme import Floats
from wwc_eval.randomisation.testing.reference import p_value, reference_set
from wwc_eval.randomisation.testing.results import lost_of, result_of, spread_of
from wwc_eval.randomisation.testing.rows import arm_column, exposure_of, treatment_values

if TYPE_CHECKING:
    from wwc_eval.data.samples.draws import Seed
    from wwc_eval.randomisation.allocation import Allocation

__all__ = ["fit_test"]


def fit_test(
    allocation: Allocation,
    fit: Any,
    *,
    draws: int,
    rng: Seed | None,
    side: int,
    ci: bool,
    arm: str | None,
    period: str | None,
    term: str | None,
    level: float,
) -> Estimate:
    """Test the arm's coefficient of any fit that has ``refit_many``; arguments as in ``randomisation_test``.

    Raises
    ------
    DesignError
        If the fit failed, has several coefficients of the arm and none is named, or an interval is asked of a model
        that is not linear.
    """
    import pandas as pd

    if fit.status == "failed":
        raise DesignError(f"the fit failed: {fit.message}", fix="correct the model first")
    design, source = (fit.data.design, fit.data.source) if hasattr(fit, "data") else (fit.design_info, fit.source)
    column = arm_column(allocation, design.formula, arm)
    chosen = _term(fit, column, term)
    rows = np.asarray(design.rows)
    frame = source.iloc[rows]
    exposure = exposure_of(allocation, frame, rows, arm=column, period=period)
    reference = reference_set(allocation, draws=draws, rng=rng, listed=max(draws, 1_000))
    values_of = np.asarray(treatment_values(allocation, frame, column), dtype=object)
    if ci and (fit.family != "gaussian" or len(values_of) != 2):
        raise DesignError(
            "an interval by inversion needs a linear model and two arms",
            fix="leave out ci, or report the fit's own",
        )
    options: dict[str, Any] = {"arm": column, "term": chosen}
    if len(exposure.state) == 1:  # a unit's rows are alike
        names = allocation.units.frame[allocation.unit]
        arms: Any = pd.DataFrame(values_of[reference.codes], columns=pd.Index(names))
        options["unit"] = allocation.unit
    else:
        arms = values_of[exposure.at(reference.codes)]
    observed = float(fit.estimates[chosen].estimate)
    values = _estimates(fit.refit_many(arms=arms, **options))
    interval = (math.nan, math.nan)
    if ci:
        y = np.asarray(design.y, dtype=float)
        received = (exposure.at(allocation.codes) == 1).astype(float)

        def p_at(shift: float) -> float:
            moved = y - shift * received
            own = _estimates(fit.refit_many(outcomes=moved[None], term=chosen))[0]
            many = np.broadcast_to(moved, (len(arms), len(moved)))
            tried = fit.refit_many(outcomes=many, arms=arms, **options)
            return p_value(_estimates(tried), float(own), reference, 0)[0]

        interval = bisected_interval(p_at, observed, spread_of(values, reference) or 1.0, 1.0 - level)
    p, error = p_value(values, observed, reference, side)
    effect = fit.estimates[chosen]
    return result_of(
        allocation,
        term=chosen,
        observed=observed,
        p=p,
        interval=interval,
        level=level,
        side=side,
        reference=reference,
        words=f"coefficient of a {effect.method.split(';', maxsplit=1)[0].lower()}",
        scale=effect.scale,
        units=effect.units,
        n=fit.n,
        details={
            "monte_carlo_se": error,
            "null_sd": spread_of(values, reference),
            "units_without_rows": allocation.n - len(np.unique(exposure.place)),
        },
        warnings=lost_of(int(np.isnan(values).sum()), len(values)),
    )


def _term(fit: Any, column: str, term: str | None) -> str:
    owned = [name for name in fit.terms if name == column or name.startswith(f"{column}[")]
    if term is None:
        if len(owned) != 1:
            raise DesignError(
                f"'{column}' has {len(owned)} coefficients in the fit",
                fix=f"name one: term='{(owned or ['...'])[0]}'",
            )
        return str(owned[0])
    if term not in fit.terms:
        raise DesignError(f"the model has no term '{term}'", fix=did_you_mean(term, fit.terms))
    return term


def _estimates(frame: Any) -> Floats:
    return np.asarray(frame["estimate"], dtype=float)
