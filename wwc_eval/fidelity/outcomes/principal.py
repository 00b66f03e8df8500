"""Effects on those who would have had high, or low, fidelity: principal scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, Place, check_number
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.fidelity.outcomes.link import OutcomeLink, arm_of, columns_of, numbers_of
from wwc_eval.fidelity.reliability.errors import quantile_t
from wwc_eval.fidelity.reliability.reading import Floats, Ints
from wwc_eval.table import Column, Table

__all__ = ["principal_score_effects"]

CITATION = "Jo and Stuart 2009, doi:10.1002/sim.3669; Ding and Lu 2017, doi:10.1111/rssb.12191"
CLAIMS = (
    "Can claim: the effect of the arm on those who would have had high (low) fidelity in it, if the arm was allocated at random "
    "and the covariates explain all that high- and low-fidelity units would have differed in without the programme (principal "
    "ignorability). That cannot be tested: the sensitivity table shows how fast the answer moves when it fails. "
    "Cannot claim: that raising the fidelity of low-fidelity units would give them the effect of the high. "
    "Taken as known: on which side of the threshold each unit lies. Error in the scores mixes the two groups and draws their effects "
    "together."
)
RATIOS = (0.8, 0.9, 1.0, 1.1, 1.25)
UNBALANCED = 0.1


def principal_score_effects(
    formula: str,
    data: Any,
    *,
    arm: str,
    fidelity: str,
    threshold: float,
    cluster: str | None = None,
    ratios: Sequence[float] = RATIOS,
    arms: Sequence[Any] | None = None,
    levels: Mapping[str, Sequence[Any]] | None = None,
    level: float = 0.95,
) -> OutcomeLink:
    """Effect of the arm on would-be high-fidelity and would-be low-fidelity units.

    Parameters
    ----------
    formula : str
        Outcome, and the covariates that predict fidelity: ``"score ~ age + baseline + caseload"``. Means are compared whatever
        the outcome: effects are risk differences where it is 0/1, and differences of mean counts where it is a count.
    data : DataFrame
        One row a unit of both arms. Fidelity is needed in the programme arm only.
    arm, fidelity : str
        Columns.
    threshold : float
        Score from which fidelity is high.
    cluster : str, optional
        Column of the clusters, left out in turn for the errors; units where it is missing.
    ratios : sequence of float
        Sensitivity: mean outcome without the programme of would-be high units, divided by that of would-be low units with the
        same covariates. 1 is principal ignorability. For outcomes that are not negative.
    arms : sequence, optional
        The two arms, the reference first.
    levels : mapping, optional
        Levels of factors among the covariates.
    level : float
        Coverage.

    Returns
    -------
    OutcomeLink
        ``high fidelity``, ``low fidelity`` and their difference. ``tables["balance"]`` compares covariates of programme units
        with weighted others; ``tables["sensitivity"]`` moves the ratio.

    Raises
    ------
    DataError
        If the outcome is not numbers, or fidelity is missing throughout the programme arm.
    DesignError
        If fewer than 5 programme units are high, or low, or the covariates separate them wholly, or the outcome is
        ``successes / trials``.

    Notes
    -----
    Formula: ``e(x) = P(high | x, programme)`` by logistic regression; ``effect_high`` is the mean of high programme units
    less the mean of the others weighted by ``r e / (r e + 1 - e) / mean``, r the ratio; for low by
    ``(1 - e) / (r e + 1 - e)``. Intervals: delete-one-cluster jackknife with the scores fitted anew, t(K - 1). Sources: Jo
    and Stuart (2009), doi:10.1002/sim.3669; Ding and Lu (2017), doi:10.1111/rssb.12191.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> x, arm = rng.normal(size=400), np.tile([0, 1], 200)
    >>> quality = 3 + x + rng.normal(size=400)
    >>> y = 10 + x + arm * np.where(quality >= 3, 1.0, 0.2) + rng.normal(size=400)
    >>> frame = pd.DataFrame({"arm": arm, "x": x, "quality": np.where(arm == 1, quality, np.nan), "score": y})
    >>> found = principal_score_effects("score ~ x", frame, arm="arm", fidelity="quality", threshold=3)
    >>> [row.term for row in found.estimates]
    ['high fidelity', 'low fidelity', 'high less low']
    """
    from wwc_eval.formula import parse_formula

    check_number("level", level, above=0, below=1)
    check_number("threshold", threshold)
    listed = [check_number("ratio", ratio, above=0) for ratio in ratios]
    frame = columns_of(data, [arm, fidelity, *([cluster] if cluster else [])])
    side, pair = arm_of(frame, arm, arms)
    scores = numbers_of(frame, fidelity)
    parsed = parse_formula(formula)
    unknown = np.isnan(side) | ((side == 1) & np.isnan(scores))
    if cluster is not None:
        unknown |= frame[cluster].isna().to_numpy()
    design = parsed.design(frame, levels=dict(levels or {}))
    if design.trials is not None:
        raise DesignError(
            "the outcome is 'successes / trials', and principal scores compare means of units",
            fix="give one row a trial with an outcome of 0 or 1, or the share as a column of its own",
        )
    kept = ~unknown[design.rows]
    rows = design.rows[kept]
    X, y, z = design.X[kept], design.y[kept], side[rows]
    high = np.where(z == 1, scores[rows] >= threshold, False)
    _check(z, high, pair, fidelity, threshold)
    codes = (
        np.arange(len(y))
        if cluster is None
        else np.unique(frame[cluster].to_numpy()[rows], return_inverse=True)[1]
    )
    score = _score(X, z, high)
    estimates = _with_errors(X, y, z, high, codes=codes, cluster=cluster, level=level)
    tables = {
        "balance": _balance(X, design.terms, z, high, score),
        "sensitivity": _sensitivity(y, z, high, score, listed),
    }
    notes = [f"{int(high.sum()):,} of {int(z.sum()):,} programme units have {fidelity} of at least {threshold:g}."]
    lost = len(frame) - len(y)
    if lost:
        notes.append(f"{lost:,} rows miss a value and are left out.")
    if float(y.min()) < 0:
        notes.append(
            "The outcome has negative values: ratios of means, and so the sensitivity table, mean little."
        )
    worst = max((abs(v) for v in tables["balance"].column("difference_weighted") if math.isfinite(v)), default=0.0)
    if worst > UNBALANCED:
        notes.append(f"After weighting a covariate still differs by {worst:.2f} standard deviations.")
    title = f"Principal-score effects: {pair[1]} against {pair[0]}, by would-be fidelity"
    return OutcomeLink(
        estimates=Estimates(estimates, title=title), claims=CLAIMS, tables=tables, notes=tuple(notes)
    )


def _check(z: Floats, high: Any, pair: tuple[Any, Any], fidelity: str, threshold: float) -> None:
    if not np.any(z == 1) or not np.any(z == 0):
        missing = pair[1] if not np.any(z == 1) else pair[0]
        raise DataError(f"no row of arm {missing!r} has every value that is needed", place=Place(column=fidelity))
    counts = int(high.sum()), int(((z == 1) & ~high).sum())
    if min(counts) < 5:
        raise DesignError(
            f"{counts[0]} programme units have {fidelity} of at least {threshold:g}, {counts[1]} less",
            rule="needs 5 on each side",
            fix="move the threshold",
        )


def _score(X: Floats, z: Floats, high: Any) -> Floats:
    """Probability of high fidelity given the covariates, for everyone."""
    from wwc_eval.inference.families import FAMILIES
    from wwc_eval.inference.glm import solve

    own = z == 1
    design = X[own]
    columns = _independent(design)
    fit = solve(high[own].astype(float), design[:, columns], FAMILIES["binomial"])
    if not fit.converged or fit.suspicious:
        raise DesignError(
            "the covariates tell high from low fidelity wholly, so no one without the programme is comparable",
            fix="use fewer covariates, or another threshold",
        )
    return np.asarray(1.0 / (1.0 + np.exp(-(X[:, columns] @ fit.beta))))


def _independent(X: Floats) -> list[int]:
    """Columns that earlier ones do not determine."""
    from scipy.linalg import qr

    size = np.sqrt((X**2).sum(axis=0))
    _, R, order = qr(X / np.where(size > 0, size, 1.0), mode="economic", pivoting=True)
    return sorted(int(k) for k in order[: int((np.abs(np.diag(R)) > 1e-9).sum())])


def _effects(y: Floats, z: Floats, high: Any, score: Floats, ratio: float = 1.0) -> Floats:
    """Effects on high and on low, and their difference."""
    other = z == 0
    e = score[other]
    under = ratio * e + 1.0 - e
    means = (
        float((ratio * e / under * y[other]).sum() / e.sum()),
        float(((1.0 - e) / under * y[other]).sum() / (1.0 - e).sum()),
    )
    own = z == 1
    effects = float(y[own & high].mean()) - means[0], float(y[own & ~high].mean()) - means[1]
    return np.array([*effects, effects[0] - effects[1]])


def _with_errors(
    X: Floats, y: Floats, z: Floats, high: Any, *, codes: Ints, cluster: str | None, level: float
) -> list[Estimate]:
    values = _effects(y, z, high, _score(X, z, high))
    groups = int(codes.max()) + 1
    if cluster is None and groups > 200:  # groups of units, so that the scores are fitted 200 times at most
        codes, groups = np.random.default_rng(0).permutation(groups) % 200, 200
    left = []
    for k in range(groups):
        rest = codes != k
        own = (z == 1) & rest
        if min(int((high & own).sum()), int((~high & own).sum()), int(((z == 0) & rest).sum())) == 0:
            raise DesignError(
                "one cluster holds all units of one kind, so it cannot be left out", fix="leave out cluster"
            )
        left.append(_effects(y[rest], z[rest], high[rest], _score(X[rest], z[rest], high[rest])))
    table = np.array(left)
    se = np.sqrt((groups - 1.0) / groups * ((table - table.mean(axis=0)) ** 2).sum(axis=0))
    df = groups - 1.0
    share = bool(np.all((y == 0) | (y == 1)))
    words = (
        f"clustered by {cluster}"
        if cluster
        else "units independent" + (" (in 200 groups)" if groups == 200 else "")
    )
    rows = []
    for term, value, error in zip(("high fidelity", "low fidelity", "high less low"), values, se, strict=True):
        rows.append(
            Estimate.from_normal(
                term=term,
                estimate=float(value),
                se=float(error),
                df=df,
                level=level,
                scale="risk_difference" if share else "mean_difference",
                method=f"Principal scores; delete-one jackknife, {words}, t with {df:,.0f} df",
                n=len(y),
                n_clusters=groups if cluster else None,
                citation=CITATION,
                details={"reach": quantile_t(df, level) * float(error)},
            )
        )
    return rows


def _balance(X: Floats, terms: Sequence[str], z: Floats, high: Any, score: Floats) -> Table:
    rows = []
    own, other = z == 1, z == 0
    for k, term in enumerate(terms):
        x = X[:, k]
        sd = float(x.std())
        if sd == 0:
            continue
        for name, group, weight in (("high", own & high, score[other]), ("low", own & ~high, 1.0 - score[other])):
            mean = float(x[group].mean())
            rows.append(
                {
                    "fidelity": name,
                    "covariate": term,
                    "programme": mean,
                    "others_weighted": float(np.average(x[other], weights=weight)),
                    "difference_raw": (mean - float(x[other].mean())) / sd,
                    "difference_weighted": (mean - float(np.average(x[other], weights=weight))) / sd,
                }
            )
    columns = [
        Column(name="fidelity"),
        Column(name="covariate"),
        *(Column(name=name, kind="number", digits=2) for name in ("programme", "others_weighted")),
        *(Column(name=name, label=f"{name.replace('_', ', ')} (SD)", kind="number", digits=2) for name in ("difference_raw", "difference_weighted")),
    ]  # fmt: skip
    return Table(rows, columns, title="Balance of covariates after weighting")


def _sensitivity(y: Floats, z: Floats, high: Any, score: Floats, ratios: Sequence[float]) -> Table:
    rows = []
    for ratio in ratios:
        found = _effects(y, z, high, score, ratio)
        rows.append(
            {"ratio": ratio, "high": float(found[0]), "low": float(found[1]), "difference": float(found[2])}
        )
    columns = [
        Column(name="ratio", label="mean without programme, high / low", kind="number", digits=2),
        *(Column(name=name, label=f"effect, {name}", kind="number") for name in ("high", "low", "difference")),
    ]
    return Table(
        rows, columns, title="Sensitivity to principal ignorability", notes=["Ratio 1 is principal ignorability."]
    )
