"""The report as a Word document: the same sections, tables and figures, for who must edit or comment."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from wwc_eval.errors import DesignError
from wwc_eval.report.blocks import (
    Block,
    Bullets,
    Cell,
    DataTable,
    Details,
    Facts,
    Figure,
    Heading,
    Html,
    Notice,
    Section,
    Text,
)
from wwc_eval.report.masthead import Masthead, masthead
from wwc_eval.report.page import build_sections
from wwc_eval.report.record import RunRecord
from wwc_eval.report.words import clean

__all__ = ["write_word"]

WIDTH = 16.6  # centimetres of text on A4
INK, NAVY, QUIET, RED = "1B2733", "0B3D62", "4D5B68", "8C1D18"
EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - Word's properties have no zone; a fixed date keeps files equal


def write_word(record: RunRecord, path: str | Path) -> Path:
    """Write the report as ``.docx``.

    Parameters
    ----------
    record : RunRecord
        What the run hands over.
    path : str or Path
        File to write.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DesignError
        If python-docx is not installed.

    Examples
    --------
    >>> write_word.__name__
    'write_word'
    """
    try:
        import docx
    except ImportError as missing:
        raise DesignError(
            "the Word report needs python-docx, which is not installed", fix="pip install 'wwc-eval[word]'"
        ) from missing
    document = docx.Document()
    _set_up(document, record)
    writer = _Writer(document)
    writer.head(masthead(record))
    for section in build_sections(record):
        writer.section(section)
    target = Path(path)
    buffer = io.BytesIO()
    document.save(buffer)
    target.write_bytes(_without_times(buffer.getvalue()))
    return target


def _set_up(document: Any, record: RunRecord) -> None:
    """Page, styles, language and properties."""
    from docx.oxml.ns import qn
    from docx.shared import Cm, Pt, RGBColor

    for page in document.sections:
        page.page_width, page.page_height = Cm(21.0), Cm(29.7)
        page.left_margin = page.right_margin = Cm(2.2)
        page.top_margin = page.bottom_margin = Cm(2.0)
    normal = document.styles["Normal"]
    normal.font.name, normal.font.size = "Calibri", Pt(10.5)
    normal.font.color.rgb = RGBColor.from_string(INK)
    for name in ("Title", "Heading 1", "Heading 2", "Heading 3"):
        style = document.styles[name]
        style.font.name, style.font.color.rgb = "Calibri", RGBColor.from_string(NAVY)
        fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
        for attribute in [key for key in fonts.attrib if key.endswith("Theme")]:
            del fonts.attrib[attribute]
        fonts.set(qn("w:hAnsi"), "Calibri")
    for language in document.styles.element.iter(qn("w:lang")):
        language.set(qn("w:val"), "en-GB")
    properties = document.core_properties
    properties.title = clean(record.plan.get("title", ""))[:250]
    properties.author = "wwc_eval"
    properties.comments = ""
    properties.created = properties.modified = EPOCH
    properties.language = "en-GB"


class _Writer:
    """Adds blocks to a document, in order."""

    def __init__(self, document: Any) -> None:
        self.document = document

    def head(self, head: Masthead) -> None:
        """Title, status, facts and warnings; a draft says so on every page."""
        self._paragraph(head.kicker, colour=NAVY, bold=True)
        self.document.add_heading(clean(head.title), level=0)
        self._paragraph(
            f"DRAFT. {head.status}" if head.draft else head.status, bold=True, colour=RED if head.draft else INK
        )
        if head.draft:
            for section in self.document.sections:
                line = section.header.paragraphs[0]
                self._run(line, "DRAFT: not confirmatory", bold=True, colour=RED)
        self.block(Facts(caption="This run", pairs=head.facts))
        if head.warnings:
            self.block(Notice(title=head.warnings_title, lines=head.warnings))

    def section(self, section: Section) -> None:
        """Heading and blocks of a section."""
        self.document.add_heading(clean(section.title), level=1)
        for block in section.blocks:
            self.block(block)

    def block(self, block: Block) -> None:
        """One block."""
        if isinstance(block, Text):
            self._paragraph(
                block.text,
                size=12.0 if block.style == "lead" else None,
                colour=QUIET if block.style == "note" else INK,
            )
        elif isinstance(block, Heading):
            self.document.add_heading(clean(block.text), level=2)
        elif isinstance(block, DataTable):
            self._table(block)
        elif isinstance(block, Facts):
            self._facts(block)
        elif isinstance(block, Bullets):
            for item in block.items:
                self.document.add_paragraph(clean(item), style="List Bullet")
        elif isinstance(block, Notice):
            self._notice(block)
        elif isinstance(block, Figure):
            self._figure(block)
        elif isinstance(block, Details):
            self.document.add_heading(clean(block.summary), level=3)
            for inner in block.blocks:
                self.block(inner)
        elif isinstance(block, Html) and block.words:
            self._paragraph(block.words, bold=True)

    def _run(
        self, paragraph: Any, text: str, *, bold: bool = False, colour: str = INK, size: float | None = None
    ) -> None:
        from docx.shared import Pt, RGBColor

        run = paragraph.add_run(clean(text))
        run.bold = bold
        run.font.color.rgb = RGBColor.from_string(colour)
        if size is not None:
            run.font.size = Pt(size)

    def _paragraph(self, text: str, *, bold: bool = False, colour: str = INK, size: float | None = None) -> Any:
        from docx.shared import Pt

        paragraph = self.document.add_paragraph()
        paragraph.paragraph_format.space_after = Pt(6)
        self._run(paragraph, text, bold=bold, colour=colour, size=size)
        return paragraph

    def _caption(self, text: str) -> None:
        paragraph = self._paragraph(text, bold=True)
        paragraph.paragraph_format.keep_with_next = True

    def _notes(self, notes: Sequence[str]) -> None:
        for note in notes:
            self._paragraph(note, size=9.0, colour=QUIET)

    def _notice(self, block: Notice) -> None:
        colour = {"problem": RED, "warning": "7A4A00"}.get(block.tone, NAVY)
        self._paragraph(block.title, bold=True, colour=colour)
        for line in block.lines:
            self._paragraph(line)

    def _facts(self, block: Facts) -> None:
        rows = [
            [Cell(text=name, header=True), Cell(text=value if isinstance(value, str) else "\n".join(value))]
            for name, value in block.pairs
        ]
        self._grid(block.caption, [], rows, 2, 9.5)

    def _table(self, block: DataTable) -> None:
        self._grid(block.caption, block.headings, block.rows, block.width, 8.0 if block.compact else 9.0)
        self._notes(block.notes)

    def _grid(
        self, caption: str, headings: Sequence[Cell], rows: Sequence[Sequence[Cell]], width: int, size: float
    ) -> None:
        self._caption(caption)
        lines = [headings, *rows] if headings else list(rows)
        table = self.document.add_table(rows=len(lines), cols=width)
        _rule(table)
        _set_widths(table, _shares(lines, width) if headings else [0.3 * WIDTH, 0.7 * WIDTH])
        free = [[True] * width for _ in lines]
        # python-docx walks the whole grid for every cell() call, so it is read once
        grid = [list(row.cells) for row in table.rows]
        for top, line in enumerate(lines):
            for item in line:
                left = free[top].index(True)
                bottom, right = top + item.rows - 1, left + item.span - 1
                for down in range(top, bottom + 1):
                    free[down][left : right + 1] = [False] * item.span
                target = grid[top][left]
                if (bottom, right) != (top, left):
                    target = target.merge(grid[bottom][right])
                self._fill(target, item, size, head=bool(headings) and top == 0)
        if headings:
            _mark(table.rows[0], "tblHeader")
        for row in table.rows:
            _mark(row, "cantSplit")
        self.document.add_paragraph().paragraph_format.space_after = 0

    def _fill(self, target: Any, item: Cell, size: float, *, head: bool) -> None:
        from docx.enum.text import WD_ALIGN_PARAGRAPH
        from docx.shared import Pt

        paragraph = target.paragraphs[0]
        paragraph.paragraph_format.space_after = Pt(0)
        if item.numeric:
            paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
        self._run(paragraph, item.text, bold=head or item.strong, size=size)
        if item.detail:
            extra = target.add_paragraph()
            extra.paragraph_format.space_after = Pt(0)
            extra.alignment = paragraph.alignment
            self._run(extra, item.detail, size=size - 1, colour=QUIET)

    def _figure(self, block: Figure) -> None:
        from docx.shared import Cm

        self._caption(block.title)
        if block.png is None:
            self._paragraph(block.alt)
        else:
            shape = self.document.add_picture(io.BytesIO(block.png), width=Cm(WIDTH))
            most = Cm(22.5)
            if shape.height > most:
                shape.width, shape.height = int(shape.width * most / shape.height), most
            shape._inline.docPr.set("descr", clean(block.alt))
        self._notes(block.notes)


def _shares(lines: Sequence[Sequence[Cell]], width: int) -> list[float]:
    """Width of each column in centimetres, by its longest text within limits."""
    longest = [8.0] * width
    open_until = [0] * width
    for top, line in enumerate(lines):
        column = 0
        for item in line:
            while open_until[column] > top:
                column += 1
            if item.span == 1:
                words = max(map(len, item.text.split()), default=0) + 3
                # a heading may take several lines, so only its longest word counts
                text = words if top == 0 else max(min(len(item.text) + 3, 26), min(words, 20))
                longest[column] = max(longest[column], text, min(len(item.detail), 18))
            for covered in range(column, column + item.span):
                open_until[covered] = top + item.rows
            column += item.span
    return [WIDTH * share / sum(longest) for share in longest]


def _set_widths(table: Any, shares: Sequence[float]) -> None:
    from docx.shared import Cm

    table.autofit = False
    for column, share in zip(table.columns, shares, strict=True):
        column.width = Cm(share)
        for cell in column.cells:
            cell.width = Cm(share)


def _rule(table: Any) -> None:
    """Horizontal rules only, and room above and below the text of a cell."""
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    lines = "".join(
        f'<w:{side} w:val="single" w:sz="{size}" w:space="0" w:color="{colour}"/>'
        for side, size, colour in (("top", 12, INK), ("bottom", 12, INK), ("insideH", 4, "D5DBE1"))
    )
    room = '<w:top w:w="45" w:type="dxa"/><w:left w:w="60" w:type="dxa"/><w:bottom w:w="45" w:type="dxa"/><w:right w:w="60" w:type="dxa"/>'
    # the order of these elements is the schema's: borders, layout, margins
    properties = table._tbl.tblPr
    look = properties.find(f"{{{properties.nsmap['w']}}}tblLook")
    for tag, inner in (("tblBorders", lines), ("tblCellMar", room)):
        element = parse_xml(f"<w:{tag} {nsdecls('w')}>{inner}</w:{tag}>")
        if look is None:
            properties.append(element)
        else:
            look.addprevious(element)


def _mark(row: Any, name: str) -> None:
    """Mark a row: ``tblHeader`` is repeated on every page, ``cantSplit`` stays on one."""
    from docx.oxml import OxmlElement

    row._tr.get_or_add_trPr().append(OxmlElement(f"w:{name}"))


def _without_times(content: bytes) -> bytes:
    """The same archive with every member dated alike, so that one record gives one file."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(member, source.read(name))
    return buffer.getvalue()
