"""Allocate the units of a list as a locked plan says, and write the record."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from wwc_eval.errors import LedgerError, PlanError
from wwc_eval.plans.allocating import KINDS, ratio_of, scheme_of

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.plans.plan import Plan
    from wwc_eval.randomisation.allocation import Allocation
    from wwc_eval.randomisation.scheme import Scheme

__all__ = ["Recorded", "randomise_plan"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recorded:
    """An allocation that was entered, and the files that hold it.

    Parameters
    ----------
    allocation : Allocation
        Who got which arm.
    receipt : dict
        What somebody else needs to check it.
    files : tuple of Path
        Files written.
    """

    allocation: Allocation
    receipt: dict[str, object]
    files: tuple[Path, ...]

    @property
    def summary(self) -> str:
        """What was done, in a few lines without the arms of anybody."""
        from wwc_eval.randomisation.rendering import count_in_words

        allocation = self.allocation
        permitted, smallest = count_in_words(allocation.n_permitted), allocation.smallest_p_value
        lines = [
            f"{allocation.n:,} units allocated ({allocation.scheme.kind}; {allocation.arms.words}).",
            f"Permitted allocations: {permitted}; smallest two-sided p-value {smallest:.3g}.",
            *(f"Note: {text}" for text in allocation.warnings),
        ]
        return "\n".join(lines)


def randomise_plan(
    plan: Plan,
    units: Path,
    out: Path,
    *,
    by: str,
    seed: str | None = None,
    public_value: str | None = None,
    mask: bool = False,
    note: str = "",
) -> Recorded:
    """Allocate the units of a list by the scheme of a locked plan.

    Parameters
    ----------
    plan : Plan
        A plan that is locked and unchanged, and names a scheme.
    units : Path
        CSV file with one row a unit: the plan's unit column and the columns that the scheme reads.
    out : Path
        Folder for ``allocation.csv``, ``receipt.json`` and ``ledger.jsonl``.
    by : str
        Who randomises.
    seed : str, optional
        The seed.
    public_value : str, optional
        The value that the plan names; the seed is SHA-256(lock hash || value) then.
    mask : bool
        Whether to write arms behind labels too, and their key.
    note : str
        Anything a reader of the ledger should know.

    Raises
    ------
    LockError
        If the plan is not locked, or has changed since.
    PlanError
        If it names no scheme, or no public value where one is given.
    LedgerError
        If these units were allocated before.
    DesignError, DataError
        If the scheme cannot be met, or the list is faulty; nothing is written then.
    """
    from wwc_eval.data.writing import write_csv
    from wwc_eval.randomisation import Ledger, mask_arms, randomise, seed_from, write_receipt

    lock = plan.require_lock()
    scheme = _scheme(plan)
    if public_value is not None:
        _require_public_value(plan)
        seed = seed_from(lock.plan_sha256, public_value)
    if seed is None:
        raise PlanError("there is no seed", fix="give seed, or the public value that the plan names")
    unit = plan.facts.unit_column or plan.facts.document.design.unit
    allocation = randomise(
        _listed(plan, units, [unit, *scheme.columns]),
        unit=unit,
        arms=ratio_of(plan.facts),
        method=scheme,
        seed=seed,
        alpha=float(plan.facts.document.design.target.alpha),
    )
    targets = [out / name for name in ("allocation.csv", "receipt.json")]
    targets += [out / name for name in ("allocation_masked.csv", "arm_key.json")] if mask else []
    there = [path for path in targets if path.exists()]
    if there:
        raise LedgerError(
            f"{there[0].name} exists already in {out.name}",
            rule="an allocation is never overwritten",
            fix="name another folder; mark the entry in error if it is not to be used",
        )
    out.mkdir(parents=True, exist_ok=True)
    hidden, key = mask_arms(allocation, seed=seed) if mask else (None, None)
    told = f"plan {plan.id}, lock {lock.plan_sha256}" + (f"; {note}" if note else "")
    entry = Ledger(out / "ledger.jsonl").append(allocation, by=by, note=told, mask=key)
    write_csv(allocation.table, targets[0])
    write_receipt(entry.receipt, targets[1])
    if hidden is not None and key is not None:
        write_csv(hidden.table, targets[2])
        key.save(targets[3])
    return Recorded(allocation=allocation, receipt=dict(entry.receipt), files=(*targets, out / "ledger.jsonl"))


def _listed(plan: Plan, units: Path, names: list[str]) -> pd.DataFrame:
    """The list of units, read by the types that the plan declares for its columns."""
    from wwc_eval.data import read_table

    columns = {}
    for name in dict.fromkeys(names):
        declared = plan.facts.columns.get(name)
        if declared is None:
            raise PlanError(
                f"column '{name}' of the unit list is not declared in the plan", fix="declare it in data: columns:"
            )
        columns[name] = declared.model_dump(exclude_none=True, exclude={"label"})
    return read_table(units, columns=columns, key=[names[0]], name=units.name)


def _scheme(plan: Plan) -> Scheme:
    randomisation = plan.facts.document.randomisation
    found = scheme_of(randomisation) if randomisation is not None else None
    if found is None:
        said = f"'{randomisation.method}' is a description" if randomisation is not None else "it has none"
        raise PlanError(
            f"the plan names no scheme of allocation: {said}", fix=f"write method: one of {', '.join(KINDS)}"
        )
    return found


def _require_public_value(plan: Plan) -> None:
    randomisation = plan.facts.document.randomisation
    if randomisation is None or randomisation.seed is None or randomisation.seed.public_value is None:
        raise PlanError(
            "the plan names no public value",
            rule="the value is named before it is known",
            fix="give the seed, or name the value in randomisation: seed: public_value: and lock the plan again",
        )
