"""Two-stage randomisation: a share of programme units for each cluster, then the units within it."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, Problem, shown
from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.dealing import arrangements, deal, deal_many, pair_probabilities, products
from wwc_eval.randomisation.misfits import splits
from wwc_eval.randomisation.rounding import Apportionment, multinomial
from wwc_eval.randomisation.scheme import BoundScheme, Codes, Floats, Pairs, Reference, Scheme
from wwc_eval.randomisation.stream import Stream
from wwc_eval.randomisation.units import Strata, Units, names_of

__all__ = ["BoundSaturation", "Saturation"]

Row = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Saturation(Scheme):
    """Clusters are allocated to shares of programme units first, then that share of the units in each.

    Parameters
    ----------
    within : str or sequence of str
        Columns that name a cluster, such as the local authority of a team.
    shares : sequence of float or str
        Share of the units of a cluster that get the second arm, each once: ``(0, 0.5)`` or ``("0", "1/3", "2/3")``.
    ratio : sequence of int, optional
        Whole-number ratio in which clusters get the shares; equal where it is missing.

    Notes
    -----
    Where a share does not fit a cluster's size, the number is one of the two nearest at random, with the share as its
    expectation; where the ratio does not fit the number of clusters, likewise. Two-stage design: Hudgens and
    Halloran (2008), doi:10.1198/016214508000000292; Baird et al. (2018), doi:10.1162/rest_a_00716.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> teams = pd.DataFrame({"team": list("abcdefgh"), "la": ["Derby"] * 4 + ["Leeds"] * 4})
    >>> method = we.Saturation(within="la", shares=(0.25, 0.75))
    >>> allocation = we.randomise(teams, unit="team", method=method, seed="example")
    >>> allocation.n_permitted
    32
    """

    within: str | Sequence[str]
    shares: Sequence[float | str]
    ratio: Sequence[int] | None = None

    kind = "saturation"

    def __post_init__(self) -> None:
        """Check names, shares and ratio."""
        object.__setattr__(self, "within", names_of("within", self.within))
        try:
            exact = [Fraction(share if isinstance(share, str) else repr(share)) for share in self.shares]
        except (TypeError, ValueError, ZeroDivisionError):
            exact = []
        inside = all(0 <= share <= 1 and share.denominator <= 10**6 for share in exact)
        if len(exact) < 2 or not inside or len(set(exact)) < len(exact):
            raise DesignError(
                f"shares == {shown(self.shares)}, must be two or more different shares from 0 to 1",
                fix='write shares=(0, 0.5), or "1/3" for a third',
            )
        ratio = tuple(self.ratio) if self.ratio is not None else (1,) * len(exact)
        if len(ratio) != len(exact) or not all(isinstance(part, int) and part > 0 for part in ratio):
            raise DesignError(
                f"ratio == {shown(self.ratio)}, must be a whole number above 0 for each of the {len(exact)} shares",
                fix="write ratio=(1, 2), or leave it out",
            )
        common = math.gcd(*ratio)
        object.__setattr__(self, "shares", tuple(str(share) for share in exact))
        object.__setattr__(self, "ratio", tuple(part // common for part in ratio))

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Columns of the unit list that the scheme reads."""
        return tuple(self.within)

    def bind(self, units: Units, arms: Arms) -> BoundSaturation:
        """The scheme for these units and arms.

        Raises
        ------
        DesignError
            If there are not two equal arms, fewer clusters than shares, or clusters too small to tell shares apart.
        """
        if arms.k != 2 or not arms.equal:
            raise DesignError(
                f"shares say how many units get the second of two arms, but the arms are {arms.words}",
                fix="name two arms without a ratio",
            )
        bound = BoundSaturation(scheme=self, units=units, arms=arms, clusters=units.strata(self.columns))
        bound.check()
        return bound


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundSaturation(BoundScheme):
    """Two-stage randomisation of a list of units.

    Stream: the numbers of clusters with each share by the procedure of ``rounding``; shares in the order given,
    shuffled, go to the clusters in order of their names; then for each cluster the number of programme units by
    the procedure of ``rounding``; then for each cluster its labels, shuffled.

    Parameters
    ----------
    clusters : Strata
        Cluster of each unit.
    """

    clusters: Strata
    known: dict[tuple[int, int], Apportionment] = field(default_factory=dict, repr=False)
    """Laws of the numbers of programme units, by cluster size and share."""

    @cached_property
    def _shares(self) -> tuple[Fraction, ...]:
        scheme = self.scheme
        assert isinstance(scheme, Saturation)
        return tuple(Fraction(share) for share in scheme.shares)

    @cached_property
    def _levels(self) -> Apportionment:
        scheme = self.scheme
        assert isinstance(scheme, Saturation) and scheme.ratio is not None  # noqa: PT018
        return Apportionment(self.clusters.n, tuple(scheme.ratio))

    def _numbers(self, size: int, level: int) -> Apportionment:
        if (size, level) not in self.known:
            share = self._shares[level]
            ratio = (share.denominator - share.numerator, share.numerator)
            self.known[size, level] = Apportionment(size, ratio)
        return self.known[size, level]

    def check(self) -> None:
        """Refuse designs in which the arms of a cluster could come from two shares, or a share from no cluster."""
        if min(self._levels.base) < 1:
            raise DesignError(
                f"{self.clusters.n} clusters cannot have {len(self._shares)} shares in the ratio asked for",
                rule="every share has at least one cluster",
                fix="use fewer shares, or a ratio nearer to equal",
            )
        problems = []
        for label, size in zip(self.clusters.labels, self.clusters.sizes.tolist(), strict=True):
            seen: dict[int, Fraction] = {}
            for level, share in enumerate(self._shares):
                for counts, _ in self._numbers(size, level).patterns:
                    other = seen.setdefault(counts[1], share)
                    if other != share:
                        problems.append(
                            Problem(
                                message=f"cluster '{label}' of {size} units may have {counts[1]} programme units under "
                                f"the share {other} and under {share}",
                                rule="the shares give every cluster different numbers",
                                fix="choose shares further apart, or leave small clusters out",
                            )
                        )
        if problems:
            raise DesignError(problems=problems)

    @property
    def strata(self) -> tuple[str, ...] | None:
        """Cluster of each unit."""
        labels = self.clusters.labels
        return tuple(labels[code] for code in self.clusters.codes)

    def extra_columns(self, codes: Codes) -> dict[str, list[Any]]:
        """Share that the unit's cluster was allocated to."""
        treated = np.bincount(self.clusters.codes, weights=codes, minlength=self.clusters.n).astype(int).tolist()
        shares = []
        for size, number in zip(self.clusters.sizes.tolist(), treated, strict=True):
            level = next(
                level
                for level in range(len(self._shares))
                if any(counts[1] == number for counts, _ in self._numbers(size, level).patterns)
            )
            shares.append(float(self._shares[level]))
        return {"saturation": [shares[code] for code in self.clusters.codes]}

    def draw(self, stream: Stream) -> Codes:
        """One allocation from the stream."""
        numbers = self._levels.draw(stream)
        levels = stream.shuffled([level for level, number in enumerate(numbers) for _ in range(number)])
        sizes = self.clusters.sizes.tolist()
        counts = [self._numbers(size, level).draw(stream) for size, level in zip(sizes, levels, strict=True)]
        return deal(self.clusters.members, counts, stream)

    def probabilities(self) -> Floats:
        """Mean share of the levels for every unit."""
        total = sum(self._levels.ratio)
        mean = float(
            sum((r * s for r, s in zip(self._levels.ratio, self._shares, strict=True)), Fraction(0)) / total
        )
        return np.tile([1.0 - mean, mean], (self.units.n, 1))

    def sample(self, draws: int, rng: np.random.Generator) -> Codes:
        """Independent allocations."""
        sizes = self.clusters.sizes.tolist()
        levels = deal_many([np.arange(len(sizes))], self._levels.sample(draws, rng)[:, None, :], rng)
        counts = np.empty((draws, len(sizes), 2), dtype=np.int64)
        for cluster, level in itertools.product(range(len(sizes)), range(len(self._shares))):
            here = np.flatnonzero(levels[:, cluster] == level)
            counts[here, cluster] = self._numbers(sizes[cluster], level).sample(len(here), rng)
        return deal_many(self.clusters.members, counts, rng)

    def _ways(self, size: int, level: int) -> int:
        """Ways to choose the programme units of a cluster with a share."""
        return sum(multinomial(counts) for counts, _ in self._numbers(size, level).patterns)

    @cached_property
    def count(self) -> int:
        """Number of permitted allocations; clusters of one size are taken together."""
        by_size = Counter(self.clusters.sizes.tolist())
        whole = 0
        for numbers, _ in self._levels.patterns:
            states: dict[Row, int] = {numbers: 1}
            for size, number in by_size.items():
                weights = [self._ways(size, level) for level in range(len(numbers))]
                following: dict[Row, int] = {}
                for state, ways in states.items():
                    for taken in splits(number, state):
                        rest = tuple(a - b for a, b in zip(state, taken, strict=True))
                        here = multinomial(taken) * math.prod(
                            int(w**t) for w, t in zip(weights, taken, strict=True)
                        )
                        following[rest] = following.get(rest, 0) + ways * here
                states = following
            whole += sum(states.values())
        return whole

    @cached_property
    def uniform(self) -> bool:
        """Whether all permitted allocations are equally likely."""
        sizes = self.clusters.sizes.tolist()
        levels = range(len(self._shares))
        chances: dict[tuple[int, int], Fraction] = {}
        for size, level in itertools.product(set(sizes), levels):
            each = {chance / multinomial(counts) for counts, chance in self._numbers(size, level).patterns}
            if len(each) > 1:
                return False
            chances[size, level] = each.pop()
        if len({tuple(chances[size, level] / chances[size, 0] for level in levels) for size in set(sizes)}) > 1:
            return False  # clusters that exchange their shares make another probability
        relative = [chances[sizes[0], level] / chances[sizes[0], 0] for level in levels]
        each_pattern = {
            chance / multinomial(numbers) * math.prod(r**n for r, n in zip(relative, numbers, strict=True))
            for numbers, chance in self._levels.patterns
        }
        return len(each_pattern) == 1

    @property
    def mirrored(self) -> bool:
        """Whether the shares and their ratio are symmetric about a half."""
        ratio = dict(zip(self._shares, self._levels.ratio, strict=True))
        return all(ratio.get(1 - share) == part for share, part in ratio.items())

    def _tables(self) -> Iterator[tuple[tuple[Row, ...], Fraction]]:
        sizes = self.clusters.sizes.tolist()
        for numbers, chance in self._levels.patterns:
            each = chance / multinomial(numbers)
            for levels in arrangements(numbers):
                options = [self._numbers(size, level).patterns for size, level in zip(sizes, levels, strict=True)]
                for rows in itertools.product(*options):
                    yield tuple(counts for counts, _ in rows), math.prod((p for _, p in rows), start=each)

    def _enumerate(self) -> Reference:
        parts, chances = [], []
        for rows, chance in self._tables():
            blocks = [np.array(list(arrangements(row)), dtype=np.int8).reshape(-1, sum(row)) for row in rows]
            parts.append(products(self.clusters.members, blocks))
            chances.append(np.full(len(parts[-1]), float(chance / len(parts[-1]))))
        return Reference(
            allocations=np.concatenate(parts),
            probabilities=None if self.uniform else np.concatenate(chances),
        )

    def pairs(self, draws: int | None = None, rng: np.random.Generator | None = None) -> Pairs:
        """Exact probabilities: clusters are independent given their shares."""
        del draws, rng
        clusters = self.clusters.n
        total = sum(self._levels.ratio)
        within = []
        for size in self.clusters.sizes.tolist():
            parts = [
                Fraction(part, total) * chance * sum(m * (m - 1) for m in counts)
                for level, part in enumerate(self._levels.ratio)
                for counts, chance in self._numbers(size, level).patterns
            ]
            within.append(float(sum(parts, Fraction(0)) / (size * (size - 1))) if size > 1 else 1.0)
        agree = Fraction(0)
        for numbers, chance in self._levels.patterns:
            for a, b in itertools.product(range(len(numbers)), repeat=2):
                ways = numbers[a] * (numbers[b] - (a == b))
                p, q = self._shares[a], self._shares[b]
                agree += chance * Fraction(ways, clusters * (clusters - 1)) * (p * q + (1 - p) * (1 - q))
        between = np.full((clusters, clusters), float(agree))
        return Pairs(same=pair_probabilities(self.clusters.codes, np.array(within), between))
