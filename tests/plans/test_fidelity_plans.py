"""Plans that score practice against a specification: the very one that was planned, and what the report shows of it."""

import json
from pathlib import Path

import pytest

import wwc_eval as we
from wwc_eval.plans import Plan

ROOT = Path(__file__).parents[2]
PILOT = ROOT / "analysis_plans" / "family_safeguarding_pilot.yaml"
SPEC = ROOT / "sample_data" / "specifications" / "safety_planning.yaml"
HASH = we.FidelitySpecification.load(SPEC).hash
RATINGS = """
  ratings:
    file: fidelity_ratings.csv
    grain: one row per rating
    columns:
      case:            {type: text, missing: [""]}
      worker:          {type: text}
      team:            {type: text}
      local_authority: {type: text}
      arm:             {type: text}
      child_age:       {type: integer, missing: [""]}
      item:            {type: text}
      rater:           {type: text, missing: [""]}
      respondent:      {type: text}
      date:            {type: text, missing: [""]}
      value:           {type: text, pattern: "[0-9.]+|NA|NR|NS"}
"""
BLOCK = f"""
fidelity:
  specification: safety_planning.yaml
  sha256: {HASH}
  ratings: ratings
  band: adequate
"""


def planned(tmp_path, *edits):
    text = PILOT.read_text(encoding="utf-8").replace("../sample_data/", "")
    text = text.replace("data:\n  families:", "data:\n  main_file: families\n  families:")
    text = text.replace("\noutcomes:", f"{RATINGS}\noutcomes:").replace(
        "\ndecision_rules:", f"{BLOCK}\ndecision_rules:"
    )
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    for name in ("family_safeguarding_pilot.csv", "fidelity_ratings.csv", "specifications/safety_planning.yaml"):
        (tmp_path / Path(name).name).write_bytes((ROOT / "sample_data" / name).read_bytes())
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    return Plan.load(tmp_path / "plan.yaml")


def test_the_report_shows_what_python_scores(tmp_path):
    plan = planned(tmp_path)
    assert plan.check() == []
    results = plan.run(out=tmp_path / "out", draft=True)
    spec = we.FidelitySpecification.load(SPEC)
    scores = spec.score(we.read_table(ROOT / "sample_data" / "fidelity_ratings.csv"))
    shown = {item.key: item for item in results.record.fidelity}
    assert list(shown) == ["bands", "heatmap", "components", "rules", "changes"]
    direct = scores.by("local_authority").to_dicts()
    rows = shown["bands"].table.to_dicts()
    assert [row["estimate"] for row in rows] == pytest.approx([row["estimate"] for row in direct])
    assert [row["band"] for row in rows] == [row["band"] for row in direct]
    assert "Of 12 units (local authority)" in " ".join(shown["bands"].sentences)
    beside = next(item for item in results.record.decision if item.key == "readiness_for_trial")
    assert any(text.startswith("Fidelity: Of 12 units") for text in beside.sentences)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Scores and bands by local authority" in page
    assert (tmp_path / "out" / "figures" / "fidelity_heatmap.svg").exists()
    document = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert document["fidelity"]["bands"]["rows"][0]["local_authority"] == direct[0]["local_authority"]


def test_units_with_few_cases_show_no_count(tmp_path):
    results = planned(tmp_path, ("  band: adequate", "  by: worker")).run(draft=True)
    cases = {row["cases"] for row in results.record.fidelity[0].table.to_dicts()}
    assert cases == {"<10"}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ((f"sha256: {HASH}", f"sha256: {'a' * 64}"), "has the hash"),
        (("specification: safety_planning.yaml", "specification: absent.yaml"), "cannot read"),
        (("specification: safety_planning.yaml", "specification: ../../x.yaml"), "outside the project"),
        (("ratings: ratings", "ratings: rating"), "no data file"),
        (("ratings: ratings", "ratings: families"), "is analysed"),
        (("  band: adequate", "  band: adequat"), "no band"),
        (("      item:            {type: text}\n", ""), "no column 'item'"),
        (("  band: adequate", "  by: office"), "no column 'office'"),
    ],
)
def test_findings(tmp_path, edit, words):
    found = planned(tmp_path, edit).check()
    assert any(problem.code == "P17" and words in problem.message for problem in found), found


def test_a_specification_changed_after_the_lock_is_found(tmp_path):
    plan = planned(tmp_path)
    plan.lock()
    file = tmp_path / "safety_planning.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("weight: 0.30", "weight: 0.31"), encoding="utf-8")
    with pytest.raises(we.PlanError, match="P17"):
        Plan.load(plan.path).run()


def test_a_hash_that_is_none_is_refused(tmp_path):
    with pytest.raises(we.PlanError, match="sha256"):
        planned(tmp_path, (f"sha256: {HASH}", "sha256: abc"))
