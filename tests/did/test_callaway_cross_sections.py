"""Callaway and Sant'Anna from cross-sections given covariates: other programs, first principles, perturbed weights."""

import hashlib
import json
from functools import cache
from pathlib import Path

import did_data
import numpy as np
import pandas as pd
import polars as pl
import pytest
from section_data import SECTION_DIGEST, section_children
from section_study import SETTINGS, record

import wwc_eval as we
from wwc_eval.did.cs_averages import every_effect
from wwc_eval.did.cs_cells import group_times
from wwc_eval.did.cs_effects import effects
from wwc_eval.did.cs_sections import section_effects
from wwc_eval.errors import DataError, DesignError

FIGURES = json.loads((Path(__file__).parents[1] / "reference" / "did_sections.json").read_text())
LEVELS = json.loads((Path(__file__).parents[1] / "reference" / "did_sections_levels.json").read_text())
COVARIATES = ("age", "female", "need", "x")
METHODS = ("dr", "ipw", "or")
AVERAGES = {"agg_simple": "simple", "agg_group": "cohort", "agg_calendar": "calendar", "agg_dynamic": "event"}


def sections(data=None, **options):
    data = section_children() if data is None else data
    return we.Panel(data, unit=None, period="year", outcome="y", cohort="start", **options)


@cache
def fitted(key, cluster=None):
    """The result for a key such as ``notyettreated|universal|0|w|dr``."""
    control, base, anticipation, weights, method = key.split("|")
    return we.did.callaway_santanna(
        sections(weights="w" if weights == "w" else None, cluster=cluster),
        control={"nevertreated": "never", "notyettreated": "not_yet"}[control],
        base=base,
        anticipation=int(anticipation),
        covariates=COVARIATES,
        method=method,
    )


def by_place(result):
    return {
        (key["cohort"], key["period"]): item
        for key, item in zip(result.estimates.keys, result.estimates, strict=True)
    }


def there(figures):
    """Effects and errors of another program; a base period has no error."""
    rows = zip(*(figures[name] for name in ("group", "t", "att", "se")), strict=True)
    return {(int(g), int(t)): (att, se) for g, t, att, se in rows if se is not None and se > 0}


def close(item, att, se, tolerance):
    assert abs(item.estimate - att) <= tolerance * max(abs(att), se)
    assert abs(item.se - se) <= tolerance * se


# --- other programs


@pytest.mark.reference
def test_the_seeded_children_are_those_behind_the_figures():
    assert did_data.digest(section_children()) == SECTION_DIGEST


@pytest.mark.reference
@pytest.mark.parametrize("key", list(FIGURES["csdid"]))
def test_every_effect_and_average_equals_csdid(key):
    result, figures = fitted(key), FIGURES["csdid"][key]
    mine, expected = by_place(result), there(figures)
    assert mine.keys() == expected.keys()
    for place, (att, se) in expected.items():
        close(mine[place], att, se, 1e-11)
    for name, kind in AVERAGES.items():
        close(result.aggregate(kind).overall, *figures[name], 1e-11)


@pytest.mark.reference
@pytest.mark.parametrize("method", METHODS)
def test_errors_by_cluster_are_sums_of_drdid_influence(method):
    figures = FIGURES["drdid"][method]
    key = f"nevertreated|universal|0|w|{method}"
    close(by_place(fitted(key))[2021, 2022], figures["att"], figures["se"], 1e-11)
    close(by_place(fitted(key, "area"))[2021, 2022], figures["att"], figures["by_area"], 1e-11)


@pytest.mark.reference
@pytest.mark.parametrize("program", ["moderndid", "diff_diff"])
def test_where_programs_part_the_estimates_agree_and_one_formula_of_errors_is_wrong(program):
    # R's DRDID (drdid_rc.R) and moderndid add the influence of the regressions before treatment where it must be taken
    # away; diff-diff divides that of both by the number of rows. Perturbed weights (below) say who is right
    wrong = {"moderndid": "dr", "diff_diff": "or"}[program]
    for key, figures in FIGURES[program].items():
        mine, expected = by_place(fitted(key)), there(figures)
        assert mine.keys() == expected.keys()
        ratios = []
        for place, (att, se) in expected.items():
            close(mine[place], att, mine[place].se, 1e-11)
            ratios.append(mine[place].se / se)
        if key.endswith(wrong):
            assert max(abs(ratio - 1) for ratio in ratios) > 0.01
        else:
            np.testing.assert_allclose(ratios, 1.0, rtol=1e-11)


# --- first principles


def logit(x, d, w):
    """Propensities by Newton's method."""
    beta = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ beta))
        beta = beta + np.linalg.solve((x * (w * p * (1 - p))[:, None]).T @ x, x.T @ (w * (d - p)))
    return 1 / (1 + np.exp(-x @ beta))


def by_hand(data, cohort, period, base, method):
    """One effect from rows, by the formulas of Sant'Anna and Zhao (2020): (2.2), (3.4) and the Hajek weights."""
    used = data[data["start"].isin([0, cohort]) & data["year"].isin([base, period])]
    d, after = (used["start"] > 0).to_numpy() * 1.0, (used["year"] == period).to_numpy()
    y, w = used["y"].to_numpy(), used["w"].to_numpy()
    levels = [(used["need"] == level).to_numpy() for level in sorted(set(used["need"]))[1:]]
    x = np.column_stack([np.ones(len(used)), used[["age", "female", "x"]], *levels]).astype(float)

    def line(rows):
        root = np.sqrt(w[rows])
        return x @ np.linalg.lstsq(x[rows] * root[:, None], y[rows] * root, rcond=None)[0]

    def mean(rows, values, weights):
        return np.average(values[rows], weights=weights[rows])

    sides = {(t, s): (d == t) & (after == s) for t in (0, 1) for s in (False, True)}
    lines = {side: line(rows) for side, rows in sides.items()}
    p = logit(x, d, w)
    odds = w * p / (1 - p)
    pooled = d == 1
    if method == "or":
        change = mean(sides[1, True], y, w) - mean(sides[1, False], y, w)
        return change - mean(pooled, lines[0, True] - lines[0, False], w)
    if method == "ipw":
        return (
            mean(sides[1, True], y, w) - mean(sides[1, False], y, w)
            - mean(sides[0, True], y, odds) + mean(sides[0, False], y, odds)
        )  # fmt: skip
    rest = y - np.where(after, lines[0, True], lines[0, False])
    first = (
        mean(sides[1, True], rest, w) - mean(sides[1, False], rest, w)
        - mean(sides[0, True], rest, odds) + mean(sides[0, False], rest, odds)
    )  # fmt: skip
    gaps = {s: lines[1, s] - lines[0, s] for s in (True, False)}
    further = {s: mean(pooled, gaps[s], w) - mean(sides[1, s], gaps[s], w) for s in (True, False)}
    return first + further[True] - further[False]


@pytest.mark.parametrize("method", METHODS)
def test_effects_equal_the_formulas_of_the_paper(method):
    data = section_children()
    mine = by_place(fitted(f"nevertreated|varying|0|w|{method}"))
    for cohort, period, base in ((2021, 2022, 2020), (2022, 2023, 2021), (2022, 2019, 2018)):
        expected = by_hand(data, cohort, period, base, method)
        assert mine[cohort, period].estimate == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_influence_is_what_a_small_change_of_weights_moves(method):
    # the influence of a cluster is the derivative of the estimate by the weight of its rows (infinitesimal jackknife):
    # this owes nothing to the algebra of the influence functions, and covers the averages with their estimated shares
    data, step = section_children(), 1e-4
    options = {"control": "not_yet", "covariates": COVARIATES, "method": method}
    result = we.did.callaway_santanna(sections(data, weights="w", cluster="area"), **options)
    event = result.aggregate("event")
    influence = np.hstack([result.influence, event.influence])
    areas = sorted(set(data["area"]))
    for area in ("A00", "A05", "A17"):
        moved = []
        for sign in (1, -1):
            factor = np.where(data["area"] == area, 1 + sign * step, 1.0)
            other = we.did.callaway_santanna(
                sections(data.assign(w=data["w"] * factor), weights="w", cluster="area"), **options
            )
            path = other.aggregate("event")
            moved.append(
                [
                    other.overall.estimate,
                    *other.values,  # noqa: PD011
                    path.overall.estimate,
                    *(e.estimate for e in path.estimates),
                ]
            )
        slope = (np.array(moved[0]) - np.array(moved[1])) / (2 * step)
        np.testing.assert_allclose(influence[areas.index(area)], slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weights", [None, "w"])
def test_errors_by_row_are_those_of_clusters_of_one_row(method, weights):
    data = section_children()
    data = data[data["year"] < 2022].assign(child=range(len(data[data["year"] < 2022])))
    for names in (COVARIATES, ("age", "need")):
        by_row, alone = (
            we.did.callaway_santanna(sections(data, weights=weights, cluster=c), covariates=names, method=method)
            for c in (None, "child")
        )
        np.testing.assert_allclose([i.se for i in by_row.estimates], [i.se for i in alone.estimates], rtol=1e-10)
        for kind in ("simple", "event", "cohort"):
            one, two = by_row.aggregate(kind), alone.aggregate(kind)
            assert one.overall.se == pytest.approx(two.overall.se, rel=1e-10)
        np.testing.assert_allclose(by_row.path.vcov, alone.path.vcov, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("cluster", [None, "area"])
@pytest.mark.parametrize("weights", [None, "w"])
def test_without_covariates_all_three_are_the_means_of_cells(cluster, weights):
    panel = sections(weights=weights, cluster=cluster)
    cells = group_times(panel, control="not_yet", base="universal", anticipation=0)
    values, plain = effects(panel, cells)
    every = every_effect(cells)
    for method in METHODS:
        found, functions, lost, unused = section_effects(panel, cells, (), method)
        assert (lost, unused) == ({}, 0)
        np.testing.assert_allclose(found, values, rtol=0, atol=1e-13)
        np.testing.assert_allclose(functions.covariance(every), plain.covariance(every), rtol=0, atol=1e-15)
    empty = we.did.callaway_santanna(panel, control="not_yet", base="universal", covariates=[])
    assert empty.values.tolist() == values.tolist()  # noqa: PD011


# --- the same, however the data come


def numbers(result):
    drawn = result.bootstrap(199, rng=1)
    return json.dumps([result.to_dicts(), drawn.to_dicts(), drawn.aggregate("event").to_dicts()])


@pytest.mark.parametrize("cluster", [None, "area"])
def test_order_of_rows_and_kind_of_frame_leave_no_trace(cluster):
    data = section_children()
    data["y"] = (data["y"] > 3).astype(float)
    data.loc[data.index % 97 == 0, "age"] = np.nan
    mixed = data.sample(frac=1, random_state=3)
    for names in (None, COVARIATES):
        texts = {
            hashlib.sha256(
                numbers(
                    we.did.callaway_santanna(sections(frame, cluster=cluster, weights="w"), covariates=names)
                ).encode()
            ).hexdigest()
            for frame in (data, mixed, pl.from_pandas(data))
        }
        assert len(texts) == 1
    if cluster:
        one, two = (
            we.did.area_means(sections(d, cluster="area"), ["age", "need"], keep="w") for d in (data, mixed)
        )
        assert one.outcomes.tobytes() == two.outcomes.tobytes()
        assert one.covariate("w").tobytes() == two.covariate("w").tobytes()


def test_units_of_covariates_do_not_matter():
    data = section_children()
    other = data.assign(
        age=2010.0 - data["age"], x=1e6 + 1e3 * data["x"], need=data["need"].map({"N1": "c", "N2": "a", "N3": "b"})
    )
    for method in METHODS:
        one, two = (
            we.did.callaway_santanna(sections(d, cluster="area"), covariates=COVARIATES, method=method)
            for d in (data, other)
        )
        np.testing.assert_allclose(one.values, two.values, rtol=1e-8)
        np.testing.assert_allclose(one.influence, two.influence, rtol=0, atol=1e-9)


@pytest.mark.parametrize("multiplier", ["rademacher", "mammen", "normal"])
@pytest.mark.parametrize("covariates", [None, COVARIATES])
def test_draws_without_clusters_are_not_in_lumps(covariates, multiplier):
    # one sign for all rows of a cell would put errors off by up to 14%
    result = we.did.callaway_santanna(sections(), covariates=covariates)
    drawn = result.bootstrap(9_999, rng=5, multiplier=multiplier)
    ratios = [b.se / a.se for a, b in zip(result.estimates, drawn.estimates, strict=True)]
    np.testing.assert_allclose(ratios, 1.0, atol=0.045)
    assert drawn.overall.se == pytest.approx(result.overall.se, rel=0.04)


# --- rows that cannot be used, and kinds without a comparison


def test_rows_without_a_covariate_are_left_out_and_counted():
    data = section_children()
    gone = data.index % 40 == 0
    data.loc[gone, "age"] = np.nan
    panel = sections(data)
    result = we.did.callaway_santanna(panel, covariates=COVARIATES)
    some = we.did.callaway_santanna(sections(data[~gone]), covariates=COVARIATES)
    np.testing.assert_allclose(result.values, some.values, rtol=1e-12)
    np.testing.assert_allclose([i.se for i in result.estimates], [i.se for i in some.estimates], rtol=1e-12)
    assert result.notes[0] == "100 rows without a covariate are in no effect."
    assert result.overall.n == 3_900
    # shares of cohorts are those of all rows, and so is their part of the errors
    assert result.overall.se == pytest.approx(
        we.did.callaway_santanna(
            sections(data.assign(child=range(len(data))), cluster="child"), covariates=COVARIATES
        ).overall.se,
        rel=1e-10,
    )


@pytest.mark.parametrize("method", METHODS)
def test_kinds_that_no_treated_row_has_do_not_matter(method):
    data = section_children()
    data.loc[(data["start"] == 0) & (data.index % 11 == 0), "need"] = "N0"
    result = we.did.callaway_santanna(sections(data, cluster="area"), covariates=COVARIATES, method=method)
    assert result.notes == ()
    some = we.did.callaway_santanna(
        sections(data[data["need"] != "N0"], cluster="area"), covariates=COVARIATES, method=method
    )
    np.testing.assert_allclose(result.values, some.values, rtol=1e-9)
    np.testing.assert_allclose([i.se for i in result.estimates], [i.se for i in some.estimates], rtol=1e-9)


def test_what_cannot_be_estimated_is_said():
    data = section_children()
    treated = data["start"] > 0
    cases = (
        (data.assign(need=np.where(treated, "T", data["need"])), ("need",), "propensity of a treated row is 1"),
        (data.assign(one=1.0), ("one",), "a covariate has one value"),
        (data.assign(twice=2 * data["x"]), ("x", "twice"), "collinear in the cohort in the period"),
        (data.assign(x=data["x"] + 50 * treated), ("x",), "propensity of a treated row is 1"),
        (
            data.assign(x=np.where(treated, data["x"], np.nan)),
            ("x",),
            "no row of the cohort, or none of its comparison",
        ),
    )
    for frame, names, words in cases:
        result = we.did.callaway_santanna(sections(frame), covariates=names)
        assert words in " ".join(result.notes)
        assert np.isnan(result.values).all()
        with pytest.raises(DesignError, match="no effect after treatment"):
            result.aggregate()
    few = data[~((data["start"] == 2021) & (data["year"] == 2022)) | (data.index % 60 == 0)]
    result = we.did.callaway_santanna(sections(few), covariates=COVARIATES)
    assert "the cohort in the period has fewer rows than covariates" in " ".join(result.notes)
    assert (2021, 2022) not in by_place(result)
    assert (2022, 2023) in by_place(result)


def test_comparison_rows_of_extreme_propensity_are_trimmed():
    # kind A: one half treated; kind B: treated but for four rows, so that its propensity is their share
    for n, share in ((1_400, 0.9971), (796, 0.99497), (5_000, 0.9992)):
        data = pd.DataFrame({"kind": np.repeat(["A", "A", "B", "B"], [400, 400, n - 4, 4])})
        data["start"] = np.repeat([2020, 0, 2020, 0], [400, 400, n - 4, 4])
        data["year"] = 2019 + np.arange(len(data)) % 2
        data["y"] = np.random.default_rng(n).normal(size=len(data))
        panel = we.Panel(data, unit=None, period="year", outcome="y", cohort="start")
        result = we.did.callaway_santanna(panel, covariates="kind", method="ipw")
        assert 1 - 4 / n == pytest.approx(share, abs=5e-5)
        if share > 0.999:
            # treated rows have no comparison like them: R's did drops the effect, and so do we
            assert "propensity of a treated row is 1" in result.notes[0]
            assert np.isfinite(we.did.callaway_santanna(panel, covariates="kind", method="or").values).all()
            continue
        control = (data["start"] == 0) & ((data["kind"] == "A") | (share < 0.995))
        weights = np.where(data["kind"] == "A", 1.0, (n - 4) / 4)
        means = [
            np.average(data["y"][rows & (data["year"] == year)], weights=w[rows & (data["year"] == year)])
            for rows, w in ((data["start"] > 0, np.ones(len(data))), (control, weights))
            for year in (2020, 2019)
        ]
        expected = means[0] - means[1] - means[2] + means[3]
        assert result.overall.estimate == pytest.approx(expected, rel=1e-9)


def test_faults_are_named():
    with pytest.raises(DataError, match=r"no column 'agee'[\s\S]*did you mean 'age'"):
        we.did.callaway_santanna(sections(), covariates="agee")
    many = section_children().assign(code=lambda d: "c" + d.index.astype(str))
    with pytest.raises(DataError, match="text with 4,000 values"):
        we.did.callaway_santanna(sections(many), covariates="code")
    with pytest.raises(DesignError, match="repeated cross-sections"):
        sections().with_outcomes(np.zeros((3, 6)))
    result = fitted("nevertreated|varying|0|1|dr")
    assert "doubly robust given age, female, need, x" in result.method
    few = section_children()
    few = few[few["start"].eq(0) | few["area"].isin(["A00", "A01"])]
    assert (
        "2 treated clusters"
        in we.did.callaway_santanna(sections(few, cluster="area"), covariates="age").overall.warnings[0]
    )


# --- how it does in many samples


def held(rows, reps, sides=4.0):
    """Methods without bias and with 95% coverage, within so many Monte Carlo errors."""
    return {
        name
        for name, row in rows.items()
        if abs(row["bias"]) < sides * row["bias_error"]
        and abs(row["coverage"] - 0.95) < sides * np.sqrt(0.95 * 0.05 / reps)
    }


@pytest.mark.simulation
def test_the_record_of_bias_and_coverage():
    rows, reps = LEVELS["settings"], LEVELS["reps"]
    assert (reps, list(rows)) == (2_000, list(SETTINGS))
    assert held(rows["both right"], reps) == {"dr", "ipw", "or"}
    # doubly robust: right with one of the two wrong, where the method that rests on it is not
    assert held(rows["regression wrong"], reps) == {"dr", "ipw"}
    assert held(rows["propensity wrong"], reps) == {"dr", "or"}
    assert {"dr", "or"} <= held(rows["areas"], reps)
    assert rows["areas"]["ipw"]["coverage"] > 0.92
    for setting in SETTINGS:
        assert rows[setting]["none"]["bias"] > 0.3
        assert rows[setting]["none"]["coverage"] < 0.2
        for method in ("dr", "ipw", "or"):
            assert 0.94 < rows[setting][method]["se_over_sd"] < 1.03


@pytest.mark.simulation
def test_a_sample_of_the_study():
    rows = record(25, seed=7)["settings"]
    for setting in SETTINGS:
        assert rows[setting]["none"]["bias"] > 0.3
        assert abs(rows[setting]["dr"]["bias"]) < 4 * rows[setting]["dr"]["bias_error"]
        assert rows[setting]["dr"]["coverage"] >= 0.8
