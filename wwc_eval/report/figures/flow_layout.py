"""Where the boxes of a participant flow stand: sized by their text, arms in columns, exclusions at the side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from wwc_eval.data.flow import Flow, FlowBox
from wwc_eval.report.figures.textsize import wrap
from wwc_eval.report.words import clean, counts_text, title_case

__all__ = ["STAGES", "STAGES_OBSERVED", "FlowLayout", "Line", "PlacedBox", "PlacedText", "layout_flow"]

STAGES = {
    "received": "Enrolment",
    "excluded": "Enrolment",
    "allocated": "Allocation",
    "lost": "Follow-up",
    "analysed": "Analysis",
}
STAGES_OBSERVED = STAGES | {"received": "Data", "excluded": "Data", "allocated": "Arms", "lost": "Outcomes"}
"""Stages where nobody enrolled or allocated: arms were found, not formed."""
WIDTH = 900.0
GUTTER = 104.0
PAD = 12.0
GAP = 34.0
COLUMN_GAP = 22.0
WIDEST = 400.0  # of a column
SPAN = 372.0  # of a box across the arms
HEAD_SIZE = 14.0
BODY_SIZE = 13.0
LEADING = 1.38
INDENT = 12.0


@dataclass(frozen=True, kw_only=True)
class PlacedText:
    """A line of text with its baseline; ``box`` is the index of the box that holds it, -1 for none."""

    text: str
    x: float
    y: float
    size: float
    bold: bool = False
    box: int = -1
    role: str = "body"


@dataclass(frozen=True, kw_only=True)
class PlacedBox:
    """A rectangle; ``role`` is ``plain``, ``side`` (excluded, lost) or ``arm`` (the head of a column)."""

    x: float
    y: float
    width: float
    height: float
    role: str = "plain"

    @property
    def middle(self) -> float:
        """Horizontal centre."""
        return self.x + self.width / 2


@dataclass(frozen=True, kw_only=True)
class Line:
    """A polyline, with an arrow head at its end or not."""

    points: tuple[tuple[float, float], ...]
    arrow: bool = False


@dataclass(frozen=True, kw_only=True)
class FlowLayout:
    """Everything to draw."""

    width: float
    height: float
    boxes: tuple[PlacedBox, ...]
    texts: tuple[PlacedText, ...]
    lines: tuple[Line, ...]


def layout_flow(
    flow: Flow, units: Mapping[str, str] | None = None, stages: Mapping[str, str] = STAGES
) -> FlowLayout:
    """Place a flow.

    Parameters
    ----------
    flow : Flow
        Boxes from top to bottom.
    units : mapping, optional
        Plural words of a unit to its singular (``families`` to ``family``), for counts of one.
    stages : mapping
        Word at the side for each kind of box.
    """
    return _Placer(flow, units or {}, stages).place()


class _Placer:
    """Places one flow from top to bottom; ``y`` is where the next row starts."""

    def __init__(self, flow: Flow, singular: Mapping[str, str], stages: Mapping[str, str]) -> None:
        self.flow = flow
        self.singular = singular
        self.stages = stages
        self.boxes: list[PlacedBox] = []
        self.texts: list[PlacedText] = []
        self.lines: list[Line] = []
        self.y = 8.0
        self.stage = ""
        arms = max(len(flow.arms), 1)
        self.column = min((WIDTH - 1.0 - GUTTER - (arms - 1) * COLUMN_GAP) / arms, WIDEST)
        used = arms * self.column + (arms - 1) * COLUMN_GAP
        self.left = GUTTER + (WIDTH - GUTTER - used) / 2
        self.centre = self.left + used / 2
        # bottom of what an arrow starts from: the spine, then each arm's column
        self.spine: float | None = None
        self.tails: dict[str, float] = {}

    def place(self) -> FlowLayout:
        for row in _rows(self.flow):
            if row[0].arm is not None:
                self._arm_row(row)
            elif row[0].kind == "excluded" and self.spine is not None:
                self._side_box(row[0])
            else:
                self._spanning_box(row[0])
        height = max((box.y + box.height for box in self.boxes), default=self.y) + 8.0
        return FlowLayout(
            width=WIDTH,
            height=round(height, 1),
            boxes=tuple(self.boxes),
            texts=tuple(self.texts),
            lines=tuple(self.lines),
        )

    def _spanning_box(self, box: FlowBox) -> None:
        width = SPAN
        lines = self._content(box, width)
        x, top = self.centre - width / 2, self.y
        sources = [(self.centre, self.spine)] if self.spine is not None and not self.tails else []
        sources += [(self._column_centre(arm), bottom) for arm, bottom in self.tails.items()]
        for start, bottom in sources:
            self._arrow(start, bottom, self.centre, top)
        self._mark_stage(box.kind, top)
        self.spine = self._put(lines, PlacedBox(x=x, y=top, width=width, height=_height(lines)))
        self.tails = {}
        self.y = self.spine + GAP

    def _side_box(self, box: FlowBox) -> None:
        """Exclusions stand at the right of the spine, which runs on below them."""
        x = self.centre + 30.0
        width = WIDTH - 1.0 - x
        lines = self._content(box, width)
        height = _height(lines)
        # the spine passes through: it starts at the box above and is drawn when the next box is placed
        bottom = self._put(lines, PlacedBox(x=x, y=self.y, width=width, height=height, role="side"))
        self.lines.append(Line(points=((self.centre, self.y + height / 2), (x, self.y + height / 2)), arrow=True))
        self._mark_stage(box.kind, self.y)
        self.y = bottom + GAP

    def _arm_row(self, row: Sequence[FlowBox]) -> None:
        if not self.tails:
            self._heads()
        contents = {box.arm: self._content(box, self.column) for box in row if box.arm is not None}
        height = max(_height(lines) for lines in contents.values())
        role = "side" if row[0].kind in {"excluded", "lost"} else "plain"
        self._mark_stage(row[0].kind, self.y)
        for arm, lines in contents.items():
            middle = self._column_centre(arm)
            self._arrow(middle, self.tails[arm], middle, self.y)
            left = middle - self.column / 2
            placed = PlacedBox(x=left, y=self.y, width=self.column, height=height, role=role)
            self.tails[arm] = self._put(lines, placed)
        self.y += height + GAP

    def _heads(self) -> None:
        """The name of each arm at the head of its column, joined to the spine by one rail."""
        names = {
            arm: wrap(title_case(clean(arm)), self.column - 2 * PAD, HEAD_SIZE, bold=True, lines=4)
            for arm in self._arms()
        }
        height = max(len(lines) for lines in names.values()) * HEAD_SIZE * LEADING + 14.0
        for arm, lines in names.items():
            middle = self._column_centre(arm)
            if self.spine is not None:
                self._arrow(self.centre, self.spine, middle, self.y)
            index = len(self.boxes)
            self.boxes.append(
                PlacedBox(x=middle - self.column / 2, y=self.y, width=self.column, height=height, role="arm")
            )
            top = self.y + (height - len(lines) * HEAD_SIZE * LEADING) / 2
            for position, text in enumerate(lines):
                baseline = top + (position + 0.76) * HEAD_SIZE * LEADING
                self.texts.append(
                    PlacedText(text=text, x=middle, y=baseline, size=HEAD_SIZE, bold=True, box=index, role="arm")
                )
            self.tails[arm] = self.y + height
        self._mark_stage("allocated", self.y)
        self.y += height + 20.0

    def _arms(self) -> list[str]:
        """Arms as declared, and after them any that only a box names."""
        named = [box.arm for box in self.flow.boxes if box.arm is not None]
        return list(dict.fromkeys([*self.flow.arms, *named]))

    def _column_centre(self, arm: str) -> float:
        position = self._arms().index(arm)
        return self.left + self.column / 2 + position * (self.column + COLUMN_GAP)

    def _arrow(self, x0: float, y0: float, x1: float, y1: float) -> None:
        if abs(x0 - x1) < 0.1:
            self.lines.append(Line(points=((x1, y0), (x1, y1)), arrow=True))
            return
        rail = y1 - GAP / 2
        self.lines.append(Line(points=((x0, y0), (x0, rail), (x1, rail), (x1, y1)), arrow=True))

    def _mark_stage(self, kind: str, y: float) -> None:
        stage = self.stages.get(kind, title_case(clean(kind)))
        if stage == self.stage:
            return
        self.stage = stage
        lines = wrap(stage, GUTTER - 14.0, BODY_SIZE, bold=True, lines=2)
        for position, text in enumerate(lines):
            baseline = y + 20.0 + position * BODY_SIZE * LEADING
            self.texts.append(PlacedText(text=text, x=0.0, y=baseline, size=BODY_SIZE, bold=True, role="stage"))

    def _content(self, box: FlowBox, width: float) -> list[PlacedText]:
        """Lines of a box, placed from its upper left corner."""
        inner = width - 2 * PAD
        texts: list[PlacedText] = []
        y = PAD

        def add(words: str, size: float, *, bold: bool = False, indent: float = 0.0, bullet: str = "") -> None:
            nonlocal y
            for position, line in enumerate(wrap(clean(words), inner - indent, size, bold=bold)):
                y += size * LEADING
                if bullet and position == 0:
                    texts.append(PlacedText(text=bullet, x=PAD, y=y - size * 0.32, size=size))
                texts.append(PlacedText(text=line, x=PAD + indent, y=y - size * 0.32, size=size, bold=bold))

        add(box.label, HEAD_SIZE, bold=True)
        if box.counts:
            add(self._counts(box.counts), HEAD_SIZE)
        if box.reasons:
            y += 4.0
        for reason, counts in box.reasons:
            add(f"{reason}: {self._counts(counts)}" if counts else reason, BODY_SIZE, indent=INDENT, bullet="•")
        return texts

    def _counts(self, counts: Mapping[str, int | str]) -> str:
        """Counts whose figures stay on the line of their units."""
        parts = (counts_text({unit: count}, self.singular) for unit, count in counts.items())
        return ", ".join(part.replace(" ", "\u00a0") for part in parts)

    def _put(self, lines: Sequence[PlacedText], box: PlacedBox) -> float:
        """Add a box with its lines; returns its lower edge."""
        index = len(self.boxes)
        self.boxes.append(box)
        self.texts += [replace(line, x=box.x + line.x, y=box.y + line.y, box=index) for line in lines]
        return box.y + box.height


def _height(lines: Sequence[PlacedText]) -> float:
    return max(line.y + line.size * 0.32 for line in lines) + PAD - 2.0


def _rows(flow: Flow) -> list[list[FlowBox]]:
    """Boxes by row: those that span the arms alone, those of arms beside the others of their stage."""
    rows: list[list[FlowBox]] = []
    for by_arm, group in groupby(flow.boxes, key=lambda box: box.arm is not None):
        boxes = list(group)
        rows += _aligned(boxes) if by_arm else [[box] for box in boxes]
    return rows


def _aligned(boxes: Sequence[FlowBox]) -> list[list[FlowBox]]:
    """Rows of boxes of arms, whether these come stage by stage or arm by arm; each arm keeps its own order."""
    order: list[tuple[str, int]] = []
    rows: dict[tuple[str, int], list[FlowBox]] = {}
    last: dict[str | None, tuple[str, int]] = {}
    seen: Counter[tuple[str | None, str]] = Counter()
    for box in boxes:
        key = (box.kind, seen[box.arm, box.kind])
        seen[box.arm, box.kind] += 1
        before = order.index(last[box.arm]) if box.arm in last else -1
        if key in rows and order.index(key) < before:
            key = (
                f"{box.kind}\0{box.arm}",
                len(order),
            )  # this arm has its stages in another order: a row of its own
        if key not in rows:
            order.insert(before + 1 if box.arm in last else len(order), key)
        rows.setdefault(key, []).append(box)
        last[box.arm] = key
    return [rows[key] for key in order]
