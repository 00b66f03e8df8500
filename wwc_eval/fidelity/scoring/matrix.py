"""Cases and rating sheets by items: the mean over ratings of each cell, and where there is none, why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.fidelity.scoring.ratings import DROPPED, VALUE, Ratings
from wwc_eval.fidelity.scoring.ratings_checks import blank_in

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from wwc_eval.fidelity.specification.specification import FidelitySpecification

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Cells", "Matrix", "Places", "build_matrix"]


@dataclass(frozen=True, eq=False)
class Cells:
    """Rows by items: values in the items' own values, and whether each applies and has a value."""

    recorded: Floats
    valid: Bools
    applies: Bools

    def rows(self, which: Ints) -> Cells:
        """Some of the rows."""
        return Cells(self.recorded[which], self.valid[which], self.applies[which])


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """Units, and the unit of every level to which each case belongs.

    Parameters
    ----------
    names : tuple of str
        Units, the lowest first, by the specification's names.
    labels : mapping
        Unit: its labels, sorted.
    of_case : mapping
        Unit: position of the unit of each case.
    empty : mapping
        Unit: declared labels without any rating.
    """

    names: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    of_case: Mapping[str, Ints]
    empty: Mapping[str, tuple[str, ...]]

    @property
    def lowest(self) -> str:
        """The lowest unit, such as the case."""
        return self.names[0]

    @property
    def highest(self) -> str:
        """The highest unit, such as the local authority."""
        return self.names[-1]

    def above(self, unit: str) -> tuple[str, ...]:
        """Units above one, the next one first."""
        return self.names[self.names.index(unit) + 1 :]

    def parents(self, unit: str) -> dict[str, list[str | None]]:
        """Labels of the units above, for each unit of a level; None where it has no cases."""
        found: dict[str, list[str | None]] = {}
        own = self.of_case[unit]
        for above in self.above(unit):
            at = np.full(len(self.labels[unit]), -1, dtype=np.int64)
            at[own] = self.of_case[above]
            found[above] = [self.labels[above][code] if code >= 0 else None for code in at]
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Matrix:
    """Cases, and sheets: what one rater said of one case.

    Parameters
    ----------
    places : Places
        The units.
    cases : Cells
        Means over raters and respondents.
    sheets : Cells
        The same with each rater's own judgements in place of the means.
    sheet_case, sheet_rater : array of int
        Case and rater of each sheet.
    raters : tuple of str
        Labels of the raters.
    dates : array of datetime, optional
        First date of each case.
    arms : array, optional
        Arm of each case.
    """

    places: Places
    cases: Cells
    sheets: Cells
    sheet_case: Ints
    sheet_rater: Ints
    raters: tuple[str, ...]
    dates: Any
    arms: Any


def build_matrix(spec: FidelitySpecification, ratings: Ratings) -> Matrix:
    """Means of the ratings in every cell.

    Several ratings of one respondent are averaged first, then respondents by their weights.
    """
    frame = ratings.frame
    codes, places = _places(ratings)
    respondents, weights = _respondents(spec, frame)
    n, items = len(places.labels[places.lowest]), spec.document.items
    values, valid = np.full((n, len(items)), np.nan), np.zeros((n, len(items)), dtype=bool)
    applies = np.ones((n, len(items)), dtype=bool)
    counted = ratings.applies & (ratings.kind == VALUE)
    for j, item in enumerate(items):
        unit = places.names[spec.unit_place(item.id, dict(ratings.columns))]
        rows = ratings.item == j
        size = len(places.labels[unit])
        chosen = rows & counted
        mean = _mean(codes[unit][chosen], respondents[chosen], ratings.numbers[chosen], size=size, weights=weights)
        dropped = np.zeros(size, dtype=bool)
        dropped[codes[unit][rows & (ratings.kind == DROPPED)]] = True
        kept = np.zeros(size, dtype=bool)
        kept[codes[unit][rows & (ratings.kind != DROPPED)]] = True
        at = places.of_case[unit]
        values[:, j], valid[:, j] = mean[at], ~np.isnan(mean[at])
        applies[:, j] = ~(dropped & ~kept)[at]
    for j, truth in _conditions(spec, ratings, codes[places.lowest], n).items():
        applies[:, j] &= truth
    valid &= applies
    cases = Cells(values, valid, applies)
    sheets, sheet_case, sheet_rater, raters = _sheets(spec, ratings, codes[places.lowest], cases)
    return Matrix(
        places=places,
        cases=cases,
        sheets=sheets,
        sheet_case=sheet_case,
        sheet_rater=sheet_rater,
        raters=raters,
        dates=_first(frame, "date", codes[places.lowest], n),
        arms=_first(frame, spec.arm_column, codes[places.lowest], n),
    )


def _places(ratings: Ratings) -> tuple[dict[str, Ints], Places]:
    import pandas as pd

    names = tuple(ratings.columns)
    codes: dict[str, Ints] = {}
    labels: dict[str, tuple[str, ...]] = {}
    empty: dict[str, tuple[str, ...]] = {}
    for unit, column in ratings.columns.items():
        given = ratings.frame[column]
        texts = given.astype(object).map(str).where(~pd.Series(blank_in(given), index=given.index))
        code, found = pd.factorize(texts, sort=True)
        codes[unit], labels[unit] = np.asarray(code, dtype=np.int64), tuple(str(label) for label in found)
        declared = (
            [str(one) for one in given.cat.categories] if isinstance(given.dtype, pd.CategoricalDtype) else []
        )
        empty[unit] = tuple(label for label in declared if label not in set(labels[unit]))
    n = len(labels[names[0]])
    of_case = {names[0]: np.arange(n)}
    for unit in names[1:]:
        at = np.zeros(n, dtype=np.int64)
        seen = codes[names[0]] >= 0
        at[codes[names[0]][seen]] = codes[unit][seen]
        of_case[unit] = at
    return codes, Places(names=names, labels=labels, of_case=of_case, empty=empty)


def _respondents(spec: FidelitySpecification, frame: pd.DataFrame) -> tuple[Ints, Floats]:
    import pandas as pd

    declared = spec.document.spec.respondents
    if "respondent" not in frame.columns:
        return np.zeros(len(frame), dtype=np.int64), np.ones(1)
    code, found = pd.factorize(frame["respondent"].astype(object).map(str))
    weights = np.array([float(declared.get(str(name), 1)) for name in found])
    return np.asarray(code, dtype=np.int64), weights


def _mean(unit: Ints, respondent: Ints, values: Floats, *, size: int, weights: Floats) -> Floats:
    """Weighted mean over respondents of their own mean, for each unit; missing where there is none."""
    kinds = len(weights)
    at = unit * kinds + respondent
    count = np.bincount(at, minlength=size * kinds).reshape(size, kinds)
    total = np.bincount(at, values, minlength=size * kinds).reshape(size, kinds)
    share = weights * (count > 0)
    whole = share.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(count > 0, total / count, 0.0)
        found: Floats = np.where(whole > 0, (means * share).sum(axis=1) / whole, np.nan)
    return found


def _conditions(spec: FidelitySpecification, ratings: Ratings, case: Ints, n: int) -> dict[int, Any]:
    """Item: cases to which it applies."""
    import pandas as pd

    found: dict[int, Any] = {}
    seen = case >= 0
    for j, item in enumerate(spec.document.items):
        if item.id not in spec.conditions:
            continue
        columns = sorted(spec.condition_of(item.id))
        first = ratings.frame.loc[seen, columns].groupby(case[seen]).first().reindex(range(n))
        truth = spec.conditions[item.id].evaluate(pd.DataFrame(first))
        found[j] = truth.fillna(True).to_numpy(dtype=bool)
    return found


def _sheets(
    spec: FidelitySpecification, ratings: Ratings, case: Ints, cases: Cells
) -> tuple[Cells, Ints, Ints, tuple[str, ...]]:
    import pandas as pd

    items, frame = spec.document.items, ratings.frame
    n = len(cases.recorded)
    judged = np.array(
        [spec.judged(item.id) and spec.unit_place(item.id, dict(ratings.columns)) == 0 for item in items]
    )
    rows = judged[ratings.item] & ratings.applies & (ratings.kind == VALUE) & (case >= 0)
    if "rater" not in frame.columns or not rows.any():
        alone = np.arange(n)
        return cases, alone, np.full(n, -1, dtype=np.int64), ()
    code, found = pd.factorize(frame["rater"].astype(object).map(str)[rows], sort=True)
    raters = tuple(str(name) for name in found)
    keys, sheet = np.unique(case[rows] * len(raters) + code, return_inverse=True)
    of_case, of_rater = keys // len(raters), keys % len(raters)
    at = sheet * len(items) + ratings.item[rows]
    count = np.bincount(at, minlength=len(keys) * len(items)).reshape(len(keys), -1)
    total = np.bincount(at, ratings.numbers[rows], minlength=len(keys) * len(items)).reshape(len(keys), -1)
    base = cases.rows(of_case)
    values = np.where(count > 0, total / np.maximum(count, 1), base.recorded)
    # cases that no rater judged keep their one sheet, without a rater
    rest = np.setdiff1d(np.arange(n), of_case)
    sheets = Cells(
        np.vstack([values, cases.recorded[rest]]),
        np.vstack([base.valid, cases.valid[rest]]),
        np.vstack([base.applies, cases.applies[rest]]),
    )
    none = np.full(len(rest), -1, dtype=np.int64)
    return sheets, np.concatenate([of_case, rest]), np.concatenate([of_rater, none]), raters


def _first(frame: pd.DataFrame, column: str | None, case: Ints, n: int) -> Any:
    if column is None or column not in frame.columns:
        return None
    seen = case >= 0
    found = (
        frame.loc[seen, column].groupby(case[seen]).min()
        if column == "date"
        else (frame.loc[seen, column].groupby(case[seen]).first())
    )
    return found.reindex(range(n)).to_numpy()
