"""Look through results for small counts before they are written, and across samples for small differences."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DisclosureError, Place, Problem

if TYPE_CHECKING:
    from wwc_eval.data.disclosure import DisclosureRule

__all__ = ["check_small_counts", "find_small_counts", "small_differences"]

COUNT_NAMES = re.compile(
    r"^(n|n_.+|n[0-9]|events|non_events|missing|lost|excluded|allocated|analysed|received|rows|count|counts|children"
    r"|families|people|reasons|trials|dropped)$"
)
"""Names under which results keep counts of people."""
NOT_PEOPLE = frozenset(
    {"n_boot", "n_draws", "n_imputations", "n_permutations", "n_permitted", "n_periods", "n_reps"}
)


def find_small_counts(
    results: object, rule: DisclosureRule, *, ignore: Collection[str] = (), everywhere: bool = False
) -> list[Problem]:
    """Every count in a result that the rule does not let be shown.

    Parameters
    ----------
    results : mapping, sequence, Table, Flow, Estimate, data frame or a nesting of them
        What is about to be written. Whole numbers kept under the name of a count (``n``, ``events``, ``missing``,
        ``rows`` ...) and all that is nested in such a name are looked at.
    rule : DisclosureRule
        Threshold and profile.
    ignore : collection of str
        Names that hold no counts of people, such as ``n_clusters`` where clusters are authorities.
    everywhere : bool
        Look at every whole number, whatever its name.

    Returns
    -------
    list of Problem
        One a count, with the path to it; empty when all may be shown.

    Examples
    --------
    >>> from wwc_eval.data.disclosure import DisclosureRule
    >>> found = find_small_counts({"by_arm": {"usual": {"n": 740, "events": 4}}}, DisclosureRule())
    >>> [problem.place.field for problem in found]
    ['by_arm.usual.events']
    """
    skipped = NOT_PEOPLE | frozenset(ignore)
    return [
        Problem(
            message="a small count would be shown",
            place=Place(field=path),
            value=str(count),
            rule=f"counts below {rule.threshold} are not shown",
            fix="pass it through protect() or safe_count() first",
            code="D91",
        )
        for path, count in _counts(results, "", counting=everywhere, skipped=skipped)
        if rule.is_small(count)
    ]


def check_small_counts(
    results: object, rule: DisclosureRule, *, ignore: Collection[str] = (), everywhere: bool = False
) -> None:
    """Raise where :func:`find_small_counts` finds something.

    Raises
    ------
    DisclosureError
        With every small count as a problem.
    """
    found = find_small_counts(results, rule, ignore=ignore, everywhere=everywhere)
    if found:
        raise DisclosureError(problems=found)


def small_differences(samples: Mapping[str, int], rule: DisclosureRule) -> list[Problem]:
    """Pairs of samples whose sizes differ by a small count.

    Two analyses of nearly the same people differ by few: who reads both learns about those few.

    Parameters
    ----------
    samples : mapping of str to int
        Size of each sample by the name of its analysis.

    Examples
    --------
    >>> from wwc_eval.data.disclosure import DisclosureRule
    >>> [str(one.place) for one in small_differences({"primary": 2380, "complete": 2376}, DisclosureRule())]
    ['primary, complete']
    """
    return [
        Problem(
            message=f"the samples of '{first}' and '{second}' differ by a small count",
            place=Place(field=f"{first}, {second}"),
            value=str(abs(samples[first] - samples[second])),
            rule=f"counts below {rule.threshold} are not shown",
            fix="analyse the same people in both, or do not show the size of one",
            code="D92",
            severity="warning",
        )
        for first, second in combinations(samples, 2)
        if samples[first] != samples[second] and rule.is_small(abs(samples[first] - samples[second]))
    ]


def _counts(value: Any, path: str, *, counting: bool, skipped: frozenset[str]) -> Iterator[tuple[str, int]]:
    """Paths and values of the whole numbers under names of counts."""
    if isinstance(value, str | bytes | bool) or value is None:
        return
    if hasattr(value, "__dataclass_fields__"):
        value = {name: getattr(value, name) for name in value.__dataclass_fields__}
    elif hasattr(value, "to_dict") and hasattr(value, "columns"):
        value = value.to_dict(orient="records")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in skipped:
                here = f"{path}.{name}" if path else str(name)
                # the rows of a table have names of their own; "rows" as a number is a count
                listed = name == "rows" and isinstance(inner, Sequence)
                named = counting or (bool(COUNT_NAMES.match(str(name))) and not listed)
                yield from _counts(inner, here, counting=named, skipped=skipped)
    elif isinstance(value, Sequence):
        for index, inner in enumerate(value):
            yield from _counts(inner, f"{path}[{index}]", counting=counting, skipped=skipped)
    elif counting:
        yield from _whole(value, path)


def _whole(value: Any, path: str) -> Iterator[tuple[str, int]]:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return
    if number.is_integer():
        yield path, int(number)
