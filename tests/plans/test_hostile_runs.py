"""Plans and data that mean harm, or were made in haste: what is run, refused, and never shown.

Most runs are computed without report and files; a few go all the way.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from wwc_eval.data.disclosure import DisclosureRule
from wwc_eval.errors import DataError, WwcError
from wwc_eval.formula import quote_name
from wwc_eval.plans import Plan
from wwc_eval.plans.assembly import assemble
from wwc_eval.plans.outputs import estimates_frame, json_bytes, results_document
from wwc_eval.plans.running import compute
from wwc_eval.plans.verifying import verify_run
from wwc_eval.plans.wording import guarded, reason_of

SAMPLE = Path(__file__).resolve().parents[2] / "analysis_plans" / "family_conferencing_trial.yaml"
ADJUSTED = "in_care_12m ~ arm + local_authority + age"


def generated(families):
    """A small trial, as text."""
    from wwc_eval.data.samples import family_conferencing_trial

    frame = family_conferencing_trial(20_261_123, families=families)
    return pd.read_csv(io.StringIO(frame.to_csv(index=False)), dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def trial():
    """Small trials by their number of families, in four authorities: tables by authority are what takes time."""
    found = {families: generated(families) for families in (150, 400)}
    for frame in found.values():
        number = frame["local_authority"].rank(method="dense").astype(int) % 4
        frame["local_authority"] = number.map({0: "Eastshire", 1: "Northshire", 2: "Southshire", 3: "Westshire"})
    return found


@pytest.fixture
def plan():
    """The sample plan as plain data, to be edited."""
    data = YAML(typ="safe", pure=True).load(SAMPLE.read_text(encoding="utf-8"))
    data["data"]["children"]["expected_rows"] = [1, 100_000]
    return data


def alone(plan, **changes):
    """The plan with its primary analysis alone, unadjusted for what has missing values."""
    for section in ("sensitivity", "subgroups", "populations", "multiplicity"):
        plan.pop(section, None)
    plan["analyses"], plan["outcomes"] = plan["analyses"][:1], plan["outcomes"][:1]
    plan["analyses"][0].pop("missing")
    plan["analyses"][0] |= {"formula": ADJUSTED, **changes}
    return plan


def brief(plan):
    """The plan with its primary analysis and what varies it, but nothing else."""
    plan["analyses"], plan["outcomes"] = plan["analyses"][:1], plan["outcomes"][:1]
    plan["sensitivity"] = plan["sensitivity"][:2]
    for section in ("subgroups", "populations", "multiplicity"):
        plan.pop(section)
    return plan


class Folder:
    """A project in a folder."""

    def __init__(self, home):
        self.home = home

    def load(self, plan, frame):
        path = self.home / "analysis_plans" / "trial.yaml"
        data = self.home / "sample_data" / "family_conferencing_trial.csv"
        for file in (path, data):
            file.parent.mkdir(exist_ok=True)
        frame.to_csv(data, index=False)
        # JSON is YAML
        path.write_text(json.dumps(plan, ensure_ascii=False, default=str), encoding="utf-8")
        return Plan.load(path)

    def check(self, plan, frame):
        return [str(problem) for problem in self.load(plan, frame).check()]

    def run(self, plan, frame):
        """Results as ``results.json`` would hold them."""
        loaded = self.load(plan, frame)
        assert loaded.check() == []
        record = compute(loaded, None, assemble(loaded.facts, loaded.path.parent))
        estimates_frame(record)
        return json.loads(json_bytes(results_document(record)))


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def counts(value, path=()):
    """Whole numbers in a document, with their paths."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from counts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from counts(item, (*path, index))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield path, value


def assert_nothing_small(document, threshold=10):
    """No count from 1 to below the threshold, and nothing beside a hidden one that gives it back."""
    shown = [*counts(document["flow"]), *counts(document["missingness"])]
    for name, result in document["analyses"].items():
        sample = result["sample"]
        shown += [((name, *path), count) for path, count in counts(sample) if path[0] != "reference_levels"]
        shown += [((name, "n"), item["n"]) for item in result["estimates"]]
        for entry in sample.get("by_arm", {}).values():
            if isinstance(entry["n"], str) or isinstance(entry.get("events"), str):
                assert not isinstance(entry["mean"], float), name
                assert not isinstance(entry.get("sd"), float), name
        for key in ("n", "n_clusters"):
            hidden = [isinstance(entry.get(key), str) for entry in sample.get("by_arm", {}).values()]
            assert sum(hidden) != 1 or not isinstance(sample[key], int), (name, key)
        for text in (
            result["message"],
            *result["notes"],
            *(w for item in result["estimates"] for w in item["warnings"]),
        ):
            assert not (threshold and re.search(r"\b[1-9] (of [\d,]+ )?rows\b", text)), text
    assert [(path, count) for path, count in shown if 0 < count < threshold] == []


# --- what must not be worked out


def test_no_count_follows_from_others_that_are_shown(folder, plan, trial):
    found = folder.run(plan, trial[400])
    assert_nothing_small(found)
    analyses = found["analyses"]
    table = {row["variable"]: row for row in found["missingness"][0]}
    # the rows that lack a covariate are the same people in the analysis that drops them and in the table
    assert (
        table["family needs score"]["missing_all"]
        == analyses["complete_case"]["sample"]["dropped"]["family_needs"]
        == "c"
    )
    # what is hidden is hidden in the analysis that varies, the planned one keeps its counts
    assert all(isinstance(entry["n"], int) for entry in analyses["primary"]["sample"]["by_arm"].values())
    arms = analyses["per_protocol"]["sample"]["by_arm"].values()
    assert all(entry["mean"] == "c" for entry in arms if entry["n"] == "c")


@pytest.mark.parametrize("missing", [1, 4, 9])
def test_a_handful_without_outcome_does_not_stop_a_run(folder, plan, trial, missing):
    frame = trial[150].copy()
    frame["in_care_12m"] = frame["in_care_12m"].replace("", "0")
    frame.loc[frame.index[:missing], "in_care_12m"] = ""
    loaded = folder.load(alone(plan), frame)
    record = compute(loaded, None, assemble(loaded.facts, loaded.path.parent))
    assert_nothing_small(json.loads(json_bytes(results_document(record))))
    assert record.analyses[0].estimates
    assert any("check the output before release" in warning for warning in record.warnings)


def test_an_unadjusted_comparison_goes_with_the_counts_that_it_would_give_back(folder, plan, trial):
    frame = trial[150].copy()
    here = frame.index[frame["arm"] == "usual"]
    frame.loc[here, "in_care_12m"] = "0"
    frame.loc[here[:4], "in_care_12m"] = "1"
    found = folder.run(alone(plan, formula="in_care_12m ~ arm", report=["risk_difference"]) | {
        "waivers": [{"check": "P05", "reason": "a test"}]}, frame)  # fmt: skip
    primary = found["analyses"]["primary"]
    assert primary["status"] == "withheld"
    assert primary["estimates"] == primary["coefficients"] == []
    assert "0.0" not in primary["message"]


def test_a_model_with_a_coefficient_for_every_cell_is_withheld_too(folder, plan, trial):
    plan = alone(plan, formula="in_care_12m ~ arm * disability", report=["risk_difference"])
    plan["waivers"] = [{"check": "P05", "reason": "a test"}]
    frame = trial[150].copy()
    frame["disability"] = "0"
    frame.loc[frame.index[::40], "disability"] = "1"
    assert folder.run(plan, frame)["analyses"]["primary"]["status"] == "withheld"


def test_coefficients_of_a_few_rows_are_left_out(folder, plan):
    frame = generated(150)
    small = set(frame["local_authority"].value_counts().loc[lambda n: n < 8].index)
    found = folder.run(alone(plan, family="gaussian", report=["risk_difference"]), frame)["analyses"]["primary"]
    terms = {item["term"] for item in found["coefficients"]}
    assert small
    assert not terms & {f"local_authority[{name}]" for name in small}
    assert "arm[conference]" in terms
    assert any("too small to show" in note for note in found["notes"])


@pytest.mark.parametrize("rule", ['child_id == "000001"', "family_id in ['00001', '00002']"])
def test_an_analysis_of_a_few_rows_tells_nothing(folder, plan, trial, rule):
    plan["populations"]["per_protocol"]["rule"] = rule
    found = folder.run(plan, trial[150])
    assert_nothing_small(found)
    assert " is 0 " not in found["analyses"]["per_protocol"]["message"]
    assert found["analyses"]["per_protocol"]["estimates"] == []


def test_rows_lost_are_counted_inside_the_population(folder, plan, trial):
    frame = trial[400]
    frame = frame[(frame["consent_withdrawn"] == "0") & (frame["age"].astype(int) < 18)]
    plan["disclosure"] = {"threshold": 0, "reason": "a test"}
    plan["populations"]["per_protocol"]["rule"] = "age >= 5"
    found = folder.run(plan, trial[400])["analyses"]
    older = frame[frame["age"].astype(int) >= 5]
    assert found["per_protocol"]["sample"]["dropped"]["in_care_12m"] == (older["in_care_12m"] == "").sum()
    assert found["primary"]["sample"]["dropped"]["in_care_12m"] == (frame["in_care_12m"] == "").sum()


@pytest.mark.parametrize("profile", ["ons_srs", "strict", "dfe"])
@pytest.mark.parametrize("threshold", [0, 10, 50])
def test_every_profile_holds_its_threshold(folder, plan, trial, profile, threshold):
    plan["disclosure"] = {"profile": profile, "threshold": threshold, "reason": "a test"}
    found = folder.run(brief(plan), trial[150])
    assert_nothing_small(found, threshold)
    primary = found["analyses"]["primary"]
    if profile == "ons_srs":
        assert primary["sample"]["n"] % 5 == 0
        assert all(item["n"] % 5 == 0 for item in primary["estimates"])
    if threshold == 0:
        assert all(isinstance(entry["n"], int) for entry in primary["sample"]["by_arm"].values())


# --- what would be read wrongly


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("in_care_12m ~ 0 + arm + age", "without an intercept"),
        ("in_care_12m ~ arm + age - 1", "without an intercept"),
        ("in_care_12m ~ age", "is not a term of the formula"),
        ("in_care_12m ~ factor(arm) + age", "is not a term of the formula"),
        ("in_care_12m ~ arm:previous_plan", "is not a term of the formula"),
        ("in_care_12m ~ arm + arm:age", "odds_ratio is the effect only where the other column is 0"),
        ("in_care_12m ~ (arm + age)^2", "odds_ratio is the effect only where the other column is 0"),
    ],
)
def test_a_coefficient_that_is_not_the_effect_is_not_reported_as_one(folder, plan, trial, formula, words):
    plan = alone(plan, formula=formula) | {"waivers": [{"check": "P05", "reason": "a test"}]}
    assert [words in line and "P14" in line for line in folder.check(plan, trial[150])] == [True]


def test_interactions_with_the_arm_are_averaged_over(folder, plan, trial):
    plan = alone(plan, formula=f"{ADJUSTED} + arm:age", report=["risk_difference", "risk_ratio"])
    assert folder.check(plan, trial[150]) == []


def test_a_changed_formula_must_fit_what_it_inherits(folder, plan, trial):
    plan["sensitivity"].append({"id": "short", "of": "primary", "change": {"formula": "in_care_12m ~ arm + age"}})
    (line, other) = folder.check(plan, trial[150])
    assert "'sex' is not a covariate" in line
    assert "'family_needs' is not a covariate" in other


@pytest.mark.parametrize(
    ("by", "words"),
    [("arm", "formed by the arm"), ("arm == 'usual'", "formed by the arm"), ("age", "have no groups"), ("referred_on", "have no groups")],
)  # fmt: skip
def test_subgroups_that_are_none(folder, plan, trial, by, words):
    plan["data"]["children"]["columns"]["referred_on"]["baseline"] = True
    plan["subgroups"] = [{"id": "sg", "of": "primary", "by": by, "why": "a test"}]
    assert any(words in line for line in folder.check(plan, trial[150]))


def test_rows_without_a_group_are_left_out_of_a_subgroup_analysis(folder, plan, trial):
    frame = trial[150].copy()
    frame.loc[frame.index[:30], "sex"] = ""
    plan["subgroups"] = [{"id": "sg", "of": "primary", "by": "sex", "why": "a test"}]
    plan["disclosure"] = {"threshold": 0, "reason": "a test"}
    analyses = folder.run(plan, frame)["analyses"]
    terms = [item["term"] for item in analyses["sg"]["estimates"]]
    assert terms == [
        "arm[conference]: male - female",
        "arm[conference] | sex: female",
        "arm[conference] | sex: male",
    ]
    assert analyses["sg"]["sample"]["dropped"]["sex"] >= 30
    assert analyses["sg"]["sample"]["n"] < analyses["primary"]["sample"]["n"]


def test_a_text_column_forms_groups_by_its_values(folder, plan, trial):
    frame = trial[400].copy()
    frame["local_authority"] = np.where(frame["local_authority"] < "O", "Northshire", "Southshire")
    plan["subgroups"] = [{"id": "sg", "of": "primary", "by": "local_authority", "why": "a test"}]
    analyses = folder.run(plan, frame)["analyses"]
    assert "arm[conference] | local_authority: Southshire" in [
        item["term"] for item in analyses["sg"]["estimates"]
    ]


def test_measures_of_a_transformed_outcome_are_refused(folder, plan, trial):
    plan = alone(plan, outcome="days_in_care", family="gaussian", report=["mean_difference"],
                 formula="sqrt(days_in_care) ~ arm + local_authority")  # fmt: skip
    plan["outcomes"] = [{"name": "days_in_care", "role": "primary", "type": "count"}]
    plan["estimand"] |= {"outcome": "days_in_care", "summary": "mean_difference"}
    plan["design"]["target"].pop("mdes")
    assert any("would be of sqrt(days_in_care)" in line for line in folder.check(plan, trial[150]))


def test_an_exposure_needs_a_count(folder, plan, trial):
    lines = folder.check(alone(plan, exposure="age"), trial[150])
    assert any("P14" in line and "exposure" in line for line in lines)


# --- odd but lawful


ARMS = {
    "spaces": ("a b", "c d"), "colon": ("usual:x", "conf[y]"), "markup": ("<script>alert(1)</script>", "<img src=x onerror=1>"),
    "quotes": ("o'k", '"q"'), "letters": ("gewöhnlich", "家族会议"), "words": ("no", "yes"), "numbers": ("0", "1"),
    "templates": ("{{7*7}}", "${b}"), "backquote": ("a`b", "c`d"), "truth": ("True", "False"), "long": ("u" * 200, "c" * 200),
}  # fmt: skip


def with_arms(plan, frame, names):
    usual, conference = names
    plan = copy.deepcopy(plan)
    plan["design"]["arms"] = dict.fromkeys(names, 1)
    plan["data"]["children"]["columns"]["arm"]["levels"] = list(names)
    plan["estimand"] |= {"treatment_arm": conference, "comparator_arm": usual}
    return plan, frame.replace({"arm": {"usual": usual, "conference": conference}})


@pytest.mark.parametrize("names", ARMS.values(), ids=ARMS)
def test_arms_may_have_any_name(folder, plan, trial, names):
    given, frame = with_arms(alone(plan), trial[150], names)
    primary = folder.run(given, frame)["analyses"]["primary"]
    assert [item["term"] for item in primary["estimates"]] == [f"arm[{names[1]}]"] * 3
    assert primary["sample"]["reference_levels"]["arm"] == names[0]


COLUMNS = ["looked after", "class", "print", "__class__", "child-age", "a.b", "1age", "âge", "a:b", "a~b", "a[b]", "50%", "<b>x</b>",
           "{{7*7}}", "in", "not", "missing", "n", "index", "None", "log", "(Intercept)", "it's", "age😀", "#age", "age_missing"]  # fmt: skip


def test_columns_may_have_any_name(folder, plan, trial):
    plan, frame = alone(plan), trial[150].copy()
    rng = np.random.default_rng(1)
    for name in COLUMNS:
        frame[name] = rng.integers(0, 50, len(frame)).astype(str)
        plan["data"]["children"]["columns"][name] = {"type": "integer", "baseline": True}
    plan["analyses"][0]["formula"] = "in_care_12m ~ arm + local_authority + " + " + ".join(
        f"`{n}`" for n in COLUMNS
    )
    plan["analyses"][0] |= {"family": "gaussian", "report": ["risk_difference"]}
    plan["subgroups"] = [
        {"id": f"sg{i}", "of": "primary", "by": f"`{name}` >= 25", "why": "a test"}
        for i, name in enumerate(COLUMNS[:2])
    ]
    found = folder.run(plan, frame)["analyses"]
    assert {quote_name(name) for name in COLUMNS} <= {item["term"] for item in found["primary"]["coefficients"]}
    assert [found[f"sg{i}"]["status"] for i in range(2)] == ["ok", "ok"]


def test_three_arms_are_each_set_against_the_first(folder, plan, trial):
    frame = trial[400].copy()
    names = ["usual", "conference", "plus"]
    frame["arm"] = [names[int(family) % 3] for family in frame["family_id"]]
    plan["design"]["arms"] = dict.fromkeys(names, 1)
    plan["design"].pop("power")  # of two arms
    plan["data"]["children"]["columns"]["arm"]["levels"] = names
    found = folder.run(plan, frame)
    terms = [item["term"] for item in found["analyses"]["primary"]["estimates"]]
    assert terms == ["arm[conference]", "arm[plus]"] * 3
    assert_nothing_small(found)


def emptied(frame, column, where=slice(None)):
    frame = frame.copy()
    frame.loc[frame.index[where], column] = ""
    return frame


DATA = {
    "one arm": lambda f: f.assign(arm="usual"),
    "no outcome in an arm": lambda f: f.assign(in_care_12m=f["in_care_12m"].where(f["arm"] == "usual", "")),
    "no outcome": lambda f: emptied(f, "in_care_12m"),
    "no event": lambda f: f.assign(in_care_12m="0"),
    "events only": lambda f: f.assign(in_care_12m="1"),
    "one authority": lambda f: f.assign(local_authority="Northshire"),
    "one family": lambda f: f[f["family_id"] == f["family_id"].iloc[0]],
    "one row": lambda f: f.head(1),
    "four rows": lambda f: f.head(4),
    "thirty rows": lambda f: f.head(30),
    "a covariate never seen": lambda f: emptied(f, "family_needs"),
    "everybody excluded": lambda f: f.assign(consent_withdrawn="1"),
    "an arm excluded": lambda f: f.assign(consent_withdrawn=np.where(f["arm"] == "usual", "1", "0")),
}


@pytest.mark.parametrize("change", DATA.values(), ids=DATA)
def test_whatever_the_data_there_is_a_result_or_a_reason(folder, plan, trial, change):
    found = folder.run(brief(plan), change(trial[150]))
    assert_nothing_small(found)
    for result in found["analyses"].values():
        assert result["estimates"] or result["message"]
        for item in result["estimates"]:
            if item["ci_low"] is not None:
                assert item["ci_low"] <= item["estimate"] <= item["ci_high"]


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.head(0),
        lambda f: f.assign(child_id="1"),
        lambda f: f.assign(arm=""),
        lambda f: f.assign(in_care_12m="2"),
        lambda f: f.assign(age="1e308"),
        lambda f: f.drop(columns="arm"),
        lambda f: pd.concat([f, f.head(2)]),
    ],
)
def test_data_that_break_the_plan_are_refused(folder, plan, trial, change):
    loaded = folder.load(plan, change(trial[150]))
    with pytest.raises(DataError) as caught:
        assemble(loaded.facts, loaded.path.parent)
    assert all(problem.fix for problem in caught.value.problems)


# --- all the way


@pytest.mark.parametrize("kind", ["markup", "everybody excluded", "no outcome"])
def test_reports_of_odd_runs_are_whole_and_verify(folder, plan, trial, kind):
    frame = trial[150]
    if kind in ARMS:
        plan, frame = with_arms(alone(plan), frame, ARMS[kind])
    else:
        plan, frame = alone(plan), DATA[kind](frame)
    loaded = folder.load(plan, frame)
    out = folder.home / "out"
    loaded.run(out=out, draft=True)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    text = re.sub(r"(?s)<(style|script|svg)\b.*?</\1>|<[^>]+>", " ", page)
    assert not re.search(r"\b(nan|NaN|inf|NaT|<NA>)\b", text)
    assert verify_run(out).ok


@pytest.fixture(scope="module")
def finished(trial, tmp_path_factory):
    """A finished run that tests damage."""
    home = Folder(tmp_path_factory.mktemp("finished"))
    plan = alone(YAML(typ="safe", pure=True).load(SAMPLE.read_text(encoding="utf-8")))
    plan["data"]["children"]["expected_rows"] = [1, 100_000]
    out = home.home / "out"
    home.load(plan, trial[150]).run(out=out, draft=True)
    return out


FIELDS = [
    "plan",
    "plan.file",
    "plan.sha256",
    "draft",
    "lock",
    "run",
    "run.log_entry",
    "files",
    "files.children",
    "outputs",
    "environment",
]


@pytest.mark.parametrize("field", FIELDS)
def test_a_damaged_record_of_a_run_is_an_error_not_a_traceback(finished, field):
    content = (finished / "run.json").read_text(encoding="utf-8")
    *parents, last = field.split(".")
    try:
        for value in ("gone", None, [], {}, "x", -1):
            damaged = json.loads(content)
            inner = damaged
            for name in parents:
                inner = inner[name]
            inner[last] = value
            if value == "gone":
                del inner[last]
            (finished / "run.json").write_text(json.dumps(damaged), encoding="utf-8")
            try:
                verdict = verify_run(finished)
            except WwcError as error:
                assert "run.json is damaged" in str(error) or "is not there" in str(error)
            else:
                # a draft has no lock, and another environment is a note
                assert not verdict.ok or field in {"lock", "environment"}
    finally:
        (finished / "run.json").write_text(content, encoding="utf-8")


def test_a_report_forged_with_its_hash_is_found_by_the_log(finished):
    page, record = finished / "report.html", finished / "run.json"
    before = page.read_bytes(), record.read_bytes()
    page.write_bytes(before[0].replace(b"</body>", b"<p>It works.</p></body>"))
    run = json.loads(before[1])
    run["outputs"]["report.html"] = hashlib.sha256(page.read_bytes()).hexdigest()
    record.write_text(json.dumps(run), encoding="utf-8")
    verdict = verify_run(finished)
    page.write_bytes(before[0])
    record.write_bytes(before[1])
    assert "report.html is not the one that the log recorded" in str(verdict)


def test_a_draft_cannot_pass_as_confirmatory(finished):
    record = finished / "run.json"
    before = record.read_bytes()
    record.write_text(json.dumps(json.loads(before) | {"draft": False}), encoding="utf-8")
    verdict = verify_run(finished)
    record.write_bytes(before)
    assert "the log calls this a draft run" in str(verdict)


def test_a_pattern_that_is_none_is_found_before_the_run(folder, plan, trial):
    plan["data"]["children"]["columns"]["child_id"]["pattern"] = "(["
    assert any("not a regular expression" in line for line in folder.check(plan, trial[150]))


# --- sentences


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("perfectly in 9 of 227 rows.", "perfectly in <10 of 227 rows."),
        ("in all 4 rows used", "in all <10 rows used"),
        ("1,204 of 1,213 rows", "1,204 of 1,213 rows"),
        ("12 rows for 3 coefficients", "12 rows for 3 coefficients"),
        ("no complete row is left of 7 for y", "no complete row is left of <10 for y"),
        ("5 of 8 rows", "<10 of <10 rows"),
        ("9 clusters", "9 clusters"),
        ("0 rows", "0 rows"),
    ],
)
def test_guarded(text, shown):
    assert guarded(text, DisclosureRule(threshold=10)) == shown


def test_reasons_hold_no_value_of_the_data():
    error = WwcError("'x' is odd in all 3 rows", value="missing: sex 6", fix="mend it")
    assert reason_of(error, DisclosureRule(threshold=10)) == (
        "a column that must vary is the same in all rows used. Fix: mend it."
    )
    assert "sex 6" in reason_of(error, DisclosureRule(threshold=0))
