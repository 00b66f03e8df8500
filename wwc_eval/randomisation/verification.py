"""Deriving an allocation again from receipt, unit list and seed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wwc_eval.data.chain import canonical_json
from wwc_eval.errors import WwcError
from wwc_eval.randomisation.allocation import Allocation
from wwc_eval.randomisation.arms import read_arms
from wwc_eval.randomisation.ledger import Ledger
from wwc_eval.randomisation.receipt import check_receipt, core_of, read_receipt, receipt_of
from wwc_eval.randomisation.scheme import scheme_from
from wwc_eval.randomisation.stream import ALGORITHM, Stream
from wwc_eval.randomisation.unit_files import unit_list
from wwc_eval.randomisation.units import Units, read_units

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Verification", "verify_allocation"]

_WORDS = {
    "n_permitted": "another number of permitted allocations follows from the unit list",
    "derived": "another cut-off, or other blocks, follow from the unit list",
    "labels": "other labels follow from the scheme",
    "column": "another kind of allocation follows from the scheme",
}


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Whether an allocation was derived again from its receipt, unit list and seed.

    Parameters
    ----------
    problems : tuple of str
        What does not fit, in plain sentences; none where all does.
    allocation : Allocation, optional
        The allocation as derived again; None where that was not possible.
    """

    problems: tuple[str, ...]
    allocation: Allocation | None = None

    @property
    def ok(self) -> bool:
        """Whether everything fits."""
        return not self.problems

    @property
    def table(self) -> pd.DataFrame | None:
        """Table of the allocation as derived again."""
        return None if self.allocation is None else self.allocation.table

    def __str__(self) -> str:
        """One sentence, or one line for each problem."""
        if self.ok and self.allocation is not None:
            return (
                f"Verified: the allocation of {self.allocation.n} units follows from receipt, unit list and seed."
            )
        return "\n".join(f"NOT verified: {problem}" for problem in self.problems)


def verify_allocation(
    receipt: Mapping[str, Any] | str | os.PathLike[str],
    units: Any,
    seed: str | bytes,
    *,
    ledger: str | os.PathLike[str] | None = None,
) -> Verification:
    """Derive an allocation again and say what does not fit.

    Parameters
    ----------
    receipt : mapping or path
        Receipt of the allocation.
    units : data frame or path
        The unit list, or its CSV file: the names and the columns that the scheme reads. Order of rows, types and
        further columns do not matter.
    seed : str or bytes
        The seed.
    ledger : path, optional
        Ledger in which the allocation must be entered and not marked in error.

    Returns
    -------
    Verification
        ``ok``, the problems in plain sentences, and the allocation as derived again.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> teams = pd.DataFrame({"team": ["T1", "T2", "T3", "T4"]})
    >>> allocation = we.randomise(teams, unit="team", method=we.Complete(), seed="2026-03-01 public draw")
    >>> we.verify_allocation(allocation.receipt, teams, "2026-03-01 public draw").ok
    True
    >>> print(we.verify_allocation(allocation.receipt, teams, "another seed"))
    NOT verified: the seed is not the one that the receipt commits to, or scheme or arms were changed
    """
    try:
        known = read_receipt(receipt) if isinstance(receipt, (str, os.PathLike)) else dict(receipt)
        check_receipt(known)
        listed = unit_list(units, known["units"]) if isinstance(units, (str, os.PathLike)) else units
        found, problems = _derive(known, listed, seed)
    except WwcError as error:
        return Verification(problems=tuple(_line(str(problem)) for problem in error.problems))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        return Verification(problems=(f"the receipt cannot be read: {type(error).__name__}: {error}",))
    if ledger is not None:
        problems += _against_ledger(known, Ledger(ledger))
    return Verification(problems=tuple(problems), allocation=found)


def _derive(receipt: Mapping[str, Any], units: Any, seed: str | bytes) -> tuple[Allocation | None, list[str]]:
    if receipt["algorithm"] != ALGORITHM:
        return None, [
            f"the receipt is of algorithm {receipt['algorithm']}, this version of the package has {ALGORITHM}"
        ]
    scheme = scheme_from(receipt["scheme"])
    told = receipt["units"]
    listed = read_units(units, told["unit"], scheme.columns)
    differing = _unit_problems(told, listed, list(scheme.columns))
    if differing:
        return None, differing
    arms = read_arms(dict(zip(receipt["arms"]["names"], receipt["arms"]["ratio"], strict=True)))
    bound = scheme.bind(listed, arms)
    # what binds the seed comes before the draw: a wrong seed says nothing about anything else
    probe = Allocation.of(bound, bound.draw(Stream(seed, ALGORITHM)), seed=seed, alpha=0.05)
    if probe.commitment != receipt["commitment"]:
        return None, ["the seed is not the one that the receipt commits to, or scheme or arms were changed"]
    derived = receipt_of(probe)
    problems = [
        words for name, words in _WORDS.items() if canonical_json(derived[name]) != canonical_json(receipt[name])
    ]
    if derived["allocation_sha256"] != receipt["allocation_sha256"]:
        problems.append("another allocation follows from receipt, unit list and seed")
    if not problems and derived["sha256"] != core_of(receipt)["sha256"]:
        problems.append("the receipt has other contents than the one that follows from it")
    return probe, problems


def _unit_problems(told: Mapping[str, Any], listed: Units, columns: list[str]) -> list[str]:
    if told["columns"] != columns:
        return ["the receipt names other columns than the scheme reads"]
    if told["n"] != listed.n:
        return [f"the unit list has {listed.n} units, the receipt {told['n']}"]
    if told["sha256"] != listed.sha256(columns):
        return ["the unit list is not the one that was allocated: a name or a value that the scheme reads differs"]
    return []


def _against_ledger(receipt: Mapping[str, Any], ledger: Ledger) -> list[str]:
    report = ledger.verify(receipts=[receipt])
    if not report.ok:
        return [f"ledger: {problem}" for problem in report.problems]
    entry = ledger.entry_of(receipt)
    if entry is None:
        return ["the allocation is not in the ledger"]
    if entry.in_error is not None:
        return [f"entry {entry.number} of the ledger is marked in error: {entry.in_error}"]
    return []


def _line(text: str) -> str:
    return " ".join(text.split())
