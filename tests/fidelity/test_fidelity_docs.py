"""The page on fidelity shows only what is true: its examples run, its table is the record, the record can be made again."""

from __future__ import annotations

import doctest
import importlib
import json
from pathlib import Path

import band_study
import pytest
from click.testing import CliRunner

from wwc_eval.commands.fidelity import command
from wwc_eval.data.samples import fidelity_ratings
from wwc_eval.data.samples.fidelity_page import RATING_COLUMNS
from wwc_eval.data.samples.writing import FIDELITY_SEED

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/methods/fidelity.md"
RECORD = json.loads(band_study.RECORD.read_text(encoding="utf-8"))
WORDS = {"case": "cases", "worker": "workers", "team": "teams", "la": "authorities"}
MODULES = (
    "specification.specification",
    "scoring.scores",
    "scoring.joint",
    "benchmarking.change",
    "benchmarking.funnel",
    "benchmarking.league",
    "benchmarking.random_effects",
    "benchmarking.ranks",
)


def table(record: dict) -> str:
    """The record as the page shows it."""
    lines = ["| Authorities | Trials | Level | 95% intervals that hold | Stated | Probability | Right |"]
    lines.append("| ---: | ---: | :--- | ---: | ---: | ---: | ---: |")
    for authorities in sorted(record["runs"], key=int):
        run = record["runs"][authorities]
        for level in reversed(band_study.SPEC.units):
            total = run["levels"][level]
            shares = (
                total["held"] / total["units"],
                total["stated"] / total["units"],
                total["probability"] / total["stated"],
                total["right"] / total["stated"],
            )
            cells = " | ".join(f"{100 * share:.1f}%" for share in shares)
            lines.append(f"| {authorities} | {run['reps']} | {WORDS[level]} | {cells} |")
    return "\n".join(lines)


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_examples_run():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert tried > 15


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_run(name):
    failed, tried = doctest.testmod(importlib.import_module(f"wwc_eval.fidelity.{name}"))
    assert failed == 0
    assert tried > 0


def test_the_table_is_the_record():
    assert table(RECORD) in PAGE.read_text(encoding="utf-8")


@pytest.mark.simulation
@pytest.mark.parametrize("authorities", sorted(RECORD["runs"], key=int))
def test_stated_confidence_is_within_three_points(authorities):
    for level, total in RECORD["runs"][authorities]["levels"].items():
        gap = 100 * (total["right"] - total["probability"]) / total["stated"]
        assert abs(gap) < 3, level
        if int(authorities) >= 12:
            assert 0.93 < total["held"] / total["units"] < 0.97, level


@pytest.mark.simulation
def test_the_record_can_be_made_again():
    total = band_study.sums(12, 4, seed=77)["case"]
    assert total["units"] == 4 * 432
    assert abs(total["right"] - total["probability"]) / total["stated"] < 0.06
    assert 0.90 < total["held"] / total["units"] < 0.98


def test_the_ratings_are_made_again_byte_for_byte():
    from wwc_eval.data.samples.writing import _fidelity_texts

    for name, text in _fidelity_texts().items():
        assert (ROOT / "sample_data" / name).read_bytes() == text.encode("utf-8")
    header = (ROOT / "sample_data/fidelity_ratings.csv").read_text().splitlines()[0]
    assert header.split(",") == [entry.name for entry in RATING_COLUMNS]


def test_the_ratings_are_of_twelve_authorities_with_a_fifth_judged_twice():
    ratings = fidelity_ratings(FIDELITY_SEED)
    assert ratings["local_authority"].nunique() == 12
    raters = ratings.dropna(subset=["rater"]).groupby("case")["rater"].nunique()
    assert 0.15 < (raters == 2).mean() < 0.25
    assert {"NA", "NR", "NS"} <= set(ratings["value"])


def test_the_command_scores_and_writes(tmp_path):
    spec, ratings = "sample_data/specifications/safety_planning.yaml", str(tmp_path / "ratings.csv")
    lines = (ROOT / "sample_data/fidelity_ratings.csv").read_text().splitlines()
    kept = [line for line in lines[1:] if line.split(",")[3] in {"Greywold", "Eldermoor", "Coldfleet"}]
    (tmp_path / "ratings.csv").write_text("\n".join([lines[0], *kept]) + "\n")
    shown = CliRunner().invoke(command, [spec])
    assert shown.exit_code == 0
    assert "safety_planning 1.0.0" in shown.output
    scored = CliRunner().invoke(command, [spec, ratings, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert scored.exit_code == 0
    assert "Greywold" in scored.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"bands.csv", "scores_case.csv", "alerts.csv", "heatmap.png", "funnel.png"} <= names
    (tmp_path / "ratings.csv").write_text("\n".join([lines[0], kept[0].replace("harm_statement", "harm")]) + "\n")
    faulty = CliRunner().invoke(command, [spec, ratings])
    assert "ratings.csv, row 2, column 'item' R05" in str(faulty.exception)
    schema = CliRunner().invoke(command, [spec, "--schema"])
    assert json.loads(schema.output)["title"] == "wwc_eval fidelity specification"
    assert CliRunner().invoke(command, [spec, "--by", "team"]).exit_code == 2
