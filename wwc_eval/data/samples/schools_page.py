"""Columns and data dictionary of the trial of social workers in schools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wwc_eval.data.samples.dictionary import Entry, column_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SCHOOL_COLUMNS", "schools_page"]

SCHOOL_COLUMNS: tuple[Entry, ...] = (
    Entry(name="school_id", type="text", allowed="six digits, unique", what="Invented number. Keep as text."),
    Entry(name="school", type="text", what="Invented name when schools were randomised."),
    Entry(
        name="school_in_return",
        type="text",
        code="",
        what="Name in the outcome return. Three schools became academies under a new name: match by number.",
    ),
    Entry(
        name="local_authority",
        type="local_authority",
        allowed="21 invented names",
        what="Block of the randomisation; 5 to 30 schools each, an odd number in twelve of them.",
    ),
    Entry(
        name="arm",
        type="category",
        allowed="usual, social worker",
        what="Services as usual, or a social worker in the school. 1:1 within each authority; an odd school by turns.",
    ),
    Entry(name="phase", type="category", allowed="secondary, primary, all_through", what="Phase of education."),
    Entry(
        name="pupils_before",
        type="integer",
        units="pupils",
        what="On roll in the autumn before randomisation. Typically 980, 300 and 1,150 by phase.",
    ),
    Entry(
        name="fsm_pct",
        type="number",
        units="percent",
        allowed="0 to 100",
        code="x",
        decimals=1,
        what="Pupils eligible for free school meals, before randomisation. Ten points more raise the log rate by 0.18. "
        "Not available for 4 of the 23 schools of Deepcombe and 4 elsewhere.",
    ),
    Entry(
        name="s47_before",
        type="integer",
        units="enquiries",
        code="z",
        what="Section 47 enquiries in the school year before randomisation. Not applicable to five new schools.",
    ),
    Entry(
        name="s47_rate_before",
        type="number",
        units="per 1,000 pupils",
        code="z",
        decimals=2,
        what="1,000 x s47_before / pupils_before.",
    ),
    Entry(
        name="follow_up",
        type="category",
        allowed="returned, closed, merged, not_returned",
        what="What became of the school by the outcome return. Small schools are likelier to be lost, in either arm.",
    ),
    Entry(
        name="pupils",
        type="integer",
        units="pupils",
        code="x",
        what="On roll in the autumn of the outcome year: the exposure. Not available for lost schools.",
    ),
    Entry(
        name="s47_enquiries",
        type="integer",
        units="enquiries",
        allowed="0 or more",
        code="x",
        what="Section 47 enquiries on pupils in the outcome school year. Not available for lost schools.",
    ),
)


def schools_page(trial: pd.DataFrame, *, seed: int, sha256: str) -> str:
    """Markdown data dictionary of the committed trial."""
    arms = trial["arm"].value_counts()
    lost = int(trial["s47_enquiries"].isna().sum())
    return f"""# schools_s47_trial.csv

Synthetic data: no school or local authority in it exists. A trial in which schools were randomised, within 21 local
authorities, to a social worker who works in the school or to services as usual.

- Rows: {len(trial)}, one per school ({arms["usual"]} usual, {arms["social worker"]} social worker); {lost} were lost to follow-up.
- UTF-8, comma-separated. Missing values as the column says: `x` is not available, `z` is not applicable.
- SHA-256: `{sha256}`

## Columns

{column_table(SCHOOL_COLUMNS)}

## How it was made

`python -m wwc_eval.data.samples sample_data/` writes this file again, byte for byte: `schools_s47_trial({seed})`. Numbers
come from NumPy's PCG64 generator, seed {seed}, through inverse distribution functions. Enquiries are Poisson with mean

`pupils x base x exp(0.018 fsm_pct + 0.10 primary + u + v) x g x 0.90^(social worker)`

where u is normal between authorities, v normal and kept by a school from year to year, and g a gamma number of the year
with mean 1; given v, counts are negative binomial. The year before has the same v, its own g, and a rate 3% lower.

## The truth

| Quantity | Value |
| :--- | ---: |
| Rate ratio of a social worker, in every school | 0.90 |
| Enquiries per 1,000 pupils and year, usual | 17.0 |
| Enquiries per 1,000 pupils and year, social worker | 15.3 |
| k between schools of an authority | 0.60 |
| k between authorities | 0.25 |

k is the coefficient of variation of the true rates; that between schools includes what phase and free school meals
explain. The rates hold exactly over the {len(trial)} schools of every draw, the k on average over draws.
The estimate from this one file differs from the truth by chance.

## Where the figures are from

The shape is that of the trial of Social Workers in Schools: 280 schools in 21 authorities, randomised 1:1, with section
47 enquiries as primary outcome (Westlake and others 2022, doi:10.1371/journal.pone.0265354); there, all were secondary
schools. England had 201,000 section 47 enquiries in the year to March 2020, 167 per 10,000 children, hence 17 per 1,000
pupils (Department for Education, Characteristics of children in need: 2019 to 2020). In January 2023, 23.8% of pupils were
eligible for free school meals (Department for Education, Schools, pupils and their characteristics: 2022/23). The effect,
the two k and the spread of sizes are assumptions.

## What it is not

The effect is the same in every phase and authority. Schools are lost for reasons that have nothing to do with the arm.
Children who move between schools of different arms, and enquiries in the holidays, are not in it.
"""
