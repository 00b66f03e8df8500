"""The bound scheme of constrained randomisation and rerandomisation: permitted allocations with a low score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.randomisation.accepted import (
    AcceptedSet,
    Spread,
    accepted_rows,
    find_cutoff,
    in_order,
    measure,
    rank_of,
)
from wwc_eval.randomisation.count_tables import CountTables
from wwc_eval.randomisation.dealing import deal_many
from wwc_eval.randomisation.exact_scores import Covariate, Embedding, embed, score_unit, scores
from wwc_eval.randomisation.halves import Halves, exact_is_feasible
from wwc_eval.randomisation.scheme import COUNTABLE, BoundScheme, Codes, Floats, Pairs, Reference
from wwc_eval.randomisation.stream import Stream
from wwc_eval.randomisation.units import Strata

__all__ = ["SAMPLED", "BoundConstrained"]

SAMPLED = 20_000
"""Allocations scored where there are too many to score all."""
CUTOFF_SEED = b"wwc_eval/constrained/v1"
"""Key of the stream that draws them: published, so that the cut-off depends on units and scheme alone."""
FEW = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundConstrained(BoundScheme):
    """Permitted allocations with a score of at most the cut-off, each equally likely.

    Stream: allocations that keep to strata and ratio are drawn (:meth:`CountTables.draw`) until one has a score of at
    most the cut-off.

    Parameters
    ----------
    covariates : tuple of Covariate
        What is balanced, indicators written out.
    accept : Fraction
        Share that is accepted.
    groups : Strata
        Strata; one that holds all units where there are none.
    orthogonal : bool
        Whether scores are Mahalanobis distances.
    """

    covariates: tuple[Covariate, ...]
    accept: Fraction
    groups: Strata
    orthogonal: bool

    @cached_property
    def tables(self) -> CountTables:
        """Permitted numbers of units of each stratum in each arm."""
        found = CountTables(self.groups.sizes.tolist(), self.arms.ratio)
        if not found.totals:
            raise DesignError(
                "no table of strata by arms meets the ratio in every stratum and overall",
                fix="join small strata, or leave by out",
            )
        return found

    @cached_property
    def embeddings(self) -> tuple[Embedding, ...]:
        """Whole-number covariates by arm, units in canonical order."""
        return embed(self.covariates, self.tables.totals, orthogonal=self.orthogonal)

    @cached_property
    def exact(self) -> bool:
        """Whether every permitted allocation is scored."""
        return exact_is_feasible(self.tables)

    @cached_property
    def _order(self) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
        return np.concatenate(self.groups.members)

    @cached_property
    def _halves(self) -> Halves:
        ordered = [Embedding(each.vectors[self._order], each.bits) for each in self.embeddings]
        return Halves(self.tables, ordered)

    @cached_property
    def spread(self) -> Spread:
        """Scores of all permitted allocations (or of the sample) in whole-number units, and the cut-off."""
        if self.exact:
            return find_cutoff(self._halves, self.accept)
        drawn = np.sort(self._sampled_scores)
        return Spread(
            n_schemes=self.tables.n_allocations,
            cutoff=int(drawn[rank_of(self.accept, SAMPLED) - 1]),
            mean=float(drawn.mean()),
            sd=float(drawn.std(ddof=1)),
            minimum=int(drawn[0]),
        )

    @cached_property
    def _sampled_scores(self) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        stream = Stream(CUTOFF_SEED, "wwc_eval/constrained/cutoff")
        rows = np.array([self._candidate(stream) for _ in range(SAMPLED)], dtype=np.int8)
        return self.whole_scores(rows)

    @cached_property
    def accepted(self) -> AcceptedSet | None:
        """Exact counts over the accepted allocations; None where they are sampled."""
        return measure(self._halves, self.spread.cutoff) if self.exact else None

    def whole_scores(self, allocations: Codes) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """Scores of permitted allocations in whole-number units."""
        found = np.empty(len(allocations), dtype=np.int64)
        sizes = np.stack([(allocations == arm).sum(axis=1) for arm in range(self.arms.k)], axis=1)
        for total, embedding in zip(self.tables.totals, self.embeddings, strict=True):
            here = (sizes == np.array(total)).all(axis=1)
            if here.any():
                found[here] = scores(embedding, allocations[here])
        return found

    @cached_property
    def unit_score(self) -> float:
        """What a score of 1 in whole-number units is in those of the docs."""
        common = score_unit(self.tables.totals)
        scale = Fraction(1, common**2 * 4 ** self.embeddings[0].bits)
        heaviest = max(each.weight for each in self.covariates)
        if self.arms.k == 2:
            product = math.prod(self.tables.totals[0])
            factor = Fraction(product, self.units.n)
            return float(scale * (factor if self.orthogonal else (factor * heaviest) ** 2))
        return float(scale * (1 if self.orthogonal else heaviest**2))

    @property
    def score_summary(self) -> dict[str, float]:
        """Mean, SD, minimum and cut-off of the scores."""
        spread = self.spread
        values = {"mean": spread.mean, "sd": spread.sd, "minimum": spread.minimum, "cutoff": spread.cutoff}
        return {name: value * self.unit_score for name, value in values.items()}

    def score(self, codes: Codes) -> float:
        """Score of one permitted allocation."""
        return float(self.whole_scores(np.asarray(codes, dtype=np.int8)[None])[0]) * self.unit_score

    @property
    def derived(self) -> dict[str, Any]:
        """What follows from units and scheme alone, for the receipt and for those who verify it."""
        found = {
            "covariates": [each.name for each in self.covariates],
            "bits": self.embeddings[0].bits,
            "n_schemes": str(self.tables.n_allocations),
            "exact": self.exact,
            "cutoff": self.spread.cutoff,
        }
        return found if self.exact else found | {"sampled": SAMPLED}

    @property
    def accept_standard_error(self) -> float:
        """Monte Carlo standard error of the accepted share; 0 where it is exact."""
        share = float(self.accept)
        return 0.0 if self.exact else math.sqrt(share * (1 - share) / SAMPLED)

    @property
    def strata(self) -> tuple[str, ...] | None:
        """Stratum of each unit; None without strata."""
        labels = self.groups.labels
        return tuple(labels[code] for code in self.groups.codes) if self.groups.by else None

    @property
    def count(self) -> int:
        """Number of accepted allocations; where they are sampled, the nearest whole number to its estimate."""
        if self.accepted is not None:
            return self.accepted.n_accepted
        share = Fraction(int((self._sampled_scores <= self.spread.cutoff).sum()), SAMPLED)
        return max(1, round(share * self.tables.n_allocations))

    @property
    def uniform(self) -> bool:
        """True: every accepted allocation is equally likely."""
        return True

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Plain sentences about a set that is too small or ties units together."""
        found = []
        if self.count < FEW:
            found.append(
                f"only {self.count} allocations are accepted: accept more, or name fewer covariates, for a valid test"
            )
        if not self.exact:
            found.append(
                f"the cut-off is from {SAMPLED:,} sampled allocations: the accepted share is {float(self.accept):.1%}"
                f" with a Monte Carlo standard error of {self.accept_standard_error:.2%}"
            )
            if not self.arms.equal:
                found.append(
                    f"probabilities are from {SAMPLED:,} draws: their Monte Carlo standard error is up to 0.35%"
                )
            return tuple(found)
        same = self.pairs().same
        for value, words in ((1.0, "always"), (0.0, "never")):
            pairs = np.argwhere(np.triu(same == value, 1))
            if len(pairs):
                named = "; ".join(f"{self.units.keys[i]} and {self.units.keys[j]}" for i, j in pairs[:5].tolist())
                more = f" and {len(pairs) - 5} more pairs" if len(pairs) > 5 else ""
                found.append(f"units that {words} share an arm: {named}{more}")
        return tuple(found)

    def _candidate(self, stream: Stream) -> Codes:
        codes = np.empty(self.units.n, dtype=np.int8)
        codes[self._order] = [arm for stratum in self.tables.draw(stream) for arm in stratum]
        return codes

    def draw(self, stream: Stream) -> Codes:
        """The first permitted allocation from the stream that is accepted."""
        cutoff = self.spread.cutoff
        while True:
            codes = self._candidate(stream)
            if self._score_of(codes.tolist()) <= cutoff:
                return codes

    @cached_property
    def _vectors(self) -> dict[tuple[int, ...], list[list[list[int]]]]:
        """What each unit adds in each arm, as whole numbers of Python, by the sizes of the arms."""
        pairs = zip(self.tables.totals, self.embeddings, strict=True)
        return {tuple(total): embedding.vectors.tolist() for total, embedding in pairs}

    def _score_of(self, codes: list[int]) -> int:
        """As :meth:`whole_scores`, of one allocation: faster than arrays of so few numbers."""
        vectors = self._vectors[tuple(codes.count(arm) for arm in range(self.arms.k))]
        added = zip(*(mine[arm] for mine, arm in zip(vectors, codes, strict=True)), strict=True)
        return sum(sum(column) ** 2 for column in added)

    def probabilities(self) -> Floats:
        """Probability of each arm: exact, except for unequal shares above the exact limit (20,000 draws)."""
        if self.accepted is not None:
            found = np.empty((self.units.n, self.arms.k))
            found[self._order] = self.accepted.arm_counts / self.accepted.n_accepted
            return found
        if self.arms.equal:
            # exchanging arms leaves the accepted set as it is
            return np.full((self.units.n, self.arms.k), 1.0 / self.arms.k)
        drawn = self.sample(SAMPLED, np.random.default_rng(list(CUTOFF_SEED)))
        return np.stack([(drawn == arm).mean(axis=0) for arm in range(self.arms.k)], axis=1)

    def sample(self, draws: int, rng: np.random.Generator) -> Codes:
        """Independent allocations: candidates are drawn in batches and those with a higher score dropped."""
        if self.accepted is not None and self.accepted.n_accepted <= COUNTABLE:
            rows = self._enumerate().allocations
            return np.asarray(rows[rng.integers(len(rows), size=draws)])
        kept: list[Codes] = []
        missing = draws
        while missing > 0:
            batch = int(min(max(1.2 * missing / float(self.accept), 1_000), 50_000))
            rows = deal_many(self.groups.members, self.tables.sample(batch, rng), rng)
            rows = rows[self.whole_scores(rows) <= self.spread.cutoff][:missing]
            kept.append(rows)
            missing -= len(rows)
        return np.concatenate(kept)

    def _enumerate(self) -> Reference:
        if not self.exact:
            raise DesignError(
                "the accepted allocations are too many to list", fix="draw from them: give draws= and rng="
            )
        return self._listed

    @cached_property
    def _listed(self) -> Reference:
        rows = np.empty_like(found := accepted_rows(self._halves, self.spread.cutoff))
        rows[:, self._order] = found
        return Reference(allocations=in_order(rows, self.arms.k))

    def pairs(self, draws: int | None = None, rng: np.random.Generator | None = None) -> Pairs:
        """Exact probabilities from the counts over all accepted allocations, else sampled."""
        if self.accepted is None:
            return super().pairs(draws, rng)
        same = np.empty((self.units.n, self.units.n))
        same[np.ix_(self._order, self._order)] = self.accepted.same_counts / self.accepted.n_accepted
        return Pairs(same=same)
