"""Effects of a generalisability design: from Brennan's notation or from a list, as sets of facets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from wwc_eval.errors import DesignError, did_you_mean, shown

__all__ = ["Effects", "effects_of", "nested_in"]

_TOKEN = re.compile(r"\s*(\(|\)|:|×|\*|[^\s():×*]+)")


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Random effects of a design.

    Parameters
    ----------
    names : tuple of str
        Each effect but the residual, as it was written (``rater:task``).
    sets : tuple of frozenset of str
        Facets of each.
    facets : tuple of str
        All facets, the object of measurement first.
    """

    names: tuple[str, ...]
    sets: tuple[frozenset[str], ...]
    facets: tuple[str, ...]

    @property
    def every(self) -> frozenset[str]:
        """Facets of the residual: all of them."""
        return frozenset(self.facets)


def effects_of(facets: str | Sequence[str]) -> Effects:
    """Effects from ``"person x (rater : task)"`` or ``["la", "la:case", "rater"]``.

    Raises
    ------
    DesignError
        If the notation cannot be read, or an effect is named twice.
    """
    if isinstance(facets, str):
        return _from_notation(facets)
    names = [str(name).replace(" ", "") for name in facets]
    if not names:
        raise DesignError("facets == [], must name at least one effect", fix="facets=['case', 'rater']")
    sets = [frozenset(name.split(":")) for name in names]
    for name, each in zip(names, sets, strict=True):
        if "" in each:
            raise DesignError(f"'{name}' is no effect", fix="write facets joined by ':', such as 'la:case'")
        if sets.count(each) > 1:
            raise DesignError(f"the effect '{name}' is named twice")
    order = list(dict.fromkeys(part for name in names for part in name.split(":")))
    return Effects(names=tuple(names), sets=tuple(sets), facets=tuple(order))


def _from_notation(text: str) -> Effects:
    """All effects of a crossed and nested design but the residual."""
    nested = _parse(text)
    facets = tuple(nested)
    closed = {name: frozenset({name, *above}) for name, above in nested.items()}
    found: dict[frozenset[str], str] = {}
    for size in range(1, len(facets) + 1):
        for chosen in combinations(facets, size):
            if any(b in nested[a] for a in chosen for b in chosen):
                continue
            whole = frozenset().union(*(closed[name] for name in chosen))
            ordered = [*chosen, *(name for name in facets if name in whole and name not in chosen)]
            found.setdefault(whole, ":".join(ordered))
    found.pop(frozenset(facets), None)
    if not found:
        raise DesignError(f"'{text}' has one facet, so nothing is crossed or nested", fix="facets='case x rater'")
    return Effects(names=tuple(found.values()), sets=tuple(found), facets=facets)


def _parse(text: str) -> dict[str, frozenset[str]]:
    """Facets with what each is nested in."""
    tokens = _TOKEN.findall(text)
    place = 0

    def fail(why: str) -> DesignError:
        return DesignError(
            f"facets == {shown(text)}: {why}",
            fix="write 'person x (rater : task)': x crosses, ':' nests in what follows",
        )

    def crossing() -> dict[str, frozenset[str]]:
        nonlocal place
        found = nesting()
        while place < len(tokens) and tokens[place] in ("x", "×", "*"):
            place += 1
            more = nesting()
            if set(more) & set(found):
                raise fail(f"'{min(set(more) & set(found))}' stands twice")
            found |= more
        return found

    def nesting() -> dict[str, frozenset[str]]:
        nonlocal place
        inner = operand()
        if place < len(tokens) and tokens[place] == ":":
            place += 1
            outer = nesting()
            if set(inner) & set(outer):
                raise fail(f"'{min(set(inner) & set(outer))}' is nested in itself")
            inner = {name: above | frozenset(outer) for name, above in inner.items()}
            return {**inner, **outer}
        return inner

    def operand() -> dict[str, frozenset[str]]:
        nonlocal place
        if place >= len(tokens):
            raise fail("it ends too early")
        piece = tokens[place]
        place += 1
        if piece == "(":
            found = crossing()
            if place >= len(tokens) or tokens[place] != ")":
                raise fail("a bracket is not closed")
            place += 1
            return found
        if piece in (")", ":", "x", "×", "*"):
            raise fail(f"'{piece}' stands where a facet should")
        return {piece: frozenset()}

    found = crossing()
    if place < len(tokens):
        raise fail(f"'{tokens[place]}' is not expected")
    return found


def nested_in(sets: Iterable[frozenset[str]], nested: Mapping[str, str | Sequence[str]], facets: Sequence[str]) -> list[frozenset[str]]:  # fmt: skip
    """Effects of a design in which some facets are nested in others, from those of the design that was studied.

    Raises
    ------
    DesignError
        If a facet is unknown or nested in itself.
    """
    above = {}
    for name, outer in nested.items():
        listed = {outer} if isinstance(outer, str) else set(outer)
        for each in (name, *listed):
            if each not in facets:
                raise DesignError(f"the design has no facet '{each}'", fix=did_you_mean(each, facets))
        if name in listed:
            raise DesignError(f"'{name}' cannot be nested in itself")
        above[name] = frozenset(listed)
    return [each.union(*(above[name] for name in each if name in above)) for each in sets]
