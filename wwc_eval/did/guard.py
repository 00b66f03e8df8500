"""The guard: with fewer than five treated clusters no conventional error is shown without a permutation beside it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np

from wwc_eval.did.few_counts import FEW, FEWER, joiners, treated_clusters
from wwc_eval.did.few_permutation import p_words, permuted
from wwc_eval.did.few_reference import permutations
from wwc_eval.did.few_statistic import Statistic
from wwc_eval.did.panel import Panel
from wwc_eval.errors import WwcError
from wwc_eval.estimate import Estimate

__all__ = [
    "FEW",
    "Guard",
    "aside",
    "beside",
    "cohort_guard",
    "guard_aside",
    "guard_of",
    "guard_warnings",
    "guarded",
    "judged",
    "reference_draws",
    "seed_of",
    "withheld",
]

DRAWS = 9_999
FEWEST = 999
CELLS = 20_000_000
"""Draws times clusters that the guard takes: fewer draws where there are thousands of clusters."""
CELL_DRAWS = 1_999
BLANK = ("se", "df", "statistic", "p_value", "ci_low", "ci_high")
_MEANS: WeakKeyDictionary[Panel, Panel] = WeakKeyDictionary()
_FOUND: WeakKeyDictionary[Panel, Guard | None] = WeakKeyDictionary()
_COHORTS: WeakKeyDictionary[Panel, dict[int, Guard | None]] = WeakKeyDictionary()
_ASIDE: ContextVar[bool] = ContextVar("guard_aside", default=False)


@contextmanager
def guard_aside() -> Iterator[None]:
    """No permutation is made within: for many fits whose conventional errors are not shown where few are treated."""
    token = _ASIDE.set(True)
    try:
        yield
    finally:
        _ASIDE.reset(token)


def aside() -> bool:
    """Whether the guard stands aside."""
    return _ASIDE.get()


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What stands beside a conventional error.

    Parameters
    ----------
    treated, clusters : int
        Treated clusters that are seen before and after, and all.
    p_value : float
        Of the permutation; missing where treatment cannot be permuted.
    words : str
        The sentence that is shown.
    """

    treated: int
    clusters: int
    p_value: float
    words: str


def judged(panel: Panel) -> Panel:
    """The panel whose clusters are permuted: of children seen once, the means by cluster and period, all alike.

    Parameters
    ----------
    panel : Panel
        The panel. Cross-sections without clusters stay as they are: nothing can be permuted.
    """
    if not panel.cross_sections or not panel.clustered:
        return panel
    if panel not in _MEANS:
        alike = np.ones(panel.n_units)
        _MEANS[panel] = panel._changed(cross_sections=False, cells=None, cell_weights=None, weights=alike)
    return _MEANS[panel]


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
    if aside():
        return None
    if panel not in _FOUND:
        _FOUND[panel] = _guard(panel)
    return _FOUND[panel]


def _guard(source: Panel, draws: int | None = None) -> Guard | None:
    panel = judged(source)
    if panel.cross_sections:
        return None
    treated = panel.clusters_of(joiners(panel))
    if not 0 < treated < FEW:
        return None
    small = f"{treated_clusters(treated)}: conventional errors are far too small with so few"
    try:
        statistic, name = _statistic(panel)
        found = permuted(statistic, permutations(statistic, draws or reference_draws(panel), seed_of(panel)), 0.95)
    except WwcError as error:
        words = f"{small}, and none are given: treatment cannot be permuted ({error})"
        return Guard(treated=treated, clusters=panel.n_clusters, p_value=math.nan, words=words)
    of_means = ", on means by cluster and period" if source.cross_sections else ""
    where = "few_treated on area_means(panel, covariates)" if source.cross_sections else "few_treated"
    words = f"{small}; permutation of the {name} effect over clusters{of_means}: {p_words(found.p_value)} (see {where})"
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
    panel = judged(panel)
    if panel.cross_sections or aside():
        return None
    found = _COHORTS.setdefault(panel, {})
    if cohort not in found:
        mine = panel.adopted == cohort
        few = 0 < panel.clusters_of(mine & joiners(panel)) < FEW
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
        f"{treated_clusters(found.treated)}: conventional errors are far too small with so few, and no permutation judges this "
        "effect; none is given"
    )
    return _beside(estimate, replace(found, p_value=math.nan, words=words))


def _beside(estimate: Estimate, found: Guard) -> Estimate:
    warnings = tuple(text for text in estimate.warnings if "conventional" not in text)
    changed = estimate.replace(
        warnings=(*warnings, found.words), details={**estimate.details, "permutation_p": found.p_value}
    )
    return changed if math.isfinite(found.p_value) else _without_error(changed)


def _without_error(estimate: Estimate) -> Estimate:
    """The estimate alone, without its simultaneous band as well."""
    bands = {name: math.nan for name in estimate.details if name.startswith("band_")}
    return estimate.replace(**dict.fromkeys(BLANK, math.nan), details={**estimate.details, **bands})


def beside(estimate: Estimate, p: float, where: str) -> Estimate:
    """An estimate with the p of a permutation beside its error, which is withheld where p is missing.

    Parameters
    ----------
    estimate : Estimate
        With a conventional error.
    p : float
        Of the permutation.
    where : str
        Where fewer than five treated are seen, in words.
    """
    changed = estimate.replace(details={**estimate.details, "permutation_p": p})
    if math.isfinite(p):
        return changed
    words = f"{FEWER} are seen {where}, and no permutation judges this effect: no error is given"
    return _without_error(changed.replace(warnings=(*estimate.warnings, words)))
