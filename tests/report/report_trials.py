"""Records that try the report: many arms, many analyses, failed fits, hostile texts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from report_records import (
    ARMS,
    DEVIATION,
    N,
    analysis,
    baseline,
    draft,
    effect,
    failed_effect,
    flow,
    locked,
    missingness,
    secondaries,
)

from wwc_eval.data.flow import Flow
from wwc_eval.report.record import DataFile, RunRecord
from wwc_eval.table import Table


def many_arms() -> RunRecord:
    """Four arms, three contrasts an analysis."""
    arms = ("usual", "phone call", "conference", "conference with advocate and a named lead practitioner")
    sizes = {arm: {"n": 590 + 7 * k, "n_clusters": 350 + k, "events": 260 - 22 * k} for k, arm in enumerate(arms)}
    effects = tuple(
        effect(value, 0.031, term=f"arm[{arm}]")
        for arm, value in zip(arms[1:], (-0.0121, -0.0655, -0.1102), strict=True)
    )
    result = analysis(estimates=effects, sample={**N, "by_arm": sizes, "reference_levels": {"arm": "usual"}})
    missing = missingness()
    return locked(arms=arms, flow=flow(arms), baseline=baseline(arms), missingness=missing, analyses=(result,))


def many_analyses(count: int = 30) -> RunRecord:
    """A long plan."""
    extra = [
        analysis(
            id=f"extra_{k}",
            title=f"Exploratory outcome {k}: children who returned home within {k + 1} months",
            role="exploratory",
            outcome=f"home_{k}",
            outcome_label=f"home within {k + 1} months",
            estimates=(effect(0.002 * k - 0.03, 0.01 + 0.001 * k), effect(1 + 0.01 * k, 0.1, "odds_ratio")),
        )
        for k in range(count - 3)
    ]
    return locked(analyses=(analysis(), *secondaries(), *extra))


def troubled() -> RunRecord:
    """Failed and separated fits, suppressed counts, an infinite interval, nothing declared."""
    hidden = {
        "usual": {"n": 1188, "events": "suppressed", "mean": "suppressed"},
        "conference": {"n": "<10", "events": "suppressed", "mean": "suppressed"},
    }
    wide = effect(3.2e9, 42.0, "odds_ratio").replace(ci_low=0.0, ci_high=math.inf)
    results = (
        analysis(
            estimates=(failed_effect(), failed_effect("odds_ratio")), status="failed",
            message="The fit did not converge in 100 iterations.", sample={**N, "n": "<10", "by_arm": hidden},
        ),
        analysis(
            id="separated", title="Care proceedings", role="secondary", estimates=(wide,), status="separated",
            message="No child of the conference arm has the outcome, so the odds ratio has no finite estimate.",
        ),
        analysis(
            id="hidden", title="Unadjusted comparison", role="sensitivity", of="primary", estimates=(), status="withheld",
            message="Not shown: an unadjusted comparison with cells of fewer than 10.", sample={"n": 2381},
        ),
        analysis(id="none", title="Nothing came back", role="sensitivity", of="primary", estimates=(), status="failed"),
        analysis(id="sub", title="Infants", role="subgroup", of="primary", estimates=(failed_effect(),), status="failed"),
    )  # fmt: skip
    return locked(
        analyses=results, deviations=(), warnings=(), disclosure={}, missingness=(), environment={}, files=(), baseline=Table([], []),
        flow=Flow(arms=ARMS, boxes=()),
    )  # fmt: skip


HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> & $\\frac{1}{0}$ {{ 7*7 }} {% raw %} \x00\x1b[31m\u202e家族 "
    + "W" * 120
)


def _hostile(value: Any) -> Any:
    """Every text of a structure replaced by the hostile one; names of fields and what code reads stay."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, Mapping):
        return {key: _hostile(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_hostile(inner) for inner in value)
    return value


def hostile() -> RunRecord:
    """Every text that a user could have written is an attack."""
    record = locked()
    arms = (HOSTILE, HOSTILE + "2")
    texts = ("title", "outcome_label", "method", "formula", "message")
    results = tuple(
        replace(
            result,
            **dict.fromkeys(texts, HOSTILE),
            notes=(HOSTILE,),
            changed={HOSTILE: HOSTILE},
            adjusted={"family": HOSTILE, "method": HOSTILE, "p_value": 0.01},
            status="boundary",
            sample={
                "n": HOSTILE, "n_clusters": HOSTILE, "cluster": HOSTILE, "population": HOSTILE, "dropped": {HOSTILE: HOSTILE},
                "reference_levels": {"arm": HOSTILE}, "by_arm": {arm: {"n": HOSTILE, "events": HOSTILE} for arm in arms},
            },
            estimates=tuple(
                one.replace(
                    term=f"arm[{HOSTILE}]", units=HOSTILE, citation=HOSTILE, warnings=(HOSTILE,), details={"group": HOSTILE}
                )
                for one in result.estimates
            ),
            coefficients=tuple(one.replace(term=HOSTILE, units=HOSTILE) for one in result.coefficients),
        )
        for result in record.analyses
    )  # fmt: skip
    boxes = tuple(
        replace(
            box,
            label=HOSTILE,
            arm=None if box.arm is None else arms[ARMS.index(box.arm)],
            counts={HOSTILE: HOSTILE},
            reasons=tuple((HOSTILE, {HOSTILE: 3}) for _ in box.reasons),
        )
        for box in record.flow.boxes
    )
    return replace(
        record,
        plan={**_hostile(record.plan), HOSTILE: HOSTILE},
        plan_hash=HOSTILE,
        lock=_hostile(record.lock),
        started_at=HOSTILE,
        arms=arms,
        units=_hostile(record.units),
        flow=Flow(arms=arms, boxes=boxes, notes=(HOSTILE,)),
        baseline=_hostile_table(record.baseline),
        missingness=tuple(map(_hostile_table, record.missingness)),
        analyses=results,
        deviations=({**_hostile(DEVIATION), HOSTILE: HOSTILE},),
        files=(DataFile(name=HOSTILE, file=HOSTILE, sha256=HOSTILE, rows=1, columns=1),),
        environment={HOSTILE: HOSTILE},
        warnings=(HOSTILE,),
        disclosure=_hostile(record.disclosure),
    )


def _hostile_table(table: Table) -> Table:
    columns = [replace(column, label=HOSTILE + column.name) for column in table.columns]
    return Table(
        [_hostile(row) if index % 2 else row for index, row in enumerate(table.rows)],
        columns,
        title=HOSTILE,
        notes=[HOSTILE],
    )


RECORDS = {
    "locked": locked,
    "draft": draft,
    "many_arms": many_arms,
    "many_analyses": many_analyses,
    "troubled": troubled,
    "hostile": hostile,
}
