"""Columns that earlier columns determine exactly: found from left to right, and named.

A first look at the cross-products clears designs that are far from singular, which costs next to nothing for
tall data. Only where it does not, an orthogonal factorisation decides: columns are centred (where there is an
intercept) and scaled to length 1, the data are reduced to the small triangle R of QR, and each column of R is
projected on the kept ones before it. A column is dropped when what is left of it is at most ``TOLERANCE`` of
its length, so a correlation of 1 - 1e-8 is kept (there 1e-4 is left).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wwc_eval.formula.columns import FloatArray, IntArray

__all__ = ["TOLERANCE", "Alias", "Dependence", "describe", "find_dependence"]

TOLERANCE = 1e-9
# squared share of a column's length that must be left for the cross-products to be trusted
CLEAR = 1e-6
# a column whose centred length is below this share of its length is constant up to rounding
CONSTANT = 1e-13
NEGLIGIBLE = 1e-8
SHOWN_PARTS = 6
ROWS_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class Alias:
    """A column left out of the design because the columns before it determine it.

    Parameters
    ----------
    term : str
        Name of the column left out.
    combination : str
        What it equals, in readable text; "0" for a column without any value.
    reason : str
        Why, where the combination does not say it.
    """

    term: str
    combination: str
    reason: str = ""

    def __str__(self) -> str:
        """``term = combination (reason)``."""
        return f"{self.term} = {self.combination}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, kw_only=True, eq=False)
class Dependence:
    """Which columns of a matrix are kept, and how the others follow from them.

    Parameters
    ----------
    kept : integer array
        Positions of the kept columns.
    dropped : mapping of int to array
        For each dropped column, its coefficients on the kept columns, shape (len(kept),).
    slack : mapping of int to float
        For each dropped column, by how much at most its combination misses it: rounding.
    """

    kept: IntArray
    dropped: Mapping[int, FloatArray]
    slack: Mapping[int, float]


def find_dependence(X: FloatArray, *, intercept: bool) -> Dependence:
    """Columns that are exactly determined by earlier ones.

    Parameters
    ----------
    X : array, shape (n, p)
        Design matrix; with ``intercept`` its first column is constant 1.

    Returns
    -------
    Dependence
    """
    columns = np.arange(X.shape[1])
    squares = np.einsum("ij,ij->j", X, X)
    zero = squares == 0.0
    live = columns[~zero]
    whole = X if not zero.any() else X[:, live]
    if not len(live) or _clearly_independent(whole, intercept=intercept):
        kept, dropped = live, {}
    else:
        inner, found = _factorise(whole, intercept=intercept)
        kept = live[inner]
        dropped = {int(live[index]): values for index, values in found.items()}
    slack = {}
    if dropped:
        basis = X[:, kept]
        slack = {index: float(np.abs(X[:, index] - basis @ values).max()) for index, values in dropped.items()}
    never = {int(index): np.zeros(len(kept)) for index in columns[zero]}
    return Dependence(
        kept=kept, dropped=dict(sorted({**dropped, **never}.items())), slack={**dict.fromkeys(never, 0.0), **slack}
    )


def _clearly_independent(X: FloatArray, *, intercept: bool) -> bool:
    """Whether the cross-products alone show that no column is near to a combination of others."""
    n, p = X.shape
    if n < p:
        return False
    products = X.T @ X
    if intercept:
        sums = products[0]
        centred = products[1:, 1:] - np.outer(sums[1:], sums[1:]) / n
        if (np.diag(centred) < CLEAR * np.diag(products)[1:]).any():
            return False
    else:
        centred = products
    lengths = np.sqrt(np.diag(centred))
    try:
        pivots = np.diag(np.linalg.cholesky(centred / np.outer(lengths, lengths)))
    except np.linalg.LinAlgError:
        return False
    return bool((pivots**2 > CLEAR).all())


def _factorise(X: FloatArray, *, intercept: bool) -> tuple[IntArray, dict[int, FloatArray]]:
    """Kept columns, and coefficients of the others on them, by an orthogonal factorisation."""
    lengths = np.sqrt(np.einsum("ij,ij->j", X, X))
    first = 1 if intercept else 0
    means = X[:, first:].mean(axis=0) if intercept else np.zeros(X.shape[1])
    inner = X[:, first:]
    spread = np.sqrt(sum(((part - means) ** 2).sum(axis=0) for part in _slices(inner)))
    varies = spread > CONSTANT * lengths[first:]
    scale = np.where(varies, spread, 1.0)
    triangle = _triangle(inner, means, scale)
    # what centring rounds off, relative to what is left
    noise = 16 * np.finfo(float).eps * lengths[first:] / scale
    kept, dropped = _project(triangle, varies, noise)
    coefficients = {}
    for index, values in dropped.items():
        # back to the columns as they are: x_j = c0 + sum of c_k x_k
        slopes = values * scale[index] / scale[kept]
        sizes = lengths[first:][kept]
        if intercept:
            constant = means[index] - float(slopes @ means[kept])
            slopes, sizes = np.append(constant, slopes), np.append(lengths[0], sizes)
        slopes[np.abs(slopes) * sizes <= NEGLIGIBLE * lengths[first + index]] = 0.0
        coefficients[first + index] = slopes
    positions = np.concatenate([np.arange(first), first + kept]).astype(np.intp)
    return positions, coefficients


def _slices(X: FloatArray) -> Iterator[FloatArray]:
    """Rows in slices that fit into fast memory."""
    rows = max(ROWS_AT_ONCE, 4 * X.shape[1])
    for start in range(0, len(X), rows):
        yield X[start : start + rows]


def _triangle(X: FloatArray, means: FloatArray, scale: FloatArray) -> FloatArray:
    """Triangle R of the QR factorisation of the centred, scaled columns, from those of slices of rows."""
    parts = [np.linalg.qr((part - means) / scale, mode="r") for part in _slices(X)]
    return np.asarray(np.linalg.qr(np.vstack(parts), mode="r") if len(parts) > 1 else parts[0])


def _project(
    triangle: FloatArray, varies: npt.NDArray[np.bool_], noise: FloatArray
) -> tuple[IntArray, dict[int, FloatArray]]:
    """Kept columns of a triangle and, for the others, coefficients on all kept ones (Gram-Schmidt, done twice)."""
    rows, p = triangle.shape
    basis = np.zeros((rows, min(rows, p)))
    weights = np.zeros((min(rows, p), min(rows, p)))
    kept: list[int] = []
    dropped: dict[int, FloatArray] = {}
    rounding = 0.0
    for index in range(p):
        count = len(kept)
        rest = triangle[:, index].copy()
        shares = np.zeros(count)
        for _ in range(2):
            step = basis[:, :count].T @ rest
            rest -= basis[:, :count] @ step
            shares += step
        left = float(np.linalg.norm(rest))
        rounding = max(rounding, float(noise[index])) if varies[index] else rounding
        if not varies[index] or count == rows or left <= max(TOLERANCE, rounding):
            solved: FloatArray = np.zeros(count)
            if varies[index]:
                solved = np.asarray(np.linalg.solve(weights[:count, :count], shares), dtype=np.float64)
            dropped[index] = solved
            continue
        basis[:, count] = rest / left
        weights[:count, count] = shares
        weights[count, count] = left
        kept.append(index)
    padded = {index: np.pad(values, (0, len(kept) - len(values))) for index, values in dropped.items()}
    return np.array(kept, dtype=np.intp), padded


def describe(names: Sequence[str], coefficients: FloatArray) -> str:
    """Readable combination: ``(Intercept) - la[Leeds] - 2 * x``, shortened where it is long.

    Examples
    --------
    >>> describe(["(Intercept)", "a", "b"], np.array([1.0, -1.0, 0.5]))
    '(Intercept) - a + 0.5 * b'
    """
    parts = [(float(value), name) for value, name in zip(coefficients, names, strict=True) if value]
    if not parts:
        return "0"
    text = ""
    for value, name in parts[:SHOWN_PARTS]:
        sign = ("-" if value < 0 else "") if not text else (" - " if value < 0 else " + ")
        size = abs(value)
        nearest = round(size)
        plain = f"{nearest}" if nearest and abs(size - nearest) < 1e-6 * nearest else f"{size:.4g}"
        text += sign + (name if plain == "1" else f"{plain} * {name}")
    return text if len(parts) <= SHOWN_PARTS else f"{text} ... ({len(parts)} columns)"
