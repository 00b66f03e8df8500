"""Regression estimators equal R (fixest, clubSandwich, didimputation, did2s, bacondecomp) on four data sets."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from did_data import castle, df_het, la_panel, mpdta
from scipy.special import stdtr

import wwc_eval as we

pytestmark = pytest.mark.reference

FILE = Path(__file__).parents[1] / "reference" / "did_regression.json"
REFERENCE = json.loads(FILE.read_text(encoding="utf-8"))
SETS = ("castle", "la", "mpdta", "df_het")
CASES = [(name, kind) for name in SETS for kind in ("none", "weighted") if kind in REFERENCE[name]]
SHAPES = {"castle": (50, 11), "la": (150, 40), "mpdta": (500, 5), "df_het": (1500, 31)}
POISSON = ("castle", "la")


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


def close(found, wanted, rel=1e-8, abs_=1e-10):
    assert found == pytest.approx(wanted, rel=rel, abs=abs_)


def by_event(result, wanted, prefix, abs_=1e-9):
    """Estimates and errors by event against a mapping of R's names."""
    rows = {key["event"]: item for key, item in zip(result.estimates.keys, result.estimates, strict=True)}
    for name, value in wanted.items():
        item = rows.pop(int(name.removeprefix(prefix)))
        close(item.estimate, value["est"], abs_=abs_)
        close(item.se, value["se"])
    return set(rows)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_two_way_fixed_effects_and_every_covariance_of_fixest(name, kind):
    wanted = REFERENCE[name][kind]
    for vcov, key in (
        ("CR1S", "twfe"),
        ("HC1", "twfe_hetero"),
        ("classical", "twfe_iid"),
        ("CR0", "twfe_cluster_noadj"),
    ):
        found = we.did.two_way_fixed_effects(panel(name, kind), vcov=vcov).overall
        close(found.estimate, wanted[key]["D"]["est"], rel=1e-11)
        close(found.se, wanted[key]["D"]["se"], rel=1e-11)
    clustered = we.did.two_way_fixed_effects(panel(name, kind))
    assert clustered.overall.df == wanted["twfe_df"]
    # the convention that counts every effect, unit effects too, is another factor on the same sum
    data = panel(name, kind)
    n, T = data.outcomes.shape
    assert (n, T) == SHAPES[name]
    wide = clustered.overall.se * math.sqrt((n * T - T - 1) / (n * T - n - T))
    close(wide, wanted["twfe_cluster_Kfull"]["D"]["se"], rel=1e-11)
    close(clustered.overall.estimate, wanted["twfe_cluster_Kfull"]["D"]["est"], rel=1e-11)


@pytest.mark.parametrize("kind", ["none", "weighted"])
@pytest.mark.parametrize("vcov", ["CR0", "CR1", "CR1S", "CR2"])
def test_clubsandwich_errors_and_satterthwaite_df_with_every_effect_as_a_column(kind, vcov):
    wanted = REFERENCE["castle"][kind]["clubSandwich"][vcov]
    data = panel("castle", kind)
    # clubSandwich's CR1S counts unit effects, too
    wide = math.sqrt((550 - 11 - 1) / (550 - 50 - 11)) if vcov == "CR1S" else 1.0
    for df, words in (("satterthwaite", "Satt"), ("clusters", "t")):
        found = we.did.two_way_fixed_effects(data, vcov=vcov, df=df).overall
        close(found.estimate, wanted["beta"], rel=1e-11)
        close(found.se * wide, wanted["SE"], rel=1e-10)
        close(found.statistic / wide, wanted["tstat"], rel=1e-10)
        close(found.df, wanted[f"df_{words}"], rel=1e-10)
        close(2 * stdtr(found.df, -abs(found.statistic) / wide), wanted[f"p_{words}"], rel=1e-9)
        if vcov != "CR1S":
            close(found.p_value, wanted[f"p_{words}"], rel=1e-9)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_event_study(name, kind):
    result = we.did.event_study(panel(name, kind))
    assert by_event(result, REFERENCE[name][kind]["event_study"], "rel::") == set()
    assert result.path.reference == -1
    assert result.path.se == pytest.approx([item.se for item in result.estimates], rel=1e-12)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_sun_abraham(name, kind):
    wanted = REFERENCE[name][kind]
    result = we.did.sun_abraham(panel(name, kind))
    assert by_event(result, wanted["sunab_dynamic"], "T::") == set()
    close(result.overall.estimate, wanted["sunab_att"]["ATT"]["est"])
    close(result.overall.se, wanted["sunab_att"]["ATT"]["se"])
    for key, item in zip(result.by_cohort.keys, result.by_cohort, strict=True):
        value = wanted["sunab_cohort"][f"cohort::{key['cohort']}"]
        close(item.estimate, value["est"])
        close(item.se, value["se"])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_extended_twfe(name, kind):
    wanted = REFERENCE[name][kind]
    result = we.did.extended_twfe(panel(name, kind))
    close(result.overall.estimate, wanted["etwfe_notyet_simple"]["est"])
    close(result.overall.se, wanted["etwfe_notyet_simple"]["se_fixed_weights"])
    assert len(result.cells) == len(wanted["etwfe_notyet_gt"])
    for key, item in zip(result.cells.keys, result.cells, strict=True):
        value = wanted["etwfe_notyet_gt"][f"gt::{key['cohort']}_{key['period']}"]
        close(item.estimate, value["est"])
        close(item.se, value["se"])


# didimputation and did2s take their first stage from fixest's alternating projections, which stop at 1e-6: how far their
# estimates are from the exact ones, as test_did_exact.py shows
R_FIRST_STAGE = {"castle": 6e-9, "la": 6e-9, "mpdta": 6e-9, "df_het": 7.5e-8}


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_imputation(name, kind):
    wanted = REFERENCE[name][kind]
    result = we.did.imputation(panel(name, kind))
    rows = {str(key["event"]): item for key, item in zip(result.estimates.keys, result.estimates, strict=True)}
    assert set(rows) == {row["term"] for row in wanted["bjs_pretrends"]}
    rows["treat"] = result.overall
    for row in wanted["bjs_static"] + wanted["bjs_horizon"] + wanted["bjs_pretrends"]:
        item = rows[row["term"]]
        close(item.estimate, row["estimate"], abs_=R_FIRST_STAGE[name])
        # R's own limits take 1.96
        for side, limit in ((-1.96, row["conf.low"]), (1.96, row["conf.high"])):
            close(item.estimate + side * row["std.error"], limit, abs_=2 * R_FIRST_STAGE[name])
        # its errors with weights are not those of its estimates, but for the leads, which are a regression of their own
        if kind == "none" or row["term"].startswith("-"):
            close(item.se, row["std.error"], rel=2e-8)


def untreated_columns(data):
    """Columns of a panel's rows: weight, outcome, treated, unit and period effects, and event."""
    n, T = data.outcomes.shape
    Z = np.hstack([np.repeat(np.eye(n), T, axis=0), np.tile(np.eye(T)[:, 1:], (n, 1))])
    return np.repeat(data.weights, T), data.outcomes.ravel(), data.treated.ravel(), Z, data.events.ravel()


@pytest.mark.parametrize("name", ["castle", "la"])
def test_weighted_errors_of_didimputation_rest_on_squared_weights(name):
    """R multiplies the regressors by the weights, not by their roots: its weights do not give its own estimate.

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
    result = we.did.imputation(data)
    items = {str(key["event"]): item for key, item in zip(result.estimates.keys, result.estimates, strict=True)}
    figures = REFERENCE[name]["weighted"]
    for row in figures["bjs_static"] + figures["bjs_horizon"]:
        rows = on if row["term"] == "treat" else on & (event == int(row["term"]))
        own = np.where(rows, weight, 0.0) / weight[rows].sum()
        found = {}
        for words, power in (("R", 2), ("exact", 1)):
            scale = weight ** (power - 1)
            v = -(weight * (Z @ (inverse[words] @ ((Z * scale[:, None])[on].T @ own[on]))))
            v = np.where(on, own, v)
            left = gap.copy()
            for code in np.unique(cell[rows]):
                here = rows & (cell == code)
                left[here] -= (v[here] ** 2 * gap[here]).sum() / (v[here] ** 2).sum()
            found[words] = (np.sqrt((np.bincount(np.repeat(np.arange(n), T), v * left) ** 2).sum()), (v * y).sum())
        item = result.overall if row["term"] == "treat" else items[row["term"]]
        close(found["R"][0], row["std.error"])
        close(item.se, found["exact"][0], rel=1e-9)
        close(item.estimate, found["exact"][1], rel=1e-9)
        if row["term"] == "treat":
            assert abs(found["R"][1] - row["estimate"]) > 0.02


def test_weights_of_the_cells_in_an_imputed_effect_are_its_derivatives():
    """A second route to the errors with weights: how the estimate moves as each outcome does, without any formula for v."""
    data = panel("castle", "weighted")
    weight, y, on, Z, _ = untreated_columns(data)
    root = np.sqrt(weight[~on])
    own = np.where(on, weight, 0.0) / weight[on].sum()
    one_each = np.eye(len(y))
    fitted = Z @ np.linalg.lstsq(Z[~on] * root[:, None], one_each[~on] * root[:, None], rcond=None)[0]
    v = own @ (one_each - fitted)
    n, T = data.outcomes.shape
    step = np.zeros((n, T))
    for unit, period in ((0, 0), (7, 8), (33, 10)):
        step[unit, period] = 1.0
        moved = frame("castle").sort_values(["unit", "period"]).assign(y=(data.outcomes + step).ravel())
        other = we.Panel(moved, unit="unit", period="period", outcome="y", cohort="start", weights="weight")
        gain = we.did.imputation(other).overall.estimate - we.did.imputation(data).overall.estimate
        close(gain, v[unit * T + period], rel=1e-9, abs_=1e-13)
        step[unit, period] = 0.0
    left = (one_each - fitted) @ y
    cell = np.repeat(data.adopted, T) * 1000 + np.tile(np.arange(T), n)
    for code in np.unique(cell[on]):
        here = on & (cell == code)
        left[here] -= (v[here] ** 2 * left[here]).sum() / (v[here] ** 2).sum()
    error = np.sqrt((np.bincount(np.repeat(np.arange(n), T), v * left) ** 2).sum())
    close(we.did.imputation(data).overall.se, error, rel=1e-9)
    there = REFERENCE["castle"]["weighted"]["bjs_static"][0]["std.error"]
    assert there < 0.85 * error


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_two_stage(name, kind):
    wanted = REFERENCE[name][kind]
    result = we.did.two_stage(panel(name, kind))
    close(result.overall.estimate, wanted["did2s_static"]["D::1"]["est"], abs_=R_FIRST_STAGE[name])
    close(result.overall.se, wanted["did2s_static"]["D::1"]["se"])
    # R leaves out event -1, whose indicator has no bearing on the others
    assert by_event(result, wanted["did2s_event"], "rel::", abs_=R_FIRST_STAGE[name]) == {-1}


@pytest.mark.parametrize("name", ["castle", "la", "mpdta"])
def test_bacon_decomposition(name):
    wanted = REFERENCE[name]["bacon"]
    result = we.did.bacon_decomposition(panel(name))
    rows = {(str(row["treated"]), str(row["control"])): row for row in result.to_dicts()}
    assert len(rows) == len(wanted["table"])
    for row in wanted["table"]:
        found = rows[str(row["treated"]), "never treated" if row["untreated"] == 99999 else str(row["untreated"])]
        # R takes each from a regression, 2.6e-12 from the exact one
        close(found["estimate"], row["estimate"], rel=4e-12, abs_=0.0)
        close(found["weight"], row["weight"], rel=1e-12)
        assert found["type"] == row["type"].lower().replace("untreated", "never treated")
    close(result.overall.estimate, wanted["twfe"], rel=1e-12)


@pytest.mark.parametrize("name", POISSON)
def test_poisson_with_exposure(name):
    # fixest takes its errors from the step before the last: 1.5e-7 off on castle, where estimates agree to 1e-14
    wanted = REFERENCE[name]
    found = we.did.two_way_fixed_effects(rates(name), family="poisson").overall
    close(math.log(found.estimate), wanted["poisson_twfe_offset"]["D"]["est"], rel=1e-12)
    close(found.se, wanted["poisson_twfe_offset"]["D"]["se"], rel=3e-7)
    result = we.did.extended_twfe(rates(name), family="poisson")
    close(result.overall.estimate, wanted["poisson_etwfe_att_rate"], rel=1e-12)
    close(result.count.estimate, wanted["poisson_etwfe_att_counts"], rel=1e-12)
    cells = [
        (key, item)
        for key, item in zip(result.ratios.keys, result.ratios, strict=True)
        if key["period"] is not None
    ]
    assert len(cells) == len(wanted["poisson_etwfe_gt"])
    for key, item in cells:
        value = wanted["poisson_etwfe_gt"][f"gt::{key['cohort']}_{key['period']}"]
        close(math.log(item.estimate), value["est"], rel=1e-11)
        close(item.se, value["se"], rel=3e-7)
