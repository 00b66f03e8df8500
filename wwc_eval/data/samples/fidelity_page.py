"""Columns and data dictionary of the ratings of practice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wwc_eval.data.samples.dictionary import Entry, column_table
from wwc_eval.data.samples.fidelity import (
    ARM_EFFECT,
    COMPARISON,
    DRIFT,
    DRIFTING,
    FIDELITY_AUTHORITIES,
    SEVERE_RATER,
    SEVERITY,
    SPREAD,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RATING_COLUMNS", "fidelity_page"]

RATING_COLUMNS: tuple[Entry, ...] = (
    Entry(
        name="case",
        type="text",
        code="",
        allowed="C0001 to C0720",
        what="Case that was rated; blank where the item describes the worker.",
    ),
    Entry(name="worker", type="text", allowed="W001 to W144", what="Worker who holds the case."),
    Entry(name="team", type="text", allowed="T01 to T48", what="Team of the worker."),
    Entry(
        name="local_authority", type="local_authority", allowed="12 invented names", what="Authority of the team."
    ),
    Entry(
        name="arm",
        type="category",
        allowed="intervention, comparison",
        what="Eight authorities with the programme; the last four without it.",
    ),
    Entry(name="child_age", type="integer", units="years", allowed="0 to 17", code="", what="Age of the child."),
    Entry(
        name="item",
        type="text",
        what="Item of specifications/safety_planning.yaml. child_tool is judged from the age of 4 on.",
    ),
    Entry(
        name="rater",
        type="text",
        code="",
        allowed="A01 to A24",
        what="Auditor, from any authority; blank where nobody judged. A fifth of the cases have two.",
    ),
    Entry(
        name="respondent",
        type="category",
        allowed="auditor, parent, worker, record",
        what="Who says so: an auditor of the file, the parent, the worker, or the case record.",
    ),
    Entry(name="date", type="text", code="", allowed="2024-04-01 to 2026-03-29", what="Day of the audit."),
    Entry(
        name="value",
        type="text",
        what="Value on the item's scale, or NA (not applicable), NR (not recorded), NS (not seen or not reached).",
    ),
)


def fidelity_page(ratings: pd.DataFrame, *, seed: int, sha256: str) -> str:
    """Markdown data dictionary of the committed ratings."""
    judged = ratings.loc[ratings["rater"].notna()]
    twice = judged.groupby("case")["rater"].nunique()
    return f"""# fidelity_ratings.csv

Synthetic data: no child, worker or local authority in it exists. Practice in {ratings["case"].nunique()} cases of twelve
local authorities, judged against the specification `specifications/safety_planning.yaml`.

- Rows: {len(ratings):,}, one per rating; {ratings["worker"].nunique()} workers in {ratings["team"].nunique()} teams, {judged["rater"].nunique()} auditors, {int((twice > 1).sum())} cases judged twice.
- UTF-8, comma-separated, dates as YYYY-MM-DD.
- SHA-256: `{sha256}`

## Columns

{column_table(RATING_COLUMNS)}

## How it was made

`python -m wwc_eval.data.samples sample_data/` writes this file again, byte for byte: `fidelity_ratings({seed})`. Numbers
come from NumPy's PCG64 generator, seed {seed}, through inverse distribution functions. A case has the latent quality

`arm + authority + team + worker + case + drift`

and a judgement of an item adds the item's easiness, the severity of the auditor and chance; it is cut into the values of
the item. Parents answer by half of the latent quality; visits and sessions of supervision are Poisson.

## The truth

On the latent scale, where chance in one judgement has the standard deviation {SPREAD["own"]:.2f}:

| Quantity | Value |
| :--- | ---: |
| Programme against comparison authorities | {ARM_EFFECT:.2f} |
| SD between authorities of an arm | {SPREAD["local_authority"]:.2f} |
| SD between teams of an authority | {SPREAD["team"]:.2f} |
| SD between workers of a team | {SPREAD["worker"]:.2f} |
| SD between cases of a worker | {SPREAD["case"]:.2f} |
| SD of the severity of auditors | {SPREAD["rater"]:.2f} |
| Severity of auditor A{SEVERE_RATER + 1:02d}, who scores low | {SEVERITY:.2f} |
| Change a quarter in {FIDELITY_AUTHORITIES[DRIFTING]}, from the fifth quarter on | {DRIFT:.2f} |

The comparison authorities are {", ".join(FIDELITY_AUTHORITIES[-COMPARISON:])}.

## What it is not

Auditors are drawn from all authorities alike, and no auditor drifts. A third of the parents is not reached for reasons
that have nothing to do with practice. Files say less where practice is poor: not recorded (NR) happens there only.
"""
