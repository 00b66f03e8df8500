"""The baseline table as it may be shown: nothing in it can be worked back to a hidden count.

Where a count of missing values is hidden, shares are of everybody in the arm and means are rounded, because a
share or a mean at full precision gives away the number it was divided by. Where levels are hidden, the
standardised difference is of the distribution with those levels merged, which the shown counts give anyhow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wwc_eval.data.balance import smd_categories, smd_means, smd_proportions
from wwc_eval.data.baseline import largest_between
from wwc_eval.table import Column, Table, format_count, format_number, format_percent

if TYPE_CHECKING:
    from wwc_eval.data.baseline import Baseline, BaselineVariable, Summary
    from wwc_eval.data.counts import Protected

__all__ = ["baseline_dicts", "show_baseline"]

RESERVED = ("characteristic", "level", "smd", "between")
SHARES_OF_ALL = "Where the number missing is not shown, shares are of everybody in the arm."
SMD_WORDS = (
    "difference in means or shares over the pooled standard deviation",
    "for categories their distance (Yang and Dalton 2012), never negative",
)
MERGED = "Standardised differences of categories with levels that are not shown are after merging those levels."


class _View:
    """What may be shown of one variable."""

    def __init__(self, baseline: Baseline, variable: BaselineVariable, protected: Protected) -> None:
        self.baseline, self.variable, self.protected = baseline, variable, protected
        self.rule = protected.rule
        self.hides_missing = any(self._hidden("missing", arm) for arm in baseline.arms)
        self.merged = tuple(
            level
            for level in variable.levels
            if any(protected.is_hidden(self._level_key(level, arm)) for arm in baseline.arms)
        )

    def _key(self, what: str, arm: str) -> tuple[str, str, str, str]:
        return ("rows", what, self.variable.name, arm)

    def _level_key(self, level: str, arm: str) -> tuple[str, str, str, str, str]:
        return ("rows", "level", self.variable.name, level, arm)

    def _hidden(self, what: str, arm: str) -> bool:
        return self.protected.is_hidden(self._key(what, arm))

    def base(self, arm: str) -> int | str:
        """What shares are of: those with a value, or everybody where the number missing is hidden."""
        if self.hides_missing or self._hidden("present", arm):
            return self.protected["rows", "allocated", arm]
        return self.protected[self._key("present", arm)]

    def level(self, level: str, arm: str) -> tuple[int | str, float | str]:
        """Count and share of a level."""
        count, base = self.protected[self._level_key(level, arm)], self.base(arm)
        if isinstance(count, str) or isinstance(base, str):
            return count, self.rule.hidden_label
        return count, count / base if base else math.nan

    def moments(self, arm: str) -> tuple[float | str, float | str]:
        """Mean and SD, rounded where the number of values is hidden."""
        summary: Summary = self.variable.arms[arm]
        few = self.rule.is_small(summary.present)
        alike = self.rule.active and summary.sd == 0
        if few or alike:
            return self.rule.hidden_label, self.rule.hidden_label
        if self._hidden("present", arm) and summary.sd > 0:
            digits = decimals(summary.sd)
            return round(summary.mean, digits), round(summary.sd, digits)
        return summary.mean, summary.sd

    def smd(self) -> tuple[float | str, tuple[str, str]]:
        """Standardised difference from what is shown, or the label where that gives none."""
        arms = self.baseline.arms
        if len(arms) == 1:
            return math.nan, (arms[0], arms[0])
        if any(isinstance(self.base(arm), str) for arm in arms):
            return self.rule.hidden_label, (arms[0], arms[1])
        if self.variable.kind == "numeric":
            moments = {arm: self.moments(arm) for arm in arms}
            if any(isinstance(value, str) for pair in moments.values() for value in pair):
                return self.rule.hidden_label, (arms[0], arms[1])
            return largest_between(arms, lambda a, b: _means(moments[a], moments[b]))
        shares = {arm: self._shares(arm) for arm in arms}
        if self.merged and len(shares[arms[0]]) < 2:
            return self.rule.hidden_label, (arms[0], arms[1])
        return largest_between(arms, lambda a, b: self._distance(shares[a], shares[b]))

    def _shares(self, arm: str) -> list[float]:
        """Shares of the levels shown and, last, of everything else."""
        base = int(self.base(arm))
        counts = [
            int(self.protected[self._level_key(level, arm)])
            for level in self.variable.levels
            if level not in self.merged
        ]
        if self.merged or self.variable.kind == "binary" or self.hides_missing:
            counts.append(max(base - sum(counts), 0))
        # rounded counts need not add up to the rounded number in the arm
        whole = sum(counts)
        return [count / whole if whole else math.nan for count in counts]

    def _distance(self, first: list[float], second: list[float]) -> float:
        if any(math.isnan(share) for share in (*first, *second)):
            return math.nan
        if self.variable.kind == "binary":
            return smd_proportions(first[0], second[0])
        return smd_categories(first, second)


def _means(first: tuple[float | str, float | str], second: tuple[float | str, float | str]) -> float:
    return smd_means((float(first[0]), float(second[0])), (float(first[1]), float(second[1])))


def decimals(sd: float) -> int:
    """Decimals that show two significant digits of a standard deviation, three at the most."""
    if not (math.isfinite(sd) and sd > 0):
        return 1
    return min(max(1 - math.floor(math.log10(sd)), 0), 3)


def show_baseline(baseline: Baseline, protected: Protected, *, title: str) -> Table:
    """The baseline table: one column an arm, one row a number, no p-values."""
    names = {arm: arm if arm not in RESERVED else f"arm {arm}" for arm in baseline.arms}
    several = len(baseline.arms) > 2
    columns = [
        Column(name="characteristic"),
        Column(name="level"),
        *(Column(name=names[arm], label=arm, kind="count") for arm in baseline.arms),
        *(
            [Column(name="smd", label="standardised difference", kind="number", digits=2)]
            if len(names) > 1
            else []
        ),
        *([Column(name="between")] if several else []),
    ]
    sizes = {arm: protected["rows", "allocated", arm] for arm in baseline.arms}
    rows = [
        _row(f"number of {baseline.row_words}", "", {names[a]: _text(size) for a, size in sizes.items()}, several)
    ]
    views = [_View(baseline, variable, protected) for variable in baseline.variables]
    for view in views:
        value, pair = view.smd()
        lines = [(level, {names[a]: cell for a, cell in cells.items()}) for level, cells in _lines(view)]
        for index, (level, cells) in enumerate(lines):
            heading = view.variable.heading if index == 0 else ""
            row = _row(heading, level, cells, several)
            if index == 0 and len(names) > 1:
                row["smd"] = value
                if several:
                    row["between"] = f"{pair[1]} against {pair[0]}"
            rows.append(row)
    return Table(rows, columns, title=title, notes=_notes(baseline, views, rows, protected))


def _row(heading: str, level: str, cells: Mapping[str, str], several: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"characteristic": heading, "level": level, **cells}
    if len(cells) > 1:
        row["smd"] = ""
    return {**row, "between": ""} if several else row


def _lines(view: _View) -> list[tuple[str, dict[str, str]]]:
    """Rows of one variable: what the number is, and its text by arm."""
    arms = view.baseline.arms
    if view.variable.kind == "numeric":
        lines = [("mean (SD)", {arm: _moments_text(view, arm) for arm in arms})]
    elif view.variable.kind == "binary":
        lines = [("n (%)", {arm: _share_text(*view.level("1", arm)) for arm in arms})]
    else:
        lines = [
            (level, {arm: _share_text(*view.level(level, arm)) for arm in arms}) for level in view.variable.levels
        ]
    if any(summary.missing for summary in view.variable.arms.values()):
        lines.append(("missing", {arm: _text(view.protected[view._key("missing", arm)]) for arm in arms}))
    return lines


def _text(count: int | str) -> str:
    return count if isinstance(count, str) else format_count(count)


def _share_text(count: int | str, share: float | str) -> str:
    if isinstance(count, str) or isinstance(share, str):
        return _text(count)
    return f"{format_count(count)} ({format_percent(share)})"


def _moments_text(view: _View, arm: str) -> str:
    mean, sd = view.moments(arm)
    if isinstance(mean, str) or isinstance(sd, str):
        return str(mean)
    digits = decimals(sd)
    return f"{format_number(mean, digits)} ({format_number(sd, digits)})"


def _notes(
    baseline: Baseline, views: list[_View], rows: list[dict[str, Any]], protected: Protected
) -> tuple[str, ...]:
    rule = protected.rule
    texts = {str(value) for row in rows for value in row.values()}
    notes = []
    if len(baseline.arms) > 1:
        first, second = baseline.arms[:2]
        what = f"{second} minus {first}" if len(baseline.arms) == 2 else "the largest between any two arms"
        notes.append(f"Standardised difference: {SMD_WORDS[0]}, {what}; {SMD_WORDS[1]}.")
    if any(view.hides_missing and view.variable.kind != "numeric" for view in views):
        notes.append(SHARES_OF_ALL)
    if any(view.merged and view.variable.kind == "category" for view in views):
        notes.append(MERGED)
    return (*notes, *rule.notes(small=rule.small_label in texts, hidden=rule.hidden_label in texts))


def baseline_dicts(baseline: Baseline, protected: Protected) -> list[dict[str, Any]]:
    """Rows of raw values by variable, level and arm."""
    rows = []
    for variable in baseline.variables:
        view = _View(baseline, variable, protected)
        smd, pair = view.smd()
        shared = {"variable": variable.name, "kind": variable.kind, "smd": smd, "smd_between": list(pair)}
        for level in variable.levels or ("",):
            for arm in baseline.arms:
                missing = protected[view._key("missing", arm)]
                row = {**shared, "level": level, "arm": arm, "n": protected["rows", "allocated", arm]}
                if variable.kind == "numeric":
                    mean, sd = view.moments(arm)
                    row |= {"mean": mean, "sd": sd, "missing": missing}
                else:
                    count, share = view.level(level, arm)
                    row |= {"count": count, "proportion": share, "missing": missing}
                rows.append(row)
    return rows
