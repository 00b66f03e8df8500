"""An allocation: who got which arm, and everything that is true of the scheme that allocated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.chain import canonical_json
from wwc_eval.errors import DesignError, shown
from wwc_eval.randomisation.scheme import COUNTABLE, BoundScheme, Codes, Floats, Reference
from wwc_eval.randomisation.stream import ALGORITHM, seed_commitment
from wwc_eval.table import Grid, Rendered

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.data.samples.draws import Seed
    from wwc_eval.randomisation.arms import Arms
    from wwc_eval.randomisation.balance import Balance
    from wwc_eval.randomisation.predictability import Predictability
    from wwc_eval.randomisation.same_arm import SameArm
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
    stages : tuple of Allocation
        The stages of a staged enrolment, each with its own receipt; none where there was one draw.
    withdrawn : tuple of str
        Units that were allocated and are left out here.
    """

    bound: BoundScheme
    codes: Codes
    commitment: str
    alpha: float = 0.05
    algorithm: str = ALGORITHM
    stages: tuple[Allocation, ...] = ()
    withdrawn: tuple[str, ...] = ()

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
        try:
            columns["probability"] = self.probabilities[np.arange(self.n), self.codes]
        except DesignError:  # given those who withdrew from a large design it is not known exactly
            columns["probability"] = np.nan
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
        try:
            enough = self.smallest_p_value <= self.alpha
        except DesignError:  # too many to count are enough
            enough = True
        if enough:
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

        number = _draws(draws)
        if rng is None:
            raise DesignError("drawing from the reference set needs rng", fix="give a seed, such as rng=1")
        return self.bound.sample(number, generator(rng))

    @property
    def reference_probabilities(self) -> Floats | None:
        """Probability of each row of ``reference_set()``; None where all are equal."""
        return None if self.bound.uniform else self._reference.probabilities

    @cached_property
    def _reference(self) -> Reference:
        return self.bound.enumerate(50 * COUNTABLE)

    def balance(self, columns: str | Sequence[str], *, data: Any = None, size: str | None = None) -> Balance:
        """Balance of the arms: means or shares, standardised differences, variance ratios; ``.plot()`` is a love plot.

        Parameters
        ----------
        columns : str or sequence of str
            Numbers and true/false are compared by means, everything else by the shares of its categories.
        data : data frame, optional
            Where the columns are, one row a unit; the unit list where it is missing.
        size : str, optional
            Column of sizes by which units are weighted, such as the children of a team.

        Raises
        ------
        DesignError
            If a column is not there.
        DataError
            If a size is not above 0, or ``data`` lacks a unit.

        Examples
        --------
        >>> import pandas as pd, wwc_eval as we
        >>> teams = pd.DataFrame({"team": list("abcd"), "caseload": [14.0, 18.0, 15.0, 17.0]})
        >>> allocation = we.randomise(teams, unit="team", method=we.Complete(), seed="example")
        >>> allocation.balance("caseload").to_frame()["characteristic"].tolist()
        ['caseload']
        """
        from wwc_eval.randomisation.balance import balance_of

        return balance_of(self, columns, data=data, size=size)

    @cached_property
    def same_arm(self) -> SameArm:
        """Probability that two units share an arm, for every pair; exact, by formula or by going through all.

        Raises
        ------
        DesignError
            If there is no formula and there are too many allocations to go through (:meth:`sampled_same_arm`), or
            more units than a table of pairs can have.
        """
        from wwc_eval.randomisation.same_arm import SameArm, check_size

        check_size(self.n)
        try:
            pairs = self.bound.pairs()
        except DesignError:
            raise DesignError(
                "the scheme permits too many allocations to work out pairs exactly",
                fix="sample them: allocation.sampled_same_arm(draws=10_000, rng=1)",
            ) from None
        return SameArm(keys=self.units.keys, pairs=pairs)

    def sampled_same_arm(self, *, draws: int = 10_000, rng: Seed) -> SameArm:
        """Probability that two units share an arm from draws of the scheme, with its Monte Carlo error.

        Parameters
        ----------
        draws : int
            Allocations to draw.
        rng : int, Generator or SeedSequence
            Random numbers.
        """
        from wwc_eval.data.samples.draws import generator
        from wwc_eval.randomisation.same_arm import SameArm, check_size

        check_size(self.n)
        return SameArm(keys=self.units.keys, pairs=self.bound.pairs(_draws(draws), generator(rng)))

    def predictability(self, *, draws: int | None = None, rng: Seed | None = None) -> Predictability:
        """How well the next allocation could be foreseen, for schemes that allocate units one after another.

        Parameters
        ----------
        draws : int, optional
            Allocations of the scheme over which to take the mean; None looks at the allocation that was drawn.
        rng : int, Generator or SeedSequence, optional
            Needed with ``draws``.

        Raises
        ------
        DesignError
            If the scheme allocates all units at once, or ``draws`` comes without ``rng``.
        """
        from wwc_eval.randomisation.predictability import predictability_of

        codes = self.codes[None] if draws is None else self.reference_set(draws, rng)
        forecast = self.bound.forecast(codes)
        if forecast is None:
            raise DesignError(
                f"{self.scheme.kind.replace('_', ' ')} randomisation allocates all units at once: nothing is foreseen",
                fix="ask this of permuted blocks or minimisation",
            )
        return predictability_of(forecast, codes, self.probabilities, sampled=draws is not None)

    def enrol(self, units: Any, *, seed: str | bytes, method: Scheme | None = None) -> Allocation:
        """Allocate units that join later; earlier allocations stay as they are.

        Parameters
        ----------
        units : data frame
            The new units, with the columns of this allocation's unit list that the scheme reads.
        seed : str or bytes
            A seed of its own: one seed serves one draw.
        method : Scheme, optional
            How to allocate the new units; as before where it is missing. A minimisation goes on from the numbers
            reached so far; one that is given here starts anew.

        Returns
        -------
        Allocation
            Of all units, with ``stages``; each stage has a receipt of its own.

        Raises
        ------
        DesignError
            If the seed is that of an earlier stage, or the scheme cannot be met by the new units.
        DataError
            If a unit was allocated before.

        Examples
        --------
        >>> import pandas as pd, wwc_eval as we
        >>> first = pd.DataFrame({"team": ["T1", "T2", "T3", "T4"]})
        >>> later = pd.DataFrame({"team": ["T5", "T6"]})
        >>> allocation = we.randomise(first, unit="team", method=we.Complete(), seed="draw of March")
        >>> both = allocation.enrol(later, seed="draw of June")
        >>> both.n, both.n_permitted, len(both.stages)
        (6, 12, 2)
        """
        from wwc_eval.randomisation.later import enrol

        return enrol(self, units, seed=seed, method=method)

    def without(self, names: Sequence[Any]) -> Allocation:
        """The allocation of the units that stayed, given the arms of those who withdrew after it.

        ``reference_set`` then holds the allocations that agree with the drawn one on the withdrawn units (and, in
        block schemes, on the numbers in each block), so that a randomisation test of the others keeps its level
        as long as the arm did not decide who withdrew. The whole allocation serves the analysis of all units.

        Parameters
        ----------
        names : sequence
            Units that withdrew.

        Raises
        ------
        DesignError
            If a unit was not allocated, is named twice, or nobody is left.

        Examples
        --------
        >>> import pandas as pd, wwc_eval as we
        >>> teams = pd.DataFrame({"team": list("abcdef")})
        >>> allocation = we.randomise(teams, unit="team", method=we.Complete(), seed="example")
        >>> allocation.n_permitted, allocation.without(["a"]).n_permitted
        (20, 10)
        """
        from wwc_eval.randomisation.later import without

        return without(self, names)

    @property
    def receipt(self) -> dict[str, Any]:
        """Everything that somebody else needs to check the allocation, as JSON has it; the seed is not in it."""
        if self.stages or self.withdrawn:
            raise DesignError(
                "a receipt is of one draw",
                fix="use those of the stages, allocation.stages[0].receipt, or of the allocation before withdrawals",
            )
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


def _draws(draws: object) -> int:
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 1:
        raise DesignError(f"draws == {shown(draws)}, must be a whole number above 0")
    return int(draws)
