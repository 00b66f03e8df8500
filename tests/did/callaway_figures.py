"""Figures of R's did, and ours in their layout."""

import json
from functools import cache
from pathlib import Path

import did_data
import numpy as np
from scipy.special import chdtrc

import wwc_eval as we
from wwc_eval.did.cs_averages import every_effect
from wwc_eval.did.cs_effects import cohort_index

FIGURES = json.loads((Path(__file__).parents[1] / "reference" / "did_callaway.json").read_text(encoding="utf-8"))
SECTIONS = "rc_nevertreated"
AGGREGATES = (
    ("agg_simple", "simple", {}, None),
    ("agg_group", "cohort", {}, "cohort"),
    ("agg_calendar", "calendar", {}, "period"),
    ("agg_dynamic", "event", {}, "event"),
    ("dynamic_balance1_min3", "event", {"balance": 1, "first": -3}, "event"),
)
PANELS = {
    "castle": ("sid", "year", "l_homicide", "g", "popwt", None),
    "la": ("la", "t", "y", "g", "pop", "x"),
    "mpdta": ("countyreal", "year", "lemp", "first.treat", None, "lpop"),
}
LOADERS = {"castle": did_data.castle, "la": did_data.la_panel, "mpdta": did_data.mpdta}


@cache
def panel_of(name, weighted=False):
    unit, period, outcome, cohort, weights, _ = PANELS[name]
    return we.Panel(
        LOADERS[name](),
        unit=unit,
        period=period,
        outcome=outcome,
        cohort=cohort,
        weights=weights if weighted else None,
    )


def fitted(name, key):
    """The result for a key such as ``notyettreated|universal|antic1|x_dr|w``."""
    if key == SECTIONS:
        panel = we.Panel(did_data.mpdta(), unit=None, period="year", outcome="lemp", cohort="first.treat")
        return we.did.callaway_santanna(panel)
    control, base, anticipation, covariates, *rest = key.split("|")
    options = {
        "covariates": PANELS[name][5],
        "method": {"x_dr": "dr", "x_ipw": "ipw", "x_reg": "or"}.get(covariates, "dr"),
    }
    if covariates == "nox":
        options["covariates"] = None
    return we.did.callaway_santanna(
        panel_of(name, rest == ["w"]),
        control={"nevertreated": "never", "notyettreated": "not_yet"}[control],
        base=base,
        anticipation=int(anticipation.removeprefix("antic")),
        **options,
    )


def tree_of(result):
    """Our figures as R lays them out: with a universal base, effects of 0 without an error in the base period."""
    cells, label = result.group_times, result.panel.period_label
    by_cell = {
        (key["cohort"], key["period"]): (item.estimate, item.se)
        for key, item in zip(result.estimates.keys, result.estimates, strict=True)
    }
    at_base = {}
    if result.base == "universal":
        places = set(zip(cells.first.tolist(), cells.base.tolist(), strict=True))
        by_cell |= {(label(first), label(base)): (0, None) for first, base in places}
        at_base = {-1 - result.anticipation: (0, None)}
    tree = dict(zip(("group", "t"), map(list, zip(*sorted(by_cell), strict=True)), strict=True))
    tree |= pairs([by_cell[place] for place in sorted(by_cell)])
    tree["n"] = result.overall.n if result.panel.cross_sections else units_used(result)
    for name, kind, window, column in AGGREGATES:
        found = result.aggregate(kind, **window)
        tree[name] = {"overall": found.overall.estimate, "overall_se": found.overall.se}
        if column:
            rows = {
                key[column]: (item.estimate, item.se)
                for key, item in zip(found.estimates.keys, found.estimates, strict=True)
            }
            rows |= at_base if column == "event" else {}
            tree[name] |= {"egt": sorted(rows), **pairs([rows[egt] for egt in sorted(rows)])}
    return tree


def pairs(rows):
    return {"att": [row[0] for row in rows], "se": [row[1] for row in rows]}


def units_used(result):
    """Units of a cohort that has an effect, or of a comparison. R's n leaves out a cohort without a base period."""
    cells = result.group_times
    in_use = cells.controls.any(axis=0)
    in_use[cells.cohort] = True
    return int(in_use[cohort_index(result.panel)].sum())


def before_treatment(result):
    """Effects before treatment, and their covariance."""
    before = ~result.group_times.post
    covariance = result.functions.covariance(every_effect(result.group_times))
    return result.values[before], covariance[np.ix_(before, before)]


def pre_test(result):
    """R's pre-test: a Wald test of all effects before treatment at once."""
    values, covariance = before_treatment(result)
    return tests_of(values @ np.linalg.solve(covariance, values), len(values))


def pre_test_of_roots(result):
    """The same from the units' influence, whose condition is the root of that of the covariance."""
    before = ~result.group_times.post
    corner = np.linalg.qr(result.unit_influence[:, before], mode="r")
    solved = np.linalg.solve(corner.T, result.values[before])
    return tests_of(solved @ solved, len(solved))


def tests_of(statistic, df):
    return {"W": [[float(statistic)]], "Wpval": [[float(chdtrc(df, statistic))]]}
