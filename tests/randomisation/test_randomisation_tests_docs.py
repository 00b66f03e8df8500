"""The examples of the page on randomisation tests run as they stand."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "randomisation_tests.md"


def test_examples():
    assert doctest.testfile(str(PAGE), module_relative=False).failed == 0
