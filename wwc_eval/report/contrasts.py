"""Which estimates of an analysis are its headline, and which arms they set against each other."""

from __future__ import annotations

from wwc_eval.estimate import Estimate
from wwc_eval.report.record import AnalysisResult
from wwc_eval.report.words import clean, is_interaction, split_term

__all__ = ["arm_of", "headline_estimates", "other_scales"]


def headline_estimates(result: AnalysisResult) -> tuple[Estimate, ...]:
    """Estimates on the scale and in the units of the first: one a contrast."""
    effects = [one for one in result.estimates if result.role != "subgroup" or not is_interaction(one)]
    if not effects:
        return ()
    first = effects[0]
    return tuple(one for one in effects if (one.scale, one.shown_units) == (first.scale, first.shown_units))


def other_scales(result: AnalysisResult) -> tuple[Estimate, ...]:
    """The same contrasts on further scales."""
    head = headline_estimates(result)
    return tuple(one for one in result.estimates if one not in head)


def arm_of(estimate: Estimate, result: AnalysisResult) -> tuple[str, str]:
    """Arm that an estimate is of, and the arm it is set against, as words."""
    column, level = split_term(estimate.term)
    references = result.sample.get("reference_levels") or {}
    return clean(level), clean(references.get(column, "reference"))
