"""What can be wrong with a panel, and what is only worth knowing: collected, then raised or kept together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import SHOWN_PROBLEMS, DataError, Place, Problem, shown

if TYPE_CHECKING:
    from wwc_eval.did.panel_periods import Column

__all__ = ["Faults", "listed"]

HEADER = 2
"""Row of a spreadsheet that holds the first record."""


class Faults:
    """Collects every fault of a panel, and the findings that do not stop the work."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.findings: list[Problem] = []

    def rows(
        self,
        message: str,
        rows: NDArray[Any] | Sequence[int],
        *,
        column: str,
        values: Any = None,
        rule: str | None = None,
        fix: str | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        """One problem a row, the first fifty; the rest are counted."""
        positions = np.asarray(rows, dtype=np.int64)
        for index, row in enumerate(positions[:SHOWN_PROBLEMS]):
            value = None if values is None else shown(_plain(values[index]))
            text = message if names is None else message.format(names[index])
            place = Place(row=int(row) + HEADER, column=column)
            self.problems.append(Problem(message=text, place=place, value=value, rule=rule, fix=fix))
        rest = len(positions) - SHOWN_PROBLEMS
        if rest > 0:
            self.problems.append(
                Problem(
                    message=f"{rest:,} more rows have the same fault",
                    place=Place(column=column),
                    rule=rule,
                    fix=fix,
                )
            )

    def labels(
        self, message: str, column: Column, reasons: Mapping[int, str], *, name: str, rule: str | None = None
    ) -> None:
        """One problem a label that cannot be read: its first row, how many rows have it, and which come first.

        Parameters
        ----------
        message : str
            What is wrong; the reason follows.
        column : Column
            Distinct labels and the code of each row.
        reasons : mapping
            Why, by position of the label.
        name : str
            Column of the data.
        rule : str, optional
            What a label must be.
        """
        for index in list(reasons)[:SHOWN_PROBLEMS]:
            rows = np.flatnonzero(column.codes == index)
            text = f"{message}: {reasons[index]}"
            if len(rows) > 1:
                text += f"; {len(rows):,} rows have it: {listed(rows + HEADER, most=5)}"
            place = Place(row=int(rows[0]) + HEADER, column=name)
            value = shown(_plain(column.labels[index]))
            self.problems.append(Problem(message=text, place=place, value=value, rule=rule))
        rest = len(reasons) - SHOWN_PROBLEMS
        if rest > 0:
            text = f"{rest:,} more labels have the same fault"
            self.problems.append(Problem(message=text, place=Place(column=name), rule=rule))

    def add(self, message: str, *, column: str | None = None, **rest: Any) -> None:
        """One problem of a whole column."""
        self.problems.append(Problem(message=message, place=Place(column=column), **rest))

    def note(self, message: str, *, column: str | None = None, code: str = "", fix: str | None = None) -> None:
        """Something that a reader should know, and that does not stop the work."""
        self.findings.append(
            Problem(message=message, place=Place(column=column), code=code, fix=fix, severity="warning")
        )

    def raise_if_any(self) -> None:
        """Raise one :class:`DataError` with everything found so far.

        Raises
        ------
        DataError
            If anything is wrong.
        """
        if self.problems:
            raise DataError(problems=self.problems)


def listed(names: Iterable[Any], most: int = 8) -> str:
    """Names as a phrase; a long list is cut and counted.

    Examples
    --------
    >>> listed(["Kent", "Bury"]), listed(range(12), most=3)
    ('Kent and Bury', '0, 1, 2 and 9 more')
    """
    texts = [str(_plain(name)) for name in names]
    if len(texts) > most:
        return f"{', '.join(texts[:most])} and {len(texts) - most:,} more"
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else "none"


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
