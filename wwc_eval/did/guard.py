"""The guard: with fewer than five treated clusters no conventional error is shown without a permutation beside it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from wwc_eval.did.few_permutation import p_words, permuted
from wwc_eval.did.few_reference import permutations
from wwc_eval.did.few_statistic import Statistic
from wwc_eval.did.panel import Panel
from wwc_eval.errors import WwcError
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats

__all__ = [
    "FEW",
    "Guard",
    "cohort_guard",
    "cohort_p_values",
    "guard_of",
    "guard_warnings",
    "guarded",
    "reference_draws",
    "seed_of",
    "withheld",
]

FEW = 5
"""Fewer treated clusters than these, and conventional errors are not shown alone."""
DRAWS = 9_999
FEWEST = 999
CELLS = 20_000_000
"""Draws times clusters that the guard takes: fewer draws where there are thousands of clusters."""
CELL_DRAWS = 1_999
LISTED = 25_000
_FOUND: WeakKeyDictionary[Panel, Guard | None] = WeakKeyDictionary()
_COHORTS: WeakKeyDictionary[Panel, dict[int, Guard | None]] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What stands beside a conventional error.

    Parameters
    ----------
    treated, clusters : int
        Treated clusters, and all.
    p_value : float
        Of the permutation; missing where treatment cannot be permuted.
    words : str
        The sentence that is shown.
    """

    treated: int
    clusters: int
    p_value: float
    words: str


def guard_of(panel: Panel) -> Guard | None:
    """The permutation that must stand beside conventional errors; None where five or more clusters are treated.

    The imputation effect is permuted where every cell is there with equal weights, else the coefficient of two-way fixed
    effects. Where there are too many permutations to list, the draws are seeded by the data themselves (SHA-256 of
    outcomes and adoption), so that the same panel always has the same p-value; :func:`few_treated` takes a seed.

    Parameters
    ----------
    panel : Panel
        The panel. Cross-sections without clusters have no treated clusters to count.
    """
    if panel not in _FOUND:
        _FOUND[panel] = _guard(panel)
    return _FOUND[panel]


def _guard(panel: Panel, draws: int | None = None) -> Guard | None:
    if panel.cross_sections:
        return None
    joins = (panel.adopted < panel.n_periods) & (panel.adopted > 0)
    treated = panel.clusters_of(joins)
    if not 0 < treated < FEW:
        return None
    small = f"{_counted(treated)}: conventional errors are far too small with so few"
    try:
        statistic, name = _statistic(panel)
        found = permuted(statistic, permutations(statistic, draws or reference_draws(panel), seed_of(panel)), 0.95)
    except WwcError as error:
        words = f"{small}, and treatment cannot be permuted ({error}); do not use them"
        return Guard(treated=treated, clusters=panel.n_clusters, p_value=math.nan, words=words)
    words = f"{small}; permutation of the {name} effect over clusters: {p_words(found.p_value)} (see few_treated)"
    return Guard(treated=treated, clusters=panel.n_clusters, p_value=found.p_value, words=words)


def _statistic(panel: Panel) -> tuple[Statistic, str]:
    two_way = Statistic.of(panel, "two_way_fixed_effects")
    if two_way.even and len(two_way.dates) > 1:
        return Statistic.of(panel, "imputation"), "imputation"
    return two_way, "two-way"


def reference_draws(panel: Panel) -> int:
    """Permutations drawn where there are too many to list."""
    return max(FEWEST, min(DRAWS, CELLS // panel.n_clusters))


def seed_of(panel: Panel) -> np.random.Generator:
    """Random numbers that are a function of the data."""
    digest = hashlib.sha256()
    for array in (panel.outcomes, panel.adopted, panel.weights):
        digest.update(np.ascontiguousarray(array).tobytes())
    return np.random.default_rng(np.frombuffer(digest.digest(), dtype=np.uint32))


def guard_warnings(panel: Panel) -> tuple[str, ...]:
    """The sentence of the guard; nothing where five or more clusters are treated."""
    found = guard_of(panel)
    return () if found is None else (found.words,)


def cohort_guard(panel: Panel, cohort: int) -> Guard | None:
    """The guard of the effect on one cohort, permuted among its clusters and those never treated.

    Parameters
    ----------
    panel : Panel
        The panel.
    cohort : int
        Position of the cohort's first treated period.
    """
    if panel.cross_sections:
        return None
    found = _COHORTS.setdefault(panel, {})
    if cohort not in found:
        mine = panel.adopted == cohort
        few = 0 < len(np.unique(panel.clusters[mine])) < FEW
        others = panel.units[~mine & (panel.adopted < panel.n_periods)].tolist()
        found[cohort] = _guard(panel.without(others) if others else panel, CELL_DRAWS) if few else None
    return found[cohort]


def guarded(estimate: Estimate, panel: Panel, cohort: int | None = None) -> Estimate:
    """An estimate with the permutation beside its conventional error, which is withheld where there is none.

    Parameters
    ----------
    estimate : Estimate
        With a conventional error.
    panel : Panel
        The panel behind it.
    cohort : int, optional
        Position of the first treated period of the cohort whose effect it is; of all the treated if nothing is said.

    Examples
    --------
    >>> import pandas as pd
    >>> data = pd.DataFrame([(la, t, la * t % 5 + 3 * (la == 1 and t > 2)) for la in range(30) for t in range(5)],
    ...                     columns=["la", "year", "rate"]).assign(start=lambda d: 3 * (d.la == 1))
    >>> panel = Panel(data, unit="la", period="year", outcome="rate", cohort="start")
    >>> estimate = Estimate.from_normal(term="treated", estimate=3.0, se=0.1)
    >>> guarded(estimate, panel).details["permutation_p"] > estimate.p_value
    True
    """
    found = guard_of(panel) if cohort is None else cohort_guard(panel, cohort)
    if found is None:
        return estimate
    return _beside(estimate, found)


def withheld(estimate: Estimate, panel: Panel, cohort: int | None = None) -> Estimate:
    """An estimate that no permutation of the guard judges: without its conventional error where few are treated.

    Parameters
    ----------
    estimate, panel, cohort
        As in :func:`guarded`.
    """
    found = guard_of(panel) if cohort is None else cohort_guard(panel, cohort)
    if found is None:
        return estimate
    words = (
        f"{_counted(found.treated)}: conventional errors are far too small with so few, and no permutation judges this "
        "effect; none is given"
    )
    return _beside(estimate, replace(found, p_value=math.nan, words=words))


def _beside(estimate: Estimate, found: Guard) -> Estimate:
    warnings = tuple(text for text in estimate.warnings if "conventional" not in text)
    changed = estimate.replace(
        warnings=(*warnings, found.words), details={**estimate.details, "permutation_p": found.p_value}
    )
    if math.isfinite(found.p_value):
        return changed
    blank = dict.fromkeys(("se", "df", "statistic", "p_value", "ci_low", "ci_high"), math.nan)
    return changed.replace(**blank)


def _counted(treated: int) -> str:
    return "1 treated cluster" if treated == 1 else f"{treated} treated clusters"


def cohort_p_values(result: Any) -> list[float | None]:
    """Permutation p of each row of a Callaway-Sant'Anna table whose cohort has fewer than five units.

    The units of the cohort change places with those of its comparison: ``|mean change of so many units less that of the
    rest|`` is compared with the actual one, over all choices where they can be listed and over draws seeded by the
    data otherwise. None for cohorts of five and more, and with covariates or clusters above the units.

    Parameters
    ----------
    result : CallawaySantAnna
        Effects by cohort and period.
    """
    panel, cells = result.panel, result.group_times
    rows = np.flatnonzero(np.isfinite(result.values))
    if panel.cross_sections or panel.clustered or result.covariates:
        return [None] * len(rows)
    index = np.searchsorted(panel.cohorts, panel.adopted)
    sizes = np.bincount(index, minlength=len(panel.cohorts))
    chosen: dict[tuple[int, int], Any] = {}
    together: dict[tuple[int, bytes], list[int]] = {}
    changes: dict[int, Floats] = {}
    for k in rows.tolist():
        if sizes[cells.cohort[k]] < FEW:
            changes[k] = panel.outcomes[:, cells.period[k]] - panel.outcomes[:, cells.base[k]]
            inside = np.isfinite(changes[k]) & ((index == cells.cohort[k]) | cells.controls[k][index])
            together.setdefault((int(cells.cohort[k]), inside.tobytes()), []).append(k)
    found: dict[int, float] = {}
    for (cohort, inside_bytes), effects in together.items():
        used = np.flatnonzero(np.frombuffer(inside_bytes, dtype=bool))
        mine = index[used] == cohort
        pool = np.r_[used[mine], used[~mine]]
        key = (int(mine.sum()), len(pool))
        if key not in chosen:
            chosen[key] = _choices(*key, seed_of(panel))
        picks, exact = chosen[key]
        values = np.stack([changes[k][pool] for k in effects], axis=1)
        found |= dict(zip(effects, _shares(values, panel.weights[pool], picks, exact=exact), strict=True))
    return [found.get(k) for k in rows.tolist()]


def _choices(size: int, pool: int, source: np.random.Generator) -> tuple[Any, bool]:
    if math.comb(pool, size) <= LISTED:
        return np.array(list(combinations(range(pool), size)), dtype=np.intp), True
    picks = np.sort(source.integers(0, pool, (CELL_DRAWS, size)), axis=1)
    while (twice := (np.diff(picks, axis=1) == 0).any(axis=1)).any():
        picks[twice] = np.sort(source.integers(0, pool, (int(twice.sum()), size)), axis=1)
    return picks, False


def _shares(changes: Floats, weights: Floats, picks: Any, *, exact: bool) -> list[float]:
    """Share of the choices as far apart as the actual one, the first of the pool, for each column of changes."""
    size = picks.shape[1]
    products = weights[:, None] * changes
    total, weight = products.sum(axis=0), float(weights.sum())

    def gap(chosen: Any) -> Floats:
        first = sum(products[chosen[:, j]] for j in range(size))
        mass = weights[chosen].sum(axis=1)[:, None]
        return np.asarray(np.abs(first / mass - (total - first) / (weight - mass)))

    actual = gap(np.arange(size)[None, :])[0]
    far = (gap(picks) >= actual * (1.0 - 1e-9)).sum(axis=0)
    shares = far / len(picks) if exact else (1.0 + far) / (1.0 + len(picks))
    return [float(share) for share in shares]
