"""Minimisation (Pocock and Simon) for units that enrol one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number, shown
from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.covariates import read_weights
from wwc_eval.randomisation.exact_scores import Integers
from wwc_eval.randomisation.imbalance import IMBALANCES, Coin, imbalances
from wwc_eval.randomisation.scheme import BoundScheme, Codes, Floats, Reference, Scheme
from wwc_eval.randomisation.stream import Stream
from wwc_eval.randomisation.units import Strata, Units, names_of

__all__ = ["BoundMinimisation", "Minimisation"]

FOLLOWED, MOST_COUNTS, SAMPLED = 4**10, 5_000_000, 20_000
"""Allocations (ten units in four arms) or counts along all histories up to which chances are exact; re-runs beyond."""
MOST_LEVELS = 30
Numbers = dict[str, dict[str, tuple[int, ...]]]


@dataclass(frozen=True, kw_only=True)
class Minimisation(Scheme):
    """Each unit in turn goes, with a high probability, to the arm that balances the margins of all factors best.

    A unit's arm depends on the units before it, so the order of arrival is part of the scheme and of the receipt. A
    longer list with the same units first gives them the same arms: to enrol more units, randomise the longer list
    with the same seed, allocate them one by one with :class:`Enrolment`, or with a seed of their own by
    ``allocation.enrol``, which goes on from the counts reached.

    Parameters
    ----------
    on : str or sequence of str
        Factors, columns of few categories each; band a number first.
    p_best : float
        Probability of the arm that balances best: from its share of the ratio (simple randomisation) up to, but not,
        1. With an unequal ratio it is that of the arm with the smallest share; others are set so that the ratio is
        met. Arms that tie share the advantage in their ratio.
    imbalance : {"range", "variance", "sd"}
        Spread of the arms' counts at the unit's level of each factor, summed over factors.
    weights : mapping or sequence, optional
        Weights above 0 of the factors; 1 where none is given.
    order : str, optional
        Column with the order of arrival, a date or a number; units of one value by name. Without it the rows of the
        list are in order of arrival.
    sequence : sequence of str, optional
        The order of arrival as names of units; filled in from ``order`` or the rows, so that the receipt has it.
    before : mapping, optional
        Units that were enrolled earlier, as their number in each arm by factor and level:
        ``{"site": {"N": [3, 2], "S": [1, 2]}}``; filled in by ``allocation.enrol``.

    Notes
    -----
    The test's reference set re-runs the scheme in order of arrival; its allocations are not equally likely. Sources:
    Pocock and Simon 1975, doi:10.2307/2529712; Han, Enas and McEntegart 2009, doi:10.1002/sim.3710.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> families = pd.DataFrame({"family": list("abcdef"), "site": ["N", "S", "N", "N", "S", "S"]})
    >>> method = we.Minimisation(on="site", p_best=0.9)
    >>> allocation = we.randomise(families, unit="family", method=method, seed="example")
    >>> allocation.n_permitted
    64
    """

    kind = "minimisation"

    on: str | Sequence[str]
    p_best: float = 0.8
    imbalance: str = "range"
    weights: Mapping[str, float] | Sequence[float] | None = None
    order: str | None = None
    sequence: Sequence[str] | None = None
    before: Mapping[str, Mapping[str, Sequence[int]]] | None = None

    def __post_init__(self) -> None:
        """Check names and ranges."""
        on = names_of("on", self.on)
        object.__setattr__(self, "on", on)
        check_number("p_best", self.p_best, above=0, below=1)
        check_choice("imbalance", self.imbalance, IMBALANCES)
        object.__setattr__(self, "weights", read_weights(self.weights, on))
        if self.sequence is not None:
            object.__setattr__(self, "sequence", tuple(self.sequence))
        if self.before is not None:
            object.__setattr__(self, "before", _read_before(self.before, on))

    def canonical(self) -> dict[str, Any]:
        """The scheme for a receipt; ``before`` only where units were enrolled earlier."""
        found = super().canonical()
        return found if self.before is not None else {k: v for k, v in found.items() if k != "before"}

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Columns of the unit list that are read."""
        return tuple(dict.fromkeys((*self.on, *([self.order] if self.order else ()))))

    @property
    def whole_weights(self) -> tuple[int, ...]:
        """Weights as whole numbers in the same proportion."""
        shares = [Fraction(repr(weight)) for weight in (self.weights or [1.0] * len(self.on))]
        common = lcm(*(share.denominator for share in shares))
        return tuple(int(share * common) for share in shares)

    def coin(self, arms: Arms) -> Coin:
        """The biased coin for these arms.

        Raises
        ------
        DesignError
            If ``p_best`` is below the share of the smallest arm.
        """
        p_best = Fraction(repr(float(self.p_best)))
        least = Fraction(min(arms.ratio), arms.total)
        if p_best < least:
            raise DesignError(
                f"p_best == {self.p_best}, must be >= {float(least):g}, the smallest share of {arms.words}",
                fix="raise p_best; 0.8 is usual",
            )
        return Coin(p_best, arms.ratio)

    def bind(self, units: Units, arms: Arms) -> BoundMinimisation:
        """The scheme for these units and arms, its order of arrival filled in.

        Raises
        ------
        DesignError
            If a factor has too many levels, or the order of arrival does not name every unit once.
        """
        coin = self.coin(arms)
        strata = [units.strata((name,)) for name in self.on]
        levels = np.stack([each.codes for each in strata], axis=1)
        for name, codes in zip(self.on, levels.T, strict=True):
            if codes.max(initial=0) >= MOST_LEVELS and codes.max() + 1 > units.n / 4:
                raise DesignError(
                    f"factor {shown(name)} has {codes.max() + 1} levels among {units.n} units",
                    rule="a factor has few categories",
                    fix="put a number into bands before minimising on it",
                )
        order = self._order(units)
        named = replace(self, sequence=tuple(units.keys[i] for i in order))
        return BoundMinimisation(
            scheme=named, units=units, arms=arms, levels=levels.astype(np.int64), order=order, coin=coin,
            weights=np.array(self.whole_weights, dtype=np.int64), measure=self.imbalance,
            earlier=self._earlier(strata, arms),
        )  # fmt: skip

    def _earlier(self, strata: Sequence[Strata], arms: Arms) -> Integers:
        """Numbers of earlier units by factor, level (as coded in these units) and arm."""
        found = np.zeros((len(strata), max(each.n for each in strata), arms.k), dtype=np.int64)
        for factor, (name, each) in enumerate(zip(self.on, strata, strict=True)):
            known = (self.before or {}).get(name, {})
            if any(len(counts) != arms.k for counts in known.values()):
                raise DesignError(
                    f"before gives other numbers of arms than {arms.k}", fix="give one number an arm"
                )
            for level, (text,) in enumerate(each.values):
                found[factor, level] = known.get(text, (0,) * arms.k)
        return found

    def _order(self, units: Units) -> list[int]:
        if self.sequence is not None:
            place = {key: index for index, key in enumerate(self.sequence)}
            if len(place) != len(self.sequence) or set(place) != set(units.keys):
                odd = sorted(set(place) ^ set(units.keys)) or ["a unit named twice"]
                raise DesignError(
                    f"sequence does not name every unit once: {shown(odd[0])}",
                    fix="leave sequence out, or list the units in order of arrival",
                )
            return sorted(range(units.n), key=lambda i: place[units.keys[i]])
        if self.order is None:
            return [int(i) for i in np.argsort(units.origin, kind="stable")]
        return [int(i) for i in units.ranked(self.order)]


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundMinimisation(BoundScheme):
    """Minimisation of these units in their order of arrival.

    Stream: for each unit in order of arrival one whole number below ``coin.denominator``; it gets the first arm whose
    weight, with those of the arms before, exceeds the number.

    Parameters
    ----------
    levels : (n, factors) array of int
        Level of each factor.
    order : list of int
        Positions of the units in order of arrival.
    coin : Coin
        Probabilities given which arms balance best.
    weights : (factors,) array of int
        Weights of the factors.
    measure : str
        Measure of imbalance.
    earlier : (factors, levels, arms) array of int
        Units enrolled earlier.
    """

    levels: Integers
    order: list[int]
    coin: Coin
    weights: Integers
    measure: str
    earlier: Integers

    @cached_property
    def _table(self) -> Integers:
        return self.coin.table()

    def _start(self, rows: int) -> Integers:
        return np.repeat(self.earlier[None], rows, axis=0)

    def _chances(self, counts: Integers, unit: int) -> Integers:
        """Weights of the arms for a unit, one row for each history in ``counts``."""
        return self._weights_at(counts[:, np.arange(len(self.weights)), self.levels[unit]])

    def _weights_at(self, here: Integers) -> Integers:
        """Weights of the arms given counts (rows, factors, arms) at a unit's levels."""
        total = imbalances(here, self.weights, self.arms.ratio, self.measure)
        best = total == total.min(axis=1, keepdims=True)
        found: Integers = self._table[(best << np.arange(self.arms.k)).sum(axis=1)]
        return found

    def _add(self, counts: Integers, unit: int, arms: Codes) -> None:
        factors = np.arange(len(self.weights))
        counts[np.arange(len(arms))[:, None], factors, self.levels[unit], arms[:, None]] += 1

    @property
    def _alike(self) -> bool:
        """Whether the scheme is the same to every arm: equal shares, and nobody enrolled earlier."""
        return self.arms.equal and not self.earlier.any()

    @property
    def mirrored(self) -> bool:
        """Whether exchanging two arms leaves every probability as it is."""
        return super().mirrored and self._alike

    def after(self, codes: Codes) -> dict[str, dict[str, list[int]]]:
        """Numbers of all units so far by factor, level and arm, as :attr:`Minimisation.before` has them."""
        scheme = self.scheme
        assert isinstance(scheme, Minimisation)
        found = {}
        for name in scheme.on:
            counts = {level: list(numbers) for level, numbers in (scheme.before or {}).get(name, {}).items()}
            for text, arm in zip(self.units.texts(name), codes.tolist(), strict=True):
                counts.setdefault(text, [0] * self.arms.k)[arm] += 1
            found[name] = counts
        return found

    def then(self, later: BoundMinimisation, units: Units) -> BoundMinimisation:
        """The law of these units and the later ones that went on from them: that of one list in order of arrival.

        Parameters
        ----------
        later : BoundMinimisation
            Units enrolled afterwards.
        units : Units
            All of them.
        """
        first, second = self.scheme, later.scheme
        assert isinstance(first, Minimisation)
        assert isinstance(second, Minimisation)
        sequence = (*(first.sequence or ()), *(second.sequence or ()))
        return replace(first, sequence=sequence).bind(units, self.arms)

    @property
    def count(self) -> int:
        """Number of permitted allocations: all, since every arm keeps a chance at every step."""
        return int(self.arms.k**self.units.n)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where probabilities are estimates."""
        if self._exact is not None:
            return ()
        return (
            f"probabilities are from {SAMPLED:,} re-runs of the scheme: their Monte Carlo standard error is up to 0.35%",
        )

    @property
    def uniform(self) -> bool:
        """False: allocations that balance better are likelier."""
        return False

    def draw(self, stream: Stream) -> Codes:
        """One allocation, unit by unit in order of arrival."""
        codes = np.zeros(self.units.n, dtype=np.int8)
        counts, levels, denominator = self.earlier.tolist(), self.levels.tolist(), self.coin.denominator
        known: dict[tuple[tuple[int, ...], ...], list[int]] = self._ends
        for unit in self.order:
            mine = [numbers[level] for numbers, level in zip(counts, levels[unit], strict=True)]
            here = tuple(tuple(numbers) for numbers in mine)
            if here not in known:
                # one history is worked out as many are: the same coin draws, samples and enumerates
                known[here] = np.cumsum(self._weights_at(np.array([here], dtype=np.int64))[0]).tolist()
            number = stream.below(denominator)
            arm = next(a for a, end in enumerate(known[here]) if number < end)
            codes[unit] = arm
            for numbers in mine:
                numbers[arm] += 1
        return codes

    @cached_property
    def _ends(self) -> dict[tuple[tuple[int, ...], ...], list[int]]:
        """Cumulative weights of the arms by the counts at a unit's levels, as far as they were needed."""
        return {}

    def sample(self, draws: int, rng: np.random.Generator) -> Codes:
        """Independent re-runs of the scheme."""
        codes = np.zeros((draws, self.units.n), dtype=np.int8)
        counts = self._start(draws)
        for unit in self.order:
            ends = np.cumsum(self._chances(counts, unit), axis=1)
            numbers = rng.integers(self.coin.denominator, size=draws)
            codes[:, unit] = (ends <= numbers[:, None]).sum(axis=1)
            self._add(counts, unit, codes[:, unit])
        return codes

    def _enumerate(self) -> Reference:
        k, n = self.arms.k, self.units.n
        codes = np.zeros((1, n), dtype=np.int8)
        counts, chances = self._start(1), np.ones(1)
        for unit in self.order:
            shares = self._chances(counts, unit) / self.coin.denominator
            chances = (chances[:, None] * shares).ravel()
            codes, counts = np.repeat(codes, k, axis=0), np.repeat(counts, k, axis=0)
            codes[:, unit] = np.tile(np.arange(k), len(codes) // k)
            self._add(counts, unit, codes[:, unit])
        order = np.lexsort(codes.T[::-1])
        return Reference(allocations=codes[order], probabilities=chances[order])

    def probabilities(self) -> Floats:
        """Probability of each arm: exact where histories can be followed, else from 20,000 re-runs."""
        if self._exact is not None:
            return self._exact
        drawn = self.sample(SAMPLED, np.random.default_rng(list(b"wwc_eval/minimisation/v1")))
        return np.stack([(drawn == arm).mean(axis=0) for arm in range(self.arms.k)], axis=1)

    @cached_property
    def _exact(self) -> Floats | None:
        """Probability of each arm for each unit by following all histories; None where they are too many.

        Histories are merged that go on alike: counts are kept at levels that still come, less the whole multiples of
        the ratio that every arm has, which no measure of imbalance sees.
        """
        if self._alike:
            # exchanging the arms' names leaves the scheme as it is
            return np.full((self.units.n, self.arms.k), 1.0 / self.arms.k)
        found = np.empty((self.units.n, self.arms.k))
        counts, chances, followed = self._start(1), np.ones(1), 0
        for place, unit in enumerate(self.order):
            followed += counts.size
            if followed > MOST_COUNTS and self.count > FOLLOWED:
                return None
            steps = chances[:, None] * (self._chances(counts, unit) / self.coin.denominator)
            found[unit] = steps.sum(axis=0)
            arms = np.tile(np.arange(self.arms.k, dtype=np.int8), len(counts))
            counts = np.repeat(counts, self.arms.k, axis=0)
            self._add(counts, unit, arms)
            counts, chances = self._merged(counts, steps.ravel(), self.order[place + 1 :])
        return found

    def _merged(self, counts: Integers, chances: Floats, later: Sequence[int]) -> tuple[Integers, Floats]:
        """Histories that are the same to the units still to come, and the chance of each."""
        ahead = np.zeros(counts.shape[1:3], dtype=bool)
        ahead[np.arange(len(self.weights)), self.levels[list(later)]] = True
        kept, ratio = counts[:, ahead], np.array(self.arms.ratio)
        kept -= (kept // ratio).min(axis=2, keepdims=True) * ratio
        rows = np.ascontiguousarray(kept.reshape(len(kept), -1))
        if not rows.shape[1]:
            return counts[:1], np.array([chances.sum()])
        _, first, which = np.unique(
            rows.view(f"V{rows.itemsize * rows.shape[1]}").ravel(), return_index=True, return_inverse=True
        )
        merged = np.zeros((len(first), *counts.shape[1:]), dtype=counts.dtype)
        merged[:, ahead] = kept[first]
        together: Floats = np.bincount(which.ravel(), weights=chances).astype(np.float64)
        return merged, together

    def forecast(self, allocations: Codes) -> Floats:
        """Probability of each arm for each unit given those who came before, shape (m, n, k)."""
        found = np.empty((*allocations.shape, self.arms.k))
        counts = self._start(len(allocations))
        for unit in self.order:
            found[:, unit] = self._chances(counts, unit) / self.coin.denominator
            self._add(counts, unit, allocations[:, unit])
        return found


def _read_before(before: Any, on: Sequence[str]) -> Numbers:
    """Numbers of earlier units by factor and level, as whole numbers that fit one another.

    Raises
    ------
    DesignError
        If a factor is missing, or factors do not add up to the same units.
    """
    fix = 'write before={"site": {"N": [3, 2]}}, a number for each arm; allocation.enrol does it'
    if not isinstance(before, Mapping) or set(before) != set(on):
        raise DesignError(f"before must give numbers for each factor: {', '.join(on)}", fix=fix)
    found: Numbers = {}
    for name in on:
        found[name] = {str(level): tuple(counts) for level, counts in before[name].items()}
        odd = [
            x
            for counts in found[name].values()
            for x in counts
            if isinstance(x, bool) or not isinstance(x, int) or x < 0
        ]
        if odd:
            raise DesignError(f"before has {shown(odd[0])} units, must be a whole number", fix=fix)
    totals = {tuple(sum(column) for column in zip(*found[name].values(), strict=False)) for name in on}
    if len(totals) > 1:
        raise DesignError(
            "before gives factors of different units", rule="every unit has a level of each", fix=fix
        )
    return found
