"""Synthetic pilot of family safeguarding: one authority, nine teams, one row a family that was approached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.samples.draws import Draws, Seed
from wwc_eval.errors import DesignError, check_number

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["PILOT_ARM", "PILOT_TEAMS", "family_safeguarding_pilot"]

PILOT_ARM = "family safeguarding"
PILOT_TEAMS = ("Abbey", "Bridge", "Castle", "Dock", "East", "Forge", "Grange", "Harbour", "Island")
ON_PLAN = 0.55
SURVEYED, RATED, RETURNED = 0.72, 0.85, 0.93
SESSIONS, LEAVES_AFTER = 20, 9


def family_safeguarding_pilot(
    rng: Seed,
    *,
    families: int = 186,
    consent: float = 0.68,
    completion: float = 0.78,
    fidelity: float = 0.70,
    still_on_plan: float = 0.58,
    team_icc: float = 0.04,
) -> pd.DataFrame:
    """Draw one pilot: a row for each family approached by nine teams of one authority.

    A step happens where ``constant + sqrt(icc) t + sqrt(1 - icc) e < 0``, t shared by the families of a team and the same for
    every step, so that teams that do well on one do well on the others. The constants are those of the shares asked for,
    which therefore hold on average over draws.

    Parameters
    ----------
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Source of randomness; required.
    families : int
        Families approached; at least 45, five a team.
    consent, completion, fidelity : float
        Shares who agree, who complete of those who began, and whose practice met the specification.
    still_on_plan : float
        Share of children on a plan at the start who are on one six months later.
    team_icc : float
        Intraclass correlation of teams on the latent scale.

    Returns
    -------
    pandas.DataFrame
        Typed as ``read_table`` would return the committed file.

    Raises
    ------
    DesignError
        If a value is out of range.

    Examples
    --------
    >>> pilot = family_safeguarding_pilot(1)
    >>> len(pilot), pilot["team"].nunique()
    (186, 9)
    """
    if isinstance(families, bool) or families != int(families):
        raise DesignError(f"families == {families}, must be a whole number")
    check_number("families", families, at_least=45, at_most=5_000)
    shares = {"consent": consent, "completion": completion, "fidelity": fidelity, "still_on_plan": still_on_plan}
    for name, value in shares.items():
        check_number(name, value, above=0, below=1)
    check_number("team_icc", team_icc, at_least=0, below=1)
    return _frame(_drawn(Draws(rng), families, shares, team_icc))


def _drawn(draws: Draws, families: int, shares: Mapping[str, float], team_icc: float) -> dict[str, NDArray[Any]]:
    """What happened to each family, in the order in which it is drawn."""
    team = np.arange(families) % len(PILOT_TEAMS)
    shared = draws.normal(len(PILOT_TEAMS))[team]

    def step(share: float) -> NDArray[np.bool_]:
        """Families who take a step that a share of all take."""
        from scipy import special

        latent = np.sqrt(team_icc) * shared + np.sqrt(1.0 - team_icc) * draws.normal(families)
        return np.asarray(latent < special.ndtri(share))

    agreed = step(shares["consent"])
    began = agreed & step(0.95)
    completed = began & step(shares["completion"])
    rated = began & draws.happens(RATED, families)
    met = step(shares["fidelity"])
    sessions = np.where(completed, draws.whole(12, SESSIONS, families), draws.whole(1, LEAVES_AFTER, families))
    surveyed = began & draws.happens(np.where(completed, SURVEYED, 0.3), families)
    accepted = np.clip(np.rint(2 * (3.9 + 0.75 * draws.normal(families) - 0.25 * shared)) / 2, 1, 5)
    before = draws.happens(ON_PLAN, families)
    after = np.where(before, step(shares["still_on_plan"]), draws.happens(0.06, families))
    return {
        "team": team,
        "agreed": agreed,
        "began": began,
        "completed": completed,
        "rated": rated,
        "met": met,
        "sessions": sessions,
        "accepted": np.where(surveyed, accepted, np.nan),
        "before": before,
        "after": after,
        "returned": agreed & draws.happens(RETURNED, families),
        "day": np.sort(draws.whole(0, 273, families)),
    }


def _frame(drawn: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """The families as a typed frame."""
    import pandas as pd

    families = len(drawn["team"])
    return pd.DataFrame(
        {
            "family_id": pd.array([f"F{1_000 + number}" for number in range(families)], dtype="string"),
            "team": pd.array(np.array(PILOT_TEAMS)[drawn["team"]], dtype="string"),
            "arm": pd.Categorical([PILOT_ARM] * families, categories=[PILOT_ARM]),
            "approached_on": pd.Timestamp("2025-04-01") + pd.to_timedelta(drawn["day"], unit="D"),
            "agreed": pd.array(drawn["agreed"].astype(int), dtype="Int64"),
            "began": pd.array(drawn["began"].astype(int), dtype="Int64"),
            "completed": pd.array(drawn["completed"].astype(int), dtype="Int64"),
            "sessions": _where(drawn["sessions"], drawn["began"]),
            "fidelity_met": _where(drawn["met"], drawn["rated"]),
            "acceptability": pd.array(drawn["accepted"], dtype="Float64"),
            "on_plan_start": pd.array(drawn["before"].astype(int), dtype="Int64"),
            "on_plan_6m": _where(drawn["after"], drawn["returned"]),
            "followed_up": pd.array(drawn["returned"].astype(int), dtype="Int64"),
        }
    )


def _where(values: NDArray[np.generic], known: NDArray[np.bool_]) -> pd.api.extensions.ExtensionArray:
    """Whole numbers, missing where they are not known."""
    import pandas as pd

    found = pd.array(values.astype(np.int64), dtype="Int64")
    found[~known] = pd.NA
    return found
