"""Columns and data dictionary of the pilot of family safeguarding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wwc_eval.data.samples.dictionary import Entry, column_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PILOT_COLUMNS", "pilot_page"]

PILOT_COLUMNS: tuple[Entry, ...] = (
    Entry(name="family_id", type="text", allowed="unique", what="Invented number of the family."),
    Entry(name="team", type="text", allowed="nine invented names", what="Team that approached the family."),
    Entry(name="arm", type="category", allowed="family safeguarding", what="The one arm of the pilot."),
    Entry(
        name="approached_on", type="date", what="Day on which the family was approached, April to December 2025."
    ),
    Entry(name="agreed", type="binary", what="The family agreed to take part. 68% on average."),
    Entry(
        name="began",
        type="binary",
        what="It had a first session; 0 where it did not agree. 95% of those who agreed.",
    ),
    Entry(
        name="completed",
        type="binary",
        what="It had the whole programme; 0 where it did not begin. 78% of those who began.",
    ),
    Entry(
        name="sessions",
        type="integer",
        units="sessions",
        code="z",
        allowed="1 to 20",
        what="Sessions had. Not applicable where none began.",
    ),
    Entry(
        name="fidelity_met",
        type="binary",
        code="x",
        what="The file review found practice as specified (70% on average). Not rated in 15% of cases, nor where none began.",
    ),
    Entry(
        name="acceptability",
        type="number",
        decimals=1,
        code="x",
        allowed="1 to 5 by halves",
        what="Parents' mean rating, typically 3.9. Known of 72% of those who completed and 30% of those who left.",
    ),
    Entry(
        name="on_plan_start",
        type="binary",
        what="A child of the family was on a child protection plan when approached.",
    ),
    Entry(
        name="on_plan_6m",
        type="binary",
        code="x",
        what="A child was on a plan six months later: 58% of those on one at the start, 6% of the others. Known of families "
        "who agreed and were followed up.",
    ),
    Entry(name="followed_up", type="binary", what="The six-month return is there: 93% of those who agreed."),
)


def pilot_page(pilot: pd.DataFrame, *, seed: int, sha256: str) -> str:
    """The data dictionary as Markdown."""
    return f"""# family_safeguarding_pilot.csv

Synthetic data: no family, team or local authority in it exists. A pilot in which nine teams of one authority approached
families with the offer of family safeguarding. There is one arm: a pilot asks whether a trial could be run.

- Rows: {len(pilot):,}, one per family approached ({int(pilot["agreed"].sum()):,} agreed, {int(pilot["began"].sum()):,} began,
  {int(pilot["completed"].sum()):,} completed).
- UTF-8, comma-separated, dates as YYYY-MM-DD. Missing values as the column says: `x` is not known, `z` is not applicable.
- SHA-256: `{sha256}`

## Columns

{column_table(PILOT_COLUMNS)}

## How it was made

`python -m wwc_eval.data.samples sample_data/` writes this file again, byte for byte: `family_safeguarding_pilot({seed})`. Numbers
come from NumPy's PCG64 generator, seed {seed}, through inverse distribution functions. Each step (agreeing, beginning, completing,
practice as specified, still on a plan) happens where a normal number, a part of it shared by the families of a team and the same for
every step, is below the constant of the share asked for; the correlation within teams is 0.04 on that scale.

## The truth

The shares in the table hold on average over draws; those of this one file differ by chance. There is no comparison group, so
nothing in it says what would have happened without the programme.
"""
