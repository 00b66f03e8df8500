"""What a simulated analysis hands back: one estimate with its inference for every replicate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from wwc_eval.power.simulation.small_matrices import Array, Flags, Index

__all__ = ["ReplicateFits", "two_sided"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReplicateFits:
    """The treatment effect of every replicate.

    Parameters
    ----------
    estimate, se, df, p_value : (R,) arrays
        Estimate, standard error, degrees of freedom (infinite for the normal distribution) and two-sided p-value; missing
        where an analysis has none (a randomisation test has no standard error).
    boundary, failed : (R,) bool arrays
        Whether a variance was estimated as zero, and whether there is no fit.
    """

    estimate: Array
    se: Array
    df: Array
    p_value: Array
    boundary: Flags
    failed: Flags

    @classmethod
    def wald(
        cls,
        estimate: Array,
        se: Array,
        df: Array | float,
        *,
        boundary: Flags | None = None,
        failed: Flags | None = None,
    ) -> ReplicateFits:
        """Fits tested by ``estimate / se`` against Student's t, or the normal distribution for infinite df."""
        none = np.zeros(len(estimate), dtype=bool)
        lost = ~(np.isfinite(estimate) & np.isfinite(se) & (se > 0))
        lost = lost if failed is None else lost | failed
        spread = np.broadcast_to(np.asarray(df, dtype=float), estimate.shape).copy()
        hidden = np.where(lost, np.nan, 1.0)
        return cls(
            estimate=estimate * hidden,
            se=se * hidden,
            df=np.where(lost, np.nan, spread),
            p_value=two_sided(estimate, se, spread) * hidden,
            boundary=none if boundary is None else boundary & ~lost,
            failed=lost,
        )

    @classmethod
    def joined(cls, parts: Sequence[ReplicateFits]) -> ReplicateFits:
        """Parts one after the other."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def take(self, which: Index) -> ReplicateFits:
        """Some of the replicates, in the order asked for."""
        return ReplicateFits(**{f.name: getattr(self, f.name)[which] for f in fields(ReplicateFits)})

    def __len__(self) -> int:
        """Number of replicates."""
        return len(self.estimate)


def two_sided(estimate: Array, se: Array, df: Array) -> Array:
    """Two-sided p-value of ``estimate / se`` with df degrees of freedom."""
    from scipy import special

    with np.errstate(divide="ignore", invalid="ignore"):
        t = -np.abs(estimate / se)
        normal = np.isinf(df)
        return np.asarray(2.0 * np.where(normal, special.ndtr(t), special.stdtr(np.where(normal, 1.0, df), t)))
