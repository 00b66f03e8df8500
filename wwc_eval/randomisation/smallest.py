"""The smallest p-value that a randomisation test can give under a scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.randomisation.scheme import COUNTABLE

if TYPE_CHECKING:
    from wwc_eval.randomisation.scheme import BoundScheme, Codes, Floats

__all__ = ["smallest_by_enumeration", "smallest_p_value"]


def smallest_p_value(bound: BoundScheme) -> float:
    """Smallest two-sided p-value, mirror images counted.

    Enumerated where the permitted allocations are few; else 1 or (mirrored) 2 over their number, which is exact where
    they are equally likely and a fair guide where they are not.
    """
    if bound.count <= COUNTABLE:
        reference = bound.enumerate()
        if bound.column != "arm":
            return float(reference.weights.min()) * (2 if bound.mirrored else 1)
        return smallest_by_enumeration(reference.allocations, reference.weights, bound.arms.k)
    both = 2 if bound.mirrored else 1
    # the quotient of whole numbers of any size; below the smallest float it is 0
    return both / bound.count


def smallest_by_enumeration(allocations: Codes, weights: Floats, k: int) -> float:
    """Smallest p-value over comparisons of two arms and permitted allocations.

    A difference between arms a and b depends on who is in them alone, and changes sign where they change places; so
    the p-value of an allocation is the probability of all that agree with it, or with its mirror image, on a and b.
    Allocations that leave an arm of the comparison empty have no difference and are passed over.
    """
    best = 1.0
    for a in range(k):
        for b in range(a + 1, k):
            sign = (allocations == a).astype(np.int8) - (allocations == b).astype(np.int8)
            told = (sign > 0).any(axis=1) & (sign < 0).any(axis=1)
            if not told.any():
                continue
            first = np.argmax(sign != 0, axis=1)
            turned = sign * sign[np.arange(len(sign)), first][:, None]
            _, group = np.unique(_rows_as_bytes(turned), return_inverse=True)
            best = min(best, float(np.bincount(group, weights=weights)[np.unique(group[told])].min()))
    return best


def _rows_as_bytes(rows: Codes) -> np.ndarray:
    plain = np.ascontiguousarray(rows)
    return plain.view([("", plain.dtype)] * plain.shape[1]).ravel() if plain.shape[1] > 1 else plain.ravel()
