"""Runs from plan to files: what is written, refused, logged, hidden and verified."""

from __future__ import annotations

import csv
import hashlib
import html
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from wwc_eval.data.chain import read_chain
from wwc_eval.errors import DataError, LedgerError, LockError, PlanError
from wwc_eval.plans import Plan
from wwc_eval.plans.locking import read_lock
from wwc_eval.plans.run_log import RunLog, log_path
from wwc_eval.plans.verifying import verify_run


@pytest.fixture(scope="module")
def finished(shared_project):
    """One locked run that several tests look at."""
    project = shared_project
    plan = Plan.load(project.plan_file)
    plan.lock()
    out = project.folder / "runs" / "first"
    results = plan.run(out=out)
    return project, plan, out, results


def document(out):
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def test_files_of_a_run(finished):
    _, plan, out, results = finished
    assert {path.name for path in out.iterdir()} == {
        "results.json", "estimates.csv", "report.html", "run.json", "figures",
    }  # fmt: skip
    assert any((out / "figures").iterdir())
    assert (out / "report.html").stat().st_size < 1_500_000
    assert results.failed == ()
    assert list(document(out)["analyses"]) == [task.id for task in plan.facts.tasks()]


def test_results_hold_the_contract(finished):
    _, plan, out, _ = finished
    found = document(out)
    assert found["plan"]["sha256"] == plan.hash
    primary = found["analyses"]["primary"]
    assert primary["status"] == "ok"
    assert primary["sample"]["by_arm"]["usual"]["n"] > 0
    names = {"term", "estimate", "se", "df", "statistic", "p_value", "ci_low", "ci_high", "scale", "units", "n"}
    assert all(names <= set(item) for item in primary["estimates"])
    difference, ratio, odds = primary["estimates"]
    assert [item["scale"] for item in primary["estimates"]] == ["risk_difference", "risk_ratio", "odds_ratio"]
    assert -1 < difference["ci_low"] < difference["estimate"] < difference["ci_high"] < 1
    for item in (ratio, odds):  # the interval is symmetric on the log scale, and se is on it
        low, middle, high = np.log([item["ci_low"], item["estimate"], item["ci_high"]])
        assert middle - low == pytest.approx(high - middle, rel=1e-9)
        assert item["statistic"] == pytest.approx(middle / item["se"], rel=1e-9)


def test_the_numbers_are_those_of_the_python_verbs(finished):
    import wwc_eval as we

    project, plan, out, _ = finished
    spec = plan.data["data"]["children"]["columns"]
    columns = {name: {key: value for key, value in item.items() if key != "label"} for name, item in spec.items()}
    children = we.read_table(project.data_file, columns=columns)
    children = children[(children.age < 18) & (children.consent_withdrawn == 0)]
    fit = we.regression(
        "in_care_12m ~ arm + local_authority + age + sex + previous_plan + family_needs",
        children, family="binomial", vcov="CR1S", cluster="family_id",
    )  # fmt: skip
    by_hand = fit.marginal_effect("arm", scale="risk_difference")
    written = document(out)["analyses"]["complete_case"]["estimates"][0]
    for name in ("estimate", "se", "df", "p_value", "ci_low", "ci_high"):
        assert written[name] == pytest.approx(getattr(by_hand, name), rel=1e-12)
    assert written["n"] == by_hand.n


def test_csv_and_json_hold_the_same_numbers(finished):
    _, _, out, _ = finished
    with (out / "estimates.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    analyses = document(out)["analyses"]
    written = [(name, item) for name, result in analyses.items() for item in result["estimates"]]
    assert len(rows) == len(written)
    for row, (name, item) in zip(rows, written, strict=True):
        assert row["analysis"] == name
        assert row["term"] == item["term"]
        assert float(row["estimate"]) == item["estimate"]
        assert float(row["ci_low"]) == item["ci_low"]


def test_families_are_adjusted_together(finished):
    _, _, out, _ = finished
    analyses = document(out)["analyses"]
    raw = {name: analyses[name]["estimates"][0]["p_value"] for name in ("proceedings", "days")}
    low, high = sorted(raw, key=raw.get)
    assert analyses[low]["adjusted"]["p_value"] == pytest.approx(min(2 * raw[low], 1))
    assert analyses[high]["adjusted"]["p_value"] == pytest.approx(min(max(2 * raw[low], raw[high]), 1))
    assert analyses["primary"]["adjusted"] == {}


def test_run_json_names_data_environment_and_outputs(finished):
    project, plan, out, _ = finished
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    data = project.data_file.read_bytes()
    assert run["files"]["children"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert run["files"]["children"]["rows"] == data.count(b"\n") - 1
    assert run["plan"]["sha256"] == plan.hash
    assert run["run"]["number"] == 1
    assert run["environment"]["numpy"] == np.__version__
    assert all(
        hashlib.sha256((out / name).read_bytes()).hexdigest() == value for name, value in run["outputs"].items()
    )
    assert str(project.folder) not in (out / "run.json").read_text(encoding="utf-8")
    assert str(project.folder) not in (out / "report.html").read_text(encoding="utf-8")


def test_no_small_count_is_written(finished):
    """Every count in the results is 0, at least the threshold, or text."""
    _, _, out, _ = finished
    found = document(out)

    def counts(value, path=()):
        if isinstance(value, dict):
            for key, item in value.items():
                yield from counts(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from counts(item, (*path, index))
        elif isinstance(value, int) and not isinstance(value, bool):
            yield path, value

    shown = [*counts(found["flow"]), *counts([item["sample"] for item in found["analyses"].values()])]
    assert shown
    assert not [(path, value) for path, value in shown if 0 < value < 10]
    assert found["disclosure"]["suppressed"] > 0


def test_the_same_run_gives_the_same_bytes(finished):
    project, plan, out, _ = finished
    again = project.folder / "runs" / "second"
    results = plan.run(out=again)
    assert (again / "results.json").read_bytes() == (out / "results.json").read_bytes()
    assert (again / "estimates.csv").read_bytes() == (out / "estimates.csv").read_bytes()
    assert results.record.run_number == 2
    assert "2 of 2" in str(results)
    assert verify_run(out).ok
    assert verify_run(again).ok


def test_row_order_and_hash_seed_do_not_matter(project_with_data):
    project = project_with_data
    first = Plan.load(project.plan_file).run(draft=True)
    frame = pd.read_csv(project.data_file, dtype=str, keep_default_na=False)
    frame.sample(frac=1, random_state=1).to_csv(project.data_file, index=False)
    second = Plan.load(project.plan_file).run(draft=True)
    for left, right in zip(first.record.analyses, second.record.analyses, strict=True):
        for a, b in zip(left.estimates, right.estimates, strict=True):
            assert b.estimate == pytest.approx(a.estimate, rel=1e-9)
            assert b.se == pytest.approx(a.se, rel=1e-9)
    assert first.record.flow == second.record.flow


def test_the_report_alone_as_html_and_word(finished, tmp_path):
    _, _, out, results = finished
    page = results.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert page == (out / "report.html").read_text(encoding="utf-8")
    docx = pytest.importorskip("docx")
    document = docx.Document(str(results.report(tmp_path / "report.docx")))
    text = "\n".join(paragraph.text for paragraph in document.paragraphs)
    assert "Family conferencing before care proceedings" in text


# --- refusals


def test_an_unlocked_or_changed_plan_is_refused_and_nothing_is_written(project_with_data):
    project = project_with_data
    out = project.folder / "out"
    with pytest.raises(LockError, match="not locked"):
        project.load().run(out=out)
    project.load().lock()
    project.edit(("CR1S", "CR1"))
    with pytest.raises(LockError, match=r"analyses\[0\]\.inference\.vcov"):
        project.load().run(out=out)
    assert not out.exists()
    assert not log_path(project.plan_file).exists()


def test_a_draft_is_marked_everywhere(project_with_data):
    project = project_with_data
    out = project.folder / "out"
    results = project.load().run(out=out, draft=True)
    assert document(out)["plan"]["draft"] is True
    assert "draft" in (out / "report.html").read_text(encoding="utf-8").lower()
    assert "Draft" in str(results)
    assert RunLog.of(project.plan_file).count("draft") == 1
    assert RunLog.of(project.plan_file).count("confirmatory") == 0
    project.load().lock()
    confirmed = project.load().run(out=out)
    assert confirmed.record.run_number == 1
    assert any("1 draft run" in warning for warning in confirmed.record.warnings)


def test_a_plan_with_problems_is_not_run(project_with_data):
    with pytest.raises(PlanError, match="P01"):
        project_with_data.edit(("role: primary", "role: secondary")).load().run(draft=True)


def test_a_folder_with_other_files_is_refused(project_with_data):
    out = project_with_data.folder / "precious"
    out.mkdir()
    (out / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="other files"):
        project_with_data.load().run(out=out, draft=True)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_every_fault_of_the_data_at_once(project_with_data):
    project = project_with_data
    lines = project.data_file.read_text(encoding="utf-8").splitlines()
    lines[3] = lines[3].replace("usual", "Usual").replace("conference", "Conference")
    lines[5] = lines[5].rsplit(",", 1)[0] + ",2"
    project.data_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        project.load().run(draft=True)
    places = {(problem.place.row, problem.place.column) for problem in caught.value.problems}
    assert places == {(4, "arm"), (6, "proceedings")}
    assert all(problem.fix for problem in caught.value.problems)


def test_a_family_in_two_arms_is_named(project_with_data):
    project = project_with_data
    frame = pd.read_csv(project.data_file, dtype=str, keep_default_na=False)
    family = frame["family_id"].value_counts().index[0]
    row = frame.index[frame["family_id"] == family][0]
    frame.loc[row, "arm"] = "usual" if frame.loc[row, "arm"] == "conference" else "conference"
    frame.to_csv(project.data_file, index=False)
    with pytest.raises(DataError, match=f"family {family} has more than one arm"):
        project.load().run(draft=True)


def test_an_analysis_that_fails_does_not_stop_the_others(project_with_data):
    project = project_with_data
    frame = pd.read_csv(project.data_file, dtype=str, keep_default_na=False)
    frame["proceedings"] = np.where(frame["proceedings"] == "", "", "1")
    frame.to_csv(project.data_file, index=False)
    results = project.load().run(out=project.folder / "out", draft=True)
    assert results.failed == ("proceedings",)
    failed = results.analyses["proceedings"]
    assert failed.message
    assert results.analyses["primary"].status == "ok"
    page = (project.folder / "out" / "report.html").read_text(encoding="utf-8")
    assert failed.message[:20] in html.unescape(page)


def test_small_subgroups_are_withheld(project_with_data):
    results = (
        project_with_data.edit(("by: age < 1,", "by: age < 1 and previous_plan == 1,")).load().run(draft=True)
    )
    infants = results.analyses["infants"]
    assert infants.status == "withheld"
    assert infants.estimates == ()
    assert "10" in infants.message


def test_deviations_run_beside_the_planned_analysis(project_with_data):
    project = project_with_data.edit((
        "deviations: []",
        "deviations: [{id: no_sex, field: analyses.primary.formula, of: primary, change: {formula: in_care_12m ~ arm"
        " + local_authority + age, missing: {method: complete_case}}, who: AB, when: 2026-03-01, knowledge: unmasked data, reason: sex was recorded"
        " late, impact: none expected}]",
    ))  # fmt: skip
    results = project.load().run(out=project.folder / "out", draft=True)
    assert results.analyses["no_sex"].role == "deviation"
    assert results.analyses["no_sex"].estimates
    assert results.analyses["primary"].formula != results.analyses["no_sex"].formula
    assert "sex was recorded late" in (project.folder / "out" / "report.html").read_text(encoding="utf-8")


def test_one_sided_tests(project_with_data):
    two = project_with_data.load().run(draft=True).analyses["primary"].estimates[0]
    one = project_with_data.edit(("sides: 2", "sides: 1")).load().run(draft=True).analyses["primary"].estimates[0]
    assert one.estimate == two.estimate
    expected = two.p_value / 2 if two.estimate < 0 else 1 - two.p_value / 2
    assert one.p_value == pytest.approx(expected, rel=1e-12)
    assert one.level == pytest.approx(0.9)
    assert "One-sided" in one.method


def test_a_list_file_excludes_its_members(project_with_data):
    project = project_with_data
    frame = pd.read_csv(project.data_file, dtype=str, keep_default_na=False)
    gone = frame["family_id"].drop_duplicates().head(12)
    gone.to_frame().to_csv(project.data_file.with_name("withdrawn.csv"), index=False)
    project.edit(
        ("threshold: 10", "threshold: 0, reason: a test"),
        ("  exclusions:\n", "  withdrawn:\n    file: ../sample_data/withdrawn.csv\n    columns: {family_id: {type: text}}\n"
         "  main_file: children\n  exclusions:\n    - {rule: family_id in withdrawn, reason: family withdrew}\n"),
    )  # fmt: skip
    flow = project.load().run(draft=True).record.flow
    reasons = dict(flow.of("excluded").reasons)
    assert reasons["family withdrew"]["families"] == 12


def test_a_joined_file_brings_its_columns(project_with_data):
    project = project_with_data
    frame = pd.read_csv(project.data_file, dtype=str, keep_default_na=False)
    families = frame[["family_id"]].drop_duplicates()
    families["risk_score"] = (np.arange(len(families)) % 7).astype(str)
    families.to_csv(project.data_file.with_name("families.csv"), index=False)
    project.edit(
        ("  exclusions:\n", "  families:\n    file: ../sample_data/families.csv\n    key: [family_id]\n    columns:\n"
         "      family_id: {type: text}\n      risk_score: {type: integer, baseline: true}\n"
         "  main_file: children\n  joins: [{file: families, on: [family_id]}]\n  exclusions:\n"),
        ("age + sex + previous_plan + family_needs\n    family: binomial\n    report: [risk_difference, risk",
         "age + sex + previous_plan + family_needs + risk_score\n    family: binomial\n    report: [risk_difference, risk"),
    )  # fmt: skip
    results = project.load().run(draft=True)
    assert "risk_score" in {item.term for item in results.analyses["primary"].coefficients}
    assert {file.name for file in results.record.files} == {"children", "families"}


# --- the log and verification


def test_verification_names_what_was_changed(finished, tmp_path):
    import shutil

    project, _, _, _ = finished
    home = tmp_path / "copy"
    shutil.copytree(project.folder, home)
    run = home / "runs" / "first"
    assert verify_run(run).ok

    def check(path, change, words):
        before = path.read_bytes()
        path.write_bytes(change(before))
        verdict = verify_run(run)
        path.write_bytes(before)
        assert not verdict.ok
        assert words in str(verdict)

    check(run / "report.html", lambda b: b.replace(b"</body>", b" </body>"), "report.html was changed")
    check(run / "estimates.csv", lambda b: b + b"x\n", "estimates.csv was changed")
    check(run / "results.json", lambda b: b.replace(b'"status": "ok"', b'"status": "OK"', 1), "results.json")
    check(home / "sample_data" / project.data_file.name, lambda b: b[:-3], "is not the file that was analysed")
    check(
        home / "analysis_plans" / "trial.yaml",
        lambda b: b.replace(b"alpha: 0.05", b"alpha: 0.01"),
        "alpha was 0.05",
    )
    check(
        log_path(home / "analysis_plans" / "trial.yaml"), lambda b: b.replace(b"started", b"Started", 1), "changed"
    )
    (run / "extra.txt").write_text("x")
    assert "extra.txt was added" in str(verify_run(run))


def test_verification_finds_forged_numbers_under_forged_hashes(finished, tmp_path):
    import shutil

    project, _, _, _ = finished
    home = tmp_path / "copy"
    shutil.copytree(project.folder, home)
    run = home / "runs" / "first"
    results = document(run)
    results["analyses"]["primary"]["estimates"][0]["estimate"] *= 1.001
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    (run / "results.json").write_text(text, encoding="utf-8")
    forged = json.loads((run / "run.json").read_text(encoding="utf-8"))
    forged["outputs"]["results.json"] = hashlib.sha256(text.encode()).hexdigest()
    (run / "run.json").write_text(json.dumps(forged), encoding="utf-8")
    verdict = verify_run(run)
    assert not verdict.ok
    assert "analyses.primary.estimates[0].estimate was" in str(verdict)
    assert "log" in dict(verdict.steps)


def test_a_changed_log_stops_a_run(project_with_data):
    project = project_with_data
    project.load().run(draft=True)
    path = log_path(project.plan_file)
    path.write_bytes(path.read_bytes().replace(b'"draft"', b'"drafT"', 1))
    with pytest.raises(LedgerError, match="changed after it was written"):
        project.load().run(draft=True)


def test_not_a_run_folder(tmp_path):
    with pytest.raises(DataError, match=r"no run\.json"):
        verify_run(tmp_path)
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(DataError, match="not a run's"):
        verify_run(tmp_path)


RUN = "import sys; from wwc_eval.plans import Plan; Plan.load(sys.argv[1]).run(out=sys.argv[2])"


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_killing_a_run_at_any_point_leaves_log_lock_and_outputs_valid(project_with_data):
    project = project_with_data
    plan = project.load()
    plan.lock()
    out = project.folder / "out"
    finished = 0
    for attempt in range(6):
        with subprocess.Popen([sys.executable, "-c", RUN, str(project.plan_file), str(out)]) as process:
            deadline = time.monotonic() + 0.4 + 0.6 * attempt
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        assert read_lock(project.plan_file).plan_sha256 == plan.hash
        entries = read_chain(log_path(project.plan_file)).entries
        assert all(entry["event"] in {"started", "finished"} for entry in entries)
        finished = sum(entry["event"] == "finished" for entry in entries)
        if out.exists():
            assert {path.name for path in out.iterdir()} >= {"results.json", "run.json", "report.html"}
    results = plan.run(out=out)
    started = RunLog.of(project.plan_file).count("confirmatory")
    assert results.record.run_number == results.record.run_count == started >= finished + 1
    assert verify_run(out).ok
