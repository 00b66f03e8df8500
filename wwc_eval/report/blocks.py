"""What a section of the report is made of: paragraphs, tables, figures, lists of facts, notices.

A section says what is to be shown; the page and the Word export decide how it looks. Texts are plain (they are
escaped when they are rendered); only :class:`Html` holds markup, as a :class:`markupsafe.Markup`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from markupsafe import Markup

__all__ = [
    "Block",
    "Bullets",
    "Cell",
    "DataTable",
    "Details",
    "Facts",
    "Figure",
    "Heading",
    "Html",
    "Notice",
    "Section",
    "Text",
]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a table.

    Parameters
    ----------
    text : str
        Plain text.
    detail : str
        A second, quieter line under the text.
    numeric : bool
        Whether the cell is aligned to the right in figures of equal width.
    header : bool
        Whether the cell heads its row.
    span, rows : int
        Columns and rows that the cell covers; the rows below leave the cell out.
    shade : int, optional
        Step 0 (lightest) to 5 (darkest) of a heat map.
    strong, code : bool
        Whether the text is set bold, or as typed text that may break anywhere.
    """

    text: str
    detail: str = ""
    numeric: bool = False
    header: bool = False
    span: int = 1
    rows: int = 1
    shade: int | None = None
    strong: bool = False
    code: bool = False


@dataclass(frozen=True, kw_only=True)
class DataTable:
    """A table with its caption, column headings, rows of cells and notes.

    Parameters
    ----------
    caption : str
        What the table shows.
    headings : sequence of Cell
        Heads of the columns.
    rows : sequence of sequence of Cell
        Body. A row of a single header cell that spans the table heads a group.
    notes : sequence of str
        Sentences below.
    compact : bool
        Whether the table is set small, for long appendix tables.
    """

    kind: ClassVar[str] = "table"
    caption: str
    headings: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    compact: bool = False

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(cell.span for cell in self.headings)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure, as vectors and where possible as pixels.

    Parameters
    ----------
    name : str
        Stem of its files in ``figures/``; unique in a report.
    title : str
        Caption.
    alt : str
        What the figure shows, for who cannot see it.
    svg : str
        The figure as SVG.
    png : bytes, optional
        The figure as PNG.
    inline : bool
        Whether the SVG's own text is to stay text in the page (its identifiers must then be unique in the page).
    notes : sequence of str
        Sentences below.
    """

    kind: ClassVar[str] = "figure"
    name: str
    title: str
    alt: str
    svg: str
    png: bytes | None = None
    inline: bool = False
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph; ``lead`` is larger, ``note`` smaller, ``code`` for text that is typed or computed."""

    kind: ClassVar[str] = "text"
    text: str
    style: Literal["normal", "lead", "note", "code"] = "normal"


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A table of two columns: what, and what it is. A tuple of texts is shown as lines."""

    kind: ClassVar[str] = "facts"
    caption: str
    pairs: Sequence[tuple[str, str | tuple[str, ...]]]


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """A list."""

    kind: ClassVar[str] = "bullets"
    items: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A box that must not be overlooked."""

    kind: ClassVar[str] = "notice"
    title: str
    lines: Sequence[str]
    tone: Literal["warning", "problem", "plain"] = "warning"


@dataclass(frozen=True, kw_only=True)
class Details:
    """Blocks behind a summary that opens on request; printed open."""

    kind: ClassVar[str] = "details"
    summary: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class Html:
    """Markup that is safe as it stands, and the sentence that takes its place in Word."""

    kind: ClassVar[str] = "html"
    markup: Markup
    words: str = ""


Block = Text | Heading | DataTable | Facts | Bullets | Notice | Figure | Details | Html


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of the report.

    Parameters
    ----------
    title : str
        Heading.
    blocks : sequence of block
        Contents from top to bottom.
    key : str
        Anchor in the page; set from the module's name by the page where it is empty.
    """

    title: str
    blocks: Sequence[Block]
    key: str = field(default="")

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure of the section, also those inside details."""
        return tuple(block for block in walk(self.blocks) if isinstance(block, Figure))


def walk(blocks: Sequence[Block]) -> Iterator[Block]:
    """Every block, going into details."""
    for block in blocks:
        yield block
        if isinstance(block, Details):
            yield from walk(block.blocks)
