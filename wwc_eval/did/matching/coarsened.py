"""Coarsened exact matching: rows agree on every characteristic once it is coarsened."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.matching.result import Matching, cautions
from wwc_eval.did.matching.sample import Sample, read_sample
from wwc_eval.errors import DataError, DesignError, Place, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["coarsened_exact_matching", "l1_imbalance"]

Codes = NDArray[np.intp]
CITATION = "Iacus, King and Porro 2012, doi:10.1093/pan/mpr013"


def coarsened_exact_matching(
    data: Any,
    *,
    treatment: str,
    on: Mapping[str, Any],
    unit: str | None = None,
    balance: Sequence[str] = (),
) -> Matching:
    """Match rows that fall in the same cells of coarsened characteristics.

    Parameters
    ----------
    data : DataFrame
        One row a child or a local authority; pandas, polars or pyarrow. Not changed.
    treatment : str
        Column of 0 and 1.
    on : mapping
        How each column is coarsened: cut points in ascending order (a value at a cut point falls in the bin above), a
        number of bins of equal width, ``"exact"``, ``"sturges"`` (``ceil(log2 n) + 1`` bins of equal width), or a
        mapping of categories to broader ones.
    unit : str, optional
        Column that identifies a row, for :meth:`Matching.attach`.
    balance : sequence of str
        Further columns whose balance is shown.

    Returns
    -------
    Matching
        ``.weights``, ``.balance``, ``.l1``, ``.data``, ``.attach(panel)``, ``.plot()``.

    Raises
    ------
    DesignError
        If a column is not there, or cannot be coarsened as asked.
    DataError
        If a value is missing, or no cell holds both treated and control rows.

    Notes
    -----
    Formula: in a cell with ``t`` treated and ``c`` controls, treated rows weigh 1 and controls
    ``(C / T) (t / c)``, where T and C count all matched rows of a group; rows of a cell without the other group weigh
    0. L1 = half the sum over cells of the absolute difference of the two groups' shares; its cells are not those of
    the matching but Sturges' bins of each numeric column (categories, and numbers of fewer values, as they are), the
    same before and after. Source: Iacus, King and Porro (2012), doi:10.1093/pan/mpr013.

    Examples
    --------
    >>> import pandas as pd
    >>> children = pd.DataFrame({"joined": [1, 1, 0, 0, 0], "age": [3, 12, 4, 5, 16], "sex": list("fmffm")})
    >>> matched = coarsened_exact_matching(children, treatment="joined", on={"age": [5, 10], "sex": "exact"})
    >>> matched.weights.tolist()
    [1.0, 1.0, 1.0, 0.0, 1.0]
    """
    if not on:
        raise DesignError("nothing to match on", fix="write on={'age': [1, 5, 10, 16], 'sex': 'exact'}")
    sample = read_sample(data, treatment, [*on, *balance], unit)
    parts = [_coarsened(sample.frame[name], name, rule) for name, rule in on.items()]
    cells, codes = np.unique(np.column_stack(parts), axis=0, return_inverse=True)
    codes = codes.reshape(-1)
    size = len(cells)
    treated = np.bincount(codes[sample.treated], minlength=size)
    control = np.bincount(codes[~sample.treated], minlength=size)
    both = (treated > 0) & (control > 0)
    if not both.any():
        raise DataError(
            "no cell holds both treated and control rows",
            rule=f"{size:,} cells of {', '.join(on)}",
            fix="coarsen further, or match on fewer columns",
        )
    T, C = float(treated[both].sum()), float(control[both].sum())
    share = np.divide(treated, control, out=np.zeros(size), where=both)
    weights = np.where(sample.treated, both[codes].astype(float), (C / T) * share[codes])
    columns = tuple(dict.fromkeys([*on, *balance]))
    found = Matching(
        sample=sample,
        weights=weights,
        subclass=np.where(both[codes], codes, -1),
        columns=columns,
        unit=unit,
        method=f"Coarsened exact matching on {', '.join(on)}: {int(both.sum()):,} of {size:,} cells hold both groups",
        citation=CITATION,
        l1=l1_imbalance(sample, weights, tuple(on)),
    )
    largest = found.balance.largest()
    return _with_warnings(found, cautions(sample.treated, weights, largest))


def _with_warnings(found: Matching, warnings: tuple[str, ...]) -> Matching:
    from dataclasses import replace

    return replace(found, warnings=warnings)


def l1_imbalance(sample: Sample, weights: NDArray[np.float64], columns: Sequence[str]) -> dict[str, float]:
    """Multivariate L1 imbalance before and after: 0 where the groups are alike, 1 where no cell is shared.

    Parameters
    ----------
    sample : Sample
        Rows.
    weights : (n,) array
        Weights after matching.
    columns : sequence of str
        Columns whose joint distribution is compared.
    """
    import pandas as pd

    parts = []
    for name in columns:
        series = sample.frame[name]
        numeric = pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series)
        many = numeric and series.nunique() > _sturges(sample.n)
        parts.append(_coarsened(series, name, "sturges" if many else "exact"))
    _, codes = np.unique(np.column_stack(parts), axis=0, return_inverse=True)
    codes = codes.reshape(-1)
    found = {}
    for when, each in (("before", np.ones(sample.n)), ("after", weights)):
        shares = []
        for here in (sample.treated, ~sample.treated):
            counts = np.bincount(codes[here], weights=each[here], minlength=int(codes.max()) + 1)
            shares.append(counts / counts.sum())
        found[when] = 0.5 * float(np.abs(shares[0] - shares[1]).sum())
    return found


def _sturges(n: int) -> int:
    return math.ceil(math.log2(n)) + 1


def _coarsened(series: pd.Series[Any], name: str, rule: Any) -> Codes:
    """Code of the bin of each row."""
    import pandas as pd

    if isinstance(rule, str):
        if rule == "exact":
            return np.asarray(pd.factorize(series, sort=True)[0], dtype=np.intp)
        if rule != "sturges":
            raise DesignError(
                f"on['{name}'] == {shown(rule)}",
                fix="give cut points, a number of bins, 'exact', 'sturges' or a mapping of categories",
            )
        rule = _sturges(len(series))
    if isinstance(rule, Mapping):
        unknown = sorted({str(value) for value in series.unique()} - {str(key) for key in rule})
        if unknown:
            raise DataError(
                f"'{name}' holds {shown(unknown[0])}, which on['{name}'] does not map",
                place=Place(column=name),
                fix="map every category",
            )
        broader = {str(key): str(value) for key, value in rule.items()}
        return np.asarray(pd.factorize(series.map(lambda v: broader[str(v)]), sort=True)[0], dtype=np.intp)
    if not pd.api.types.is_numeric_dtype(series):
        raise DesignError(f"'{name}' holds no numbers, so it has no bins", fix=f"use on={{'{name}': 'exact'}}")
    values = series.to_numpy(dtype=float)
    if isinstance(rule, (int, np.integer)) and not isinstance(rule, bool):
        if rule < 1:
            raise DesignError(f"on['{name}'] == {rule}, a number of bins must be at least 1")
        cuts = np.linspace(values.min(), values.max(), int(rule) + 1)[1:-1]
    else:
        cuts = np.asarray(rule, dtype=float)
        if cuts.ndim != 1 or not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any():
            raise DesignError(f"on['{name}'] == {shown(rule)}, cut points must be numbers that ascend")
    return np.searchsorted(cuts, values, side="right")
