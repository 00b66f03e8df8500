"""Specifications: every planted fault is named with its place; hash, schema, conditions and worked examples."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from fidelity_faults import RATINGS, SPECIFICATION, named

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError

FOLDER = Path(__file__).parents[2] / "sample_data"
NAMES = ("safety_planning", "conversation_quality", "supported_employment", "team_around_the_family")
TEXT = (FOLDER / "specifications/safety_planning.yaml").read_text(encoding="utf-8")


def parse(text: str) -> we.FidelitySpecification:
    return we.FidelitySpecification.parse(text.encode("utf-8"), "practice.yaml")


SPEC = parse(TEXT)


@pytest.mark.parametrize("name", NAMES)
def test_worked_specifications_are_sound(name):
    spec = we.FidelitySpecification.load(FOLDER / f"specifications/{name}.yaml")
    assert spec.id == name
    assert len(spec.hash) == 64
    assert name in str(spec)
    assert sum(row["items"] for row in spec.table) == len(spec.document.items)


def test_at_least_sixty_faults_are_planted():
    assert len(SPECIFICATION) + len(RATINGS) >= 60


@pytest.mark.parametrize("name", SPECIFICATION)
def test_a_planted_fault_is_named_with_its_place(name):
    old, new, code, piece, word = SPECIFICATION[name]
    assert TEXT.count(old) >= 1
    text = TEXT.replace(old, new, 1)
    found = named(DesignError, lambda: parse(text), code, word)
    lines = text.splitlines()
    assert any(piece in lines[problem.place.line - 1] for problem in found if problem.place.line is not None), (
        found
    )
    assert all(str(problem).startswith("practice.yaml:") for problem in found)


def test_every_fault_of_a_file_with_many_is_named():
    planted = {
        name: SPECIFICATION[name]
        for name in (
            "item twice",
            "unknown unit of sufficiency",
            "weights that do not add up",
            "essential without a criterion",
            "gate that never closes",
            "respondent that nobody is",
            "target below the floor",
            "condition that is code",
            "band out of reach",
            "unknown coefficient",
            "instrument without a name",
        )
    }
    text = TEXT
    for old, new, *_ in planted.values():
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(DesignError) as caught:
        parse(text)
    codes = [problem.code for problem in caught.value.problems]
    assert all(code in codes for _, _, code, _, _ in planted.values())
    assert len(caught.value.problems) >= len(planted)


def test_conditions_are_never_run(tmp_path):
    marker = tmp_path / "ran"
    hostile = f"applies_if: \"__import__('pathlib').Path('{marker}').touch()\""
    with pytest.raises(DesignError):
        parse(TEXT.replace("applies_if: child_age >= 4", hostile))
    assert not marker.exists()


def test_the_hash_is_of_the_content():
    spec = parse(TEXT)
    same = parse("# another comment\n" + TEXT.replace("weight: 0.30", "weight:   0.3"))
    other = parse(TEXT.replace("min: 65", "min: 66"))
    assert spec.hash == same.hash != other.hash


def test_the_schema_names_every_block_and_takes_the_worked_specifications():
    schema = we.FidelitySpecification.json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert {"spec", "components", "items", "scoring"} <= set(schema["properties"])


def test_units_may_be_given_as_a_chain():
    chain = "units: {case: worker, worker: team, team: local_authority, local_authority: null}"
    spec = parse(TEXT.replace("units: [case, worker, team, local_authority]", chain))
    assert spec.units == ("case", "worker", "team", "local_authority")


def test_sums_must_have_the_range_that_they_say():
    text = (FOLDER / "specifications/supported_employment.yaml").read_text(encoding="utf-8")
    with pytest.raises(DesignError, match=r"add up to 25 to 125"):
        parse(text.replace("score_range: [25, 125]", "score_range: [0, 125]"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DesignError, match="cannot read"):
        we.FidelitySpecification.load(tmp_path / "none.yaml")
    with pytest.raises(DesignError, match=r"ends in \.yaml"):
        we.FidelitySpecification.load(tmp_path / "none.txt")


def ratings():
    """One case rated twice by two raters, and one that is rated once."""
    import pandas as pd

    rows = []
    for case, raters in (("C1", ("A", "B")), ("C2", ("A",))):
        for item in ("harm_statement", "scaling", "safety_goal", "child_tool"):
            rows += [(case, item, rater, "auditor", "1") for rater in raters]
        rows.append((case, "visits", "", "record", "4"))
    frame = pd.DataFrame(rows, columns=["case", "item", "rater", "respondent", "value"])
    frame.loc[frame["item"] == "harm_statement", "value"] = "3"
    return frame.assign(
        worker="W1", team="T1", local_authority="L1", child_age=7, date="2024-05-01", arm="intervention"
    )


@pytest.mark.parametrize("name", RATINGS)
def test_a_planted_fault_of_the_ratings_is_named_with_its_row(name):
    import pandas as pd

    row, column, value, code, word = RATINGS[name]
    frame = ratings().astype(object)
    if row is None:
        frame = pd.concat([frame, frame.tail(1)], ignore_index=True)
        row = len(frame) - 1
    else:
        row = int(frame.index[frame["item"] == row][0]) if isinstance(row, str) else row
        frame.loc[row, column] = value
    found = named(DataError, lambda: SPEC.score(frame), code, word)
    assert any(problem.place.row == row + 2 for problem in found), found


def test_missing_columns_and_empty_ratings_are_named():
    with pytest.raises(DataError) as caught:
        SPEC.score(ratings().drop(columns=["value", "team", "child_age", "respondent"]))
    assert {problem.place.column for problem in caught.value.problems} == {
        "value",
        "team",
        "child_age",
        "respondent",
    }
    with pytest.raises(DataError, match="no ratings"):
        SPEC.score(ratings().iloc[:0])


def test_every_fault_of_ratings_with_many_is_named():
    frame = ratings().astype(object)
    for row, column, value in ((0, "value", "9"), (3, "item", "nothing"), (5, "rater", ""), (7, "date", "soon")):
        frame.loc[row, column] = value
    with pytest.raises(DataError) as caught:
        SPEC.score(frame)
    assert [(problem.code, problem.place.row) for problem in caught.value.problems] == [
        ("R07", 2),
        ("R05", 5),
        ("R09", 7),
        ("R11", 9),
    ]


def test_ratings_are_not_changed():
    frame = ratings()
    before = copy.deepcopy(frame)
    SPEC.score(frame)
    assert frame.equals(before)
