"""Synthetic trial of social workers in schools: schools randomised within local authorities, one row a school."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.samples.draws import Draws, Seed
from wwc_eval.data.samples.places import SCHOOL_AUTHORITIES
from wwc_eval.data.samples.population import family_numbers
from wwc_eval.errors import DesignError, check_number

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["FOLLOW_UP", "PHASES", "SCHOOL_ARMS", "schools_s47_trial"]

SCHOOL_ARMS = ("usual", "social worker")
PHASES = ("secondary", "primary", "all_through")
FOLLOW_UP = ("returned", "closed", "merged", "not_returned")
FEWEST_SCHOOLS = 63
"""Three an authority."""

PHASE_MIX = (0.58, 0.32, 0.10)
TYPICAL_PUPILS = (980, 300, 1_150)
PUPILS_LOG_SD = (0.30, 0.45, 0.30)
PHASE_LOG_RATE = (0.0, 0.10, 0.0)
MEALS_LOGIT = (-1.22, 0.30, 0.55)
"""Logit of the share on free school meals: typical school, SD between authorities, SD between their schools."""
RATE_PER_TEN_POINTS = 0.18
"""Rise of the log rate with ten percentage points more pupils on free school meals."""
PERMANENT_SHARE = 0.65
"""Share of what covariates leave unexplained that a school keeps from year to year."""
LAST_YEAR = 0.97
"""Rate of the year before, relative to this one."""
SHARE_NO_MEALS = 0.03
SHARE_NO_MEALS_SPARSE = 0.35
SPARSE_MEALS = SCHOOL_AUTHORITIES[5]
"""The authority that is likely not to return free school meals."""
NEW_SCHOOLS = 5
RENAMED = 3

_TREES = (
    *("Ash", "Beech", "Birch", "Cedar", "Chestnut", "Elm", "Hawthorn", "Hazel", "Holly", "Juniper"),
    *("Larch", "Laurel", "Linden", "Maple", "Oak", "Poplar", "Rowan", "Sycamore", "Willow", "Yew"),
)
_PLACES = (
    *("Bank", "Bridge", "Brook", "Court", "Dale", "Field", "Gate", "Green"),
    *("Grove", "Hill", "Lane", "Park", "Road", "Vale", "View"),
)
_KINDS = ("High School", "Primary School", "School")


@dataclass(frozen=True, kw_only=True)
class _Schools:
    """One entry a school: what is known of it, and its rate under services as usual in both years."""

    authority: Ints
    phase: Ints
    pupils_before: Ints
    pupils: Ints
    meals: Floats
    rate_before: Floats
    rate: Floats


def schools_s47_trial(
    rng: Seed,
    *,
    schools: int = 280,
    rate_ratio: float = 0.90,
    base_rate: float = 0.017,
    school_k: float = 0.60,
    la_k: float = 0.25,
    lost: int = 8,
) -> pd.DataFrame:
    """Draw one trial: a row per school, randomised 1:1 within 21 local authorities.

    The section 47 enquiries of school j of authority l in a school year are Poisson with mean
    ``pupils_j * base * exp(x_j beta + u_l + v_j) * g_j * rate_ratio^(social worker)``: u is normal between authorities,
    v normal and kept from year to year, g a gamma number of the year with mean 1. Given v, counts are therefore
    negative binomial (NB2). ``base`` is solved in every draw so that the rate over all pupils is ``base_rate`` if no
    school had a social worker.

    Parameters
    ----------
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Source of randomness; required.
    schools : int
        Schools randomised; at least 63, three an authority.
    rate_ratio : float
        Effect of a social worker on the rate of every school, and so of all of them together.
    base_rate : float
        Enquiries per pupil and school year under services as usual.
    school_k, la_k : float
        Coefficients of variation of the true rate between the schools of an authority and between authorities.
    lost : int
        Schools that closed, merged or did not make a return.

    Returns
    -------
    pandas.DataFrame
        Typed as ``read_table`` would return the committed file: see its data dictionary.

    Raises
    ------
    DesignError
        If a value is out of range.

    Examples
    --------
    >>> trial = schools_s47_trial(1)
    >>> len(trial), trial["local_authority"].nunique(), int(trial["s47_enquiries"].isna().sum())
    (280, 21, 8)
    """
    _check_whole("schools", schools, FEWEST_SCHOOLS, 2_000)
    _check_whole("lost", lost, 0, schools // 4)
    check_number("rate_ratio", rate_ratio, above=0, at_most=10)
    check_number("base_rate", base_rate, above=0, at_most=1)
    check_number("school_k", school_k, at_least=0, at_most=3)
    check_number("la_k", la_k, at_least=0, at_most=3)
    draws = Draws(rng)
    drawn = _draw(draws, schools, base_rate=base_rate, school_k=school_k, la_k=la_k)
    supported = allocate_schools(draws, drawn.authority)
    before = draws.poisson(drawn.rate_before * drawn.pupils_before)
    enquiries = draws.poisson(drawn.rate * drawn.pupils * np.where(supported, rate_ratio, 1.0))
    return _frame(draws, drawn, supported=supported, before=before, enquiries=enquiries, lost=lost)


def _check_whole(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or value != int(value):
        raise DesignError(f"{name} == {value}, must be a whole number")
    check_number(name, value, at_least=low, at_most=high)


def _draw(draws: Draws, schools: int, *, base_rate: float, school_k: float, la_k: float) -> _Schools:
    """Schools with their covariates and true rates; ``1 + k^2`` of a product is the product of its parts'."""
    from scipy import special

    count = len(SCHOOL_AUTHORITIES)
    authority = np.repeat(np.arange(count), family_numbers(schools))
    phase = draws.code(PHASE_MIX, schools)
    typical, spread = np.asarray(TYPICAL_PUPILS)[phase], np.asarray(PUPILS_LOG_SD)[phase]
    pupils_before = np.clip(np.rint(typical * np.exp(spread * draws.normal(schools))), 60, 2_400).astype(np.int64)
    pupils = np.maximum(np.rint(pupils_before * np.exp(0.03 * draws.normal(schools))), 50).astype(np.int64)
    middle, between, within = MEALS_LOGIT
    logit = middle + between * draws.normal(count)[authority] + within * draws.normal(schools)
    meals = np.rint(1000 * special.expit(logit)) / 10
    known = RATE_PER_TEN_POINTS * meals / 10 + np.asarray(PHASE_LOG_RATE)[phase]
    left = max(math.log1p(school_k**2) - _within_variance(known, authority), 0.0)
    kept = math.sqrt(PERMANENT_SHARE * left) * draws.normal(schools)
    place = math.sqrt(math.log1p(la_k**2)) * draws.normal(count)[authority]
    level = np.exp(known + kept + place)
    yearly = [_gamma(draws, schools, math.expm1((1 - PERMANENT_SHARE) * left)) for _ in range(2)]
    raw = level * yearly[1]
    base = base_rate * pupils.sum() / float(raw @ pupils)
    return _Schools(
        authority=authority,
        phase=phase,
        pupils_before=pupils_before,
        pupils=pupils,
        meals=meals,
        rate_before=LAST_YEAR * base * level * yearly[0],
        rate=base * raw,
    )


def _within_variance(values: Floats, group: Ints) -> float:
    """Variance within groups."""
    means = np.bincount(group, values) / np.bincount(group)
    return float(((values - means[group]) ** 2).sum() / (len(values) - len(means)))


def _gamma(draws: Draws, n: int, variance: float) -> Floats:
    """Gamma numbers with mean 1 and the given variance."""
    from scipy import special

    share = draws.uniform(n)
    if variance <= 0:
        return np.ones(n)
    made: Floats = np.asarray(variance * special.gammaincinv(1 / variance, share), dtype=np.float64)
    return made


def allocate_schools(draws: Draws, authority: Ints) -> Bools:
    """Whether each school gets a social worker: half of each authority's schools, and the odd one by turns.

    Authorities with an odd number of schools, in random order, give their odd school to one arm and the other in
    turn, so that the arms differ by one school at most.
    """
    sizes = np.bincount(authority)
    odd = np.flatnonzero(sizes % 2)
    extra = np.zeros(len(sizes), dtype=np.int64)
    extra[odd[draws.order(len(odd))][int(draws.whole(0, 1)) :: 2]] = 1
    chance = draws.uniform(len(authority))
    order = np.lexsort((chance, authority))
    start = np.cumsum(sizes) - sizes
    rank = np.empty(len(authority), dtype=np.int64)
    rank[order] = np.arange(len(authority)) - start[authority[order]]
    supported: Bools = rank < (sizes // 2 + extra)[authority]
    return supported


def _frame(
    draws: Draws, drawn: _Schools, *, supported: Bools, before: Ints, enquiries: Ints, lost: int
) -> pd.DataFrame:
    """Assemble the table, with what real returns lack."""
    import pandas as pd

    n = len(drawn.authority)
    places = np.asarray(SCHOOL_AUTHORITIES, dtype=object)[drawn.authority]
    names, returned_as = _names(draws, drawn.phase)
    fate = _fates(draws, drawn.pupils, lost)
    gone = fate > 0
    new = np.zeros(n, dtype=bool)
    new[draws.order(n)[:NEW_SCHOOLS]] = True
    no_meals = draws.happens(np.where(places == SPARSE_MEALS, SHARE_NO_MEALS_SPARSE, SHARE_NO_MEALS), n)
    rate_before = np.rint(1e5 * before / drawn.pupils_before) / 100
    columns: dict[str, Any] = {
        "school_id": [f"{900_000 + number}" for number in range(1, n + 1)],
        "school": names,
        "school_in_return": [None if lost_one else name for name, lost_one in zip(returned_as, gone, strict=True)],
        "local_authority": places,
        "arm": _category(supported.astype(np.int64), SCHOOL_ARMS),
        "phase": _category(drawn.phase, PHASES),
        "pupils_before": drawn.pupils_before,
        "fsm_pct": np.where(no_meals, np.nan, drawn.meals),
        "s47_before": pd.arrays.IntegerArray(before, new),
        "s47_rate_before": np.where(new, np.nan, rate_before),
        "follow_up": _category(fate, FOLLOW_UP),
        "pupils": pd.arrays.IntegerArray(drawn.pupils, gone),
        "s47_enquiries": pd.arrays.IntegerArray(enquiries, gone.copy()),
    }
    return pd.DataFrame(columns)


def _names(draws: Draws, phase: Ints) -> tuple[list[str], list[str]]:
    """Names when schools were randomised and in the outcome return: a few became academies in between."""
    n = len(phase)
    pairs = [f"{tree} {place}" for tree in _TREES for place in _PLACES]
    order = draws.order(len(pairs))
    names = [f"{pairs[order[i % len(pairs)]]} {_KINDS[phase[i]]}" for i in range(n)]
    later = list(names)
    for i in draws.order(n)[:RENAMED]:
        later[i] = f"{pairs[order[i % len(pairs)]]} Academy"
    return names, later


def _fates(draws: Draws, pupils: Ints, lost: int) -> Ints:
    """Position in FOLLOW_UP: lost schools are rather small ones, and leave in the three ways by turns."""
    waiting = -np.log(draws.uniform(len(pupils))) * np.sqrt(pupils)
    fate = np.zeros(len(pupils), dtype=np.int64)
    fate[np.argsort(waiting, kind="stable")[:lost]] = 1 + np.arange(lost) % 3
    return fate


def _category(codes: Ints, levels: tuple[str, ...]) -> Any:
    import pandas as pd

    return pd.Categorical.from_codes(codes.tolist(), categories=pd.Index(levels))
