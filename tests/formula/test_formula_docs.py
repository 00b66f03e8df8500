"""The page on formulas shows only what is true: its examples run, its tables parse."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from wwc_eval.formula import parse_condition, parse_formula

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "formula.md"
ROW = re.compile(r"^\| (`+ ?)(?P<text>.+?) ?`+ \| ", re.MULTILINE)


def _written(heading):
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    return [found["text"].replace("\\|", "|").strip() for found in ROW.finditer(section)]


def test_examples_run():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert tried > 10


FORMULAS = _written("What a formula may hold")
CONDITIONS = _written("What a condition may hold")


def test_the_tables_were_found():
    assert len(FORMULAS) > 20
    assert len(CONDITIONS) > 7


@pytest.mark.parametrize("text", FORMULAS)
def test_every_formula_of_the_table_is_read(text):
    assert parse_formula(text).columns


@pytest.mark.parametrize("text", CONDITIONS)
def test_every_condition_of_the_table_is_read(text):
    assert parse_condition(text).columns


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("y ~ arm - 1", "y ~ 0 + arm"),
        ("y ~ arm*sex", "y ~ arm + sex + arm:sex"),
        ("y ~ arm + (arm | la)", "y ~ arm + (1 + arm | la)"),
    ],
)
def test_what_the_table_calls_the_same(one, same):
    assert parse_formula(one) == parse_formula(same)
