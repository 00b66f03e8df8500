"""Declarations of columns: what they may say, what contradicts itself, and the pandera schema they yield."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import wwc_eval
from wwc_eval.data import ColumnSpec, local_authority_key, pandera_schema, read_table
from wwc_eval.data.findings import CODES, column_letter
from wwc_eval.data.names import meant_authority, other_spellings
from wwc_eval.errors import DataError

pandera_errors = pytest.importorskip("pandera.errors")


def test_parse_takes_a_type_a_mapping_or_a_declaration() -> None:
    spec = ColumnSpec.parse("age", "integer")
    assert spec == ColumnSpec.parse("age", {"type": "integer"}) == ColumnSpec.parse("age", spec)
    assert spec.required
    assert not spec.unique


def test_fields_take_their_form() -> None:
    spec = ColumnSpec.parse("year", {"type": "category", "levels": [2023, "2024"], "missing": ["", -9]})
    assert spec.levels == ("2023", "2024")
    assert spec.missing == ("", "-9")
    spec = ColumnSpec.parse("seen", {"type": "date", "min": dt.date(2024, 1, 1), "max": "2024-12-31"})
    assert (spec.min, spec.max) == ("2024-01-01", "2024-12-31")


def test_rule_says_everything_in_words() -> None:
    spec = ColumnSpec.parse(
        "age", {"type": "integer", "min": 0, "max": 17, "units": "years", "missing": ["", "nk"]}
    )
    assert spec.rule == 'integer, from 0 to 17 years, missing: "", "nk"'
    assert ColumnSpec.parse("d", {"type": "date", "format": "%d/%m/%Y", "min": "2020-01-01"}).rule == (
        "date, written %d/%m/%Y, at least 2020-01-01"
    )


def test_declarations_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ColumnSpec(name="a", type="text").type = "integer"  # type: ignore[misc]


INVALID: list[tuple[str, Any, str]] = [
    ("unknown type", "integr", "did you mean 'integer'"),
    ("type of another language", {"type": "int64"}, "type"),
    ("type that is no text", {"type": 3}, "type == 3"),
    ("no type", {"min": 0}, "no type"),
    ("nothing", None, "not a mapping"),
    ("a list", ["integer"], "not a mapping"),
    ("unknown field", {"type": "integer", "leves": 3}, "did you mean 'levels'"),
    ("field that is no text", {"type": "integer", 3: 4}, "no field 3"),
    ("name as a field", {"type": "integer", "name": "x"}, "no field 'name'"),
    ("category without levels", "category", "needs levels"),
    ("levels as text", {"type": "category", "levels": "usual"}, "must be a list"),
    ("level that is a truth value", {"type": "category", "levels": [True, False]}, "quotes"),
    ("level that is a fraction", {"type": "category", "levels": [0.5]}, "quotes"),
    ("level twice", {"type": "category", "levels": ["a", "b", "a"]}, "twice"),
    ("level padded", {"type": "category", "levels": ["a", "b "]}, "spaces around"),
    ("level blank", {"type": "category", "levels": ["a", ""]}, "blank"),
    ("level not in form NFC", {"type": "category", "levels": ["mo\u0302n"]}, "NFC"),
    ("levels of a number", {"type": "integer", "levels": ["1"]}, "means nothing"),
    ("level and code for missing", {"type": "category", "levels": ["a", "nk"], "missing": ["nk"]}, "both a level"),
    ("missing as text", {"type": "integer", "missing": "NA"}, "must be a list"),
    ("missing holds null", {"type": "integer", "missing": [None]}, "quotes"),
    ("limits crossed", {"type": "integer", "min": 5, "max": 4}, "above max"),
    ("limit as text", {"type": "integer", "min": "0"}, "without quotes"),
    ("limit not finite", {"type": "number", "max": float("inf")}, "finite"),
    ("limit that is a truth value", {"type": "number", "max": True}, "finite"),
    ("limit of text", {"type": "text", "min": 0}, "means nothing"),
    ("limit of a date not ISO", {"type": "date", "min": "01/02/2024"}, "ISO"),
    ("limit of a date as a number", {"type": "date", "min": 2024}, "ISO"),
    ("limits of dates crossed", {"type": "date", "min": "2024-02-01", "max": "2024-01-01"}, "above max"),
    ("form of text", {"type": "text", "format": "%Y"}, "means nothing"),
    ("form with two-digit years", {"type": "date", "format": "%d/%m/%y"}, "century"),
    ("form without year", {"type": "date", "format": "%d/%m"}, "each once"),
    ("form with year twice", {"type": "date", "format": "%Y-%m-%d %Y"}, "each once"),
    ("form with time", {"type": "date", "format": "%Y-%m-%d %H:%M"}, "%H"),
    ("form without directives", {"type": "date", "format": "ISO"}, "each once"),
    ("form ending in a percent sign", {"type": "date", "format": "%Y-%m-%d%"}, "cannot be used"),
    ("pattern of a number", {"type": "integer", "pattern": "[0-9]"}, "means nothing"),
    ("pattern broken", {"type": "text", "pattern": "[A-"}, "regular expression"),
    ("units of text", {"type": "text", "units": "years"}, "means nothing"),
    ("units that are no text", {"type": "integer", "units": 5}, "must be text"),
    ("required as text", {"type": "text", "required": "yes"}, "true or false"),
    ("unique as a number", {"type": "text", "unique": 1}, "true or false"),
]


@pytest.mark.parametrize(("declared", "word"), [case[1:] for case in INVALID], ids=[case[0] for case in INVALID])
def test_contradictions(declared: Any, word: str) -> None:
    with pytest.raises(DataError) as caught:
        ColumnSpec.parse("age", declared)
    assert word in str(caught.value)
    for problem in caught.value.problems:
        assert problem.code == "D50"
        assert problem.fix
        assert (problem.place.field or "").startswith("age")


@pytest.mark.parametrize("name", ["", " age", "mo\u0302n", 3, None])
def test_names(name: Any) -> None:
    with pytest.raises(DataError, match="D50"):
        ColumnSpec(name=name, type="text")


def test_every_contradiction_of_every_column_is_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_table(
            tmp_path / "nowhere.csv",
            {"a": {"type": "integer", "min": "x", "levels": ["b"]}, "c": "integr", "d": {"type": "text", "x": 1}},
        )
    assert [problem.place.field for problem in caught.value.problems] == ["a.min", "a.levels", "c.type", "d.x"]


@pytest.mark.parametrize("columns", [["a"], "a", {"integer"}, 3])
def test_columns_are_a_mapping(columns: Any) -> None:
    with pytest.raises(DataError, match="D51"):
        read_table("table.csv", columns)


def test_declaration_under_another_name() -> None:
    with pytest.raises(DataError, match="that of 'a'"):
        ColumnSpec.parse("b", ColumnSpec(name="a", type="text"))


COLUMNS = {
    "id": {"type": "text", "pattern": "[0-9]{5}", "unique": True},
    "age": {
        "type": "integer",
        "min": 0,
        "max": 17,
        "units": "years",
        "missing": [""],
        "description": "Age at referral",
    },
    "arm": {"type": "category", "levels": ["usual", "conference"]},
    "seen": {"type": "date"},
    "la": "local_authority",
    "care": "binary",
    "score": "number",
    "extra": {"type": "text", "required": False},
}


def test_schema_shows_the_declarations() -> None:
    schema = pandera_schema(COLUMNS, key=["id"])
    checks = {name: [check.name for check in column.checks] for name, column in schema.columns.items()}
    assert checks == {
        "id": ["type", "pattern", "unique"],
        "age": ["type", "min", "max"],
        "arm": ["type", "levels"],
        "seen": ["type", "min", "max"],
        "la": ["type", "spelling"],
        "care": ["type", "min", "max"],
        "score": ["type"],
        "extra": ["type"],
    }
    assert schema.unique == ["id"]
    assert schema.columns["age"].nullable
    assert not schema.columns["arm"].nullable
    assert not schema.columns["extra"].required
    assert schema.columns["age"].description == "Age at referral"
    assert schema.columns["age"].metadata["units"] == "years"


def test_what_is_read_satisfies_the_schema_and_what_is_changed_does_not(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(
        "id,age,arm,seen,la,care,score\n00001,4,usual,2024-01-02,Derby,0,1.5\n00002,,conference,2024-01-03,Kent,1,2\n"
    )
    frame = read_table(path, COLUMNS, key="id")
    schema = pandera_schema(COLUMNS, key=["id"])
    schema.validate(frame, lazy=True)
    changes = {
        "id": "1",
        "age": 18,
        "seen": pd.Timestamp("1850-01-01"),
        "care": 2,
        "la": "DERBY",
        "score": None,
    }
    for name, value in changes.items():
        changed = frame.copy()
        changed.loc[1, name] = value
        with pytest.raises(pandera_errors.SchemaErrors):
            schema.validate(changed, lazy=True)
    with pytest.raises(pandera_errors.SchemaErrors):
        schema.validate(frame.assign(id="00001"), lazy=True)
    with pytest.raises(pandera_errors.SchemaErrors):
        schema.validate(frame.assign(age=["4", "5"]), lazy=True)


def test_codes_are_unique_sentences() -> None:
    assert len(set(CODES.values())) == len(CODES)
    assert all(code[0] == "D" and code[1:].isdigit() and len(code) == 3 for code in CODES)


def test_every_code_is_used_and_documented() -> None:
    root = Path(wwc_eval.__file__).parents[1]
    own = [path for path in (root / "wwc_eval" / "data").glob("*.py") if path.name != "findings.py"]
    used = set(re.findall(r'"(D[0-9]{2})"', "".join(path.read_text(encoding="utf-8") for path in own)))
    assert set(CODES) <= used
    document = root / "docs" / "methods" / "reading.md"
    if not document.exists():
        pytest.skip("the installed package comes without its documentation")
    rows = dict(
        re.findall(r"^\| (D[0-9]{2}) \| (.+) \|$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    assert rows == CODES


def test_column_letters() -> None:
    assert [column_letter(i) for i in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]


# every line: spellings of one local authority; no two lines are the same one
SPELLINGS = [
    ["Bristol, City of", "Bristol", "City of Bristol", "BRISTOL CITY COUNCIL", "Bristol  City", "City and County of Bristol"],
    ["Kingston upon Hull, City of", "Kingston-upon-Hull", "Hull", "Hull City Council", "Kingston upon Hull"],
    ["Kingston upon Thames", "Royal Borough of Kingston upon Thames", "Kingston-upon-Thames"],
    ["Richmond upon Thames", "London Borough of Richmond upon Thames", "RICHMOND-UPON-THAMES"],
    ["Herefordshire, County of", "Herefordshire", "Herefordshire County Council"],
    ["County Durham", "Durham", "Durham County Council"],
    ["City of London", "London, City of", "City of London Corporation"],
    ["London"],
    ["Brighton and Hove", "Brighton & Hove", "Brighton &  Hove City Council"],
    ["Stoke-on-Trent", "Stoke on Trent", "Stoke-on-Trent City Council"],
    ["Newcastle upon Tyne", "Newcastle-upon-Tyne"],
    ["Newcastle-under-Lyme"],
    ["Telford and Wrekin", "Telford & Wrekin", "Telford and the Wrekin"],
    ["Bournemouth, Christchurch and Poole", "Bournemouth Christchurch & Poole"],
    ["Bournemouth"],
    ["Poole"],
    ["Windsor and Maidenhead", "Royal Borough of Windsor & Maidenhead"],
    ["St. Helens", "St Helens", "Saint Helens"],
    ["Westminster", "City of Westminster", "Westminster City Council"],
    ["King's Lynn", "Kings Lynn", "King’s Lynn"],
    ["Ynys Môn", "Ynys Mo\u0302n", "Ynys Mon"],
    ["Rotherham", "Rotherham Metropolitan Borough Council", "Rotherham MBC"],
    ["Bedford", "Bedford Borough", "Bedford Borough Council"],
    ["Central Bedfordshire"],
    ["Derby", "Derby City"],
    ["Derbyshire", "Derbyshire County Council"],
    ["Northamptonshire"],
    ["North Northamptonshire"],
    ["West Northamptonshire"],
    ["Isle of Wight", "Isle Of Wight Council"],
    ["Isles of Scilly", "Isles Of Scilly"],
    ["Cheshire West and Chester", "Cheshire West & Chester"],
    ["Cheshire East"],
    ["Blackburn with Darwen", "Blackburn With Darwen"],
    ["York", "City of York"],
    ["North Yorkshire"],
    ["East Riding of Yorkshire"],
    ["Southend-on-Sea", "Southend on Sea", "Southend-on-Sea City Council"],
    ["Council"],
]  # fmt: skip


@pytest.mark.parametrize("names", SPELLINGS, ids=[names[0] for names in SPELLINGS])
def test_spellings_of_one_authority_share_a_key(names: list[str]) -> None:
    assert len({local_authority_key(name) for name in names}) == 1
    assert all(local_authority_key(name) for name in names)


def test_different_authorities_have_different_keys() -> None:
    assert len({local_authority_key(names[0]) for names in SPELLINGS}) == len(SPELLINGS)


def test_meant_authority() -> None:
    known = ["Derby", "Derbyshire", "Kingston upon Hull, City of"]
    assert meant_authority("HULL", known) == "Kingston upon Hull, City of"
    assert meant_authority("derbyshire county council", known) == "Derbyshire"
    assert meant_authority("Leeds", known) is None


def test_other_spellings_prefer_the_common_then_the_first() -> None:
    assert other_spellings({"Hull": 1, "Kingston upon Hull": 3, "Derby": 2}) == {"Hull": "Kingston upon Hull"}
    assert other_spellings({"DERBY": 2, "Derby": 2}) == {"Derby": "DERBY"}
