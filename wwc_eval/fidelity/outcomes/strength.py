"""Differentiation of the arms: how far practice in the programme differs from usual practice, measured in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, check_number
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.fidelity.outcomes.link import OutcomeLink, arm_of, columns_of, numbers_of
from wwc_eval.fidelity.reliability.errors import Error, error_of
from wwc_eval.fidelity.reliability.parts import Parts, by_group, share
from wwc_eval.fidelity.reliability.reading import Floats
from wwc_eval.table import Column, Table

__all__ = ["relative_strength"]

CITATION = "Hulleman and Cordray 2009, doi:10.1080/19345740802539325"
CLAIMS = (
    "Can claim: how far practice differed between the arms as they were allocated, and so how strong a contrast the trial "
    "tested. Cannot claim: that the difference in practice caused a difference in outcomes, nor which component did; and it "
    "rests on fidelity being measured in both arms, on one scale, by raters who did not know the arm. "
    "Taken as known: the scores. Unsystematic error leaves the difference in points as it is, and draws the strength in standard "
    "deviations towards 0, as it widens them."
)


def relative_strength(
    data: Any,
    fidelity: str | Sequence[str],
    *,
    arm: str,
    threshold: float | None = None,
    cluster: str | None = None,
    arms: Sequence[Any] | None = None,
    level: float = 0.95,
) -> OutcomeLink:
    """Achieved relative strength: how much more of the practice the programme arm had than the other, by component.

    Parameters
    ----------
    data : DataFrame
        One row a unit (case, worker) of *both* arms.
    fidelity : str or sequence of str
        Columns of fidelity scores: the whole, or several components.
    arm : str
        Column of the arm: 0/1, or two words with ``arms``.
    threshold : float, optional
        Score from which practice counts as delivered: adds the binary index, the difference of the shares that reach it, and
        ``contamination``, the share of the usual arm that does.
    cluster : str, optional
        Column of the clusters, such as local authorities: errors leave out each in turn.
    arms : sequence, optional
        The two arms, the reference first.
    level : float
        Coverage.

    Returns
    -------
    OutcomeLink
        For each component ``<name>: difference`` in points, ``<name>: strength`` in standard deviations (Hedges' g, pooled
        within arms) and, with a threshold, ``<name>: binary``. ``tables["arms"]`` holds means, spreads and shares by arm.

    Raises
    ------
    DataError
        If a column is missing or a score is not numbers.
    DesignError
        If an arm has no measured unit: fidelity must be measured in both.

    Notes
    -----
    Formula: ``g = J (mean_1 - mean_0) / s`` with s pooled within arms; binary index ``share_1 - share_0``. Intervals:
    delete-one-cluster (or unit) jackknife, t(K - 1). Source: Hulleman and Cordray (2009),
    doi:10.1080/19345740802539325.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> arm = np.repeat([0, 1], 100)
    >>> seen = pd.DataFrame({"arm": arm, "quality": 2.5 + 0.8 * arm + rng.normal(size=200)})
    >>> found = relative_strength(seen, "quality", arm="arm", threshold=3)
    >>> [row.term for row in found.estimates]
    ['quality: difference', 'quality: strength', 'quality: binary']
    """
    check_number("level", level, above=0, below=1)
    names = [fidelity] if isinstance(fidelity, str) else list(fidelity)
    frame = columns_of(data, [*names, arm, *([cluster] if cluster else [])])
    side, pair = arm_of(frame, arm, arms)
    rows: list[Estimate] = []
    sides: list[dict[str, Any]] = []
    for name in names:
        scores = numbers_of(frame, name)
        kept = ~(np.isnan(scores) | np.isnan(side))
        if cluster is not None:
            kept &= frame[cluster].notna().to_numpy()
        y, z = scores[kept], side[kept]
        for k, label in enumerate(pair):
            if not np.any(z == k):
                raise DesignError(
                    f"no unit of arm {label!r} has '{name}'",
                    rule="relative strength compares practice in both arms",
                    fix="measure usual practice too, or report the programme arm's fidelity alone",
                )
        groups = None if cluster is None else frame[cluster].to_numpy()[kept]
        rows += _estimates(name, y, z, groups=groups, threshold=threshold, cluster=cluster, level=level)
        sides += [_arm(name, label, y[z == k], threshold) for k, label in enumerate(pair)]
    title = f"Differentiation: {pair[1]} against {pair[0]}"
    table = Table(sides, _columns(threshold), title="Fidelity by arm")
    return OutcomeLink(estimates=Estimates(rows, title=title), claims=CLAIMS, tables={"arms": table})


def _columns(threshold: float | None) -> list[Column]:
    columns = [
        Column(name="component"),
        Column(name="arm"),
        Column(name="n", kind="count"),
        Column(name="mean", kind="number", digits=2),
        Column(name="sd", label="SD", kind="number", digits=2),
    ]
    return columns + (
        []
        if threshold is None
        else [Column(name="delivered", label=f"at least {threshold:g}", kind="percent", digits=0)]
    )


def _arm(name: str, label: Any, y: Floats, threshold: float | None) -> dict[str, Any]:
    found = {
        "component": name,
        "arm": str(label),
        "n": len(y),
        "mean": float(y.mean()),
        "sd": float(y.std(ddof=1)) if len(y) > 1 else math.nan,
    }
    if threshold is not None:
        found["delivered"] = float((y >= threshold).mean())
    return found


def _estimates(
    name: str,
    y: Floats,
    z: Floats,
    *,
    groups: Any,
    threshold: float | None,
    cluster: str | None,
    level: float,
) -> list[Estimate]:
    from wwc_eval.inference.effect_size import small_sample_correction

    codes = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    centred = y - y.mean()
    reached = np.zeros(len(y)) if threshold is None else (y >= threshold).astype(float)
    pieces = [part * (z == k) for k in (0.0, 1.0) for part in (np.ones(len(y)), centred, centred**2, reached)]
    table = by_group(np.column_stack(pieces), codes, int(codes.max()) + 1)
    correction = small_sample_correction(len(y) - 2.0) if len(y) > 3 else math.nan

    def difference(sums: Floats) -> Floats:
        return share(sums[..., 5], sums[..., 4]) - share(sums[..., 1], sums[..., 0])

    def strength(sums: Floats) -> Floats:
        squares = [sums[..., k + 2] - share(sums[..., k + 1] ** 2, sums[..., k]) for k in (0, 4)]
        within = squares[0] + squares[1]
        sd = np.sqrt(np.maximum(share(within, sums[..., 0] + sums[..., 4] - 2.0), 0.0))
        return share(correction * difference(sums), sd)

    def binary(sums: Floats) -> Floats:
        return share(sums[..., 7], sums[..., 4]) - share(sums[..., 3], sums[..., 0])

    found = [("difference", difference, "mean_difference"), ("strength", strength, "hedges_g")]
    if threshold is not None:
        found.append(("binary", binary, "risk_difference"))
    return [
        _estimate(
            f"{name}: {label}",
            of,
            table,
            scale=scale,
            n=len(y),
            cluster=None if groups is None else cluster,
            level=level,
        )
        for label, of, scale in found
    ]


def _estimate(
    term: str, of: Any, table: Floats, *, scale: str, n: int, cluster: str | None, level: float
) -> Estimate:
    value = float(of(table.sum(axis=0)))
    blank = np.zeros(len(table))
    parts = Parts(
        value=value,
        observed=math.nan,
        expected=math.nan,
        influence=blank,
        published=blank,
        sums=lambda: table,
        of_sums=of,
        m=len(table),
    )
    codes = None if cluster is None else np.arange(len(table))
    error: Error = error_of(parts, kind="jackknife", clusters=codes, cluster=cluster, level=level)
    warnings = list(error.notes)
    if not math.isfinite(value):
        warnings.append(f"No value of '{term}': scores do not vary within the arms.")
    if error.reason is not None:
        warnings.append(f"No interval of '{term}': {error.reason}.")
    base = Estimate.from_normal(
        term=term,
        estimate=value,
        se=error.se,
        df=error.df,
        level=level,
        scale=scale,
        method=f"Achieved relative strength; {error.words}",
        n=n,
        n_clusters=len(table) if cluster is not None else None,
        warnings=tuple(warnings),
        citation=CITATION,
    )
    return base
