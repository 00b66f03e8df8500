"""Who could have been treated instead: permutations of clusters, or the lottery that decided the roll-out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.few_statistic import Statistic
from wwc_eval.errors import DesignError, shown
from wwc_eval.inference.families import Floats

if TYPE_CHECKING:
    from wwc_eval.data.samples.draws import Seed

__all__ = ["COUNTABLE", "Reference", "lottery", "permutations"]

Codes = NDArray[np.int8]
COUNTABLE = 25_000
"""Reassignments that are listed rather than drawn."""
CELLS = 4_000_000
"""Random keys held at once."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Reassignments of treatment with their weights.

    Parameters
    ----------
    codes : ndarray of int8, shape (m, blocks)
        Adoption of each cluster: 0 for never, then the cohorts.
    weights : ndarray, shape (m,)
        Probability of each where all are listed; 1 / (m + 1) for draws, beside which the actual one counts once.
    exact : bool
        Whether all are listed.
    fixed_counts : bool
        Whether cohorts keep their sizes.
    words : str
        What was reassigned.
    """

    codes: Codes
    weights: Floats
    exact: bool
    fixed_counts: bool
    words: str

    @property
    def own(self) -> float:
        """Weight of the actual assignment beside those listed."""
        return 0.0 if self.exact else 1.0 / (len(self.codes) + 1)

    @property
    def smallest(self) -> float:
        """Smallest p-value that a test by these reassignments can give."""
        return float(self.weights.min()) if self.exact else 1.0 / (len(self.codes) + 1)


def permutations(statistic: Statistic, draws: int, rng: Seed | None) -> Reference:
    """Treatment permuted over clusters: adoption times change hands.

    Parameters
    ----------
    statistic : Statistic
        The effect; its clusters are exchanged.
    draws : int
        Permutations drawn where there are too many to list.
    rng : int, Generator or SeedSequence, optional
        Needed then.

    Raises
    ------
    DesignError
        If units of one cluster adopted at different times, or permutations are drawn and ``rng`` is missing.
    """
    statistic.need_whole()
    pool = np.flatnonzero(statistic.eligible)
    codes = statistic.codes[pool]
    if not (codes > 0).any():
        raise DesignError("no treated cluster is seen before and after it adopted, so nothing can be permuted")
    counts = np.bincount(codes)
    total = math.factorial(len(codes))
    for count in counts.tolist():
        total //= math.factorial(count)
    exact = total <= COUNTABLE
    if exact:
        drawn = _all_of(counts)
        many = f"all {len(drawn):,} permutations" if len(drawn) > 1 else "the one permutation"
        words = f"{many} of treatment over {len(codes):,} clusters"
    else:
        _need_rng(rng, total)
        from wwc_eval.data.samples.draws import generator

        assert rng is not None
        drawn = _drawn(codes, draws, generator(rng))
        words = f"{draws:,} permutations of treatment over {len(codes):,} clusters"
    rest = len(statistic.codes) - len(pool)
    if rest:
        # a cluster that is not seen on both sides of the dates could not have shown an effect
        whole = np.tile(statistic.codes, (len(drawn), 1))
        whole[:, pool] = drawn
        drawn = whole
        words += f" ({rest:,} more are not seen before and after, and stay as they are)"
    return Reference(
        codes=drawn,
        weights=np.full(len(drawn), 1.0 / (len(drawn) + (0 if exact else 1))),
        exact=exact,
        fixed_counts=True,
        words=words,
    )


def _drawn(codes: Codes, draws: int, source: np.random.Generator) -> Codes:
    """Permutations at random: each treated code goes to a block of its own."""
    slots = codes[codes > 0]
    size, pool = len(slots), len(codes)
    drawn = np.zeros((draws, pool), dtype=np.int8)
    if size * size < pool:
        # so few that blocks drawn twice are rare: those draws are made again
        picks = source.integers(0, pool, (draws, size))
        while (twice := (np.diff(np.sort(picks, axis=1), axis=1) == 0).any(axis=1)).any():
            picks[twice] = source.integers(0, pool, (int(twice.sum()), size))
        np.put_along_axis(drawn, picks, slots[None, :], axis=1)
        return drawn
    step = max(1, CELLS // pool)
    for start in range(0, draws, step):
        part = drawn[start : start + step]
        order = np.argsort(source.random(part.shape), axis=1)[:, :size]
        np.put_along_axis(part, order, slots[None, :], axis=1)
    return drawn


def _need_rng(rng: Any, count: int) -> None:
    if rng is None:
        # of thousands of units there are more than a float can hold
        many = (
            f"{count:,}" if count < 10**7 else f"{count:.3g}" if count < 10**300 else f"10^{math.log10(count):.0f}"
        )
        raise DesignError(
            f"there are {many} reassignments, so they are drawn, which needs rng",
            fix="give a seed, such as rng=1",
        )


def _all_of(counts: NDArray[np.intp]) -> Codes:
    """All arrangements of so many of each code; that of the sample is among them."""
    listed = np.zeros((1, int(counts.sum())), dtype=np.int8)
    free = np.arange(listed.shape[1])[None, :]
    for code in range(len(counts) - 1, 0, -1):
        picks = np.array(list(combinations(range(free.shape[1]), int(counts[code]))), dtype=np.intp)
        rows, chosen = len(listed), len(picks)
        listed = np.repeat(listed, chosen, axis=0)
        taken = np.tile(picks, (rows, 1))
        positions = np.take_along_axis(np.repeat(free, chosen, axis=0), taken, axis=1)
        np.put_along_axis(listed, positions, np.int8(code), axis=1)
        left = np.ones((chosen, free.shape[1]), dtype=bool)
        left[np.arange(chosen)[:, None], picks] = False
        rest = np.array([np.flatnonzero(row) for row in left], dtype=np.intp).reshape(chosen, -1)
        free = np.take_along_axis(np.repeat(free, chosen, axis=0), np.tile(rest, (rows, 1)), axis=1)
    return listed


def lottery(statistic: Statistic, allocation: Any, draws: int, rng: Seed | None) -> Reference:
    """The allocations that the roll-out lottery permitted; clusters that took no part keep their adoption.

    Parameters
    ----------
    statistic : Statistic
        The effect.
    allocation : Allocation
        Of the panel's units (or of its clusters): each arm or sequence adopted at one time, as it was allocated.
    draws, rng
        As in :func:`permutations`.

    Raises
    ------
    DesignError
        If units of one arm adopted at different times, a unit allocated is not in the panel, or permitted allocations
        are drawn and ``rng`` is missing.
    """
    statistic.need_whole()
    sample = statistic.sample
    labels = sample.panel.cluster_labels if sample.panel.clustered else sample.panel.units
    codes_of = np.unique(sample.clusters)
    place = {str(labels[code]): index for index, code in enumerate(codes_of.tolist())}
    keys = [str(key) for key in allocation.units.keys]
    lost = [key for key in keys if key not in place]
    if lost:
        raise DesignError(
            f"{len(lost)} units that were allocated are not in the panel, such as {shown(lost[0])}",
            fix="keep all units of the lottery in the panel, or use allocation.without([...])",
        )
    positions = np.array([place[key] for key in keys], dtype=np.intp)
    received = np.full(len(allocation.labels), -1, dtype=np.int64)
    for arm, label in enumerate(allocation.labels):
        here = np.unique(statistic.codes[positions[allocation.codes == arm]])
        if len(here) > 1:
            raise DesignError(
                f"units allocated to {shown(label)} adopted at different times",
                rule="the effect tested is that of being allocated: adoption as it was allocated",
                fix="give the cohort of the allocation, not of the actual start",
            )
        received[arm] = here[0] if len(here) else -1
    permitted = int(allocation.n_permitted)
    exact = permitted <= COUNTABLE
    if exact:
        found = np.asarray(allocation.reference_set())
        odds = allocation.reference_probabilities
        weights = np.full(len(found), 1.0 / len(found)) if odds is None else np.asarray(odds)
    else:
        _need_rng(rng, permitted)
        found = np.asarray(allocation.reference_set(draws, rng))
        weights = np.full(len(found), 1.0 / (len(found) + 1))
    # an arm whose units all left is not among what the others could have had
    if (received[np.unique(found)] < 0).any():
        raise DesignError("an arm of the allocation has no unit, so its adoption is not known")
    codes = np.tile(statistic.codes, (len(found), 1))
    codes[:, positions] = received[found].astype(np.int8)
    width = len(statistic.dates) + 1
    counts = np.stack([(codes == code).sum(axis=1) for code in range(width)], axis=1)
    many = f"all {len(found):,} allocations" if exact else f"{len(found):,} draws of the allocations"
    return Reference(
        codes=codes,
        weights=weights,
        exact=exact,
        fixed_counts=bool((counts == np.bincount(statistic.codes, minlength=width)).all()),
        words=f"{many} that the roll-out lottery permitted ({allocation.scheme.kind})",
    )
