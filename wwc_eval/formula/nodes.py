"""Syntax of conditions: frozen nodes, each with its canonical text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from wwc_eval.formula.tokens import quote_name, quote_text

__all__ = [
    "COMPARISONS",
    "NOTHING",
    "RESERVED",
    "TRUTH",
    "Comparison",
    "Joined",
    "Literal",
    "Membership",
    "Missing",
    "Named",
    "Negation",
    "Node",
    "Operand",
    "columns_of",
    "leaves",
]

COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
NOTHING = frozenset({"na", "nan", "none", "null", "missing"})
TRUTH = frozenset({"true", "false"})
RESERVED = NOTHING | TRUTH | {"and", "or", "not", "in", "is"}


@dataclass(frozen=True)
class Named:
    """A data column."""

    name: str

    @property
    def text(self) -> str:
        """Canonical text."""
        return quote_name(self.name, reserved=RESERVED)


@dataclass(frozen=True)
class Literal:
    """A number or quoted text."""

    value: int | float | str

    @property
    def text(self) -> str:
        """Canonical text."""
        return quote_text(self.value) if isinstance(self.value, str) else repr(self.value)


Operand: TypeAlias = Named | Literal


@dataclass(frozen=True)
class Comparison:
    """``left operator right``; at least one side is a column."""

    left: Operand
    operator: str
    right: Operand

    @property
    def text(self) -> str:
        """Canonical text."""
        return f"{self.left.text} {self.operator} {self.right.text}"


@dataclass(frozen=True)
class Membership:
    """``column in [values]`` or ``column in name``, perhaps negated."""

    column: Named
    options: tuple[Literal, ...] | str
    negated: bool

    @property
    def text(self) -> str:
        """Canonical text."""
        if isinstance(self.options, str):
            right = quote_name(self.options, reserved=RESERVED)
        else:
            right = f"[{', '.join(value.text for value in self.options)}]"
        return f"{self.column.text} {'not in' if self.negated else 'in'} {right}"


@dataclass(frozen=True)
class Missing:
    """``column is missing``, perhaps negated."""

    column: Named
    negated: bool

    @property
    def text(self) -> str:
        """Canonical text."""
        return f"{self.column.text} is {'not ' if self.negated else ''}missing"


@dataclass(frozen=True)
class Negation:
    """``not node``."""

    node: Node

    @property
    def text(self) -> str:
        """Canonical text."""
        return f"not ({self.node.text})" if isinstance(self.node, Joined) else f"not {self.node.text}"


@dataclass(frozen=True)
class Joined:
    """Nodes joined by ``and`` or ``or``."""

    word: str
    nodes: tuple[Node, ...]

    @property
    def text(self) -> str:
        """Canonical text; an ``or`` inside an ``and`` stands in brackets."""
        inner = [f"({node.text})" if isinstance(node, Joined) else node.text for node in self.nodes]
        return f" {self.word} ".join(inner)


Node: TypeAlias = Comparison | Membership | Missing | Negation | Joined


def leaves(node: Node) -> Iterator[Comparison | Membership | Missing]:
    """Comparisons, memberships and tests for missing values inside a node, from left to right."""
    if isinstance(node, Joined):
        for inner in node.nodes:
            yield from leaves(inner)
    elif isinstance(node, Negation):
        yield from leaves(node.node)
    else:
        yield node


def columns_of(node: Comparison | Membership | Missing) -> tuple[str, ...]:
    """Data columns that a leaf names."""
    if isinstance(node, Comparison):
        return tuple(side.name for side in (node.left, node.right) if isinstance(side, Named))
    return (node.column.name,)
