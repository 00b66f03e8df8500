"""Stratified randomisation: complete randomisation within strata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wwc_eval.errors import check_choice
from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.balanced import Balanced
from wwc_eval.randomisation.blocks import BoundBlocks
from wwc_eval.randomisation.checks import check_ratio, check_strata
from wwc_eval.randomisation.laws import CountLaw, Independent
from wwc_eval.randomisation.misfits import Global
from wwc_eval.randomisation.scheme import Scheme
from wwc_eval.randomisation.units import Units, names_of

__all__ = ["MISFITS", "Stratified"]

MISFITS: dict[str, type[CountLaw]] = {"balanced": Balanced, "within_stratum": Independent, "global": Global}


@dataclass(frozen=True, kw_only=True)
class Stratified(Scheme):
    """Complete randomisation within strata.

    Parameters
    ----------
    by : str or sequence of str
        Columns of the unit list; every combination of their values that occurs is a stratum.
    misfits : {"balanced", "within_stratum", "global"}
        What happens to units that are left over where the ratio does not divide a stratum's size. ``balanced``: each
        stratum, and the arms overall, stay within one unit of the ratio. ``within_stratum``: each stratum stays
        within one unit and is drawn on its own, so that overall the differences may add up. ``global``: the units
        beyond whole multiples of the ratio are drawn from each stratum at random and allocated together as if
        they were one, which keeps the arms overall within one unit but not each stratum. The last two are
        ``strata`` and ``global`` of Carril (2017), doi:10.1177/1536867X1701700307. Under each of them every
        unit's probability of an arm is exactly the arm's share.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> teams = pd.DataFrame({"team": list("abcdef"), "local_authority": ["Derby"] * 3 + ["Leeds"] * 3})
    >>> allocation = we.randomise(teams, unit="team", method=we.Stratified(by="local_authority"), seed="example")
    >>> allocation.table["arm"].value_counts().tolist()
    [3, 3]
    """

    by: str | Sequence[str]
    misfits: str = "balanced"

    kind = "stratified"

    def __post_init__(self) -> None:
        """Check the names and the rule."""
        object.__setattr__(self, "by", names_of("by", self.by))
        check_choice("misfits", self.misfits, tuple(MISFITS))

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Columns of the unit list that the scheme reads."""
        return tuple(self.by)

    def bind(self, units: Units, arms: Arms) -> BoundBlocks:
        """The scheme for these units and arms.

        Raises
        ------
        DesignError
            If a stratum has fewer units than there are arms, or the ratio leaves an arm without units.
        """
        strata = units.strata(self.columns)
        check_strata(strata, arms)
        check_ratio(units.n, arms)
        law = MISFITS[self.misfits](tuple(strata.sizes.tolist()), arms.ratio)
        return BoundBlocks(scheme=self, units=units, arms=arms, blocks=strata, law=law)
