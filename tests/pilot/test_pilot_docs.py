"""The page on pilots and the docstrings of the room show only what is true."""

import doctest
import importlib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "pilot.md"


def test_examples_run():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert tried > 10


@pytest.mark.parametrize(
    "name",
    [
        "criteria",
        "flow",
        "intervals",
        "judgement",
        "operating",
        "planning",
        "rates",
        "recruitment",
        "sizes",
        "variation",
    ],
)
def test_docstrings_run(name):
    failed, tried = doctest.testmod(importlib.import_module(f"wwc_eval.pilot.{name}"))
    assert failed == 0
    assert tried > 0


def test_names_of_the_room_are_no_modules():
    """A function named like its module would be hidden by it once the module is imported."""
    import wwc_eval.pilot as room

    modules = {path.stem for path in Path(room.__file__).parent.glob("*.py")}
    assert not modules & set(room.__all__)
