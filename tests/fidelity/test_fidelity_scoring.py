"""Scores by hand, by another engine and under change: items, components, gates, units, bands, ranks, funnels, change."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.fidelity.scoring.joint import all_reach
from wwc_eval.fidelity.scoring.levels import fit_levels
from wwc_eval.fidelity.scoring.means import cluster_mean

FOLDER = Path(__file__).parents[2] / "sample_data"
TEXT = (FOLDER / "specifications/safety_planning.yaml").read_text(encoding="utf-8")

SMALL = """
schema_version: 1
spec:
  id: small
  version: "1.0.0"
  practice: A small practice
  units: [case, team]
  bands:
    - {name: low, min: 0}
    - {name: fair, min: 50}
    - {name: high, min: 75, requires: {essentials: true}}
components:
  - {id: talk, dimension: quality, role: essential, weight: 0.6, aggregate: mean, min_valid: 0.5}
  - {id: dose, dimension: exposure, role: core, weight: 0.4, aggregate: minimum, min_valid: 1}
  - {id: harm, dimension: differentiation, role: proscribed, weight: 0, aggregate: maximum, gate: {max: 1, effect: cap, cap: 40}}
items:
  - {id: t1, component: talk, text: One., source: [audio], scale: {type: ordinal, min: 1, max: 5}, met_at: 3, essential: true}
  - {id: t2, component: talk, text: Two., source: [audio], scale: {type: ordinal, min: 1, max: 5}, applies_if: "age >= 4"}
  - {id: d1, component: dose, text: Three., source: [admin_data], scale: {type: count, target: 6, floor: 2}}
  - {id: d2, component: dose, text: Four., source: [admin_data], scale: {type: duration, target: 60, units: minutes}}
  - {id: h1, component: harm, text: Five., source: [audio], scale: {type: ordinal, min: 0, max: 3}, reverse: true}
"""


def spec_of(text: str = SMALL) -> we.FidelitySpecification:
    return we.FidelitySpecification.parse(text.encode("utf-8"), "small.yaml")


def rows_of(case="C1", team="T1", rater="A", age=7, **values) -> list[dict]:
    return [
        {"case": case, "team": team, "rater": rater, "age": age, "item": item, "value": value}
        for item, value in values.items()
    ]


def frame_of(*parts: list[dict]) -> pd.DataFrame:
    return pd.DataFrame([row for part in parts for row in part])


FULL = {"t1": 4, "t2": 2, "d1": 4, "d2": 45, "h1": 0}


@cache
def sample() -> we.FidelityScores:
    spec = we.FidelitySpecification.load(FOLDER / "specifications/safety_planning.yaml")
    return spec.score(we.read_table(FOLDER / "fidelity_ratings.csv"))


def test_a_case_by_hand():
    scores = spec_of().score(frame_of(rows_of(**FULL)))
    # talk: (3/4 + 1/4) / 2; dose: min((4 - 2) / 4, 45 / 60); composite: 0.6 x 50 + 0.4 x 50
    assert scores.values("talk")[0] == 50
    assert scores.values("dose")[0] == 50
    assert scores.values("harm")[0] == 100
    assert scores.values("composite")[0] == pytest.approx(50, abs=1e-12)
    assert {rule: float(v[0]) for rule, v in scores.scored.rules.items()} == pytest.approx(
        {"weighted_mean": 50, "geometric": 50, "minimum": 50}
    )


def test_three_rules_side_by_side_by_hand():
    scores = spec_of().score(frame_of(rows_of(**{**FULL, "t1": 5, "t2": 5, "d2": 15})))
    rules = {rule: float(v[0]) for rule, v in scores.scored.rules.items()}
    assert rules == pytest.approx({"weighted_mean": 70, "geometric": 100**0.6 * 25**0.4, "minimum": 25})
    row = scores.sensitivity.to_dicts()[0]
    assert (row["band_weighted_mean"], row["band_geometric"], row["band_minimum"]) == ("fair", "fair", "low")
    assert row["changes"] is True


def test_the_three_codes_for_missing_differ():
    spec = spec_of(SMALL.replace("min_valid: 0.5", "min_valid: 0.6"))
    found = {}
    for code in ("NA", "NR", "NS"):
        scores = spec.score(frame_of(rows_of(**{**FULL, "t2": code})))
        found[code] = float(scores.values("talk")[0])
        row = next(row for row in scores.items if row["item"] == "t2")
        assert [row[name] for name in ("not_applicable", "not_recorded", "not_seen")] == [
            int(code == one) for one in ("NA", "NR", "NS")
        ]
    assert found["NA"] == 75  # the item is dropped
    assert found["NR"] == 37.5  # it scores the minimum
    assert np.isnan(found["NS"])  # it is missing, and half is too little


def test_not_recorded_is_the_worst_of_a_reversed_item():
    scores = spec_of().score(frame_of(rows_of(**{**FULL, "h1": "NR"})))
    assert scores.values("harm")[0] == 0
    assert scores.scored.gated[0].tolist() == [False, False, True]
    assert scores.values("composite")[0] == 40


def test_items_that_do_not_apply_leave_the_score():
    young = spec_of().score(frame_of(rows_of(age=3, **{**FULL, "t2": 1})))
    assert young.values("talk")[0] == 75
    assert "do not count" in " ".join(young.notes)


def test_an_essential_component_without_score_leaves_no_composite_and_says_so():
    scores = spec_of().score(frame_of(rows_of(**{**FULL, "t1": "NS", "t2": "NS"}), rows_of(case="C2", **FULL)))
    row = scores.cases.to_dicts()[0]
    assert row["score"] is None
    assert row["status"] == "essential component 'talk' has no score"


def test_doses_stop_at_the_target():
    scores = spec_of().score(frame_of(rows_of(**{**FULL, "d1": 60, "d2": 600})))
    assert scores.values("dose")[0] == 100


def test_rating_sheets_hold_what_one_rater_saw_of_one_case():
    scores = sample()
    sheets, cases = scores.rating_sheets.to_frame(), scores.cases.to_frame()
    assert list(sheets.columns) == [*scores.units, "rater", "score"]
    assert not sheets.duplicated(["case", "rater"]).any()
    assert len(sheets) == 720 + 143
    once = sheets[~sheets["case"].duplicated(keep=False)].set_index("case")["score"]
    assert once.to_numpy() == pytest.approx(
        cases.set_index("case").loc[once.index, "score"].to_numpy(), nan_ok=True
    )
    study = we.g_study(sheets, ["local_authority", "local_authority:case", "rater"])
    severity = we.rater_severity(sheets, within="local_authority")
    assert study.variances["rater"] > 0
    assert max(severity.rows, key=lambda row: row["severity"])["rater"] == "A07"


def test_raters_are_averaged_within_respondents_and_respondents_by_weight():
    text = (FOLDER / "specifications/team_around_the_family.yaml").read_text(encoding="utf-8")
    spec = spec_of(text.replace("facilitator: 1,", "facilitator: 3,"))
    rows = [
        {"family": "F1", "item": "own_story", "respondent": who, "rater": rater, "value": value}
        for who, rater, value in (("parent", "P1", 0), ("parent", "P2", 2), ("facilitator", "X", 2))
    ]
    frame = pd.DataFrame(rows).assign(worker="W", local_authority="L", young_person_age=12)
    scores = spec.score(frame)
    assert scores.matrix.cases.recorded[0, 0] == pytest.approx((1 * 1 + 3 * 2) / 4)


def test_an_item_of_the_worker_counts_for_every_case_of_the_worker():
    scores = sample()
    place = [item.id for item in scores.spec.document.items].index("group_supervision")
    values = pd.Series(scores.matrix.cases.recorded[:, place])
    spread = values.groupby(scores.matrix.places.of_case["worker"]).agg(lambda own: own.max() - own.min())
    assert (spread.dropna() == 0).all()
    assert values.notna().mean() > 0.9


@pytest.mark.reference
def test_scores_of_units_equal_those_of_the_multilevel_engine():
    scores = sample()
    y, case = scores.values("composite", sheets=True), scores.matrix.sheet_case
    fine = ~np.isnan(y)
    places = scores.matrix.places
    frame = pd.DataFrame({name: [f"u{c}" for c in places.of_case[name][case[fine]]] for name in places.names})
    frame["y"], frame["rater"] = y[fine], [f"r{c}" for c in scores.matrix.sheet_rater[fine]]
    fit = we.multilevel_model(
        "y ~ 1 + (1 | case) + (1 | worker) + (1 | team) + (1 | local_authority) + (1 | rater)", frame
    )
    modes = {
        name: dict(fit.random_effects(name).to_frame()[["level", "estimate"]].to_numpy()) for name in fit.groups
    }
    estimate = scores.margin("local_authority").estimate
    expected = [fit.coefficients[0] + modes["local_authority"][f"u{code}"] for code in range(12)]
    np.testing.assert_allclose(estimate, expected, atol=1e-6)
    severity = [modes["rater"][f"r{code}"] for code in range(24)]
    np.testing.assert_allclose(scores.model().rater_effect, severity, atol=1e-6)
    predicted = fit.predict() - np.array([modes["rater"][name] for name in frame["rater"]])
    np.testing.assert_allclose(scores.margin("case").estimate[case[fine]], predicted, atol=1e-6)


def test_the_truth_of_the_sample_is_found():
    scores = sample()
    raters = {row["rater"]: row["severity"] for row in scores.raters}
    # severe is above 0, as in rater_severity
    assert max(raters, key=raters.get) == "A07"
    assert raters["A07"] > 10
    league = scores.league().to_dicts()
    assert {"Thistlefleet"} <= {row["unit"] for row in league[-3:]}
    assert {row["unit"] for row in scores.over_time().alerts} == {"Quarrymere"}
    assert {row["unit"] for row in scores.over_time(method="cusum").alerts} == {"Quarrymere"}


def test_adjustment_undoes_a_severe_rater():
    """The same cases, judged by a severe rater in one authority only, keep their scores."""
    rng = np.random.default_rng(5)
    la = np.repeat(np.arange(8), 30)
    case = np.arange(240)
    true = 60 + rng.normal(size=8)[la] * 5 + rng.normal(size=240) * 6
    first = rng.integers(0, 8, size=240)
    second = (first + rng.integers(1, 8, size=240)) % 8
    severity = np.array([-15.0, *rng.normal(size=7)])
    sheet, rater = np.tile(case, 2), np.concatenate([first, second])
    y = true[sheet] + severity[rater] + rng.normal(size=480) * 2
    found = fit_levels(y, {"case": sheet, "la": la[sheet]}, rater)
    plain = np.bincount(sheet, y) / 2
    adjusted = found.scores["case"].estimate
    assert np.sqrt(np.mean((adjusted - true - (adjusted - true).mean()) ** 2)) < 2
    assert np.sqrt(np.mean((plain - true - (plain - true).mean()) ** 2)) > 3
    assert abs((found.rater_effect[0] - found.rater_effect[1:].mean()) - (severity[0] - severity[1:].mean())) < 1.5


@pytest.mark.property
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_of_rows_and_names_of_units_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    parts = [
        rows_of(
            case=f"C{k}", team=f"T{k // 4}", rater=f"R{rng.integers(3)}", age=int(rng.integers(2, 9)),
            t1=int(rng.integers(1, 6)), t2=int(rng.integers(1, 6)), d1=int(rng.integers(0, 9)),
            d2=int(rng.integers(0, 90)), h1=int(rng.integers(0, 3)),
        )
        for k in range(16)
    ]  # fmt: skip
    frame = frame_of(*parts)
    spec = spec_of()
    one = spec.score(frame)
    other = spec.score(frame.sample(frac=1, random_state=seed).assign(team=lambda d: "Z" + d["team"]))
    np.testing.assert_allclose(one.values("composite"), other.values("composite"), rtol=1e-12)
    np.testing.assert_allclose(one.margin("team").estimate, other.margin("team").estimate, rtol=1e-6)
    assert ((one.values("composite") >= 0) & (one.values("composite") <= 100)).all()
    assert (one.scored.rules["minimum"] <= one.scored.rules["geometric"] + 1e-9).all()
    assert (one.scored.rules["geometric"] <= one.scored.rules["weighted_mean"] + 1e-9).all()


def test_probabilities_of_bands_add_up_and_gates_hold():
    scores = sample()
    for unit in scores.units:
        total = np.nansum(scores.banding(unit).probability, axis=1)
        told = ~np.isnan(scores.margin(unit).estimate)
        np.testing.assert_allclose(total[told], 1.0, atol=1e-9)
    cases = scores.cases.to_frame()
    shut = cases["gate"] == "contra"
    assert shut.sum() > 20
    assert (cases.loc[shut & cases["score"].notna(), "p_low"] > 1 - 1e-12).all()
    assert (cases.loc[cases["essentials"] == "not met", "p_high"].dropna() == 0).all()
    stated = cases.loc[cases["band"].isin(scores.spec.bands)]
    assert all(row[f"p_{row['band']}"] >= 0.8 for _, row in stated.iterrows())


def test_what_would_change_the_band_does():
    row = next(row for row in sample().bands if row["unit"] == "Greywold")
    assert row["point_band"] == "low"
    gap = float(row["needs"].split()[1])
    assert row["estimate"] + gap == pytest.approx(50, abs=0.06)


def test_bands_without_a_composite_need_every_threshold():
    spec = we.FidelitySpecification.load(FOLDER / "specifications/conversation_quality.yaml")
    rng = np.random.default_rng(2)
    rows = []
    for k in range(60):
        worker, good = k // 5, 1 if k // 5 < 6 else 0
        for rater in ("A", "B") if k % 3 == 0 else ("A",):
            for item in [item.id for item in spec.document.items]:
                value = min(5, max(1, 3 + good + int(rng.integers(-1, 2)))) if "global" in item else 0
                value = value or int(
                    {"questions": 10, "all_reflections": 24, "deep_reflections": 8 + 8 * good}.get(
                        item, 6 + 8 * good
                    )
                    + rng.integers(0, 3)
                )
                rows.append(
                    {
                        "recording": f"R{k:02d}",
                        "worker": f"W{worker:02d}",
                        "local_authority": f"L{worker % 4}",
                        "rater": rater,
                        "item": item,
                        "value": value,
                    }
                )
    scores = spec.score(pd.DataFrame(rows))
    table = scores.by("worker").to_frame()
    assert "score" not in table
    assert set(table["point_band"]) <= set(spec.bands)
    row = table.iloc[0]
    assert row["point_band"] != "good" or (row["partnership"] >= 4 and row["listening_ratio"] >= 2)
    assert "no composite" in str(scores).lower()
    assert len(scores.sensitivity) == 4
    with pytest.raises(DesignError, match="no measure 'composite'"):
        scores.league()


def test_a_sum_of_twenty_five_items():
    spec = we.FidelitySpecification.load(FOLDER / "specifications/supported_employment.yaml")
    rng = np.random.default_rng(3)
    ids = [item.id for item in spec.document.items]
    rows = [
        {"team": f"T{k}", "local_authority": f"L{k // 3}", "rater": rater, "item": item, "value": int(rng.integers(1, 6))}
        for k in range(9) for rater in "AB" for item in ids
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    scores = spec.score(frame)
    expected = frame.groupby("team")["value"].sum() / 2
    np.testing.assert_allclose(scores.values("composite"), expected.to_numpy(), rtol=1e-12)
    frame["value"] = frame["value"].astype(object)
    frame.loc[0, "value"] = "UR"
    again = spec.score(frame)
    assert again.values("composite")[0] == pytest.approx(expected.iloc[0] - (rows[0]["value"] - 1) / 2)


def test_plain_means_where_the_roll_up_says_so():
    spec = spec_of(SMALL + "scoring: {rollup: {team: mean}}\n")
    parts = [rows_of(case=f"C{k}", team=f"T{k % 2}", **{**FULL, "t1": 1 + k % 5}) for k in range(20)]
    scores = spec.score(frame_of(*parts))
    values = scores.values("composite")
    row = scores.by("team").to_dicts()[0]
    assert row["estimate"] == pytest.approx(values[::2].mean()) or len(values) == 20
    own = values[scores.matrix.places.of_case["team"] == 0]
    assert row["estimate"] == pytest.approx(own.mean(), rel=1e-12)
    assert row["se"] == pytest.approx(own.std(ddof=1) / len(own) ** 0.5, rel=1e-12)


def test_constant_ratings_one_rater_one_case_and_empty_units_say_why():
    spec = spec_of()
    constant = spec.score(frame_of(*(rows_of(case=f"C{k}", team=f"T{k % 3}", **FULL) for k in range(9))))
    for row in constant.by("team"):
        assert row["estimate"] == pytest.approx(50)
        assert "nothing varies" in row["status"]
    alone = spec.score(frame_of(rows_of(**FULL)))
    assert alone.by("team").to_dicts()[0]["estimate"] == pytest.approx(50)
    assert "no interval" in alone.by("team").to_dicts()[0]["status"]
    single = spec.score(
        frame_of(*(rows_of(case=f"C{k}", team=f"T{k % 3}", **{**FULL, "t1": 1 + k % 5}) for k in range(9)))
    )
    assert "one rating sheet" in single.cases.to_dicts()[0]["status"]
    assert "raters" in " ".join(single.raters.notes)
    frame = frame_of(*(rows_of(case=f"C{k}", team=f"T{k % 3}", **{**FULL, "t1": 1 + k % 5}) for k in range(9)))
    frame["team"] = pd.Categorical(frame["team"], categories=["T0", "T1", "T2", "T3"])
    last = spec.score(frame).by("team").to_dicts()[-1]
    assert (last["team"], last["cases"], last["status"]) == ("T3", 0, "no ratings")


def test_units_by_other_names_and_without_the_top():
    frame = we.read_table(FOLDER / "fidelity_ratings.csv").rename(columns={"local_authority": "la", "case": "id"})
    spec = sample().spec
    renamed = spec.score(frame, units=["id", "worker", "team", "la"])
    np.testing.assert_allclose(renamed.values("composite"), sample().values("composite"))
    shorter = spec.score(frame.head(900), units={"case": "id", "team": "team"})
    assert shorter.units == ("case", "team")
    with pytest.raises(DataError, match="no unit 'ward'"):
        spec.score(frame, units=["case", "ward"])


def test_two_authorities_stand_for_themselves_and_lean_on_their_teams():
    rng = np.random.default_rng(4)
    case = np.arange(160)
    team = case // 20
    y = 60 + 20 * (team >= 4) + rng.normal(size=8)[team] * 3 + rng.normal(size=160) * 5
    found = fit_levels(y, {"case": case, "team": team, "la": team // 4}, None)
    assert found.scores["la"].df == found.scores["team"].df == 7
    np.testing.assert_allclose(found.scores["la"].estimate, [y[:80].mean(), y[80:].mean()], atol=0.05)
    assert any("not shrunk" in note for note in found.notes)


def test_cluster_robust_means_equal_the_formula():
    rng = np.random.default_rng(1)
    cluster = rng.integers(0, 7, size=60)
    values = rng.normal(size=60)
    found = cluster_mean(values, cluster, 0.95)
    fit = we.regression("y ~ 1", pd.DataFrame({"y": values, "g": cluster.astype(str)}), vcov="CR1", cluster="g")
    assert found.estimate == pytest.approx(fit.estimates["(Intercept)"].estimate, rel=1e-12)
    assert found.se == pytest.approx(fit.estimates["(Intercept)"].se, rel=1e-9)


@pytest.mark.reference
@pytest.mark.parametrize("d", [2, 3, 5])
def test_joint_probabilities_equal_those_of_scipy(d):
    from scipy import stats

    rng = np.random.default_rng(d)
    root = rng.normal(size=(d, d + 2))
    correlation = np.corrcoef(root)
    p = rng.uniform(0.3, 0.98, size=(4, d))
    limits = stats.norm.ppf(p)
    expected = [
        stats.multivariate_normal(mean=np.zeros(d), cov=correlation, maxpts=200_000, abseps=1e-6, seed=1).cdf(row)
        for row in limits
    ]
    np.testing.assert_allclose(all_reach(p, correlation), expected, atol=2e-3)


def test_axes_show_what_the_tables_say():
    scores = sample()
    heat = scores.plot_heatmap()
    assert len(heat.get_yticklabels()) == 12
    assert len(heat.get_xticklabels()) == 6
    bars = scores.plot_profile("Greywold")
    assert "percent of maximum" in bars.get_xlabel()
    radar = scores.plot_profile("T01", kind="radar", level="team")
    assert radar.name == "polar"
    with pytest.raises(DesignError, match="did you mean 'Greywold'"):
        scores.plot_profile("Grewold")
    for axes in (scores.league().plot(), scores.funnel().plot(), scores.over_time().plot("Quarrymere")):
        assert axes.get_xlabel()


def test_what_enters_the_evaluation():
    found = sample().exposure()
    assert found.columns.tolist() == ["local_authority", "arm", "exposure", "se"]
    means = found.groupby("arm")["exposure"].mean()
    assert means["intervention"] > means["comparison"] + 10
    assert len(sample().exposure("case")) == 720


def test_tables_render_and_carry_the_hash():
    scores = sample()
    assert [row["dimension"] for row in scores.dimensions][:2] == ["adherence", "quality"]
    for table in (
        scores.items,
        scores.components,
        scores.by("team"),
        scores.bands,
        scores.sensitivity,
        scores.variances,
    ):
        assert table.to_html()
        assert table.to_latex()
    assert scores.spec.hash[:16] in str(scores)
    assert len(scores.by("local_authority", "planning")) == 12
    assert scores.variances.to_frame()["share"].sum() == pytest.approx(1)
