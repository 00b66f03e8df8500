"""CSV that is safe to open in a spreadsheet and never half written."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.data.explain import NUMBER
from wwc_eval.errors import DataError, Place

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["write_bytes", "write_csv"]

BLANK = '""'  # a record of one blank cell, which must not look like an empty line
_SPECIAL = re.compile(r'[",\r\n]')
_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    r"""Write a frame as CSV: UTF-8, one line feed a row, all at once or not at all.

    Text that a spreadsheet would take for a formula (beginning with ``= + - @``, a tab or a line break) is written
    with a ``'`` before it; numbers are not touched. Missing values are blank, dates ISO, booleans 0 and 1, numbers
    at full precision. The index is not written.

    Parameters
    ----------
    frame : pandas.DataFrame
        The table; it is not changed.
    path : str or Path
        File to write; one that exists is replaced when the new one is complete.

    Raises
    ------
    DataError
        If the file cannot be written (D52).

    Examples
    --------
    >>> import pandas as pd, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "out.csv")
    ...     write_csv(pd.DataFrame({"note": ["=1+1", "-2.5"], "n": [-3, 4]}), path)
    ...     path.read_text()
    "note,n\n'=1+1,-3\n-2.5,4\n"
    """
    columns = [_texts(frame.iloc[:, index]) for index in range(frame.shape[1])]
    rows = [[_neutral(str(name)) for name in frame.columns], *zip(*columns, strict=True)]
    text = "".join(f"{','.join(map(_field, row)) or BLANK}\n" for row in rows)
    write_bytes(text.encode("utf-8"), path)


def write_bytes(content: bytes, path: str | Path) -> None:
    """Write a file through a temporary one beside it, so that readers see the old or the new, never a part.

    Raises
    ------
    DataError
        If the file cannot be written (D52).
    """
    target = Path(path)
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
        temporary = None
        _sync_folder(target.parent)
    except OSError as error:
        raise DataError(
            f"the file cannot be written: {error.strerror or error}",
            place=Place(file=str(path)),
            code="D52",
            fix="check that the folder exists, that it may be written to, and that the file is not open elsewhere",
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system lets folders be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def _texts(values: pd.Series[Any]) -> list[str]:
    from pandas.api import types

    absent = values.isna().to_numpy(dtype=bool).tolist()
    if types.is_datetime64_any_dtype(values.dtype):
        cells: list[Any] = [_date_text(cell) for cell in values]
    elif types.is_bool_dtype(values.dtype):
        cells = ["" if blank else str(int(cell)) for cell, blank in zip(values, absent, strict=True)]
    else:
        cells = [_cell_text(cell) for cell in values.tolist()]
    return ["" if blank else cell for cell, blank in zip(cells, absent, strict=True)]


def _date_text(cell: Any) -> str:
    text: str = cell.isoformat()
    return text.removesuffix("T00:00:00")


def _cell_text(cell: Any) -> str:
    if isinstance(cell, str):
        return _neutral(cell)
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, float):
        return repr(float(cell))
    if isinstance(cell, int):
        return str(cell)
    return _neutral(_date_text(cell) if hasattr(cell, "isoformat") else str(cell))


def _field(text: str) -> str:
    """Text of one field, in quotes where it needs them (a lone carriage return does, too)."""
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if _SPECIAL.search(text) else text


def _neutral(text: str) -> str:
    """Text with a quote before it where a spreadsheet would take it for a formula."""
    harmless = text == "-" or NUMBER.fullmatch(text) is not None
    return f"'{text}" if _FORMULA.match(text) and not harmless else text
