"""The formula as a frozen object: its parts, its canonical text, and new formulas made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from wwc_eval.errors import FormulaError, did_you_mean, shown
from wwc_eval.formula.grammar import by_order
from wwc_eval.formula.sides import parse_random_text, parse_sides, parse_terms_text
from wwc_eval.formula.terms import RandomTerm, Response, Term, merge_terms

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula.design import Design

__all__ = ["Formula", "parse_formula"]


@dataclass(frozen=True, kw_only=True)
class Formula:
    """A model formula: response, fixed terms and random terms. Made by :func:`parse_formula`.

    Parameters
    ----------
    response : Response, optional
        Left side; None for a one-sided formula.
    intercept : bool
        Whether the fixed part has an intercept.
    fixed : tuple of Term
        Fixed terms without the intercept: main effects first, then two-way interactions and so on, each in
        the order written (as in R).
    random : tuple of RandomTerm
        Random terms in the order written.

    Examples
    --------
    >>> formula = parse_formula("y ~ sex*arm + (x | la/team)")
    >>> formula.text
    'y ~ sex + arm + sex:arm + (1 + x | la/team)'
    >>> formula.random[0].groups
    ('la', 'la:team')
    """

    response: Response | None
    intercept: bool
    fixed: tuple[Term, ...]
    random: tuple[RandomTerm, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an outcome that explains itself."""
        outcome = self.response.value.column if self.response else None
        parts: tuple[Term | RandomTerm, ...] = (*self.fixed, *self.random)
        for term in parts:
            if outcome in term.columns:
                raise FormulaError(
                    f"the response column '{outcome}' is on the right side too, in '{term.text}'",
                    fix="leave it out on the right, or name another response",
                )

    @property
    def text(self) -> str:
        """Canonical text: parsing it gives the same formula."""
        fixed = [term.text for term in self.fixed]
        if not self.intercept:
            fixed.insert(0, "0")
        elif not fixed:
            fixed.append("1")
        right = " + ".join([*fixed, *(term.text for term in self.random)])
        return f"{self.response.text} ~ {right}" if self.response else f"~ {right}"

    @property
    def columns(self) -> frozenset[str]:
        """Every data column that the formula names."""
        left = self.response.columns if self.response else ()
        fixed = (term.columns for term in self.fixed)
        return frozenset(left).union(*fixed, *(term.columns for term in self.random))

    def __str__(self) -> str:
        """Canonical text."""
        return self.text

    def terms_of(self, column: str) -> tuple[Term, ...]:
        """Fixed terms that name a column, such as ``arm`` and ``arm:sex`` for ``arm``."""
        return tuple(term for term in self.fixed if column in term.columns)

    def with_terms(self, *terms: str | Term) -> Formula:
        """Formula with fixed terms added; what is there already is not doubled.

        Parameters
        ----------
        terms : str or Term
            Terms as a formula writes them: ``"flag"``, ``"arm:flag"``, ``"arm*flag"``.

        Raises
        ------
        FormulaError
            If a text does not parse, or holds an intercept or a random part.

        Examples
        --------
        >>> parse_formula("y ~ arm + age").with_terms("arm*infant").text
        'y ~ arm + age + infant + arm:infant'
        """
        return replace(self, fixed=by_order(merge_terms(self.fixed, _terms(terms))))

    def without_terms(self, *terms: str | Term) -> Formula:
        """Formula with fixed terms taken away.

        Raises
        ------
        FormulaError
            If the formula has no such term, or nothing would be left.

        Examples
        --------
        >>> parse_formula("y ~ arm*sex").without_terms("sex:arm").text
        'y ~ arm + sex'
        """
        gone = _terms(terms)
        for term in gone:
            if term not in self.fixed:
                raise FormulaError(
                    f"{shown(self.text)} has no term '{term.text}' to take away",
                    fix=did_you_mean(term.text, [known.text for known in self.fixed]),
                )
        left = tuple(term for term in self.fixed if term not in gone)
        if not (left or self.intercept):
            raise FormulaError(f"{shown(self.text)} would have no term left", fix="keep a term or the intercept")
        return replace(self, fixed=left)

    def replace_random(self, random: str | Iterable[RandomTerm] | None) -> Formula:
        """Formula with another random part, or none.

        Parameters
        ----------
        random : str, iterable of RandomTerm or None
            Brackets as a formula writes them, ``"(1 | la) + (1 | school)"``; None for no random part.

        Examples
        --------
        >>> parse_formula("y ~ arm + (1 | la)").replace_random("(1 | school)").text
        'y ~ arm + (1 | school)'
        """
        if isinstance(random, str):
            random = parse_random_text(random)
        changed = replace(self, random=tuple(random or ()))
        # brackets that are sound one by one may repeat an effect of the same group
        return _parsed(changed.text, response=self.response is not None)

    def without_random(self) -> Formula:
        """The fixed part alone."""
        return replace(self, random=())

    def with_response(self, response: str | None) -> Formula:
        """Formula of another outcome with the same right side; None gives a one-sided formula.

        Examples
        --------
        >>> parse_formula("y ~ arm").with_response("cases / children").text
        'cases / children ~ arm'
        """
        if response is None:
            return replace(self, response=None)
        left, _ = parse_sides(f"{response} ~ 1", response=True)
        return replace(self, response=left)

    def design(
        self,
        data: pd.DataFrame,
        *,
        levels: Mapping[str, Sequence[Any]] | None = None,
        keep: Iterable[str] = (),
        missing: Literal["drop", "error"] = "drop",
    ) -> Design:
        """Response, design matrix and groups for a data frame.

        Parameters
        ----------
        data : pandas.DataFrame
            One row per unit; not changed.
        levels : mapping of str to sequence, optional
            Declared levels of factors in order, the first one the reference. Without it a Categorical's own
            order holds, else levels are sorted.
        keep : iterable of str
            Other columns that must be complete too (cluster, weights, exposure); see ``Design.kept``.
        missing : {"drop", "error"}
            Whether rows with a missing value are dropped and counted, or refused.

        Returns
        -------
        Design

        Raises
        ------
        FormulaError
            If a column is unknown (all of them are named) or its type does not fit its use.
        DataError
            If values are infinite or outside the declared levels, if no row is complete, or if a value is
            missing and ``missing="error"``.

        Examples
        --------
        >>> import pandas as pd
        >>> data = pd.DataFrame({"y": [1.0, 2.0, 4.0], "arm": ["usual", "programme", "programme"]})
        >>> design = parse_formula("y ~ arm").design(data, levels={"arm": ["usual", "programme"]})
        >>> design.terms, design.reference_levels
        (('(Intercept)', 'arm[programme]'), {'arm': 'usual'})
        """
        from wwc_eval.formula.building import build_design

        return build_design(self, data, levels=levels or {}, keep=tuple(keep), missing=missing)


def parse_formula(text: str, *, response: bool = True) -> Formula:
    """Read a model formula by an allow-list grammar; the text is never evaluated.

    Parameters
    ----------
    text : str
        Such as ``"y ~ arm + centre(age) + poly(x, 2) + a:b + (1 + x | la/team)"``.
    response : bool
        True: a left side is needed. False: none may stand; ``"~ arm + age"`` and ``"arm + age"`` are read.

    Returns
    -------
    Formula

    Raises
    ------
    FormulaError
        If the text is outside the grammar; the error points at the character (counted from 1).

    Examples
    --------
    >>> parse_formula("in_care ~ (arm + sex)^2").text
    'in_care ~ arm + sex + arm:sex'
    >>> parse_formula("y ~ I(age * 2)")
    Traceback (most recent call last):
    ...
    wwc_eval.errors.FormulaError: there is no function 'I' at character 5 of the formula \
(value: 'y ~ I(age * 2)'). Fix: x^2 squares a column; make any other column in the data
    """
    return _parsed(text, response=response)


def _parsed(text: str, *, response: bool) -> Formula:
    left, right = parse_sides(text, response=response)
    return Formula(response=left, intercept=right.intercept, fixed=right.terms, random=tuple(right.random))


def _terms(terms: Iterable[str | Term]) -> tuple[Term, ...]:
    return merge_terms(*(parse_terms_text(term) if isinstance(term, str) else (term,) for term in terms))
