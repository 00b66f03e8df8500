"""Who was in each analysis, by arm, and which of those counts may be shown beside each other.

Two analyses of nearly the same rows differ by few, and an arm's size less its events gives the others: so the samples
of every analysis go into one system of counts with the flow and the tables, and are protected together.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.counts import Cell, Counts, Key, Protected
from wwc_eval.plans.facts import Facts
from wwc_eval.report.record import AnalysisResult

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]

__all__ = ["Samples"]


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """Rows of one analysis by arm: digest of each set, its size, and its events where the outcome has any."""

    arms: dict[str, Key]
    events: dict[str, Key]
    units: dict[str, Key]
    dropped: dict[str, Key]


@dataclass
class Samples:
    """The samples of a run.

    Parameters
    ----------
    facts : Facts
        The plan.
    frame : DataFrame
        Included rows, in the order that ``sample["rows"]`` counts them.
    results : sequence of AnalysisResult
        Analyses whose ``sample`` holds ``rows``, the positions used.
    """

    facts: Facts
    frame: pd.DataFrame
    results: Sequence[AnalysisResult]
    cells: dict[Key, Cell] = field(default_factory=dict, init=False)
    sums: list[tuple[Key, Sequence[Key]]] = field(default_factory=list, init=False)
    samples: dict[str, _Sample] = field(default_factory=dict, init=False)
    masks: dict[Key, Bools] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Count every sample, and tie the samples to each other and to the flow."""
        arm = self.frame[self.facts.document.design.arm_column].astype(object).to_numpy()
        self._in_arm = {name: arm == name for name in self.facts.arms}
        for result in self.results:
            if "rows" in result.sample:
                self.samples[result.id] = self._sample(result)
        self._tie_nested()
        self._tie_flow()

    @property
    def counts(self) -> Counts:
        """Counts of every sample, for :func:`wwc_eval.data.counts.protect`."""
        return Counts(tuple(self.cells.values()), tuple(self.sums))

    def close_pairs(self, threshold: int) -> list[str]:
        """Sentences on analyses whose samples differ by fewer rows than the threshold."""
        sizes = {
            key: (int(result.sample["n"]), result.id) for result in self.results if (key := self._total(result))
        }
        return [
            f"The samples of '{first}' and '{second}' differ by fewer than {threshold} rows: "
            "check the output for disclosure by difference."
            for (n, first), (m, second) in combinations(sizes.values(), 2)
            if 0 < abs(n - m) < threshold
        ]

    def show(self, protected: Protected) -> list[AnalysisResult]:
        """The results with only those counts that may be shown."""
        return [
            replace(result, sample=self._shown(result, protected)) if result.id in self.samples else result
            for result in self.results
        ]

    def _total(self, result: AnalysisResult) -> str | None:
        rows = result.sample.get("rows")
        return None if rows is None else hashlib.sha256(np.sort(rows).tobytes()).hexdigest()

    def _sample(self, result: AnalysisResult) -> _Sample:
        used = np.zeros(len(self.frame), dtype=bool)
        used[result.sample["rows"]] = True
        outcome = self.facts.outcomes[result.outcome]
        arms: dict[str, Key] = {}
        events: dict[str, Key] = {}
        units: dict[str, Key] = {}
        for name, here in self._in_arm.items():
            rows = used & here
            arms[name] = self._rows(rows)
            if outcome.type == "binary":
                happened = (self.frame[outcome.name] == 1).fillna(value=False).to_numpy(dtype=bool)
                events[name] = self._rows(rows & happened)
                self._sum(arms[name], [events[name], self._rows(rows & ~happened, shown=False)])
            if self.facts.unit_column and not self.facts.rows_are_units:
                number = int(self.frame.loc[rows, self.facts.unit_column].nunique())
                units[name] = ("units", "sample", arms[name])
                self._cell(units[name], number)
        total = self._rows(used, fixed=True)
        self._sum(total, list(arms.values()))
        dropped = {}
        for column in result.sample.get("dropped", {}):
            gone = self.frame[column].isna().to_numpy() if column in self.frame else ~used
            dropped[column] = self._rows(gone & ~used)
        return _Sample(arms=arms, events=events, units=units, dropped=dropped)

    def _rows(self, mask: Bools, *, shown: bool = True, fixed: bool = False) -> Key:
        """Key of a set of rows: the same set has the same key wherever it appears."""
        key: Key = ("rows", "set", hashlib.sha256(np.packbits(mask).tobytes()).hexdigest())
        self.masks.setdefault(key, mask)
        self._cell(key, int(mask.sum()), shown=shown, fixed=fixed)
        return key

    def _cell(self, key: Key, value: int, *, shown: bool = True, fixed: bool = False) -> None:
        known = self.cells.get(key)
        if known is not None:
            shown, fixed = shown or known.shown, fixed or known.fixed
        self.cells[key] = Cell(key=key, value=value, shown=shown, fixed=fixed, weight=3.0 if fixed else 2.0)

    def _sum(self, total: Key, parts: list[Key]) -> None:
        # an empty part may stand for several sets, and a set may be its own only part
        distinct = [part for part in dict.fromkeys(parts) if self.cells[part].value > 0]
        if distinct and distinct != [total]:
            self.sums.append((total, distinct))

    def _tie_nested(self) -> None:
        """A sample inside another gives away the rows between them, by arm."""
        for name in self.facts.arms:
            keys = list(dict.fromkeys(sample.arms[name] for sample in self.samples.values()))
            for first, second in combinations(keys, 2):
                inner, outer = sorted((first, second), key=lambda key: self.cells[key].value)
                small, large = self.masks[inner], self.masks[outer]
                if not (small & ~large).any() and self._apart(inner, outer):
                    self._sum(outer, [inner, self._rows(large & ~small, shown=False)])

    def _apart(self, inner: Key, outer: Key) -> bool:
        """Whether the whole samples differ by enough for their arms to be protected at all."""
        threshold = self.facts.document.disclosure.threshold
        sizes = {
            key: sum(self.cells[part].value for part in sample.arms.values())
            for sample in self.samples.values()
            for key in sample.arms.values()
        }
        return abs(sizes[outer] - sizes[inner]) >= threshold

    def _tie_flow(self) -> None:
        """The flow's boxes hold the rows with and without the primary outcome, by arm."""
        primary = self.facts.primary
        if primary is None:
            return
        observed = self.frame[primary.name].notna().to_numpy()
        for name, here in self._in_arm.items():
            key: Key = ("rows", "set", hashlib.sha256(np.packbits(observed & here).tobytes()).hexdigest())
            if key in self.cells:
                analysed: Key = ("rows", "analysed", name)
                self._cell(analysed, self.cells[key].value)
                self.sums.append((analysed, [key]))

    def _shown(self, result: AnalysisResult, protected: Protected) -> dict[str, Any]:
        sample = self.samples[result.id]
        raw = {key: value for key, value in result.sample.items() if key != "rows"}
        by_arm = {}
        for name, entry in raw["by_arm"].items():
            shown = {**entry, "n": protected[sample.arms[name]]}
            if name in sample.units:
                shown["n_clusters"] = protected[sample.units[name]]
            if name in sample.events:
                shown |= _events(entry, sample.events[name], protected)
            by_arm[name] = shown
        dropped = {column: protected[key] for column, key in sample.dropped.items()}
        return {**raw, "by_arm": by_arm, "dropped": dropped}


def _events(entry: dict[str, Any], key: Key, protected: Protected) -> dict[str, Any]:
    """Events and their share; the share goes where the events go."""
    if protected.is_hidden(key):
        return {"events": protected[key], "mean": protected[key]}
    mean = float(entry["mean"])
    return {"events": protected[key], "mean": None if math.isnan(mean) else mean}
