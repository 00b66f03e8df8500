"""Outcomes against fidelity as it was observed: an association, with its warning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, FormulaError, check_number
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.fidelity.outcomes.link import OutcomeLink, arm_of, columns_of, numbers_of
from wwc_eval.table import Column, Table

__all__ = ["dose_response"]

CLAIMS = (
    "Can claim: how outcomes went with fidelity among those of the programme arm, given the covariates. "
    "Cannot claim: that raising fidelity would change outcomes. Fidelity was not allocated: easier cases, better-staffed teams "
    "and better-led local authorities may have both higher fidelity and better outcomes. High- and low-fidelity implementers must "
    "never be compared as if they had been randomised; for a causal figure see complier_effect, and principal_score_effects "
    "with its assumption."
)
WARNING = "Dose-response is an association, not an effect: fidelity was not allocated."


def dose_response(
    formula: str,
    data: Any,
    *,
    fidelity: str,
    arm: str | None = None,
    cluster: str | None = None,
    family: str = "gaussian",
    arms: Sequence[Any] | None = None,
    levels: Mapping[str, Sequence[Any]] | None = None,
    level: float = 0.95,
) -> OutcomeLink:
    """How outcomes go with fidelity, given covariates; straight, and bent.

    Parameters
    ----------
    formula : str
        Outcome and covariates, without fidelity: ``"score ~ age + baseline"``.
    data : DataFrame
        One row a unit.
    fidelity : str
        Column of the fidelity score (dose, exposure).
    arm : str, optional
        Column of the arm: the analysis is then of the programme arm alone. Without it all rows are used.
    cluster : str, optional
        Column of the clusters (CR2 errors with Satterthwaite's degrees of freedom); HC2 where it is missing.
    family : {"gaussian", "binomial", "poisson", "quasipoisson"}
        Of the outcome.
    arms : sequence, optional
        The two arms, the reference first.
    levels : mapping, optional
        Levels of factors among the covariates.
    level : float
        Coverage.

    Returns
    -------
    OutcomeLink
        Terms: ``<fidelity>`` (per standard deviation of fidelity; on the link's scale) and ``<fidelity>: curvature`` (of the
        model with a square, per squared standard deviation; far from 0 a straight line misleads).
        ``tables["quantiles"]`` holds the adjusted mean outcome at five quantiles of fidelity.

    Raises
    ------
    DesignError
        If fidelity does not vary, or has too few values to bend (then only the slope is given, and said).
    FormulaError
        If the formula already holds fidelity.

    Notes
    -----
    Formula: ``g(E y) = covariates + b f`` and ``+ c f^2`` with f in standard deviations. Sources: as for
    :func:`regression`; on why this is no effect, Hulleman and Cordray (2009), doi:10.1080/19345740802539325.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> frame = pd.DataFrame({"quality": rng.normal(size=200), "age": rng.integers(0, 17, 200)})
    >>> frame["score"] = 0.5 * frame["quality"] + 0.02 * frame["age"] + rng.normal(size=200)
    >>> found = dose_response("score ~ age", frame, fidelity="quality")
    >>> [row.term for row in found.estimates], "not an effect" in str(found)
    (['quality', 'quality: curvature'], True)
    """
    from wwc_eval.formula import parse_formula
    from wwc_eval.inference.regression import regression

    check_number("level", level, above=0, below=1)
    parsed = parse_formula(formula)
    if fidelity in parsed.columns:
        raise FormulaError(
            f"'{fidelity}' stands in the formula", fix="the formula holds outcome and covariates only"
        )
    frame = columns_of(data, [fidelity, *([arm] if arm else []), *([cluster] if cluster else [])])
    scores = numbers_of(frame, fidelity)
    notes = []
    if arm is not None:
        side, pair = arm_of(frame, arm, arms)
        frame, scores = frame.loc[side == 1], scores[side == 1]
        notes.append(f"Of arm {pair[1]!r} alone.")
    seen = scores[~np.isnan(scores)]
    if len(seen) < 3 or float(np.ptp(seen)) == 0:
        raise DesignError(
            f"'{fidelity}' does not vary in the {len(seen):,} rows that have it",
            fix="there is no dose to respond to",
        )
    centre, sd = float(seen.mean()), float(seen.std(ddof=1))
    name = next(f"dose{tail}" for tail in ("", *map(str, range(1000))) if f"dose{tail}" not in frame.columns)
    frame = frame.assign(**{name: (scores - centre) / sd})
    options: dict[str, Any] = {
        "family": family,
        "vcov": "HC2" if cluster is None else "CR2",
        "cluster": cluster,
        "level": level,
        "levels": levels,
    }
    straight = regression(f"{parsed.text} + {name}", frame, **options)
    rows = [_renamed(straight.estimates[name], fidelity, f" per standard deviation ({sd:.3g})")]
    if len(np.unique(seen)) > 2:
        bent = regression(f"{parsed.text} + {name} + {name}^2", frame, **options)
        square = [term for term in bent.terms if term.startswith(name) and term != name]
        rows.append(
            _renamed(bent.estimates[square[0]], f"{fidelity}: curvature", " per squared standard deviation")
        )
    else:
        notes.append(f"'{fidelity}' has two values: no curvature.")
        bent = straight
    table = _quantiles(bent, frame, name, seen, (centre, sd))
    title = f"Dose-response: {parsed.text.split(' ~ ')[0]} against {fidelity}"
    notes.append(f"Mean of {fidelity} {centre:.3g}, standard deviation {sd:.3g}.")
    return OutcomeLink(
        estimates=Estimates(rows, title=title, notes=[WARNING]),
        claims=CLAIMS,
        tables={"quantiles": table},
        notes=tuple(notes),
        details={"mean": centre, "sd": sd},
    )


def _renamed(row: Estimate, term: str, unit: str) -> Estimate:
    return row.replace(term=term, units=(row.units or row.shown_units) + unit, warnings=(*row.warnings, WARNING))


def _quantiles(fit: Any, frame: Any, name: str, seen: Any, scale: tuple[float, float]) -> Table:
    """Mean prediction with everyone at a quantile of fidelity."""
    rows = []
    used = frame.iloc[fit.design_info.rows]
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        at = float(np.quantile(seen, share))
        moved = used.assign(**{name: (at - scale[0]) / scale[1]})
        predicted = np.asarray(fit.predict(moved), dtype=float)
        rows.append(
            {"quantile": share, "fidelity": at, "outcome": float(predicted.mean()) if len(predicted) else math.nan}
        )
    columns = [
        Column(name="quantile", kind="percent", digits=0),
        Column(name="fidelity", kind="number", digits=2),
        Column(name="outcome", label="adjusted mean outcome", kind="number"),
    ]
    return Table(rows, columns, title="Adjusted mean outcome along fidelity", notes=[WARNING])
