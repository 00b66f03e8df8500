"""The examples of the page on regression estimators, and of their docstrings, run as they stand."""

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "did_regression.md"
MODULES = (
    "bacon",
    "event_study",
    "extended_twfe",
    "imputation",
    "stacked",
    "sun_abraham",
    "triple",
    "two_stage",
    "two_way",
)


def test_examples_of_the_page():
    assert doctest.testfile(str(PAGE), module_relative=False).failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_docstrings(name):
    module = importlib.import_module(f"wwc_eval.did.{name}")
    found = doctest.testmod(module, extraglobs={"np": np})
    assert found.attempted
    assert found.failed == 0
