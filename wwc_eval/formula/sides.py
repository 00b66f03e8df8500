"""The parser of whole formulas: response, intercept, fixed terms and random parts."""

from __future__ import annotations

from dataclasses import dataclass, field

from wwc_eval.errors import FormulaError
from wwc_eval.formula.grammar import MAX_EXPONENT, TermsParser, by_order
from wwc_eval.formula.terms import Call, Power, RandomTerm, Response, Term, Variable

__all__ = ["RightSide", "parse_random_text", "parse_sides", "parse_terms_text"]


@dataclass
class RightSide:
    """What stands right of the tilde while it is read; terms are ordered when it is complete."""

    intercept: bool = True
    terms: tuple[Term, ...] = ()
    random: list[RandomTerm] = field(default_factory=list)


def parse_sides(text: object, *, response: bool) -> tuple[Response | None, RightSide]:
    """Read a formula; with ``response=False`` only its right side, with or without the tilde."""
    parser = FormulaParser(text)
    tildes = [token for token in parser.tokens if token.kind == "operator" and token.text == "~"]
    if len(tildes) > 1:
        raise parser.error("a second '~' stands", at=tildes[1], fix="write one '~'")
    if response and not tildes:
        raise parser.error("the formula has no '~'", at=parser.tokens[-1], fix="write response ~ terms")
    left = None
    if response:
        if parser.at("~"):
            raise parser.error("the formula has no response", fix="write the outcome left of '~'")
        left = parser.response()
    elif tildes and not parser.at("~"):
        raise parser.error("a response stands where none belongs", fix="write only '~ terms'")
    parser.take("~")
    right = parser.right_side()
    if not (right.intercept or right.terms):
        raise FormulaError("the formula has neither an intercept nor a term", fix="write '~ 1' for the mean alone")
    return left, right


def parse_terms_text(text: str) -> tuple[Term, ...]:
    """Read terms on their own, such as ``arm:flag + flag``; no intercept and no random part."""
    parser = FormulaParser(text)
    terms = parser.plain_sum()
    parser.finish()
    return terms


def parse_random_text(text: str) -> tuple[RandomTerm, ...]:
    """Read random terms on their own, such as ``(1 | la) + (1 | school)``."""
    parser = FormulaParser(text)
    right = RightSide()
    while True:
        if not parser.starts_random():
            raise parser.error("a random part '(effects | group)' is needed")
        parser.random(right)
        if not parser.take("+"):
            break
    parser.finish()
    return tuple(right.random)


class FormulaParser(TermsParser):
    """Recursive descent over a formula."""

    def response(self) -> Response:
        start = self.token
        value = self.part()
        if self.take("^"):
            value = Power(value, self.whole("an exponent", MAX_EXPONENT))
        if isinstance(value, Call) and value.function in {"factor", "poly"}:
            raise self.error(f"{value.function}() cannot be the response", at=start, fix="give a numeric column")
        trials = None
        if self.take("/"):
            trials = Variable(self.name("the trials"))
            if not isinstance(value, Variable):
                raise self.error(
                    "successes are transformed", at=start, fix="write columns of counts: successes / trials"
                )
            if trials == value:
                raise self.error("successes and trials are the same column", at=start, fix="name two columns")
        if not self.at("~"):
            if self.at("+", "-", "*", ":"):
                raise self.error("the response is one column", fix="make the column in the data")
            raise self.unexpected()
        kind = "column" if trials is None else "successes_trials"
        return Response(kind, value, trials)  # type: ignore[arg-type]

    def right_side(self) -> RightSide:
        right = RightSide()
        negative = bool(self.take("-"))
        if not negative:
            self.take("+")
        self.item(right, negative=negative)
        while sign := self.take("+", "-"):
            self.item(right, negative=sign.text == "-")
        self.finish()
        right.terms = by_order(right.terms)
        self._check_random(right.random)
        return right

    def item(self, right: RightSide, *, negative: bool) -> None:
        token = self.token
        if token.kind == "number" and token.text in {"0", "1"}:
            right.intercept = self.constant(negative=negative)
        elif self.starts_random():
            if negative:
                raise self.error("a random part is taken away", fix="leave it out")
            self.random(right)
        else:
            right.terms = self.combine(right.terms, self.product(), negative=negative, at=token)

    def constant(self, *, negative: bool) -> bool:
        """Whether ``+ 1``, ``+ 0`` or ``- 1`` leaves an intercept."""
        token = self.advance()
        if negative and token.text == "0":
            raise self.error("'- 0' has no meaning", at=token, fix="write + 1 to keep the intercept")
        if self.at(":", "*", "^"):
            raise self.error("the intercept is part of no product", fix="write it as a term of its own")
        return token.text == "1" and not negative

    def random(self, right: RightSide) -> None:
        self.advance()
        inner = RightSide()
        start = self.token
        negative = bool(self.take("-"))
        while True:
            if self.starts_random():
                raise self.error("a random part stands inside another", fix="write them side by side")
            self.item(inner, negative=negative)
            sign = self.take("+", "-")
            if sign is None:
                break
            negative = sign.text == "-"
        if not self.at("|", "||"):
            raise self.unexpected()
        bar = self.advance()
        if not (inner.intercept or inner.terms):
            raise self.error("a random part has no effect", at=start, fix="write (1 | group)")
        groups = self.groups()
        self.expect(")", "to close the random part")
        term = RandomTerm(
            intercept=inner.intercept,
            slopes=by_order(inner.terms),
            correlated=bar.text == "|" or not inner.terms,
            group_columns=groups,
        )
        if term not in right.random:
            right.random.append(term)

    def groups(self) -> tuple[tuple[str, ...], ...]:
        names: list[str] = []
        groups = []
        while True:
            while True:
                token = self.token
                if self.at("("):
                    raise self.error("a group is written without brackets", fix="write (1 | la/team) or (1 | a:b)")
                name = self.name("a group")
                if name in names:
                    raise self.error(f"group {token.shown} is named twice", at=token, fix="name it once")
                names.append(name)
                if not self.take(":"):
                    break
            groups.append(tuple(names))
            if not self.take("/"):
                break
        if self.at("+", "*", "^", "-"):
            raise self.error(
                f"groups are joined by {self.token.shown}", fix="write (1 | a) + (1 | b) for crossed groups"
            )
        return tuple(groups)

    def _check_random(self, random: list[RandomTerm]) -> None:
        """Refuse an effect that varies by the same group twice: it could not be told apart."""
        seen: set[tuple[frozenset[str], Term | None]] = set()
        for single in (one for term in random for one in term.expand()):
            effects: list[Term | None] = [None] if single.intercept else []
            for effect in (*effects, *single.slopes):
                key = (frozenset(single.group_columns[0]), effect)
                if key in seen:
                    what = "the intercept" if effect is None else f"'{effect.text}'"
                    raise FormulaError(
                        f"{what} varies by '{single.groups[0]}' in two random parts",
                        fix="write one bracket, or '0 +' in one of them, as in (1 | g) + (0 + x | g)",
                    )
                seen.add(key)
