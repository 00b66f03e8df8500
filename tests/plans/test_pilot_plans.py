"""Plans of pilots: criteria decide by rules that were written before, and nothing small is shown."""

import json
from pathlib import Path

import pytest

import wwc_eval as we
from wwc_eval.data import read_table, write_csv
from wwc_eval.plans import Plan

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "analysis_plans" / "family_safeguarding_pilot.yaml"


def families():
    frame = read_table(ROOT / "sample_data" / "family_safeguarding_pilot.csv", {
        "family_id": "text", "team": "text", "arm": {"type": "category", "levels": ["family safeguarding"]},
        "approached_on": "date", "agreed": "binary", "began": "binary", "completed": "binary",
        "sessions": {"type": "integer", "missing": ["z"]}, "fidelity_met": {"type": "binary", "missing": ["x"]},
        "acceptability": {"type": "number", "missing": ["x"]}, "on_plan_start": "binary",
        "on_plan_6m": {"type": "binary", "missing": ["x"]}, "followed_up": "binary",
    })  # fmt: skip
    return getattr(frame, "frame", frame)


def _without_ratings(text):
    """The plan without the scoring of practice, which has tests of its own."""
    for start, end in (("  ratings:\n", "\noutcomes:"), ("# practice in the reviewed cases", "decision_rules:")):
        first = text.index(start)
        text = text[:first] + text[text.index(end, first) :]
    return text


def planned(tmp_path, *edits, frame=None):
    text = _without_ratings(SAMPLE.read_text(encoding="utf-8"))
    text = text.replace("../sample_data/family_safeguarding_pilot.csv", "pilot.csv")
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    table = families() if frame is None else frame
    codes = {"sessions": "z", "fidelity_met": "x", "acceptability": "x", "on_plan_6m": "x"}
    shown = table.astype(object)
    for name, code in codes.items():
        shown[name] = shown[name].where(shown[name].notna(), code)
    write_csv(shown, tmp_path / "pilot.csv")
    (tmp_path / "pilot.yaml").write_text(text, encoding="utf-8")
    return Plan.load(tmp_path / "pilot.yaml")


def test_the_sample_plan_decides_what_python_decides(tmp_path):
    plan = Plan.load(SAMPLE)
    assert plan.check() == []
    results = planned(tmp_path).run(out=tmp_path / "out", draft=True)
    frame = families()
    began = frame[frame.began == 1]
    criterion = we.pilot.ProgressionCriterion(
        "Completed the programme", red=0.6, green=0.8, icc=0.04, cluster_size=9
    )
    direct = criterion.decide(began.completed, [1] * len(began), cluster=began.team.tolist())
    found = results.analyses["completion"]
    assert found.verdict.tier == direct.tier == "amber"
    assert found.verdict.p_amber == pytest.approx(direct.p_amber)
    assert found.estimates[0].ci_low == pytest.approx(direct.estimate.ci_low)
    assert not found.compares
    scale = frame.acceptability.dropna()
    assert results.analyses["acceptability"].estimates[0].estimate == pytest.approx(float(scale.mean()))
    decision = results.record.decision
    assert decision[0].title == "Recommendation: amend"
    assert [item.key for item in decision[1:]] == [
        "criteria",
        "feasibility",
        "evidence_of_promise",
        "readiness_for_trial",
    ]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Recommendation: amend" in page
    assert "£2,140 a family" in page
    assert "Headline result" not in page
    assert "no difference" not in page
    document = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert document["analyses"]["consent"]["tier"] == "green"
    assert document["decision"]["recommendation"]["title"] == "Recommendation: amend"
    assert (tmp_path / "out" / "figures" / "decision_criteria.svg").exists()


def test_rules_change_the_recommendation(tmp_path):
    unsized = ("    planned: {n: 81, power: 0.80}\n", "")
    stopped = planned(tmp_path, ("red: 0.60\n    green: 0.80", "red: 0.85\n    green: 0.95"), unsized)
    assert stopped.run(draft=True).record.decision[0].title == "Recommendation: stop"
    gone = planned(tmp_path, ("go: essential_green", "go: no_red"))
    assert gone.run(draft=True).record.decision[0].title == "Recommendation: go"


def test_of_a_criterion_with_few_only_the_tier_is_shown(tmp_path):
    frame = families()
    frame.loc[frame.began == 1, "completed"] = 1
    frame.loc[frame.index[frame.began == 1][:3], "completed"] = 0
    results = planned(tmp_path, frame=frame).run(out=tmp_path / "out", draft=True)
    found = results.analyses["completion"]
    assert found.status == "withheld"
    assert not found.estimates
    table = next(item for item in results.record.decision if item.key == "feasibility").table
    row = table.to_dicts()[1]
    assert (row["tier"], row["observed"], row["chances"], row["p_value"]) == ("green", "too few to show", "", "")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "97.5%" not in page  # 116 of 119


@pytest.mark.parametrize(
    ("edit", "code", "words"),
    [
        (("decision_rules: {stop: any_essential_red, go: essential_green}\n", ""), "P23", "no rule"),
        (("planned: {n: 81, power: 0.80}", "planned: {n: 40, power: 0.80}"), "P07", "does not keep a power"),
        (("red: 0.45\n    green: 0.60", "red: 0.60\n    green: 0.60"), "P09", "no amber"),
        (("red: 0.45\n    green: 0.60", "red: 0.60\n    green: 0.45"), "P09", "worse side"),
        (("red: 0.45\n    green: 0.60", "red: 45\n    green: 60"), "P09", "red == 45"),
        (("among: began == 1", "among: beganne == 1"), "P02", "not declared"),
        (("among: began == 1", "among: began = = 1"), "P14", ""),
        (("inference: {cluster: team}", "inference: {cluster: teem}"), "P02", "teem"),
        (
            ("outcome: agreed\n    model: pilot", "outcome: agreed\n    model: pilot\n    exposure: sessions"),
            "P14",
            "exposure",
        ),
        (("kind: pilot\n", "kind: individual\n"), None, "at least two"),
    ],
)
def test_findings(tmp_path, edit, code, words):
    if code is None:
        with pytest.raises(we.PlanError, match=words):
            planned(tmp_path, edit)
        return
    found = planned(tmp_path, edit).check()
    assert any(problem.code == code and words in f"{problem.message} {problem.fix}" for problem in found), found


def test_a_criterion_without_rows_is_said_to_be_undecided(tmp_path):
    results = planned(tmp_path, ("among: began == 1", "among: began == 1 and sessions > 29")).run(draft=True)
    assert results.analyses["completion"].status == "failed"
    assert "Completed the programme" in " ".join(results.record.decision[0].sentences)


def test_subgroups_of_a_criterion_are_refused(tmp_path):
    text = "subgroups:\n  - {id: some, of: consent, by: on_plan_start, why: they differ}\ndecision_rules"
    results = planned(tmp_path, ("decision_rules", text)).run(draft=True)
    assert "among:" in results.analyses["some"].message


def test_a_rate_in_clusters_decides_as_python_does(tmp_path):
    more = (
        "analyses:\n",
        "analyses:\n  - id: sessions\n    outcome: sessions\n    model: pilot\n    red: 6\n    green: 9\n    unit: family\n"
        "    essential: false\n    inference: {cluster: team}\n",
    )
    named = ("outcomes:\n", "outcomes:\n  - {name: sessions, role: exploratory, type: count, better: higher}\n")
    plan = planned(tmp_path, named, more)
    assert [problem.code for problem in plan.check() if problem.severity == "error"] == []
    found = plan.run(draft=True).analyses["sessions"].verdict
    rows = families().dropna(subset="sessions")
    direct = we.pilot.RateCriterion("x", red=6, green=9, unit="family").decide(
        rows.sessions, [1] * len(rows), cluster=rows.team.tolist()
    )
    assert (found.tier, found.estimate.n_clusters) == (direct.tier, rows.team.nunique())
    assert found.exact_p_value == pytest.approx(direct.exact_p_value)
    assert found.effective_n < len(rows)


MAIN = """  - id: main_trial
    outcome: on_plan_6m
    model: main_trial
    among: on_plan_start == 1
    inference: {cluster: team}
    trial:
      levels: [{name: family, n: 12, attrition: 0.1}, {name: team, n: 60, icc: 0.05}]
      assigned: team
    effect: -0.12
    seed: 7
"""


def with_main(tmp_path, *edits, frame=None):
    text = MAIN
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    return planned(tmp_path, ("decision_rules: {stop", text + "\ndecision_rules: {stop"), frame=frame)


def test_the_report_shows_what_the_pilot_implies_for_the_main_trial(tmp_path):
    plan = with_main(tmp_path)
    assert plan.check() == []
    results = plan.run(out=tmp_path / "out", draft=True)
    frame = families()
    frame = frame[(frame.on_plan_start == 1) & frame.on_plan_6m.notna()]
    figures = we.pilot.main_trial(frame.on_plan_6m.astype(float), frame.team.tolist(), kind="binary")
    design = we.Trial(
        levels=[we.Level("family", 12, attrition=0.1), we.Level("team", 60, icc=0.05)],
        assigned="team",
        outcome=we.Binary(control=figures["risk"].estimate),
    )
    found = results.analyses["main_trial"]
    assert [each.term for each in found.estimates] == ["risk", "ICC"]
    assert found.estimates[1].ci_high == pytest.approx(figures["ICC"].ci_high)
    shown = {item.key: item for item in found.supplements}
    direct, sizes = figures.assurance(design, -0.12, rng=7), figures.required(design, -0.12)
    assert shown["sizes"].table.to_dicts() == sizes.to_dicts()
    needed = [row["required"] for row in sizes.to_dicts()]
    assert needed == sorted(needed)
    assert needed[1] == int(design.replace(levels=[design.levels[0], we.Level("team", 60, icc=max(figures["ICC"].estimate, 0))]).required("team", -0.12))  # fmt: skip
    words = shown["assurance"].sentences[0]
    assert f"{100 * float(direct):.0f}% on average" in words
    assert f"chance of {100 * direct.short:.0f}%" in words
    # the ICC written in the plan is said beside the pilot's, which takes its place
    with_own = shown["assurance"].sentences[1]
    assert (
        f"with the ICC of 0.05 written for team its power would be {100 * float(design.power(-0.12)):.0f}%."
        in with_own
    )
    assert "to detect −12.00 percentage points" in with_own
    ready = next(item for item in results.record.decision if item.key == "readiness_for_trial")
    assert any("on average (assurance)" in text for text in ready.sentences)
    assert not any(column.name == "n" for column in shown["figures"].table.columns)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "The main trial: power over what the pilot leaves open" in page
    assert "Teams for 80% power" in page
    assert (tmp_path / "out" / "figures" / "main_trial_assurance.svg").exists()
    again = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert "sizes" in json.dumps(again["analyses"]["main_trial"])


@pytest.mark.parametrize(
    ("edit", "code", "words"),
    [
        (("assigned: team", "assigned: school"), "P07", "school"),
        (("    seed: 7\n", "    seed: 7\n    level: school\n"), "P07", "no level 'school'"),
        (("    seed: 7\n", "    seed: 7\n    level: family\n"), "P07", "lowest level"),
        (("    inference: {cluster: team}\n", ""), "P07", "without clusters"),
        (("effect: -0.12", "effect: -1.2"), "P07", "effect"),
        (("assigned: team", "assigned: team\n      sd: 2"), "P14", "sd is not of a share"),
        (("assigned: team", "assigned: team\n      control: 1.5"), "P07", "control"),
        (("    seed: 7\n", "    seed: 7\n    exposure: sessions\n"), "P14", "exposure is of a rate"),
        (("among: on_plan_start", "among: on_plan_begin"), "P02", "not declared"),
    ],
)
def test_findings_of_a_main_trial(tmp_path, edit, code, words):
    found = with_main(tmp_path, edit).check()
    assert any(problem.code == code and words in f"{problem.message} {problem.fix}" for problem in found), found


def test_figures_of_few_are_withheld_with_all_that_rests_on_them(tmp_path):
    frame = families()
    start = frame.on_plan_start == 1
    frame.loc[start & frame.on_plan_6m.notna(), "on_plan_6m"] = 1
    frame.loc[frame.index[start][:3], "on_plan_6m"] = 0
    found = with_main(tmp_path, frame=frame).run(draft=True).analyses["main_trial"]
    assert (found.status, found.estimates, found.supplements) == ("withheld", (), ())


@pytest.mark.parametrize(
    ("outcome", "trial", "effect", "terms"),
    [
        ("acceptability", "", "0.4", ["mean", "SD", "ICC"]),
        ("sessions", "control: 9", "0.8", ["rate", "k"]),
    ],
)
def test_means_and_rates_are_planned_for_too(tmp_path, outcome, trial, effect, terms):
    edits = [
        ("outcome: on_plan_6m", f"outcome: {outcome}"),
        ("    among: on_plan_start == 1\n", ""),
        ("effect: -0.12", f"effect: {effect}"),
        ("icc: 0.05}]", f"icc: 0.05}}]\n      {trial}" if trial else "icc: 0.05}]"),
    ]
    plan = with_main(tmp_path, *edits)
    if outcome == "sessions":
        path = tmp_path / "pilot.yaml"
        text = path.read_text(encoding="utf-8")
        added = "  - {name: sessions, role: exploratory, type: count, better: higher}\n\nanalyses:"
        path.write_text(text.replace("\nanalyses:", added, 1), encoding="utf-8")
        plan = Plan.load(path)
    found = plan.run(draft=True).analyses["main_trial"]
    assert [each.term for each in found.estimates] == terms
    assert found.supplements[1].table.to_dicts()[0]["where"].startswith(f"{terms[-1]} at its")
