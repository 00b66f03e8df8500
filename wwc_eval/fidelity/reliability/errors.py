"""Errors and intervals of anything that is a smooth function of sums over subjects or clusters.

- *linearised*: the influences are summed by cluster, ``se^2 = K / (K - 1) sum_k u_k^2``, and the interval has Student's
  t with K - 1 degrees of freedom.
- *jackknife*: each cluster is left out in turn, ``se^2 = (K - 1) / K sum_k (v_k - mean v)^2``, t with K - 1.
- *bootstrap*: whole clusters drawn with replacement, ``se`` their standard deviation times ``sqrt(K / (K - 1))``, t with K - 1
  (percentiles of so few clusters cover far too little); without clusters percentiles.

Without clusters, subjects are the clusters. Sources: Gwet (2014); Efron (1981), doi:10.1093/biomet/68.3.589; Davison and
Hinkley (1997), doi:10.1017/CBO9780511802843.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wwc_eval.errors import DesignError, check_number
from wwc_eval.fidelity.reliability.parts import Parts, by_group
from wwc_eval.fidelity.reliability.reading import Floats, Ints

__all__ = ["ERRORS", "Error", "error_of", "quantile_t"]

ERRORS = ("linearised", "jackknife", "bootstrap")
CHUNK = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Error:
    """Standard error and interval.

    Parameters
    ----------
    se, df, low, high : float
        NaN where ``reason`` says why there is none.
    words : str
        The method.
    reason : str, optional
        Why there is no error.
    replicates : ndarray, optional
        Values of the bootstrap.
    notes : tuple of str
        What a reader must know.
    """

    se: float
    df: float
    low: float
    high: float
    words: str
    reason: str | None = None
    replicates: Floats | None = None
    notes: tuple[str, ...] = ()


def quantile_t(df: float, level: float) -> float:
    """Two-sided quantile of Student's t."""
    from scipy import special

    return float(special.stdtrit(df, 0.5 + 0.5 * level))


def error_of(
    parts: Parts,
    *,
    kind: str,
    clusters: Ints | None,
    cluster: str | None,
    level: float,
    reps: int = 2_000,
    rng: object = None,
) -> Error:
    """Error and interval of a coefficient, unless it has no value.

    Raises
    ------
    DesignError
        If a bootstrap has no ``rng``.
    """
    by = f"clustered by {cluster}" if clusters is not None else "subjects independent"
    units = parts.m if clusters is None else int(clusters.max(initial=-1)) + 1
    if kind == "bootstrap" and rng is None:
        raise DesignError("errors == 'bootstrap' needs rng", fix="give a seed: rng=2026")
    if units < 2:
        what = f"cluster ({cluster})" if clusters is not None else "subject"
        return _none(f"one {what} only, so nothing shows how the coefficient varies", kind, by)
    df = units - 1.0
    if kind == "linearised":
        return _linearised(parts, clusters, df, level, by)
    codes = np.arange(len(parts.influence)) if clusters is None else clusters
    table = parts.sums() if clusters is None else by_group(parts.sums(), codes, units)
    if kind == "jackknife":
        return _jackknife(parts, table, level, by, clustered=clusters is not None)
    count = int(check_number("reps", reps, at_least=99))
    return _bootstrap(parts, table, level, by, reps=count, rng=rng, clustered=clusters is not None)


def _none(reason: str, kind: str, by: str) -> Error:
    nan = float("nan")
    return Error(se=nan, df=nan, low=nan, high=nan, words=f"{kind} error, {by}", reason=reason)


def _linearised(parts: Parts, clusters: Ints | None, df: float, level: float, by: str) -> Error:
    n = len(parts.influence)
    if clusters is None:
        m = parts.m
        se = float(np.sqrt((parts.published**2).sum() / (m * (m - 1.0))))
        words = f"linearised error (Gwet), {by}, t with {df:,.0f} df"
    else:
        sums = np.bincount(clusters, weights=parts.influence)
        se = float(np.sqrt(len(sums) / (len(sums) - 1.0) * (sums**2).sum()) / n)
        words = f"linearised error, {by}, t with {df:,.0f} df"
    return _t(parts.value, se, df, level=level, words=words)


def _t(value: float, se: float, df: float, *, level: float, words: str, notes: tuple[str, ...] = ()) -> Error:
    if not se > 1e-12:
        reason = "the coefficient does not vary between subjects or clusters, so the error is 0 and says nothing"
        return Error(se=0.0, df=df, low=np.nan, high=np.nan, words=words, reason=reason, notes=notes)
    reach = quantile_t(df, level) * se
    return Error(se=se, df=df, low=value - reach, high=value + reach, words=words, notes=notes)


def _jackknife(parts: Parts, table: Floats, level: float, by: str, *, clustered: bool) -> Error:
    values = parts.of_sums(table.sum(axis=0) - table)
    notes: tuple[str, ...] = ()
    alive = np.isfinite(values)
    if not alive.all():
        lost = int((~alive).sum())
        values = values[alive]
        units = "clusters" if clustered else "subjects"
        said = f"Without {lost:,} of the {units} the coefficient is 0 / 0; the jackknife leaves them out"
        notes = (f"{said}, so its error may be too small.",)
    K = len(values)
    what = "cluster" if clustered else "subject"
    if K < 2:
        return _none(f"the coefficient is 0 / 0 without any one {what}", "jackknife", by)
    se = float(np.sqrt((K - 1.0) / K * ((values - values.mean()) ** 2).sum()))
    words = f"delete-one-{what} jackknife, {by}, t with {K - 1:,} df"
    return _t(parts.value, se, K - 1.0, level=level, words=words, notes=notes)


def _bootstrap(
    parts: Parts, table: Floats, level: float, by: str, *, reps: int, rng: object, clustered: bool
) -> Error:
    source = np.random.default_rng(rng)  # type: ignore[arg-type]
    K = len(table)
    values = np.empty(reps)
    step = max(1, CHUNK // K)
    for start in range(0, reps, step):
        stop = min(start + step, reps)
        drawn = source.integers(0, K, size=(stop - start, K)) + (np.arange(stop - start) * K)[:, None]
        times = np.bincount(drawn.ravel(), minlength=(stop - start) * K).reshape(stop - start, K)
        values[start:stop] = parts.of_sums(times.astype(float) @ table)
    alive = np.isfinite(values)
    notes: tuple[str, ...] = ()
    if not alive.all():
        notes = (
            f"The coefficient is 0 / 0 in {int((~alive).sum()):,} of {reps:,} replicates; they are left out.",
        )
    kept = values[alive]
    how = f"t with {K - 1:,} df" if clustered else "percentile interval"
    words = f"bootstrap, {by}, {how}, {reps:,} replicates"
    if len(kept) < 0.9 * reps:
        reason = f"the coefficient is 0 / 0 in {int((~alive).sum()):,} of {reps:,} replicates"
        return Error(se=np.nan, df=np.nan, low=np.nan, high=np.nan, words=words, reason=reason, replicates=values)
    se = float(kept.std(ddof=1))
    low, high = np.quantile(kept, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
    if clustered:
        found = _t(parts.value, float(np.sqrt(K / (K - 1.0))) * se, K - 1.0, level=level, words=words, notes=notes)
        return replace(found, replicates=values)
    return Error(
        se=se,
        df=K - 1.0,
        low=float(low),
        high=float(high),
        words=words,
        replicates=values,
        notes=notes,
    )
