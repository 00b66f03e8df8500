"""Columns of the unit list as covariates to balance: numbers as they are, categories as indicators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from wwc_eval.errors import DesignError, did_you_mean, shown
from wwc_eval.randomisation.exact_scores import Covariate
from wwc_eval.randomisation.units import Units

__all__ = ["as_share", "numbers_of", "read_covariates", "read_weights"]

_TRUTH = {"true": Fraction(1), "false": Fraction(0)}


def read_covariates(units: Units, on: Sequence[str], weights: Sequence[Fraction] = ()) -> list[Covariate]:
    """Covariates in order: a column of numbers is one, a column of k categories k - 1 indicators.

    A column is of numbers if every canonical text is one, whatever its type was; otherwise it is of categories, and
    the first in order of code points is the reference. The weight of a column is that of each of its indicators.
    """
    found = []
    for name, weight in zip(on, weights or [Fraction(1)] * len(on), strict=True):
        texts = units.texts(name)
        numbers = numbers_of(texts)
        if numbers is not None:
            found.append(Covariate(name, tuple(numbers), weight))
            continue
        levels = sorted(set(texts))
        if len(levels) == 1:
            raise DesignError(f"covariate {shown(name)} does not vary", fix="leave it out of on", code="R21")
        found += [
            Covariate(f"{name}={level}", tuple(Fraction(text == level) for text in texts), weight)
            for level in levels[1:]
        ]
    return found


def numbers_of(texts: Sequence[str]) -> list[Fraction] | None:
    """Exact values of canonical texts, true and false as 1 and 0; None if one of them is no number.

    Texts that only look like numbers, such as ``01`` or ``1_000``, are categories.

    Examples
    --------
    >>> numbers_of(["0.5", "12", "true"])
    [Fraction(1, 2), Fraction(12, 1), Fraction(1, 1)]
    >>> numbers_of(["01", "12"])
    """
    values = []
    for text in texts:
        if text in _TRUTH:
            values.append(_TRUTH[text])
            continue
        try:
            canonical = str(int(text)) if text.lstrip("-").isdecimal() else repr(float(text))
        except ValueError:
            return None
        if canonical != text or text in {"inf", "-inf", "nan"}:
            return None
        values.append(Fraction(text))
    return values


def read_weights(weights: Any, on: Sequence[str]) -> tuple[float, ...] | None:
    """Weights in the order of ``on``, from a mapping (others 1) or a sequence.

    Raises
    ------
    DesignError
        If a weight is not above 0, or does not belong to a covariate.
    """
    from wwc_eval.errors import check_number

    if weights is None:
        return None
    if isinstance(weights, Mapping):
        for name in weights:
            if name not in on:
                raise DesignError(
                    f"weights names {shown(name)}, which is not in on", fix=did_you_mean(str(name), on)
                )
        values = [weights.get(name, 1) for name in on]
    elif isinstance(weights, (list, tuple)) and len(weights) == len(on):
        values = list(weights)
    else:
        raise DesignError(
            f"weights == {shown(weights)}, must give one weight for each of the {len(on)} covariates",
            fix='write weights={"caseload": 2}',
        )
    return tuple(check_number("weights", value, above=0) for value in values)


def as_share(name: str, value: object, *, below: float = 1.0) -> float:
    """A share above 0 and below 1 (or ``below``)."""
    from wwc_eval.errors import check_number

    return check_number(name, value, above=0, below=below)
