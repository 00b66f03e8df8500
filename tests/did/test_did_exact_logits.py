"""Effects given a propensity to forty digits: who is right where R's logit stops early, to how many digits.

Outcomes and covariates are the doubles that R read, too. The logit is taken to its optimum by Newton steps in decimals;
effects are sums of outcomes whose weights rest on it, and averages of effects are weighted by the cohorts' sizes.
"""

from decimal import Decimal, localcontext
from functools import cache

import did_data
import numpy as np
import pytest
from callaway_figures import FIGURES, fitted, tree_of
from did_figures import leaves

pytestmark = pytest.mark.reference

KEYS = [key for key in FIGURES["la"] if "x_dr" in key or "x_ipw" in key]
WORDS = {"agg_dynamic": "event", "dynamic_balance1_min3": "balanced event"}
# R's figures that are more than 1e-8 from the exact ones, in relation to them; no other is
R_GAPS = {
    "nevertreated|varying|antic0|x_dr": {
        "event -22": 2.37e-08,
    },
    "nevertreated|varying|antic0|x_ipw": {
        "ATT(21, 14)": 1.27e-08,
        "ATT(25, 27)": 1.55e-08,
        "ATT(29, 23)": -8.86e-08,
        "ATT(29, 26)": 3e-08,
        "event -24": -1.96e-08,
        "event -22": -6.57e-08,
        "event -13": -1.15e-08,
        "event -12": -1.24e-08,
    },
    "nevertreated|universal|antic0|x_ipw": {
        "ATT(25, 27)": 1.55e-08,
        "ATT(29, 10)": -1.39e-08,
        "ATT(29, 24)": 6.04e-08,
    },
    "notyettreated|varying|antic0|x_dr": {
        "ATT(29, 15)": 3.72e-08,
        "event -24": 2.76e-08,
        "event -22": 1.51e-08,
    },
    "notyettreated|varying|antic0|x_ipw": {
        "ATT(21, 14)": 1.66e-08,
        "ATT(21, 15)": -1.26e-08,
        "ATT(21, 17)": 1.58e-08,
        "ATT(25, 27)": 1.09e-08,
        "ATT(29, 23)": -1.11e-07,
        "ATT(29, 26)": 2.25e-08,
        "event -24": 1.76e-08,
        "event -22": 1.05e-08,
        "event -13": -3.14e-08,
        "event -12": -3.24e-08,
        "event -2": -2.23e-08,
        "balanced event -2": -2.23e-08,
    },
    "notyettreated|universal|antic0|x_dr": {
        "event -23": 4.82e-08,
    },
    "notyettreated|universal|antic0|x_ipw": {
        "ATT(21, 9)": 1.31e-08,
        "ATT(25, 27)": 1.09e-08,
        "ATT(29, 10)": -1.34e-08,
        "ATT(29, 24)": 2.93e-08,
        "event -23": 6.44e-08,
        "event -22": 7.03e-08,
    },
}


@cache
def panel():
    """Outcomes (n, T), covariate and intercept (n, 2), all in decimals, and first treated periods (n,)."""
    data = did_data.la_panel()
    outcomes = data.pivot_table(index="la", columns="t", values="y").to_numpy()
    units = data.groupby("la").first()
    exact = np.vectorize(Decimal, otypes=[object])
    return exact(outcomes), exact(np.column_stack([np.ones(150), units["x"]])), units["g"].to_numpy()


def two_by_two(matrix, right):
    (a, b), (c, d) = matrix
    return np.array([d * right[0] - b * right[1], a * right[1] - c * right[0]]) / (a * d - b * c)


def sample(cohort, controls):
    """Units of a cohort and its comparison, their covariates, and who is treated."""
    _, x, first = panel()
    inside = np.isin(first, [cohort, *controls])
    return inside, x[inside], np.array([Decimal(int(value)) for value in first[inside] == cohort])


@cache
def odds(cohort, controls):
    """Odds of treatment at the optimum of the logit: Newton steps until they are nothing."""
    _, x, treated = sample(cohort, controls)
    beta = np.array([Decimal(0), Decimal(0)])
    for _ in range(40):
        ratio = np.array([value.exp() for value in x @ beta])
        share = ratio / (1 + ratio)
        step = two_by_two((x * (share * (1 - share))[:, None]).T @ x, x.T @ (treated - share))
        beta = beta + step
        if max(abs(step)) < Decimal("1e-36"):
            return np.array([value.exp() for value in x @ beta])
    raise AssertionError("the logit has no optimum")


@cache
def weights(cohort, controls, method):
    """What the change of each unit counts in an effect; ``controls`` are the cohorts of the comparison."""
    inside, x, treated = sample(cohort, controls)
    ratio = odds(cohort, controls)
    # R takes comparison units of a higher propensity out
    assert max(ratio) < Decimal("0.99")
    own, other = treated / treated.sum(), ratio * (1 - treated)
    other = other / other.sum()
    found = own - other
    if method == "dr":
        controls_x = x * (1 - treated)[:, None]
        found = found - controls_x @ two_by_two(controls_x.T @ controls_x, x.T @ (own - other))
    every = np.array([Decimal(0)] * len(inside))
    every[inside] = found
    return every


def effects(control, base, method):
    """Every effect by cohort and period; 0 in a universal base period."""
    outcomes, _, first = panel()
    cohorts = sorted(set(first[first > 0].tolist()))
    found = {}
    for cohort in cohorts:
        for period in range(1 if base == "universal" else 2, 41):
            early = base == "varying" and period < cohort
            before = period - 1 if early else cohort - 1
            others = {g for g in cohorts if g > max(period, before) and g != cohort}
            pool = (0, *sorted(others)) if control == "notyettreated" else (0,)
            change = outcomes[:, period - 1] - outcomes[:, before - 1]
            found[cohort, period] = (weights(cohort, pool, method) * change).sum()
    return found, {cohort: int((first == cohort).sum()) for cohort in cohorts}


def mean(values, sizes):
    return sum(value * size for value, size in zip(values, sizes, strict=True)) / sum(sizes)


def exact_tree(key):
    """Every effect and average of a configuration, in R's layout."""
    control, base, _, covariates = key.split("|")
    found, size = effects(control, base, covariates.removeprefix("x_"))

    def over(chosen):
        kept = {place: value for place, value in found.items() if chosen(*place)}
        return mean(kept.values(), [size[g] for g, _ in kept])

    events = sorted({t - g for g, t in found})
    dynamic = [over(lambda g, t, e=e: t - g == e) for e in events]
    by_cohort = [over(lambda g, t, c=c: g == c and t >= g) for c in size]
    calendar = [over(lambda g, t, p=p: t == p and t >= g) for p in range(13, 41)]
    near = [dynamic[events.index(e)] for e in range(-3, 2)]
    treated = dynamic[events.index(0) :]
    return {
        "att": list(found.values()),
        "agg_simple": {"overall": over(lambda g, t: t >= g)},
        "agg_group": {"overall": mean(by_cohort, size.values()), "att": by_cohort},
        "agg_calendar": {"overall": sum(calendar) / len(calendar), "att": calendar},
        "agg_dynamic": {"overall": sum(treated) / len(treated), "att": dynamic},
        "dynamic_balance1_min3": {"overall": sum(near[3:]) / 2, "att": near},
    }


def named(place, figures):
    """A place in R's layout in words: ``ATT(29, 23)``, ``event -22``."""
    if place[0] == "att":
        return f"ATT({figures['group'][place[1]]}, {figures['t'][place[1]]})"
    words = WORDS.get(place[0], place[0])
    return f"{words} {figures[place[0]]['egt'][place[2]] if place[1] == 'att' else place[1]}"


@pytest.mark.parametrize("key", KEYS)
def test_effects_given_a_propensity(key):
    """Ours to 1e-12 of the effect itself, however near zero; R's to 1e-8 but for those that are named."""
    figures = FIGURES["la"][key]
    ours, theirs, ours_off, gaps = dict(leaves(tree_of(fitted("la", key)))), dict(leaves(figures)), 0.0, {}
    with localcontext() as context:
        context.prec = 40
        for place, value in leaves(exact_tree(key)):
            if value == 0:
                assert ours[place] == theirs[place] == 0
                continue
            ours_off = max(ours_off, float(abs(Decimal(ours[place]) / value - 1)))
            gap = float(Decimal(theirs[place]) / value - 1)
            if abs(gap) > 1e-8:
                gaps[named(place, figures)] = gap
    assert ours_off < 1e-12
    assert gaps == pytest.approx(R_GAPS.get(key, {}), rel=0.02)
