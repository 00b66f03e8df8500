"""Simulated panels of local authorities, and placebo treatments on a real one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError
from wwc_eval.power.simulation.cell_randomisation import ranked
from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.linear_robust import linear_robust
from wwc_eval.power.simulation.small_matrices import Array

if TYPE_CHECKING:
    from wwc_eval.power.panel import PanelDiD

__all__ = ["PANEL", "PLACEBO", "PanelSimulator", "PlaceboSimulator", "placebo_matrix"]

PANEL = ("regression_cr1", "regression_cr2", "regression_cr3", "permutation")
PLACEBO = ("regression_cr1", "regression_cr2", "permutation")
PERMUTATIONS = 999
"""Reassignments in the reference set beside the one used."""


@dataclass(frozen=True, kw_only=True)
class PanelSimulator:
    """Simulator of a panel with AR(1) noise within LAs, normal; estimates are differences in means, risks or rates."""

    design: PanelDiD
    effect: float
    drift_sd: float
    analyses: tuple[str, ...]

    @property
    def truths(self) -> dict[str, float]:
        """Effect as a difference."""
        return dict.fromkeys(self.analyses, float(self.design.distance(self.effect)))

    def chunk(self, rng: np.random.Generator, reps: int) -> dict[str, ReplicateFits]:
        """Fits of so many replicates for each analysis."""
        T = self.design.treatment
        count, periods = T.shape
        values, vectors = np.linalg.eigh(self.design.covariance())
        root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None]
        y = np.einsum("kpq,rkq->rkp", root, rng.standard_normal((reps, count, periods)))
        y += self.drift_sd * rng.standard_normal(y.shape)
        y = (y + float(self.design.distance(self.effect)) * T).reshape(reps, -1)
        k, t = np.divmod(np.arange(T.size), periods)
        X = np.column_stack([T.ravel(), np.eye(count)[k], np.eye(periods)[t][:, 1:]])
        found = {}
        for name in self.analyses:
            if name == "permutation":
                found[name] = self._permuted(rng, y)
            else:
                found[name] = linear_robust(X, np.ones(T.size), k, kind=f"CR{name[-1]}").fit(y)
        return found

    def _permuted(self, rng: np.random.Generator, y: Array) -> ReplicateFits:
        """Treatment paths reassigned to the LAs at random."""
        T = self.design.treatment
        orders = np.array([np.arange(len(T)), *(rng.permutation(len(T)) for _ in range(PERMUTATIONS))])
        h = self.design._residual
        weights = h[orders].reshape(len(orders), -1) / (h**2).sum()
        return ranked(y @ weights.T, np.zeros(len(y), dtype=np.intp))


@dataclass(frozen=True, kw_only=True)
class PlaceboSimulator:
    """Placebo treatments of random LAs from a random period on.

    All treated LAs of a study start together, so two-way fixed effects are the difference between the arms of each LA's
    mean after less its mean before; clustered errors follow from those differences.
    """

    values: Array
    treated: int
    pre: int
    post: int
    effect: float
    scale: str
    analyses: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse a panel that is too small."""
        count, periods = self.values.shape
        if periods < self.pre + self.post:
            raise DesignError(
                f"the panel has {periods} periods, {self.pre} before and {self.post} after need {self.pre + self.post}",
                fix="ask for fewer periods",
            )
        if count < self.treated + 2:
            raise DesignError(
                f"the panel has {count} LAs, {self.treated} treated need at least {self.treated + 2}"
            )
        if self.treated < 2 and "regression_cr2" in self.analyses:
            raise DesignError("CR2 errors need two treated LAs", fix="analysis='permutation'")

    def _outcome(self) -> Any:
        return _Scale(1.0 if self.scale == "ratio" else 0.0)

    @property
    def truths(self) -> dict[str, float]:
        """The difference, or the mean difference that the ratio makes."""
        size = self.effect if self.scale == "difference" else (self.effect - 1.0) * float(self.values.mean())
        return dict.fromkeys(self.analyses, size)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know."""
        return ("Placebo treatments on the panel supplied: its noise, its LAs, its years.",)

    def describe(self) -> str:
        """The study in one line."""
        count, periods = self.values.shape
        return (
            f"placebo treatment of {self.treated} of {count} LAs, {self.pre} periods before and {self.post} after "
            f"among {periods}"
        )

    def chunk(self, rng: np.random.Generator, reps: int) -> dict[str, ReplicateFits]:
        """Fits of so many replicates for each analysis."""
        count, periods = self.values.shape
        width = self.pre + self.post
        start = rng.integers(periods - width + 1, size=reps)
        total = np.concatenate([np.zeros((count, 1)), np.cumsum(self.values, axis=1)], axis=1)
        before = (total[:, start + self.pre] - total[:, start]).T / self.pre
        after = (total[:, start + width] - total[:, start + self.pre]).T / self.post
        chosen = rng.permuted(np.tile(np.arange(count) < self.treated, (reps, 1)), axis=1)
        if self.scale == "difference":
            after = after + self.effect * chosen
        else:
            after = np.where(chosen, after * self.effect, after)
        gains = after - before
        return {name: self._fitted(name, rng, gains, chosen) for name in self.analyses}

    def _fitted(self, name: str, rng: np.random.Generator, gains: Array, chosen: Any) -> ReplicateFits:
        count, n = gains.shape[1], self.treated
        rest = count - n
        one = np.where(chosen, gains, 0.0).sum(axis=1) / n
        other = np.where(chosen, 0.0, gains).sum(axis=1) / rest
        estimate = one - other
        if name == "permutation":
            arms = np.array([rng.permutation(count) < n for _ in range(PERMUTATIONS)], dtype=float)
            statistics = gains @ (arms / n - (1.0 - arms) / rest).T
            return ranked(np.column_stack([estimate, statistics]), np.zeros(len(gains), dtype=np.intp))
        off = (gains - np.where(chosen, one[:, None], other[:, None])) ** 2
        parts = np.where(chosen, off, 0.0).sum(axis=1), np.where(chosen, 0.0, off).sum(axis=1)
        if name == "regression_cr1":
            variance = (parts[0] / n**2 + parts[1] / rest**2) * count / (count - 1.0)
            return ReplicateFits.wald(estimate, np.sqrt(variance), float(count - 1))
        variance = parts[0] / (n * (n - 1)) + parts[1] / (rest * (rest - 1))
        # Bell and McCaffrey's df for a difference of two means
        df = (1.0 / n + 1.0 / rest) ** 2 / (1.0 / (n**2 * (n - 1)) + 1.0 / (rest**2 * (rest - 1)))
        return ReplicateFits.wald(estimate, np.sqrt(variance), df)


@dataclass(frozen=True)
class _Scale:
    """The effect that is none."""

    null: float


def placebo_matrix(panel: Any, unit: str, time: str, outcome: str) -> Array:
    """The outcome as (LAs, periods)."""
    from wwc_eval.inference.frames import to_pandas

    frame = to_pandas(panel)
    lost = [name for name in (unit, time, outcome) if name not in frame.columns]
    if lost:
        raise DataError(f"the panel has no column '{lost[0]}'")
    if frame.duplicated([unit, time]).any():
        raise DataError(f"the panel has two rows of one {unit} and {time}", fix="keep one")
    wide = frame.pivot(index=unit, columns=time, values=outcome)
    if wide.isna().to_numpy().any():
        row, column = np.argwhere(wide.isna().to_numpy())[0]
        raise DataError(
            f"the panel has no outcome for {unit} {wide.index[row]!r} in {time} {wide.columns[column]!r}",
            fix="complete it, or leave the LA out",
        )
    return np.asarray(wide.to_numpy(dtype=float))
