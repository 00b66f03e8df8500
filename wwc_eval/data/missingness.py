"""Missing values by variable and arm, and by local authority."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DataError, Place
from wwc_eval.table import Column, Table, format_count, format_percent

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from wwc_eval.data.counts import Cell, Counts, Key, Protected
    from wwc_eval.data.disclosure import DisclosureRule

__all__ = ["Missingness", "missingness_table"]


@dataclass(frozen=True, kw_only=True)
class Missingness:
    """Numbers of missing values as counted, before small counts are hidden.

    ``by_arm`` and ``by_place`` hold the rows without a value by variable and arm, and by variable and place;
    ``counts`` go to :func:`wwc_eval.data.counts.protect` with those of the other tables.
    """

    arms: tuple[str, ...]
    n: Mapping[str, int]
    by: str | None
    places: Mapping[str, int]
    labels: Mapping[str, str]
    by_arm: Mapping[str, Mapping[str, int]]
    by_place: Mapping[str, Mapping[str, int]]
    row_words: str = "people"

    @property
    def counts(self) -> Counts:
        """Every count with its sums: group = present + missing, and all missing = sum over arms = sum over places."""
        from wwc_eval.data.counts import Cell, Counts

        cells = [Cell(key=("rows", "allocated", arm), value=self.n[arm], size=True) for arm in self.arms]
        cells.append(Cell(key=("rows", "allocated"), value=sum(self.n.values()), size=True, weight=3.0))
        sums: list[Any] = [(("rows", "allocated"), [("rows", "allocated", arm) for arm in self.arms])]
        cells += [Cell(key=("rows", "by", self.by, place), value=n, size=True) for place, n in self.places.items()]
        if self.places:
            sums.append((("rows", "allocated"), [("rows", "by", self.by, place) for place in self.places]))
        for name, arms in self.by_arm.items():
            total = ("rows", "missing", name)
            cells.append(Cell(key=total, value=sum(arms.values()), plain_zero=True))
            sums.append((total, [(*total, arm) for arm in arms]))
            for arm, missing in arms.items():
                cells += self._group((*total, arm), missing, ("rows", "present", name, arm), self.n[arm])
                sums.append((("rows", "allocated", arm), [(*total, arm), ("rows", "present", name, arm)]))
            if self.by is None:
                continue
            sums.append((total, [(*total, "by", self.by, place) for place in self.places]))
            for place, n in self.places.items():
                present = ("rows", "present", name, "by", self.by, place)
                cells += self._group((*total, "by", self.by, place), self.by_place[name][place], present, n)
                sums.append((("rows", "by", self.by, place), [(*total, "by", self.by, place), present]))
        return Counts(cells, sums)

    @staticmethod
    def _group(missing: tuple[str, ...], value: int, present: tuple[str, ...], n: int) -> list[Cell]:
        from wwc_eval.data.counts import Cell

        return [
            Cell(key=missing, value=value, plain_zero=True),
            Cell(key=present, value=n - value, plain_zero=True, shown=False),
        ]

    def tables(self, by: DisclosureRule | Protected) -> tuple[Table, ...]:
        """The table by arm and, where places were given and anything is missing, the one by place.

        Parameters
        ----------
        by : DisclosureRule or Protected
            A rule, for tables that stand alone; or what was decided for the whole report.
        """
        from wwc_eval.data.counts import as_protected

        protected = as_protected(by, self.counts)
        tables = [self._by_arm(protected)]
        if self.by is not None and any(sum(arms.values()) for arms in self.by_arm.values()):
            tables.append(self._by_place(protected))
        return tuple(tables)

    def to_dicts(self, by: DisclosureRule | Protected) -> list[dict[str, Any]]:
        """One row for each variable and arm or place: count, group size and share, or text for what is hidden."""
        from wwc_eval.data.counts import as_protected

        protected = as_protected(by, self.counts)
        rows = []
        for name in self.by_arm:
            key = ("rows", "missing", name)
            groups: list[tuple[str, str, Key, Key]] = [
                ("arm", arm, (*key, arm), ("rows", "allocated", arm)) for arm in self.arms
            ]
            groups += [
                (str(self.by), place, (*key, "by", self.by, place), ("rows", "by", self.by, place))
                for place in self.places
            ]
            for of, group, count, size in groups:
                missing, n = protected[count], protected[size]
                rows.append(
                    {
                        "variable": name,
                        "by": of,
                        "group": group,
                        "missing": missing,
                        "n": n,
                        "proportion": _share(missing, n, protected),
                    }
                )
        return rows

    def _by_arm(self, protected: Protected) -> Table:
        sizes = {arm: _text(protected["rows", "allocated", arm]) for arm in self.arms}
        columns = [
            Column(name="variable"),
            *(Column(name=f"missing_{arm}", label=f"{arm} (n = {sizes[arm]})", kind="count") for arm in self.arms),
            Column(name="missing_all", label="all", kind="count"),
        ]
        rows = []
        for name in self.by_arm:
            key, everybody = ("rows", "missing", name), ("rows", "allocated")
            row = {
                f"missing_{arm}": _cell(protected[*key, arm], protected[*everybody, arm], protected)
                for arm in self.arms
            }
            total = _cell(protected[key], protected[everybody], protected)
            rows.append({"variable": self.labels[name], **row, "missing_all": total})
        return Table(rows, columns, title="Missing values by variable and arm", notes=_notes(rows, protected))

    def _by_place(self, protected: Protected) -> Table:
        names = [name for name, arms in self.by_arm.items() if sum(arms.values())]
        columns = [
            Column(name="place", label=str(self.by).replace("_", " ")),
            Column(name="n", label=self.row_words, kind="count"),
            *(Column(name=f"missing_{name}", label=self.labels[name], kind="count") for name in names),
        ]
        rows = []
        for place in self.places:
            size = protected["rows", "by", self.by, place]
            cells = {
                f"missing_{name}": _cell(protected["rows", "missing", name, "by", self.by, place], size, protected)
                for name in names
            }
            rows.append({"place": place, "n": size, **cells})
        title = f"Missing values by {str(self.by).replace('_', ' ')}"
        return Table(rows, columns, title=title, notes=_notes(rows, protected))


def missingness_table(
    frame: Any,
    *,
    arm: str,
    arms: Sequence[str],
    variables: Sequence[str],
    by: str | None = "local_authority",
    labels: Mapping[str, str] | None = None,
    row_words: str = "people",
) -> Missingness:
    """Count missing values by variable and arm, and by variable and local authority.

    Parameters
    ----------
    frame : data frame
        One row per person included; pandas, polars or pyarrow.
    arm, arms : str, sequence of str
        Column of the arm and its levels in order.
    variables : sequence of str
        Columns to look at. The table by place shows those with any value missing.
    by : str, optional
        Column of the places; None for none.
    labels : mapping of str to str, optional
        Words by column.
    row_words : str
        What the rows are, in the plural.

    Returns
    -------
    Missingness

    Raises
    ------
    DataError
        If a column is missing, an arm is undeclared, or a row has no place.

    Examples
    --------
    >>> import pandas as pd
    >>> from wwc_eval.data.disclosure import DisclosureRule
    >>> frame = pd.DataFrame(
    ...     {"arm": ["a", "b"] * 60, "la": ["X"] * 60 + ["Y"] * 60, "sex": [None] * 30 + ["f"] * 90}
    ... )
    >>> missing = missingness_table(frame, arm="arm", arms=("a", "b"), variables=["sex"], by="la")
    >>> print(missing.tables(DisclosureRule())[0])
    Missing values by variable and arm
    variable  a (n = 60)  b (n = 60)         all
    --------------------------------------------
    sex       15 (25.0%)  15 (25.0%)  30 (25.0%)
    """
    from wwc_eval.data.coding import codes_of, refuse_repeated, table_with

    refuse_repeated(variables)
    table = table_with(frame, [arm, *variables, *([by] if by else [])])
    codes = codes_of(table[arm], arms)
    gone = {name: table[name].isna().to_numpy() for name in variables}
    places, by_place = _by_place(table, by, gone)
    return Missingness(
        arms=tuple(arms),
        n={one: int((codes == code).sum()) for code, one in enumerate(arms)},
        by=by,
        places=places,
        labels={name: (labels or {}).get(name) or name.replace("_", " ") for name in variables},
        by_arm={
            name: {one: int(mask[codes == code].sum()) for code, one in enumerate(arms)}
            for name, mask in gone.items()
        },
        by_place=by_place,
        row_words=row_words,
    )


def _by_place(
    table: pd.DataFrame, by: str | None, gone: Mapping[str, np.ndarray]
) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """Rows of each place, and how many of them lack each variable; nothing where there are no places."""
    if by is None:
        return {}, {name: {} for name in gone}
    if table[by].isna().any():
        row = int(table[by].isna().to_numpy().argmax())
        raise DataError(f"{int(table[by].isna().sum())} rows have no '{by}'", place=Place(row=row + 2, column=by))
    texts = table[by].astype(object).map(str)
    places = {str(place): int(n) for place, n in texts.value_counts().sort_index().items()}
    here = {place: (texts == place).to_numpy() for place in places}
    return places, {name: {place: int(mask[here[place]].sum()) for place in places} for name, mask in gone.items()}


def _text(count: int | str) -> str:
    return count if isinstance(count, str) else format_count(count)


def _share(missing: int | str, n: int | str, protected: Protected) -> float | str:
    if isinstance(missing, str) or isinstance(n, str):
        return protected.rule.hidden_label
    return missing / n if n else float("nan")


def _cell(missing: int | str, n: int | str, protected: Protected) -> str:
    share = _share(missing, n, protected)
    if isinstance(missing, str):
        return missing
    if isinstance(share, str) or missing == 0:
        return format_count(missing)
    return f"{format_count(missing)} ({format_percent(share)})"


def _notes(rows: list[dict[str, Any]], protected: Protected) -> tuple[str, ...]:
    texts = {str(value) for row in rows for value in row.values()}
    rule = protected.rule
    return rule.notes(small=rule.small_label in texts, hidden=rule.hidden_label in texts)
