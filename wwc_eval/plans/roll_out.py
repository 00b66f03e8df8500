"""The lottery that decided who began when: the plan's own scheme, or the record of an allocation made elsewhere."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DataError, DesignError, Place, shown

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.plans.facts import Facts
    from wwc_eval.randomisation.allocation import Allocation
    from wwc_eval.report.record import DataFile

__all__ = ["OWN_SCHEME", "Record", "allocation_of", "kept_units", "read_records"]

OWN_SCHEME = "randomisation"
"""What a plan writes for its own scheme in place of a path."""
TABLE = "allocation.csv"
NAMED = 3
"""Units that an error names."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """The record of an allocation, as ``wwc-eval randomise`` writes it.

    Parameters
    ----------
    path : str
        Path of the receipt, as the plan has it.
    receipt : dict
        The receipt, whose hash fits.
    got : dict
        What each unit got, by the text of its name.
    files : tuple of DataFile
        The receipt and the table beside it.
    """

    path: str
    receipt: dict[str, Any]
    got: dict[str, str]
    files: tuple[DataFile, ...]


def read_records(facts: Facts, folder: Path) -> dict[str, Record]:
    """Records of allocations that the plan's analyses name, by their paths.

    Parameters
    ----------
    facts : Facts
        The plan.
    folder : Path
        Folder that paths are relative to: the plan's.

    Raises
    ------
    LedgerError
        If a receipt cannot be read, or was changed.
    DataError
        If there is no table beside it, or the table is faulty.
    """
    paths = [task.analysis.allocation_record for task in facts.tasks()]
    return {path: _read(folder, path) for path in dict.fromkeys(paths) if path is not None}


def _read(folder: Path, path: str) -> Record:
    from wwc_eval.randomisation import read_receipt
    from wwc_eval.report.record import DataFile

    receipt = read_receipt(folder / path)
    beside = Path(path).with_name(TABLE).as_posix()
    got, width = _got(folder / beside, receipt["units"]["unit"], receipt["column"])
    files = tuple(
        DataFile(
            name=name,
            file=name,
            sha256=hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            rows=rows,
            columns=columns,
        )
        for name, rows, columns in ((path, None, None), (beside, len(got), width))
    )
    return Record(path=path, receipt=receipt, got=got, files=files)


def _got(file: Path, unit: str, column: str) -> tuple[dict[str, str], int]:
    """What each unit got, from the table of an allocation, and how many columns that has."""
    import csv

    place = Place(file=file.name)
    try:
        with file.open(encoding="utf-8-sig", newline="") as handle:
            table = csv.DictReader(handle)
            rows, width = list(table), len(table.fieldnames or ())
    except OSError as error:
        raise DataError(
            f"cannot read {file.name}: {error.strerror}",
            place=place,
            rule=f"the table of the allocation, {TABLE}, stands beside its receipt",
            fix="put both files in one folder, as wwc-eval randomise wrote them",
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file.name} is no CSV in UTF-8: {error}", place=place, fix="restore it") from None
    found: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        name, label = row.get(unit), row.get(column)
        if not name or not label:
            raise DataError(
                f"the row has no '{unit}' or no '{column}'",
                place=Place(file=file.name, row=number),
                rule=f"one row a unit with the columns '{unit}' and '{column}', as its receipt says",
                fix="restore the file from a copy",
            )
        if name in found:
            raise DataError(
                "a unit stands twice", place=Place(file=file.name, row=number), value=shown(name), fix="restore it"
            )
        found[name] = label
    return found, width


def allocation_of(record: Record, facts: Facts, frame: pd.DataFrame) -> Allocation:
    """The allocation of a record, its units and what the scheme reads of them taken from the data.

    Parameters
    ----------
    record : Record
        The record.
    facts : Facts
        The plan, which names the column of the units.
    frame : DataFrame
        Every row received.

    Raises
    ------
    DataError
        If a unit is not in the data, the data have other values of what the scheme read, or the table does not hold what
        the receipt says.
    DesignError
        If the data lack a column that the scheme reads.
    """
    import numpy as np

    from wwc_eval.plans.allocating import OBSERVED, listed_units
    from wwc_eval.randomisation.allocation import Allocation
    from wwc_eval.randomisation.arms import read_arms
    from wwc_eval.randomisation.scheme import scheme_from
    from wwc_eval.randomisation.units import canonical_text, read_units

    receipt, told = record.receipt, record.receipt["units"]
    scheme, unit = scheme_from(receipt["scheme"]), facts.unit_column
    if unit is None:
        raise DesignError("the plan does not say which column is the randomised unit", fix="write unit_column:")
    rows = listed_units(facts, frame, scheme.columns)
    names = [canonical_text(value) for value in rows[unit]]
    lost = sorted(set(record.got) - set(names))
    if lost:
        raise DataError(
            f"{len(lost):,} units that were allocated are not in the data: {', '.join(map(shown, lost[:NAMED]))}",
            rule=f"every unit of {record.path} has rows in the data",
            fix=f"write '{unit}' as the list of units has it, or add the rows",
        )
    drawn = rows.loc[[name in record.got for name in names]].rename(columns={unit: told["unit"]})
    units = read_units(drawn.reset_index(drop=True), told["unit"], scheme.columns)
    if units.sha256(list(scheme.columns)) != told["sha256"]:
        raise DataError(
            f"the units in the data are not those of {record.path}",
            rule=f"the names and {', '.join(scheme.columns) or 'nothing else'} are what the scheme read when it allocated",
            fix="correct the data, or name the receipt of these units",
        )
    arms = read_arms(dict(zip(receipt["arms"]["names"], receipt["arms"]["ratio"], strict=True)))
    bound = scheme.bind(units, arms)
    index = {str(label): code for code, label in enumerate(bound.labels)}
    labels = [record.got[key] for key in units.keys]
    codes = np.array([index.get(label, -1) for label in labels], dtype=np.int8)
    made = None
    if (codes >= 0).all():
        made = Allocation.of(bound, codes, seed=OBSERVED, alpha=float(facts.document.design.target.alpha))
    if made is None or made.hash != receipt["allocation_sha256"]:
        raise DataError(
            f"{TABLE} beside {record.path} does not hold the allocation that the receipt is of",
            fix="restore both files from one copy",
        )
    return made


def kept_units(allocation: Allocation, present: set[str]) -> tuple[Allocation, str]:
    """The allocation of the units that are analysed, given what the others got, and a sentence where there are others.

    Parameters
    ----------
    allocation : Allocation
        Of all units.
    present : set of str
        Names of the units analysed.
    """
    names = allocation.units.frame[allocation.unit].tolist()
    gone = [name for name, key in zip(names, allocation.units.keys, strict=True) if key not in present]
    if not gone:
        return allocation, ""
    told = (
        f"{len(gone):,} units that were allocated have no rows to analyse: the allocations compared are those that agree "
        "with the one made on them (valid if when they were to begin did not decide who has no rows)."
    )
    return allocation.without(gone), told
