"""Clusters of the rows used: read from a column or an array, and counted on each side of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DataError, Place, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Clusters", "read_clusters"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clusters:
    """Cluster of each row used.

    Parameters
    ----------
    name : str
        Column that holds them.
    codes : ndarray of int, shape (n,)
        One code a cluster.
    """

    name: str
    codes: NDArray[np.intp]

    @classmethod
    def from_values(cls, name: str, values: Any) -> Clusters:
        """Clusters from any values; a row without a value has code -1."""
        import pandas as pd

        codes, _ = pd.factorize(values)
        return cls(name=name, codes=np.asarray(codes, dtype=np.intp))

    def count(self, rows: NDArray[np.bool_]) -> int:
        """Clusters with at least one of some rows."""
        return int(np.count_nonzero(np.bincount(self.codes[rows])))

    def fewest_sides(self, column: NDArray[np.float64]) -> int | None:
        """Clusters on the smaller side of a two-valued column; None for any other column."""
        low, high = float(column.min()), float(column.max())
        top = column == high
        if low == high or not np.all(top | (column == low)):
            return None
        return min(self.count(top), self.count(~top))


def read_clusters(source: pd.DataFrame, rows: NDArray[np.intp], cluster: str | Sequence[Any]) -> Clusters:
    """Clusters of the rows used, from a column of the data or an array in their order.

    Raises
    ------
    DataError
        If there is no such column, the array has another length, or a row used has no cluster.
    """
    if isinstance(cluster, str):
        if cluster not in source.columns:
            raise DataError(
                f"the data have no column '{cluster}'",
                place=Place(column=cluster),
                fix=did_you_mean(cluster, [str(name) for name in source.columns]),
            )
        found = Clusters.from_values(cluster, source[cluster].iloc[rows])
    else:
        array = np.asarray(cluster)
        if array.shape != (len(source),):
            raise DataError(
                f"cluster has shape {array.shape}, must be one value for each of {len(source):,} rows",
                fix="give the name of a column, or an array in the order of the data",
            )
        found = Clusters.from_values("(cluster)", array[rows])
    missing = int((found.codes < 0).sum())
    if missing:
        raise DataError(
            f"{missing:,} of the rows used have no '{found.name}'",
            place=Place(column=found.name),
            fix="other errors must not change the sample: give cluster= when fitting, which drops those rows",
        )
    return found
