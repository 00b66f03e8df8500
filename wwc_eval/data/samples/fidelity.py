"""Synthetic ratings of practice in twelve local authorities, judged against the specification of safety planning."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.samples.draws import Draws, Seed
from wwc_eval.data.samples.places import LOCAL_AUTHORITIES
from wwc_eval.errors import check_number

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = [
    "DRIFTING",
    "FIDELITY_AUTHORITIES",
    "FIDELITY_ITEMS",
    "SEVERE_RATER",
    "Cases",
    "fidelity_ratings",
    "judged",
    "of_workers",
    "reported",
]

FIDELITY_AUTHORITIES: tuple[str, ...] = LOCAL_AUTHORITIES[5::13][:12]
"""The twelve: the last four are comparison authorities."""
COMPARISON = 4
RATERS = 24
SEVERE_RATER, SEVERITY = 6, -1.1
"""The rater, counted from 0, who scores low, and by how many standard deviations of the latent scale."""
DRIFTING, DRIFT = 2, -0.35
"""The authority, counted from 0, whose practice declines from its fifth quarter on, and by how much a quarter."""
QUARTERS = 8
FIRST_DAY = dt.date(2024, 4, 1)
SPREAD = {"local_authority": 0.35, "team": 0.20, "worker": 0.30, "case": 0.55, "rater": 0.25, "own": 0.75}
"""Standard deviations of the latent scale; ``own`` is of the single judgement."""
ARM_EFFECT = 1.0

# item: (component, easiness on the latent scale, cut points of the values, lowest value)
_FIVE = (-1.6, -0.6, 0.4, 1.5)
_FOUR = (-1.0, 0.0, 1.1)
FIDELITY_ITEMS: dict[str, tuple[float, tuple[float, ...], int]] = {
    "harm_statement": (0.55, _FIVE, 1),
    "worry_statement": (0.20, _FIVE, 1),
    "scaling": (0.10, (0.0,), 0),
    "safety_goal": (0.45, _FIVE, 1),
    "safety_plan": (0.05, _FIVE, 1),
    "child_tool": (0.10, _FOUR, 0),
    "child_seen": (0.80, (0.0,), 0),
    "network_met": (0.00, _FIVE, 1),
    "promises_only": (2.0, (-1.0, 0.0, 0.8), 0),
}
"""Items judged by auditors: easiness, cut points and lowest value. The last one is reversed."""


@dataclass(frozen=True, kw_only=True)
class Cases:
    """One entry a case."""

    authority: Ints
    team: Ints
    worker: Ints
    level: Floats
    age: Ints
    quarter: Ints
    day: Ints


def fidelity_ratings(
    rng: Seed, *, teams: int = 4, workers: int = 3, cases: int = 5, double_rated: float = 0.2
) -> pd.DataFrame:
    """Draw ratings of practice: one row a rating.

    A case has the latent quality ``arm + authority + team + worker + case + drift``; a judgement of it adds the
    easiness of the item, the severity of the rater and chance, and is cut into the values of the item.

    Parameters
    ----------
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Source of randomness; required.
    teams, workers, cases : int
        Teams of an authority, workers of a team, cases of a worker.
    double_rated : float
        Share of cases that a second auditor judges.

    Returns
    -------
    pandas.DataFrame
        Text in every column but ``child_age``: values and codes for missing as recorded.

    Raises
    ------
    DesignError
        If a value is out of range.

    Examples
    --------
    >>> ratings = fidelity_ratings(1, teams=2, workers=2, cases=2)
    >>> ratings["case"].nunique(), ratings["local_authority"].nunique()
    (96, 12)
    """
    check_number("double_rated", double_rated, at_least=0, at_most=1)
    for name, value in (("teams", teams), ("workers", workers), ("cases", cases)):
        check_number(name, value, at_least=1, at_most=100)
    draws = Draws(rng)
    drawn = _draw(draws, int(teams), int(workers), int(cases))
    severity = SPREAD["rater"] * draws.normal(RATERS)
    severity[SEVERE_RATER] = SEVERITY
    n = len(drawn.level)
    first = draws.whole(0, RATERS - 1, n)
    second = (first + draws.whole(1, RATERS - 1, n)) % RATERS
    twice = draws.happens(double_rated, n)
    case = np.concatenate([np.arange(n), np.flatnonzero(twice)])
    rater = np.concatenate([first, second[twice]])
    rows = [judged(draws, drawn, case, rater, severity), reported(draws, drawn), of_workers(draws, drawn)]
    return _frame(drawn, rows)


def _draw(draws: Draws, teams: int, workers: int, cases: int) -> Cases:
    count = len(FIDELITY_AUTHORITIES)
    authority_of_team = np.repeat(np.arange(count), teams)
    team_of_worker = np.repeat(np.arange(count * teams), workers)
    worker = np.repeat(np.arange(len(team_of_worker)), cases)
    team, authority = team_of_worker[worker], authority_of_team[team_of_worker[worker]]
    n = len(worker)
    arm = np.where(np.arange(count) < count - COMPARISON, ARM_EFFECT / 2, -ARM_EFFECT / 2)
    quarter = draws.whole(0, QUARTERS - 1, n)
    level = (
        (arm + SPREAD["local_authority"] * draws.normal(count))[authority]
        + SPREAD["team"] * draws.normal(count * teams)[team]
        + SPREAD["worker"] * draws.normal(len(team_of_worker))[worker]
        + SPREAD["case"] * draws.normal(n)
        + np.where(authority == DRIFTING, DRIFT * np.maximum(quarter - 3, 0), 0.0)
    )
    return Cases(
        authority=authority,
        team=team,
        worker=worker,
        level=level,
        age=draws.whole(0, 17, n),
        quarter=quarter,
        day=draws.whole(0, 89, n),
    )


def judged(draws: Draws, drawn: Cases, case: Ints, rater: Ints, severity: Floats) -> dict[str, Any]:
    """What auditors read in case files; a tool for children is judged from the age of four on."""
    found: dict[str, list[Any]] = {"case": [], "item": [], "rater": [], "value": []}
    for item, (easiness, cuts, lowest) in FIDELITY_ITEMS.items():
        kept = drawn.age[case] >= 4 if item == "child_tool" else np.ones(len(case), dtype=bool)
        latent = drawn.level[case] + severity[rater] + easiness + SPREAD["own"] * draws.normal(len(case))
        if item == "promises_only":
            latent = -latent
        values = (lowest + np.searchsorted(np.asarray(cuts), latent)).astype(str).astype(object)
        chance = draws.uniform(len(case))
        values[(chance < 0.03) & (latent < 0)] = "NR"
        values[(chance > 0.985)] = "NS"
        if item in {"scaling", "network_met"}:
            values[(chance > 0.03) & (chance < 0.045)] = "NA"
        found["case"] += case[kept].tolist()
        found["item"] += [item] * int(kept.sum())
        found["rater"] += [f"A{number + 1:02d}" for number in rater[kept]]
        found["value"] += values[kept].tolist()
    return {**found, "respondent": ["auditor"] * len(found["case"])}


def reported(draws: Draws, drawn: Cases) -> dict[str, Any]:
    """What parents say, of whom a third is not reached, and visits in the record."""
    n = len(drawn.level)
    latent = 0.5 * drawn.level + 0.6 + 0.9 * draws.normal(n)
    said = (1 + np.searchsorted(np.asarray(_FIVE), latent)).astype(str).astype(object)
    said[draws.happens(0.34, n)] = "NS"
    visits = draws.poisson(np.exp(1.55 + 0.25 * drawn.level)).astype(str).astype(object)
    cases = np.arange(n).tolist()
    return {
        "case": [*cases, *cases],
        "item": ["listened_to"] * n + ["visits"] * n,
        "rater": [""] * (2 * n),
        "value": [*said.tolist(), *visits.tolist()],
        "respondent": ["parent"] * n + ["record"] * n,
    }


def of_workers(draws: Draws, drawn: Cases) -> dict[str, Any]:
    """Sessions of group supervision of each worker; one in twenty workers did not answer."""
    workers, first = np.unique(drawn.worker, return_index=True)
    level = drawn.level[first]
    sessions = draws.poisson(np.exp(0.8 + 0.2 * level)).astype(str).astype(object)
    sessions[draws.happens(0.05, len(workers))] = "NS"
    return {
        "case": [-1 - place for place in first.tolist()],
        "item": ["group_supervision"] * len(workers),
        "rater": [""] * len(workers),
        "value": sessions.tolist(),
        "respondent": ["worker"] * len(workers),
    }


def _frame(drawn: Cases, parts: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    joined = {name: [value for part in parts for value in part[name]] for name in parts[0]}
    given = np.array(joined["case"], dtype=np.int64)
    of_worker = given < 0
    at = np.where(of_worker, -1 - given, given)
    start = [FIRST_DAY + dt.timedelta(days=int(91 * q + d)) for q, d in zip(drawn.quarter, drawn.day, strict=True)]
    places = drawn.authority[at]
    frame = pd.DataFrame(
        {
            "case": [None if own else f"C{place + 1:04d}" for own, place in zip(of_worker, at, strict=True)],
            "worker": [f"W{place + 1:03d}" for place in drawn.worker[at]],
            "team": [f"T{place + 1:02d}" for place in drawn.team[at]],
            "local_authority": [FIDELITY_AUTHORITIES[place] for place in places],
            "arm": [
                "comparison" if place >= len(FIDELITY_AUTHORITIES) - COMPARISON else "intervention"
                for place in places
            ],
            "child_age": pd.arrays.IntegerArray(drawn.age[at], of_worker),
            "item": joined["item"],
            "rater": [name or None for name in joined["rater"]],
            "respondent": joined["respondent"],
            "date": [None if own else start[place].isoformat() for own, place in zip(of_worker, at, strict=True)],
            "value": joined["value"],
        }
    )
    order = np.lexsort((np.arange(len(frame)), at, of_worker))
    return frame.iloc[order].reset_index(drop=True)
