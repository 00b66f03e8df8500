"""How factors are coded in each term: by contrasts with a reference level, or by all their levels.

The choice gives R's column space with as few columns as it needs: ``1 + arm`` codes ``arm`` by contrasts,
``0 + arm`` by all levels, and ``sex:arm`` beside ``sex`` alone codes ``arm`` by contrasts and ``sex`` by all.
The rule is that of patsy (N. J. Smith, "Model specification for coding categorical data"): a term stands for
all products of its factors' contrasts that no earlier term holds, gathered into as few blocks as possible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from wwc_eval.formula.terms import Factor, Term

__all__ = ["Block", "choose_codings"]

Block = dict[Factor, bool]
"""Factors of one block of columns, each with whether it is coded by all its levels."""


def choose_codings(
    terms: Sequence[Term], *, intercept: bool, is_factor: Callable[[Factor], bool]
) -> list[list[Block]]:
    """Blocks of columns for each term, in order; a term of numeric parts alone has one empty block.

    Parameters
    ----------
    terms : sequence of Term
        Terms in model order, main effects before interactions.
    intercept : bool
        Whether a constant stands before them.
    is_factor : callable
        Whether a part of a term is a factor in these data.

    Examples
    --------
    >>> from wwc_eval.formula.terms import Variable
    >>> arm = Variable("arm")
    >>> choose_codings([Term((arm,))], intercept=False, is_factor=lambda part: True)
    [[{Variable(name='arm'): True}]]
    """
    # what is spanned already, for each set of numeric parts that multiplies it
    spanned: dict[frozenset[Factor], set[frozenset[Factor]]] = {}
    if intercept:
        spanned[frozenset()] = {frozenset()}
    chosen = []
    for term in terms:
        factors = [part for part in term.factors if is_factor(part)]
        numeric = frozenset(part for part in term.factors if not is_factor(part))
        known = spanned.setdefault(numeric, set())
        fresh = [
            frozenset(subset)
            for size in range(len(factors) + 1)
            for subset in combinations(factors, size)
            if frozenset(subset) not in known
        ]
        known.update(fresh)
        blocks = [dict.fromkeys((part for part in factors if part in subset), False) for subset in fresh]
        while _merge_once(blocks):
            pass
        chosen.append(blocks)
    return chosen


def _merge_once(blocks: list[Block]) -> bool:
    """Join a block with one that has a single contrast more: together they span all levels of that factor."""
    for short in blocks:
        for position, long in enumerate(blocks):
            extra = [part for part in long if part not in short]
            if len(extra) != 1 or long[extra[0]]:
                continue
            if all(part in long and long[part] == full for part, full in short.items()):
                blocks[position] = {part: full or part == extra[0] for part, full in long.items()}
                blocks.remove(short)
                return True
    return False
