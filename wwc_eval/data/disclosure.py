"""Disclosure control: counts too small to show, and the further counts that would give them away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from wwc_eval.errors import DataError, DesignError, check_choice, shown

if TYPE_CHECKING:
    import numpy as np

    from wwc_eval.data.counts import Counts, Protected
    from wwc_eval.table import Table

__all__ = [
    "PROFILES",
    "DisclosureRule",
    "SafeProportion",
    "SuppressedCounts",
    "safe_count",
    "safe_proportion",
    "suppress_counts",
    "suppress_table",
]

Profile = Literal["dfe", "ons_srs", "strict", "none"]


@dataclass(frozen=True, kw_only=True)
class _Manner:
    """What a profile does beside the threshold."""

    words: str
    zeros: bool
    rounding: int


PROFILES: Mapping[str, _Manner] = {
    "dfe": _Manner(words="Department for Education", zeros=False, rounding=1),
    "ons_srs": _Manner(words="ONS Secure Research Service", zeros=True, rounding=5),
    "strict": _Manner(words="strict", zeros=True, rounding=1),
    "none": _Manner(words="none", zeros=False, rounding=1),
}
"""Profiles. ``zeros``: a count of 0, and so a group in which all or none have the event, is hidden too.
``rounding``: counts shown are rounded to this base."""

RESIDUAL_DF = 10


@dataclass(frozen=True, kw_only=True)
class DisclosureRule:
    """Which counts are not shown.

    Parameters
    ----------
    threshold : int
        Counts from 1 to below it are not shown (with ``strict`` and ``ons_srs``, 0 too). 0 or 1 shows every count.
    profile : {"dfe", "ons_srs", "strict", "none"}
        ``dfe`` shows zeros and exact counts; ``ons_srs`` hides zeros and rounds shown counts to 5; ``strict``
        hides zeros; ``none`` shows everything and takes no threshold but 0.
    rounding : int, optional
        Base to which counts are rounded when shown; the profile's own where it is not given.

    Raises
    ------
    DesignError
        If a value is out of range.

    Examples
    --------
    >>> rule = DisclosureRule(threshold=10)
    >>> safe_count(7, rule), safe_count(0, rule), safe_count(12, rule)
    ('<10', 0, 12)
    """

    threshold: int = 10
    profile: Profile = "dfe"
    rounding: int | None = None

    def __post_init__(self) -> None:
        """Check the values and fill in the profile's rounding."""
        check_choice("profile", self.profile, tuple(PROFILES))
        for name, value, least in (("threshold", self.threshold, 0), ("rounding", self.rounding, 1)):
            if value is not None and (isinstance(value, bool) or int(value) != value or value < least):
                raise DesignError(f"{name} == {shown(value)}, must be a whole number >= {least}")
        if self.profile == "none" and self.threshold:
            raise DesignError(
                f"threshold == {self.threshold}, but the profile 'none' hides nothing",
                fix="give threshold=0, or another profile",
            )
        if self.rounding is None:
            object.__setattr__(self, "rounding", PROFILES[self.profile].rounding)

    @property
    def active(self) -> bool:
        """Whether any count is ever hidden."""
        return self.threshold > (0 if self.hides_zero else 1)

    @property
    def hides_zero(self) -> bool:
        """Whether a count of 0 is hidden like any small count."""
        return PROFILES[self.profile].zeros

    @property
    def width(self) -> int:
        """Least number of values that a hidden small count must be able to have: half the threshold, rounded up."""
        return max((self.threshold + 1) // 2, 2)

    @property
    def small_label(self) -> str:
        """Text in place of a small count."""
        return f"<{self.threshold}"

    @property
    def hidden_label(self) -> str:
        """Text in place of a count that is hidden to protect others."""
        return "c"

    def is_small(self, count: int) -> bool:
        """Whether a count must not be shown."""
        return self.active and (0 if self.hides_zero else 1) <= count < self.threshold

    def rounded(self, count: int) -> int:
        """A count as it is shown: rounded to the base, halves up."""
        base = int(self.rounding or 1)
        return count if base == 1 else base * ((2 * int(count) + base) // (2 * base))

    @property
    def words(self) -> str:
        """The rule in a sentence."""
        if not self.active:
            return "All counts are shown."
        zero = "including 0" if self.hides_zero else "other than 0"
        text = f"Counts below {self.threshold} ({zero}) are not shown, nor others from which they would follow."
        return text + (f" Counts shown are rounded to {self.rounding}." if self.rounding != 1 else "")

    def notes(self, *, small: bool, hidden: bool) -> tuple[str, ...]:
        """What the labels that occur in a table mean."""
        least = 0 if self.hides_zero else 1
        notes = [f"{self.small_label}: a count from {least} to {self.threshold - 1}."] if small else []
        if hidden:
            notes.append(f"{self.hidden_label}: not shown, so that a small count cannot be worked out.")
        if self.rounding != 1:
            notes.append(f"Counts are rounded to the nearest {self.rounding}.")
        return tuple(notes)

    def residual_df_warning(self, df: float) -> str | None:
        """Sentence for a fit with few residual degrees of freedom, None where there are enough.

        A regression that nearly reproduces its data discloses them; research services refuse fewer than 10.

        Examples
        --------
        >>> DisclosureRule().residual_df_warning(4)
        'Only 4 residual degrees of freedom: a fit with fewer than 10 may disclose single records.'
        """
        if not self.active or df >= RESIDUAL_DF:
            return None
        return f"Only {df:g} residual degrees of freedom: a fit with fewer than {RESIDUAL_DF} may disclose single records."


@dataclass(frozen=True, kw_only=True)
class SafeProportion:
    """Events, people and their ratio as they may be shown: numbers, or the text in their place."""

    events: int | str
    n: int | str
    proportion: float | str


def safe_count(n: int, rule: DisclosureRule) -> int | str:
    """A count that stands alone as it may be shown.

    For counts that add up with others shown use :func:`wwc_eval.data.counts.protect`.

    Raises
    ------
    DataError
        If the count is negative.
    """
    if n < 0:
        raise DataError(f"count == {n}, must be 0 or more")
    return rule.small_label if rule.is_small(int(n)) else rule.rounded(int(n))


def safe_proportion(events: int, n: int, rule: DisclosureRule) -> SafeProportion:
    """Events among n people as they may be shown, when n is shown and no other group adds up with this one.

    The events are hidden, and their share with them, if they or those without the event are too few.

    Examples
    --------
    >>> safe_proportion(4, 120, DisclosureRule())
    SafeProportion(events='<10', n=120, proportion='c')
    >>> safe_proportion(117, 120, DisclosureRule())
    SafeProportion(events='c', n=120, proportion='c')
    >>> safe_proportion(30, 120, DisclosureRule())
    SafeProportion(events=30, n=120, proportion=0.25)
    """
    if not 0 <= events <= n:
        raise DataError(f"events == {events}, must be from 0 to n == {n}")
    if rule.is_small(n):
        return SafeProportion(events=rule.hidden_label, n=rule.small_label, proportion=rule.hidden_label)
    people = rule.rounded(n)
    small, others = rule.is_small(events), rule.is_small(n - events)
    if small or others:
        # "<10" says that those without the event are not few: of 11 people that would leave 1 event only
        told = small and not others and n - rule.threshold >= rule.width
        text = rule.small_label if told else rule.hidden_label
        return SafeProportion(events=text, n=people, proportion=rule.hidden_label)
    count = rule.rounded(events)
    return SafeProportion(events=count, n=people, proportion=count / people if people else float("nan"))


@dataclass(frozen=True, kw_only=True)
class SuppressedCounts:
    """A table of counts as it may be shown: numbers, or the text in their place.

    ``rows`` are the cells; ``row_totals``, ``column_totals`` and ``total`` are None where the table has none.
    """

    rows: tuple[tuple[int | str, ...], ...]
    row_totals: tuple[int | str, ...] | None
    column_totals: tuple[int | str, ...] | None
    total: int | str | None
    protected: Protected

    @property
    def n_hidden(self) -> int:
        """Cells and totals not shown."""
        return self.protected.n_hidden


def suppress_counts(
    matrix: Sequence[Sequence[int]] | Sequence[int] | Any,
    rule: DisclosureRule,
    *,
    row_totals: bool = True,
    column_totals: bool = True,
    known_totals: bool = False,
) -> SuppressedCounts:
    """Suppress a table of counts: small ones first, then what would give them away.

    Parameters
    ----------
    matrix : (r, c) or (c,) array of int
        Counts without their totals.
    rule : DisclosureRule
        Threshold and profile.
    row_totals, column_totals : bool
        Whether the totals of rows and columns are shown with the table. A table of one row has row totals only
        when it is given as a matrix; a list of counts has one total, which ``row_totals`` governs.
    known_totals : bool
        Whether the totals are shown elsewhere, so that hiding them here would protect nothing.

    Returns
    -------
    SuppressedCounts

    Raises
    ------
    DataError
        If the matrix does not hold whole counts.
    DisclosureError
        If known totals give a small count away whatever is hidden.

    Examples
    --------
    >>> table = suppress_counts([[3, 40, 57], [60, 70, 80], [90, 55, 35]], DisclosureRule())
    >>> for row in table.rows:
    ...     print(row)
    ('<10', 'c', 57)
    ('c', 'c', 80)
    (90, 55, 35)
    """
    import numpy as np

    from wwc_eval.data.counts import protect

    counts = np.asarray(matrix)
    flat = counts.ndim == 1
    counts = counts[None, :] if flat else counts
    if counts.ndim != 2 or not counts.size or not np.array_equal(counts, np.floor(counts.astype(float))):
        raise DataError("matrix must be one or two dimensions of whole counts")
    n_rows, n_columns = counts.shape
    with_columns = column_totals and not flat
    protected = protect(
        rule, _counts_of(counts, rows=row_totals, columns=with_columns, fixed=known_totals), exposed="error"
    )
    return SuppressedCounts(
        rows=tuple(tuple(protected[i, j] for j in range(n_columns)) for i in range(n_rows)),
        row_totals=tuple(protected[i, None] for i in range(n_rows)) if row_totals else None,
        column_totals=tuple(protected[None, j] for j in range(n_columns)) if with_columns else None,
        total=protected[None, None] if row_totals and with_columns else None,
        protected=protected,
    )


def _counts_of(matrix: np.ndarray, *, rows: bool, columns: bool, fixed: bool) -> Counts:
    """Cells of a matrix with the totals that are shown, and what adds up to them."""
    from wwc_eval.data.counts import Cell, Counts

    n_rows, n_columns = matrix.shape
    cells = [Cell(key=(i, j), value=int(matrix[i, j])) for i in range(n_rows) for j in range(n_columns)]
    sums: list[tuple[Any, list[Any]]] = []

    def add(key: Any, parts: list[Any], value: int) -> None:
        cells.append(Cell(key=key, value=value, fixed=fixed, weight=3.0))
        sums.append((key, parts))

    if rows:
        for i in range(n_rows):
            add((i, None), [(i, j) for j in range(n_columns)], int(matrix[i].sum()))
    if columns:
        for j in range(n_columns):
            add((None, j), [(i, j) for i in range(n_rows)], int(matrix[:, j].sum()))
    if rows and columns:
        add((None, None), [(i, None) for i in range(n_rows)], int(matrix.sum()))
        sums.append(((None, None), [(None, j) for j in range(n_columns)]))
    return Counts(cells, sums)


def suppress_table(
    table: Table,
    rule: DisclosureRule,
    *,
    counts: Sequence[str],
    shares: Mapping[str, str] | None = None,
    total_column: str | None = None,
    total_row: int | None = None,
) -> Table:
    """Suppress the counts of a table, and the shares that would give them away.

    Parameters
    ----------
    table : Table
        Table with exact counts.
    rule : DisclosureRule
        Threshold and profile.
    counts : sequence of str
        Columns that hold counts.
    shares : mapping, optional
        Column of a share to the column of its count: it is hidden with it.
    total_column : str, optional
        Column that is the sum of the ``counts`` columns.
    total_row : int, optional
        Position of the row that is the sum of the others (-1 for the last).

    Returns
    -------
    Table
        The same table with text in place of hidden values and a note on what the text means.

    Raises
    ------
    DataError
        If a column does not exist or a total is not the sum of its parts.

    Examples
    --------
    >>> from wwc_eval.table import Column, Table
    >>> table = Table(
    ...     [{"arm": "usual", "lost": 4, "share": 0.01}, {"arm": "conference", "lost": 25, "share": 0.06}],
    ...     [Column(name="arm"), Column(name="lost", kind="count"), Column(name="share", kind="percent")],
    ... )
    >>> suppress_table(table, DisclosureRule(), counts=["lost"], shares={"share": "lost"}).to_dicts()[0]
    {'arm': 'usual', 'lost': '<10', 'share': 'c'}
    """
    from wwc_eval.data.counts import protect
    from wwc_eval.table import Table as NewTable

    columns = {name: table.column(name) for name in [*counts, *([total_column] if total_column else [])]}
    for name in shares or {}:
        table.column(name)
    found = _counts_in(columns, len(table), counts, total_column=total_column, total_row=total_row)
    protected = protect(rule, found, exposed="error")
    rows = []
    for i, row in enumerate(table):
        new = {**row, **{name: protected[i, name] for name in columns}}
        for share, count in (shares or {}).items():
            if protected.is_hidden((i, count)):
                new[share] = rule.hidden_label
        rows.append(new)
    return NewTable(rows, table.columns, title=table.title, notes=(*table.notes, *protected.notes))


def _counts_in(
    columns: Mapping[str, Sequence[Any]],
    length: int,
    parts: Sequence[str],
    *,
    total_column: str | None,
    total_row: int | None,
) -> Counts:
    """Cells of a table's columns, the column ``total_column`` adding up its ``parts`` and one row all others."""
    from wwc_eval.data.counts import Cell, Counts

    places = list(range(length))
    last = None if total_row is None else places[total_row]
    cells = [
        Cell(key=(i, name), value=int(values[i]), weight=3.0 if i == last or name == total_column else 1.0)
        for name, values in columns.items()
        for i in places
    ]
    sums: list[tuple[Any, list[Any]]] = []
    if total_column is not None:
        sums += [((i, total_column), [(i, name) for name in parts]) for i in places]
    if last is not None:
        sums += [((last, name), [(i, name) for i in places if i != last]) for name in columns]
    return Counts(cells, sums)
