"""Synthetic ratings of the cases that the pilot of family safeguarding reviewed, against the specification of safety planning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.samples.draws import Draws, Seed
from wwc_eval.data.samples.fidelity import SPREAD, Cases, judged, of_workers, reported
from wwc_eval.data.samples.pilot import PILOT_TEAMS
from wwc_eval.errors import DesignError, check_number, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "AUDITORS",
    "MEAN",
    "MET_SHARE",
    "SPREAD_OF_CASES",
    "SPREAD_OF_TEAMS",
    "WORKERS",
    "family_safeguarding_ratings",
]

AUDITORS = 6
WORKERS = 3
"""Workers of a team."""
MEAN, SPREAD_OF_CASES, SPREAD_OF_TEAMS = 0.25, 0.60, 0.35
"""Mean of the latent quality, and its standard deviations between the cases of a team and between teams."""
MET_SHARE = 0.70
"""Share of cases whose quality lies where practice is found to be as specified."""


def family_safeguarding_ratings(rng: Seed, pilot: pd.DataFrame, *, double_rated: float = 0.2) -> pd.DataFrame:
    """Draw what auditors read in the files of the reviewed cases: one row a rating.

    A case has the latent quality ``0.25 + 0.60 z + 0.35 t``, with z standard normal over the cases, above its 30th
    percentile where ``fidelity_met`` is 1 and below it where it is 0, and t standard normal over teams. A judgement adds
    the easiness of the item, the severity of the auditor and chance, and is cut into the values of the item, as in
    ``fidelity_ratings``.

    Parameters
    ----------
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Source of randomness; required.
    pilot : pandas.DataFrame
        As drawn by ``family_safeguarding_pilot``: ``family_id, team, approached_on, fidelity_met``.
    double_rated : float
        Share of cases that a second auditor judges.

    Returns
    -------
    pandas.DataFrame
        ``case, worker, team, child_age, item, rater, respondent, date, value``; text in every column but ``child_age``.

    Raises
    ------
    DesignError
        If a value is out of range, or no case was reviewed.

    Examples
    --------
    >>> from wwc_eval.data.samples import family_safeguarding_pilot
    >>> pilot = family_safeguarding_pilot(1)
    >>> ratings = family_safeguarding_ratings(1, pilot)
    >>> ratings["case"].nunique() == pilot["fidelity_met"].notna().sum()
    True
    """
    from scipy import special

    check_number("double_rated", double_rated, at_least=0, at_most=1)
    absent = {"family_id", "team", "approached_on", "fidelity_met"} - set(pilot.columns)
    if absent:
        raise DesignError(
            f"pilot has no column {shown(min(absent))}", fix="draw it with family_safeguarding_pilot"
        )
    reviewed = pilot.loc[pilot["fidelity_met"].notna()].reset_index(drop=True)
    if reviewed.empty:
        raise DesignError(
            "pilot: fidelity_met is missing in every row", fix="give a pilot in which cases were reviewed"
        )
    draws, n = Draws(rng), len(reviewed)
    team = np.array([PILOT_TEAMS.index(name) for name in reviewed["team"]], dtype=np.int64)
    below, share = 1.0 - MET_SHARE, draws.uniform(n)
    met = reviewed["fidelity_met"].to_numpy(dtype=np.int64) == 1
    own = special.ndtri(np.where(met, below + MET_SHARE * share, below * share))
    worker = team * WORKERS + draws.whole(0, WORKERS - 1, n)
    drawn = Cases(
        authority=np.zeros(n, dtype=np.int64),
        team=team,
        worker=worker,
        level=MEAN + SPREAD_OF_CASES * own + SPREAD_OF_TEAMS * draws.normal(len(PILOT_TEAMS))[team],
        age=draws.whole(0, 17, n),
        quarter=np.zeros(n, dtype=np.int64),
        day=draws.whole(84, 112, n),
    )
    severity = SPREAD["rater"] * draws.normal(AUDITORS)
    first = draws.whole(0, AUDITORS - 1, n)
    second = (first + draws.whole(1, AUDITORS - 1, n)) % AUDITORS
    twice = draws.happens(double_rated, n)
    case = np.concatenate([np.arange(n), np.flatnonzero(twice)])
    rater = np.concatenate([first, second[twice]])
    rows = [judged(draws, drawn, case, rater, severity), reported(draws, drawn), of_workers(draws, drawn)]
    return _frame(reviewed, drawn, rows)


def _frame(reviewed: pd.DataFrame, drawn: Cases, parts: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows in the order of the families; what describes a worker stands last and names no case."""
    import pandas as pd

    joined = {name: [value for part in parts for value in part[name]] for name in parts[0]}
    given = np.array(joined["case"], dtype=np.int64)
    of_worker = given < 0
    at = np.where(of_worker, -1 - given, given)
    read_on = (reviewed["approached_on"] + pd.to_timedelta(drawn.day, unit="D")).dt.strftime("%Y-%m-%d").tolist()
    families = reviewed["family_id"].astype(str).tolist()
    frame = pd.DataFrame(
        {
            "case": [None if own else families[place] for own, place in zip(of_worker, at, strict=True)],
            "worker": [
                f"{PILOT_TEAMS[number // WORKERS][0]}{number % WORKERS + 1}" for number in drawn.worker[at]
            ],
            "team": [PILOT_TEAMS[number] for number in drawn.team[at]],
            "child_age": pd.arrays.IntegerArray(drawn.age[at], of_worker),
            "item": joined["item"],
            "rater": [name or None for name in joined["rater"]],
            "respondent": joined["respondent"],
            "date": [None if own else read_on[place] for own, place in zip(of_worker, at, strict=True)],
            "value": joined["value"],
        }
    )
    order = np.lexsort((np.arange(len(frame)), at, of_worker))
    return frame.iloc[order].reset_index(drop=True)
