"""Derive an allocation again from its receipt, the unit list and the seed, with Python's standard library alone.

Copy this file, ``draws.py`` and ``scores.py`` into a folder; they import nothing of the package, so that an auditor can read
them whole, years later:

    python verify.py RECEIPT.json UNITS.csv --seed "2026-03-01 public draw" [--ledger FILE] [--out FILE]

It checks that the receipt is what its hash says, that the unit list is the one allocated, that the seed is the one
committed to, and that the allocation follows from them; exit status 0 if all does, 1 if not. It is written apart from
the package, from docs/methods/randomisation.md. Two things it takes from the receipt instead of deriving them, and says
so: the pairs or blocks of matched units, and the cut-off of a constrained allocation of more than 200,000 candidates
(--full derives it for up to some millions).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import itertools
import json
import sys
import unicodedata
from pathlib import Path
from typing import Any

if __package__:
    from wwc_eval.randomisation.standalone.draws import ALGORITHM, SCHEMES, Stream, Trial, Wrong, as_number
    from wwc_eval.randomisation.standalone.scores import constrained
else:  # run as a file
    from draws import ALGORITHM, SCHEMES, Stream, Trial, Wrong, as_number  # type: ignore[import-not-found,no-redef]
    from scores import constrained  # type: ignore[import-not-found,no-redef]

KNOWN = {**SCHEMES, "constrained": constrained, "rerandomised": constrained}


def canonical(data: Any) -> bytes:
    """JSON with sorted keys and no spacing, as UTF-8."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_receipt(path: str) -> dict[str, Any]:
    """The receipt, if its hash and its bytes are as they were written."""
    raw = Path(path).read_bytes()
    try:
        receipt = json.loads(raw)
        told = receipt["sha256"]
        body = {name: value for name, value in receipt.items() if name != "sha256"}
        ok = sha256(canonical(body)) == told and canonical(receipt) == raw.strip(b"\r\n")
    except (ValueError, KeyError, TypeError):
        ok = False
    if not ok:
        raise Wrong("the receipt was changed after it was made, or is none")
    if receipt["format"] != "wwc_eval/receipt/v1" or receipt["algorithm"] != ALGORITHM:
        raise Wrong(
            f"the receipt is of {receipt['format']}, {receipt['algorithm']}, which this script does not know"
        )
    return dict(receipt)


def readings(cells: list[str]) -> list[list[str]]:
    """Ways to read a column: as text; as numbers; as true and false; as dates stored with a time of midnight."""
    found = [[unicodedata.normalize("NFC", cell) for cell in cells]]
    with contextlib.suppress(ValueError):
        found.append([as_number(cell) for cell in cells])
    found.append([cell.lower() if cell in {"True", "False"} else cell for cell in found[0]])
    found.append([cell.removesuffix(" 00:00:00") for cell in found[0]])
    return [each for i, each in enumerate(found) if each not in found[:i]]


def read_units(path: str, told: dict[str, Any]) -> tuple[list[str], dict[str, list[str]]]:
    """Names in order of code points, and the columns in that order."""
    with Path(path).open(encoding="utf-8-sig", newline="") as handle:
        rows = [row for row in csv.reader(handle) if row]
    header, body = rows[0], rows[1:]
    names = [told["unit"], *told["columns"]]
    for name in names:
        if header.count(name) != 1:
            raise Wrong(f"the unit list has no column '{name}', or several")
    columns = [readings([row[header.index(name)] for row in body]) for name in names]
    for chosen in itertools.product(*columns):
        order = sorted(range(len(body)), key=chosen[0].__getitem__)
        listed = [[column[i] for column in chosen] for i in order]
        if sha256(canonical({"unit": told["unit"], "columns": told["columns"], "rows": listed})) == told["sha256"]:
            texts = {name: [row[k] for row in listed] for k, name in enumerate(names)}
            return texts[told["unit"]], texts
    raise Wrong("the unit list is not the one that was allocated: a name or a value that the scheme reads differs")


def check_seed(receipt: dict[str, Any], key: bytes) -> None:
    """Refuse a seed that the receipt does not commit to."""
    content = canonical(
        {
            "algorithm": ALGORITHM,
            "scheme": receipt["scheme"],
            "arms": receipt["arms"],
            "units": receipt["units"]["sha256"],
        }
    )
    framed = b"wwc_eval/commitment/v1\0" + len(key).to_bytes(8, "big") + key + content
    if sha256(framed) != receipt["commitment"]:
        raise Wrong("the seed is not the one that the receipt commits to, or scheme or arms were changed")


def check_ledger(path: str, receipt: dict[str, Any]) -> str:
    """Refuse a ledger that was changed, or in which the allocation does not stand."""
    previous, found, marked = "0" * 64, None, {}
    core = {name: value for name, value in receipt.items() if name not in {"sha256", "ledger", "mask"}}
    for number, raw in enumerate(Path(path).read_bytes().split(b"\n")[:-1], start=1):
        try:
            line = json.loads(raw)
            body = {name: value for name, value in line.items() if name != "hash"}
            ok = canonical(line) == raw and sha256(canonical(body) + b"\n") == line["hash"]
            ok = ok and line["previous"] == previous and line["entry"] == number
        except (ValueError, KeyError, TypeError, AttributeError):
            ok = False
        if not ok:
            raise Wrong(f"line {number} of the ledger was changed, or does not follow the one before it")
        previous = line["hash"]
        if line["event"] == "marked_in_error":
            marked[line["refers_to"]] = line["reason"]
        else:
            held = {
                name: value for name, value in line["receipt"].items() if name not in {"sha256", "ledger", "mask"}
            }
            wanted = receipt.get("ledger", {"entry": number, "hash": line["hash"]})
            if held == core and wanted == {"entry": number, "hash": line["hash"]}:
                found = number
    if found is None:
        raise Wrong("the allocation is not in the ledger, or lines were cut off its end")
    if found in marked:
        raise Wrong(f"entry {found} of the ledger is marked in error: {marked[found]}")
    return f"entry {found} of the ledger, which is whole"


def main(arguments: list[str] | None = None) -> int:
    """Verify; 0 if all fits."""
    parser = argparse.ArgumentParser(description="Derive an allocation again from receipt, unit list and seed.")
    parser.add_argument("receipt")
    parser.add_argument("units", help="CSV, UTF-8, one row a unit")
    seed = parser.add_mutually_exclusive_group(required=True)
    seed.add_argument("--seed", help="the seed as text")
    seed.add_argument("--seed-file", help="file with the seed as text; a line break at its end does not count")
    seed.add_argument("--seed-hex", help="the seed as hexadecimal bytes")
    parser.add_argument("--ledger")
    parser.add_argument("--out", help="write the allocation as CSV")
    parser.add_argument("--full", action="store_true", help="derive what would take minutes too")
    options = parser.parse_args(arguments)
    try:
        receipt = read_receipt(options.receipt)
        if options.seed_hex is not None:
            key = bytes.fromhex(options.seed_hex)
        else:
            text = options.seed
            if text is None:
                text = Path(options.seed_file).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
            key = unicodedata.normalize("NFC", text).encode()
        keys, units = read_units(options.units, receipt["units"])
        check_seed(receipt, key)
        kind = receipt["scheme"]["kind"]
        if kind not in KNOWN:
            raise Wrong(f"this script does not know the scheme '{kind}'; verify with the package")
        trial = Trial(receipt, units, full=options.full)
        codes = KNOWN[kind](trial, Stream(key))
        pairs = [[name, str(receipt["labels"][code])] for name, code in zip(keys, codes, strict=False)]
        if sha256(canonical(pairs)) != receipt["allocation_sha256"]:
            raise Wrong("another allocation follows from receipt, unit list and seed")
        where = check_ledger(options.ledger, receipt) if options.ledger else None
    except (Wrong, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        sys.stdout.write(f"NOT verified: {error}\n")
        return 1
    for note in [*trial.notes, *([where] if where else [])]:
        sys.stdout.write(f"Note: {note}\n")
    sys.stdout.write(f"Verified: the allocation of {len(keys)} units follows from receipt, unit list and seed.\n")
    if options.out:
        with Path(options.out).open("w", encoding="utf-8", newline="") as handle:
            csv.writer(handle, lineterminator="\n").writerows(
                [[receipt["units"]["unit"], receipt["column"]], *pairs]
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
