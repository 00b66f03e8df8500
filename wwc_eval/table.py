"""Tables: one way to show every result, in text, Markdown, LaTeX, HTML and as a data frame.

Numbers are kept at full precision in ``to_dicts`` and ``to_frame``; only the rendered forms round, and they
round for reading: p-values never show as 0.0000, a missing value is an em dash, units stand in the label.
"""

from __future__ import annotations

import html
import math
import numbers
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from wwc_eval.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MISSING",
    "Column",
    "Grid",
    "Rendered",
    "Table",
    "format_count",
    "format_number",
    "format_p_value",
    "format_percent",
    "format_probability",
    "format_ratio",
]

MISSING = "—"
SCIENTIFIC = 1e15
"""Numbers as large as this are shown in scientific notation: their last digits mean nothing."""
Kind = Literal["text", "number", "count", "percent", "probability", "ratio", "p_value"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """How one column is labelled and shown.

    Parameters
    ----------
    name : str
        Key in the rows, and the column's name in ``to_frame``.
    label : str, optional
        Heading; the name with spaces for underscores where it is missing. Units belong here.
    kind : {"text", "number", "count", "percent", "probability", "ratio", "p_value"}
        How a raw value is shown. ``percent`` takes a proportion and shows ``12.3%``; ``probability`` shows whole percent,
        and ``< 1%`` or ``> 99%`` for what is neither impossible nor certain; ``ratio`` shows ``> 1,000`` or ``< 0.001`` for
        ratios of likelihoods and the like, whose size beyond that says no more.
    digits : int
        Decimals shown for ``number`` and ``percent``.
    """

    name: str
    label: str | None = None
    kind: Kind = "text"
    digits: int = 3

    @property
    def heading(self) -> str:
        """Label shown above the column."""
        return self.label if self.label is not None else self.name.replace("_", " ")

    @property
    def numeric(self) -> bool:
        """Whether the column is aligned to the right."""
        return self.kind != "text"

    def show(self, value: object) -> str:
        """Text of one value."""
        if is_missing(value):
            return MISSING
        if isinstance(value, str):
            return value
        if type(value).__name__ in {"bool", "bool_"}:
            return "yes" if value else "no"
        if self.kind == "text":
            return str(value)
        if self.kind == "p_value":
            return format_p_value(float(value))  # type: ignore[arg-type]
        if self.kind == "probability":
            return format_probability(float(value))  # type: ignore[arg-type]
        if self.kind == "ratio":
            return format_ratio(float(value))  # type: ignore[arg-type]
        if self.kind == "percent":
            return format_percent(float(value), self.digits)  # type: ignore[arg-type]
        if self.kind == "count":
            return format_count(value)
        return format_number(float(value), self.digits)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Grid:
    """The rendered grid of a table: headings, rows of text, and which columns align right."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


class Rendered:
    """Mixin that gives a result every form a reader may want.

    A class provides :meth:`to_dicts` (raw values, full precision) and ``_grid`` (what is shown); it may
    provide ``_title`` and ``_notes``.
    """

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows as dictionaries of raw values at full precision."""
        raise NotImplementedError

    def _grid(self) -> Grid:
        raise NotImplementedError

    def _title(self) -> str:
        return ""

    def _notes(self) -> tuple[str, ...]:
        return ()

    def to_frame(self) -> pd.DataFrame:
        """Rows as a data frame of raw values at full precision."""
        import pandas as pd

        return pd.DataFrame(self.to_dicts())

    def to_markdown(self) -> str:
        """Markdown table with its title above and its notes below."""
        grid = self._grid()
        escape = [tuple(_markdown_text(cell) for cell in row) for row in (grid.headings, *grid.rows)]
        rule = tuple("---:" if right else ":---" for right in grid.numeric)
        lines = ["| " + " | ".join(row) + " |" for row in (escape[0], rule, *escape[1:])]
        head = [f"**{_markdown_text(self._title())}**", ""] if self._title() else []
        tail = ["", *(f"_{_markdown_text(note)}_  " for note in self._notes())] if self._notes() else []
        return "\n".join([*head, *lines, *tail])

    def to_latex(self) -> str:
        """LaTeX ``tabular`` (booktabs rules) with its notes below."""
        grid = self._grid()
        spec = "".join("r" if right else "l" for right in grid.numeric)
        rows = [" & ".join(_latex_text(cell) for cell in row) + r" \\" for row in grid.rows]
        head = " & ".join(_latex_text(cell) for cell in grid.headings) + r" \\"
        lines = [rf"\begin{{tabular}}{{{spec}}}", r"\toprule", head, r"\midrule", *rows]
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [rf"\par\footnotesize {_latex_text(note)}" for note in self._notes()]
        return "\n".join(lines)

    def to_html(self) -> str:
        """HTML table, every text escaped, without style or script of its own."""
        grid = self._grid()
        sides = ["num" if right else "txt" for right in grid.numeric]
        title = self._title()
        caption = f"<caption>{html.escape(title)}</caption>" if title else ""
        head = "".join(
            f'<th scope="col" class="{side}">{html.escape(cell)}</th>'
            for cell, side in zip(grid.headings, sides, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<td class="{side}">{_html_text(cell, side)}</td>' for cell, side in zip(row, sides, strict=True)
            )
            + "</tr>"
            for row in grid.rows
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        foot = f'<div class="notes">{notes}</div>' if notes else ""
        table = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f'<div class="wwc-table">{table}{foot}</div>'

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        """What is printed: a result shows itself where it stands alone."""
        return str(self)

    def __str__(self) -> str:
        """Plain text with aligned columns."""
        grid = self._grid()
        lines = [tuple(_plain_text(cell) for cell in row) for row in (grid.headings, *grid.rows)]
        widths = [max(len(row[j]) for row in lines) for j in range(len(grid.headings))]
        shown = [
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, grid.numeric, strict=True)
            ).rstrip()
            for row in lines
        ]
        rule = "-" * max((len(line) for line in shown), default=0)
        title = [self._title()] if self._title() else []
        return "\n".join([*title, shown[0], rule, *shown[1:], *self._notes()])


@dataclass(frozen=True, eq=False, repr=False)
class Table(Rendered):
    """A frozen table of raw values that knows how to show itself.

    Parameters
    ----------
    rows : sequence of mapping
        Raw values by column name. A string stands for itself in any column (a suppressed count, say).
    columns : sequence of Column
        The columns in order.
    title : str
        Caption.
    notes : sequence of str
        Sentences below the table: assumptions, reference levels, what was suppressed.

    Examples
    --------
    >>> table = Table([{"arm": "usual", "n": 1250}], [Column(name="arm"), Column(name="n", kind="count")])
    >>> print(table)
    arm        n
    ------------
    usual  1,250
    """

    rows: Sequence[Mapping[str, Any]]
    columns: Sequence[Column]
    title: str = ""
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Freeze the rows and refuse a row that has other columns than declared."""
        names = {column.name for column in self.columns}
        if len(names) < len(tuple(self.columns)):
            raise DataError(f"table '{self.title}' has two columns of one name", fix="give each column its own")
        for index, row in enumerate(self.rows):
            if set(row) != names:
                odd = sorted(set(row) ^ names)
                raise DataError(f"row {index} of table '{self.title}' and its columns differ in {odd}")
        object.__setattr__(self, "rows", tuple(MappingProxyType(dict(row)) for row in self.rows))
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "notes", tuple(self.notes))

    def __reduce__(self) -> tuple[Any, ...]:
        """Read-only rows do not pickle; tables must (joblib workers)."""
        return type(self), (self.to_dicts(), self.columns, self.title, self.notes)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Rows in order."""
        return iter(self.rows)

    def column(self, name: str) -> list[Any]:
        """Raw values of one column.

        Raises
        ------
        DataError
            If there is no such column.
        """
        names = [column.name for column in self.columns]
        if name not in names:
            raise DataError(f"no column '{name}' in table '{self.title}'", fix=did_you_mean(name, names))
        return [row[name] for row in self.rows]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows as dictionaries of raw values, columns in order."""
        return [{column.name: row[column.name] for column in self.columns} for row in self.rows]

    def to_frame(self) -> pd.DataFrame:
        """Rows as a data frame; an empty table keeps its columns."""
        import pandas as pd

        return pd.DataFrame(self.to_dicts(), columns=[column.name for column in self.columns])

    def _grid(self) -> Grid:
        rows = tuple(tuple(column.show(row[column.name]) for column in self.columns) for row in self.rows)
        headings = tuple(column.heading for column in self.columns)
        return Grid(headings, rows, tuple(column.numeric for column in self.columns))

    def _title(self) -> str:
        return self.title

    def _notes(self) -> tuple[str, ...]:
        return tuple(self.notes)


def format_number(value: float, digits: int = 3) -> str:
    """Fixed decimals with thousands separated; a missing value is an em dash.

    Examples
    --------
    >>> format_number(1234.5678, 2), format_number(float("nan")), format_number(-0.0001, 2)
    ('1,234.57', '—', '0.00')
    """
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if abs(value) >= SCIENTIFIC:
        return f"{value:.{max(digits, 1)}e}"
    text = f"{value:,.{digits}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.,") else text


def format_count(value: object) -> str:
    """Whole number with thousands separated; weighted counts keep one decimal."""
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    number = float(value)  # type: ignore[arg-type]
    whole = math.isfinite(number) and number == int(number)
    return format_number(number, 0 if whole else 1)


def format_percent(proportion: float, digits: int = 1) -> str:
    """A proportion as percent.

    Examples
    --------
    >>> format_percent(0.4512)
    '45.1%'
    """
    return MISSING if math.isnan(proportion) else f"{format_number(100 * proportion, digits)}%"


def format_probability(value: float) -> str:
    """A probability in whole percent; what is neither certain nor impossible is not shown as if it were.

    Examples
    --------
    >>> format_probability(0.0018), format_probability(0.634), format_probability(0.9999)
    ('< 1%', '63%', '> 99%')
    """
    if 0.0 < value <= 0.005:
        return "< 1%"
    if 0.995 <= value < 1.0:
        return "> 99%"
    return format_percent(value, 0)


def format_ratio(value: float) -> str:
    """A ratio of two likelihoods or probabilities to three decimals, between ``< 0.001`` and ``> 1,000``.

    Examples
    --------
    >>> format_ratio(0.25), format_ratio(3e250), format_ratio(4e-9)
    ('0.250', '> 1,000', '< 0.001')
    """
    if value > 1_000:
        return "> 1,000"
    return "< 0.001" if 0.0 <= value < 0.001 else format_number(value, 3)


def format_p_value(value: float) -> str:
    """Three decimals, ``< 0.001`` below that; never 0.000, and no stars.

    Examples
    --------
    >>> format_p_value(0.0496), format_p_value(3e-9)
    ('0.050', '< 0.001')
    """
    if math.isnan(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def is_missing(value: object) -> bool:
    """Whether a value is None, not a number, or a missing value of pandas."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational) and math.isnan(value)


_SPACE = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_MARKDOWN = re.compile(r"[\\|`*]|\](?=\()")
_MINUS = re.compile(r"(?<![\w.)\]])-(?=[\d∞])")


def _plain_text(text: str) -> str:
    """Text on one line, without control characters."""
    return _SPACE.sub(" ", text)


def _markdown_text(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", html.escape(_plain_text(text), quote=False))


def _html_text(text: str, side: str) -> str:
    escaped = html.escape(_plain_text(text))
    return _MINUS.sub("&minus;", escaped) if side == "num" else escaped


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    MISSING: "---",
    "∞": r"$\infty$",
    "−": r"$-$",
}


def _latex_text(text: str) -> str:
    plain = "".join(_LATEX.get(character, character) for character in _plain_text(text))
    # after a line break or a rule, [ and * would be read as its option
    return "{" + plain[0] + "}" + plain[1:] if plain.startswith(("[", "*")) else plain
