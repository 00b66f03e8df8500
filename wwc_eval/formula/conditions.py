"""Conditions such as ``child_age >= 4 and la in ['A', 'B']``: syntax, parser and the frozen object.

::

    condition  = all ("or" all)*
    all        = one ("and" one)*
    one        = "not" one | "(" condition ")" | column "is" ["not"] "missing"
               | column ["not"] "in" (list | name) | operand compare operand
    compare    = "==" | "!=" | "<" | "<=" | ">" | ">="
    operand    = column | value
    value      = ["-"] number | quoted text (a date is quoted ISO text)
    list       = "[" value ("," value)* "]"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import FormulaError
from wwc_eval.formula.nodes import (
    COMPARISONS,
    NOTHING,
    RESERVED,
    TRUTH,
    Comparison,
    Joined,
    Literal,
    Membership,
    Missing,
    Named,
    Negation,
    Node,
    Operand,
    columns_of,
    leaves,
)
from wwc_eval.formula.tokens import CONDITION, Reader, Token

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Condition", "parse_condition"]


@dataclass(frozen=True)
class Condition:
    """A condition on the rows of a data frame. Made by :func:`parse_condition`.

    Parameters
    ----------
    node : Comparison, Membership, Missing, Negation or Joined
        Its syntax.

    Examples
    --------
    >>> condition = parse_condition("age >= 4 and (la in ['A', 'B'] or family_id in withdrawn)")
    >>> sorted(condition.columns), sorted(condition.names)
    (['age', 'family_id', 'la'], ['withdrawn'])
    """

    node: Node

    @property
    def text(self) -> str:
        """Canonical text: parsing it gives the same condition."""
        return self.node.text

    @property
    def columns(self) -> frozenset[str]:
        """Data columns that it names."""
        return frozenset(name for node in leaves(self.node) for name in columns_of(node))

    @property
    def names(self) -> frozenset[str]:
        """Lists that it names on the right of ``in``."""
        return frozenset(
            node.options
            for node in leaves(self.node)
            if isinstance(node, Membership) and isinstance(node.options, str)
        )

    def __str__(self) -> str:
        """Canonical text."""
        return self.text

    def evaluate(self, data: pd.DataFrame, lists: Mapping[str, Iterable[Any]] | None = None) -> pd.Series[Any]:
        """Truth of the condition in each row: true, false, or missing where the data do not tell.

        A comparison with a missing value is missing; ``and``, ``or`` and ``not`` follow three-valued logic
        (false and missing is false, true or missing is true); ``is missing`` is always true or false.

        Parameters
        ----------
        data : pandas.DataFrame
            The rows; not changed.
        lists : mapping of str to iterable, optional
            Values of the lists that the condition names.

        Returns
        -------
        pandas.Series
            Of dtype ``boolean`` (nullable), with the index of ``data``.

        Raises
        ------
        FormulaError
            If a column or list is unknown, or a column's type does not fit what it is compared with.

        Examples
        --------
        >>> import pandas as pd
        >>> data = pd.DataFrame({"age": [3.0, 4.0, None]})
        >>> parse_condition("age >= 4").evaluate(data).tolist()
        [False, True, <NA>]
        """
        from wwc_eval.formula.truth import evaluate_condition

        return evaluate_condition(self, data, lists or {})


def parse_condition(text: str) -> Condition:
    """Read a condition by an allow-list grammar; the text is never evaluated.

    Parameters
    ----------
    text : str
        Such as ``"age >= 4 and la in ['A', 'B']"``, ``"family_id in withdrawn"``, ``"sex is missing"``,
        ``"referred_on < '2024-04-01'"``. No arithmetic and no functions.

    Returns
    -------
    Condition

    Raises
    ------
    FormulaError
        If the text is outside the grammar; the error points at the character (counted from 1).

    Examples
    --------
    >>> parse_condition("not (age < 4 or age > 11)").text
    'not (age < 4 or age > 11)'
    >>> parse_condition("4 <= age <= 11")
    Traceback (most recent call last):
    ...
    wwc_eval.errors.FormulaError: a comparison follows a comparison at character 10 of the condition \
(value: '4 <= age <= 11'). Fix: join two comparisons by 'and'
    """
    parser = _Parser(text, CONDITION)
    node = parser.condition()
    if parser.token.kind != "end":
        raise parser.unexpected()
    return Condition(node)


class _Parser(Reader):
    """Recursive descent; each method reads what its name says and leaves the place behind it."""

    def word(self, *words: str) -> Token | None:
        """Take the next word if it is one of these bare words."""
        token = self.token
        if token.kind == "name" and not token.quoted and token.text in words:
            return self.advance()
        return None

    def unexpected(self) -> FormulaError:
        token = self.token
        fix = None
        if self.at(*COMPARISONS):
            return self.error("a comparison follows a comparison", fix="join two comparisons by 'and'")
        if token.kind == "name" and token.text.lower() in RESERVED and not token.text.islower():
            fix = f"write '{token.text.lower()}'"
        elif self.at("-"):
            fix = "a condition has no arithmetic; make the column in the data"
        elif self.at("("):
            fix = "a condition has no functions; make the column in the data"
        elif token.kind in {"name", "number", "text"}:
            fix = "join comparisons by 'and' or 'or'; a name of several words stands in backquotes"
        return self.error(f"{token.shown} is not expected", fix=fix)

    def condition(self) -> Node:
        return self.joined("or", self.all)

    def all(self) -> Node:
        return self.joined("and", self.one)

    def joined(self, word: str, inner: Any) -> Node:
        nodes = [inner()]
        while self.word(word):
            nodes.append(inner())
        if len(nodes) == 1:
            first: Node = nodes[0]
            return first
        # (a and b) and c is a and b and c
        flat = [
            part
            for node in nodes
            for part in (node.nodes if isinstance(node, Joined) and node.word == word else (node,))
        ]
        return Joined(word, tuple(flat))

    def one(self) -> Node:
        if self.word("not"):
            self.deeper()
            node = self.one()
            self.depth -= 1
            return Negation(node)
        if self.at("("):
            self.deeper()
            self.advance()
            node = self.condition()
            self.expect(")", "to close the bracket")
            self.depth -= 1
            return node
        return self.predicate()

    def predicate(self) -> Node:
        start = self.token
        left = self.operand()
        negated = False
        if self.word("is"):
            negated = bool(self.word("not"))
            if not self.word("missing"):
                raise self.error(
                    f"{self.token.shown} stands after 'is'", fix="write 'is missing', or == for 'equals'"
                )
            return Missing(self.column(left, start, "is missing"), negated)
        if self.word("not"):
            if not self.word("in"):
                fix = "write 'is not missing', 'not in [...]' or !="
                raise self.error(f"{self.token.shown} stands after 'not'", fix=fix)
            return Membership(self.column(left, start, "in"), self.options(), negated=True)
        if self.word("in"):
            return Membership(self.column(left, start, "in"), self.options(), negated=False)
        if not self.at(*COMPARISONS):
            ended = self.token.kind == "end" or self.at(")", "]", ",")
            joined = self.token.kind == "name" and self.token.text.lower() in {"and", "or"}
            if isinstance(left, Named) and (ended or joined):
                raise self.error(
                    f"'{left.name}' is compared with nothing", at=start, fix=f"write {left.text} == 1 for a flag"
                )
            raise self.unexpected()
        operator = self.advance()
        right = self.operand()
        if isinstance(left, Literal) and isinstance(right, Literal):
            raise self.error("two values are compared", at=operator, fix="name a column on one side")
        return Comparison(left, operator.text, right)

    def column(self, operand: Operand, start: Token, what: str) -> Named:
        if isinstance(operand, Named):
            return operand
        raise self.error(f"a value stands left of '{what}'", at=start, fix="name a column")

    def operand(self) -> Operand:
        token = self.token
        if token.kind != "name":
            return self.value()
        plain = token.text.lower()
        if not token.quoted and plain in NOTHING:
            raise self.error(f"{token.shown} is no value", fix="write 'is missing' or 'is not missing'")
        if not token.quoted and plain in TRUTH:
            raise self.error(f"{token.shown} is no value", fix="compare a flag with 1 or 0")
        if not token.quoted and plain in RESERVED:
            raise self.error(
                f"{token.shown} stands where a column is needed",
                fix=f"a column of that name is written `{token.text}`",
            )
        self.advance()
        if self.at("("):
            raise self.error(
                f"there is no function {token.shown}",
                at=token,
                fix="a condition has no functions; make the column in the data",
            )
        if self.at("["):
            raise self.error("a column is indexed", at=token, fix="write column in [values]")
        return Named(token.text)

    def value(self) -> Literal:
        negative = self.take("-")
        token = self.token
        if token.kind == "number":
            self.advance()
            number = int(token.text) if token.text.isdigit() else float(token.text)
            if abs(number) > 1e300:
                raise self.error("the number is too large", at=token, fix="put a code in quotes")
            return Literal(-number if negative else number)
        if token.kind == "text" and not negative:
            self.advance()
            return Literal(token.text)
        if token.kind == "end":
            raise self.error("the condition ends where a column or a value is needed")
        raise self.unexpected()

    def options(self) -> tuple[Literal, ...] | str:
        if self.token.kind == "name" and (self.token.quoted or self.token.text.lower() not in RESERVED):
            name = self.advance().text
            if self.at("("):
                raise self.unexpected()
            return name
        self.expect_list()
        found = [self.list_value()]
        while self.take(","):
            found.append(self.list_value())
        self.expect("]", "to close the list")
        if len({isinstance(literal.value, str) for literal in found}) > 1:
            raise self.error(
                "a list holds both text and numbers", at=self.tokens[self.index - 1], fix="quote all, or none"
            )
        return tuple(dict.fromkeys(found))

    def expect_list(self) -> None:
        if self.at("("):
            raise self.error("a list stands in round brackets", fix="write ['a', 'b'] or the name of a list")
        self.expect("[", "to open a list, as in ['a', 'b']")
        if self.at("]"):
            raise self.error("the list is empty", fix="list at least one value")

    def list_value(self) -> Literal:
        if self.token.kind == "name":
            raise self.error(f"{self.token.shown} stands in a list", fix="put text in quotes")
        return self.value()
