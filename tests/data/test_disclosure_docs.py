"""The examples on the pages about disclosure control and the sample data are what the code does."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "methods"


@pytest.mark.parametrize("name", ["disclosure.md", "sample_data.md"])
def test_the_examples_of_the_page_are_true(name):
    failed, tried = doctest.testfile(str(PAGES / name), module_relative=False, encoding="utf-8")
    assert tried >= 4
    assert failed == 0
