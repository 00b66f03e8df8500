"""Design effects: what a design's clusters and periods cost against randomising children one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from wwc_eval.errors import DesignError, check_choice
from wwc_eval.power.checks import Number, plain

if TYPE_CHECKING:
    from wwc_eval.power.stepped_wedge import SteppedWedge
    from wwc_eval.power.trial import Trial

__all__ = ["COUNTS", "design_effect"]

COUNTS = ("children", "children of one period")
"""How the children of a design with periods are counted."""


def design_effect(
    design: Trial | SteppedWedge, *, count: Literal["children", "children of one period"] = "children"
) -> Number:
    """Variance of the effect / that of a trial of as many children, randomised one by one.

    Parameters
    ----------
    design : Trial or SteppedWedge
        The design; a wedge is compared with two arms of equal size, a trial with its own allocation.
    count : {"children", "children of one period"}
        Of a wedge: whether all children are counted, or those of one period, as in Woertman's formula for cohorts.

    Returns
    -------
    float or array
        Formula: var(effect) N / (sigma^2 / (P (1 - P))), at no effect; 1 + (m - 1) icc for clusters of m. Sources: Donner
        and Klar 2000; Woertman et al. 2013 (doi:10.1016/j.jclinepi.2013.01.009).

    Raises
    ------
    DesignError
        If the design has no such comparison.

    Examples
    --------
    >>> from wwc_eval.power import Level, SteppedWedge, Trial
    >>> round(design_effect(Trial(levels=[Level("child", 21), Level("team", 30, icc=0.05)], assigned="team")), 10)
    2.0
    >>> wedge = SteppedWedge.standard(clusters=4, steps=4, cell_size=10, icc=0.05)
    >>> round(design_effect(wedge, count="children of one period"), 4)
    0.5351
    """
    from wwc_eval.power.level import Level
    from wwc_eval.power.nested import units_in_all
    from wwc_eval.power.stepped_wedge import SteppedWedge
    from wwc_eval.power.trial import Trial

    check_choice("count", count, COUNTS)
    if not isinstance(design, (Trial, SteppedWedge)):
        raise DesignError(f"a {type(design).__name__} has no design effect", fix="give a Trial or a SteppedWedge")
    allocation: Number = 0.5
    if isinstance(design, SteppedWedge):
        children = design.sizes.sum() / (design.periods if count == COUNTS[1] else 1)
    else:
        children, allocation = units_in_all(design, 0), design.allocation
    simple = Trial(
        levels=[Level("child", plain(children))], assigned="child", allocation=allocation, outcome=design.outcome
    )
    none = design.outcome.null
    return plain(np.asarray(design.power(none).se) ** 2 / np.asarray(simple.power(none).se) ** 2)
