"""The verb of this room: allocate units to arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wwc_eval.errors import DesignError, check_number, shown
from wwc_eval.randomisation.allocation import Allocation
from wwc_eval.randomisation.arms import Arms, read_arms
from wwc_eval.randomisation.scheme import Scheme
from wwc_eval.randomisation.stream import ALGORITHM, Stream, seed_bytes
from wwc_eval.randomisation.units import read_units

__all__ = ["randomise"]


def randomise(
    units: Any,
    *,
    unit: str,
    arms: Sequence[str] | Mapping[str, int] | Arms = ("control", "programme"),
    method: Scheme,
    seed: str | bytes,
    alpha: float = 0.05,
) -> Allocation:
    """Allocate units to arms by a scheme and a seed, so that anybody can derive the same allocation again.

    The allocation is a function of the units' names, the columns that the scheme reads, arms, scheme and seed: row
    order, types of the columns, computer, and versions of Python and of libraries make no difference.

    Parameters
    ----------
    units : data frame
        One row for each unit to allocate; pandas, polars or pyarrow.
    unit : str
        Column that identifies a unit.
    arms : sequence of str, or mapping of str to int
        Arms in order, the reference first, with equal shares or with a whole-number ratio.
    method : Scheme
        How to allocate: ``we.Simple()``, ``we.Complete()``, ``we.Stratified(by=...)`` and so on.
    seed : str or bytes
        Chosen by somebody, kept, and used for one allocation only. There is no default.
    alpha : float
        Two-sided level of the planned test; the allocation warns where no randomisation test can reach it.

    Returns
    -------
    Allocation
        The table of the allocation, and everything that is true of the scheme.

    Raises
    ------
    DesignError
        If a column is not there, the scheme cannot be met by these units and arms, or there is no proper seed.
        Nothing has been allocated then.
    DataError
        If units are missing, repeated or unusable, or columns of the scheme have gaps.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> teams = pd.DataFrame({"team": ["T1", "T2", "T3", "T4"], "local_authority": ["Derby", "Derby", "Leeds", "Leeds"]})
    >>> method = we.Stratified(by="local_authority")
    >>> allocation = we.randomise(teams, unit="team", method=method, seed="2026-03-01 public draw")
    >>> allocation.n_permitted
    4
    """
    if not isinstance(method, Scheme):
        raise DesignError(
            f"method == {shown(method)}, must be a scheme", fix='write method=we.Stratified(by="local_authority")'
        )
    seed_bytes(seed)
    check_number("alpha", alpha, above=0, below=1)
    listed = read_units(units, unit, method.columns)
    bound = method.bind(listed, read_arms(arms))
    codes = bound.draw(Stream(seed, ALGORITHM))
    return Allocation.of(bound, codes, seed=seed, alpha=alpha)
