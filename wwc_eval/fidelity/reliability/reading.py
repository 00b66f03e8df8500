"""A subjects x raters frame read into codes, numbers and clusters; every refusal says where and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DataError, DesignError, Place, did_you_mean, shown
from wwc_eval.inference.frames import to_pandas

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Floats", "Ints", "Ratings", "ratings_of_table", "read_numbers", "read_ratings"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
TABLE_SPAN = 4096
"""Whole numbers that span no more than this are coded through a table instead of a sort."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ratings:
    """Ratings of subjects by raters.

    Parameters
    ----------
    codes : ndarray of int, shape (n, R)
        Place of each rating among the categories; -1 where there is none. Subjects without any rating are left out.
    categories : tuple
        The categories in order.
    raters : tuple of str
        Names of the raters, one a column.
    ordered : bool
        Whether the order of the categories means something (numbers, an ordered factor, or declared).
    clusters : ndarray of int, shape (n,), optional
        Cluster of each subject.
    cluster : str, optional
        Name of the clusters.
    n_empty : int
        Subjects without any rating.
    """

    codes: Ints
    categories: tuple[Any, ...]
    raters: tuple[str, ...]
    ordered: bool
    clusters: Ints | None
    cluster: str | None
    n_empty: int

    @property
    def n(self) -> int:
        """Subjects with at least one rating."""
        return len(self.codes)

    @property
    def q(self) -> int:
        """Categories."""
        return len(self.categories)

    @cached_property
    def n_clusters(self) -> int:
        """Clusters that hold a rated subject."""
        return 0 if self.clusters is None else int(self.clusters.max(initial=-1)) + 1

    @cached_property
    def numbers(self) -> Floats | None:
        """The categories as numbers; None where they are words."""
        if any(isinstance(value, str) for value in self.categories):
            return None
        try:
            return np.array([float(value) for value in self.categories])
        except (TypeError, ValueError):
            return None

    @cached_property
    def counts(self) -> Floats:
        """How often each subject was put in each category (n, q)."""
        n, q = self.n, self.q
        flat = (self.codes + (np.arange(n) * (q + 1) + 1)[:, None]).ravel()  # column 0 takes the missing
        table = np.bincount(flat, minlength=n * (q + 1)).reshape(n, q + 1)
        return table[:, 1:].astype(float)

    @cached_property
    def r(self) -> Floats:
        """Ratings of each subject (n,)."""
        return np.asarray(self.counts.sum(axis=1))

    def keep(self, rows: NDArray[np.bool_]) -> Ratings:
        """Some of the subjects, with clusters numbered anew."""
        clusters = self.clusters
        if clusters is not None:
            clusters = np.unique(clusters[rows], return_inverse=True)[1]
        return Ratings(
            codes=self.codes[rows],
            categories=self.categories,
            raters=self.raters,
            ordered=self.ordered,
            clusters=clusters,
            cluster=self.cluster,
            n_empty=self.n_empty,
        )


def read_ratings(
    ratings: Any, *, categories: Sequence[Any] | None = None, cluster: str | Sequence[Any] | None = None
) -> Ratings:
    """Codes of a subjects x raters frame.

    Raises
    ------
    DataError
        If a rating is outside the declared categories or infinite, or a subject has no cluster.
    DesignError
        If the categories cannot be put in order and none are declared.
    """
    frame, clusters, name = _split(ratings, cluster)
    if frame.shape[1] == 0:
        raise DataError("the frame holds no rater", fix="give one column a rater, one row a subject")
    codes, found, ordered = _coded(frame, categories)
    # a product is several times as fast as a reduction along five columns
    rated = (codes >= 0).astype(float) @ np.ones(codes.shape[1]) > 0
    empty = len(codes) - int(np.count_nonzero(rated))
    groups = None
    if clusters is not None:
        groups = np.unique(clusters[rated], return_inverse=True)[1]
    return Ratings(
        codes=codes if empty == 0 else codes[rated],
        categories=found,
        raters=tuple(str(column) for column in frame.columns),
        ordered=ordered,
        clusters=groups,
        cluster=name,
        n_empty=empty,
    )


def read_numbers(
    ratings: Any, *, cluster: str | Sequence[Any] | None = None
) -> tuple[Floats, tuple[str, ...], Ints | None, str | None]:
    """Ratings as numbers (n, R) with NaN where there is none, names of the raters, clusters and their name.

    Raises
    ------
    DataError
        If a column holds words, or a rating is infinite.
    """
    frame, clusters, name = _split(ratings, cluster)
    table = frame.to_numpy()
    if table.dtype.kind != "f" and {dtype.kind for dtype in frame.dtypes} <= set("iufb"):
        table = frame.to_numpy(dtype=float, na_value=np.nan)
    if table.dtype.kind == "f":
        table = table.astype(float, copy=False)
        _refuse_infinite(table, frame)
        return table, tuple(map(str, frame.columns)), clusters, name
    columns = []
    for column in frame.columns:
        values = frame[column]
        if values.dtype.kind not in "iufb" and not _all_missing(values):
            converted = _as_numbers(values)
            if converted is None:
                first = next(value for value in values if isinstance(value, str) or not np.isscalar(value))
                raise DataError(
                    f"rater '{column}' holds {shown(first)}, not numbers",
                    place=Place(column=str(column)),
                    fix="declare the column as a number when it is read, or use agreement for categories",
                )
            columns.append(converted)
        else:
            columns.append(values.to_numpy(dtype=float, na_value=np.nan))
    table = np.column_stack(columns) if columns else np.empty((len(frame), 0))
    _refuse_infinite(table, frame)
    return table, tuple(str(column) for column in frame.columns), clusters, name


def ratings_of_table(table: Any, *, categories: Sequence[Any] | None = None) -> pd.DataFrame:
    """Ratings of two raters from their contingency table: one row a subject, columns ``rater_1`` and ``rater_2``.

    Parameters
    ----------
    table : array-like of int, shape (q, q)
        Subjects that rater 1 put in the row's category and rater 2 in the column's.
    categories : sequence, optional
        Names of the categories; 1, 2, ... where they are missing.

    Raises
    ------
    DataError
        If the table is not square or holds anything but counts.

    Examples
    --------
    >>> ratings_of_table([[2, 1], [0, 1]])["rater_2"].tolist()
    [1, 1, 2, 2]
    """
    import pandas as pd

    counts = np.asarray(table, dtype=float)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise DataError(f"the table has shape {counts.shape}, must be square", rule="both raters use one scale")
    if not (np.all(counts >= 0) and np.all(counts == np.floor(counts))):
        raise DataError("the table must hold counts", rule="whole numbers, none negative")
    names = np.array(list(categories) if categories is not None else range(1, len(counts) + 1))
    rows, columns = np.indices(counts.shape)
    times = counts.astype(int).ravel()
    return pd.DataFrame(
        {"rater_1": names[np.repeat(rows.ravel(), times)], "rater_2": names[np.repeat(columns.ravel(), times)]}
    )


def _split(ratings: Any, cluster: str | Sequence[Any] | None) -> tuple[pd.DataFrame, Ints | None, str | None]:
    """Frame of the raters alone, and the cluster of each row."""
    import pandas as pd

    if isinstance(ratings, np.ndarray | list | tuple):
        array = np.asarray(ratings, dtype=float if _numeric(ratings) else object)
        if array.ndim != 2:
            raise DataError(f"ratings have shape {array.shape}, must be subjects x raters")
        ratings = pd.DataFrame(array, columns=[f"rater_{k + 1}" for k in range(array.shape[1])])
    frame = to_pandas(ratings)
    if cluster is None:
        return _distinct(frame), None, None
    if isinstance(cluster, str):
        if cluster not in frame.columns:
            raise DataError(
                f"the ratings have no column '{cluster}'",
                place=Place(column=cluster),
                fix=did_you_mean(cluster, [str(name) for name in frame.columns]),
            )
        values, name = frame[cluster], cluster
        frame = frame.drop(columns=cluster)
    else:
        values, name = pd.Series(np.asarray(cluster)), "cluster"
        if len(values) != len(frame):
            raise DataError(
                f"cluster has {len(values):,} values, must be one for each of the {len(frame):,} subjects"
            )
    codes, _ = pd.factorize(values)
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise DataError(
            f"{len(missing):,} subjects have no '{name}'",
            place=Place(row=int(missing[0]) + 2, column=name),
            rule="errors clustered by local authority need the local authority of every subject",
            fix="fill it in, or leave these subjects out",
        )
    return _distinct(frame), np.asarray(codes, dtype=np.intp), name


def _distinct(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a name of its own for every rater."""
    if frame.columns.is_unique:
        return frame
    return frame.set_axis([f"{name} ({k + 1})" for k, name in enumerate(frame.columns)], axis=1)


def _numeric(values: Any) -> bool:
    try:
        np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        return False
    return True


def _all_missing(values: pd.Series) -> bool:
    return bool(values.isna().all())


def _as_numbers(values: pd.Series) -> Floats | None:
    """Numbers kept in a column of objects or of a categorical; None where one of them is text."""
    listed = values.astype(object)
    missing = listed.isna().to_numpy()
    found = np.full(len(listed), np.nan)
    for place in np.flatnonzero(~missing):
        value = listed.iloc[place]
        if isinstance(value, str):
            return None
        try:
            found[place] = float(value)
        except (TypeError, ValueError):
            return None
    return found


def _refuse_infinite(table: Floats, frame: pd.DataFrame) -> None:
    infinite = np.isinf(table)
    if infinite.any():
        bad = np.argwhere(infinite)
        row, column = (int(each) for each in bad[0])
        raise DataError(
            f"a rating is {table[row, column]:g} ({len(bad):,} such)",
            place=Place(row=row + 2, column=str(frame.columns[column])),
            rule="ratings are finite",
        )


def _coded(frame: pd.DataFrame, declared: Sequence[Any] | None) -> tuple[Ints, tuple[Any, ...], bool]:
    """Codes (n, R), categories, and whether their order means something."""
    if {dtype.kind for dtype in frame.dtypes} <= set("iufb"):
        table = frame.to_numpy(dtype=float, na_value=np.nan)
    else:
        columns = [
            frame[c].to_numpy(dtype=float, na_value=np.nan)
            if frame[c].dtype.kind in "iufb"
            else _as_numbers(frame[c])
            for c in frame.columns
        ]
        if any(column is None for column in columns):
            return _coded_words(frame, declared)
        table = np.column_stack([column for column in columns if column is not None])
    _refuse_infinite(table, frame)
    codes, found = _coded_numbers(table)
    if declared is None:
        return codes, tuple(int(v) if v == int(v) else float(v) for v in found), True
    return *_declared_codes(codes, [float(v) for v in found], list(declared), frame), True


def _coded_numbers(table: Floats) -> tuple[Ints, Floats]:
    """Codes of numbers, in ascending order of the values that occur."""
    missing = np.isnan(table)
    some = bool(missing.any())
    if not table.size or (some and missing.all()):
        return np.full(table.shape, -1, dtype=np.intp), np.empty(0)
    low, high = (float(each.reduce(table, axis=None)) for each in (np.fmin, np.fmax))
    if high - low < TABLE_SPAN and low == np.floor(low):
        whole = table - low
        if some:
            np.copyto(whole, -1.0, where=missing)
        places = whole.astype(np.intp)
        if np.array_equal(places, whole):
            present = np.bincount(places.ravel() + 1, minlength=int(high - low) + 2)[1:]
            used = np.flatnonzero(present)
            if len(used) < len(present):
                lookup = np.full(len(present) + 1, -1, dtype=np.intp)  # the last place stands for a missing one
                lookup[used] = np.arange(len(used))
                places = lookup[places]
            return places, used.astype(float) + low
    values = table[~missing]
    found, inverse = np.unique(values, return_inverse=True)
    codes = np.full(table.shape, -1, dtype=np.intp)
    codes[~missing] = inverse
    return codes, found


def _coded_words(frame: pd.DataFrame, declared: Sequence[Any] | None) -> tuple[Ints, tuple[Any, ...], bool]:
    import pandas as pd

    types = [frame[column].dtype for column in frame.columns]
    shared = [t for t in types if isinstance(t, pd.CategoricalDtype) and t.ordered]
    if declared is None and len(shared) == len(types) and all(t == shared[0] for t in shared):
        declared = list(shared[0].categories)
    flat = frame.astype(object).to_numpy().ravel()
    codes, found = pd.factorize(flat)
    codes = np.asarray(codes, dtype=np.intp).reshape(frame.shape)
    if declared is not None:
        return *_declared_codes(codes, list(found), list(declared), frame), True
    try:
        order = sorted(range(len(found)), key=lambda k: found[k])
    except TypeError:
        raise DesignError(
            "numbers and words stand among the ratings, so the categories have no order",
            fix="declare them: categories=[...]",
        ) from None
    places = np.empty(len(found) + 1, dtype=np.intp)
    places[order] = np.arange(len(found))
    places[-1] = -1
    return places[codes], tuple(found[k] for k in order), False


def _declared_codes(
    codes: Ints, found: list[Any], declared: list[Any], frame: pd.DataFrame
) -> tuple[Ints, tuple[Any, ...]]:
    if len(set(declared)) < len(declared):
        raise DesignError(f"categories == {shown(declared)}, names one of them twice")
    places = {value: k for k, value in enumerate(declared)}
    odd = [value for value in found if value not in places]
    if odd:
        row, column = (int(each) for each in np.argwhere(codes == found.index(odd[0]))[0])
        raise DataError(
            f"a rating is {shown(odd[0])}, which is not among the categories",
            place=Place(row=row + 2, column=str(frame.columns[column])),
            rule="categories: " + ", ".join(shown(value) for value in declared[:12]),
            fix="correct the rating, or add the category" + (f" ({len(odd)} such values)" if len(odd) > 1 else ""),
        )
    lookup = np.array([*(places[value] for value in found), -1], dtype=np.intp)
    return lookup[codes], tuple(declared)
