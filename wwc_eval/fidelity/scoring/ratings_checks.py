"""What ratings must be before they are scored: every fault with its row, column, value, rule and fix."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import Place, Problem, did_you_mean, shown

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from wwc_eval.fidelity.specification.specification import FidelitySpecification

    Bools = NDArray[np.bool_]

__all__ = [
    "Faults",
    "column_problems",
    "odd_rows",
    "twin_problems",
    "unit_problems",
    "value_problems",
    "version_problems",
    "who_problems",
]

SHOWN_ROWS = 200
"""Rows of one fault that are named one by one."""
VERSION = "specification_version"
"""Column that says which version of the specification a rating was made under; nothing is asked where it is missing."""
LISTED_ROWS = 5
"""Rows of one value that are listed where values contradict each other."""


class Faults:
    """Collects problems of one table of ratings."""

    def __init__(self, file: str | None) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def add(
        self, code: str, message: str, *, row: int | None = None, column: str | None = None, **rest: Any
    ) -> None:
        """One problem; ``row`` counts from 0."""
        if "value" in rest:
            rest["value"] = shown(rest["value"])
        place = Place(file=self.file, row=None if row is None else row + 2, column=column)
        self.problems.append(Problem(code=code, message=message, place=place, **rest))

    def rows(self, mask: Bools) -> Iterator[int]:
        """Rows of a mask, at most so many that a reader can work through them; the last problem says how many more there are."""
        found = np.flatnonzero(mask)
        yield from (int(row) for row in found[:SHOWN_ROWS])
        more = len(found) - SHOWN_ROWS
        if more > 0:
            last = self.problems[-1]
            told = f"{last.message}; so are {more:,} rows more, which are not listed"
            self.problems[-1] = replace(last, message=told)


def column_problems(
    faults: Faults, spec: FidelitySpecification, frame: pd.DataFrame, columns: dict[str, str]
) -> None:
    """Columns that are missing or stand twice (R01), and tables without rows (R02)."""
    names = [str(name) for name in frame.columns]
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.add("R01", f"there are {names.count(name)} columns '{name}'", column=name, fix="keep one")
    needed = {**columns, "item": "item", "value": "value"}
    if any(item.respondents for item in spec.document.items):
        needed["respondent"] = "respondent"
    for what, column in needed.items():
        if column not in names:
            word = f"unit '{what}'" if what in columns else what
            faults.add(
                "R01", f"there is no column '{column}' ({word})", column=column, fix=did_you_mean(column, names)
            )
    for item in spec.document.items:
        for column in sorted(spec.condition_of(item.id)):
            if column not in names:
                message = f"there is no column '{column}', which says whether item '{item.id}' applies"
                faults.add("R01", message, column=column, fix=did_you_mean(column, names))
    if not len(frame):
        faults.add("R02", "there are no ratings", fix="check the file and its filters")


def unit_problems(
    faults: Faults, frame: pd.DataFrame, columns: dict[str, str], lowest_of: NDArray[np.int64]
) -> None:
    """Units that are blank (R03), or that belong to two units (R04).

    ``lowest_of`` is the position of the lowest unit that each row needs; -1 where the item is unknown.
    """
    names = list(columns.values())
    for place, name in enumerate(names):
        blank = blank_in(frame[name]) & (place >= lowest_of) & (lowest_of >= 0)
        for row in faults.rows(blank):
            faults.add("R03", f"no {name} is given", row=row, column=name, fix="say which unit was rated")
    for child, parent in itertools.pairwise(names):
        pairs = frame[[child, parent]].loc[~blank_in(frame[child]) & ~blank_in(frame[parent])]
        distinct = pairs.drop_duplicates()
        torn = distinct.loc[distinct[child].duplicated(keep=False), child].drop_duplicates()
        for value in torn.iloc[:SHOWN_ROWS]:
            where, rows = odd_rows(pairs.loc[pairs[child] == value, parent])
            listed = ", ".join(sorted(str(one) for one in pairs.loc[pairs[child] == value, parent].unique()))
            faults.add(
                "R04",
                f"{child} {value} belongs to more than one {parent}: {listed}",
                row=where,
                column=parent,
                rule=f"one {parent} for each {child}; {rows}",
                fix=f"correct the rows, or give each {child} an identifier of its own",
            )


def twin_problems(faults: Faults, frame: pd.DataFrame, columns: list[str]) -> None:
    """Names of units or raters that differ by case or blanks alone (R14): one of them would count as two."""
    for column in columns:
        known = frame.loc[~blank_in(frame[column]), column].astype(object).map(str)
        names = known.drop_duplicates()
        plain = names.str.split().str.join(" ").str.casefold()
        for _, twins in names.groupby(plain, sort=False):
            if len(twins) < 2:
                continue
            first, rows = odd_rows(known[known.isin(set(twins))])
            listed = " and ".join(shown(str(name)) for name in twins)
            faults.add(
                "R14",
                f"{column} {listed} are the same but for case or blanks",
                row=first,
                column=column,
                rule=f"one name each; {rows}",
                fix="write it the same way in all rows",
            )


def odd_rows(given: pd.Series[Any]) -> tuple[int, str]:
    """First row whose value is not the most frequent one (of several, that which stands first), and all rows by value, in words.

    Rows are positions in the index, and are counted as a spreadsheet does in words.
    """
    rows = {value: [int(row) for row in given.index[(given == value).to_numpy()]] for value in given.unique()}
    most = max(rows.values(), key=len)
    first = min(row for those in rows.values() if those is not most for row in those)
    told = [
        f"{value} in row{'s' if len(those) > 1 else ''} {', '.join(str(row + 2) for row in those[:LISTED_ROWS])}"
        + (f" and {len(those) - LISTED_ROWS:,} more" if len(those) > LISTED_ROWS else "")
        for value, those in sorted(rows.items(), key=lambda pair: len(pair[1]))
    ]
    return first, "; ".join(told)


def value_problems(
    faults: Faults,
    spec: FidelitySpecification,
    items: list[str | None],
    *,
    values: list[Any],
    numbers: NDArray[np.float64],
    kinds: NDArray[np.object_],
) -> None:
    """Values that are blank or no number (R06), or off their scale (R07)."""
    names = np.array([name or "" for name in items], dtype=object)
    for row in faults.rows(kinds == "blank"):
        codes = ", ".join(f"'{code}'" for code in spec.codes_of(items[row]))
        fix = f"give a value, or one of {codes}; pandas reads NA as blank, we.read_table does not"
        faults.add("R06", "the value is blank", row=row, column="value", fix=fix)
    for row in faults.rows(kinds == "unread"):
        codes = ", ".join(f"'{code}'" for code in spec.codes_of(items[row]))
        message = "the value is neither a number nor a code"
        faults.add("R06", message, row=row, column="value", value=values[row], rule=f"codes: {codes}")
    for item in spec.document.items:
        mask = (names == item.id) & (kinds == "value")
        off = np.zeros(len(names), dtype=bool)
        off[mask] = ~item.scale.allows(numbers[mask])
        for row in faults.rows(off):
            faults.add(
                "R07",
                f"the value is not on the scale of item '{item.id}'",
                row=row,
                column="value",
                value=values[row],
                rule=item.scale.rule,
            )


def who_problems(
    faults: Faults, spec: FidelitySpecification, frame: pd.DataFrame, items: list[str | None]
) -> None:
    """Raters that are blank (R09), respondents that do not answer an item (R10), and ratings given twice (R08)."""
    names = np.array([name or "" for name in items], dtype=object)
    if "rater" in frame.columns:
        judged = np.isin(names, [item.id for item in spec.document.items if spec.judged(item.id)])
        for row in faults.rows(blank_in(frame["rater"]) & judged):
            faults.add("R09", "no rater is given", row=row, column="rater", fix="say who judged it")
    if "respondent" not in frame.columns:
        return
    given = frame["respondent"].astype(object).to_numpy()
    blank = blank_in(frame["respondent"])
    for item in spec.document.items:
        if not item.respondents:
            continue
        mask = names == item.id
        for row in faults.rows(mask & blank):
            faults.add("R10", f"item '{item.id}' has no respondent", row=row, column="respondent")
        wrong = mask & ~blank & ~np.isin(given.astype(str), item.respondents)
        for row in faults.rows(wrong):
            faults.add(
                "R10",
                f"item '{item.id}' is not answered by '{given[row]}'",
                row=row,
                column="respondent",
                fix=did_you_mean(str(given[row]), item.respondents),
            )


def duplicate_problems(faults: Faults, keys: pd.DataFrame) -> None:
    """The same item of the same unit rated twice by one rater on one day (R08)."""
    again = keys.duplicated(keep="first").to_numpy()
    known = "rater" in keys.columns
    who = " by the same rater" if known else ", and there is no column 'rater'"
    fix = "keep one, or give the dates" if known else "say who rated in a column 'rater', or keep one"
    codes = keys.groupby(list(keys.columns), sort=False, dropna=False).ngroup().to_numpy()
    _, first = np.unique(codes, return_index=True)
    for row in faults.rows(again):
        faults.add(
            "R08",
            f"item '{keys['item'].iloc[row]}' of {keys['unit'].iloc[row]} is rated twice{who}",
            row=row,
            rule=f"first in row {int(first[codes[row]]) + 2}",
            fix=fix,
        )


def version_problems(faults: Faults, spec: FidelitySpecification, frame: pd.DataFrame) -> None:
    """Ratings that say they were made under another version of the specification (R16)."""
    if VERSION not in frame.columns:
        return
    given = frame[VERSION].astype(object).map(str)
    other = (given != spec.version).to_numpy() & ~blank_in(frame[VERSION])
    for version in given[other].drop_duplicates():
        rows = np.flatnonzero(other & (given == version).to_numpy())
        faults.add(
            "R16",
            f"{len(rows):,} rating{'s' if len(rows) > 1 else ''} made under version {version}, and the specification is "
            f"{spec.id} {spec.version}",
            row=int(rows[0]),
            column=VERSION,
            rule="ratings are scored under the version that they were made with",
            fix="score each wave under its own version, and join them by scores.over_time(earlier=[...]), which compares what "
            "both versions define alike",
        )


def blank_in(column: pd.Series[Any]) -> Bools:
    """Which cells are missing or empty text."""
    missing: Bools = column.isna().to_numpy(dtype=bool).copy()
    if column.dtype == object or str(column.dtype) in {"str", "string", "category"}:
        missing |= (column.astype(object).astype(str).str.strip() == "").to_numpy(dtype=bool)
    return missing
