"""Outcomes against fidelity as it was observed: an association, with its warning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, Place, check_number
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.fidelity.outcomes.link import OutcomeLink, arm_of, columns_of, numbers_of, refuse_in
from wwc_eval.fidelity.outcomes.score_error import Attenuation, attenuation, corrected, errors_of
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["dose_response"]

CLAIMS = (
    "Can claim: how outcomes went with fidelity among those of the programme arm, given the covariates. "
    "Cannot claim: that raising fidelity would change outcomes. Fidelity was not allocated: easier cases, better-staffed teams "
    "and better-led local authorities may have both higher fidelity and better outcomes. High- and low-fidelity implementers must "
    "never be compared as if they had been randomised; for a causal figure see complier_effect, and principal_score_effects "
    "with its assumption. "
)
KNOWN = (
    "Taken as known: the scores. Unsystematic error in scores as rated draws the slope towards 0; reliability= or score_se= "
    "corrects it. Scores shrunken as FidelityScores gives them need no such correction."
)
CORRECTED = (
    "Taken as known: that errors of the scores are unsystematic (classical) and have nothing to do with the outcome but through what "
    "practice was truly like: raters did not know it. The curvature and the means along fidelity are of scores as rated."
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
    reliability: float | Estimate | None = None,
    score_se: str | float | None = None,
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
    reliability : float or Estimate, optional
        Reliability of the scores *as rated*, among the rows analysed: the share of their variance that is not error, such as
        an ICC of as many ratings as a score has. An estimate (:func:`intraclass_correlation`) brings its error. Adds the
        slope corrected for it.
    score_se : str or float, optional
        Instead: standard error of each score (a column, in points), or the same for all.
    level : float
        Coverage.

    Returns
    -------
    OutcomeLink
        Terms: ``<fidelity>`` (per standard deviation of fidelity; on the link's scale) and ``<fidelity>: curvature`` (of the
        model with a square, per squared standard deviation; far from 0 a straight line misleads). With ``reliability`` or
        ``score_se`` also ``<fidelity>: corrected for error``, per standard deviation of scores as rated; its ``details`` hold
        the ``attenuation``.
        ``tables["quantiles"]`` holds the adjusted mean outcome at five quantiles of fidelity.

    Raises
    ------
    DesignError
        If fidelity does not vary, or error leaves too little of its variance to correct for, or the error is given twice.
    FormulaError
        If the formula already holds fidelity.

    Notes
    -----
    Formula: ``g(E y) = covariates + b f`` and ``+ c f^2`` with f in standard deviations. Corrected by regression calibration:
    ``b / a`` with ``a = (v - e) / v``, e the error variance and v the variance of scores given the covariates; its error by
    the delta method from those of b and a. For classical error that does not depend on the outcome; exact in
    expectation for ``gaussian``, approximate else. With two values of fidelity there is no curvature, and this is said. Sources: as for
    :func:`regression`; Carroll and others (2006), doi:10.1201/9781420010138; Rosner, Spiegelman and Willett (1990),
    doi:10.1093/oxfordjournals.aje.a115715; on why this is no effect, Hulleman and Cordray (2009),
    doi:10.1080/19345740802539325.

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
    _check_error(reliability, score_se)
    parsed = parse_formula(formula)
    refuse_in(parsed, fidelity)
    frame = columns_of(data, [fidelity, *([arm] if arm else []), *([cluster] if cluster else [])])
    frame, scores, notes = _of_arm(frame, fidelity, arm, arms)
    seen = scores[~np.isnan(scores)]
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
    known = reliability is None and score_se is None
    if not known:
        found = _attenuation(
            straight,
            frame.assign(**{name: scores}),
            name=name,
            reliability=reliability,
            score_se=score_se,
            cluster=cluster,
            fidelity=fidelity,
        )
        rows.append(corrected(rows[0], found, f"{fidelity}: corrected for error", family))
        notes.append(f"Error leaves {found.factor:.2f} of the variance of {fidelity} given the covariates.")
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
        claims=CLAIMS + (KNOWN if known else CORRECTED),
        tables={"quantiles": table},
        notes=tuple(notes),
        details={"mean": centre, "sd": sd},
    )


def _of_arm(
    frame: pd.DataFrame, fidelity: str, arm: str | None, arms: Sequence[Any] | None
) -> tuple[pd.DataFrame, Floats, list[str]]:
    """Rows of the programme arm (all, where no arm is named), their scores, and a note of it.

    Raises
    ------
    DesignError
        If the scores do not vary.
    """
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
    return frame, scores, notes


def _check_error(reliability: float | Estimate | None, score_se: str | float | None) -> None:
    if reliability is not None and score_se is not None:
        raise DesignError("reliability and score_se both say how much error scores have", fix="give one of them")
    if reliability is not None:
        value = reliability.estimate if isinstance(reliability, Estimate) else reliability
        check_number("reliability", value, above=0, at_most=1)


def _attenuation(
    fit: Any,
    frame: Any,
    *,
    name: str,
    reliability: float | Estimate | None,
    score_se: str | float | None,
    cluster: str | None,
    fidelity: str,
) -> Attenuation:
    """Attenuation among the rows that the slope is of."""
    info = fit.design_info
    kept = [place for place, term in enumerate(info.terms) if term != name]
    groups = np.arange(len(info.rows)) if cluster is None else frame[cluster].to_numpy()[info.rows]
    errors = None if score_se is None else errors_of(frame, score_se)[info.rows]
    if errors is not None and np.isnan(errors).any():
        raise DataError(
            f"{int(np.isnan(errors).sum()):,} rows have a score and no standard error",
            place=Place(column=str(score_se)),
            fix="give each score its error, or reliability= in place of them",
        )
    return attenuation(
        frame[name].to_numpy()[info.rows],
        info.X[:, kept],
        np.unique(groups, return_inverse=True)[1],
        reliability=reliability,
        score_se=errors,
        name=fidelity,
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
