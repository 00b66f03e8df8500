"""The receipt of an allocation: all that somebody else needs, with units and seed, to derive it again.

A receipt holds no seed, no name of a unit and no arm of a unit; ``sha256`` is the hash of the canonical JSON (keys
sorted, no spacing, UTF-8) of all its other fields.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.data.chain import canonical_json, write_atomically
from wwc_eval.errors import LedgerError, Place, shown

if TYPE_CHECKING:
    from wwc_eval.randomisation.allocation import Allocation

__all__ = ["FORMAT", "check_receipt", "core_of", "read_receipt", "receipt_of", "sealed", "write_receipt"]

FORMAT = "wwc_eval/receipt/v1"
LATER = ("ledger", "mask")
"""Fields that are added after the allocation was drawn."""
FIELDS = (
    "algorithm", "allocation_sha256", "arms", "column", "commitment", "derived", "format", "labels", "n_permitted",
    "scheme", "sha256", "units",
)  # fmt: skip


def receipt_of(allocation: Allocation) -> dict[str, Any]:
    """Receipt of an allocation, as JSON has it."""
    bound = allocation.bound
    columns = list(bound.scheme.columns)
    names = canonical_json(list(allocation.units.keys)).encode("utf-8")
    body = {
        "format": FORMAT,
        "algorithm": allocation.algorithm,
        "scheme": bound.scheme.canonical(),
        "arms": bound.arms.canonical(),
        "column": bound.column,
        "labels": [label if isinstance(label, str) else _plain(label) for label in bound.labels],
        "units": {
            "unit": allocation.unit,
            "columns": columns,
            "n": allocation.n,
            "names_sha256": hashlib.sha256(names).hexdigest(),
            "sha256": allocation.units.sha256(columns),
        },
        "derived": bound.derived,
        # as text: counts may have more digits than a number of JSON keeps
        "n_permitted": count_text(allocation.n_permitted),
        "commitment": allocation.commitment,
        "allocation_sha256": allocation.hash,
    }
    return sealed(body)


def sealed(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with the hash of them all."""
    plain = {name: value for name, value in body.items() if name != "sha256"}
    return {**plain, "sha256": _hash(plain)}


def core_of(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """The receipt as it was when the allocation was drawn, without what a ledger or a mask added."""
    return sealed({name: value for name, value in receipt.items() if name not in LATER})


def check_receipt(receipt: Mapping[str, Any]) -> None:
    """Refuse a receipt that is none, or is not what its hash says.

    Raises
    ------
    LedgerError
        Saying what is wrong.
    """
    if not isinstance(receipt, Mapping) or receipt.get("format") != FORMAT:
        raise LedgerError("this is no receipt of an allocation", rule=f"format: {FORMAT}", fix="give a receipt")
    odd = sorted(set(FIELDS) - set(receipt)) + sorted(set(receipt) - {*FIELDS, *LATER})
    if odd:
        raise LedgerError(
            f"the receipt has not the fields of a receipt: {shown(odd[0])}", fix="restore it from a copy"
        )
    try:
        found = sealed(receipt)["sha256"]
    except (TypeError, ValueError):
        found = None
    if found != receipt["sha256"]:
        raise LedgerError("the receipt was changed after it was made", fix="restore it from a copy or the ledger")


def write_receipt(receipt: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a receipt as one line of canonical JSON, all at once or not at all."""
    check_receipt(receipt)
    write_atomically(path, canonical_json(receipt).encode("utf-8") + b"\n")


def read_receipt(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a receipt; any changed byte is an error.

    Raises
    ------
    LedgerError
        If the file is not the canonical JSON of a receipt that its hash fits.
    """
    file = Path(path)
    place = Place(file=file.name)
    try:
        raw = file.read_bytes()
        receipt = json.loads(raw)
    except OSError as error:
        raise LedgerError(f"cannot read {file.name}: {error.strerror}", fix="check its name") from None
    except (ValueError, RecursionError):
        raise LedgerError("this is not JSON", place=place, fix="restore the file from a copy") from None
    check_receipt(receipt)
    try:
        same = canonical_json(receipt).encode("utf-8") + b"\n" == raw
    except (ValueError, UnicodeEncodeError):
        same = False
    if not same:
        raise LedgerError("the file was changed after it was written", place=place, fix="restore it from a copy")
    return dict(receipt)


def count_text(count: int) -> str:
    """A count as text: all digits, or hexadecimal where Python would refuse to write so many."""
    return str(count) if count.bit_length() < 10_000 else hex(count)


def _plain(label: Any) -> Any:
    return label.item() if hasattr(label, "item") else label


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(body).encode("utf-8")).hexdigest()
