"""The examples of the page on inference run as they stand, and its tables are those of the record."""

import doctest
import json
from pathlib import Path

import did_size_study as study

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "did_inference.md"


def test_examples():
    assert doctest.testfile(str(PAGE), module_relative=False).failed == 0


def test_tables_are_the_record():
    page = PAGE.read_text()
    record = json.loads(study.RECORD.read_text())
    for table in study.tables(record):
        assert "\n".join(table) in page
    counts = {row["where"] == "all": row["reps"] for row in record["rows"]}
    assert f"{counts[True]:,} trials a line" in page
    assert f"{3 * counts[False]:,} trials a line" in page
