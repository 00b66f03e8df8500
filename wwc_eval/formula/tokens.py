"""Words of formulas and conditions: one small scanner, and the error that points into the text.

Nothing here or in the parsers evaluates text: a character that is not in the alphabet below is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from wwc_eval.errors import FormulaError, Place, shown

__all__ = ["Language", "Reader", "Token", "complaint", "quote_name", "quote_text", "scan"]

MAX_CHARACTERS = 10_000
MAX_DEPTH = 30
MAX_DIGITS = 40
EXCERPT = 24

TokenKind = Literal["name", "number", "text", "operator", "end"]

_BARE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_QUOTES = {"'": re.compile(r"'((?:[^']|'')*)'"), '"': re.compile(r'"((?:[^"]|"")*)"')}

_LOOKALIKES = {
    "–": "-",
    "—": "-",
    "−": "-",
    "×": "*",
    "∗": "*",
    "∼": "~",
    "～": "~",
    "˜": "~",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "∶": ":",
    "：": ":",
    "（": "(",
    "）": ")",
    "＋": "+",
    "\u00a0": " ",
}


@dataclass(frozen=True)
class Language:
    """Alphabet of one of the two grammars: its operators (longest first) and advice on foreign ones."""

    name: str
    operators: tuple[str, ...]
    advice: Mapping[str, str]
    quoted_text: bool


FORMULA = Language(
    name="formula",
    operators=("||", "~", "+", "-", "*", ":", "^", "/", "(", ")", "|", ","),
    advice=MappingProxyType(
        {
            "**": "write ^ for a power",
            "==": "a formula compares nothing; make the column in the data",
            "=": "write ~ between the response and the terms",
            ">": "a formula compares nothing; make the column in the data",
            "<": "a formula compares nothing; make the column in the data",
            "%": "write a:b for an interaction, a + a:b for b within a",
            ".": "name every column; a name with a dot is written in backquotes, `a.b`",
            "'": "column names are written bare or in backquotes, `looked after`",
            '"': "column names are written bare or in backquotes, `looked after`",
            "_": "a bare name starts with a letter; write others in backquotes, `_x`",
        }
    ),
    quoted_text=False,
)

CONDITION = Language(
    name="condition",
    operators=("==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ",", "-"),
    advice=MappingProxyType(
        {
            "<>": "write != for 'differs from'",
            "=": "write == for 'equals'",
            "&": "write 'and'",
            "|": "write 'or'",
            "!": "write 'not'",
            "~": "write 'not'",
            "+": "a condition has no arithmetic; make the column in the data",
            "*": "a condition has no arithmetic; make the column in the data",
            "/": "a condition has no arithmetic; make the column in the data",
            "%": "a condition has no arithmetic; make the column in the data",
            "^": "a condition has no arithmetic; make the column in the data",
            ".": "a name with a dot is written in backquotes, `a.b`",
            "_": "a bare name starts with a letter; write others in backquotes, `_x`",
        }
    ),
    quoted_text=True,
)


@dataclass(frozen=True)
class Token:
    """One word: its kind, its content (without quotes), the character it starts at, and whether it was quoted."""

    kind: TokenKind
    text: str
    position: int
    quoted: bool = False

    @property
    def shown(self) -> str:
        """The word as an error names it."""
        return "the end" if self.kind == "end" else shown(self.text)


def complaint(
    language: str, text: str, position: int, message: str, *, fix: str | None = None, rule: str | None = None
) -> FormulaError:
    """Error that points at a character of a formula or condition (counted from 1) and shows what is around it."""
    start = max(0, position - 1 - EXCERPT)
    end = position - 1 + EXCERPT
    around = ("..." if start else "") + text[start:end] + ("..." if end < len(text) else "")
    return FormulaError(
        f"{message} at character {position} of the {language}",
        place=Place(character=position),
        value=shown(around),
        rule=rule,
        fix=fix,
    )


def scan(text: object, language: Language) -> tuple[Token, ...]:
    """Words of a text in order, ending with one of kind ``end``.

    Raises
    ------
    FormulaError
        If the text is not a string, is empty or too long, or has a character outside the alphabet.
    """
    if not isinstance(text, str):
        raise FormulaError(
            f"a {language.name} must be text, not {type(text).__name__}", value=shown(text), fix="put it in quotes"
        )
    if len(text) > MAX_CHARACTERS:
        raise FormulaError(
            f"the {language.name} has {len(text):,} characters",
            rule=f"at most {MAX_CHARACTERS:,} characters",
            fix="shorten it",
        )
    tokens = []
    position = 0
    while position < len(text):
        if text[position] in " \t\r\n":
            position += 1
            continue
        token, position = _next(text, position, language)
        tokens.append(token)
    if not tokens:
        raise FormulaError(f"the {language.name} is empty", fix=f"write a {language.name}")
    return (*tokens, Token("end", "", len(text) + 1))


def _next(text: str, start: int, language: Language) -> tuple[Token, int]:
    """The word that starts at an index, and the index behind it."""
    character = text[start]
    bare = _BARE.match(text, start)
    if bare:
        _end_of_name(text, bare.end(), language)
        return Token("name", bare.group(), start + 1), bare.end()
    number = _NUMBER.match(text, start)
    if number:
        _end_of_number(text, start, number.end(), language)
        return Token("number", number.group(), start + 1), number.end()
    if character == "`":
        return _backquoted(text, start, language)
    if language.quoted_text and character in _QUOTES:
        return _quoted(text, start, language)
    for foreign in ("**", "<>", "=="):
        if foreign in language.advice and text.startswith(foreign, start):
            raise complaint(
                language.name, text, start + 1, f"'{foreign}' is not used", fix=language.advice[foreign]
            )
    for operator in language.operators:
        if text.startswith(operator, start):
            return Token("operator", operator, start + 1), start + len(operator)
    raise _foreign(text, start, language)


def _foreign(text: str, index: int, language: Language) -> FormulaError:
    """Error about a character outside the alphabet, by its Unicode name where it is not plain ASCII."""
    character = text[index]
    if character.isascii() and character.isprintable():
        message = f"'{character}' is not used"
        fix = language.advice.get(character, f"use only names, numbers and {' '.join(language.operators)}")
    else:
        name = unicodedata.name(character, "a control character")
        message = f"character U+{ord(character):04X} ({name}) is not allowed"
        plain = _LOOKALIKES.get(character)
        fix = f"write {shown(plain)}" if plain else "write a name that has other than ASCII letters in backquotes"
    return complaint(language.name, text, index + 1, message, fix=fix)


def _end_of_name(text: str, end: int, language: Language) -> None:
    """Refuse a name that runs into a character which would make it another name."""
    if end < len(text) and (text[end] == "." or (not text[end].isascii() and not text[end].isspace())):
        raise _foreign(text, end, language)


def _end_of_number(text: str, start: int, end: int, language: Language) -> None:
    """Refuse ``1_000``, ``0x10``, ``5a``, ``1.``, the leading zero of a code, and numbers no column holds."""
    if end - start > MAX_DIGITS:
        raise complaint(
            language.name,
            text,
            start + 1,
            f"a number has more than {MAX_DIGITS} characters",
            fix="put a long code in quotes",
        )
    if end < len(text) and (text[end] in "._" or text[end].isalnum()):
        raise complaint(
            language.name, text, start + 1, "a number runs into other characters", fix="put a space between"
        )
    if len(text[start:end]) > 1 and text[start] == "0" and text[start + 1].isdigit():
        raise complaint(
            language.name, text, start + 1, "a number starts with 0", fix="put a code such as '007' in quotes"
        )


def _backquoted(text: str, start: int, language: Language) -> tuple[Token, int]:
    end = text.find("`", start + 1)
    if end < 0:
        raise complaint(language.name, text, start + 1, "a backquote is not closed", fix="close it: `a name`")
    name = text[start + 1 : end]
    if not name.strip() or not name.isprintable():
        raise complaint(
            language.name,
            text,
            start + 1,
            "the name in backquotes is empty or has a control character",
            fix="write the column's name between the backquotes",
        )
    return Token("name", name, start + 1, quoted=True), end + 1


def _quoted(text: str, start: int, language: Language) -> tuple[Token, int]:
    quote = text[start]
    found = _QUOTES[quote].match(text, start)
    if not found:
        raise complaint(language.name, text, start + 1, "a quotation mark is not closed", fix=f"close it: {quote}")
    content = found.group(1).replace(quote * 2, quote)
    if not all(character.isprintable() for character in content):
        raise complaint(
            language.name, text, start + 1, "quoted text has a control character", fix="remove the character"
        )
    return Token("text", content, start + 1, quoted=True), found.end()


def quote_name(name: str, *, reserved: frozenset[str] = frozenset()) -> str:
    """A column's name as a formula or condition writes it: bare where it can be, else in backquotes.

    Parameters
    ----------
    name : str
        Name of the column.
    reserved : frozenset of str
        Words in small letters that have a meaning of their own and so need backquotes in any spelling.

    Raises
    ------
    FormulaError
        If the name cannot be written at all: empty, with a backquote or with a control character.

    Examples
    --------
    >>> quote_name("age"), quote_name("looked after")
    ('age', '`looked after`')
    """
    if _BARE.fullmatch(name) and name.lower() not in reserved:
        return name
    if not name.strip() or "`" in name or not name.isprintable():
        raise FormulaError(
            f"a formula cannot name the column {shown(name)}",
            rule="a name is not empty and has no backquote and no control character",
            fix="rename the column",
        )
    return f"`{name}`"


def quote_text(text: str) -> str:
    """Text as a condition writes it: in single quotes, in double quotes where it holds a single one."""
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


class Reader:
    """Tokens of one text with a place in them; what both parsers are built on."""

    def __init__(self, text: object, language: Language) -> None:
        self.tokens = scan(text, language)
        self.text = str(text)
        self.language = language
        self.index = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        """The next word."""
        return self.tokens[self.index]

    def at(self, *operators: str) -> bool:
        """Whether the next word is one of these operators."""
        return self.token.kind == "operator" and self.token.text in operators

    def advance(self) -> Token:
        """Take the next word."""
        token = self.token
        self.index += 1
        return token

    def take(self, *operators: str) -> Token | None:
        """Take the next word if it is one of these operators."""
        return self.advance() if self.at(*operators) else None

    def expect(self, operator: str, why: str) -> Token:
        """Take the operator, or say what it was needed for."""
        if self.at(operator):
            return self.advance()
        raise self.error(f"{self.token.shown} stands where '{operator}' is needed {why}")

    def error(
        self, message: str, *, at: Token | None = None, fix: str | None = None, rule: str | None = None
    ) -> FormulaError:
        """Error that points at a word, by default the next one."""
        position = (at or self.token).position
        return complaint(self.language.name, self.text, position, message, fix=fix, rule=rule)

    def deeper(self) -> None:
        """Count one level of nesting; refuse too many, so that no text can exhaust the stack."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(
                f"more than {MAX_DEPTH} levels of nesting", fix="write it with fewer brackets or 'not'"
            )
