"""Figures of R's regression estimators (fixest, clubSandwich, didimputation, did2s, bacondecomp), and ours in their layout."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
from did_data import castle, df_het, la_panel, mpdta
from scipy.special import stdtr

import wwc_eval as we

FILE = Path(__file__).parents[1] / "reference" / "did_regression.json"
REFERENCE = json.loads(FILE.read_text(encoding="utf-8"))
SETS = ("castle", "la", "mpdta", "df_het")
CASES = [(name, kind) for name in SETS for kind in ("none", "weighted") if kind in REFERENCE[name]]
POISSON = ("castle", "la")
NEVER = 99999
"""The never treated in R's decomposition."""


@cache
def frame(name):
    """Columns unit, period, y, start and weight of a reference data set."""
    if name == "castle":
        names = {"sid": "unit", "year": "period", "l_homicide": "y", "g": "start", "popwt": "weight"}
        return castle().rename(columns=names)[list(names.values())]
    if name == "la":
        names = {"la": "unit", "t": "period", "g": "start", "pop": "weight"}
        return la_panel().rename(columns=names)[["unit", "period", "y", "start", "weight"]]
    if name == "df_het":
        return df_het().rename(columns={"year": "period", "dep_var": "y", "g": "start"})
    names = {"countyreal": "unit", "year": "period", "lemp": "y", "first.treat": "start"}
    return mpdta().rename(columns=names)[list(names.values())]


@cache
def panel(name, kind="none"):
    weights = "weight" if kind == "weighted" else None
    return we.Panel(frame(name), unit="unit", period="period", outcome="y", cohort="start", weights=weights)


@cache
def rates(name):
    """Counts and exposures as the Poisson reference has them."""
    data = frame(name).assign(exposure=lambda d: d["weight"] / 1e4)
    data["count"] = np.round(np.maximum(data["y"], 0.0) * data["exposure"])
    return we.Panel(data, unit="unit", period="period", outcome="count", cohort="start", exposure="exposure")


@cache
def fit(estimator, name, kind="none", **options):
    """One fit of an estimator of ``we.did``, for all sections that read it."""
    return getattr(we.did, estimator)(panel(name, kind), **options)


def rows_of(table, key="event"):
    """Items of a table by one of its key columns."""
    return {place[key]: item for place, item in zip(table.keys, table, strict=True)}


def pair(item):
    return {"est": item.estimate, "se": item.se}


def by_event(result, prefix):
    return {f"{prefix}{event}": pair(item) for event, item in rows_of(result.estimates).items()}


# --- sections of R's file, each a function of the data set and the weights


def two_way(vcov):
    return lambda name, kind: {"D": pair(fit("two_way_fixed_effects", name, kind, vcov=vcov).overall)}


def two_way_with_every_effect(name, kind):
    """The convention that counts every effect, unit effects too, is another factor on the same sum."""
    n, T = panel(name, kind).outcomes.shape
    found = fit("two_way_fixed_effects", name, kind).overall
    return {"D": {"est": found.estimate, "se": found.se * math.sqrt((n * T - T - 1) / (n * T - n - T))}}


def club_sandwich(name, kind):
    """Errors and degrees of freedom; clubSandwich's CR1S counts unit effects, too."""
    n, T = panel(name, kind).outcomes.shape
    found = {}
    for vcov in ("CR0", "CR1", "CR1S", "CR2"):
        wide = math.sqrt((n * T - T - 1) / (n * T - n - T)) if vcov == "CR1S" else 1.0
        row = {}
        for df, words in (("clusters", "t"), ("satterthwaite", "Satt")):
            item = fit("two_way_fixed_effects", name, kind, vcov=vcov, df=df).overall
            row |= {"Coef": {"treated": "D"}[item.term], "beta": item.estimate, "SE": item.se * wide}
            row |= {"tstat": item.statistic / wide, f"df_{words}": item.df}
            p = 2 * float(stdtr(item.df, -abs(item.statistic) / wide))
            assert vcov == "CR1S" or math.isclose(p, item.p_value, rel_tol=1e-12)
            row[f"p_{words}"] = p
        found[vcov] = row
    return found


def sun_abraham_cohorts(name, kind):
    result = fit("sun_abraham", name, kind)
    return {f"cohort::{cohort}": pair(item) for cohort, item in rows_of(result.by_cohort, "cohort").items()}


def extended(name, kind):
    result = fit("extended_twfe", name, kind)
    rows = zip(result.cells.keys, result.cells, strict=True)
    return {f"gt::{key['cohort']}_{key['period']}": pair(item) for key, item in rows}


def extended_simple(name, kind):
    item = fit("extended_twfe", name, kind).overall
    return {"est": item.estimate, "se_fixed_weights": item.se}


def imputation(chosen):
    """Rows of didimputation: leads and horizons in its order; R's limits take 1.96.

    With weights its errors of effects are not those of its estimates: they are rebuilt as R has them (see slipped).
    """

    def section(name, kind):
        result = fit("imputation", name, kind)
        rows = {str(event): item for event, item in rows_of(result.estimates).items()}
        rows["treat"] = result.overall
        terms = [term for term in rows if chosen(term)]
        found = []
        for term in sorted(terms, key=lambda term: int(term) if term != "treat" else 0):
            item = rows[term]
            se = item.se if kind == "none" or term.startswith("-") else slipped(name)[term]["R"][0]
            limits = {"conf.low": item.estimate - 1.96 * se, "conf.high": item.estimate + 1.96 * se}
            found.append({"term": term, "estimate": item.estimate, "std.error": se, **limits})
        return found

    return section


def two_stage_events(name, kind):
    """R leaves out event -1, whose indicator has no bearing on the others."""
    found = by_event(fit("two_stage", name, kind), "rel::")
    del found["rel::-1"]
    return found


SECTIONS = {
    "twfe": two_way("CR1S"),
    "twfe_hetero": two_way("HC1"),
    "twfe_iid": two_way("classical"),
    "twfe_cluster_noadj": two_way("CR0"),
    "twfe_cluster_Kfull": two_way_with_every_effect,
    "twfe_df": lambda name, kind: fit("two_way_fixed_effects", name, kind).overall.df,
    "event_study": lambda name, kind: by_event(fit("event_study", name, kind), "rel::"),
    "sunab_dynamic": lambda name, kind: by_event(fit("sun_abraham", name, kind), "T::"),
    "sunab_att": lambda name, kind: {"ATT": pair(fit("sun_abraham", name, kind).overall)},
    "sunab_cohort": sun_abraham_cohorts,
    "clubSandwich": club_sandwich,
    "bjs_static": imputation(lambda term: term == "treat"),
    "bjs_horizon": imputation(lambda term: term != "treat" and not term.startswith("-")),
    "bjs_pretrends": imputation(lambda term: term != "treat"),
    "did2s_static": lambda name, kind: {"D::1": pair(fit("two_stage", name, kind).overall)},
    "did2s_event": two_stage_events,
    "etwfe_notyet_gt": extended,
    "etwfe_notyet_simple": extended_simple,
}


def decomposition(name):
    """Comparisons by treated and untreated cohort."""
    result = fit("bacon_decomposition", name)
    table = {}
    for row in result.to_dicts():
        other = NEVER if row["control"] == "never treated" else int(row["control"])
        kind = row["type"].replace("never treated", "untreated").replace("vs", "vs ").title().replace("Vs", "vs")
        treated = int(row["treated"])
        values = {"estimate": row["estimate"], "weight": row["weight"], "type": " ".join(kind.split())}
        table[f"{treated}-{other}"] = {"treated": treated, "untreated": other, **values}
    return {"table": table, "twfe": result.overall.estimate}


def poisson(name):
    """Rates with exposure: two-way and extended two-way fixed effects."""
    simple = we.did.two_way_fixed_effects(rates(name), family="poisson").overall
    result = we.did.extended_twfe(rates(name), family="poisson")
    cells = {
        f"gt::{key['cohort']}_{key['period']}": {"est": math.log(item.estimate), "se": item.se}
        for key, item in zip(result.ratios.keys, result.ratios, strict=True)
        if key["period"] is not None
    }
    return {
        "poisson_twfe_offset": {"D": {"est": math.log(simple.estimate), "se": simple.se}},
        "poisson_etwfe_gt": cells,
        "poisson_etwfe_att_counts": result.count.estimate,
        "poisson_etwfe_att_rate": result.overall.estimate,
    }


# --- what didimputation does with weights


def untreated_columns(data):
    """Columns of a panel's rows: weight, outcome, treated, unit and period effects, and event."""
    n, T = data.outcomes.shape
    Z = np.hstack([np.repeat(np.eye(n), T, axis=0), np.tile(np.eye(T)[:, 1:], (n, 1))])
    return np.repeat(data.weights, T), data.outcomes.ravel(), data.treated.ravel(), Z, data.events.ravel()


@cache
def slipped(name):
    """By term, the error and the estimate that weights of cells give: R's, which multiply regressors by the weights where
    their roots belong, and the exact ones.

    Errors are those of Borusyak, Jaravel and Spiess: root of the sum over units of (sum of v times residual) squared, the
    residual of a treated cell being less its v-squared mean. They need the v that make the estimate, sum of v times outcome.
    """
    data = panel(name, "weighted")
    weight, y, on, Z, event = untreated_columns(data)
    n, T = data.outcomes.shape
    root = np.sqrt(weight[~on])
    gap = y - Z @ np.linalg.lstsq(Z[~on] * root[:, None], y[~on] * root, rcond=None)[0]
    cell = np.repeat(data.adopted, T) * 1000 + np.tile(np.arange(T), n)
    inverse = {
        words: np.linalg.pinv((Z[~on] * weight[~on, None] ** power).T @ Z[~on])
        for words, power in (("R", 2), ("exact", 1))
    }
    found = {}
    for term in ("treat", *map(str, np.unique(event[on]))):
        rows = on if term == "treat" else on & (event == int(term))
        own = np.where(rows, weight, 0.0) / weight[rows].sum()
        found[term] = {}
        for words, power in (("R", 2), ("exact", 1)):
            scale = weight ** (power - 1)
            v = -(weight * (Z @ (inverse[words] @ ((Z * scale[:, None])[on].T @ own[on]))))
            v = np.where(on, own, v)
            left = gap.copy()
            for code in np.unique(cell[rows]):
                here = rows & (cell == code)
                left[here] -= (v[here] ** 2 * gap[here]).sum() / (v[here] ** 2).sum()
            error = np.sqrt((np.bincount(np.repeat(np.arange(n), T), v * left) ** 2).sum())
            found[term][words] = float(error), float((v * y).sum())
    return found
