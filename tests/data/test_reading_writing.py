"""CSV out: harmless in a spreadsheet, exact, and whole or not there."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_eval.data import read_table, write_csv
from wwc_eval.errors import DataError


def written(frame: pd.DataFrame, folder: Path) -> str:
    write_csv(frame, folder / "out.csv")
    return (folder / "out.csv").read_bytes().decode("utf-8")


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        '=HYPERLINK("http://example.org")',
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "-x",
        "--1",
        "+44 20 7946 0000",
        "-1,5",
        "-0x10",
        "-inf",
        "＝1+1",
        "＋1",
        "－1",
        "＠x",
    ],
)
def test_formulas_are_neutralised(cell: str, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_csv(pd.DataFrame({"id": ["1"], "v": [cell], "w": pd.Categorical([cell])}), path)
    frame = read_table(path)
    assert frame["v"].tolist() == frame["w"].tolist() == [f"'{cell}"]


@pytest.mark.parametrize("cell", ["-1", "-1.5", "-.5", "-1e-05", "-", "x=1", "a-b", "'=1", "1-2"])
def test_what_is_no_formula_is_not_touched(cell: str, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_csv(pd.DataFrame({"id": ["1"], "v": [cell]}), path)
    assert read_table(path)["v"].tolist() == [cell]


def test_headers_are_neutralised(tmp_path: Path) -> None:
    assert written(pd.DataFrame({"=a": [1], "b": [2]}), tmp_path) == "'=a,b\n1,2\n"


def test_values(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None], dtype="Int64"),
            "f": [0.1 + 0.2, np.nan],
            "b": [True, False],
            "nb": pd.array([True, None], dtype="boolean"),
            "d": pd.to_datetime(["2024-02-29", None]),
            "o": [dt.date(2024, 1, 2), None],
            "t": ['Zoë, "4"', "two\nlines"],
            "c": pd.Categorical(["x", None]),
            "n": [-3, 12345678901234567],
        },
        index=[7, 8],
    )
    assert written(frame, tmp_path) == (
        "i,f,b,nb,d,o,t,c,n\n"
        '1,0.30000000000000004,1,1,2024-02-29,2024-01-02,"Zoë, ""4""",x,-3\n'
        ',,0,,,,"two\nlines",,12345678901234567\n'
    )


def test_times_are_kept(tmp_path: Path) -> None:
    frame = pd.DataFrame({"d": pd.to_datetime(["2024-02-29 10:30"])})
    assert written(frame, tmp_path) == "d\n2024-02-29T10:30:00\n"


def test_an_old_file_stays_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old\n")

    def fail(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DataError, match=r"D52.*No space left") as caught:
        write_csv(pd.DataFrame({"a": [1]}), path)
    assert caught.value.problems[0].fix
    assert path.read_text() == "old\n"
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_csv(pd.DataFrame({"a": [1]}), tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="D52"):
        write_csv(pd.DataFrame({"a": [1]}), tmp_path / "nowhere" / "out.csv")


def test_file_is_replaced_and_the_frame_is_not_changed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["=1"]})
    written(frame, tmp_path)
    assert written(pd.DataFrame({"a": ["x"]}), tmp_path) == "a\nx\n"
    assert frame["a"].tolist() == ["=1"]
