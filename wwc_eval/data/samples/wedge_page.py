"""Columns and data dictionary of the stepped wedge of No Wrong Door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wwc_eval.data.samples.dictionary import Entry, column_table

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.data.samples.wedge import WedgeTruth

__all__ = ["WEDGE_COLUMNS", "wedge_page"]

WEDGE_COLUMNS: tuple[Entry, ...] = (
    Entry(
        name="child_id",
        type="text",
        allowed="six digits",
        what="Number in the authority's own system: 160 stand for another child in another authority. Keep as text.",
    ),
    Entry(
        name="local_authority",
        type="local_authority",
        allowed="5 invented names",
        what="What was randomised: when it goes live.",
    ),
    Entry(
        name="referred_on",
        type="date",
        allowed="2020-10-01 to 2023-09-30",
        what="First referral to children's social care. 1900-01-01 in 20 rows, the default of a case system.",
    ),
    Entry(
        name="period",
        type="category",
        allowed="1 to 6",
        what="Period that the return is of: 6, 12, 2, 3, 7 and 6 months long.",
    ),
    Entry(
        name="arm",
        type="category",
        allowed="usual, programme",
        what="Referred before or after the authority's go-live.",
    ),
    Entry(
        name="transition",
        type="binary",
        allowed="0, 1",
        code="",
        what="1 from 30 days before to 60 days after the authority's go-live. Blank where the date is none of the trial.",
    ),
    Entry(
        name="months_on",
        type="integer",
        units="months",
        allowed="0 to 29",
        code="",
        what="Whole months from go-live to referral; 0 before it. Blank where the date is none of the trial.",
    ),
    Entry(
        name="age",
        type="integer",
        units="years",
        allowed="10 to 17",
        what="Age at referral. Also in the file: 14 unborn (-1), 6 impossible (119 to 122), 60 aged 18 to 20.",
    ),
    Entry(name="sex", type="category", allowed="F, M", code="U", what="Not known for 1%, at random."),
    Entry(
        name="earlier",
        type="binary",
        allowed="0, 1",
        code="",
        what="Earlier involvement of children's social care, 38%. Raises the risk (odds ratio 2.2). Missing for 2%.",
    ),
    Entry(
        name="days_to_care",
        type="integer",
        units="days",
        allowed="1 to 548",
        code="",
        what="From referral to the first day looked after; blank if there was none. Negative for 57 who were looked "
        "after already.",
    ),
    Entry(
        name="looked_after_18m",
        type="binary",
        allowed="0, 1",
        code="",
        what="Looked after within 18 months (548 days) of the referral. Missing for 1%, who moved away.",
    ),
    Entry(
        name="duplicate",
        type="binary",
        allowed="0, 1",
        what="1 for the second of two equal rows (240), marked when the returns were put together. 232 are from one "
        "authority, Coldstow.",
    ),
)


def wedge_page(wedge: pd.DataFrame, truth: WedgeTruth, *, seed: int, sha256: str) -> str:
    """Markdown data dictionary of the committed stepped wedge."""
    return f"""# no_wrong_door_wedge.csv

Synthetic data: no child or local authority in it exists. A stepped wedge in which five local authorities went over to
No Wrong Door in turn. Children aged 10 to 17 count for the arm of their authority on the day of their first referral.

- Rows: {len(wedge):,}, one per child and return; 27,000 children are eligible.
- UTF-8, comma-separated, dates as YYYY-MM-DD. Missing values as the column says.
- A row is identified by `child_id`, `local_authority` and `duplicate` together.
- SHA-256: `{sha256}`

## Columns

{column_table(WEDGE_COLUMNS)}

## The wedge

{_schedule(wedge)}

Go-live is the first day of the period. Greymoor and Coldstow were ready first and took the first two steps in random
order, the other three the later ones: 2! x 3! = 12 orders were possible, and no randomisation test can give p < 0.08.

## How it was made

`python -m wwc_eval.data.samples sample_data/` writes this file again, byte for byte: `no_wrong_door_wedge({seed})`. Numbers
come from NumPy's PCG64 generator, seed {seed}, through inverse distribution functions. The log odds of being looked after
are `base + 0.10 (age - 14) + 0.05 boy + 0.80 earlier + 0.15 x share of the 36 months gone + u + w + s log(0.75)`, where u
is normal between authorities (SD 0.20), w normal between the periods of an authority (SD 0.10), and s is 0 before the
go-live, 0.5 in the 60 days after it and 1 later.

## The truth

{_truth(truth)}

Of those referred after go-live, {100 * truth.in_transition:.0f}% came in the 60 days of half effects. The risk under services
as usual holds exactly in every draw of the generator, the other risks are those of the 27,000 children of this file.
The estimate from this one file differs from the truth by chance.

## Where the figures are from

The shape is that of the trial of No Wrong Door: a stepped wedge over five authorities, about 18,000 young people in the
protocol, care within 18 months as outcome (What Works for Children's Social Care, No Wrong Door model: trial evaluation,
whatworks-csc.org.uk). The lengths of the periods, the risk, the effect, the two standard deviations and the numbers of
rows to leave out are assumptions, of the size that public analysis code of that trial deals with.

## What it is not

The effect does not change after the first 60 days and is the same in every authority. Nobody is reached by the programme
who was referred before go-live, although 18-month windows go on past it. Siblings are independent of each other.
"""


def _schedule(wedge: pd.DataFrame) -> str:
    """Periods with their lengths, and when each authority goes live."""
    gone_live = (
        wedge[wedge["arm"] == "programme"].astype({"period": int}).groupby("local_authority")["period"].min()
    )
    steps = "\n".join(f"| {name} | {period} |" for name, period in gone_live.sort_values().items())
    return f"""| Period | From | Months |
| :--- | :--- | ---: |
| 1 | 2020-10-01 | 6 |
| 2 | 2021-04-01 | 12 |
| 3 | 2022-04-01 | 2 |
| 4 | 2022-06-01 | 3 |
| 5 | 2022-09-01 | 7 |
| 6 | 2023-04-01 | 6 (to 2023-09-30) |

| Local authority | First period of No Wrong Door |
| :--- | ---: |
{steps}"""


def _truth(truth: WedgeTruth) -> str:
    """What the analyses should find."""
    return f"""| Quantity | Value |
| :--- | ---: |
| Odds ratio of the settled programme, given covariates, authority and period | {truth.odds_ratio:.2f} |
| Risk of all children under services as usual | {100 * truth.risk_usual:.1f}% |
| Risk of all children under the settled programme | {100 * truth.risk_programme:.1f}% |
| Risk difference | {100 * truth.risk_difference:.1f} percentage points |
| Average effect on those referred after go-live, half effects included | {100 * truth.as_delivered:.1f} percentage points |"""
