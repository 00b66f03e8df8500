"""Stacks of small symmetric matrices: products, inverses and determinants of all of them at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Flags", "Index", "apply", "inner_trace", "solve_last", "spd_inverse", "swap", "symmetric"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Index = NDArray[np.intp]


def swap(a: Array) -> Array:
    """Transpose of each matrix of a stack (..., i, j)."""
    return a.swapaxes(-1, -2)


def apply(a: Array, x: Array) -> Array:
    """Matrix times vector for each of a stack: (R or 1, i, j), (R, j) -> (R, i)."""
    return np.asarray((a @ x[:, :, None])[:, :, 0])


def symmetric(a: Array) -> Array:
    """``a + a'`` for each matrix of a stack."""
    return a + swap(a)


def inner_trace(a: Array, b: Array) -> Array:
    """``trace(a b)`` for each pair of a stack."""
    return np.asarray((a * swap(b)).sum((1, 2)))


def spd_inverse(a: Array) -> tuple[Array, Array]:
    """Inverse and log determinant of positive definite matrices (R, p, p) by Gauss-Jordan sweeps.

    The replicate axis stands last while sweeping, so that a thousand small matrices cost little more than one.
    A matrix that is not positive definite gives not-a-number.
    """
    work = np.ascontiguousarray(np.moveaxis(a, 0, -1))
    log_det = np.zeros(work.shape[-1])
    for k in range(len(work)):
        pivot = work[k, k].copy()
        with np.errstate(invalid="ignore", divide="ignore"):
            log_det += np.log(pivot)
            row = work[k] / pivot
            column = work[:, k].copy()
            work -= column[:, None] * row[None]
            work[k] = row
            work[:, k] = -column / pivot
            work[k, k] = 1.0 / pivot
    return np.ascontiguousarray(np.moveaxis(work, -1, 0)), log_det


def solve_last(a: Array, b: Array) -> Array:
    """Solutions (p, R) of positive definite systems (p, p, R), replicates on the last axis, by Gaussian elimination.

    ``a`` and ``b`` are used up. A matrix that is not positive definite gives not-a-number or a large number.
    """
    size = len(a)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for k in range(size - 1):
            factor = a[k + 1 :, k] / a[k, k]
            a[k + 1 :, k + 1 :] -= factor[:, None] * a[k, k + 1 :]
            b[k + 1 :] -= factor * b[k]
        for k in range(size - 1, -1, -1):
            b[k] = (b[k] - (a[k, k + 1 :] * b[k + 1 :]).sum(axis=0)) / a[k, k]
    return b
