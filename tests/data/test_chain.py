"""Hash-chained lines: any change is detected, writers take turns, a killed writer leaves a valid chain."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from wwc_eval.data.chain import GENESIS, append_entry, read_chain, write_atomically
from wwc_eval.errors import LedgerError


@pytest.fixture
def chain(tmp_path):
    path = tmp_path / "runs.jsonl"
    for number in range(4):
        append_entry(path, {"event": "started", "text": f"café {number}", "value": number / 3})
    return path


def test_entries_are_numbered_and_linked(chain):
    entries = read_chain(chain).entries
    assert [entry["entry"] for entry in entries] == [1, 2, 3, 4]
    assert entries[0]["previous"] == GENESIS
    assert all(after["previous"] == before["hash"] for before, after in itertools.pairwise(entries))
    assert read_chain(chain).head == entries[-1]["hash"]


def test_a_missing_file_is_an_empty_chain(tmp_path):
    assert read_chain(tmp_path / "none.jsonl").entries == ()


@pytest.mark.property
def test_every_changed_byte_is_detected(chain):
    content = chain.read_bytes()
    head = read_chain(chain).head
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        chain.write_bytes(bytes(changed))
        try:
            found = read_chain(chain)
        except LedgerError as error:
            assert error.problems[0].place.line is not None
        else:
            # only the very last line feed may go: the torn tail is then no entry, and the head differs
            assert found.head != head or found.torn


def test_removed_swapped_and_repeated_lines_are_detected(chain):
    lines = chain.read_bytes().splitlines(keepends=True)
    for broken in (lines[1:], [lines[0], *lines[2:]], [lines[1], lines[0], *lines[2:]], [*lines, lines[-1]]):
        chain.write_bytes(b"".join(broken))
        with pytest.raises(LedgerError):
            read_chain(chain)


def test_reordered_keys_and_spacing_are_detected(chain):
    lines = chain.read_text(encoding="utf-8").splitlines()
    lines[0] = json.dumps(json.loads(lines[0]))
    chain.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(LedgerError, match="changed after it was written"):
        read_chain(chain)


def test_a_torn_tail_is_named_and_then_removed(chain):
    whole = chain.read_bytes()
    chain.write_bytes(whole + b'{"entry": 5, "eve')
    found = read_chain(chain)
    assert found.torn
    assert len(found.entries) == 4
    append_entry(chain, {"event": "finished"})
    after = read_chain(chain)
    assert not after.torn
    assert [entry["entry"] for entry in after.entries] == [1, 2, 3, 4, 5]
    assert chain.read_bytes().startswith(whole)


def _append_many(path, count):
    for number in range(count):
        append_entry(path, {"writer": os.getpid(), "number": number})


def test_two_writers_lose_and_repeat_nothing(tmp_path):
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(path, 20)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    entries = read_chain(path).entries
    assert len(entries) == 40
    assert len({(entry["writer"], entry["number"]) for entry in entries}) == 40


WRITER = """
import sys
from wwc_eval.data.chain import append_entry
for number in range(10_000):
    append_entry(sys.argv[1], {"number": number, "padding": "x" * 500})
    print(number, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_killed_writers_leave_a_valid_chain(tmp_path):
    path = tmp_path / "ledger.jsonl"
    confirmed = 0
    for attempt in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        ) as process:
            process.stdout.readline()
            time.sleep(0.003 * attempt)
            process.send_signal(signal.SIGKILL)
            confirmed += 1 + len(process.stdout.read().splitlines())
        entries = read_chain(path).entries
        # at most one entry a process was written but not yet confirmed
        assert confirmed <= len(entries) <= confirmed + attempt + 1


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "plan.lock.json"
    write_atomically(target, b"one")
    write_atomically(target, b"two")
    assert target.read_bytes() == b"two"
    assert [item.name for item in tmp_path.iterdir()] == ["plan.lock.json"]
    with pytest.raises(LedgerError, match="cannot write"):
        write_atomically(tmp_path / "none" / "file", b"x")
