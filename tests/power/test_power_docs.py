"""The page on power shows only what is true, and so do the docstrings of nested trials."""

import doctest
import importlib
import json
from pathlib import Path

import pytest
from power_study import RECORD

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "power.md"
MODULES = (
    "arms",
    "assurance",
    "beliefs",
    "checks",
    "contrasts",
    "correlation",
    "design_effects",
    "events",
    "explain",
    "grids",
    "kernels",
    "level",
    "outcomes",
    "parts",
    "priors",
    "roots",
    "stages",
    "trial",
)


def test_examples_run():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert tried > 10


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_run(name):
    failed, tried = doctest.testmod(importlib.import_module(f"wwc_eval.power.{name}"))
    assert failed == 0
    assert tried > 0


def test_table_is_the_record():
    page = PAGE.read_text(encoding="utf-8")
    for row in json.loads(Path(RECORD).read_text(encoding="utf-8"))["rows"]:
        power, found = 100 * row["formula"], 100 * row["simulated"]
        assert f"| {row['study']} | {power:.1f} | {found:.1f} | {power - found:+.1f} |" in page
