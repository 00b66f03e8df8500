"""Comparisons of cluster summaries: against base R, a published trial, invariances, and what must be refused."""

import json
import math

import count_variation_study
import numpy as np
import pandas as pd
import pytest
from cluster_trials import LEVELS, pairs, trial, trials
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_data import REFERENCE
from scipy import optimize

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError, FormulaError
from wwc_eval.inference.cluster_heterogeneity import moment_variation
from wwc_eval.inference.count_variation import Counts

RECORD = json.loads((REFERENCE / "cluster_summaries.json").read_text())
LIMITS = json.loads((REFERENCE / "count_variation_coverage.json").read_text())
DATA = trials()


def compared(case):
    return we.cluster_summaries(
        case["formula"],
        DATA[case["data"]],
        cluster="cluster",
        family=case["family"],
        levels=LEVELS,
        **case["options"],
    )


def listed(value):
    return value if isinstance(value, list) else [value]


@pytest.mark.reference
@pytest.mark.parametrize("place", [k for k, c in enumerate(RECORD["cases"]) if "se" in c])
def test_effects_equal_those_of_base_r(place):
    case = RECORD["cases"][place]
    found = compared(case).estimates
    assert len(found) == len(listed(case["estimate"]))
    for k, row in enumerate(found):
        ratio = row.scale.endswith("ratio")
        value, low, high = row.estimate, row.ci_low, row.ci_high
        if ratio:
            value, low, high = np.log([value, low, high])
        assert value == pytest.approx(listed(case["estimate"])[k], rel=1e-8, abs=1e-11)
        assert row.se == pytest.approx(listed(case["se"])[k], rel=1e-8)
        assert row.df == pytest.approx(listed(case["df"])[k], rel=1e-10)
        assert row.p_value == pytest.approx(listed(case["p"])[k], rel=1e-7)
        if "low" in case:
            assert low == pytest.approx(listed(case["low"])[k], rel=1e-7, abs=1e-10)
            assert high == pytest.approx(listed(case["high"])[k], rel=1e-7, abs=1e-10)


@pytest.mark.reference
@pytest.mark.parametrize("place", [k for k, c in enumerate(RECORD["cases"]) if c.get("spread")])
def test_heterogeneity_equals_that_of_base_r(place):
    case = RECORD["cases"][place]
    found = compared(case)
    for name in ("icc", "k"):
        if name in case:
            rates = name == "k" and case["family"] == "poisson"
            row = moment_variation(found) if rates else getattr(found, name)()
            assert [row.estimate, row.ci_low, row.ci_high] == pytest.approx(case[name], rel=1e-9, abs=1e-12)


@pytest.mark.reference
@pytest.mark.parametrize("by", [None, "stratum"])
def test_k_of_rates_solves_the_equation_of_heterogeneity_within_arms(by):
    options = {"cluster": "cluster", "family": "poisson", "exposure": "exposure", "levels": LEVELS, "by": by}
    found = we.cluster_summaries("count ~ arm", DATA["two"], **options)
    k, table = found.k(), found.table.to_frame()
    assert (k.details["interval"], k.term, k.n_clusters) == ("inverted", "cluster", len(table))
    groups, total = table.groupby(["arm", *([by] if by else [])]), 0.0
    for _, group in groups:
        x, t = group["total"].to_numpy(float), group["size"].to_numpy(float)
        rate = optimize.brentq(
            lambda r, x=x, t=t: float(((x - r * t) / (1 + k.estimate**2 * r * t)).sum()), 1e-9, 1e3, xtol=1e-15
        )
        total += float(((x - rate * t) ** 2 / (rate * t * (1 + k.estimate**2 * rate * t))).sum())
    assert total == pytest.approx(len(table) - len(groups), rel=1e-9)
    # where arms have one rate and exposures are equal, of each arm it is what a pilot says of one
    alone = Counts.of([14, 31, 9, 22, 40], np.ones(5))
    twice = Counts.of([14, 31, 9, 22, 40] * 2, np.ones(10), [0] * 5 + [1] * 5)
    assert twice.estimate() == pytest.approx(alone.estimate(), rel=1e-10)
    assert alone.limit(0.025) < twice.limit(0.025) < twice.limit(0.975) < alone.limit(0.975)
    nothing = Counts.of([14, 31, 9, 22, 40, 3, 1, 0], np.ones(8), [0] * 5 + [1, 2, 2])
    assert nothing.limit(0.975) == pytest.approx(alone.limit(0.975), rel=1e-10)


def test_k_of_rates_in_pairs_and_of_fractions_is_by_moments():
    pair = pairs().assign(years=lambda d: d["people"] / 100)
    options = {"cluster": "cluster", "family": "poisson", "exposure": "years", "levels": LEVELS}
    paired = we.cluster_summaries("events ~ arm", pair, by="pair", **options).k()
    assert paired.details["interval"] == "chi_squared"
    assert paired.estimate < we.cluster_summaries("events ~ arm", pair, **options).k().estimate
    halves = we.cluster_summaries("events ~ arm", pair.assign(events=lambda d: d["events"] / 3), **options).k()
    assert halves.details["interval"] == "chi_squared"


@pytest.mark.simulation
def test_intervals_of_k_hold_where_chi_squared_limits_do_not():
    record = {(row["clusters"], row["k"], row["events"]): row for row in LIMITS["cases"]}
    assert min(row["coverage"]["inverted"] for row in record.values()) >= 0.94
    assert record[60, 0.5, 15]["coverage"]["chi_squared"] < 0.93
    found = count_variation_study.coverage(60, 0.5, 15, repeats=400, seed=3)
    assert found["inverted"] >= 0.95 - 3.1 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.reference
@pytest.mark.parametrize("place", [k for k, c in enumerate(RECORD["cases"]) if c.get("joint")])
def test_joint_tests_equal_anova(place):
    case = RECORD["cases"][place]
    found = compared(case).test()
    assert found.statistic == pytest.approx(case["F"], rel=1e-9)
    assert found.df_denominator == case["df"]
    assert found.p_value == pytest.approx(case["p"], rel=1e-8)


@pytest.mark.reference
def test_a_published_trial_in_pairs():
    found = we.cluster_summaries(
        "events / people ~ arm",
        pairs(),
        cluster="cluster",
        family="binomial",
        by="pair",
        scale="risk_ratio",
        levels=LEVELS,
    )
    effect = found.estimates[0]
    assert "paired t test" in effect.method
    # Grosskurth et al. 1995 print 0.57 (0.42 to 0.76) without covariates
    assert [round(v, 2) for v in (effect.estimate, effect.ci_low, effect.ci_high)] == [0.57, 0.42, 0.76]


# --- what must not matter, and what must


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), family=st.sampled_from(["gaussian", "binomial", "poisson"]), adjusted=st.booleans()
)
def test_order_names_and_units_do_not_matter(seed, family, adjusted):
    rng = np.random.default_rng(seed)
    data = trial(seed, 9, 3, 1)
    outcome = {"gaussian": "score", "binomial": "hit", "poisson": "count"}[family]
    options = {"cluster": "cluster", "family": family, "levels": LEVELS}
    if family == "poisson":
        options["exposure"] = "exposure"
    text = f"{outcome} ~ arm" + (" + x + sex" if adjusted else "")
    first = we.cluster_summaries(text, data, **options).to_frame()
    moved = data.sample(frac=1.0, random_state=int(rng.integers(1000)))
    moved = moved.assign(
        cluster=moved["cluster"].map(dict(zip(data["cluster"].unique(), rng.permutation(9), strict=True)))
    )
    second = we.cluster_summaries(text, moved, **options).to_frame()
    np.testing.assert_allclose(
        first.iloc[:, 1:].to_numpy(float), second.iloc[:, 1:].to_numpy(float), rtol=1e-8, atol=1e-12
    )
    if family == "gaussian":
        scaled = we.cluster_summaries(text, data.assign(score=3.0 * data["score"] - 7.0), **options).to_frame()
        np.testing.assert_allclose(scaled["estimate"], 3.0 * first["estimate"], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(scaled["p_value"], first["p_value"], rtol=1e-6)


def test_counts_and_rows_agree():
    data = DATA["few"]
    grouped = data.groupby(["cluster", "arm", "sex"], as_index=False).agg(
        hit=("hit", "sum"), children=("hit", "size")
    )
    for text, other in (("hit ~ arm", "hit / children ~ arm"), ("hit ~ arm + sex", "hit / children ~ arm + sex")):
        for scale in ("risk_difference", "risk_ratio"):
            options = {"cluster": "cluster", "family": "binomial", "scale": scale, "levels": LEVELS}
            rows = we.cluster_summaries(text, data, **options).to_frame()
            counts = we.cluster_summaries(other, grouped, **options).to_frame()
            np.testing.assert_allclose(
                rows.iloc[:, 1:].to_numpy(float), counts.iloc[:, 1:].to_numpy(float), rtol=1e-9
            )


def test_weights_by_size_give_the_difference_between_children():
    data = DATA["few"]
    found = we.cluster_summaries("score ~ arm", data, cluster="cluster", weights="size", levels=LEVELS)
    plain = we.regression("score ~ arm", data, levels=LEVELS)
    effect = found.estimates[0]
    assert effect.estimate == pytest.approx(plain.coefficients["arm[programme]"], rel=1e-10)
    assert effect.details["average"] == "participants"
    assert found.variance == "robust"
    assert effect.df < 6


def test_robust_errors_are_cr2_of_the_summaries():
    data = DATA["two"]
    found = we.cluster_summaries(
        "score ~ arm", data, cluster="cluster", by="stratum", variance="robust", levels=LEVELS
    )
    means = data.groupby(["cluster", "arm", "stratum"], as_index=False)["score"].mean()
    beside = we.regression("score ~ arm + stratum", means, vcov="CR2", cluster="cluster", levels=LEVELS)
    expected = beside.estimates["arm[programme]"]
    assert found.estimates[0].se == pytest.approx(expected.se, rel=1e-9)
    assert found.estimates[0].df == pytest.approx(expected.df, rel=1e-9)


def test_clusters_without_events_get_half_an_event_and_say_so():
    data = DATA["rare"]
    options = {"cluster": "cluster", "family": "poisson", "exposure": "exposure", "levels": LEVELS}
    found = we.cluster_summaries("count ~ arm", data, **options)
    none = sum(total == 0 for total in found.table.column("total"))
    assert none > 0
    assert f"Half an event was added to {none} of 10 clusters" in " ".join(found.estimates[0].warnings)
    plain = we.cluster_summaries("count ~ arm", data, scale="rate_difference", **options)
    assert not any("Half" in text for text in plain.estimates[0].warnings)
    values = dict(zip(found.table.column("cluster"), found.table.column("value"), strict=True))
    sizes = data.groupby("cluster")["exposure"].sum()
    for row in found.table:
        if row["total"] > 0:
            assert math.exp(values[row["cluster"]]) == pytest.approx(
                row["total"] / sizes[row["cluster"]], rel=1e-12
            )


def test_few_clusters_are_warned_of():
    data = DATA["few"]
    some = data[data["cluster"].isin(["c00", "c01", "c02", "c03", "c04"])]
    found = we.cluster_summaries("score ~ arm", some, cluster="cluster", levels=LEVELS)
    assert "Fewer than 4 clusters in an arm (usual 3, programme 2)" in found.estimates[0].warnings[0]
    assert "cannot reach p < 0.05" in found.estimates[0].warnings[0]
    assert not we.cluster_summaries("score ~ arm", data, cluster="cluster", levels=LEVELS).estimates[0].warnings


def test_degrees_of_freedom_pay_for_cluster_level_covariates():
    data = DATA["two"].assign(double=lambda d: 2 * d["z"], of_stratum=lambda d: (d["stratum"] == "east") * 1.0)
    options = {"cluster": "cluster", "by": "stratum", "levels": LEVELS}
    df = {
        text: we.cluster_summaries(f"score ~ arm + {text}", data, **options).estimates[0].df
        for text in ("x", "x + z", "x + z + double", "x + of_stratum", "stratum")
    }
    assert df == {"x": 8.0, "x + z": 7.0, "x + z + double": 7.0, "x + of_stratum": 8.0, "stratum": 8.0}


def test_the_table_holds_what_was_compared():
    data = DATA["two"]
    found = we.cluster_summaries(
        "hit ~ arm + x", data, cluster="cluster", family="binomial", by="stratum", levels=LEVELS
    )
    table = found.table.to_frame()
    assert list(table.columns) == ["cluster", "arm", "stratum", "rows", "total", "summary", "expected", "value"]
    assert table["rows"].sum() == len(data)
    # a logistic regression with the strata in it expects of each stratum what happened there
    assert table["expected"].sum() == pytest.approx(table["total"].sum(), rel=1e-8)
    np.testing.assert_allclose(table["value"], (table["total"] - table["expected"]) / table["rows"])
    assert "12 clusters" in str(found)
    assert found.by_arm["arm[usual]"].estimate == pytest.approx(table[table["arm"] == "usual"]["summary"].mean())


def test_rows_with_missing_values_are_counted():
    data = DATA["few"].copy()
    data.loc[:4, "score"] = np.nan
    data.loc[7:8, "cluster"] = None
    found = we.cluster_summaries("score ~ arm", data, cluster="cluster", levels=LEVELS)
    assert found.n == len(data) - 7
    assert dict(found.dropped) == {"score": 5, "cluster": 2}


def test_a_numeric_arm_and_frames_of_other_libraries():
    import polars as pl

    data = DATA["few"].assign(treated=lambda d: (d["arm"] == "programme").astype(int))
    one = we.cluster_summaries("score ~ treated", data, cluster="cluster").estimates["treated"]
    two = we.cluster_summaries("score ~ arm", data, cluster="cluster", levels=LEVELS).estimates["arm[programme]"]
    other = we.cluster_summaries("score ~ treated", pl.from_pandas(data), cluster="cluster").estimates["treated"]
    assert one.to_dict() | {"term": ""} == two.to_dict() | {"term": ""} == other.to_dict() | {"term": ""}


@pytest.mark.parametrize(
    ("text", "options", "error", "words"),
    [
        ("score ~ arm + (1 | cluster)", {}, DesignError, "random part"),
        ("score ~ arm * sex", {}, DesignError, "one effect"),
        ("score ~ x + arm", {}, DesignError, "not 0 or 1"),
        ("score ~ x", {"arm": "arm"}, DesignError, "not a term"),
        ("score ~ 1", {}, DesignError, "compares nothing"),
        ("score ~ sex", {}, DesignError, "several values of 'sex'"),
        ("score ~ arm", {"by": "sex"}, DesignError, "several values of 'sex'"),
        ("score ~ arm", {"by": "cluster"}, DesignError, "no stratum holds clusters of two arms"),
        ("score ~ arm", {"cluster": "arm"}, DesignError, "at least 3 clusters"),
        ("score ~ arm", {"scale": "risk_ratio"}, DesignError, "mean_difference"),
        ("score ~ arm", {"variance": "welch", "by": "half"}, DesignError, "has no strata"),
        ("score ~ arm", {"variance": "pooled", "weights": "size"}, DesignError, "equally variable"),
        ("score ~ arm", {"exposure": "exposure"}, DesignError, "goes with a count"),
        ("score ~ arm", {"family": "binomial"}, DataError, "must be 0 or 1"),
        ("hit ~ arm", {"weights": "both"}, DesignError, "weights"),
        ("hit ~ arm", {"cluster": "clutser"}, FormulaError, "clutser"),
        ("nothing ~ arm", {}, DataError, "in all"),
    ],
)
def test_what_cannot_be_is_refused(text, options, error, words):
    data = DATA["few"].assign(half=lambda d: d["cluster"] < "c04", nothing=0.0)
    with pytest.raises(error, match=words):
        we.cluster_summaries(text, data, levels=LEVELS, **{"cluster": "cluster", **options})


def test_no_degrees_of_freedom_are_left():
    data = trial(3, 4, 2, 1).assign(w=lambda d: d["z"] ** 2)
    with pytest.raises(DesignError, match="2 cluster-level covariates"):
        we.cluster_summaries("score ~ arm + z + w", data, cluster="cluster", levels=LEVELS)
    with pytest.raises(DesignError, match="pooled"):
        we.cluster_summaries("events / people ~ arm", pairs(), cluster="cluster", family="binomial", by="pair",
                             variance="within_cells", levels=LEVELS)  # fmt: skip


def test_heterogeneity_that_is_not_defined():
    rates = we.cluster_summaries("count ~ arm", DATA["few"], cluster="cluster", family="poisson", levels=LEVELS)
    means = we.cluster_summaries("score ~ arm", DATA["few"], cluster="cluster", levels=LEVELS)
    with pytest.raises(DesignError, match="use k"):
        rates.icc()
    with pytest.raises(DesignError, match="use icc"):
        means.k()
    single = DATA["few"].groupby(["cluster", "arm"], as_index=False)["score"].mean()
    with pytest.raises(DesignError, match="one row"):
        we.cluster_summaries("score ~ arm", single, cluster="cluster", levels=LEVELS).icc()


def test_allocations_of_the_clusters():
    data = DATA["few"]
    found = we.cluster_summaries("hit ~ arm + x", data, cluster="cluster", family="binomial", levels=LEVELS)
    names = sorted(data["cluster"].unique())
    rng = np.random.default_rng(1)
    drawn = [rng.permutation(np.repeat(["usual", "programme"], 4)) for _ in range(4)]
    refits = found.refit_many(arms=pd.DataFrame(drawn, columns=names), unit="cluster", arm="arm")
    for k, each in enumerate(drawn):
        moved = data.assign(arm=data["cluster"].map(dict(zip(names, each, strict=True))))
        direct = we.cluster_summaries("hit ~ arm + x", moved, cluster="cluster", family="binomial", levels=LEVELS)
        row = direct.estimates[0]
        assert refits.iloc[k][["estimate", "se", "df", "p_value"]].tolist() == pytest.approx(
            [row.estimate, row.se, row.df, row.p_value], rel=1e-9
        )
    rows = np.array([data["arm"].to_numpy(), np.repeat("usual", len(data))], dtype=object)
    own = found.refit_many(arms=rows)
    assert own["estimate"][0] == pytest.approx(found.estimates[0].estimate)
    assert own["status"].tolist() == ["ok", "failed"]
    with pytest.raises(DesignError, match="divides a cluster"):
        found.refit_many(arms=rng.permuted(rows[:1], axis=1))
    with pytest.raises(DesignError, match="by differences"):
        found.with_scale("risk_ratio").refit_many(arms=rows)
    with pytest.raises(DesignError, match="other allocations"):
        found.refit_many(outcomes=np.zeros((1, len(data))))


def test_plots_show_every_cluster():
    found = we.cluster_summaries("hit ~ arm", DATA["two"], cluster="cluster", family="binomial", levels=LEVELS)
    axes = found.plot()
    dots = sum(len(line.get_xdata()) for line in axes.lines if line.get_marker() == "o")
    assert dots == 12
    assert axes.get_ylabel() == "hit (percent)"
    paired = we.cluster_summaries(
        "events / people ~ arm", pairs(), cluster="cluster", family="binomial", by="pair", levels=LEVELS
    )
    assert sum(line.get_marker() == "None" for line in paired.plot().lines) == 6


def test_icc_finds_the_truth_on_average():
    rng = np.random.default_rng(4)
    found = []
    for _ in range(150):
        code = np.repeat(np.arange(30), 40)
        y = np.sqrt(0.1) * rng.normal(size=30)[code] + np.sqrt(0.9) * rng.normal(size=1200)
        data = pd.DataFrame({"y": y, "arm": code % 2, "c": code})
        found.append(we.cluster_summaries("y ~ arm", data, cluster="c").icc())
    assert np.mean([row.estimate for row in found]) == pytest.approx(0.1, abs=0.008)
    assert np.mean([row.ci_low <= 0.1 <= row.ci_high for row in found]) > 0.90
