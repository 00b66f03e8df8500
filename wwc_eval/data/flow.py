"""Participant flow: who was randomised, excluded with which reason, lost and analysed, by arm (CONSORT)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from wwc_eval.data.counts import Counts, Key, Protected
    from wwc_eval.data.disclosure import DisclosureRule

    Bools = NDArray[np.bool_]

__all__ = ["Flow", "FlowBox", "flow_counts", "participant_flow", "suppress_flow"]


@dataclass(frozen=True, kw_only=True)
class FlowBox:
    """One box of the diagram.

    Parameters
    ----------
    kind : {"received", "excluded", "allocated", "lost", "analysed"}
        Stage. ``received`` and ``excluded`` span the arms unless ``arm`` is given.
    label : str
        Words at the head of the box.
    counts : mapping
        Words of a unit (``families``, ``children``) to a count, or to a string where it is suppressed.
    arm : str, optional
        Arm that the box belongs to; None when it spans all.
    reasons : tuple of (str, mapping)
        Lines under the head: a reason and its counts.
    """

    kind: str
    label: str
    counts: Mapping[str, int | str]
    arm: str | None = None
    reasons: tuple[tuple[str, Mapping[str, int | str]], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Boxes of a participant flow from top to bottom, and the arms in declared order."""

    arms: tuple[str, ...]
    boxes: tuple[FlowBox, ...]
    notes: tuple[str, ...] = field(default=())

    def of(self, kind: str, arm: str | None = None) -> FlowBox | None:
        """The box of a stage and arm, or None."""
        return next((box for box in self.boxes if box.kind == kind and box.arm == arm), None)


LABELS: Mapping[str, str] = {
    "received": "Randomised",
    "excluded": "Excluded",
    "allocated": "Allocated to {arm}",
    "lost": "Lost to follow-up",
    "analysed": "Analysed",
}
"""Heads of the boxes, unless others are given."""


def participant_flow(
    frame: Any,
    *,
    arm: str,
    arms: Sequence[str],
    unit: str | None = None,
    unit_words: str = "units",
    row_words: str = "people",
    excluded: Sequence[tuple[str, Any]] = (),
    lost: Sequence[tuple[str, Any]] = (),
    outcome_missing: Any = None,
    labels: Mapping[str, str] | None = None,
) -> Flow:
    """Count who was received, excluded, allocated, lost and analysed.

    A row counts at the first reason that removes it. A unit (a family, say) is excluded, or lost, at the reason
    that removes the last of its rows; it is analysed if any of its rows is. So at every stage both units and rows
    add up: received = excluded + allocated, and in every arm allocated = lost + analysed.

    Parameters
    ----------
    frame : data frame
        One row per person, everybody received; pandas, polars or pyarrow.
    arm, arms : str, sequence of str
        Column of the arm and its levels in order.
    unit : str, optional
        Column of what was randomised, where a row is a part of it; None where each row was randomised.
    unit_words, row_words : str
        Words for them, in the plural: ``families``, ``children``.
    excluded : sequence of (str, mask)
        Reasons, in order, with true for the rows each removes. A missing truth removes nothing and is noted.
    lost : sequence of (str, mask)
        Further reasons why included rows are not analysed, before a missing outcome.
    outcome_missing : str or mask, optional
        Column of the outcome, or true where it is missing. None where nobody's is.
    labels : mapping, optional
        Other heads for some kinds of box; ``{arm}`` stands for the arm.

    Returns
    -------
    Flow

    Raises
    ------
    DataError
        If an arm is missing or undeclared, a unit stands in two arms, or a mask does not fit the frame.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame(
    ...     {"id": ["1", "1", "2", "3"], "arm": ["a", "a", "b", "b"], "age": [3, 18, 5, 6], "y": [1, 0, None, 0]}
    ... )
    >>> flow = participant_flow(
    ...     frame, arm="arm", arms=("a", "b"), unit="id", unit_words="families", row_words="children",
    ...     excluded=[("aged 18", frame["age"] >= 18)], outcome_missing="y",
    ... )
    >>> flow.of("allocated", "b").counts, flow.of("analysed", "b").counts
    ({'families': 2, 'children': 2}, {'families': 1, 'children': 1})
    """
    from wwc_eval.data.coding import codes_of, table_with

    outcome = [outcome_missing] if isinstance(outcome_missing, str) else []
    table = table_with(frame, [arm, *([unit] if unit else []), *outcome])
    if unit is not None and unit_words == row_words:
        raise DataError(f"units and rows are both called '{row_words}'", fix="give two words, or leave out unit")
    heads = {**LABELS, **(labels or {})}
    codes = codes_of(table[arm], arms)
    count = _Counter(table, codes, tuple(arms), unit, (unit_words, row_words))
    steps, notes = _steps(table, excluded, lost, outcome_missing)
    boxes = _boxes(count, codes, (steps[: len(excluded)], steps[len(excluded) :]), arms, heads)
    flow = Flow(arms=tuple(arms), boxes=tuple(boxes), notes=notes)
    flow_counts(flow)  # the sums are checked where the equations are made
    return flow


def _boxes(
    count: _Counter,
    codes: NDArray[np.int64],
    steps: tuple[Sequence[Any], Sequence[Any]],
    arms: Sequence[str],
    heads: Mapping[str, str],
) -> list[FlowBox]:
    """Boxes from those received to those analysed; ``steps`` exclude, then lose."""
    everyone = np.ones(len(codes), dtype=bool)
    out, included = _remove(count, everyone, steps[0])
    boxes = [
        FlowBox(kind="received", label=heads["received"], counts=count(everyone)),
        FlowBox(
            kind="excluded", label=heads["excluded"], counts=count.between(everyone, included), reasons=out[None]
        ),
    ]
    gone, analysed = _remove(count, included, steps[1])
    for code, name in enumerate(arms):
        here, stayed = included & (codes == code), analysed & (codes == code)
        boxes += _of_arm(count, name, here, stayed, heads=heads, reasons=gone[name])
    return boxes


def _of_arm(
    count: _Counter,
    name: str,
    here: Bools,
    stayed: Bools,
    *,
    heads: Mapping[str, str],
    reasons: Any,
) -> list[FlowBox]:
    """Boxes of one arm: who was allocated, lost and analysed."""
    lost = count.between(here, stayed)
    return [
        FlowBox(kind="allocated", label=heads["allocated"].format(arm=name), counts=count(here), arm=name),
        FlowBox(kind="lost", label=heads["lost"], counts=lost, arm=name, reasons=reasons),
        FlowBox(kind="analysed", label=heads["analysed"], counts=count(stayed), arm=name),
    ]


class _Counter:
    """Counts units and rows among rows that are still in."""

    def __init__(
        self,
        table: pd.DataFrame,
        codes: NDArray[np.int64],
        arms: tuple[str, ...],
        unit: str | None,
        words: tuple[str, str],
    ) -> None:
        self.codes, self.arms = codes, arms
        self.unit_word, self.row_word = words
        self.units: NDArray[np.int64] | None = None
        if unit is not None:
            values = table[unit]
            if values.isna().any():
                raise DataError(
                    f"{int(values.isna().sum())} rows have no '{unit}'", fix="every row needs its unit"
                )
            self.units = values.astype("category").cat.codes.to_numpy().astype(np.int64)
            pairs = len(np.unique(np.column_stack([self.units, codes]), axis=0))
            both = pairs - len(np.unique(self.units))
            if both:
                raise DataError(
                    f"{both} {self.unit_word} have rows in more than one arm",
                    fix="a unit is randomised to one arm",
                )

    def __call__(self, rows: Bools) -> dict[str, int | str]:
        """Units with a row in, and rows in."""
        people = {self.row_word: int(rows.sum())}
        if self.units is None:
            return dict(people)
        return {self.unit_word: len(np.unique(self.units[rows])), **people}

    def between(self, before: Bools, after: Bools) -> dict[str, int | str]:
        """Units and rows that were in before and are not after."""
        first, second = self(before), self(after)
        return {word: int(first[word]) - int(second[word]) for word in first}


def _steps(
    table: pd.DataFrame, excluded: Sequence[tuple[str, Any]], lost: Sequence[tuple[str, Any]], outcome_missing: Any
) -> tuple[list[tuple[str, Bools]], tuple[str, ...]]:
    """Reasons with plain masks, and notes on those that could not be judged for every row."""
    from wwc_eval.data.coding import mask_of

    steps, notes = [], []
    for reason, mask in [*excluded, *lost]:
        plain, unknown = mask_of(mask, len(table), reason)
        steps.append((reason, plain))
        if unknown:
            notes.append(f"Rows for which '{reason}' could not be judged, a value being missing, are kept.")
    if isinstance(outcome_missing, str):
        steps.append(("outcome missing", table[outcome_missing].isna().to_numpy()))
    elif outcome_missing is not None:
        steps.append(("outcome missing", mask_of(outcome_missing, len(table), "outcome missing")[0]))
    return steps, tuple(notes)


def _remove(
    count: _Counter, rows: Bools, steps: Sequence[tuple[str, Bools]]
) -> tuple[dict[str | None, tuple[tuple[str, Mapping[str, int | str]], ...]], Bools]:
    """Take rows out reason by reason: what each takes, over all arms (None) and by arm, and the rows left."""
    lines: dict[str | None, list[tuple[str, Mapping[str, int | str]]]] = {None: [], **{a: [] for a in count.arms}}
    left = rows
    for reason, mask in steps:
        now = left & ~mask
        lines[None].append((reason, count.between(left, now)))
        for code, name in enumerate(count.arms):
            here = count.codes == code
            lines[name].append((reason, count.between(left & here, now & here)))
        left = now
    return {name: tuple(found) for name, found in lines.items()}, left


def flow_counts(flow: Flow, *, outcome: str | None = None) -> Counts:
    """Counts of a flow with the sums that tie them, for :func:`wwc_eval.data.counts.protect`.

    Parameters
    ----------
    flow : Flow
        Flow of plain counts.
    outcome : str, optional
        Outcome whose missing values are the last reason of the ``lost`` boxes: ties the flow to tables of missing
        values.

    Raises
    ------
    DataError
        If the boxes do not add up.
    """
    from wwc_eval.data.counts import Cell, Counts

    words = list(flow.boxes[0].counts)
    cells: list[Cell] = []
    sums: list[tuple[Key, Sequence[Key]]] = []
    for word in words:
        level = _level(word, words)
        for box in flow.boxes:
            key = (level, box.kind, box.arm) if box.arm is not None else (level, box.kind)
            cells.append(Cell(key=key, value=int(box.counts[word]), plain_zero=True, weight=2.0))
            lines: list[Key] = []
            for reason, counts in box.reasons:
                line = (*key, "reason", reason)
                cells.append(Cell(key=line, value=int(counts[word]), plain_zero=True))
                lines.append(line)
            if lines:
                sums.append((key, lines))
            if box.kind == "lost" and outcome is not None and lines and level == "rows":
                missing: Key = ("rows", "missing", outcome, box.arm)
                cells.append(Cell(key=missing, value=int(box.reasons[-1][1][word]), plain_zero=True))
                sums.append((missing, [lines[-1]]))
        sums += [((level, "allocated", a), [(level, "lost", a), (level, "analysed", a)]) for a in flow.arms]
        for kind in ("allocated", "analysed"):
            total = sum(int(box.counts[word]) for box in flow.boxes if box.kind == kind)
            # the number analysed stands beside every estimate
            fixed = kind == "analysed" and level == "rows"
            cells.append(Cell(key=(level, kind), value=total, plain_zero=True, weight=3.0, fixed=fixed))
            sums.append(((level, kind), [(level, kind, a) for a in flow.arms]))
        sums.append(((level, "received"), [(level, "excluded"), (level, "allocated")]))
    return Counts(cells, sums)


def suppress_flow(flow: Flow, by: DisclosureRule | Protected) -> Flow:
    """The flow as it may be shown: text in place of small counts and of what would give them away.

    Parameters
    ----------
    flow : Flow
        Flow of plain counts.
    by : DisclosureRule or Protected
        A rule, for a flow that stands alone; or what :func:`wwc_eval.data.counts.protect` decided for the whole
        report, ``flow_counts(flow)`` among it.

    Examples
    --------
    >>> import pandas as pd
    >>> from wwc_eval.data.disclosure import DisclosureRule
    >>> frame = pd.DataFrame({"arm": ["a", "b"] * 50, "y": [None] * 4 + [1] * 96})
    >>> flow = participant_flow(frame, arm="arm", arms=("a", "b"), outcome_missing="y")
    >>> suppress_flow(flow, DisclosureRule()).of("lost", "a").counts
    {'people': '<10'}
    """
    from wwc_eval.data.counts import as_protected

    protected = as_protected(by, flow_counts(flow))
    words = list(flow.boxes[0].counts)

    def safe(key: tuple[Any, ...], counts: Mapping[str, int | str]) -> dict[str, int | str]:
        return {word: protected[_level(word, words), *key] for word in counts}

    boxes = []
    for box in flow.boxes:
        key = (box.kind, box.arm) if box.arm is not None else (box.kind,)
        reasons = tuple((reason, safe((*key, "reason", reason), counts)) for reason, counts in box.reasons)
        boxes.append(replace(box, counts=safe(key, box.counts), reasons=reasons))
    texts = {
        value
        for box in boxes
        for counts in (box.counts, *(c for _, c in box.reasons))
        for value in counts.values()
        if isinstance(value, str)
    }
    rule = protected.rule
    notes = rule.notes(small=rule.small_label in texts, hidden=rule.hidden_label in texts)
    return Flow(arms=flow.arms, boxes=tuple(boxes), notes=(*flow.notes, *notes))


def _level(word: str, words: Sequence[str]) -> str:
    """``rows`` for the last word of the counts, ``units`` for one before it."""
    return "rows" if word == words[-1] else "units"
