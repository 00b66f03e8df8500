"""Rows of a plan by condition, and the cells of a stepped wedge against what the plan says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import Place, Problem, did_you_mean, shown
from wwc_eval.formula import parse_condition
from wwc_eval.report.schedule import cell_state

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from wwc_eval.plans.document import Wedge
    from wwc_eval.plans.facts import Facts

__all__ = ["period_order", "rows_where", "wedge_problems"]

Lists = Mapping[str, Mapping[str, Sequence[Any]]]


def rows_where(frame: pd.DataFrame, rule: str, lists: Lists) -> tuple[NDArray[np.bool_], int]:
    """Rows for which a condition holds, and the number for which it cannot be told (a missing value)."""
    import numpy as np

    condition = parse_condition(rule)
    columns = sorted(condition.columns)
    named = {
        name: lists[name][next((column for column in columns if column in lists[name]), next(iter(lists[name])))]
        for name in condition.names
    }
    holds = condition.evaluate(frame, lists=named)
    return holds.fillna(value=False).to_numpy(dtype=np.bool_), int(holds.isna().sum())


def wedge_problems(facts: Facts, frame: pd.DataFrame, lists: Lists, file: str) -> list[Problem]:
    """What the arms of the data have against a stepped wedge, rows in transition left aside.

    Every cell of cluster and period has one arm, no cluster goes back to the comparator, and arms agree with periods
    and go-live dates where the plan gives them.
    """
    design = facts.document.design
    wedge, unit = design.wedge, facts.unit_column
    if wedge is None or unit is None:
        return []
    settled = frame
    if wedge.transition is not None:
        settled = frame.loc[~rows_where(frame, wedge.transition, lists)[0]]
    cells = settled[[unit, wedge.period, design.arm_column]].dropna()
    rows = cells.drop_duplicates()
    first = {tuple(map(str, row)): int(index) + 2 for index, row in zip(rows.index, rows.to_numpy(), strict=True)}
    arms: dict[tuple[str, str], list[str]] = {}
    for cluster, period, arm in first:
        arms.setdefault((cluster, period), []).append(arm)
    order = period_order(facts, wedge, {period for _, period in arms})
    found = [*_names(wedge, {cluster for cluster, _ in arms}, {period for _, period in arms})]
    for (cluster, period), here in sorted(arms.items(), key=lambda item: (item[0][0], order.get(item[0][1], -1))):
        place = Place(file=file, row=first[cluster, period, here[-1]], column=design.arm_column)
        found += _cell(facts, wedge, (cluster, period), here, place)
    if not found:
        found += _going_back(facts, arms, order, first, file)
    return found


def period_order(facts: Facts, wedge: Wedge, seen: set[str]) -> dict[str, int]:
    """Rank of each period: as the plan lists them, as the column declares its levels, else by number or name."""
    declared = [period.name for period in wedge.periods] or list(facts.levels.get(wedge.period, ()))
    if not declared:
        numeric = all(text.replace(".", "", 1).lstrip("-").isdigit() for text in seen)
        declared = sorted(seen, key=float) if numeric else sorted(seen)
    return {name: rank for rank, name in enumerate(declared)}


def _names(wedge: Wedge, clusters: set[str], periods: set[str]) -> Iterator[Problem]:
    """Clusters and periods of plan and data are the same."""
    for named, seen, what in (
        (set(wedge.go_live), clusters, "cluster"),
        ({period.name for period in wedge.periods}, periods, "period"),
    ):
        for name in sorted(named ^ seen) if named else ():
            where = "the data have no" if name in named else "the plan's wedge has no"
            yield Problem(
                code="D91",
                message=f"{where} {what} {shown(name)}",
                fix=did_you_mean(name, seen if name in named else named),
            )


def _cell(
    facts: Facts, wedge: Wedge, cell: tuple[str, str], here: Sequence[str], place: Place
) -> Iterator[Problem]:
    cluster, period = cell
    where = f"{facts.document.design.unit} {cluster}, period {period}"
    if len(here) > 1:
        yield Problem(
            code="D91",
            message=f"{where} has rows in several arms: {', '.join(sorted(here))}",
            place=place,
            rule="a cell of a stepped wedge has one arm, unless it is in transition",
            fix="correct the arm, or let wedge: transition: hold for these rows and leave them out",
        )
        return
    dates = next((each for each in wedge.periods if each.name == period), None)
    live = wedge.go_live.get(cluster)
    state = cell_state(dates.start, dates.end, live) if dates is not None and live is not None else None
    reference = facts.arms[0]
    if state in {"before", "after"} and (here[0] == reference) != (state == "before"):
        yield Problem(
            code="D91",
            message=f"{where} is {state} the go-live day {wedge.go_live[cluster]}, and its arm is {shown(here[0])}",
            place=place,
            rule="arms agree with periods and go_live",
            fix="correct the arm, the dates of the period, or go_live",
        )


def _going_back(
    facts: Facts,
    arms: Mapping[tuple[str, str], Sequence[str]],
    order: Mapping[str, int],
    first: Mapping[tuple[str, ...], int],
    file: str,
) -> Iterator[Problem]:
    reference, column = facts.arms[0], facts.document.design.arm_column
    crossed: dict[str, str] = {}
    for (cluster, period), (arm, *_) in sorted(arms.items(), key=lambda item: order.get(item[0][1], -1)):
        if arm != reference:
            crossed.setdefault(cluster, period)
        elif cluster in crossed:
            yield Problem(
                code="D91",
                message=f"{facts.document.design.unit} {cluster} is back in arm {shown(reference)} in period {period}",
                place=Place(file=file, row=first[cluster, period, arm], column=column),
                rule="clusters of a stepped wedge cross over once",
                fix=f"correct the arm: it crossed over in period {crossed[cluster]}",
            )
