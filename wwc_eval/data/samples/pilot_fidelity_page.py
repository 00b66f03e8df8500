"""Columns and data dictionary of the ratings of the pilot's cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wwc_eval.data.samples.dictionary import Entry, column_table
from wwc_eval.data.samples.fidelity import SPREAD
from wwc_eval.data.samples.pilot_fidelity import AUDITORS, MEAN, MET_SHARE, SPREAD_OF_CASES, SPREAD_OF_TEAMS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PILOT_RATING_COLUMNS", "pilot_ratings_page"]

PILOT_RATING_COLUMNS: tuple[Entry, ...] = (
    Entry(
        name="case",
        type="text",
        code="",
        allowed="family_id of the pilot",
        what="Family whose file was read; blank where the item describes the worker.",
    ),
    Entry(name="worker", type="text", allowed="A1 to I3", what="Worker who holds the case."),
    Entry(name="team", type="text", allowed="nine invented names", what="Team of the worker."),
    Entry(
        name="child_age",
        type="integer",
        units="years",
        allowed="0 to 17",
        code="",
        what="Age of the child whose file was read.",
    ),
    Entry(
        name="item",
        type="text",
        what="Item of specifications/safety_planning.yaml. child_tool is judged from the age of 4 on.",
    ),
    Entry(
        name="rater",
        type="text",
        code="",
        allowed=f"A01 to A{AUDITORS:02d}",
        what="Auditor, from another authority; blank where nobody judged. About a fifth of the cases have two.",
    ),
    Entry(
        name="respondent",
        type="category",
        allowed="auditor, parent, worker, record",
        what="Who says so: an auditor of the file, the parent, the worker, or the case record.",
    ),
    Entry(
        name="date", type="text", code="", allowed="12 to 16 weeks after the approach", what="Day of the audit."
    ),
    Entry(
        name="value",
        type="text",
        what="Value on the item's scale, or NA (not applicable), NR (not recorded), NS (not seen or not reached).",
    ),
)


def pilot_ratings_page(ratings: pd.DataFrame, *, seed: int, pilot_seed: int, sha256: str) -> str:
    """Markdown data dictionary of the committed ratings."""
    files = ratings.loc[ratings["rater"].notna()]
    twice = files.groupby("case")["rater"].nunique()
    return f"""# family_safeguarding_ratings.csv

Synthetic data: no family, worker or local authority in it exists. Practice in the {len(twice)} cases that the pilot of family
safeguarding reviewed, judged against the specification `specifications/safety_planning.yaml`.

- Rows: {len(ratings):,}, one per rating; {files["worker"].nunique()} workers in {ratings["team"].nunique()} teams, {files["rater"].nunique()} auditors, {int((twice > 1).sum())} cases judged twice.
- UTF-8, comma-separated, dates as YYYY-MM-DD.
- SHA-256: `{sha256}`

## Columns

{column_table(PILOT_RATING_COLUMNS)}

## How it was made

`python -m wwc_eval.data.samples sample_data/` writes this file again, byte for byte:
`family_safeguarding_ratings({seed}, family_safeguarding_pilot({pilot_seed}))`. Numbers come from NumPy's PCG64 generator, seed
{seed}, through inverse distribution functions. A case has the latent quality

`mean + case + team`

where the part of the case is a normal number above its {round(100 * (1 - MET_SHARE))}th percentile if `fidelity_met` is 1 in
`family_safeguarding_pilot.csv`, and below it if it is 0. A judgement of an item adds the item's easiness, the severity of the
auditor and chance; it is cut into the values of the item, as in `fidelity_ratings.csv`.

## The truth

On the latent scale, where chance in one judgement has the standard deviation {SPREAD["own"]:.2f}:

| Quantity | Value |
| :--- | ---: |
| Mean of the cases | {MEAN:.2f} |
| SD between cases of a team | {SPREAD_OF_CASES:.2f} |
| SD between teams | {SPREAD_OF_TEAMS:.2f} |
| SD between workers of a team | 0 |
| SD of the severity of auditors | {SPREAD["rater"]:.2f} |

## What it is not

`fidelity_met` is what the review as a whole found; it is no cut of the composite, which adds chance, auditors and teams, so
the two agree often and not always. Three workers share the cases of a team by chance, and do not differ.
"""
