"""Masked arms: an analyst works with A and B, and the key that says which is which stays sealed.

The key is drawn from the same seed in a domain of its own, with a nonce, so that it can be derived again by whoever has
the seed and cannot be found by trying by whoever has only its hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.data.chain import canonical_json, write_atomically
from wwc_eval.errors import DesignError, LedgerError, shown
from wwc_eval.randomisation.stream import ALGORITHM, Stream

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.randomisation.allocation import Allocation

__all__ = ["MaskedAllocation", "SealedKey", "mask_arms"]


@dataclass(frozen=True, kw_only=True)
class SealedKey:
    """Which label stands for which arm. Keep it from the analyst; its hash may be published.

    Parameters
    ----------
    meaning : mapping
        Arm (or sequence) by label.
    nonce : str
        32 random bytes in hexadecimal, without which the hash tells nothing.
    """

    meaning: Mapping[str, Any]
    nonce: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON of meaning and nonce."""
        content = canonical_json({"meaning": list(self.meaning.items()), "nonce": self.nonce})
        return hashlib.sha256(content.encode("utf-8")).hexdigest()

    @property
    def described(self) -> dict[str, Any]:
        """What a receipt says of the key: labels and hash."""
        return {"labels": list(self.meaning), "key_sha256": self.sha256}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the key to a file of its own."""
        content = canonical_json({"meaning": list(self.meaning.items()), "nonce": self.nonce})
        write_atomically(path, content.encode("utf-8") + b"\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SealedKey:
        """Read a key.

        Raises
        ------
        LedgerError
            If the file is no key.
        """
        try:
            content = json.loads(Path(path).read_bytes())
            return cls(meaning=dict(content["meaning"]), nonce=content["nonce"])
        except (OSError, ValueError, KeyError, TypeError):
            raise LedgerError(
                f"{Path(path).name} is no key of masked arms", fix="give the file that was sealed"
            ) from None


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedAllocation:
    """An allocation whose arms are hidden behind labels.

    Parameters
    ----------
    unit, column : str
        Columns of the table that name the unit and what it got.
    units : tuple of str
        Canonical names in order.
    masked : tuple of str
        Label of each unit.
    key_sha256 : str
        Hash of the sealed key.
    labels : tuple of str
        Labels in order.
    strata : tuple of str, optional
        Stratum of each unit.
    """

    unit: str
    column: str
    units: tuple[str, ...]
    masked: tuple[str, ...]
    key_sha256: str
    labels: tuple[str, ...]
    strata: tuple[str, ...] | None = None

    @property
    def table(self) -> pd.DataFrame:
        """One row a unit: its name, stratum and label. No probability: with unequal arms it would tell the arm."""
        return self._table(self.masked, self.labels)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may give the arms away."""
        counts = [self.masked.count(label) for label in self.labels]
        if max(counts) - min(counts) <= 1:
            return ()
        return ("arms of different size can be told apart by counting",)

    def unseal(self, key: SealedKey) -> pd.DataFrame:
        """The table with the arms themselves.

        Raises
        ------
        LedgerError
            If the key is not the one that was sealed.
        """
        if key.sha256 != self.key_sha256 or set(key.meaning) != set(self.labels):
            raise LedgerError(
                "this key is not the one that was sealed",
                rule=f"its hash is {self.key_sha256[:16]}...",
                fix="find the sealed key, or derive it again from the seed with mask_arms",
            )
        arms = list(key.meaning.values())
        return self._table([key.meaning[label] for label in self.masked], sorted(arms, key=str))

    def _table(self, values: Sequence[Any], categories: Sequence[Any]) -> pd.DataFrame:
        import pandas as pd

        columns: dict[str, Any] = {self.unit: list(self.units)}
        if self.strata is not None:
            columns["stratum"] = list(self.strata)
        columns[self.column] = pd.Categorical(values, categories=list(categories), ordered=True)
        return pd.DataFrame(columns)


def mask_arms(
    allocation: Allocation, *, seed: str | bytes, labels: Sequence[str] | None = None
) -> tuple[MaskedAllocation, SealedKey]:
    """Hide the arms of an allocation behind labels.

    Parameters
    ----------
    allocation : Allocation
        What was drawn.
    seed : str or bytes
        The allocation's seed; whoever has it can derive the key again.
    labels : sequence of str, optional
        One for each arm; ``A``, ``B``, ... where none are given.

    Returns
    -------
    (MaskedAllocation, SealedKey)
        The first for the analyst, the second for a sealed place. Enter the key's hash with
        ``ledger.append(allocation, by=..., mask=key)``.

    Raises
    ------
    DesignError
        If the seed is not the allocation's, or there is not one label for each arm.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> teams = pd.DataFrame({"team": ["T1", "T2", "T3", "T4"]})
    >>> allocation = we.randomise(teams, unit="team", method=we.Complete(), seed="example")
    >>> masked, key = we.mask_arms(allocation, seed="example")
    >>> sorted(set(masked.table["arm"]))
    ['A', 'B']
    >>> masked.unseal(key)["arm"].tolist() == allocation.table["arm"].tolist()
    True
    """
    again = type(allocation).of(allocation.bound, allocation.codes, seed=seed, alpha=allocation.alpha)
    if again.commitment != allocation.commitment:
        raise DesignError(
            "seed is not the one that this allocation was drawn from", fix="give the allocation's seed"
        )
    k = len(allocation.labels)
    names = (
        list(string.ascii_uppercase[:k]) if labels is None and k <= 26 else [str(each) for each in labels or ()]
    )
    if len(names) != k or len(set(names)) != k:
        raise DesignError(f"labels == {shown(labels)}, must be {k} different labels", fix="leave labels out")
    stream = Stream(seed, f"{ALGORITHM}/mask/{allocation.commitment}")
    nonce = "".join(f"{stream.word():016x}" for _ in range(4))
    order = stream.shuffled(range(k))
    plain = [label.item() if hasattr(label, "item") else label for label in allocation.labels]
    key = SealedKey(meaning={name: plain[arm] for name, arm in zip(names, order, strict=True)}, nonce=nonce)
    label_of = {arm: name for name, arm in zip(names, order, strict=True)}
    masked = MaskedAllocation(
        unit=allocation.unit, column=allocation.bound.column, units=allocation.units.keys,
        masked=tuple(label_of[code] for code in allocation.codes.tolist()), key_sha256=key.sha256, labels=tuple(names),
        strata=allocation.bound.strata,
    )  # fmt: skip
    return masked, key
