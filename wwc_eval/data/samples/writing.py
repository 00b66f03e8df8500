"""Write the committed sample files and their data dictionaries, the same bytes on every machine."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.data.samples.dictionary import PANEL_COLUMNS, TRIAL_COLUMNS, Entry, column_table
from wwc_eval.data.samples.fidelity import fidelity_ratings
from wwc_eval.data.samples.fidelity_page import RATING_COLUMNS, fidelity_page
from wwc_eval.data.samples.panel import EFFECT, MEASURES, la_panel
from wwc_eval.data.samples.pilot import family_safeguarding_pilot
from wwc_eval.data.samples.pilot_fidelity import family_safeguarding_ratings
from wwc_eval.data.samples.pilot_fidelity_page import PILOT_RATING_COLUMNS, pilot_ratings_page
from wwc_eval.data.samples.pilot_page import PILOT_COLUMNS, pilot_page
from wwc_eval.data.samples.rollout import ROLLOUT_COLUMNS, practice_rollout, rollout_page
from wwc_eval.data.samples.schools import schools_s47_trial
from wwc_eval.data.samples.schools_page import SCHOOL_COLUMNS, schools_page
from wwc_eval.data.samples.trial import family_conferencing_trial, family_conferencing_truth
from wwc_eval.data.samples.wedge import no_wrong_door_truth, no_wrong_door_wedge
from wwc_eval.data.samples.wedge_page import WEDGE_COLUMNS, wedge_page
from wwc_eval.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FIDELITY_SEED",
    "PANEL_SEED",
    "PILOT_RATINGS_SEED",
    "PILOT_SEED",
    "ROLLOUT_SEED",
    "SCHOOLS_SEED",
    "TRIAL_SEED",
    "TRUTH_SEED",
    "WEDGE_SEED",
    "write_samples",
]

TRIAL_SEED = 20240301
PANEL_SEED = 20260331
TRUTH_SEED = 20240302
SCHOOLS_SEED = 20230906
WEDGE_SEED = 20201001
FIDELITY_SEED = 20240401
PILOT_SEED = 20251223
PILOT_RATINGS_SEED = 20251224
ROLLOUT_SEED = 20250343

TRIAL_NAME = "family_conferencing_trial"
PANEL_NAME = "la_panel"
SCHOOLS_NAME = "schools_s47_trial"
WEDGE_NAME = "no_wrong_door_wedge"
FIDELITY_NAME = "fidelity_ratings"
PILOT_NAME = "family_safeguarding_pilot"
PILOT_RATINGS_NAME = "family_safeguarding_ratings"
ROLLOUT_NAME = "practice_rollout"


def write_samples(folder: str | Path) -> list[Path]:
    """Write the sample data and their dictionaries into a folder, which is made if it is missing.

    Parameters
    ----------
    folder : str or pathlib.Path
        Where ``family_conferencing_trial.csv``, ``la_panel.csv``, ``schools_s47_trial.csv``,
        ``no_wrong_door_wedge.csv``, ``family_safeguarding_pilot.csv``, ``family_safeguarding_ratings.csv``,
        ``practice_rollout.csv``, ``fidelity_ratings.csv`` and a ``.md`` beside each are to stand.

    Returns
    -------
    list of pathlib.Path
        Files written.

    Raises
    ------
    DataError
        If the folder cannot be made or written to.

    Examples
    --------
    >>> import tempfile
    >>> [path.name for path in write_samples(tempfile.mkdtemp())][:2]
    ['family_conferencing_trial.csv', 'family_conferencing_trial.md']
    """
    target = Path(folder)
    trial, panel = family_conferencing_trial(TRIAL_SEED), la_panel(PANEL_SEED, matched=True)
    trial_csv, panel_csv = _csv(trial, TRIAL_COLUMNS), _csv(panel, PANEL_COLUMNS)
    texts = {
        f"{TRIAL_NAME}.csv": trial_csv,
        f"{TRIAL_NAME}.md": _trial_dictionary(trial, trial_csv),
        f"{PANEL_NAME}.csv": panel_csv,
        f"{PANEL_NAME}.md": _panel_dictionary(panel, panel_csv),
        **_multilevel_texts(),
        **_pilot_texts(),
        **_fidelity_texts(),
    }
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (target / name).write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise DataError(
            f"cannot write the sample data into '{target.name}': {error.strerror}",
            fix="name a folder that can be written to",
        ) from error
    return [target / name for name in texts]


def _multilevel_texts() -> dict[str, str]:
    """Contents by file name of the two trials for multilevel models."""
    schools, wedge = schools_s47_trial(SCHOOLS_SEED), no_wrong_door_wedge(WEDGE_SEED)
    schools_csv, wedge_csv = _csv(schools, SCHOOL_COLUMNS), _csv(wedge, WEDGE_COLUMNS)
    truth = no_wrong_door_truth(WEDGE_SEED)
    return {
        f"{SCHOOLS_NAME}.csv": schools_csv,
        f"{SCHOOLS_NAME}.md": schools_page(schools, seed=SCHOOLS_SEED, sha256=_sha256(schools_csv)),
        f"{WEDGE_NAME}.csv": wedge_csv,
        f"{WEDGE_NAME}.md": wedge_page(wedge, truth, seed=WEDGE_SEED, sha256=_sha256(wedge_csv)),
    }


def _pilot_texts() -> dict[str, str]:
    """Contents by file name of the pilot, of the ratings of its cases, and of the roll-out."""
    pilot = family_safeguarding_pilot(PILOT_SEED)
    text = _csv(pilot, PILOT_COLUMNS)
    page = pilot_page(pilot, seed=PILOT_SEED, sha256=_sha256(text))
    ratings = family_safeguarding_ratings(PILOT_RATINGS_SEED, pilot)
    rated = _csv(ratings, PILOT_RATING_COLUMNS)
    rollout = practice_rollout(ROLLOUT_SEED)
    rows = _csv(rollout, ROLLOUT_COLUMNS)
    return {
        f"{PILOT_NAME}.csv": text,
        f"{PILOT_NAME}.md": page,
        f"{PILOT_RATINGS_NAME}.csv": rated,
        f"{PILOT_RATINGS_NAME}.md": pilot_ratings_page(
            ratings, seed=PILOT_RATINGS_SEED, pilot_seed=PILOT_SEED, sha256=_sha256(rated)
        ),
        f"{ROLLOUT_NAME}.csv": rows,
        f"{ROLLOUT_NAME}.md": rollout_page(rollout, seed=ROLLOUT_SEED, sha256=_sha256(rows)),
    }


def _fidelity_texts() -> dict[str, str]:
    """Contents by file name of the ratings of practice."""
    ratings = fidelity_ratings(FIDELITY_SEED)
    text = _csv(ratings, RATING_COLUMNS)
    page = fidelity_page(ratings, seed=FIDELITY_SEED, sha256=_sha256(text))
    return {f"{FIDELITY_NAME}.csv": text, f"{FIDELITY_NAME}.md": page}


def _csv(frame: pd.DataFrame, entries: tuple[Entry, ...]) -> str:
    """CSV text with every value formatted by its declared type; rows end in a line feed."""
    columns = []
    for entry in entries:
        values = frame[entry.name]
        missing = values.isna().tolist()
        raw = values.astype(object).tolist()
        code = entry.code or ""
        pairs = zip(raw, missing, strict=True)
        columns.append([code if gone else _text(value, entry) for value, gone in pairs])
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([entry.name for entry in entries])
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue()


def _text(value: Any, entry: Entry) -> str:
    if entry.type == "date":
        return str(value.date().isoformat())
    if entry.type in ("integer", "binary"):
        return str(int(value))
    if entry.type == "number":
        return f"{float(value):.{entry.decimals}f}"
    return str(value)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _trial_dictionary(trial: pd.DataFrame, text: str) -> str:
    truth = family_conferencing_truth(TRUTH_SEED)
    families = trial.drop_duplicates("family_id")
    arms = families["arm"].value_counts()
    return f"""# family_conferencing_trial.csv

Synthetic data: no child, family or local authority in it exists. A trial in which families at the stage before care
proceedings were randomised, within 21 local authorities, to the offer of a family conference or to services as usual.

- Rows: {len(trial):,}, one per child, in {len(families):,} families ({arms["usual"]:,} usual, {arms["conference"]:,} conference).
- UTF-8, comma-separated, dates as YYYY-MM-DD. Missing values as the column says.
- SHA-256: `{_sha256(text)}`

## Columns

{column_table(TRIAL_COLUMNS)}

## How it was made

`python -m wwc_eval.data.samples sample_data/` writes this file again, byte for byte:
`family_conferencing_trial({TRIAL_SEED})`. Numbers come from NumPy's PCG64 generator, seed {TRIAL_SEED}, through inverse
distribution functions. Families have 1 + Poisson(0.65) children (at most 6). A child is in care a year on when
`predictor + tau x conference held + family part + own part > 0` (a probit); the family part makes siblings' outcomes
correlate by about 0.8. The predictor holds age, the needs score, an earlier plan, the main need, disability and the authority.

## The truth

Averages over all eligible children, if every family were in one arm or the other:

| Quantity | Value |
| :--- | ---: |
| Risk of being in care at 12 months, usual | {100 * truth.risk_usual:.1f}% |
| Risk of being in care at 12 months, conference offered | {100 * truth.risk_conference:.1f}% |
| Risk difference (offer against usual) | {100 * truth.risk_difference:.1f} percentage points |
| Risk ratio | {truth.risk_ratio:.3f} |
| Odds ratio (marginal) | {truth.odds_ratio:.4f} |
| Share who hold a conference because of the offer | {truth.compliance:.2f} |
| Risk difference among them | {100 * truth.complier_difference:.1f} percentage points |
| Difference in mean days in care | {truth.days_difference:.0f} days |

The first five hold exactly in every draw of the generator; the last three are from 50,000 families (seed {TRUTH_SEED}).
The estimate from this one file differs from the truth by chance.

## What it is not

Outcomes are missing for reasons that the columns show. Everybody's outcome comes from the same rule, so there is no
effect that varies by subgroup on the latent scale, no wave and no authority in which the offer was not delivered.
"""


def _panel_dictionary(panel: pd.DataFrame, text: str) -> str:
    joined = panel.dropna(subset=["programme_from"]).drop_duplicates("la_code")
    cohorts = "\n".join(
        f"| {year} | {len(group)} | {', '.join(group['local_authority'])} |"
        for year, group in joined.groupby(joined["programme_from"].astype(int))
    )
    years = ("first", "second", "third and later")
    effects = "\n".join(f"| {words} | {value:.2f} |" for words, value in zip(years, EFFECT, strict=True))
    noise = ", ".join(measure.name for measure in MEASURES if not measure.sampled)
    return f"""# la_panel.csv

Synthetic data: no local authority in it exists. Counts and rates of children's social care in 153 invented local
authorities over ten years, of which {len(joined)} joined a programme.

- Rows: {len(panel):,}, one per authority and year (ending 31 March).
- UTF-8, comma-separated; rates to four decimals.
- SHA-256: `{_sha256(text)}`

## Columns

{column_table(PANEL_COLUMNS)}

## How it was made

`python -m wwc_eval.data.samples sample_data/` writes this file again, byte for byte: `la_panel({PANEL_SEED}, matched=True)`.
Log rate = mean of the year + permanent level of the authority + first-order autoregression + noise + effect of the
programme; counts are Poisson, except for {noise}, a stock that carries over and is rounded. Re-referrals are binomial.
Means, the spread between and within authorities and the correlations one to five years apart are calibrated to published
figures for England, 2016 to 2025 (care starts: 2018 to 2025), within 5%, and the share of variance between authorities
within 0.03. With `matched=True` the latent levels have those moments exactly in this very sample.

## The truth

The programme changes the log rate of care starts (`cla_starts`) and nothing else:

| Year of the programme | Change of the log rate |
| :--- | ---: |
{effects}

| Joined | Authorities | Names |
| :--- | ---: | :--- |
{cohorts}

Authorities with a permanently higher level of care starts were likelier to join. What varies over time played no part,
so trends without the programme are parallel on the log scale, with no anticipation.

## What it is not

Fewer care starts do not lower the number looked after. Authorities neither merge nor split, nothing is missing, and the
years of the pandemic are in the means only.
"""
