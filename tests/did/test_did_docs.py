"""The page on panels and effects by cohort and period, and the docstrings of the panel, run as they stand."""

import doctest
import importlib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "did.md"
MODULES = ("area_means", "callaway", "composition", "panel", "panel_faults", "panel_merging", "panel_periods")


def test_examples_of_the_page_run():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert tried > 8


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_run(name):
    failed, tried = doctest.testmod(importlib.import_module(f"wwc_eval.did.{name}"))
    assert failed == 0
    assert tried > 0
