"""Fields of a plan: unknown, missing or of the wrong kind, each refused with its line and a fix; the JSON Schema."""

from __future__ import annotations

import json

import pytest

from wwc_eval.errors import PlanError
from wwc_eval.plans import Plan
from wwc_eval.plans.schema import json_schema

# id: (old, new, code, piece on the line named, words of the message or fix)
HOSTILE = {
    "unknown field at the top": ("title: Family", "titel: Family", "S01", "titel:", "did you mean 'title'"),
    "unknown field in design": ("  kind: individual", "  kinds: individual", "S01", "kinds:", "did you mean 'kind'"),
    "unknown field in a column": ("{type: text}", "{type: text, lable: x}", "S01", "lable", "did you mean 'label'"),
    "unknown field in an analysis": ("    family: binomial", "    famly: binomial", "S01", "famly", "did you mean"),
    "unknown field in inference": ("{vcov: CR1S,", "{vcvo: CR1S,", "S01", "vcvo", "did you mean 'vcov'"),
    "unknown field in an outcome": ("better: lower\n", "beter: lower\n", "S01", "beter", "did you mean 'better'"),
    "comma inside braces": (
        '{name: "synthetic example, not registered"}',
        "{name: synthetic example, not registered}",
        "S01",
        "registry:",
        "quotes",
    ),
    "missing title": ("title: Family conferencing before care proceedings\n", "", "S02", "schema_version", "title"),
    "missing estimand": ("estimand:\n", "estimands:\n", "S02", "schema_version", "estimand"),
    "missing file": (
        "    file: ../sample_data/family_conferencing_trial.csv\n",
        "",
        "S02",
        "grain: one row",
        "Path relative",
    ),
    "missing reason": (", reason: aged 18 or over at referral}", "}", "S02", "rule: age >= 18", "reason"),
    "missing why": (", why: proceedings at birth follow another path}", "}", "S02", "id: infants", "why"),
    "missing model": ("    model: regression\n", "", "S02", "id: primary", "model"),
    "schema version of another kind": ("schema_version: 1", "schema_version: 2", "S03", "schema_version: 2", "1"),
    "schema version as text": ("schema_version: 1", 'schema_version: "1"', "S03", "schema_version", "1"),
    "id with a space": ("id: family-conferencing-trial", "id: family trial", "S03", "id: family trial", "pattern"),
    "id as a number": ("id: family-conferencing-trial", "id: 17", "S03", "id: 17", "quotes"),
    "title empty": ("title: Family conferencing before care proceedings", 'title: ""', "S03", 'title: ""', "at least 1"),
    "title as a list": ("title: Family conferencing before care proceedings", "title: [a]", "S03", "title: [a]", "string"),
    "question null": (
        "question: Does offering a family conference before proceedings reduce the share of children in care a year later?",
        "question:",
        "S03",
        "question:",
        "string",
    ),
    "unknown kind": ("kind: individual", "kind: factorial", "S03", "kind: factorial", "'individual', 'cluster'"),
    "arms as a list": ("arms: {usual: 1, conference: 1}", "arms: [usual, conference]", "S03", "arms: [", "dictionary"),
    "one arm": ("arms: {usual: 1, conference: 1}", "arms: {usual: 1}", "S03", "arms: {usual: 1}", "at least two arms"),
    "share as text": ("conference: 1}", 'conference: "1"}', "S03", "arms: {", "integer"),
    "share as a fraction": ("conference: 1}", "conference: 1.5}", "S03", "arms: {", "integer"),
    "share as a boolean": ("conference: 1}", "conference: true}", "S03", "arms: {", "integer"),
    "alpha as text": ("alpha: 0.05", "alpha: five", "S03", "alpha: five", "valid"),
    "sides of three": ("sides: 2", "sides: 3", "S03", "sides: 3", "1 or 2"),
    "unknown type of column": ("child_id:          {type: text}", "child_id: {type: string}", "S03", "child_id:", "'text'"),
    "levels as text": ("levels: [usual, conference]", "levels: usual", "S03", "levels: usual", "list"),
    "levels as numbers": ("levels: [female, male]", "levels: [1, 2]", "S03", "levels: [1, 2]", "quotes"),
    "levels yes and no stay text": ("levels: [female, male]", "levels: [true, false]", "S03", "[true", "quotes"),
    "minimum as text": ("min: 0, max: 18", "min: zero, max: 18", "S03", "min: zero", "min"),
    "missing codes as text": ('missing: ["", not known]', "missing: not known", "S03", "missing: not known", "list"),
    "baseline as a word": ("label: age, baseline: true", "label: age, baseline: yes", "S03", "label: age", "boolean"),
    "expected rows as a number": ("expected_rows: [2200, 2800]", "expected_rows: 2500", "S03", "expected_rows", "list"),
    "expected rows of three": ("[2200, 2800]", "[2200, 2500, 2800]", "S03", "expected_rows", "at most 2"),
    "padded column name": ("key: [child_id]", 'key: ["child_id "]', "S03", "key:", "begins or ends with a space"),
    "data without files": ("data:\n  children:", "data:\n  x: 1\n  children:", "S03", "x: 1", "dictionary"),
    "unknown role": ("role: primary", "role: main", "S03", "role: main", "'primary'"),
    "unknown direction": ("better: lower\n", "better: less\n", "S03", "better: less", "'lower'"),
    "unknown outcome type": ("type: binary\n", "type: yes-no\n", "S03", "type: yes-no", "'binary'"),
    "window without months": ("{from: randomisation, months: 12}", "{from: randomisation}", "S02", "window", "months"),
    "unknown model": ("model: regression", "model: regresion", "S03", "model: regresion", "regression"),
    "unknown family": ("family: binomial", "family: logit", "S03", "family: logit", "'binomial'"),
    "unknown errors": ("vcov: CR1S", "vcov: robust", "S03", "vcov: robust", "'HC2'"),
    "unknown effect measure": ("report: [risk_difference, risk", "report: [rd, risk", "S03", "report: [rd", "'risk_diff"),
    "report as text": ("report: [rate_ratio]", "report: rate_ratio", "S03", "report: rate_ratio", "list"),
    "unknown missing-data method": ("method: missing_indicator", "method: locf", "S03", "method: locf", "'complete"),
    "empty change": ("change: {family: gaussian, report: [risk_difference]}", "change: {}", "S03", "change: {}", "at least"),
    "unknown adjustment": ("method: holm", "method: tukey", "S03", "method: tukey", "'holm'"),
    "unknown profile": ("profile: dfe", "profile: dff", "S03", "profile: dff", "'dfe'"),
    "negative threshold": ("threshold: 10", "threshold: -1", "S03", "threshold: -1", "greater than or equal to 0"),
    "threshold as a fraction": ("threshold: 10", "threshold: 9.5", "S03", "threshold: 9.5", "integer"),
    "deviations as text": ("deviations: []", "deviations: none", "S03", "deviations: none", "list"),
    "deviation without a reason": (
        "deviations: []",
        "deviations: [{id: d1, field: x, who: A, when: 2026-01-01, knowledge: no data, impact: none}]",
        "S02",
        "deviations:",
        "reason",
    ),
    "deviation on no day": (
        "deviations: []",
        "deviations: [{id: d1, field: x, who: A, when: 2026-02-30, knowledge: no data, reason: r, impact: i}]",
        "S03",
        "deviations:",
        "YYYY-MM-DD",
    ),
    "no analyses": (
        "sensitivity:\n",
        "analyses_: 1\nsensitivity:\n",
        "S01",
        "analyses_",
        "analyses",
    ),
    "registration on no day": (
        'registry: {name: "synthetic example, not registered"}',
        "registry: {name: OSF, date: 15/01/2026}",
        "S03",
        "registry:",
        "pattern",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_plan_is_refused_in_its_place(case, project):
    old, new, code, piece, words = HOSTILE[case]
    project.edit((old, new))
    with pytest.raises(PlanError) as caught:
        project.load()
    line = project.line_of(piece)
    found = [p for p in caught.value.problems if p.code == code and p.place.line == line]
    assert found, caught.value
    assert any(words in str(problem) for problem in found), caught.value


def test_every_fault_at_once(project):
    cases = ("unknown family", "sides of three", "unknown role", "negative threshold")
    with pytest.raises(PlanError) as caught:
        project.edit(*(HOSTILE[case][:2] for case in cases)).load()
    assert len(caught.value.problems) == 4
    assert "problems" in str(caught.value)


@pytest.mark.parametrize("name", ["plan.txt", "plan", "plan.json"])
def test_other_endings_are_refused(name, tmp_path):
    (tmp_path / name).write_text("a: 1")
    with pytest.raises(PlanError, match=r"\.yaml"):
        Plan.load(tmp_path / name)


def test_a_missing_plan_and_a_folder_are_plan_errors(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    for name in ("none.yaml", "folder.yaml"):
        with pytest.raises(PlanError, match="cannot read the plan"):
            Plan.load(tmp_path / name)


def test_json_schema_accepts_the_sample_plan_and_refuses_faults(project):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(json.dumps(json_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    data = json.loads(json.dumps(project.load().data))
    assert list(validator.iter_errors(data)) == []
    data["design"]["kindd"] = 1
    data["analyses"][0]["family"] = "logit"
    assert {error.path[0] for error in validator.iter_errors(data)} == {"design", "analyses"}


def test_json_schema_describes_its_fields():
    text = json.dumps(json_schema())
    assert "Path relative to this plan" in text
    assert text.count('"description"') > 60
