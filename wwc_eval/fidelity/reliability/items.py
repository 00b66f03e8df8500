"""Item analysis of a scale: what each item adds, how it is spread, and what is missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wwc_eval.errors import DataError, check_number
from wwc_eval.fidelity.reliability.consistency import alpha_of
from wwc_eval.fidelity.reliability.reading import Floats, read_numbers
from wwc_eval.table import Column, Table

__all__ = ["item_analysis"]


def item_analysis(items: Any, *, lowest: float | None = None, highest: float | None = None) -> Table:
    """One row an item: mean, spread, correlation with the rest, alpha without it, floor, ceiling, missing.

    Parameters
    ----------
    items : DataFrame or array of numbers, respondents x items
        All scored in one direction.
    lowest, highest : float, optional
        Ends of the scale; the lowest and highest value that occur in any item where they are missing.

    Returns
    -------
    Table
        ``item, n, missing, mean, sd, item_rest, alpha_if_dropped, floor, ceiling, note``. ``item_rest`` is the correlation
        with the sum of the other items, over respondents with all items; ``floor`` and ``ceiling`` are shares at the ends
        of the scale; ``missing`` is a share. A figure that cannot be had is missing, and ``note`` says why.

    Raises
    ------
    DataError
        If an item is not numbers, or there is none.

    Examples
    --------
    >>> import pandas as pd
    >>> scale = pd.DataFrame({"q1": [1, 2, 3, 4, 5, 3], "q2": [2, 2, 3, 5, 4, 3], "q3": [1, 3, None, 4, 4, 2]})
    >>> item_analysis(scale, lowest=1, highest=5).to_frame()[["item", "n", "floor"]].values.tolist()
    [['q1', 6, 0.16666666666666666], ['q2', 6, 0.0], ['q3', 5, 0.2]]
    """
    y, names, _, _ = read_numbers(items)
    if not y.shape[1]:
        raise DataError("the frame holds no item")
    seen = y[~np.isnan(y)]
    if lowest is not None:
        check_number("lowest", lowest)
    if highest is not None:
        check_number("highest", highest)
    ends = (
        float(seen.min()) if lowest is None and len(seen) else lowest,
        float(seen.max()) if highest is None and len(seen) else highest,
    )
    whole = y[~np.isnan(y).any(axis=1)]
    rows = [_row(y[:, k], names[k], whole, k, ends) for k in range(y.shape[1])]
    notes = []
    if len(whole) < len(y):
        notes.append(
            f"Correlations and alphas over the {len(whole):,} of {len(y):,} respondents who answered every item."
        )
    weak = [row["item"] for row in rows if math.isfinite(row["item_rest"]) and row["item_rest"] < 0]
    if weak:
        notes.append(
            "Negative correlation with the rest (scored in the other direction?): " + ", ".join(weak) + "."
        )
    return Table(rows, _COLUMNS, title="Item analysis", notes=notes)


_COLUMNS = (
    Column(name="item"),
    Column(name="n", kind="count"),
    Column(name="missing", kind="percent", digits=1),
    Column(name="mean", kind="number", digits=2),
    Column(name="sd", label="SD", kind="number", digits=2),
    Column(name="item_rest", label="correlation with the rest", kind="number", digits=2),
    Column(name="alpha_if_dropped", label="alpha without it", kind="number", digits=3),
    Column(name="floor", label="at the lowest", kind="percent", digits=1),
    Column(name="ceiling", label="at the highest", kind="percent", digits=1),
    Column(name="note"),
)


def _row(
    values: Floats, name: str, whole: Floats, k: int, ends: tuple[float | None, float | None]
) -> dict[str, Any]:
    seen = values[~np.isnan(values)]
    n = len(seen)
    found: dict[str, Any] = {
        "item": name,
        "n": n,
        "missing": 1.0 - n / len(values) if len(values) else math.nan,
        "mean": float(seen.mean()) if n else math.nan,
        "sd": float(seen.std(ddof=1)) if n > 1 else math.nan,
        "item_rest": math.nan,
        "alpha_if_dropped": math.nan,
        "floor": float((seen == ends[0]).mean()) if n else math.nan,
        "ceiling": float((seen == ends[1]).mean()) if n else math.nan,
        "note": "",
    }
    others = np.delete(whole, k, axis=1)
    if not n:
        found["note"] = "no answer"
    elif others.shape[1] == 0:
        found["note"] = "no other item"
    elif len(whole) < 3:
        found["note"] = "fewer than 3 respondents answered every item"
    else:
        rest, own = others.sum(axis=1), whole[:, k]
        if np.ptp(own) == 0:
            found["note"] = "constant"
        elif np.ptp(rest) == 0:
            found["note"] = "the sum of the others is constant"
        else:
            found["item_rest"] = float(np.corrcoef(own, rest)[0, 1])
        if others.shape[1] > 1 and np.ptp(rest) > 0:
            found["alpha_if_dropped"] = float(alpha_of(np.cov(others, rowvar=False)))
    return found
