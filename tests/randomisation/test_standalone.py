"""The standalone script, which shares no code with the package, derives every allocation again."""

from __future__ import annotations

import ast
import csv
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_cases import CASES, SEED, allocate, teams

import wwc_eval as we
from wwc_eval.errors import DesignError
from wwc_eval.randomisation import standalone, write_receipt
from wwc_eval.randomisation.standalone.verify import main

FOLDER = Path(standalone.__file__).parent


@pytest.fixture
def written(tmp_path):
    def write(name):
        allocation = allocate(name)
        write_receipt(allocation.receipt, tmp_path / "receipt.json")
        teams().sample(frac=1, random_state=3).to_csv(tmp_path / "teams.csv", index=False)
        return allocation, [str(tmp_path / "receipt.json"), str(tmp_path / "teams.csv"), "--seed", SEED]

    return write


@pytest.mark.parametrize("name", CASES)
def test_every_scheme_is_derived_again(written, name, tmp_path, capsys):
    allocation, arguments = written(name)
    assert main([*arguments, "--out", str(tmp_path / "out.csv")]) == 0, capsys.readouterr().out
    with (tmp_path / "out.csv").open(encoding="utf-8") as handle:
        rows = list(csv.reader(handle))
    table = allocation.table
    got = table[allocation.bound.column].astype(str)
    assert rows[1:] == [list(pair) for pair in zip(table["team"], got, strict=True)]
    assert main([*arguments[:-1], "another seed"]) == 1
    assert "seed" in capsys.readouterr().out


def test_it_runs_as_files_of_their_own_without_the_package(written, tmp_path):
    _, arguments = written("constrained")
    folder = tmp_path / "audit"
    folder.mkdir()
    for name in ("verify.py", "draws.py", "scores.py"):
        shutil.copy(FOLDER / name, folder)
    # -I and -S: no site-packages, no path of ours
    run = subprocess.run(
        [sys.executable, "-S", "-E", str(folder / "verify.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Verified: the allocation of 14 units" in run.stdout


def test_it_imports_the_standard_library_alone():
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                ours = name.startswith("wwc_eval.randomisation.standalone.") or top in {"draws", "scores"}
                assert top in sys.stdlib_module_names or ours, name


def test_a_changed_cut_off_is_found(written, tmp_path, capsys):
    from wwc_eval.randomisation.receipt import sealed

    allocation, arguments = written("constrained")
    changed = allocation.receipt
    changed["derived"] = {**changed["derived"], "cutoff": changed["derived"]["cutoff"] - 1}
    write_receipt(sealed(changed), tmp_path / "receipt.json")
    assert main(arguments) == 1
    assert "cut-off" in capsys.readouterr().out


def test_ledger_is_checked(written, tmp_path, capsys):
    allocation, arguments = written("stratified")
    ledger = we.Ledger(tmp_path / "ledger.jsonl")
    entry = ledger.append(allocation, by="A. Statistician")
    write_receipt(entry.receipt, tmp_path / "receipt.json")
    arguments += ["--ledger", str(ledger.path)]
    assert main(arguments) == 0
    ledger.mark_in_error(entry, reason="two teams had merged")
    assert main(arguments) == 1
    assert "two teams had merged" in capsys.readouterr().out
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole.replace(b"A. Statistician", b"B. Statistician"))
    assert main(arguments) == 1
    ledger.path.write_bytes(b"")
    assert main(arguments) == 1
    assert "not in the ledger" in capsys.readouterr().out


@pytest.mark.parametrize("field", ["team", "la", "size"])
def test_changed_unit_lists_are_found(written, tmp_path, field, capsys):
    _, arguments = written("constrained_by")
    frame = teams()
    frame[field] = frame[field].astype(object)
    frame.loc[4, field] = {"team": "T99", "la": "Leeds", "size": 999}[field]
    frame.to_csv(tmp_path / "teams.csv", index=False)
    assert main(arguments) == 1
    assert "unit list" in capsys.readouterr().out


@pytest.mark.property
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(3, 9), min_size=2, max_size=7),
    st.sampled_from([(1, 1), (1, 2), (1, 1, 1), (3, 2, 1), (1, 1, 1, 1)]),
    st.sampled_from(["balanced", "global", "within_stratum", "pairs", "constrained"]),
    st.text(min_size=1, max_size=8),
)
def test_random_trials_are_derived_again(tmp_path_factory, sizes, ratio, how, seed):
    folder = tmp_path_factory.mktemp("trial")
    n = sum(sizes)
    frame = pd.DataFrame(
        {
            "unit": [f"u{i}" for i in range(n)],
            "la": [f"la{i}" for i, size in enumerate(sizes) for _ in range(size)],
            "x": [(i * 7919) % 101 / 8 for i in range(n)],
        }
    )
    method = {
        "pairs": we.MatchedPairs(on="x", by="la"),
        "constrained": we.Constrained(on="x", by="la", accept=0.4),
    }.get(how) or we.Stratified(by="la", misfits=how)
    if how == "constrained" and n > 14:
        return
    arms = {f"arm {i}": part for i, part in enumerate(ratio)}
    try:
        allocation = we.randomise(frame, unit="unit", arms=arms, method=method, seed=seed)
    except DesignError:
        return
    write_receipt(allocation.receipt, folder / "receipt.json")
    frame.to_csv(folder / "units.csv", index=False)
    raw = unicodedata.normalize("NFC", seed).encode()
    assert main([str(folder / "receipt.json"), str(folder / "units.csv"), "--seed-hex", raw.hex()]) == 0
