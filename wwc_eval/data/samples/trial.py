"""Synthetic trial of family conferencing: families randomised within local authorities, one row per child."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.samples.draws import Draws, Seed
from wwc_eval.data.samples.places import TRIAL_AUTHORITIES
from wwc_eval.data.samples.population import ETHNICITIES, NEEDS, SEXES, Children, Families, Setting
from wwc_eval.data.samples.potential import Outcomes
from wwc_eval.errors import DesignError, check_number

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

__all__ = ["ARMS", "TrialTruth", "family_conferencing_trial", "family_conferencing_truth"]

ARMS = ("usual", "conference")
SPARSE_ETHNICITY = TRIAL_AUTHORITIES[5]
"""The authority that hardly recorded ethnicity."""
SPARSE_OUTCOME = TRIAL_AUTHORITIES[13]
"""The authority that lost three times as many families as the others."""
SHARE_NO_ETHNICITY = 0.90


@dataclass(frozen=True, kw_only=True)
class TrialTruth:
    """What the generator's families would have had under each arm.

    Parameters
    ----------
    risk_usual, risk_conference : float
        Average risk of being in care at 12 months if every family were in that arm.
    risk_difference, risk_ratio, odds_ratio : float
        Their contrasts, conference against usual: the effects of being offered a conference.
    complier_difference : float
        Average effect among children whose family holds a conference if offered one and not otherwise.
    compliance : float
        Share of such children.
    days_difference : float
        Difference in mean days in care.
    """

    risk_usual: float
    risk_conference: float
    risk_difference: float
    risk_ratio: float
    odds_ratio: float
    complier_difference: float
    compliance: float
    days_difference: float


def family_conferencing_trial(
    rng: Seed,
    *,
    families: int = 1_500,
    effect: float = -0.09,
    control_risk: float = 0.45,
    sibling_icc: float = 0.85,
    la_sd: float = 0.25,
    attrition: float = 0.05,
) -> pd.DataFrame:
    """Draw one trial: a row per child, families randomised 1:1 within 21 local authorities.

    Families are offered a conference or services as usual by permuted blocks of 2 and 4 within each authority.
    Whether child i of family j is in care a year later is decided by
    ``eta_ij + constant + tau * held_j + sqrt(rho) * b_j + sqrt(1 - rho) * e_ij > 0`` with standard normal b and
    e and ``rho = sin(pi * sibling_icc / 2)``. The constant and tau are solved in every draw so that the average
    risk if nobody were offered a conference is ``control_risk`` and the average effect of the offer is
    ``effect``, exactly, over the children who are eligible.

    Parameters
    ----------
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Source of randomness; required.
    families : int
        Families randomised; at least 100. About 1.65 children each.
    effect : float
        Effect of the offer on the risk of being in care, as a proportion (-0.09 is nine percentage points fewer).
    control_risk : float
        Risk under services as usual.
    sibling_icc : float
        Correlation of siblings' outcomes given covariates and at a risk of one half; 0.85 gives about 0.80 in
        the data, where siblings differ in age.
    la_sd : float
        Standard deviation of the authorities' log odds.
    attrition : float
        Share of families whose outcome is not collected.

    Returns
    -------
    pandas.DataFrame
        Typed as ``read_table`` would return the committed file: see its data dictionary.

    Raises
    ------
    DesignError
        If a value is out of range, or the effect is larger than the share who hold a conference allows.

    Examples
    --------
    >>> trial = family_conferencing_trial(1)
    >>> trial["family_id"].nunique(), sorted(trial["arm"].unique())
    (1500, ['conference', 'usual'])
    """
    setting = _setting(
        families=families,
        effect=effect,
        control_risk=control_risk,
        sibling_icc=sibling_icc,
        la_sd=la_sd,
        attrition=attrition,
    )
    draws = Draws(rng)
    family = Families.draw(draws, setting)
    child = Children.draw(draws, setting, family)
    outcomes = Outcomes.draw(draws, setting, family, child)
    conference = allocate(draws, family.authority)
    return _frame(draws, setting, family, child, outcomes=outcomes, conference=conference)


def family_conferencing_truth(
    rng: Seed,
    *,
    families: int = 50_000,
    effect: float = -0.09,
    control_risk: float = 0.45,
    sibling_icc: float = 0.85,
    la_sd: float = 0.25,
) -> TrialTruth:
    """Effects that the generator plants, from both potential outcomes of every child in a large draw.

    The risk difference equals ``effect`` whatever the draw, because the generator solves for it; the complier
    effect and the days carry the Monte Carlo error of ``families``.

    Parameters
    ----------
    rng, families, effect, control_risk, sibling_icc, la_sd
        As in :func:`family_conferencing_trial`.

    Examples
    --------
    >>> truth = family_conferencing_truth(1, families=2_000)
    >>> round(truth.risk_difference, 6), round(truth.risk_usual, 6)
    (-0.09, 0.45)
    """
    setting = _setting(
        families=families,
        effect=effect,
        control_risk=control_risk,
        sibling_icc=sibling_icc,
        la_sd=la_sd,
        attrition=0.0,
    )
    draws = Draws(rng)
    family = Families.draw(draws, setting)
    child = Children.draw(draws, setting, family)
    outcomes = Outcomes.draw(draws, setting, family, child)
    eligible = child.eligible(family)
    usual, offered = (float(risk[eligible].mean()) for risk in (outcomes.risk(False), outcomes.risk(True)))
    everyone = np.ones(family.n, dtype=bool)
    days = [outcomes.observe(outcomes.held(arm))[1][eligible].mean() for arm in (~everyone, everyone)]
    taken_up = outcomes.compliance()[child.family][eligible]
    gain = outcomes.gain_if_held()[eligible]
    complied = float(taken_up.mean())
    return TrialTruth(
        risk_usual=usual,
        risk_conference=offered,
        risk_difference=offered - usual,
        risk_ratio=offered / usual,
        odds_ratio=(offered / (1 - offered)) / (usual / (1 - usual)),
        complier_difference=float((taken_up * gain).mean()) / complied,
        compliance=complied,
        days_difference=float(days[1] - days[0]),
    )


def _setting(
    *, families: int, effect: float, control_risk: float, sibling_icc: float, la_sd: float, attrition: float
) -> Setting:
    if isinstance(families, bool) or families != int(families):
        raise DesignError(f"families == {families}, must be a whole number")
    return Setting(
        families=int(check_number("families", families, at_least=100)),
        effect=check_number("effect", effect, above=-1, below=1),
        control_risk=check_number("control_risk", control_risk, above=0, below=1),
        latent_correlation=math.sin(math.pi / 2 * check_number("sibling_icc", sibling_icc, at_least=0, at_most=1)),
        la_sd=check_number("la_sd", la_sd, at_least=0),
        attrition=check_number("attrition", attrition, at_least=0, at_most=0.3),
    )


def allocate(draws: Draws, authority: Ints) -> NDArray[np.bool_]:
    """Whether each family, in order of randomisation, is offered a conference: permuted blocks of 2 or 4."""
    offered = np.zeros(len(authority), dtype=bool)
    for code in range(len(TRIAL_AUTHORITIES)):
        members = np.flatnonzero(authority == code)
        sizes = 2 * draws.whole(1, 2, len(members))
        ends = np.cumsum(sizes)
        block = np.searchsorted(ends, np.arange(len(members)), side="right")
        full = int(ends[block[-1]]) if len(members) else 0
        # ranks are drawn for whole blocks; the last may be cut short by the end of recruitment
        whole_block = np.searchsorted(ends, np.arange(full), side="right")
        order = np.lexsort((draws.uniform(full), whole_block))
        place = np.empty(full, dtype=np.int64)
        place[order] = np.arange(full)
        start = ends[whole_block] - sizes[whole_block]
        offered[members] = ((place - start) < sizes[whole_block] // 2)[: len(members)]
    return offered


def _frame(
    draws: Draws,
    setting: Setting,
    family: Families,
    child: Children,
    *,
    outcomes: Outcomes,
    conference: NDArray[np.bool_],
) -> pd.DataFrame:
    """Assemble the table and make values missing."""
    import pandas as pd

    of = child.family
    held = outcomes.held(conference)
    in_care, days, proceedings = outcomes.observe(held)
    lost = (_lost_families(draws, setting, family) | family.withdrawn)[of]
    names = np.asarray(TRIAL_AUTHORITIES, dtype=object)[family.authority]
    sparse = names == SPARSE_ETHNICITY
    no_ethnicity = draws.happens(np.where(sparse, SHARE_NO_ETHNICITY, 0.025)[of], child.n)
    no_score = draws.happens(np.where(names == TRIAL_AUTHORITIES[4], 0.30, 0.03), family.n)[of]
    no_sex = draws.happens(0.015, child.n)
    family_ids = np.asarray([f"{number:05d}" for number in range(1, family.n + 1)], dtype=object)
    columns: Mapping[str, Any] = {
        "child_id": [f"{number:06d}" for number in range(1, child.n + 1)],
        "family_id": family_ids[of],
        "local_authority": names[of],
        "arm": _category(conference[of].astype(np.int64), ARMS),
        "randomised_on": family.randomised[of].astype("datetime64[ns]"),
        "referred_on": family.referred[of].astype("datetime64[ns]"),
        "age": child.age,
        "sex": _category(child.sex, SEXES, no_sex),
        "ethnicity": _category(child.ethnicity, ETHNICITIES, no_ethnicity),
        "disability": child.disability.astype(np.int64),
        "previous_plan": family.previous_plan[of].astype(np.int64),
        "main_need": _category(family.need[of], NEEDS),
        "family_needs": pd.arrays.IntegerArray(family.score[of], no_score),
        "conference_held": held[of].astype(np.int64),
        "consent_withdrawn": family.withdrawn[of].astype(np.int64),
        "in_care_12m": pd.arrays.IntegerArray(in_care.astype(np.int64), lost),
        "days_in_care": pd.arrays.IntegerArray(days, lost.copy()),
        "proceedings": pd.arrays.IntegerArray(proceedings.astype(np.int64), lost.copy()),
    }
    return pd.DataFrame(columns)


def _lost_families(draws: Draws, setting: Setting, family: Families) -> NDArray[np.bool_]:
    """Families whose outcome is not collected: more in one authority and after an earlier plan."""
    weight = np.where(family.authority == TRIAL_AUTHORITIES.index(SPARSE_OUTCOME), 3.0, 1.0)
    weight = weight * np.where(family.previous_plan, 1.3, 1.0)
    return draws.happens(setting.attrition * weight / weight.mean(), family.n)


def _category(codes: Ints, levels: tuple[str, ...], missing: NDArray[np.bool_] | None = None) -> Any:
    import pandas as pd

    kept = codes if missing is None else np.where(missing, -1, codes)
    return pd.Categorical.from_codes(kept.tolist(), categories=pd.Index(levels))
