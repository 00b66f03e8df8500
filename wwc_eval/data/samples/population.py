"""Families and children of the sample trial as they are before anybody is randomised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.data.samples.draws import Draws, poisson_quantile
from wwc_eval.data.samples.places import TRIAL_AUTHORITIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["ETHNICITIES", "NEEDS", "SEXES", "Children", "Families", "Setting"]

SEXES = ("female", "male")
ETHNICITIES = ("white", "mixed", "asian", "black", "other")
NEEDS = ("neglect", "emotional abuse", "physical abuse", "sexual abuse", "family dysfunction")

FIRST_DAY = np.datetime64("2024-03-01", "D")
RECRUITMENT_DAYS = 365
MORE_CHILDREN = 0.65
MOST_MORE_CHILDREN = 5
AGE_BANDS = ((0, 0, 0.17), (1, 4, 0.28), (5, 9, 0.27), (10, 15, 0.25), (16, 17, 0.03))
COUNTY_MIX = (0.84, 0.06, 0.04, 0.04, 0.02)
CITY_MIX = (0.52, 0.13, 0.15, 0.14, 0.06)
NEED_MIX = (0.47, 0.26, 0.12, 0.04, 0.11)
SAME_ETHNICITY = 0.94
SHARE_WITHDRAWN = 16 / 1_500
SHARE_ADULT_SIBLING = 12 / 1_500


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Checked arguments of the generator; ``latent_correlation`` is between siblings."""

    families: int
    effect: float
    control_risk: float
    latent_correlation: float
    la_sd: float
    attrition: float


@dataclass(frozen=True, kw_only=True)
class Families:
    """One entry per family, in order of randomisation.

    ``severity`` is the standard normal number behind the needs score; ``pull`` the authority's effect (probit).
    """

    authority: Ints
    randomised: NDArray[np.datetime64]
    referred: NDArray[np.datetime64]
    children: Ints
    severity: Floats
    score: Ints
    previous_plan: Bools
    need: Ints
    ethnicity: Ints
    withdrawn: Bools
    pull: Floats

    @property
    def n(self) -> int:
        """Number of families."""
        return len(self.authority)

    @classmethod
    def draw(cls, draws: Draws, setting: Setting) -> Families:
        """Families with their authority, dates, needs and consent."""
        from scipy import special

        n = setting.families
        authority = np.repeat(np.arange(len(TRIAL_AUTHORITIES)), family_numbers(n))[draws.order(n)]
        days = np.sort(np.floor(draws.uniform(n) * RECRUITMENT_DAYS).astype(np.int64))
        randomised = np.busday_offset(FIRST_DAY + days, 0, roll="forward")
        wait = 7 + np.rint(np.exp(3.2 + 0.6 * draws.normal(n))).astype(np.int64)
        severity = draws.normal(n)
        city = (np.arange(len(TRIAL_AUTHORITIES)) % 3 == 0)[authority]
        mixed = np.where(city, draws.code(CITY_MIX, n), draws.code(COUNTY_MIX, n))
        withdrawn = np.zeros(n, dtype=bool)
        withdrawn[draws.order(n)[: round(SHARE_WITHDRAWN * n)]] = True
        # a probit coefficient is about a logit coefficient divided by 1.7
        pulls = setting.la_sd / 1.7 * draws.normal(len(TRIAL_AUTHORITIES))
        return cls(
            authority=authority,
            randomised=randomised,
            referred=randomised - np.minimum(wait, 180).astype("timedelta64[D]"),
            children=1
            + np.minimum(poisson_quantile(draws.uniform(n), np.full(n, MORE_CHILDREN)), MOST_MORE_CHILDREN),
            severity=severity,
            score=np.clip(np.rint(17 + 6 * severity), 0, 40).astype(np.int64),
            previous_plan=draws.happens(special.ndtr(-0.35 + 0.4 * severity), n),
            need=draws.code(NEED_MIX, n),
            ethnicity=mixed,
            withdrawn=withdrawn,
            pull=pulls[authority],
        )


@dataclass(frozen=True, kw_only=True)
class Children:
    """One entry per child, siblings together, eldest first; ``family`` is the position of the family."""

    family: Ints
    age: Ints
    sex: Ints
    ethnicity: Ints
    disability: Bools

    @property
    def n(self) -> int:
        """Number of children."""
        return len(self.family)

    def eligible(self, family: Families) -> Bools:
        """Children under 18 whose family did not withdraw consent."""
        return (self.age < 18) & ~family.withdrawn[self.family]

    @classmethod
    def draw(cls, draws: Draws, setting: Setting, family: Families) -> Children:
        """Children of the families; in a few families the eldest has turned 18."""
        of = np.repeat(np.arange(family.n), family.children)
        n = len(of)
        low, high, shares = (np.asarray(part) for part in zip(*AGE_BANDS, strict=True))
        band = draws.code(shares.tolist(), n)
        age = low[band] + np.floor(draws.uniform(n) * (high - low + 1)[band]).astype(np.int64)
        age = age[np.lexsort((-age, of))]
        age[_adult_siblings(draws, setting, family, of, age)] = 18
        other = draws.code(COUNTY_MIX, n)
        same = draws.happens(SAME_ETHNICITY, n)
        return cls(
            family=of,
            age=age,
            sex=draws.code((0.49, 0.51), n),
            ethnicity=np.where(same, family.ethnicity[of], other),
            disability=draws.happens(0.14, n),
        )


def family_numbers(families: int) -> Ints:
    """Families of each authority: unequal in a fixed pattern that sums to ``families``."""
    from scipy import special

    count = len(TRIAL_AUTHORITIES)
    spread = special.ndtri((np.arange(count) * 8 % count + 0.5) / count)
    weight = np.exp(0.45 * spread)
    exact = families * weight / weight.sum()
    numbers: Ints = np.floor(exact).astype(np.int64)
    short = families - int(numbers.sum())
    numbers[np.argsort(numbers - exact, kind="stable")[:short]] += 1
    return numbers


def _adult_siblings(draws: Draws, setting: Setting, family: Families, of: Ints, age: Ints) -> Ints:
    """Positions of the eldest children to be aged 18, in families that have other children too."""
    first = np.flatnonzero(np.diff(of, prepend=-1))
    fits = (family.children >= 2) & (age[first] >= 12) & ~family.withdrawn
    order = draws.order(family.n)
    chosen = order[fits[order]][: round(SHARE_ADULT_SIBLING * setting.families)]
    return first[chosen]
