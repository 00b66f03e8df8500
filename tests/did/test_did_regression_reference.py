"""Regression estimators equal R (fixest, clubSandwich, didimputation, did2s, bacondecomp) on four data sets."""

import numpy as np
import pytest
from did_figures import agree, written
from regression_figures import (
    CASES,
    POISSON,
    REFERENCE,
    SECTIONS,
    decomposition,
    fit,
    frame,
    panel,
    poisson,
    slipped,
    untreated_columns,
)

import wwc_eval as we

pytestmark = pytest.mark.reference

# in relation to R's figure, however near zero
CLOSE = {
    "twfe_df": 0.0,
    "twfe": 1e-11,
    "twfe_hetero": 1e-11,
    "twfe_iid": 1e-11,
    "twfe_cluster_noadj": 1e-11,
    "twfe_cluster_Kfull": 1e-11,
    "clubSandwich": 1e-9,
}
# didimputation and did2s take their first stage from fixest's alternating projections, which stop at 1e-6: how far their
# estimates are from the exact ones (test_did_exact.py), where that is more than 1e-8 of the figure
R_FIRST_STAGE = {"mpdta": 5e-9, "df_het": 7.5e-8}
FIRST_STAGE = ("bjs_static", "bjs_horizon", "bjs_pretrends", "did2s_static", "did2s_event")
# single figures of R that are further off, as test_did_exact.py and test_did_exact_errors.py show
R_GAPS = {
    "df_het/none/sunab_dynamic/T::-6/est": 6.1e-8,
    "castle/none/bjs_pretrends/1/std.error": 1.1e-8,
}


def tolerance_of(name, kind, section):
    figures, relative = REFERENCE[name][kind][section], CLOSE.get(section, 1e-8)
    absolute = R_FIRST_STAGE.get(name, 0.0) if section in FIRST_STAGE else 0.0

    def tolerance(place):
        last = place[-1] if place else section
        single = R_GAPS.get(written((name, kind, section, *place)))
        if single:
            return single
        row = figures[place[0]] if section.startswith("bjs") else {"term": ""}
        # leads are a regression of their own
        most = 0.0 if row["term"].startswith("-") else absolute
        if last in ("est", "estimate"):
            return relative, most
        if last in ("conf.low", "conf.high"):
            # estimate less or more 1.96 errors, each as close as it is
            return 0.0, max(1e-8 * abs(row["estimate"]), most) + 1.96 * 1.1e-8 * row["std.error"]
        return relative

    return tolerance


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_figure_equals_r(name, kind):
    there = REFERENCE[name][kind]
    assert there.keys() <= SECTIONS.keys()
    for section, figures in there.items():
        agree(SECTIONS[section](name, kind), figures, tolerance_of(name, kind, section))


@pytest.mark.parametrize("name", list({name: None for name, _ in CASES}))
def test_counts_and_names_equal_r(name):
    item = fit("two_way_fixed_effects", name).overall
    assert (item.n, item.n_clusters) == (REFERENCE[name]["n"], REFERENCE[name]["units"])
    assert len(frame(name)) == item.n


@pytest.mark.parametrize("name", ["castle", "la", "mpdta"])
def test_bacon_decomposition(name):
    wanted = REFERENCE[name]["bacon"]
    rows = {f"{row['treated']}-{row['untreated']}": row for row in wanted["table"]}
    # R takes each from a regression, 2.6e-12 from the exact one, and 2e-12 the whole (test_did_exact.py)
    most = {"estimate": 4e-12, "twfe": 2e-12}
    agree(decomposition(name), {**wanted, "table": rows}, lambda place: most.get(place[-1], 1e-12))


@pytest.mark.parametrize("name", POISSON)
def test_poisson_with_exposure(name):
    # fixest's errors on castle are up to 1.5e-7 off (test_did_exact_errors.py)
    errors = {"castle": 1.51e-7, "la": 1e-8}[name]
    wanted = {key: value for key, value in REFERENCE[name].items() if key.startswith("poisson")}
    agree(poisson(name), wanted, lambda place: errors if place[-1] == "se" else 1e-11)


@pytest.mark.parametrize("name", list(REFERENCE))
def test_no_part_of_the_record_is_left_out(name):
    parts = ("none", "weighted", "n", "units", "bacon", "staggered")
    assert name in ("source", "data", "commands") or all(
        key in parts or key.startswith("poisson") for key in REFERENCE[name]
    )


@pytest.mark.parametrize("name", ["castle", "la"])
def test_weighted_errors_of_didimputation_rest_on_squared_weights(name):
    """R multiplies the regressors by the weights, not by their roots: its weights do not give its own estimate."""
    result = fit("imputation", name, "weighted")
    items = {str(key["event"]): item for key, item in zip(result.estimates.keys, result.estimates, strict=True)}
    items["treat"] = result.overall
    figures = REFERENCE[name]["weighted"]
    for row in figures["bjs_static"] + figures["bjs_horizon"]:
        item, found = items[row["term"]], slipped(name)[row["term"]]
        assert found["R"][0] == pytest.approx(row["std.error"], rel=1e-8)
        assert found["exact"] == pytest.approx((item.se, item.estimate), rel=1e-9)
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
        assert gain == pytest.approx(v[unit * T + period], rel=1e-9, abs=1e-13)
        step[unit, period] = 0.0
    left = (one_each - fitted) @ y
    cell = np.repeat(data.adopted, T) * 1000 + np.tile(np.arange(T), n)
    for code in np.unique(cell[on]):
        here = on & (cell == code)
        left[here] -= (v[here] ** 2 * left[here]).sum() / (v[here] ** 2).sum()
    error = np.sqrt((np.bincount(np.repeat(np.arange(n), T), v * left) ** 2).sum())
    assert we.did.imputation(data).overall.se == pytest.approx(error, rel=1e-9)
    there = REFERENCE["castle"]["weighted"]["bjs_static"][0]["std.error"]
    assert there < 0.85 * error
