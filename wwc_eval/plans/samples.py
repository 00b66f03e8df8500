"""Who was in each analysis, by arm, and which of those counts may be shown beside each other.

Two analyses of nearly the same rows differ by few, and an arm's size less its events gives the others: so the samples
of every analysis go into one system of counts with the flow and the tables, and are protected together. A set of rows
has one key wherever it is counted: what the flow calls analysed and what an analysis used are the same people.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
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

__all__ = ["INTERNAL", "Samples"]

INTERNAL = frozenset({"rows", "population_rows", "dropped_rows", "completed", "saturated"})
"""Parts of ``sample`` that serve to protect the others and are never shown."""


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """Rows of one analysis by arm: key of each set, its units, and its events (of trials) where the outcome has any."""

    total: Key
    used: Bools
    arms: dict[str, Key]
    events: dict[str, Key]
    trials: dict[str, Key]
    units: dict[str, Key]
    dropped: dict[str, Key]
    completed: dict[str, Key]


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
    variables : sequence of str
        Columns whose missing values are counted elsewhere in the report.
    """

    facts: Facts
    frame: pd.DataFrame
    results: Sequence[AnalysisResult]
    variables: Sequence[str] = ()
    cells: dict[Key, Cell] = field(default_factory=dict, init=False)
    sums: list[tuple[Key, Sequence[Key]]] = field(default_factory=list, init=False)
    samples: dict[str, _Sample] = field(default_factory=dict, init=False)
    masks: dict[Key, Bools] = field(default_factory=dict, init=False)
    names: dict[str, Key] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Count every sample, and tie the samples to each other, to the flow and to the missing values."""
        arm = self.frame[self.facts.document.design.arm_column].astype(object).to_numpy()
        self._in_arm = {name: arm == name for name in self.facts.arms}
        self._weight = 1.0
        self._name_known()
        for result in self.results:
            if "rows" in result.sample:
                self.samples[result.id] = self._sample(result)
        self._tie_nested()

    @property
    def counts(self) -> Counts:
        """Counts of every sample, for :func:`wwc_eval.data.counts.protect`."""
        return Counts(tuple(self.cells.values()), tuple(self.sums))

    def close_pairs(self, threshold: int) -> list[str]:
        """Sentences on analyses whose samples differ by fewer rows than the threshold."""
        unique = {sample.total: (name, sample.used) for name, sample in self.samples.items()}
        return [
            f"The samples of '{first}' and '{second}' differ by fewer than {threshold} rows: "
            "check the output for disclosure by difference."
            for (first, one), (second, other) in combinations(unique.values(), 2)
            if 0 < int((one ^ other).sum()) < threshold
        ]

    def show(self, protected: Protected) -> list[AnalysisResult]:
        """The results with only those counts and figures that may be shown."""
        return [self._shown(result, protected) if result.id in self.samples else result for result in self.results]

    # --- sets of rows that other parts of the report count too

    def _name_known(self) -> None:
        """Give the sets that the flow and the missing values count the keys that they have there."""
        everyone = np.ones(len(self.frame), dtype=bool)
        primary = self.facts.primary
        observed = self.frame[primary.name].notna().to_numpy() if primary is not None else everyone
        self._name(everyone, ("rows", "allocated"))
        self._name(everyone & observed, ("rows", "analysed"))
        for name, here in self._in_arm.items():
            self._name(here, ("rows", "allocated", name))
            self._name(here & observed, ("rows", "analysed", name))
        for column in self.variables:
            missing = self.frame[column].isna().to_numpy()
            self._name(missing, ("rows", "missing", column))
            for name, here in self._in_arm.items():
                self._name(missing & here, ("rows", "missing", column, name))
                self._name(~missing & here, ("rows", "present", column, name))

    def _name(self, mask: Bools, key: tuple[str, ...]) -> None:
        if not mask.any():
            return  # the empty set is many sets
        # whether it is shown is decided where it is counted first
        size = key[1] == "allocated"
        self.cells[key] = Cell(key=key, value=int(mask.sum()), shown=False, plain_zero=True, size=size)
        known = self.names.setdefault(_digest(mask), key)
        self.masks.setdefault(key, mask)
        if known != key:
            self._sum(known, [key])

    # --- one analysis

    def _sample(self, result: AnalysisResult) -> _Sample:
        # where something must be hidden, the planned analyses keep their counts before those that vary them
        self._weight = 6.0 if result.of is None else 1.0
        used = self._mask(result.sample["rows"])
        received = self._mask(result.sample["population_rows"])
        outcome = self.facts.outcomes[result.outcome]
        arms: dict[str, Key] = {}
        events: dict[str, Key] = {}
        trials: dict[str, Key] = {}
        units: dict[str, Key] = {}
        for name, here in self._in_arm.items():
            rows = used & here
            arms[name] = self._rows(rows)
            if outcome.trials is not None:
                events[name], trials[name] = self._successes(outcome.name, outcome.trials, rows)
            elif outcome.type == "binary":
                happened = (self.frame[outcome.name] == 1).fillna(value=False).to_numpy(dtype=bool)
                events[name] = self._rows(rows & happened)
                self._sum(arms[name], [events[name], self._rows(rows & ~happened, shown=False)])
            if self.facts.unit_column and not self.facts.rows_are_units:
                units[name] = self._units(arms[name], rows)
        total = self._rows(used, fixed=True)
        self._sum(total, list(arms.values()))
        if units and result.sample.get("cluster") == self.facts.unit_column:
            self._cell(
                ("units", "of", total), sum(int(self.cells[key].value) for key in units.values()), fixed=True
            )
            self._sum(("units", "of", total), list(units.values()))
        return _Sample(
            total=total,
            used=used,
            arms=arms,
            events=events,
            trials=trials,
            units=units,
            dropped=self._dropped(result, received & ~used, total, received),
            completed={name: self._completed(name, used) for name in result.sample.get("completed", {})},
        )

    def _successes(self, column: str, trials: str, rows: Bools) -> tuple[Key, Key]:
        """Keys of the successes and of the trials of a set of rows; the failures follow from both."""
        within = _digest(rows)
        found, among = (int(self.frame.loc[rows, name].sum()) for name in (column, trials))
        successes, failures, total = (
            (what, column, trials, within) for what in ("successes", "failures", "trials")
        )
        for key, value in ((successes, found), (failures, among - found), (total, among)):
            self._cell(key, value, shown=key != failures)
        self._sum(total, [successes, failures])
        return successes, total

    def _completed(self, column: str, used: Bools) -> Key:
        """Rows used in which a covariate was missing: some of all that lack it."""
        missing = self.frame[column].isna().to_numpy()
        key = self._rows(used & missing)
        self._sum(self._rows(missing, shown=False), [key, self._rows(missing & ~used, shown=False)])
        return key

    def _mask(self, positions: NDArray[np.int64]) -> Bools:
        mask = np.zeros(len(self.frame), dtype=bool)
        mask[positions] = True
        return mask

    def _dropped(self, result: AnalysisResult, gone: Bools, used: Key, received: Bools) -> dict[str, Key]:
        """Rows that each column took out; where no row lacks two of them they add up to all that are gone."""
        masks = {name: self._mask(rows) for name, rows in result.sample["dropped_rows"].items()}
        keys = {name: self._rows(mask) for name, mask in masks.items()}
        everyone, lost = self._rows(received, shown=False), self._rows(gone, shown=False)
        self._sum(everyone, [used, lost])
        if sum(int(mask.sum()) for mask in masks.values()) == int(gone.sum()):
            self._sum(lost, list(keys.values()))
        return keys

    def _units(self, key: Key, rows: Bools) -> Key:
        """Key of the randomised units of a set of rows; the flow counts some of the sets as well."""
        stage = key[1] if isinstance(key, tuple) else None
        arm = key[2] if isinstance(key, tuple) and stage in {"allocated", "analysed"} and len(key) == 3 else None
        unit: Key = ("units", stage, arm) if arm is not None else ("units", "sample", key)
        self._cell(unit, int(self.frame.loc[rows, self.facts.unit_column].nunique()))
        return unit

    def _rows(self, mask: Bools, *, shown: bool = True, fixed: bool = False) -> Key:
        """Key of a set of rows: the same set has the same key wherever it appears."""
        digest = _digest(mask)
        key: Key = self.names.get(digest, ("rows", "set", digest))
        self.masks.setdefault(key, mask)
        self._cell(key, int(mask.sum()), shown=shown, fixed=fixed)
        return key

    def _cell(self, key: Key, value: int, *, shown: bool = True, fixed: bool = False) -> None:
        known = self.cells.get(key)
        if known is not None:
            self.cells[key] = replace(known, shown=shown or known.shown, fixed=fixed or known.fixed)
        else:
            self.cells[key] = Cell(key=key, value=value, shown=shown, fixed=fixed, weight=self._weight)

    def _sum(self, total: Key, parts: list[Key]) -> None:
        # an empty part may stand for several sets, and a set may be its own only part
        distinct = [part for part in dict.fromkeys(parts) if self.cells[part].value > 0]
        if distinct and distinct != [total]:
            self.sums.append((total, distinct))

    # --- one analysis beside another

    def _tie_nested(self) -> None:
        """A sample inside another, or inside an arm, gives away the rows and units between them."""
        for name in self.facts.arms:
            flow: list[Key] = [("rows", "allocated", name), ("rows", "analysed", name)]
            found = [key for key in flow if key in self.cells]
            found += [sample.arms[name] for sample in self.samples.values()]
            units = {sample.arms[name]: sample.units.get(name) for sample in self.samples.values()}
            for first, second in combinations(dict.fromkeys(found), 2):
                inner, outer = sorted((first, second), key=lambda key: self.cells[key].value)
                small, large = self.masks[inner], self.masks[outer]
                if (small & ~large).any() or not small.any():
                    continue
                self._sum(outer, [inner, self._rows(large & ~small, shown=False)])
                one, other = units.get(inner), units.get(outer)
                if one is not None and other is not None and one != other:
                    between: Key = ("units", "between", inner, outer)
                    self._cell(between, int(self.cells[other].value - self.cells[one].value), shown=False)
                    self._sum(other, [one, between])

    # --- what is shown

    def _shown(self, result: AnalysisResult, protected: Protected) -> AnalysisResult:
        sample, rule = self.samples[result.id], protected.rule
        if rule.is_small(int(self.cells[sample.total].value)):
            return _withheld(result, f"an analysis of fewer than {rule.threshold} rows", n=rule.small_label)
        counted = (*sample.arms.values(), *sample.events.values(), *sample.trials.values())
        hidden = any(protected.is_hidden(key) for key in counted)
        n = rule.rounded(int(self.cells[sample.total].value))
        if hidden and result.sample.get("saturated"):
            # the figures of such a model are the counts in another form
            return _withheld(
                result, "an unadjusted comparison, from which counts that are hidden would follow", n=n
            )
        raw = {key: value for key, value in result.sample.items() if key not in INTERNAL}
        by_arm = {}
        for name, entry in raw["by_arm"].items():
            shown = {**entry, "n": protected[sample.arms[name]]}
            if name in sample.units:
                shown["n_clusters"] = protected[sample.units[name]]
            among = sample.trials.get(name)
            if among is not None:
                shown["trials"] = protected[among]
            by_arm[name] = shown | _outcome(entry, among or sample.arms[name], sample.events.get(name), protected)
        counts = {column: protected[key] for column, key in sample.dropped.items()}
        notes = tuple(
            f"{name}: missing in {protected[sample.completed[name]]} rows, {how}."
            for name, how in result.sample.get("completed", {}).items()
        )
        groups = None if raw["n_clusters"] is None else rule.rounded(int(raw["n_clusters"]))
        return replace(
            result,
            estimates=tuple(item.replace(n=n, n_clusters=groups) for item in result.estimates),
            sample={**raw, "n": n, "n_clusters": groups, "by_arm": by_arm, "dropped": counts},
            notes=(*notes, *result.notes),
        )


def _withheld(result: AnalysisResult, what: str, *, n: int | str) -> AnalysisResult:
    """The result without its figures."""
    return replace(
        result,
        estimates=(),
        coefficients=(),
        supplements=(),
        adjusted={},
        status="withheld",
        message=f"Not shown: {what}.",
        sample={"n": n, "population": result.sample.get("population")},
    )


def _digest(mask: Bools) -> str:
    return hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()


def _outcome(entry: Mapping[str, Any], n: Key, events: Key | None, protected: Protected) -> dict[str, Any]:
    """Events and their share, or mean and SD; what would give a hidden count away goes with it."""
    if events is None:
        names = ("mean", "sd")
        if protected.is_hidden(n):
            return dict.fromkeys(names, protected.rule.hidden_label)
        return {name: _finite(entry[name]) for name in names}
    if protected.is_hidden(n) or protected.is_hidden(events):
        return {"events": protected[events], "mean": protected.rule.hidden_label}
    if protected.rule.rounding != 1:
        shown, people = protected[events], protected[n]
        share = int(shown) / int(people) if people else math.nan
        return {"events": shown, "mean": _finite(share)}
    return {"events": protected[events], "mean": _finite(entry["mean"])}


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
