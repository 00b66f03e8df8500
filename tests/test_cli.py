"""The command line: contract of verbs and files, exit statuses, and never a traceback for a user's mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forking import call_anew

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "analysis_plans" / "family_conferencing_trial.yaml"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, call_anew("demo", "--into", folder)


def test_demo_goes_all_the_way_and_ends_with_the_report(demo):
    folder, result = demo
    assert result.returncode == 0, result.stderr
    report = Path(result.stdout.splitlines()[-1])
    assert report == (folder / "runs" / "001" / "report.html").resolve()
    assert report.stat().st_size > 50_000
    assert "Verified nothing differs" in result.stdout


def test_a_second_demo_is_a_second_run(demo):
    folder, _ = demo
    result = call_anew("demo", "--into", folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].endswith("002/report.html")


def test_check_lock_run_verify(demo, call):
    folder, _ = demo
    plan = folder / "analysis_plans" / "family_conferencing_trial.yaml"
    checked = call_anew("plan", "check", plan)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "no problem" in checked.stdout
    locked = call("plan", "lock", plan)
    assert locked.returncode == 0
    assert "Already locked" in locked.stdout
    out = folder / "out"
    run = call_anew("run", plan, "--out", out)
    assert run.returncode == 0, run.stderr
    assert {"results.json", "estimates.csv", "report.html", "run.json", "figures"} <= {
        p.name for p in out.iterdir()
    }
    assert call("verify", out).returncode == 0
    (out / "estimates.csv").write_text("x")
    verified = call("verify", out)
    assert verified.returncode == 1
    assert "estimates.csv was changed" in verified.stdout


def test_check_prints_file_line_and_column(tmp_path, call):
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        SAMPLE.read_text(encoding="utf-8").replace("role: primary", "role: secondary"), encoding="utf-8"
    )
    result = call("plan", "check", plan)
    assert result.returncode == 1
    assert result.stderr.startswith(f"{plan}:")
    assert " P01: " in result.stderr
    assert "Traceback" not in result.stderr


def test_schema_is_json(tmp_path, call):
    result = call("plan", "schema")
    assert result.returncode == 0
    assert json.loads(result.stdout)["title"] == "wwc_eval analysis plan"
    assert call("plan", "schema", "--out", tmp_path / "s.json").returncode == 0
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8")) == json.loads(result.stdout)


def test_show_says_what_will_be_run(call):
    result = call("plan", "show", SAMPLE)
    assert result.returncode == 0
    assert "linear_probability (sensitivity of primary)" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((), 2),
        (("--help",), 0),
        (("--version",), 0),
        (("frobnicate",), 2),
        (("plan", "check"), 2),
        (("plan", "check", "none.yaml"), 2),
        (("run", SAMPLE), 2),
        (("verify", "none"), 2),
        (("run", SAMPLE, "--out", "x", "--speed"), 2),
    ],
)
def test_wrong_usage_is_status_2(arguments, status, tmp_path):
    result = call_anew(*arguments, cwd=tmp_path)
    assert result.returncode == status
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "fault",
    [
        ("empty.yaml", b"", "empty"),
        ("binary.yaml", bytes(range(256)), "Y0"),
        ("list.yaml", b"- a\n", "mapping"),
        ("plan.txt", b"a: 1\n", ".yaml"),
        ("short.yaml", b"id: x\n", "is missing"),
    ],
)
@pytest.mark.parametrize("verb", [("plan", "check"), ("plan", "lock"), ("plan", "show"), ("run",)])
def test_a_users_mistake_is_status_1_and_no_traceback(verb, fault, tmp_path, call):
    name, content, words = fault
    path = tmp_path / name
    path.write_bytes(content)
    more = ("--out", tmp_path / "out") if verb == ("run",) else ()
    result = call(*verb, path, *more)
    assert result.returncode == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert "problem" in result.stderr


def test_missing_data_and_unwritable_folders_are_said(tmp_path, call):
    plan = tmp_path / "plan.yaml"
    text = SAMPLE.read_text(encoding="utf-8").replace("../sample_data/family_conferencing_trial.csv", "none.csv")
    plan.write_text(text, encoding="utf-8")
    result = call("run", plan, "--out", tmp_path / "out", "--draft")
    assert result.returncode == 1
    assert "none.csv" in result.stderr
    assert "Traceback" not in result.stderr
    (tmp_path / "file").write_text("x")
    result = call("run", plan, "--out", tmp_path / "file", "--draft")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
