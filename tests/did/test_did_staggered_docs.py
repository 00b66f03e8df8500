"""The examples of the page on drawn roll-outs, and of their docstrings, run as they stand; its table is that of the record."""

import doctest
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import staggered_study as study

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "did_staggered.md"


def test_examples_of_the_page():
    assert doctest.testfile(str(PAGE), module_relative=False).failed == 0


@pytest.mark.parametrize("name", ["staggered", "staggered_errors"])
def test_examples_of_the_docstrings(name):
    module = importlib.import_module(f"wwc_eval.did.{name}")
    found = doctest.testmod(module, extraglobs={"np": np})
    assert found.attempted
    assert found.failed == 0


def test_the_table_is_the_record():
    page = PAGE.read_text(encoding="utf-8")
    record = json.loads(study.RECORD.read_text(encoding="utf-8"))
    assert "\n".join(study.table(record)) in page
    assert {row["reps"] for row in record["rows"]} == {4_000}
    assert "4,000 trials" in page
