"""Adjusting p-values for the number of tests in a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from wwc_eval.errors import DataError, check_choice, shown
from wwc_eval.inference.families import Floats

__all__ = ["ADJUSTMENTS", "adjust_p"]


def adjust_p(p_values: Sequence[float] | Mapping[str, float], method: str = "holm") -> Any:
    """Adjusted p-values of a family of tests.

    Parameters
    ----------
    p_values : sequence or mapping of float
        P-values in [0, 1]. NaN (a test that could not be made) stays NaN and does not count.
    method : {"holm", "bonferroni", "hochberg", "benjamini_hochberg", "benjamini_yekutieli", "none"}
        ``holm`` holds the family-wise error rate whatever the dependence between the tests and is never worse
        than ``bonferroni``; ``hochberg`` needs independent or positively dependent tests;
        ``benjamini_hochberg`` and ``benjamini_yekutieli`` hold the false discovery rate.

    Returns
    -------
    ndarray or dict
        Adjusted p-values in the order given; a mapping gives a dict with the same keys.

    Raises
    ------
    DataError
        If a p-value is outside [0, 1].
    DesignError
        If the method is unknown.

    Notes
    -----
    Formula (Holm): the largest of ``(m - j + 1) p_(j)`` over the smaller p-values, at most 1. Sources: Holm
    1979 (Scandinavian Journal of Statistics 6); Hochberg 1988 (doi:10.1093/biomet/75.4.800); Benjamini and
    Hochberg 1995 (doi:10.1111/j.2517-6161.1995.tb02031.x); Benjamini and Yekutieli 2001
    (doi:10.1214/aos/1013699998).

    Examples
    --------
    >>> adjust_p({"days in care": 0.01, "proceedings": 0.04})
    {'days in care': 0.02, 'proceedings': 0.04}
    """
    check_choice("method", method, tuple(ADJUSTMENTS))
    if isinstance(p_values, Mapping):
        adjusted = adjust_p(list(p_values.values()), method)
        return dict(zip(p_values, adjusted.tolist(), strict=True))
    values = np.array(p_values, dtype=float).reshape(-1)
    wrong = values[(values < 0) | (values > 1)]
    if len(wrong):
        raise DataError(f"p-value {shown(float(wrong[0]))} is outside [0, 1]")
    known = ~np.isnan(values)
    result = values.copy()
    order = np.argsort(values[known], kind="stable")
    ordered = values[known][order]
    back = np.empty_like(ordered)
    back[order] = np.minimum(ADJUSTMENTS[method](ordered), 1.0)
    result[known] = back
    return result


def _holm(p: Floats) -> Floats:
    return np.maximum.accumulate(np.arange(len(p), 0, -1) * p)


def _hochberg(p: Floats) -> Floats:
    return _from_top(np.arange(len(p), 0, -1) * p)


def _bonferroni(p: Floats) -> Floats:
    return np.asarray(len(p) * p)


def _benjamini_hochberg(p: Floats) -> Floats:
    return _from_top(len(p) / np.arange(1, len(p) + 1) * p)


def _benjamini_yekutieli(p: Floats) -> Floats:
    ranks = np.arange(1, len(p) + 1)
    return _from_top(float(np.sum(1.0 / ranks)) * len(p) / ranks * p)


def _none(p: Floats) -> Floats:
    return p


def _from_top(values: Floats) -> Floats:
    """The smallest of each value and those above it."""
    return np.minimum.accumulate(values[::-1])[::-1]


ADJUSTMENTS: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {
        "holm": _holm,
        "bonferroni": _bonferroni,
        "hochberg": _hochberg,
        "benjamini_hochberg": _benjamini_hochberg,
        "benjamini_yekutieli": _benjamini_yekutieli,
        "none": _none,
    }
)
"""The adjustments by name; each takes sorted p-values."""
