"""The page on regression: its examples run, and its table is the committed record."""

import doctest
import json
from pathlib import Path

from inference_data import REFERENCE
from level_study import table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods" / "regression.md"


def test_examples_run():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert tried > 5
    assert failed == 0


def test_the_table_is_the_record():
    record = json.loads((REFERENCE / "inference_levels.json").read_text())
    assert table(record) in PAGE.read_text(encoding="utf-8")
    assert f"{record['repeats']:,} trials a line" in PAGE.read_text(encoding="utf-8")
