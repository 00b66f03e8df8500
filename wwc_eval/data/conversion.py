"""Text to values by the declared type: exactly, or not at all.

Whole columns are matched with one regular expression over the joined text; only where that fails are the
distinct texts looked at one by one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from wwc_eval.data.explain import BINARY, INTEGER, NUMBER, text_fault

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from wwc_eval.data.schema import ColumnSpec

__all__ = ["Converted", "as_text", "convert"]

EXACT = 2**53
_INT64 = 2**63
_INTEGERS = re.compile(r"(?:-?(?:0|[1-9][0-9]{0,17})\n)*+")
_NUMBERS = re.compile(r"(?:-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]+)?(?:e-[0-9]{2})?\n)*+")
# plain text: visible ASCII without blanks around it, and nothing that explain.text_fault could object to
_TEXTS = re.compile(
    r"(?:(?!(?i:na|n/a|n\.a\.?|nan|nil|null|none|nat|missing|unknown)\n|[0-9](?:\.[0-9]+)?E\+)"
    r"[0-9A-Za-z(](?:[ -~]*[!-~])?\n)*+"
)


@dataclass(frozen=True, kw_only=True)
class Converted:
    """One converted column.

    Parameters
    ----------
    series : pandas.Series
        Values in the type of the column; missing where the text is missing or refused. A category column may
        still hold levels that are not declared.
    refused : frozenset of str
        Texts that are no value of the type.
    missing : dict of str to int
        Rows of every code for missing that occurs.
    """

    series: pd.Series[Any]
    refused: frozenset[str]
    missing: dict[str, int]


def convert(spec: ColumnSpec, cells: Sequence[str]) -> Converted:
    """Convert the text of one column.

    Parameters
    ----------
    spec : ColumnSpec
        Declaration of the column.
    cells : sequence of str
        Text of every row.

    Returns
    -------
    Converted
        Values, and the texts that were refused.
    """
    codes = frozenset(spec.missing)
    counts = Counter(cell for cell in cells if cell in codes) if codes else Counter()
    present = [cell for cell in cells if cell not in codes] if counts else cells
    refused = _REFUSED[spec.type](spec, present)
    absent = codes | refused if counts else refused
    kept = [cell for cell in present if cell not in refused] if refused else present
    mask = [cell in absent for cell in cells] if len(kept) < len(cells) else None
    missing = {code: counts[code] for code in spec.missing if counts[code]}
    return Converted(series=_BUILD[spec.type](spec, kept, mask), refused=refused, missing=missing)


def as_text(cells: Sequence[str | None]) -> pd.Series[Any]:
    """Series of text in the text type of the installed pandas (``str`` from pandas 3 on, else ``object``)."""
    import pandas as pd

    return pd.Series(cells, dtype="str" if int(pd.__version__.split(".")[0]) >= 3 else "object")


def _all_match(expression: re.Pattern[str], cells: Sequence[str]) -> bool:
    joined = "\n".join(cells) + "\n" if cells else ""
    return expression.fullmatch(joined) is not None and joined.count("\n") == len(cells)


def _distinct(cells: Iterable[str], wrong: Callable[[str], object]) -> frozenset[str]:
    return frozenset(cell for cell in dict.fromkeys(cells) if wrong(cell))


def _refused_integers(_spec: ColumnSpec, cells: Sequence[str]) -> frozenset[str]:
    if _all_match(_INTEGERS, cells):
        return frozenset()
    return _distinct(
        cells, lambda cell: not INTEGER.fullmatch(cell) or len(cell) > 20 or not -_INT64 <= int(cell) < _INT64
    )


def _refused_numbers(spec: ColumnSpec, cells: Sequence[str]) -> frozenset[str]:
    fast = _all_match(_NUMBERS, cells)
    refused = frozenset() if fast else _distinct(cells, lambda cell: not _is_exact_number(cell))
    codes = {float(code) for code in spec.missing if NUMBER.fullmatch(code)}
    if codes:  # "-99.0" where "-99" means missing must not become a value
        refused |= _distinct(cells, lambda cell: cell not in refused and float(cell) in codes)
    return refused


def _is_exact_number(cell: str) -> bool:
    if not NUMBER.fullmatch(cell):
        return False
    value = float(cell)
    if not math.isfinite(value):
        return False
    if 0 < abs(value) < EXACT:
        return True
    if value and "e" in cell.lower():
        return True  # an exponent says that the digits are rounded
    return len(cell) < 400 and Decimal(cell) == Decimal(value)


def _refused_binary(_spec: ColumnSpec, cells: Sequence[str]) -> frozenset[str]:
    return frozenset(set(cells) - BINARY)


def _refused_dates(spec: ColumnSpec, cells: Sequence[str]) -> frozenset[str]:
    read = spec.dates.read
    return _distinct(cells, lambda cell: read(cell) is None)


def _refused_texts(spec: ColumnSpec, cells: Sequence[str]) -> frozenset[str]:
    if spec.pattern is not None or _all_match(_TEXTS, cells):
        return frozenset()
    return _distinct(cells, lambda cell: text_fault(cell, spec))


def _refused_never(_spec: ColumnSpec, _cells: Collection[str]) -> frozenset[str]:
    return frozenset()  # unknown levels are found by the schema


def _spread(kept: Any, mask: Sequence[bool] | None, blank: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    if mask is None:
        return np.asarray(kept)
    out = np.full(len(mask), blank, dtype=kept.dtype)
    out[~np.asarray(mask, dtype=bool)] = kept
    return out


def _build_integers(_spec: ColumnSpec, kept: Sequence[str], mask: Sequence[bool] | None) -> pd.Series[Any]:
    import numpy as np
    import pandas as pd

    values = _spread(np.fromiter(map(int, kept), dtype=np.int64, count=len(kept)), mask, 0)
    if mask is None:
        return pd.Series(values)
    return pd.Series(pd.arrays.IntegerArray(values, np.asarray(mask, dtype=bool)))


def _build_numbers(_spec: ColumnSpec, kept: Sequence[str], mask: Sequence[bool] | None) -> pd.Series[Any]:
    import numpy as np
    import pandas as pd

    return pd.Series(_spread(np.fromiter(map(float, kept), dtype=np.float64, count=len(kept)), mask, np.nan))


def _build_dates(spec: ColumnSpec, kept: Sequence[str], mask: Sequence[bool] | None) -> pd.Series[Any]:
    import numpy as np
    import pandas as pd

    distinct, codes = _coded(kept)
    days = np.array([spec.dates.read(cell) for cell in distinct], dtype="datetime64[us]")
    values = days[codes]
    return pd.Series(_spread(values, mask, np.datetime64("NaT")))


def _build_categories(spec: ColumnSpec, kept: Sequence[str], mask: Sequence[bool] | None) -> pd.Series[Any]:
    """Declared levels first; unknown ones follow, for the schema to find."""
    import pandas as pd

    levels, codes = _coded(kept, spec.levels)
    return pd.Series(
        pd.Categorical.from_codes(_spread(codes, mask, -1), categories=pd.Index(levels), ordered=False)
    )


def _coded(cells: Sequence[str], first: Sequence[str] = ()) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Distinct texts in order of appearance (after those of ``first``), and the number of each cell's."""
    import numpy as np

    distinct = list(dict.fromkeys(first) | dict.fromkeys(cells))
    numbers = {text: number for number, text in enumerate(distinct)}
    return distinct, np.fromiter(map(numbers.__getitem__, cells), dtype=np.int64, count=len(cells))


def _build_texts(_spec: ColumnSpec, kept: Sequence[str], mask: Sequence[bool] | None) -> pd.Series[Any]:
    if mask is None:
        return as_text(kept)
    cells = iter(kept)
    return as_text([None if blank else next(cells) for blank in mask])


_REFUSED = {
    "integer": _refused_integers,
    "number": _refused_numbers,
    "binary": _refused_binary,
    "date": _refused_dates,
    "text": _refused_texts,
    "local_authority": _refused_texts,
    "category": _refused_never,
}
_BUILD = {
    "integer": _build_integers,
    "number": _build_numbers,
    "binary": _build_integers,
    "date": _build_dates,
    "text": _build_texts,
    "local_authority": _build_texts,
    "category": _build_categories,
}
