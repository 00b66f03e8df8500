"""The ledger: nothing in it can be changed, dropped or doubled unseen."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_cases import allocate, teams

import wwc_eval as we
from wwc_eval.data.chain import append_entry
from wwc_eval.errors import LedgerError

RECORD = Path(__file__).parents[1] / "reference" / "ledger_kills.json"


def allocation_of(number):
    frame = pd.DataFrame({"team": [f"{number}-{letter}" for letter in "abcdef"]})
    return we.randomise(frame, unit="team", method=we.Complete(), seed=f"seed {number}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    ledger = we.Ledger(path)
    entries = [ledger.append(allocation_of(number), by="café", note=f"wave {number}") for number in range(3)]
    ledger.mark_in_error(entries[1], reason="two teams had merged", by="A")
    return path.read_bytes(), entries


@pytest.fixture
def ledger(whole, tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(whole[0])
    return we.Ledger(path)


def test_entries_and_marks(ledger, whole):
    assert ledger.verify(receipts=[entry.receipt for entry in whole[1]]).ok
    assert [entry.number for entry in ledger.entries] == [1, 2, 3]
    assert [entry.in_error for entry in ledger.entries] == [None, "two teams had merged", None]
    assert [entry.by for entry in ledger.entries] == ["café"] * 3
    frame = ledger.to_frame()
    assert frame["units"].tolist() == [6, 6, 6]
    assert "two teams had merged" in str(ledger)


@pytest.mark.property
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_every_changed_byte_is_detected(whole, tmp_path, step):
    content, entries = whole
    path = tmp_path / "changed.jsonl"
    receipts = [entry.receipt for entry in entries]
    for position in range(0, len(content), step):
        changed = bytearray(content)
        changed[position] ^= 1 << (position % 8)
        path.write_bytes(bytes(changed))
        assert not we.Ledger(path).verify(receipts=receipts).ok, position


@pytest.mark.property
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_lines_removed_swapped_or_cut_off_are_detected(whole, tmp_path_factory, data):
    content, entries = whole
    lines = content.splitlines(keepends=True)
    order = data.draw(st.lists(st.integers(0, 3), max_size=5).filter(lambda order: order != [0, 1, 2, 3]))
    path = tmp_path_factory.mktemp("cut") / "ledger.jsonl"
    path.write_bytes(b"".join(lines[i] for i in order))
    report = we.Ledger(path).verify(receipts=[entry.receipt for entry in entries])
    # the mark is line 4, for which nobody holds a receipt: its head hash tells
    if order == [0, 1, 2]:
        assert report.ok
        assert not we.Ledger(path).verify(head=json.loads(lines[3])["hash"]).ok
    else:
        assert not report.ok


def test_a_dropped_tail_is_detected_by_the_receipt_of_a_later_entry(ledger, whole):
    lines = whole[0].splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:2]))
    assert ledger.verify().ok
    report = ledger.verify(receipts=[whole[1][2].receipt])
    assert "ends at line 2" in report.problems[0]


def test_a_rewritten_ledger_does_not_fit_the_receipts(tmp_path, whole):
    again = we.Ledger(tmp_path / "again.jsonl")
    for number in range(3):
        again.append(allocation_of(number), by="somebody else")
    assert again.verify().ok
    assert not again.verify(receipts=[whole[1][0].receipt]).ok


def test_units_are_not_allocated_twice(ledger):
    with pytest.raises(LedgerError, match="allocated already, in entry 1"):
        ledger.append(
            we.randomise(allocation_of(0).table[["team"]], unit="team", method=we.Simple(), seed="b"), by="A"
        )
    before = ledger.path.read_bytes()
    ledger.mark_in_error(1, reason="wrong list")
    entry = ledger.append(allocation_of(0), by="A")
    assert entry.number == 6
    assert ledger.path.read_bytes().startswith(before)
    assert ledger.verify(receipts=[entry.receipt]).ok


def test_marks_need_an_entry_and_a_reason(ledger):
    before = ledger.path.read_bytes()
    for entry, reason, words in (
        (9, "x", "no allocation"), (4, "x", "no allocation"), (2, "x", "marked in error already"), (1, " ", "reason"),
    ):  # fmt: skip
        with pytest.raises(LedgerError, match=words):
            ledger.mark_in_error(entry, reason=reason)
    with pytest.raises(LedgerError, match="by"):
        ledger.append(allocation_of(9), by="")
    assert ledger.path.read_bytes() == before


def test_a_ledger_that_is_not_there_or_not_one(tmp_path):
    assert "no such file" in str(we.Ledger(tmp_path / "none.jsonl").verify())
    (tmp_path / "bad").write_text("hello\n")
    with pytest.raises(LedgerError):
        we.Ledger(tmp_path / "bad").append(allocation_of(0), by="A")
    assert (tmp_path / "bad").read_text() == "hello\n"


def test_chains_of_other_things_are_no_ledger(tmp_path):
    for body, words in (
        ({"event": "started", "kind": "draft"}, "'started' is no event"),
        ({"event": "allocated", "at": "now"}, "has not the fields"),
        ({"event": "allocated", "at": "", "by": "A", "note": "", "receipt": {}}, "not whole"),
        ({"event": "marked_in_error", "refers_to": 1, "reason": "x", "refers_to_hash": "0"}, "not there"),
    ):
        path = tmp_path / f"{words[:5]}.jsonl"
        append_entry(path, body)
        before = path.read_bytes()
        assert words in str(we.Ledger(path).verify())
        for act in (lambda ledger: ledger.append(allocation_of(0), by="A"), lambda ledger: ledger.entries):
            with pytest.raises(LedgerError, match=words):
                act(we.Ledger(path))
        assert path.read_bytes() == before


def test_three_hundred_torn_writes_lose_and_double_nothing(whole, tmp_path):
    """A writer killed at any byte of its line: earlier lines stand, its own is there whole or not at all."""
    content, _ = whole
    lines = content.splitlines(keepends=True)
    start = len(b"".join(lines[:2]))
    points = sorted({start + round(i * len(lines[2]) / 299) for i in range(300)})
    assert len(points) == 300
    path = tmp_path / "torn.jsonl"
    ledger = we.Ledger(path)
    allocation = allocation_of(2)
    for point in points:
        path.write_bytes(content[:point])
        finished = content[:point].endswith(b"\n")
        assert len(ledger.entries) == content[:point].count(b"\n")
        assert ledger.verify().ok == finished
        if point == points[-1]:
            with pytest.raises(LedgerError, match="already"):
                ledger.append(allocation, by="café")
        else:
            ledger.append(allocation, by="café")
        assert [entry.number for entry in ledger.entries] == [1, 2, 3]
        assert ledger.verify().ok


WRITER = """
import sys, pandas as pd, wwc_eval as we
ledger = we.Ledger(sys.argv[1])
for number in range(10_000):
    frame = pd.DataFrame({"team": [f"{sys.argv[2]}-{number}-{letter}" for letter in "abcd"]})
    entry = ledger.append(we.randomise(frame, unit="team", method=we.Complete(), seed="s"), by=sys.argv[2])
    print(entry.number, entry.hash, flush=True)
"""


def kill_writers(path, kills, delay):
    """Kill writers at moments spread over their work; returns what they had confirmed."""
    confirmed = []
    for kill in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), f"w{kill}"], stdout=subprocess.PIPE, text=True
        ) as process:
            process.stdout.readline()
            time.sleep(delay * kill / max(kills, 1))
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().splitlines()
        entries = we.Ledger(path).entries
        confirmed += [line.split() for line in rest if len(line.split()) == 2 and len(line.split()[1]) == 64]
        mine = [entry for entry in entries if entry.by == f"w{kill}"]
        assert len(mine) - (1 + len(rest)) in (0, 1), (kill, len(mine), len(rest))
    return confirmed


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_killed_writers_lose_nothing_that_they_confirmed(tmp_path):
    path = tmp_path / "ledger.jsonl"
    confirmed = kill_writers(path, 2, 0.05)
    hashes = {str(entry.number): entry.hash for entry in we.Ledger(path).entries}
    assert all(hashes[number] == hash_ for number, hash_ in confirmed)
    assert len(set(hashes.values())) == len(hashes)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_three_hundred_kills(tmp_path):
    path = tmp_path / "ledger.jsonl"
    confirmed = kill_writers(path, 300, 0.12)
    entries = we.Ledger(path).entries
    hashes = {str(entry.number): entry.hash for entry in entries}
    lost = sum(hashes.get(number) != hash_ for number, hash_ in confirmed)
    names = [entry.receipt["units"]["names_sha256"] for entry in entries]
    found = {
        "kills": 300,
        "entries": len(entries),
        "confirmed_and_lost": lost,
        "doubled": len(names) - len(set(names)),
    }
    RECORD.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    assert lost == 0
    assert found["doubled"] == 0


def test_the_record_of_three_hundred_kills():
    found = json.loads(RECORD.read_text(encoding="utf-8"))
    assert found["kills"] == 300
    assert found["entries"] >= 300
    assert found["confirmed_and_lost"] == found["doubled"] == 0


def _append_many(path, who, count):
    ledger = we.Ledger(path)
    for number in range(count):
        frame = pd.DataFrame({"team": [f"{who}-{number}-{letter}" for letter in "abcd"]})
        ledger.append(we.randomise(frame, unit="team", method=we.Complete(), seed="s"), by=who)
    try:
        ledger.append(allocate("simple"), by=who)
    except LedgerError as error:
        assert "already" in str(error)


def test_two_writers_take_turns(tmp_path):
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(path, who, 8)) for who in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    ledger = we.Ledger(path)
    assert ledger.verify().ok
    # both tried to enter the same units: one of them did
    assert len(ledger.entries) == 17
    assert sum(entry.receipt["units"]["n"] == len(teams()) for entry in ledger.entries) == 1
