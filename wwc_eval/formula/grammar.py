"""The parser of formulas: recursive descent over an allow-list, from text to terms.

::

    formula  = [response] "~" sum
    response = part | name "/" name
    sum      = ["-"] item (("+" | "-") item)*
    item     = "0" | "1" | "(" sum ("|" | "||") group ")" | product
    product  = cross ("*" cross)*
    cross    = power (":" power)*
    power    = ("(" product (("+" | "-") product)* ")" | part) ["^" whole]
    part     = name | function "(" part ["," whole] ")"
    group    = name (":" name)* ("/" name (":" name)*)*
"""

from __future__ import annotations

from wwc_eval.errors import FormulaError, did_you_mean
from wwc_eval.formula.terms import (
    FUNCTIONS,
    Call,
    Factor,
    Power,
    Term,
    Variable,
    merge_terms,
)
from wwc_eval.formula.tokens import FORMULA, Reader, Token

__all__ = ["MAX_EXPONENT", "TermsParser", "by_order"]

MAX_EXPONENT = 10
MAX_ORDER = 6
MAX_TERMS = 1_000
# (a + b + ...)^2 makes every pair twice before the doubles are merged
MAX_REPEATS = 4

_ABSENT = {
    "I": "x^2 squares a column; make any other column in the data",
    "center": "did you mean 'centre'?",
    "standardise": "did you mean 'scale'?",
    "standardize": "did you mean 'scale'?",
    "zscore": "did you mean 'scale'?",
    "C": "write factor(x), and declare the order of its levels",
    "offset": "leave the offset out and give the exposure as an option of the model",
    "cbind": "write successes / trials on the left",
    "s": "write poly(x, k) for a curve",
    "bs": "write poly(x, k) for a curve",
    "ns": "write poly(x, k) for a curve",
    "log10": "write log(x), the natural logarithm, or make the column in the data",
    "log2": "write log(x), the natural logarithm, or make the column in the data",
    "log1p": "make the column in the data",
    "exp": "make the column in the data",
    "abs": "make the column in the data",
}


def by_order(terms: tuple[Term, ...]) -> tuple[Term, ...]:
    """Main effects first, then two-way interactions and so on, each in the order written (as in R)."""
    return tuple(sorted(terms, key=lambda term: term.order))


class TermsParser(Reader):
    """Recursive descent over terms; each method reads what its name says and leaves the place behind it."""

    def __init__(self, text: object) -> None:
        super().__init__(text, FORMULA)

    def finish(self) -> None:
        """Refuse words that are left over."""
        if self.token.kind != "end":
            raise self.unexpected()

    def unexpected(self) -> FormulaError:
        """Error about the next word, with advice for the likely reason."""
        token = self.token
        fix = None
        if token.kind == "number":
            fix = "a formula has no arithmetic: only 0, 1, whole powers and degrees; make the column in the data"
        elif token.kind == "name":
            fix = "join terms by +, and write a name of several words in backquotes"
        elif token.text == "/":
            fix = "write a + a:b for b within a; '/' is for groups, (1 | la/team), and successes / trials"
        elif token.text in {"|", "||"}:
            fix = "write a random part in brackets of its own, + (1 | group)"
        elif token.text == "^":
            fix = "raise a column or a sum in brackets, once"
        return self.error(f"{token.shown} is not expected", fix=fix)

    def plain_sum(self) -> tuple[Term, ...]:
        """Terms joined by + and -, without the intercept and random parts."""
        terms: tuple[Term, ...] = ()
        sign = None
        while True:
            token = self.token
            if token.kind == "number":
                raise self.error(
                    f"{token.shown} stands among terms",
                    fix="write 0, 1 and -1 only at the outermost level, as in y ~ 0 + arm",
                )
            negative = sign is not None and sign.text == "-"
            terms = self.combine(terms, self.product(), negative=negative, at=token)
            sign = self.take("+", "-")
            if sign is None:
                return terms

    def product(self) -> tuple[Term, ...]:
        """``a * b``: both sides and their interactions."""
        terms = self.cross()
        while self.take("*"):
            more = self.cross()
            terms = merge_terms(terms, more, self.interact(terms, more))
        return terms

    def cross(self) -> tuple[Term, ...]:
        """``a:b``: the interactions of both sides."""
        terms = self.power()
        while self.take(":"):
            terms = merge_terms(self.interact(terms, self.power()))
        return terms

    def interact(self, left: tuple[Term, ...], right: tuple[Term, ...]) -> tuple[Term, ...]:
        """Every term of one side joined with every term of the other."""
        self.check_count(len(left) * len(right) // MAX_REPEATS)
        terms = merge_terms(Term(a.factors + b.factors) for a in left for b in right)
        self.check_count(len(terms))
        if any(term.order > MAX_ORDER for term in terms):
            raise self.error(
                f"an interaction joins more than {MAX_ORDER} variables", fix="write a lower power or fewer names"
            )
        return terms

    def check_count(self, count: int) -> None:
        """Refuse an expansion that no model could use."""
        if count > MAX_TERMS:
            raise self.error(f"the formula expands to more than {MAX_TERMS:,} terms", fix="write fewer terms")

    def power(self) -> tuple[Term, ...]:
        """A part, or terms in brackets, perhaps raised to a power."""
        if self.starts_random():
            raise self.error("a random part is joined to other terms", fix="join it by +, as + (1 | group)")
        if not self.at("("):
            part = self.part()
            return (Term((self.raised(part),)),) if self.at("^") else (Term((part,)),)
        self.deeper()
        self.advance()
        terms = self.plain_sum()
        self.expect(")", "to close the bracket")
        self.depth -= 1
        return self.crossed(terms) if self.at("^") else terms

    def raised(self, part: Factor) -> Factor:
        """``x^2``: the square of a column."""
        token = self.advance()
        if isinstance(part, Call) and part.function in {"factor", "poly"}:
            raise self.error(f"{part.function}() is raised to a power", at=token, fix="leave the power out")
        exponent = self.whole("an exponent", MAX_EXPONENT)
        return part if exponent == 1 else Power(part, exponent)

    def crossed(self, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        """``(a + b)^2``: the terms and their interactions."""
        token = self.advance()
        if len(terms) == 1:
            raise self.error(
                "a power of one term in brackets", at=token, fix="write x^2 without brackets to square a column"
            )
        result = terms
        for _ in range(self.whole("an exponent", MAX_EXPONENT) - 1):
            result = merge_terms(result, self.interact(result, terms))
        return by_order(result)

    def part(self) -> Factor:
        """A column or a function of a column."""
        token = self.token
        if token.kind != "name":
            raise (
                self.unexpected() if token.kind != "end" else self.error("the formula ends where a name is needed")
            )
        self.advance()
        if not self.at("("):
            return Variable(token.text)
        if token.quoted:
            raise self.error("a name in backquotes is no function", at=token, fix=f"choose {', '.join(FUNCTIONS)}")
        if token.text not in FUNCTIONS:
            fix = _ABSENT.get(token.text) or did_you_mean(token.text, FUNCTIONS)
            raise self.error(f"there is no function {token.shown}", at=token, fix=fix)
        self.deeper()
        self.advance()
        call = self.call(token)
        self.expect(")", f"to close {token.text}()")
        self.depth -= 1
        return call

    def call(self, function: Token) -> Call:
        """What stands between the brackets of a function."""
        start = self.token
        argument = self.part()
        if self.take("^"):
            argument = Power(argument, self.whole("an exponent", MAX_EXPONENT))
        if isinstance(argument, Call) and argument.function in {"factor", "poly"}:
            raise self.error(
                f"{argument.function}() stands inside {function.text}()", at=start, fix="give a column"
            )
        if function.text == "factor" and not isinstance(argument, Variable):
            raise self.error("factor() takes a column as it is", at=start, fix="write factor(column)")
        degree = None
        if function.text == "poly":
            self.expect(",", "before the degree, as in poly(x, 2)")
            degree = self.whole("a degree", MAX_EXPONENT)
        if not (self.at(")") or self.token.kind == "end"):
            kinds = "poly(x, k)" if function.text == "poly" else f"{function.text}(x)"
            advice = f"write {kinds} with one column; make any other column in the data"
            raise self.error(f"{self.token.shown} stands inside {function.text}()", fix=advice)
        return Call(function.text, argument, degree)

    def whole(self, what: str, most: int) -> int:
        """A whole number from 1."""
        token = self.token
        if token.kind != "number" or not token.text.isdigit() or not 1 <= int(token.text[:3]) <= most:
            raise self.error(f"{token.shown} is not {what}", rule=f"a whole number from 1 to {most}")
        self.advance()
        return int(token.text)

    def name(self, what: str) -> str:
        """The name of a column."""
        token = self.token
        if token.kind != "name":
            raise self.error(f"{token.shown} stands where the name of {what} is needed", fix="name a column")
        self.advance()
        if self.at("("):
            raise self.error(f"{what} must be a column", at=token, fix="name a column, without a function")
        return token.text

    def combine(
        self, terms: tuple[Term, ...], more: tuple[Term, ...], *, negative: bool, at: Token
    ) -> tuple[Term, ...]:
        """Terms with others added, or taken away where ``negative``."""
        if not negative:
            merged = merge_terms(terms, more)
            self.check_count(len(merged))
            return merged
        for term in more:
            if term not in terms:
                raise self.error(
                    f"there is no term '{term.text}' to take away",
                    at=at,
                    fix=did_you_mean(term.text, [known.text for known in terms]),
                )
        return tuple(term for term in terms if term not in more)

    def starts_random(self) -> bool:
        """Whether a bracket opens here that has a bar at its own level."""
        if not self.at("("):
            return False
        depth = 0
        for token in self.tokens[self.index :]:
            if token.kind == "operator":
                depth += {"(": 1, ")": -1}.get(token.text, 0)
                if depth == 0:
                    return False
                if depth == 1 and token.text in {"|", "||"}:
                    return True
        return False
