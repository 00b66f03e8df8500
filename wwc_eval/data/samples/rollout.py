"""Synthetic roll-out of a practice model: authorities that began on their own in different years, one row a year."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wwc_eval.data.samples.dictionary import PANEL_COLUMNS, Entry, column_table
from wwc_eval.data.samples.draws import Seed
from wwc_eval.data.samples.panel import la_panel

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ROLLOUT_COLUMNS", "ROLLOUT_EFFECT", "practice_rollout", "rollout_page"]

ROLLOUT_EFFECT = (-0.04, -0.08, -0.12)
PRACTICE_ARMS = ("usual", "practice model")
KEPT = (
    *("la_code", "local_authority", "region", "year", "child_population", "cla_starts", "cla_starts_rate"),
    *("s47", "s47_rate", "cpp_rate", "rereferral_pct"),
)
_FROM_PANEL = {entry.name: entry for entry in PANEL_COLUMNS}
ROLLOUT_COLUMNS: tuple[Entry, ...] = (
    *(_FROM_PANEL[name] for name in KEPT[:4]),
    Entry(
        name="practice",
        type="category",
        allowed="usual, practice model",
        what="Whether the authority ever began the practice model; the same in all its years.",
    ),
    Entry(
        name="practice_from",
        type="integer",
        allowed="2020 to 2023",
        code="",
        what="First year of the practice model; blank for the authorities that never began.",
    ),
    *(_FROM_PANEL[name] for name in KEPT[4:]),
)


def practice_rollout(rng: Seed, *, adopters: int = 12) -> pd.DataFrame:
    """Draw one roll-out: :func:`la_panel` with few adopters, and the arm that each authority is in.

    Parameters
    ----------
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Source of randomness; required.
    adopters : int
        Authorities that begin, a quarter of them in each of 2020 to 2023.

    Returns
    -------
    pandas.DataFrame
        1,530 rows, one per authority and year.

    Examples
    --------
    >>> rollout = practice_rollout(1)
    >>> int(rollout.loc[rollout["year"] == 2025, "practice"].eq("practice model").sum())
    12
    """
    import pandas as pd

    panel = la_panel(rng, effect=ROLLOUT_EFFECT, treated=adopters)
    began = panel["programme_from"].notna()
    arm = pd.Categorical.from_codes(began.astype(int).to_numpy(), categories=pd.Index(PRACTICE_ARMS))
    return panel.assign(practice=arm, practice_from=panel["programme_from"])[
        [entry.name for entry in ROLLOUT_COLUMNS]
    ]


def rollout_page(rollout: pd.DataFrame, *, seed: int, sha256: str) -> str:
    """The data dictionary as Markdown."""
    joined = rollout.dropna(subset=["practice_from"]).drop_duplicates("la_code")
    cohorts = "\n".join(
        f"| {year} | {len(group)} | {', '.join(group['local_authority'])} |"
        for year, group in joined.groupby(joined["practice_from"].astype(int))
    )
    effects = "\n".join(
        f"| {words} | {value:.2f} |"
        for words, value in zip(("first", "second", "third and later"), ROLLOUT_EFFECT, strict=True)
    )
    return f"""# practice_rollout.csv

Synthetic data: no local authority in it exists. A practice model that {len(joined)} of 153 invented local authorities took up
of their own accord, in four years. Nobody was randomised: what can be learnt rests on trends that would have been parallel.

- Rows: {len(rollout):,}, one per authority and year (ending 31 March).
- UTF-8, comma-separated; rates to four decimals.
- SHA-256: `{sha256}`

## Columns

{column_table(ROLLOUT_COLUMNS)}

## How it was made

`python -m wwc_eval.data.samples sample_data/` writes this file again, byte for byte: `practice_rollout({seed})`, which is
`la_panel({seed}, effect={ROLLOUT_EFFECT}, treated={len(joined)})` with the columns above ([la_panel](la_panel.md)).

## The truth

The practice model changes the log rate of care starts (`cla_starts`) and nothing else:

| Year of the practice model | Change of the log rate |
| :--- | ---: |
{effects}

| Began | Authorities | Names |
| :--- | ---: | :--- |
{cohorts}

Authorities with a permanently higher level of care starts were likelier to begin. What varies over time played no part, so
trends without the practice model are parallel on the log scale, with no anticipation. On the scale of the rate itself they are
parallel only as far as levels are alike. With so few adopters a joint test of the years before rejects in half of the draws,
though there is nothing to find; this seed was taken, of fourteen tried, because it does not.

## Where the shape is from

A practice model taken up by about a dozen authorities in different years, judged by matched difference-in-differences on
returns: the evaluation of Signs of Safety (Baginsky and others 2020, the Department for Education's innovation programme).
The figures are those of `la_panel`; the effect is an assumption.
"""
