"""Synthetic panel of local authorities: rates per 10,000 children over ten years, with a programme in some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.samples.draws import Draws, Seed
from wwc_eval.data.samples.places import CODES, LOCAL_AUTHORITIES, REGION_OF
from wwc_eval.errors import DesignError, check_number

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["COHORTS", "EFFECT", "MEASURES", "YEARS", "Measure", "la_panel"]

YEARS = tuple(range(2016, 2026))
COHORTS = (2020, 2021, 2022, 2023)
EFFECT = (-0.05, -0.10, -0.15)
"""Change of the log rate of care starts in the first, second, and third and later years of the programme."""
AUTHORITIES = len(LOCAL_AUTHORITIES)
MEDIAN_CHILDREN = 61_295
CHILDREN_LOG_SD = 0.6905
"""Spread that gives a coefficient of variation of 0.76 over 153 evenly spread quantiles."""
REGION_SHARE = 0.4
SELECTION = 0.8
"""How much a permanently higher level of care starts (in SDs) raises the log chance of joining."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How one measure behaves across authorities and years.

    ``means`` are the raw means of the rate by year; ``sd`` the spread between authority-years within a year, of
    the log rate (of the percentage itself for re-referrals); ``permanent`` the share of that variance that
    never changes; ``moving`` the (share, yearly correlation) of first-order autoregressions. What is left is
    noise from year to year, of which the chance of small counts is a part unless the measure is a stock that
    carries over (``sampled`` is False).
    """

    name: str
    means: tuple[float, ...]
    sd: float
    permanent: float
    moving: tuple[tuple[float, float], ...]
    sampled: bool = True

    @property
    def noise(self) -> float:
        """Share of the variance that is new every year."""
        return max(1 - self.permanent - sum(share for share, _ in self.moving), 0.0)


MEASURES: tuple[Measure, ...] = (
    Measure(
        name="cla",
        means=(65.10, 67.46, 69.70, 73.26, 75.06, 75.64, 76.67, 77.19, 75.82, 73.15),
        sd=0.4121,
        permanent=0.0,
        moving=((1.0, 0.9824),),
        sampled=False,
    ),
    Measure(
        name="cla_starts",  # no published mean before 2018: the value of that year stands in
        means=(29.77, 29.77, 29.77, 30.03, 29.38, 26.46, 28.71, 30.18, 28.97, 27.17),
        sd=0.3692,
        permanent=0.580,
        moving=((0.3412, 0.7759),),
    ),
    Measure(
        name="cin",
        means=(366.15, 361.44, 372.84, 368.72, 358.14, 359.93, 376.31, 370.32, 362.20, 358.99),
        sd=0.2813,
        permanent=0.3136,
        moving=((0.6255, 0.9418),),
    ),
    Measure(
        name="cpp",
        means=(47.31, 47.62, 49.48, 47.87, 47.91, 47.13, 47.90, 47.16, 45.62, 44.04),
        sd=0.3921,
        permanent=0.4046,
        moving=((0.4781, 0.8221),),
    ),
    Measure(
        name="s47",
        means=(161.12, 176.39, 186.30, 187.76, 190.22, 187.97, 204.26, 209.70, 205.18, 206.21),
        sd=0.4144,
        permanent=0.3117,
        moving=((0.6376, 0.8584),),
    ),
    Measure(
        name="referrals",
        means=(548.79, 574.36, 568.11, 575.47, 574.09, 531.24, 577.33, 569.98, 541.65, 538.12),
        sd=0.3425,
        permanent=0.0039,
        moving=((0.9108, 0.9136),),
    ),
    Measure(
        name="rereferral_pct",
        means=(20.02, 19.92, 20.07, 20.70, 21.38, 21.19, 19.88, 20.83, 20.84, 20.46),
        sd=5.154,
        permanent=0.0,
        moving=((0.5885, 0.9003), (0.3795, 0.3731)),
    ),
)

ACROSS_MEASURES = (
    (1.00, 0.84, 0.77, 0.75, 0.66, 0.58, 0.31),
    (0.84, 1.00, 0.87, 0.73, 0.74, 0.68, 0.18),
    (0.77, 0.87, 1.00, 0.79, 0.82, 0.79, 0.18),
    (0.75, 0.73, 0.79, 1.00, 0.86, 0.68, 0.28),
    (0.66, 0.74, 0.82, 0.86, 1.00, 0.80, 0.29),
    (0.58, 0.68, 0.79, 0.68, 0.80, 1.00, 0.55),
    (0.31, 0.18, 0.18, 0.28, 0.29, 0.55, 1.00),
)
"""Correlations of authorities' mean log rates over the ten years between measures, in the order above."""


def la_panel(
    rng: Seed, *, effect: Sequence[float] = EFFECT, treated: int = 24, matched: bool = False
) -> pd.DataFrame:
    """Draw a panel of 153 invented authorities over the years ending 31 March 2016 to 2025.

    For a rate, ``log rate_it = mean_t + permanent_i + autoregression_it + noise_it + effect_it``, and the count
    is Poisson with mean ``rate_it * children_it / 10,000`` (rounded, not Poisson, for children looked after, a
    stock that carries over). The variances are those of published figures less what the Poisson chance adds.
    ``treated`` authorities join a programme in equal cohorts from 2020 to 2023, likelier where care starts are
    permanently high: trends without the programme stay parallel on the log scale.

    Parameters
    ----------
    rng : int, numpy.random.Generator or numpy.random.SeedSequence
        Source of randomness; required.
    effect : sequence of float
        Change of the log rate of care starts in the first, second ... year of the programme; the last goes on.
    treated : int
        Authorities that join, a multiple of 4 up to 152; 0 for none.
    matched : bool
        Make means, variances and correlations of the authorities' latent levels exactly those aimed at, as in
        the committed file. Authorities are then not quite independent: leave it off in simulations.

    Returns
    -------
    pandas.DataFrame
        1,530 rows, one per authority and year: see the data dictionary.

    Examples
    --------
    >>> panel = la_panel(1)
    >>> len(panel), panel["la_code"].iloc[0], panel["programme_from"].nunique()
    (1530, '001', 4)
    """
    checked = [check_number("effect", one, above=-3, below=3) for one in effect]
    if not checked:
        raise DesignError("effect is empty, must hold at least one number", fix="give effect=(0,) for none")
    if isinstance(treated, bool) or treated not in range(0, AUTHORITIES, len(COHORTS)):
        raise DesignError(f"treated == {treated}, must be a multiple of {len(COHORTS)} from 0 to 152")
    draws = Draws(rng)
    children = _children(draws)
    permanent, moving = _latent(draws, matched=matched)
    joined = _join(draws, permanent[:, 1], treated)
    columns: dict[str, Any] = {
        "la_code": np.repeat(np.asarray(CODES, dtype=object), len(YEARS)),
        "local_authority": np.repeat(np.asarray(LOCAL_AUTHORITIES, dtype=object), len(YEARS)),
        "region": np.repeat(np.asarray(REGION_OF, dtype=object), len(YEARS)),
        "year": np.tile(np.asarray(YEARS, dtype=np.int64), AUTHORITIES),
        "child_population": children.ravel(),
    }
    for index, measure in enumerate(MEASURES[:-1]):
        log_ratio = _effects(joined, checked) if measure.name == "cla_starts" else np.zeros(children.shape)
        counts = _counts(
            draws,
            measure,
            children,
            permanent=permanent[:, index],
            moving=moving[index],
            log_ratio=log_ratio,
            matched=matched,
        )
        columns[measure.name] = counts.ravel()
        columns[f"{measure.name}_rate"] = 1e4 * counts.ravel() / children.ravel()
    referrals = columns["referrals"].reshape(children.shape)
    again = _rereferrals(draws, MEASURES[-1], referrals, permanent[:, -1], moving[-1])
    columns["rereferrals"] = again.ravel()
    columns["rereferral_pct"] = 100 * again.ravel() / referrals.ravel()
    return _frame(columns, joined)


def _frame(columns: dict[str, Any], joined: Ints) -> pd.DataFrame:
    import pandas as pd

    year_joined = np.repeat(joined, len(YEARS))
    columns["programme_from"] = pd.arrays.IntegerArray(year_joined, year_joined == 0)
    columns["programme"] = ((year_joined > 0) & (columns["year"] >= year_joined)).astype(np.int64)
    return pd.DataFrame(columns)


def _children(draws: Draws) -> Ints:
    """Children of each authority and year: lognormal quantiles in random order, growing by about 0.3% a year."""
    from scipy import special

    score = special.ndtri((draws.order(AUTHORITIES) + 0.5) / AUTHORITIES)
    in_2024 = MEDIAN_CHILDREN * np.exp(CHILDREN_LOG_SD * score)
    growth = 0.003 + 0.004 * draws.normal(AUTHORITIES)
    years = np.asarray(YEARS) - 2024
    children: Ints = np.rint(in_2024[:, None] * np.exp(growth[:, None] * years)).astype(np.int64)
    return children


def _latent(draws: Draws, *, matched: bool) -> tuple[Floats, list[Floats]]:
    """Standard permanent levels (authority x measure) and moving parts (authority x year) of each measure."""
    from scipy import linalg

    measures, years = len(MEASURES), len(YEARS)
    parts = max(len(measure.moving) for measure in MEASURES)
    raw = draws.normal(AUTHORITIES, measures * (1 + parts * years))
    region = np.unique(np.asarray(REGION_OF), return_inverse=True)[1]
    shared = draws.normal(region.max() + 1, measures)[region]
    levels = np.sqrt(1 - REGION_SHARE) * raw[:, :measures] + np.sqrt(REGION_SHARE) * shared
    # the mean over authorities takes a share of the regions' variance with it: make up for it
    together = REGION_SHARE * float(np.mean(np.bincount(region)[region])) / AUTHORITIES
    raw[:, :measures] = levels / np.sqrt(1 - together)
    if matched:
        # of second moving parts only those in use are matched: 153 authorities do not match more columns exactly
        used = _columns_in_use(parts)
        centred = raw[:, used] - raw[:, used].mean(axis=0)
        factor = np.linalg.cholesky(centred.T @ centred / AUTHORITIES)
        raw[:, used] = linalg.solve_triangular(factor, centred.T, lower=True).T
    across = np.linalg.cholesky(np.asarray(ACROSS_MEASURES))
    permanent = raw[:, :measures] @ across.T
    shocks = raw[:, measures:].reshape(AUTHORITIES, parts, years, measures)
    shocks[:, 0] = shocks[:, 0] @ across.T
    lags = np.abs(np.subtract.outer(np.arange(years), np.arange(years)))
    moving = []
    for index, measure in enumerate(MEASURES):
        total = np.zeros((AUTHORITIES, years))
        for part, (share, yearly) in enumerate(measure.moving):
            total += np.sqrt(share) * shocks[:, part, :, index] @ np.linalg.cholesky(yearly**lags).T
        moving.append(total)
    return permanent, moving


def _columns_in_use(parts: int) -> NDArray[np.bool_]:
    measures, years = len(MEASURES), len(YEARS)
    used = np.ones((1 + parts * years) * measures, dtype=bool)
    second = used[measures:].reshape(parts, years, measures)
    for index, measure in enumerate(MEASURES):
        second[len(measure.moving) :, :, index] = False
    return used


def _join(draws: Draws, level: Floats, treated: int) -> Ints:
    """Year in which each authority joins the programme, 0 for never: weighted sampling without replacement."""
    waiting = -np.log(draws.uniform(AUTHORITIES)) / np.exp(SELECTION * level)
    chosen = np.argsort(waiting, kind="stable")[:treated]
    joined = np.zeros(AUTHORITIES, dtype=np.int64)
    joined[chosen[draws.order(treated)]] = np.repeat(COHORTS, treated // len(COHORTS))
    return joined


def _effects(joined: Ints, effect: Sequence[float]) -> Floats:
    """Change of the log rate by authority and year."""
    since = np.asarray(YEARS)[None, :] - joined[:, None]
    known = np.asarray(effect, dtype=float)[np.clip(since, 0, len(effect) - 1)]
    return np.where((joined[:, None] > 0) & (since >= 0), known, 0.0)


def _counts(
    draws: Draws,
    measure: Measure,
    children: Ints,
    *,
    permanent: Floats,
    moving: Floats,
    log_ratio: Floats,
    matched: bool,
) -> Ints:
    """Counts of one measure by authority and year."""
    means = np.asarray(measure.means)
    variance = measure.sd**2
    # the log of a Poisson count with mean m varies by about 1 / m
    chance = float(np.mean(1e4 / (children * means))) * np.exp(variance) if measure.sampled else 0.0
    noise = max(measure.noise * variance - chance, 0.0)
    latent = measure.sd * (np.sqrt(measure.permanent) * permanent[:, None] + moving)
    latent = latent + np.sqrt(noise) * draws.normal(*children.shape)
    spread = variance * (1 - measure.noise) + noise
    rate = means * np.exp(latent - spread / 2)
    if matched:
        rate = rate * means / rate.mean(axis=0)
    expected = rate * np.exp(log_ratio) * children / 1e4
    if measure.sampled:
        return draws.poisson(expected)
    rounded: Ints = np.rint(expected).astype(np.int64)
    return rounded


def _rereferrals(draws: Draws, measure: Measure, referrals: Ints, permanent: Floats, moving: Floats) -> Ints:
    """Referrals within a year of another, by authority and year; the level stays between 2 and 60 percent."""
    means = np.asarray(measure.means)
    chance = float(np.mean(means * (100 - means) / np.maximum(referrals, 1)))
    noise = np.sqrt(max(measure.noise * measure.sd**2 - chance, 0.0))
    level = measure.sd * (np.sqrt(measure.permanent) * permanent[:, None] + moving)
    level = means + level + noise * draws.normal(*referrals.shape)
    return draws.binomial(referrals, np.clip(level, 2.0, 60.0) / 100)
