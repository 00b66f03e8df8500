"""Effects and errors in exact arithmetic on the numbers as read: whose last digits are right, ours or R's.

Outcomes and weights are the doubles that R read, too, taken as fractions; nothing is rounded before the end.
"""

import json
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from pathlib import Path

import did_data
import numpy as np
import pytest
from did_figures import solved

import wwc_eval as we

pytestmark = pytest.mark.reference

FOLDER = Path(__file__).parents[1] / "reference"
CALLAWAY = json.loads((FOLDER / "did_callaway.json").read_text(encoding="utf-8"))
REGRESSION = json.loads((FOLDER / "did_regression.json").read_text(encoding="utf-8"))
SCALE = 2**80
NAMES = {
    "castle": ("sid", "year", "l_homicide", "g", "popwt"),
    "la": ("la", "t", "y", "g", "pop"),
    "mpdta": ("countyreal", "year", "lemp", "first.treat", None),
    "df_het": ("unit", "year", "dep_var", "g", None),
}


@cache
def exact_panel(name):
    """Outcomes (n, T) and weights (n,) as whole multiples of 2^-80, first treated periods (n,), labels of periods."""
    unit, period, outcome, cohort, weights = NAMES[name]
    data = getattr(did_data, {"la": "la_panel"}.get(name, name))()
    wide = data.pivot_table(index=unit, columns=period, values=outcome)
    per_unit = data.groupby(unit).first()
    weight = per_unit[weights] if weights else per_unit[outcome] * 0 + 1.0
    return whole(wide), per_unit[cohort].to_numpy(), whole(weight), list(wide)


def whole(numbers):
    """Doubles as whole multiples of 2^-80, which they must be."""
    values = np.asarray(numbers, dtype=np.float64)
    found = [Fraction(value) * SCALE for value in values.ravel().tolist()]
    assert all(value.denominator == 1 for value in found)
    return np.array([int(value) for value in found], dtype=object).reshape(values.shape)


def panel_of(name, weighted=False):
    unit, period, outcome, cohort, weights = NAMES[name]
    data = getattr(did_data, {"la": "la_panel"}.get(name, name))()
    options = {"weights": weights} if weighted else {}
    return we.Panel(data, unit=unit, period=period, outcome=outcome, cohort=cohort, **options)


def root(value):
    """Square root of a fraction to 40 digits."""
    with localcontext() as context:
        context.prec = 40
        return Fraction((Decimal(value.numerator) / Decimal(value.denominator)).sqrt())


def off(number, exact):
    """Relative distance of a double from an exact number."""
    return float(abs(Fraction(number) - exact) / abs(exact))


# --- Callaway and Sant'Anna without covariates


def effect(panel, weighted, cohort, periods, controls):
    """An effect and its error: differences of exact means, root of the sum of squared influences."""
    values, first, weights, times = panel
    period, base = periods
    change = values[:, times.index(period)] - values[:, times.index(base)]
    value, variance = Fraction(0), Fraction(0)
    for sign, members in ((1, first == cohort), (-1, controls)):
        own = weights[members] if weighted else np.ones(members.sum(), dtype=object)
        here, total = change[members], own.sum()
        moment = (own * here).sum()
        value += sign * Fraction(moment, total)
        # own * (here - moment / total) / total, squared, over one denominator
        variance += Fraction(((own * (here * total - moment)) ** 2).sum(), total**4)
    return value / SCALE, root(variance) / SCALE


def configuration(name, key):
    """Ours, R's and the exact effects and errors by cohort and period."""
    control, base, _, _, *weighted = key.split("|")
    panel = exact_panel(name)
    _, first, _, times = panel
    result = we.did.callaway_santanna(
        panel_of(name, bool(weighted)), control={"nevertreated": "never"}.get(control, "not_yet"), base=base
    )
    figures = CALLAWAY[name][key]
    there = {row[:2]: row[2:] for row in zip(*(figures[k] for k in ("group", "t", "att", "se")), strict=True)}
    for place, item in zip(result.estimates.keys, result.estimates, strict=True):
        cohort, period = place["cohort"], place["period"]
        early = base == "varying" and period < cohort
        before = times[times.index(period if early else cohort) - 1]
        controls = first == 0
        if control == "notyettreated":
            controls |= (first > max(period, before)) & (first != cohort)
        yield item, there[cohort, period], effect(panel, bool(weighted), cohort, (period, before), controls)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("castle", "nevertreated|varying|antic0|nox"),
        ("castle", "notyettreated|universal|antic0|nox|w"),
        ("la", "notyettreated|universal|antic0|nox|w"),
        ("la", "nevertreated|varying|antic0|nox"),
        ("mpdta", "notyettreated|varying|antic0|nox"),
    ],
)
def test_effects_and_errors_of_callaway_and_santanna(name, key):
    """Ours and R's both, in relation to the effect itself, however near zero it is."""
    count, ours, theirs = 0, 0.0, 0.0
    for item, (att, se), (value, error) in configuration(name, key):
        ours = max(ours, off(item.estimate, value), off(item.se, error))
        theirs = max(theirs, off(att, value), off(se, error))
        count += 1
    assert count >= 12
    assert ours < 2e-13
    assert theirs < 1e-13


def test_repeated_cross_sections():
    """Means of different rows are rounded as levels; what rounding leaves is kept, so effects near zero lose nothing."""
    data = did_data.mpdta()
    result = we.did.callaway_santanna(
        we.Panel(data, unit=None, period="year", outcome="lemp", cohort="first.treat")
    )
    panel = exact_panel("mpdta")
    _, first, _, times = panel
    exact, by_event = {}, {}
    for key, item in zip(result.estimates.keys, result.estimates, strict=True):
        cohort, period = key["cohort"], key["period"]
        before = times[times.index(min(cohort, period)) - 1]
        exact[cohort, period] = effect(panel, False, cohort, (period, before), first == 0)[0]
        by_event.setdefault(key["event"], []).append((int((first == cohort).sum()), exact[cohort, period]))
        assert off(item.estimate, exact[cohort, period]) < 1e-14
    events = result.aggregate("event").estimates
    for key, item in zip(events.keys, events, strict=True):
        rows = by_event[key["event"]]
        assert off(item.estimate, sum(n * value for n, value in rows) / sum(n for n, _ in rows)) < 1e-13


# --- Sun and Abraham

# R's figures that are more than 1e-8 from the exact ones, in relation to them; no other is
R_SUN_ABRAHAM = {("df_het", -6): 6.0e-8}


@pytest.mark.parametrize("name", ["castle", "la", "mpdta", "df_het"])
def test_sun_and_abraham(name):
    """On a balanced panel: changes from the period before treatment, less those of the never treated, by size of cohort."""
    panel = exact_panel(name)
    values, first, _, times = panel
    cohorts = sorted(set(first[first > 0].tolist()))
    size = {cohort: int((first == cohort).sum()) for cohort in cohorts}
    mean = {
        c: [Fraction(total, int((first == c).sum())) for total in values[first == c].sum(axis=0)]
        for c in (0, *cohorts)
    }
    sums: dict[int, list] = {}
    for cohort in cohorts:
        base = times.index(cohort) - 1
        for t, period in enumerate(times):
            effect_here = (mean[cohort][t] - mean[cohort][base] - mean[0][t] + mean[0][base]) / SCALE
            sums.setdefault(period - cohort, []).append((size[cohort], effect_here))
    exact = {event: sum(n * value for n, value in rows) / sum(n for n, _ in rows) for event, rows in sums.items()}
    theirs = {
        int(key.removeprefix("T::")): row["est"] for key, row in REGRESSION[name]["none"]["sunab_dynamic"].items()
    }
    result = we.did.sun_abraham(panel_of(name))
    ours = {key["event"]: item.estimate for key, item in zip(result.estimates.keys, result.estimates, strict=True)}
    assert ours.keys() == theirs.keys() == exact.keys() - {-1}
    gaps = {(name, event): off(value, exact[event]) for event, value in theirs.items()}
    assert max(off(value, exact[event]) for event, value in ours.items()) < 1e-11
    assert {place: gap for place, gap in gaps.items() if gap > 1e-8} == pytest.approx(
        {place: gap for place, gap in R_SUN_ABRAHAM.items() if place[0] == name}, rel=0.02
    )


# --- Goodman-Bacon


def comparison(name, row):
    """Estimate of one comparison of two cohorts and its weight before weights are scaled to sum to one."""
    values, first, _, times = exact_panel(name)
    length, start = len(times), times.index(row["treated"])
    never = row["untreated"] == 99999
    other = length if never else times.index(row["untreated"])
    before, after = (other, start) if other < start else (0, start), (start, other if other > start else length)
    gap = []
    for cohort in (row["treated"], 0 if never else row["untreated"]):
        own = values[first == cohort]
        late, early = own[:, slice(*after)], own[:, slice(*before)]
        gap.append(Fraction(late.sum(), late.size) - Fraction(early.sum(), early.size))
    sizes = int((first == row["treated"]).sum()) * int((first == (0 if never else row["untreated"])).sum())
    own, its = Fraction(length - start, length), Fraction(length - other, length)
    weight = sizes * ((own - its) * (1 - own) if other > start else own * (its - own))
    return (gap[0] - gap[1]) / SCALE, weight


@pytest.mark.parametrize("name", ["castle", "la", "mpdta"])
def test_every_comparison_of_goodman_and_bacon(name):
    """Ours to 13 digits; R's bacondecomp, which takes each from a regression, to 2.6e-12."""
    found = we.did.bacon_decomposition(panel_of(name))
    ours = {(str(row["treated"]), str(row["control"])): row for row in found.to_dicts()}
    table = REGRESSION[name]["bacon"]["table"]
    exact = [comparison(name, row) for row in table]
    total = sum(weight for _, weight in exact)
    for row, (value, weight) in zip(table, exact, strict=True):
        own = ours[str(row["treated"]), "never treated" if row["untreated"] == 99999 else str(row["untreated"])]
        assert off(own["estimate"], value) < 4e-13
        assert off(own["weight"], weight / total) < 1e-15
        assert off(row["estimate"], value) < 3e-12
        assert off(row["weight"], weight / total) < 1e-14
    whole_effect = sum(value * weight for value, weight in exact) / total
    assert off(found.overall.estimate, whole_effect) < 1e-14
    assert off(REGRESSION[name]["bacon"]["twfe"], whole_effect) < 2e-12


# --- imputation and two-stage


@cache
def imputed(name):
    """Residuals of the regression on untreated cells, by cohort and event, and the cohorts' sizes.

    On a balanced panel the cohorts' means decide: means of units less cohort and period effects of untreated cells.
    """
    values, first, _, times = exact_panel(name)
    cohorts = [0, *sorted(set(first[first > 0].tolist()))]
    size = [int((first == c).sum()) for c in cohorts]
    mean = [
        [Fraction(total, n) / SCALE for total in values[first == c].sum(axis=0)]
        for c, n in zip(cohorts, size, strict=True)
    ]
    free = [[c == 0 or t < c for t in times] for c in cohorts]
    every, periods = range(len(cohorts)), range(len(times))

    def at(t, row):
        """Mean over the untreated cells of a period of a value of each cohort."""
        return sum(size[c] * row[c] for c in every if free[c][t]) / sum(size[c] for c in every if free[c][t])

    share = [[at(t, [Fraction(c == d) for d in every]) for c in every] for t in periods]
    level = [at(t, [mean[c][t] for c in every]) for t in periods]
    # one equation a cohort after the period effects are taken out; the never treated are the reference
    matrix = [[sum((c == d) - share[t][d] for t in periods if free[c][t]) for d in every if d] for c in every if c]
    right = [sum(mean[c][t] - level[t] for t in periods if free[c][t]) for c in every if c]
    own = [Fraction(0), *solved(matrix, right)]
    effects = {}
    for t in periods:
        common = level[t] - sum(share[t][c] * own[c] for c in every)
        for c in every:
            if c:
                effects[cohorts[c], times[t] - cohorts[c]] = mean[c][t] - own[c] - common
    return effects, dict(zip(cohorts, size, strict=True))


def averaged(name, chosen):
    """Average of the chosen residuals by size of cohort."""
    effects, size = imputed(name)
    kept = {key: value for key, value in effects.items() if chosen(key[1])}
    return sum(size[cohort] * value for (cohort, _), value in kept.items()) / sum(size[c] for c, _ in kept)


# didimputation and did2s stop the projections of their first stage at 1e-6: distance of their estimates from the exact
R_FIRST_STAGE = {"castle": 2e-10, "la": 5e-10, "mpdta": 5e-9, "df_het": 7.5e-8}


@pytest.mark.parametrize("name", list(R_FIRST_STAGE))
def test_imputation_and_two_stage(name):
    """Ours to 13 digits of the larger of 1 and the effect; both packages of R to where their projections stop."""
    figures = REGRESSION[name]["none"]
    gap, ours, theirs = R_FIRST_STAGE[name], 0.0, 0.0
    overall = averaged(name, lambda event: event >= 0)
    for method, there in (
        ("imputation", {row["term"]: row["estimate"] for row in figures["bjs_horizon"]}),
        ("two_stage", {key.removeprefix("rel::"): row["est"] for key, row in figures["did2s_event"].items()}),
    ):
        result = getattr(we.did, method)(panel_of(name))
        ours = max(ours, off(result.overall.estimate, overall))
        here = {str(key["event"]): item for key, item in zip(result.estimates.keys, result.estimates, strict=True)}
        for event, value in there.items():
            exact = averaged(name, int(event).__eq__)
            ours = max(ours, float(abs(Fraction(here[event].estimate) - exact) / max(1, abs(exact))))
            theirs = max(theirs, float(abs(Fraction(value) - exact)))
    for value in (figures["bjs_static"][0]["estimate"], figures["did2s_static"]["D::1"]["est"]):
        theirs = max(theirs, float(abs(Fraction(value) - overall)))
    assert ours < 1e-13
    assert gap / 3 < theirs < gap
    # fixest's own regression of extended two-way fixed effects is the same estimate, and is right
    assert off(figures["etwfe_notyet_simple"]["est"], overall) < 2e-12
