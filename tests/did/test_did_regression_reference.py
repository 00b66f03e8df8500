"""Regression estimators equal R (fixest, clubSandwich, didimputation, did2s, bacondecomp) on castle, la and mpdta."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from did_data import castle, la_panel, shared

import wwc_eval as we

pytestmark = pytest.mark.reference

FILE = Path(__file__).parents[1] / "reference" / "did_regression.json"
REFERENCE = json.loads(FILE.read_text(encoding="utf-8"))
CASES = [
    (name, kind) for name in ("castle", "la", "mpdta") for kind in ("none", "weighted") if kind in REFERENCE[name]
]
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
    path = shared("did/mpdta.csv")
    if path is None:
        pytest.skip("mpdta is not in the repository")
    names = {"countyreal": "unit", "year": "period", "lemp": "y", "first.treat": "start"}
    return pd.read_csv(path).rename(columns=names)[list(names.values())]


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
    wide = clustered.overall.se * math.sqrt((n * T - T - 1) / (n * T - n - T))
    close(wide, wanted["twfe_cluster_Kfull"]["D"]["se"], rel=1e-11)


@pytest.mark.parametrize("kind", ["none", "weighted"])
@pytest.mark.parametrize("vcov", ["CR0", "CR1", "CR2"])
def test_clubsandwich_errors_and_satterthwaite_df_with_every_effect_as_a_column(kind, vcov):
    wanted = REFERENCE["castle"][kind]["clubSandwich"][vcov]
    found = we.did.two_way_fixed_effects(panel("castle", kind), vcov=vcov, df="satterthwaite").overall
    close(found.se, wanted["SE"], rel=1e-10)
    close(found.df, wanted["df_Satt"], rel=1e-10)
    close(found.p_value, wanted["p_Satt"], rel=1e-9)


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


# didimputation and did2s take their first stage from fixest's alternating projections, which stop at 1e-6: their
# estimates are off by up to 5e-9 (the exact fit is checked against dense algebra in the property tests)
R_FIRST_STAGE = 6e-9


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_imputation(name, kind):
    wanted = REFERENCE[name][kind]
    result = we.did.imputation(panel(name, kind))
    close(result.overall.estimate, wanted["bjs_static"][0]["estimate"], abs_=R_FIRST_STAGE)
    rows = {str(key["event"]): item for key, item in zip(result.estimates.keys, result.estimates, strict=True)}
    assert set(rows) == {row["term"] for row in wanted["bjs_pretrends"]}
    for row in wanted["bjs_pretrends"]:
        close(rows[row["term"]].estimate, row["estimate"], abs_=R_FIRST_STAGE)
    if kind == "none":
        close(result.overall.se, wanted["bjs_static"][0]["std.error"])
        for row in wanted["bjs_pretrends"]:
            close(rows[row["term"]].se, row["std.error"], rel=2e-8)
        for row in wanted["bjs_horizon"]:
            close(rows[row["term"]].se, row["std.error"])


@pytest.mark.parametrize("name", ["castle", "la"])
def test_weighted_errors_of_didimputation_rest_on_squared_weights(name):
    """R multiplies the regressors by the weights, not by their roots: its weights do not give its own estimate."""
    data, wanted = panel(name, "weighted"), REFERENCE[name]["weighted"]["bjs_static"][0]
    n, T = data.outcomes.shape
    weight, y, on = np.repeat(data.weights, T), data.outcomes.ravel(), data.treated.ravel()
    Z = np.hstack([np.repeat(np.eye(n), T, axis=0), np.tile(np.eye(T)[:, 1:], (n, 1))])
    own = np.where(on, weight, 0.0) / weight[on].sum()
    root = np.sqrt(weight[~on])
    gap = y - Z @ np.linalg.lstsq(Z[~on] * root[:, None], y[~on] * root, rcond=None)[0]
    cell = np.repeat(data.adopted, T) * 1000 + np.tile(np.arange(T), n)
    found = {}
    for words, scaled in (("R", Z * weight[:, None]), ("exact", Z * np.sqrt(weight)[:, None])):
        cross = scaled[on].T @ own[on] if words == "R" else Z[on].T @ own[on]
        v = -scaled @ np.linalg.solve(scaled[~on].T @ scaled[~on], cross)
        v = np.where(on, own, v if words == "R" else v * np.sqrt(weight))
        left = gap.copy()
        for code in np.unique(cell[on]):
            here = on & (cell == code)
            left[here] -= (v[here] ** 2 * gap[here]).sum() / (v[here] ** 2).sum()
        found[words] = (np.sqrt((np.bincount(np.repeat(np.arange(n), T), v * left) ** 2).sum()), (v * y).sum())
    result = we.did.imputation(data).overall
    close(found["R"][0], wanted["std.error"])
    assert abs(found["R"][1] - wanted["estimate"]) > 0.02
    close(result.se, found["exact"][0], rel=1e-9)
    close(result.estimate, found["exact"][1], rel=1e-9)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_two_stage(name, kind):
    wanted = REFERENCE[name][kind]
    result = we.did.two_stage(panel(name, kind))
    close(result.overall.estimate, wanted["did2s_static"]["D::1"]["est"], abs_=R_FIRST_STAGE)
    close(result.overall.se, wanted["did2s_static"]["D::1"]["se"])
    # R leaves out event -1, whose indicator has no bearing on the others
    assert by_event(result, wanted["did2s_event"], "rel::", abs_=R_FIRST_STAGE) == {-1}


@pytest.mark.parametrize("name", ["castle", "la", "mpdta"])
def test_bacon_decomposition(name):
    wanted = REFERENCE[name]["bacon"]
    result = we.did.bacon_decomposition(panel(name))
    rows = {(str(row["treated"]), str(row["control"])): row for row in result.to_dicts()}
    assert len(rows) == len(wanted["table"])
    for row in wanted["table"]:
        found = rows[str(row["treated"]), "never treated" if row["untreated"] == 99999 else str(row["untreated"])]
        close(found["estimate"], row["estimate"], rel=1e-10, abs_=1e-11)
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
