"""Designs that cannot be met are refused before anything is drawn."""

from __future__ import annotations

from wwc_eval.errors import DesignError, Problem
from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.units import Strata

__all__ = ["check_ratio", "check_strata"]


def check_strata(strata: Strata, arms: Arms) -> None:
    """Refuse strata with fewer units than there are arms, all at once."""
    problems = [
        Problem(
            message=f"stratum '{label}' has {size} {'unit' if size == 1 else 'units'} for {arms.k} arms",
            rule="a stratum has at least as many units as there are arms",
            fix=f"merge it with another stratum in {' and '.join(strata.by)}, or stratify by fewer columns",
        )
        for label, size in zip(strata.labels, strata.sizes.tolist(), strict=True)
        if size < arms.k
    ]
    if problems:
        raise DesignError(problems=problems)


def check_ratio(n: int, arms: Arms) -> None:
    """Refuse a ratio under which so few units may leave an arm empty."""
    least = min(n * part // arms.total for part in arms.ratio)
    if least < 1:
        name = arms.names[arms.ratio.index(min(arms.ratio))]
        needed = -(-arms.total // min(arms.ratio))
        raise DesignError(
            f"the ratio {arms.words} cannot be met by {n} {'unit' if n == 1 else 'units'}: arm '{name}' may get none",
            rule="every arm gets at least one unit",
            fix=f"randomise at least {needed} units, or choose a ratio nearer to equal",
        )
