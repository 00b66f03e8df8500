"""Receipts, verification, masked arms and the command that verifies."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from record_cases import CASES, SEED, allocate, teams

import wwc_eval as we
from wwc_eval.commands.verify_allocation import command
from wwc_eval.data.chain import canonical_json
from wwc_eval.errors import DesignError, LedgerError
from wwc_eval.randomisation import SealedKey, read_receipt, write_receipt
from wwc_eval.randomisation.receipt import sealed

KNOWN = json.loads(
    (Path(__file__).parents[1] / "reference" / "allocation_known_answers.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", CASES)
def test_every_scheme_verifies_from_json(name, tmp_path):
    allocation = allocate(name)
    write_receipt(allocation.receipt, tmp_path / "receipt.json")
    shuffled = teams().sample(frac=1, random_state=2).astype({"size": float, "la": "category"})
    verdict = we.verify_allocation(tmp_path / "receipt.json", shuffled, SEED)
    assert verdict.ok, verdict
    assert verdict.table.drop(columns="team").equals(allocation.table.drop(columns="team"))


@pytest.mark.reference
@pytest.mark.parametrize("name", CASES)
def test_allocations_and_receipts_stay_what_they_were(name):
    told = KNOWN["cases"][name]
    allocation = allocate(name)
    assert "".join(str(code) for code in allocation.codes) == told["codes"]
    assert allocation.receipt["sha256"] == told["receipt_sha256"]


@pytest.mark.property
def test_every_changed_byte_of_a_receipt_is_detected(tmp_path):
    path = tmp_path / "receipt.json"
    write_receipt(allocate("constrained").receipt, path)
    content = path.read_bytes()
    for position in range(0, len(content), 3):
        changed = bytearray(content)
        changed[position] ^= 1 << (position % 8)
        path.write_bytes(bytes(changed))
        with pytest.raises(LedgerError):
            read_receipt(path)


@pytest.mark.property
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 7))
def test_every_changed_byte_of_the_unit_list_is_detected(position, bit):
    allocation = allocate("stratified_ratio")
    frame = teams()[["team", "la"]]
    raw = bytearray("\n".join(f"{name},{la}" for name, la in frame.itertuples(index=False)).encode())
    raw[position % len(raw)] ^= 1 << bit
    try:
        rows = [line.split(",") for line in raw.decode().split("\n")]
        changed = pd.DataFrame(rows, columns=["team", "la"])
    except (UnicodeDecodeError, ValueError):
        return  # no list at all
    assert not we.verify_allocation(allocation.receipt, changed, SEED).ok


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(st.integers(0, len(SEED) - 1), st.characters(codec="utf-8", exclude_categories=("Cs",)))
def test_every_changed_character_of_the_seed_is_detected(position, character):
    seed = SEED[:position] + character + SEED[position + 1 :]
    allocation = allocate("stratified")
    assert we.verify_allocation(allocation.receipt, teams(), seed).ok == (seed == SEED)


FORGED = {
    "arms": {"names": ["programme", "control"], "ratio": [1, 1]},
    "scheme": {"kind": "complete"},
    "n_permitted": "7",
    "derived": {"cutoff": 1},
    "allocation_sha256": "0" * 64,
    "commitment": "0" * 64,
    "labels": ["a", "b"],
    "column": "sequence",
    "algorithm": "wwc_eval/allocation/v0",
}


@pytest.mark.parametrize("field", FORGED)
def test_a_receipt_forged_with_its_hash_does_not_follow(field):
    receipt = allocate("rerandomised").receipt
    forged = sealed({**receipt, field: FORGED[field]})
    verdict = we.verify_allocation(forged, teams(), SEED)
    assert not verdict.ok
    assert "NOT verified" in str(verdict)


@pytest.mark.parametrize(
    ("receipt", "words"),
    [({}, "no receipt"), ({"format": "wwc_eval/receipt/v1"}, "fields"), ([], "no receipt"), (None, "")],
)
def test_what_is_no_receipt(receipt, words):
    try:
        verdict = we.verify_allocation(receipt, teams(), SEED)
    except TypeError:
        assert receipt is None
    else:
        assert words in str(verdict)
        assert not verdict.ok


def test_a_receipt_tells_neither_seed_nor_names_nor_arms():
    text = canonical_json(allocate("matched_pairs").receipt)
    assert SEED not in text
    assert not any(name in text for name in teams()["team"])


def test_ledger_and_receipt_belong_together(tmp_path):
    ledger = we.Ledger(tmp_path / "ledger.jsonl")
    allocation = allocate("stratified")
    assert not we.verify_allocation(allocation.receipt, teams(), SEED, ledger=ledger.path).ok
    entry = ledger.append(allocation, by="A")
    assert we.verify_allocation(entry.receipt, teams(), SEED, ledger=ledger.path).ok
    ledger.mark_in_error(entry, reason="wrong list")
    verdict = we.verify_allocation(entry.receipt, teams(), SEED, ledger=ledger.path)
    assert "marked in error: wrong list" in str(verdict)


@pytest.fixture
def files(tmp_path):
    allocation = allocate("constrained_by")
    write_receipt(allocation.receipt, tmp_path / "receipt.json")
    teams().sample(frac=1, random_state=1).to_csv(tmp_path / "teams.csv", index=False)
    (tmp_path / "seed.txt").write_text(SEED + "\n", encoding="utf-8")
    return tmp_path


def test_the_command_verifies_and_writes(files):
    arguments = [str(files / "receipt.json"), str(files / "teams.csv")]
    out = files / "out.csv"
    done = CliRunner().invoke(command, [*arguments, "--seed-file", str(files / "seed.txt"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "Verified: the allocation of 14 units" in done.output
    again = pd.read_csv(out)
    assert again["arm"].tolist() == allocate("constrained_by").table["arm"].tolist()
    asked = CliRunner().invoke(command, arguments, input="another\n")
    assert asked.exit_code == 1
    assert "NOT verified: the seed" in asked.output


def test_files_that_are_no_list(files):
    receipt = files / "receipt.json"
    for content, words in (
        (b"", "empty"), (b"team,la\n\xff\n", "UTF-8"), (b"team,la,size,share\n1,2\n", "2 cells"), (b"team\nx\n", "no column"),
    ):  # fmt: skip
        (files / "bad.csv").write_bytes(content)
        assert words in str(we.verify_allocation(receipt, files / "bad.csv", SEED))


def test_names_that_look_like_numbers_are_read_as_they_were_allocated(tmp_path):
    for frame in (pd.DataFrame({"id": ["007", "7", "8", "09"]}), pd.DataFrame({"id": [1.0, 2.0, 30.0, 4.0]})):
        allocation = we.randomise(frame, unit="id", method=we.Complete(), seed="s")
        frame.to_csv(tmp_path / "units.csv", index=False)
        assert we.verify_allocation(allocation.receipt, tmp_path / "units.csv", "s").ok


class TestMaskedArms:
    def test_the_key_opens_what_it_closed(self, tmp_path):
        allocation = allocate("complete")
        masked, key = we.mask_arms(allocation, seed=SEED)
        assert set(masked.table["arm"]) == {"A", "B", "C"}
        assert masked.unseal(key)["arm"].tolist() == allocation.table["arm"].tolist()
        key.save(tmp_path / "key.json")
        assert (
            masked.unseal(SealedKey.load(tmp_path / "key.json"))["arm"].tolist()
            == allocation.table["arm"].tolist()
        )
        assert "probability" not in masked.table

    def test_another_key_is_refused(self):
        masked, key = we.mask_arms(allocate("stratified"), seed=SEED)
        labels = list(key.meaning)
        turned = SealedKey(meaning=dict(zip(labels, reversed(key.meaning.values()), strict=True)), nonce=key.nonce)
        with pytest.raises(LedgerError, match="not the one that was sealed"):
            masked.unseal(turned)

    def test_the_hash_is_in_the_receipt(self, tmp_path):
        allocation = allocate("stratified")
        masked, key = we.mask_arms(allocation, seed=SEED)
        entry = we.Ledger(tmp_path / "l").append(allocation, by="A", mask=key)
        assert entry.receipt["mask"] == {"labels": ["A", "B"], "key_sha256": masked.key_sha256}
        assert we.verify_allocation(entry.receipt, teams(), SEED, ledger=tmp_path / "l").ok
        assert we.Ledger(tmp_path / "l").verify(receipts=[entry.receipt]).ok

    def test_seeds_decide_which_label_is_which(self):
        meanings = set()
        for number in range(16):
            allocation = allocate("stratified", seed=f"seed {number}")
            meanings.add(tuple(we.mask_arms(allocation, seed=f"seed {number}")[1].meaning.values()))
        assert len(meanings) == 2

    def test_what_is_refused(self):
        allocation = allocate("simple")
        with pytest.raises(DesignError, match="seed is not the one"):
            we.mask_arms(allocation, seed="another")
        with pytest.raises(DesignError, match="2 different labels"):
            we.mask_arms(allocation, seed=SEED, labels=["A", "A"])
        assert "told apart" in we.mask_arms(allocation, seed=SEED)[0].warnings[0]


def test_receipts_are_the_same_in_another_process_and_hash_seed(tmp_path):
    import os
    import subprocess
    import sys

    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from record_cases import CASES, allocate, teams\n"
        "print([allocate(n, teams()).receipt['sha256'] for n in CASES])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("77",)
    }  # fmt: skip
    assert len(found) == 1
    assert json.loads(found.pop().replace("'", '"')) == [allocate(name).receipt["sha256"] for name in CASES]
