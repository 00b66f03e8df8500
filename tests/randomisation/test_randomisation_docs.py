"""The page on randomisation, and the docstrings of its schemes and record, show only what is true."""

import doctest
import importlib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "randomisation.md"
MODULES = (
    "accepted", "count_tables", "covariates", "enrolment", "ledger", "masking", "matching", "schemes.constrained",
    "schemes.matched", "schemes.minimisation", "schemes.rerandomised", "verification",
)  # fmt: skip


def test_examples_run():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert tried > 5


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_run(name):
    module = importlib.import_module(f"wwc_eval.randomisation.{name}")
    failed, tried = doctest.testmod(module)
    assert failed == 0
    assert tried > 0
