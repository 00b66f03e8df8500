"""An allocation: who got which arm, and everything that is true of the scheme that allocated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.chain import canonical_json
from wwc_eval.errors import DesignError
from wwc_eval.randomisation.scheme import COUNTABLE, BoundScheme, Codes, Floats, Reference
from wwc_eval.randomisation.stream import ALGORITHM, seed_commitment
from wwc_eval.table import Grid, Rendered

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.data.samples.draws import Seed
    from wwc_eval.randomisation.arms import Arms
    from wwc_eval.randomisation.scheme import Scheme
    from wwc_eval.randomisation.units import Units

__all__ = ["Allocation"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Allocation(Rendered):
    """Who got which arm. The seed is not kept: only its commitment is.

    Parameters
    ----------
    bound : BoundScheme
        The scheme bound to units and arms; it describes the law of the draw.
    codes : (n,) array of int8
        Index of the arm (or sequence) of each unit, in canonical order, which is the order of ``table``.
    commitment : str
        SHA-256 that binds seed, scheme, arms and unit list.
    alpha : float
        Two-sided level of the planned test.
    algorithm : str
        Version of everything that decides an allocation.
    """

    bound: BoundScheme
    codes: Codes
    commitment: str
    alpha: float = 0.05
    algorithm: str = ALGORITHM

    @classmethod
    def of(cls, bound: BoundScheme, codes: Codes, *, seed: str | bytes, alpha: float) -> Allocation:
        """An allocation as drawn, with the commitment to its seed."""
        codes.setflags(write=False)
        content = canonical_json(
            {
                "algorithm": ALGORITHM,
                "scheme": bound.scheme.canonical(),
                "arms": bound.arms.canonical(),
                "units": bound.units.sha256(bound.scheme.columns),
            }
        )
        return cls(
            bound=bound, codes=codes, commitment=seed_commitment(seed, content.encode("utf-8")), alpha=alpha
        )

    @property
    def scheme(self) -> Scheme:
        """The scheme, with every choice that depended on the units filled in."""
        return self.bound.scheme

    @property
    def units(self) -> Units:
        """The units in canonical order."""
        return self.bound.units

    @property
    def unit(self) -> str:
        """Column that identifies a unit."""
        return self.units.name

    @property
    def arms(self) -> Arms:
        """Arms and ratio."""
        return self.bound.arms

    @property
    def labels(self) -> tuple[Any, ...]:
        """What the indices mean: names of the arms, or the sequences of a stepped wedge."""
        return self.bound.labels

    @property
    def n(self) -> int:
        """Number of units."""
        return self.units.n

    @cached_property
    def _table(self) -> pd.DataFrame:
        import pandas as pd

        columns: dict[str, Any] = {self.unit: self.units.frame[self.unit].array}
        if self.bound.strata is not None:
            columns["stratum"] = list(self.bound.strata)
        columns[self.bound.column] = pd.Categorical.from_codes(
            self.codes.astype(np.intp), categories=pd.Index(self.labels), ordered=True
        )
        columns |= self.bound.extra_columns(self.codes)
        columns["probability"] = self.bound.probabilities()[np.arange(self.n), self.codes]
        return pd.DataFrame(columns)

    @property
    def table(self) -> pd.DataFrame:
        """One row a unit in canonical order: unit, stratum, arm or sequence, probability of what the unit got."""
        return self._table.copy()

    @cached_property
    def probabilities(self) -> Floats:
        """Exact probability of each arm (or sequence) for each unit, shape (n, k)."""
        return self.bound.probabilities()

    @cached_property
    def n_permitted(self) -> int:
        """Number of allocations that the scheme permits, exactly."""
        return self.bound.count

    @cached_property
    def smallest_p_value(self) -> float:
        """Smallest p-value that a two-sided randomisation test can give, mirror images counted."""
        return self.bound.smallest_p_value()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the evaluator should know before going on."""
        if self.smallest_p_value <= self.alpha:
            return self.bound.warnings
        text = (
            f"no randomisation test of this design can reach p < {self.alpha:g}: the smallest two-sided p-value is "
            f"{self.smallest_p_value:.3f}. Plan other inference, or a design that permits more allocations."
        )
        return (*self.bound.warnings, text)

    @cached_property
    def hash(self) -> str:
        """SHA-256, in hexadecimal, of the canonical JSON of unit names and what each got."""
        pairs = [
            [key, str(self.labels[code])] for key, code in zip(self.units.keys, self.codes.tolist(), strict=True)
        ]
        return hashlib.sha256(canonical_json(pairs).encode("utf-8")).hexdigest()

    def reference_set(self, draws: int | None = None, rng: Seed | None = None) -> Codes:
        """Allocations that the scheme permits: all of them, or independent draws of the same scheme.

        Parameters
        ----------
        draws : int, optional
            Allocations to draw, each with the probability that the scheme gives it; None lists all of them once.
        rng : int, Generator or SeedSequence, optional
            Needed with ``draws``.

        Returns
        -------
        (allocations, n) array of int8
            Index of the arm of each unit in the order of ``table``.

        Raises
        ------
        DesignError
            If there are too many to list, or ``draws`` comes without ``rng``.
        """
        if draws is None:
            return self._reference.allocations
        from wwc_eval.data.samples.draws import generator

        if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 1:
            raise DesignError(f"draws == {draws!r}, must be a whole number above 0")
        if rng is None:
            raise DesignError("drawing from the reference set needs rng", fix="give a seed, such as rng=1")
        return self.bound.sample(int(draws), generator(rng))

    @property
    def reference_probabilities(self) -> Floats | None:
        """Probability of each row of ``reference_set()``; None where all are equal."""
        return None if self.bound.uniform else self._reference.probabilities

    @cached_property
    def _reference(self) -> Reference:
        return self.bound.enumerate(50 * COUNTABLE)

    @property
    def receipt(self) -> dict[str, Any]:
        """Everything that somebody else needs to check the allocation, as JSON has it; the seed is not in it."""
        from wwc_eval.randomisation.receipt import receipt_of

        receipt: dict[str, Any] = receipt_of(self)
        return receipt

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of ``table`` as raw values."""
        return [{str(key): value for key, value in row.items()} for row in self._table.to_dict("records")]

    def to_frame(self) -> pd.DataFrame:
        """The table of the allocation."""
        return self.table

    def _grid(self) -> Grid:
        from wwc_eval.randomisation.rendering import allocation_grid

        return allocation_grid(self)

    def _title(self) -> str:
        from wwc_eval.randomisation.rendering import allocation_title

        return allocation_title(self)

    def _notes(self) -> Sequence[str]:  # type: ignore[override]
        from wwc_eval.randomisation.rendering import allocation_notes

        return allocation_notes(self)
