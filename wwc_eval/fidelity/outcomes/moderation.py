"""Does the effect of the arm vary with fidelity? An interaction, with what it cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, check_number
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.fidelity.outcomes.link import OutcomeLink, arm_of, columns_of, numbers_of, refuse_in

__all__ = ["fidelity_moderation"]

CLAIMS = (
    "Can claim: whether the difference between the arms was larger where fidelity was higher. "
    "Cannot claim: that fidelity made it larger. The arms were allocated, fidelity was not: what goes with high fidelity "
    "(leadership, staffing, need) may moderate the effect instead. "
    "Taken as known: the scores. Unsystematic error in them draws the interaction towards 0. "
)
BEFORE = "Fidelity was measured before allocation, so the effect at each value of it is an effect of the arm."
AFTER = (
    "Fidelity was measured after allocation and may itself be moved by the arm, so rows of one fidelity score are not comparable "
    "between the arms: the effects below are descriptive."
)


def fidelity_moderation(
    formula: str,
    data: Any,
    *,
    arm: str,
    fidelity: str,
    cluster: str | None = None,
    measured: str = "after",
    family: str = "gaussian",
    at: Sequence[float] | None = None,
    arms: Sequence[Any] | None = None,
    levels: Mapping[str, Sequence[Any]] | None = None,
    level: float = 0.95,
) -> OutcomeLink:
    """Interaction of the arm with a fidelity score, and the effect of the arm at values of it.

    Parameters
    ----------
    formula : str
        Outcome and covariates, without arm and fidelity.
    data : DataFrame
        One row a unit of both arms. A score of the team or local authority stands in each of its rows.
    arm, fidelity : str
        Columns. Fidelity must have values in both arms: in the usual arm, that of usual practice, or a score from before.
    cluster : str, optional
        Column of the clusters (CR2 with Satterthwaite's degrees of freedom); HC2 where it is missing.
    measured : {"after", "before"}
        Whether fidelity was measured after or before allocation; it decides what may be claimed.
    family : {"gaussian", "binomial", "poisson", "quasipoisson"}
        Of the outcome; effects are on the link's scale.
    at : sequence of float, optional
        Values of fidelity to give the effect at; its quartiles where they are missing.
    arms : sequence, optional
        The two arms, the reference first.
    levels : mapping, optional
        Levels of other factors.
    level : float
        Coverage.

    Returns
    -------
    OutcomeLink
        ``arm x fidelity`` (change of the effect per standard deviation of fidelity), then ``arm | fidelity = value``.

    Raises
    ------
    DesignError
        If fidelity does not vary in both arms.

    Notes
    -----
    Formula: ``g(E y) = covariates + a z + b f + c z f``; the effect at f is ``a + c f``. Source: Pustejovsky and Tipton
    (2018), doi:10.1080/07350015.2016.1247004, for the errors.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> frame = pd.DataFrame({"arm": np.repeat([0, 1], 150), "quality": rng.normal(size=300)})
    >>> frame["score"] = frame["arm"] * (0.3 + 0.4 * frame["quality"]) + rng.normal(size=300)
    >>> found = fidelity_moderation("score ~ 1", frame, arm="arm", fidelity="quality", at=[-1, 1])
    >>> [row.term for row in found.estimates]
    ['arm x quality', 'arm | quality = -1', 'arm | quality = 1']
    """
    from wwc_eval.errors import check_choice
    from wwc_eval.formula import parse_formula
    from wwc_eval.inference.regression import regression

    check_number("level", level, above=0, below=1)
    check_choice("measured", measured, ("after", "before"))
    parsed = parse_formula(formula)
    refuse_in(parsed, arm, fidelity)
    frame = columns_of(data, [arm, fidelity, *([cluster] if cluster else [])])
    side, pair = arm_of(frame, arm, arms)
    scores = numbers_of(frame, fidelity)
    _check_both_arms(scores, side, pair, fidelity)
    seen = scores[~np.isnan(scores) & ~np.isnan(side)]
    centre, sd = float(seen.mean()), float(seen.std(ddof=1))
    taken = set(frame.columns)
    z, f = (
        next(f"{stem}{tail}" for tail in ("", *map(str, range(1000))) if f"{stem}{tail}" not in taken)
        for stem in ("arm_z", "dose_f")
    )
    frame = frame.assign(**{z: side, f: (scores - centre) / sd})
    fit = regression(
        f"{parsed.text} + {z} * {f}",
        frame,
        family=family,
        vcov="HC2" if cluster is None else "CR2",
        cluster=cluster,
        levels=levels,
        level=level,
    )
    places = {term: k for k, term in enumerate(fit.terms)}
    product = next(term for term in fit.terms if set(term.split(":")) == {z, f})
    values = [float(v) for v in (np.quantile(seen, (0.25, 0.5, 0.75)) if at is None else at)]
    inner = fit.estimates[product]
    rows = [
        inner.replace(term=f"{arm} x {fidelity}", units=inner.shown_units + f" per standard deviation ({sd:.3g})")
    ]
    scale = fit.estimates[z].scale
    for value in values:
        weights = np.zeros(len(fit.terms))
        weights[places[z]], weights[places[product]] = 1.0, (value - centre) / sd
        rows.append(_contrast(fit, weights, f"{arm} | {fidelity} = {value:.3g}", scale, level))
    outside = [v for v in values if not seen.min() <= v <= seen.max()]
    notes = (
        [f"Effects beyond the scores seen ({seen.min():.3g} to {seen.max():.3g}) are extrapolated."]
        if outside
        else []
    )
    title = f"Moderation by fidelity: {pair[1]} against {pair[0]}"
    return OutcomeLink(
        estimates=Estimates(rows, title=title),
        claims=CLAIMS + (BEFORE if measured == "before" else AFTER),
        notes=tuple(notes),
        details={"mean": centre, "sd": sd},
    )


def _check_both_arms(scores: Any, side: Any, pair: tuple[Any, Any], fidelity: str) -> None:
    """Refuse scores that do not vary in both arms."""
    for k, label in enumerate(pair):
        own = scores[(side == k) & ~np.isnan(scores)]
        if len(np.unique(own)) < 2:
            raise DesignError(
                f"'{fidelity}' does not vary in arm {label!r} ({len(own):,} rows have it)",
                rule="moderation compares arms at the same fidelity",
                fix="measure usual practice too, or see dose_response and principal_score_effects",
            )


def _contrast(fit: Any, weights: Any, term: str, scale: str, level: float) -> Estimate:
    """A contrast of the coefficients on the scale of the coefficients."""
    return Estimate.from_normal(
        term=term,
        estimate=float(weights @ np.array(list(fit.coefficients.values()))),
        se=float(np.sqrt(fit.covariance.variance(weights))),
        df=float(fit.covariance.df(weights)),
        level=level,
        scale=scale,
        method=f"Effect at a value of fidelity; {fit.covariance.words}",
        n=fit.n,
        n_clusters=fit.covariance.n_clusters,
        citation=fit.covariance.citation,
    )
