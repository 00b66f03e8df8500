"""What a formula is made of: variables, functions of them, terms, the response and random terms.

All of them are frozen, hashable syntax; each knows its canonical text and the data columns it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from wwc_eval.formula.tokens import quote_name

__all__ = [
    "FUNCTIONS",
    "NUMERIC_FUNCTIONS",
    "Call",
    "Factor",
    "Power",
    "RandomTerm",
    "Response",
    "Term",
    "Variable",
    "merge_terms",
]

NUMERIC_FUNCTIONS = ("log", "sqrt", "centre", "scale")
FUNCTIONS = (*NUMERIC_FUNCTIONS, "factor", "poly")


@dataclass(frozen=True)
class Variable:
    """A data column as it stands: numeric, or a factor where the column holds text or categories."""

    name: str

    @property
    def text(self) -> str:
        """Canonical text."""
        return quote_name(self.name)

    @property
    def column(self) -> str:
        """The one data column it names."""
        return self.name


@dataclass(frozen=True)
class Call:
    """A function of one column: ``log``, ``sqrt``, ``centre``, ``scale``, ``factor`` or ``poly``.

    Parameters
    ----------
    function : str
        Name of the function.
    argument : Variable, Call or Power
        What it is applied to; numeric functions nest, ``factor`` takes a bare column.
    degree : int, optional
        Degree of ``poly``.
    """

    function: str
    argument: Factor
    degree: int | None = None

    @property
    def text(self) -> str:
        """Canonical text."""
        more = f", {self.degree}" if self.degree is not None else ""
        return f"{self.function}({self.argument.text}{more})"

    @property
    def column(self) -> str:
        """The one data column it names."""
        return self.argument.column


@dataclass(frozen=True)
class Power:
    """A numeric variable or function of one, raised to a whole number: ``age^2``, ``centre(age)^2``."""

    argument: Factor
    exponent: int

    @property
    def text(self) -> str:
        """Canonical text."""
        return f"{self.argument.text}^{self.exponent}"

    @property
    def column(self) -> str:
        """The one data column it names."""
        return self.argument.column


Factor: TypeAlias = Variable | Call | Power
"""One part of a term (R's "variable"): a column, a function of a column, or a power."""


@dataclass(frozen=True)
class Term:
    """A product of parts, such as ``arm``, ``centre(age)`` or ``arm:sex``. ``a:b`` equals ``b:a``.

    Parameters
    ----------
    factors : tuple of Variable, Call or Power
        The parts in the order they were written, each once.

    Examples
    --------
    >>> Term((Variable("arm"), Variable("sex"))).text
    'arm:sex'
    """

    factors: tuple[Factor, ...] = field(compare=False)
    key: frozenset[Factor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Merge repeated parts (``a:a`` is ``a``) and set what equality compares."""
        object.__setattr__(self, "factors", tuple(dict.fromkeys(self.factors)))
        object.__setattr__(self, "key", frozenset(self.factors))

    @property
    def text(self) -> str:
        """Canonical text."""
        return ":".join(part.text for part in self.factors)

    @property
    def columns(self) -> frozenset[str]:
        """Data columns it names."""
        return frozenset(part.column for part in self.factors)

    @property
    def order(self) -> int:
        """Number of parts: 1 for a main effect, 2 for a two-way interaction."""
        return len(self.factors)

    def __str__(self) -> str:
        """Canonical text."""
        return self.text


@dataclass(frozen=True)
class Response:
    """The left side of a formula.

    Parameters
    ----------
    kind : {"column", "successes_trials"}
        One column (perhaps transformed), or ``successes / trials``.
    value : Variable, Call or Power
        The column or the successes.
    trials : Variable, optional
        The trials.
    """

    kind: Literal["column", "successes_trials"]
    value: Factor
    trials: Variable | None = None

    @property
    def text(self) -> str:
        """Canonical text."""
        return self.value.text if self.trials is None else f"{self.value.text} / {self.trials.text}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Data columns it names, successes before trials."""
        return (self.value.column,) if self.trials is None else (self.value.column, self.trials.column)

    def __str__(self) -> str:
        """Canonical text."""
        return self.text


@dataclass(frozen=True)
class RandomTerm:
    """One bracket ``(effects | group)`` of a formula.

    Parameters
    ----------
    intercept : bool
        Whether the intercept varies by group; it does unless ``0 +`` or ``- 1`` is written.
    slopes : tuple of Term
        Terms whose coefficients vary by group.
    correlated : bool
        False for ``||``: the effects are independent of one another.
    group_columns : tuple of tuple of str
        Columns of each grouping after expansion: ``la/team`` gives ``("la",)`` and ``("la", "team")``.

    Examples
    --------
    >>> RandomTerm(intercept=True, slopes=(), correlated=True, group_columns=(("la",), ("la", "team"))).groups
    ('la', 'la:team')
    """

    intercept: bool
    slopes: tuple[Term, ...]
    correlated: bool
    group_columns: tuple[tuple[str, ...], ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groupings, outermost first."""
        return tuple(":".join(quote_name(name) for name in names) for names in self.group_columns)

    @property
    def columns(self) -> frozenset[str]:
        """Data columns it names, of slopes and groups."""
        inner = {name for term in self.slopes for name in term.columns}
        return frozenset(inner | set(self.group_columns[-1]))

    @property
    def text(self) -> str:
        """Canonical text, such as ``(1 + x | la/team)``."""
        effects = " + ".join(("1" if self.intercept else "0", *(term.text for term in self.slopes)))
        taken = 0
        path = []
        for names in self.group_columns:
            path.append(":".join(quote_name(name) for name in names[taken:]))
            taken = len(names)
        return f"({effects} {'|' if self.correlated else '||'} {'/'.join(path)})"

    def expand(self) -> tuple[RandomTerm, ...]:
        """One random term for each grouping: ``(1 | la/team)`` is ``(1 | la)`` and ``(1 | la:team)``."""
        return tuple(
            RandomTerm(
                intercept=self.intercept,
                slopes=self.slopes,
                correlated=self.correlated,
                group_columns=(names,),
            )
            for names in self.group_columns
        )

    def __str__(self) -> str:
        """Canonical text."""
        return self.text


def merge_terms(*sources: Iterable[Term]) -> tuple[Term, ...]:
    """Each term once, in the order first met; ``b:a`` is dropped where ``a:b`` came before."""

    def chained() -> Iterator[Term]:
        for source in sources:
            yield from source

    return tuple(dict.fromkeys(chained()))
