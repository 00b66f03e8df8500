"""Sentences of fits and errors as a report may show them: without small counts and without values of the data."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from wwc_eval.data.disclosure import safe_count
from wwc_eval.errors import Place, Problem, WwcError

if TYPE_CHECKING:
    from wwc_eval.data.disclosure import DisclosureRule

__all__ = ["guarded", "reason_of"]

_NUMBER = r"[0-9][0-9,]*"
_ROWS = re.compile(
    rf"\b({_NUMBER})((?: [a-z]+)? rows?\b| of <?{_NUMBER}(?: [a-z]+)? rows?\b)|\b(left of )({_NUMBER})\b"
)
_SAME = re.compile(rf"\bin all ({_NUMBER}) rows\b")
_OF_ROWS = re.compile(rf"\b(of )({_NUMBER})((?: [a-z]+)? rows?\b)")


def guarded(text: str, rule: DisclosureRule) -> str:
    """Text in which small numbers of rows are replaced by their label.

    Examples
    --------
    >>> from wwc_eval.data.disclosure import DisclosureRule
    >>> guarded("The outcome is predicted perfectly in 9 of 227 rows.", DisclosureRule(threshold=10))
    'The outcome is predicted perfectly in <10 of 227 rows.'
    """

    def label(number: str) -> str:
        count = int(number.replace(",", ""))
        return str(safe_count(count, rule)) if rule.is_small(count) else number

    text = _OF_ROWS.sub(lambda found: found[1] + label(found[2]) + found[3], text)
    return _ROWS.sub(
        lambda found: label(found[1]) + found[2] if found[1] else found[3] + label(found[4]),
        text,
    )


def reason_of(error: WwcError, rule: DisclosureRule) -> str:
    """What stopped an analysis, in sentences without small counts, values of the data or rows of a file."""
    sentences = []
    for problem in error.problems:
        plain = replace(problem, place=Place(), value=None, code="") if rule.active else problem
        same = _SAME.search(plain.message)
        if same and (rule.hides_zero or rule.is_small(int(same[1].replace(",", "")))):
            # what all of a few people have in common is known of each of them
            plain = Problem(message="a column that must vary is the same in all rows used", fix=problem.fix)
        sentences.append(guarded(str(plain), rule))
    return " ".join(f"{sentence}." for sentence in dict.fromkeys(sentences))
