"""Which estimates of an analysis are its headline, and what they set against what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wwc_eval.estimate import Estimate
from wwc_eval.report.record import AnalysisResult
from wwc_eval.report.words import clean, humanise

__all__ = ["arm_of", "contrast", "headline_estimates", "is_interaction", "other_scales", "split_term"]

_TERM = re.compile(r"^(?P<column>[^\[\]:]+)\[(?P<level>.+)\]$", re.DOTALL)
_LEVEL = re.compile(r"\[[^\]]*\]")
_CROSSED = re.compile(r"^(?P<first>[^\[\]:]+\[[^\]]*\]):(?P<second>.+)$", re.DOTALL)
_GIVEN = " | "


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


def is_interaction(estimate: Estimate) -> bool:
    """Whether an estimate of a subgroup analysis is the difference between groups and not an effect in one.

    Its ``details`` may say so under ``interaction``; else a term such as ``arm[conference]:infant[yes]`` is one, and
    ``arm[conference] | infant: yes`` is not.
    """
    told = estimate.details.get("interaction")
    head = _LEVEL.sub("", estimate.term.partition(_GIVEN)[0])
    return bool(told) if told is not None else ":" in head


def contrast(estimate: Estimate, result: AnalysisResult) -> str:
    """Which level is set against which, or the group that the estimate is of.

    ``arm[conference]`` with reference level ``usual`` reads "conference against usual"; ``arm[conference] | sex:
    male`` reads "sex: male", and ``arm[conference]: male - female`` beside it or ``arm[conference]:sex[male]`` reads
    "sex: male against female", with the arms where there are several contrasts. A ``group`` in the estimate's
    ``details`` stands for itself.
    """
    told = estimate.details
    if told.get("group"):
        return clean(told["group"])
    references = result.sample.get("reference_levels") or {}
    head, _, where = estimate.term.partition(_GIVEN)
    arm = head.partition("]:")[0] + "]" if is_interaction(estimate) else head
    words = _group(where) if where else _between(head, result, references)
    if words:
        several = len({one.term.partition(_GIVEN)[0] for one in result.estimates if not is_interaction(one)}) > 1
        return f"{words}, {_against(arm, references)}" if several else words
    if not split_term(head)[0] and told.get("reference") is not None and told.get("level") is not None:
        return f"{clean(told['level'])} against {clean(told['reference'])}"
    return _against(head, references)


def _group(where: str) -> str:
    column, _, level = where.rpartition(": ")
    return f"{humanise(column)}: {clean(level)}" if column else clean(where)


def _between(head: str, result: AnalysisResult, references: Mapping[str, Any]) -> str:
    """Words of a difference between groups; empty for any other term."""
    crossed = _CROSSED.match(head)
    if crossed is None:
        return ""
    second = crossed["second"]
    groups = [one.term.partition(_GIVEN)[2].rpartition(": ") for one in result.estimates if _GIVEN in one.term]
    for column, _, first in groups:
        for sign in (" - ", " / "):
            if second.endswith(f"{sign}{first}"):
                later = second.removesuffix(f"{sign}{first}").strip()
                return f"{humanise(column)}: {clean(later)} against {clean(first)}"
    column = split_term(second)[0]
    return (f"{humanise(column)}: " if column else "") + _against(second.strip(), references)


def _against(term: str, references: Mapping[str, Any]) -> str:
    column, level = split_term(term)
    return f"{clean(level)} against {clean(references[column])}" if column in references else clean(level)


def split_term(term: str) -> tuple[str, str]:
    """Column and level of a term such as ``arm[conference]``; an empty column for any other term.

    Examples
    --------
    >>> split_term("arm[conference]"), split_term("age")
    (('arm', 'conference'), ('', 'age'))
    """
    found = _TERM.match(term)
    return (found["column"], found["level"]) if found else ("", term)
