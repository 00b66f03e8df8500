"""The effect whose law few treated clusters make unusual: its value, and its scores under any adoption."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.absorb import Absorber
from wwc_eval.did.few_scores import FixedScores, TwoWayScores, blocks_of, imputation_weights, unit_codes
from wwc_eval.did.panel import Panel
from wwc_eval.did.sample import Sample, sample_of
from wwc_eval.errors import DesignError
from wwc_eval.inference.families import Floats

__all__ = ["ESTIMATORS", "Statistic"]

ESTIMATORS = ("two_way_fixed_effects", "imputation")
COLLINEAR = 1e-9


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """An effect that is linear in the outcomes.

    Parameters
    ----------
    sample : Sample
        Cells in use.
    estimator : {"two_way_fixed_effects", "imputation"}
        Which effect.
    blocks : ndarray of int, shape (n,)
        Cluster of each unit.
    codes : ndarray of int, shape (blocks,)
        Adoption of each cluster: 0 for never, then the cohorts.
    dates : ndarray of int, shape (C,)
        Position of the first treated period of each cohort.
    """

    sample: Sample
    estimator: str
    blocks: NDArray[np.intp]
    codes: NDArray[np.int8]
    dates: NDArray[np.int64]

    @classmethod
    def of(cls, panel: Panel, estimator: str) -> Statistic:
        """The effect of a panel.

        Raises
        ------
        DesignError
            If nobody becomes treated.
        """
        sample = sample_of(panel, "few_treated", until_last=estimator == "imputation")
        blocks, codes, dates = blocks_of(sample)
        found = cls(sample=sample, estimator=estimator, blocks=blocks, codes=codes, dates=dates)
        if not np.isfinite(found.estimate):
            raise DesignError(
                "the effect is not identified: unit and period effects explain who is treated when",
                fix="add units that are treated later or never, or periods before treatment",
            )
        return found

    @cached_property
    def mixed(self) -> bool:
        """Whether units of one cluster adopted at different times, so that clusters cannot be reassigned whole."""
        return not np.array_equal(self.codes[self.blocks], unit_codes(self.sample))

    def need_whole(self) -> None:
        """Refuse to reassign clusters whose units adopted at different times.

        Raises
        ------
        DesignError
            If there is one.
        """
        if self.mixed:
            raise DesignError(
                "units of one cluster adopted at different times, so clusters cannot be reassigned whole",
                fix="leave out cluster= of the panel, so that units are reassigned",
            )

    @property
    def n_treated(self) -> int:
        """Treated clusters that are seen before and after it: the effect is of no others."""
        present, treated = self.sample.present, self.sample.treated
        both = (present & treated).any(axis=1) & (present & ~treated).any(axis=1)
        return len(np.unique(self.blocks[both]))

    @cached_property
    def even(self) -> bool:
        """Whether every cell is there with the same weight, and every cluster is one unit."""
        weights = self.sample.weights
        return bool((weights == weights.flat[0]).all()) and len(self.codes) == len(self.blocks)

    @cached_property
    def eligible(self) -> NDArray[np.bool_]:
        """Clusters that could have been treated at any of the dates: seen before and after each, shape (blocks,)."""
        present = self.sample.present
        found = np.zeros((len(self.codes), len(self.dates)), dtype=bool)
        for k, date in enumerate(self.dates.tolist()):
            both = present[:, :date].any(axis=1) & present[:, date:].any(axis=1)
            np.logical_or.at(found[:, k], self.blocks, both)
        return np.asarray(found.all(axis=1))

    @cached_property
    def absorber(self) -> Absorber:
        """Unit and period effects."""
        return Absorber.of(self.sample.weights)

    @cached_property
    def outcome(self) -> Floats:
        """Outcome with effects taken out, 0 where missing, shape (n, T)."""
        return self._residual(self.sample.outcomes)

    @cached_property
    def received(self) -> Floats:
        """Treatment with effects taken out, shape (n, T)."""
        return self._residual(self.sample.treated.astype(float))

    @cached_property
    def period_effects(self) -> Floats:
        """Period effects of treatment, shape (T,)."""
        _, effects = self.absorber.effects(self.sample.treated.astype(float)[:, :, None])
        return np.asarray(effects[0, :, 0])

    def _residual(self, values: Floats) -> Floats:
        return np.where(self.sample.present, self.absorber.residual(values[:, :, None])[:, :, 0], 0.0)

    @cached_property
    def weights(self) -> Floats:
        """Weight of each cell in the effect, shape (n, T): the effect is their product with the outcome."""
        if self.estimator == "imputation":
            self._need_even()
            return self._imputation[self.codes[self.blocks]]
        scaled = self.sample.weights * self.received
        size = float((scaled * self.received).sum())
        # treatment that unit and period effects explain leaves rounding alone
        least = COLLINEAR * float((self.sample.weights * self.sample.treated).sum())
        return np.asarray(scaled / size) if size > least else np.full_like(scaled, np.nan)

    @cached_property
    def _imputation(self) -> Floats:
        return imputation_weights(self.sample)

    @cached_property
    def estimate(self) -> float:
        """The effect."""
        if self.estimator == "imputation" and not self.even:
            from wwc_eval.did.few_wild import effect_fit

            fit, contrast = effect_fit(self)
            return float(contrast @ fit.beta)
        return float((self.weights * self.outcome).sum())

    def _need_even(self) -> None:
        if not self.even:
            raise DesignError(
                "the imputation effect is reassigned on panels with every cell, equal weights and a unit a cluster",
                fix="use estimator='two_way_fixed_effects', which takes any panel",
            )

    def scores(self, *, fixed_counts: bool = True) -> FixedScores | TwoWayScores:
        """Effects under reassignments; ``fixed_counts`` if cohorts keep their sizes under all of them."""
        if self.even and fixed_counts:
            return self._fixed()
        if self.estimator == "imputation":
            self._need_even()
            raise DesignError(
                "cohorts change size in the reference set, for which the imputation effect has no weights",
                fix="use estimator='two_way_fixed_effects'",
            )
        return self._general()

    def _fixed(self) -> FixedScores:
        T = self.sample.n_periods
        treated = np.arange(T) >= np.r_[T, self.dates][:, None]
        if self.estimator == "imputation":
            table = self._imputation
        else:
            table = np.zeros(treated.shape)
            table[self.codes] = self.weights
            if not (self.codes == 0).any():
                # nobody is never treated: no reassignment has code 0 either
                table[0] = 0.0
        # the residualised treatment of a code is the same for all its units
        received = np.zeros(treated.shape)
        received[self.codes] = self.received
        return FixedScores(
            weights=table,
            outcome=self.outcome @ table.T,
            received=self.received @ table.T,
            own=(table * received).sum(axis=1),
        )

    def _general(self) -> TwoWayScores:
        sample = self.sample
        T = sample.n_periods
        weights = sample.weights
        treated = (np.arange(T) >= np.r_[T, self.dates][:, None]).astype(float)
        totals = np.where(weights.sum(axis=1) > 0, weights.sum(axis=1), 1.0)
        means = weights @ treated.T / totals[:, None]
        gap = treated[None] - means[:, :, None]
        within = weights[:, None, :] * gap
        return TwoWayScores(
            blocks=self.blocks,
            cell_weights=weights,
            outcome=self.outcome,
            received=self.received,
            within=within,
            norms=(within * gap).sum(axis=2),
            inverse=self.absorber.inverse[0],
        )

    def replace_outcomes(self, outcomes: Floats) -> Statistic:
        """The same effect of another outcome (n, T)."""
        return replace(self, sample=self.sample.replace(outcomes=outcomes))
