"""Plans whose rows are children seen once: effects given covariates of the children."""

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.plans import Plan

PLAN = """\
schema_version: 1
id: children-seen-once
title: A practice model and the children of its authorities
registry: {name: OSF, url: null, date: 2025-02-03}
question: Is the outcome of children better where authorities took up the practice model?
estimand:
  population: children in authorities that took up the practice model, in the years since
  treatment: the practice model
  comparator: services as they would have gone on
  comparator_arm: usual
  outcome: y
  summary: mean_difference
  intercurrent: {practice model given up: treatment policy}
design:
  kind: did
  unit: area
  unit_column: area
  units: areas
  arms: {usual: 14, practice model: 10}
  arm_column: practice
  clusters: {usual: 14, practice model: 10}
  panel: {period: year, cohort: start, cross_sections: true}
data:
  children:
    file: children.csv
    grain: one row per child
    row: child
    rows: children
    key: [child]
    columns:
      child:    {type: integer, min: 0}
      area:     {type: text}
      year:     {type: integer, min: 2018, max: 2023}
      practice: {type: category, levels: [usual, practice model]}
      start:    {type: integer, min: 2021, max: 2022, missing: ["0"]}
      age:      {type: number, min: 0, max: 17, baseline: true}
      female:   {type: integer, min: 0, max: 1, baseline: true}
      need:     {type: category, levels: [N1, N2, N3], baseline: true}
      x:        {type: number, baseline: true}
      y:        {type: number, units: points, label: Wellbeing}
      w:        {type: number, min: 0}
outcomes:
  - {name: y, role: primary, type: continuous, better: higher}
analyses:
  - id: primary
    outcome: y
    model: did
    estimator: callaway_santanna
    covariates: [age, female, need, x]
    adjustment: ipw
    weights: w
    inference: {draws: 199, seed: 20250203}
    few_treated: {methods: [permutation], draws: 199, seed: 20250204}
    sensitivity: {leave_one_out: true}
disclosure: {profile: dfe, threshold: 10}
"""


def children(areas=24):
    """4,000 children seen once in areas of which the first ten take up the practice model in 2021 or 2022."""
    rng = np.random.default_rng(6)
    area, t, age = rng.integers(0, areas, 4_000), rng.integers(0, 6, 4_000), rng.integers(0, 18, 4_000)
    first = np.where(area < 10, 3 + area % 2, 6)
    need = rng.choice(["N1", "N2", "N3"], 4_000, p=[0.5, 0.3, 0.2])
    return pd.DataFrame(
        {
            "child": range(4_000),
            "area": [f"A{one:02d}" for one in area],
            "year": 2018 + t,
            "practice": np.where(area < 10, "practice model", "usual"),
            "start": np.where(first < 6, 2018 + first, 0),
            "age": age,
            "female": rng.integers(0, 2, 4_000),
            "need": need,
            "x": rng.normal(size=4_000).round(4),
            "y": (0.02 * age * t - (t >= first) + rng.normal(size=4_000)).round(4),
            "w": rng.uniform(0.5, 2.0, 4_000).round(4),
        }
    )


def planned(tmp_path, *edits):
    children().to_csv(tmp_path / "children.csv", index=False)
    text = PLAN
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    return Plan.load(tmp_path / "plan.yaml")


def read(**options):
    return we.Panel(children(), unit=None, period="year", outcome="y", cohort="start", cluster="area", **options)


def test_effects_given_covariates_of_children_are_those_of_the_verb(tmp_path):
    plan = planned(tmp_path)
    assert plan.check() == []
    results = plan.run(draft=True)
    found = results.analyses["primary"].estimates[0]
    direct = we.did.callaway_santanna(read(weights="w"), covariates=["age", "female", "need", "x"], method="ipw")
    assert found.estimate == pytest.approx(direct.overall.estimate, rel=1e-10)
    assert found.se == pytest.approx(direct.bootstrap(199, rng=20250203).overall.se, rel=1e-10)
    assert (found.n, found.n_clusters) == (4_000, 24)
    shown = [item.key for item in results.analyses["primary"].supplements]
    assert shown == ["trends", "timing", "events", "few_treated", "composition", "leave_one_out"]
    # what needs areas is of their adjusted means
    areas = we.did.area_means(read(weights="w"), ["age", "female", "need", "x"])
    few = we.did.few_treated(areas, methods=("permutation",), draws=199, rng=20250204)
    table = results.analyses["primary"].supplements[3]
    assert table.table.to_dicts()[0]["p_value"] == few.estimates[0].p_value
    assert (
        table.sentences[0]
        == "Means of 4,000 rows, adjusted for age, female, need, x by slopes of never treated areas."
    )
    assert "given age, female, need, x" in results.analyses["primary"].method
    # who was seen, by the covariates
    seen = results.analyses["primary"].supplements[4]
    found = we.did.composition(read(weights="w"), ["age", "female", "need", "x"], draws=199, rng=20250204)
    assert seen.table.to_dicts() == found.table().to_dicts()
    assert [row["level"] for row in seen.table.to_dicts()] == ["", "", "N1", "N2", "N3", ""]
    assert set(found.sentences()) < set(seen.sentences)
    assert any(text.startswith("All 6 at once: p = ") for text in seen.sentences)


def test_whose_slopes_and_which_columns_are_as_the_plan_says(tmp_path):
    edits = (
        ("{methods: [permutation], draws: 199", "{methods: [permutation, ferman_pinto], slopes: own, draws: 199"),
        ("covariates: [age, female, need, x]", "covariates: [age]"),
        ("{leave_one_out: true}", "{composition: [need]}"),
    )
    plan = planned(tmp_path, *edits)
    assert plan.check() == []
    few, seen = plan.run(draft=True).analyses["primary"].supplements[3:]
    areas = we.did.area_means(read(weights="w"), "age", slopes="own")
    methods = ("permutation", "ferman_pinto")
    direct = we.did.few_treated(areas, methods=methods, draws=199, rng=20250204, population="rows")
    assert [row["p_value"] for row in few.table.to_dicts()] == [item.p_value for item in direct.estimates]
    assert few.sentences[0].endswith("by slopes of each area, which move with those of untreated areas.")
    assert [row["covariate"] for row in seen.table.to_dicts()] == ["need"] * 3
    unknown = planned(tmp_path, (edits[2][0], "{composition: [needs]}"))
    assert any("needs" in problem.message for problem in unknown.check())


def test_of_units_seen_again_and_again_slopes_and_composition_are_said_to_be_idle(tmp_path):
    children().assign(child=range(4_000)).drop_duplicates(["area", "year"]).to_csv(
        tmp_path / "areas.csv", index=False
    )
    text = PLAN
    for old, new in (
        (", cross_sections: true", ""),
        ("children.csv", "areas.csv"),
        ("    covariates: [age, female, need, x]\n    adjustment: ipw\n    weights: w\n", ""),
        ("{methods: [permutation], draws", "{methods: [permutation], slopes: own, draws"),
        ("{leave_one_out: true}", "{composition: [need]}"),
    ):
        assert old in text, old
        text = text.replace(old, new, 1)
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    few, seen = Plan.load(tmp_path / "plan.yaml").run(draft=True).analyses["primary"].supplements[3:]
    assert "slopes is not used" in few.sentences[0]
    assert "composition is not used" in seen.sentences[0]


@pytest.mark.parametrize("estimator", ["two_way_fixed_effects", "imputation", "staggered"])
def test_an_estimator_that_needs_units_seen_again_is_refused_before_the_lock(tmp_path, estimator):
    children().to_csv(tmp_path / "children.csv", index=False)
    asked = "    adjustment: ipw\n    weights: w\n    inference: {draws: 199, seed: 20250203}\n"
    assert asked in PLAN
    varied = f"sensitivity:\n  - {{id: other, of: primary, title: Other, change: {{estimator: {estimator}}}, why: another view}}\n"
    kept = PLAN.replace("    weights: w\n", "").replace("disclosure:", varied + "disclosure:")
    (tmp_path / "plan.yaml").write_text(kept, encoding="utf-8")
    text = PLAN.replace(asked, "").replace("    covariates: [age, female, need, x]\n", "")
    (tmp_path / "own.yaml").write_text(text.replace("callaway_santanna", estimator), encoding="utf-8")
    for name, line in (("plan.yaml", varied), ("own.yaml", f"estimator: {estimator}")):
        plan = tmp_path / name
        found = [each for each in Plan.load(plan).check() if "units that are seen again and again" in each.message]
        assert [each.code for each in found] == ["P14"]
        assert estimator in plan.read_text(encoding="utf-8").splitlines()[found[0].place.line - 1], line
