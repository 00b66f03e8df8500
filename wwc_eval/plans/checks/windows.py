"""Check of outcome windows against the days on which clusters cross over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path as FilePath

from wwc_eval.errors import Problem
from wwc_eval.plans.checks.registry import check, problem_at
from wwc_eval.plans.document import Wedge
from wwc_eval.plans.facts import Facts

DAYS_IN_MONTH = 365.25 / 12.0


@check("P22", "an outcome window that crosses a go-live date has its exposure rule")
def _windows(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    wedge = facts.document.design.wedge
    if wedge is None:
        return
    yield from _calendar(facts, wedge)
    for index, outcome in enumerate(facts.document.outcomes):
        window = outcome.window
        if window is None:
            continue
        told = _crossing(wedge, float(window.months))
        if told and window.exposure is None:
            yield problem_at(
                facts, "P22", ("outcomes", index, "window"),
                f"the window of {window.months:g} months crosses a go-live date ({told})",
                "say under exposure: which arm such a row counts for, such as 'the arm of its cell at referral'",
            )  # fmt: skip
        if not told and window.exposure is not None:
            yield problem_at(
                facts, "P22", ("outcomes", index, "window", "exposure"), "no window crosses a go-live date",
                "remove exposure, or correct periods and go_live",
            )  # fmt: skip


def _calendar(facts: Facts, wedge: Wedge) -> Iterator[Problem]:
    """Periods follow one another, and there is more than one day on which clusters cross over."""
    last: dt.date | None = None
    for index, period in enumerate(wedge.periods):
        start, end = dt.date.fromisoformat(period.start), dt.date.fromisoformat(period.end)
        if end < start or (last is not None and start <= last):
            yield problem_at(
                facts, "P22", ("design", "wedge", "periods", index),
                f"period {period.name} does not follow the one before it, or ends before it begins",
                "give periods in order, from: the first and to: the last day",
            )  # fmt: skip
        last = end
    if len(wedge.go_live) > 1 and len(set(wedge.go_live.values())) == 1:
        yield problem_at(
            facts, "P22", ("design", "wedge", "go_live"), "every cluster crosses over on the same day",
            "a stepped wedge has several steps; write kind: cluster for a parallel trial",
        )  # fmt: skip


def _crossing(wedge: Wedge, months: float) -> str:
    """The first cluster and day crossed by a window that opens before it; empty where none is.

    Without dates any window crosses: rows enter up to the day on which their cluster goes live.
    """
    if months <= 0:
        return ""
    if not wedge.go_live:
        return "rows enter until their cluster goes live"
    reach = dt.timedelta(days=months * DAYS_IN_MONTH)
    for cluster, text in sorted(wedge.go_live.items(), key=lambda item: item[1]):
        live = dt.date.fromisoformat(text)
        if not wedge.periods:
            return f"{cluster}, {text}"
        for period in wedge.periods:
            end = min(dt.date.fromisoformat(period.end), live - dt.timedelta(days=1))
            if dt.date.fromisoformat(period.start) < live <= end + reach:
                return f"{cluster}, {text}, for rows of period {period.name}"
    return ""
