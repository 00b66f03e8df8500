"""Strict YAML 1.2: text to plain data, with the position of every value, and nothing guessed.

What makes YAML surprising is refused by name: aliases, tags, merge keys, duplicate keys, several documents,
numbers with a leading zero, ``.nan`` and ``.inf``. Dates and ``yes``/``no`` stay text. The parser works on events,
so a hostile file can neither build an object nor exhaust the stack.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from wwc_eval.errors import Place, PlanError, Problem, WwcError, shown

__all__ = ["Parsed", "Path", "parse_yaml", "path_text"]

Path = tuple[str | int, ...]
Position = tuple[int, int]

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_DIGITS = 300

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_ODD_NUMBER = re.compile(
    r"[-+]?0[xob][0-9A-Fa-f_]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|[-+]?[0-9][0-9_]*_[0-9_]*"
)


@dataclass(frozen=True)
class Parsed:
    """Plain data of a YAML file, and where each value and key stands.

    Parameters
    ----------
    data : mapping, sequence or scalar
        The parsed document.
    values, keys : dict
        Position (line, character), from 1, of each value, and of each mapping key, by path.
    quoted : set
        Paths of scalars that were written in quotes.
    numbers : dict
        Numbers as they were written, by path: ``0.80`` says more than 0.8 does.
    file : str
        Name of the file, for messages.
    """

    data: Any
    file: str
    values: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)
    quoted: frozenset[Path] = frozenset()
    numbers: dict[Path, str] = field(default_factory=dict)

    def place(self, path: Path, *, key: bool = False, offset: int = 0) -> Place:
        """Place of a path, or of its nearest ancestor that stands in the file."""
        for length in range(len(path), -1, -1):
            part = path[:length]
            found = self.keys.get(part) if key and length == len(path) else None
            found = found or self.values.get(part)
            if found is not None:
                exact = length == len(path)
                shift = offset + (1 if offset and part in self.quoted else 0) if exact else 0
                return Place(file=self.file, line=found[0], character=found[1] + shift, field=path_text(path))
        return Place(file=self.file, line=1, character=1, field=path_text(path))


def path_text(path: Path) -> str:
    """Path as a reader writes it: ``analyses[0].formula``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def parse_yaml(content: bytes, file: str, *, what: str = "plan", error: type[WwcError] = PlanError) -> Parsed:
    r"""Parse strict YAML 1.2.

    Parameters
    ----------
    content : bytes
        The file as stored; UTF-8, with or without a byte order mark.
    file : str
        Its name, for messages.
    what : str
        Word for the document, for messages.
    error : type of WwcError
        Class of the error that is raised.

    Returns
    -------
    Parsed

    Raises
    ------
    PlanError
        Or the class asked for, with every problem that could be told apart, each with ``file:line:column``.

    Examples
    --------
    >>> parse_yaml(b"id: no\nalpha: 0.05", "plan.yaml").data
    {'id': 'no', 'alpha': 0.05}
    """
    try:
        return _Builder(_decode(content, file), file, what).build()
    except PlanError as found:
        raise error(problems=found.problems) from None


def _decode(content: bytes, file: str) -> str:
    if len(content) > MAX_BYTES:
        raise PlanError(
            f"the file holds {len(content):,} bytes", code="Y01", rule=f"at most {MAX_BYTES:,}", place=_at(file)
        )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise PlanError("the file is UTF-16", code="Y02", fix="save it as UTF-8", place=_at(file))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise PlanError(
            "the file is not UTF-8",
            code="Y02",
            value=f"byte 0x{content[error.start]:02x}",
            fix="save it as UTF-8",
            place=_at(file, line, error.start - content.rfind(b"\n", 0, error.start)),
        ) from None
    if not text.strip():
        raise PlanError("the file is empty", code="Y03", place=_at(file))
    return text


def _at(file: str, line: int = 1, character: int = 1) -> Place:
    return Place(file=file, line=line, character=character)


class _Builder:
    """Builds plain data from parser events and collects problems on the way."""

    def __init__(self, text: str, file: str, what: str) -> None:
        self.text = text
        self.what = what
        self.file = file
        self.problems: list[Problem] = []
        self.values: dict[Path, Position] = {}
        self.keys: dict[Path, Position] = {}
        self.quoted: set[Path] = set()
        self.numbers: dict[Path, str] = {}

    def build(self) -> Parsed:
        events = self._events()
        data: Any = None
        documents = 0
        for event in events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    self._problem("Y04", event, "there is a second document", fix=f"keep one {self.what} a file")
                    break
            elif kind in {"ScalarEvent", "MappingStartEvent", "SequenceStartEvent", "AliasEvent"}:
                data = self._value(event, events, ())
        if not self.problems and not isinstance(data, dict):
            self.problems.append(
                Problem(code="Y03", message=f"a {self.what} is a mapping of fields", place=_at(self.file))
            )
        if self.problems:
            raise PlanError(problems=self.problems)
        return Parsed(data, self.file, self.values, self.keys, frozenset(self.quoted), self.numbers)

    def _events(self) -> Iterator[Any]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        try:
            yield from YAML(typ="safe", pure=True).parse(self.text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = " ".join(str(error.problem or error.context).split())
            line, character = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            self.problems.append(
                Problem(code="Y05", message=f"not YAML: {message}", place=_at(self.file, line, character))
            )
            raise PlanError(problems=self.problems) from None
        except (YAMLError, ValueError, RecursionError) as error:
            message = " ".join(str(error).split())
            self.problems.append(Problem(code="Y05", message=f"not YAML: {message}", place=_at(self.file)))
            raise PlanError(problems=self.problems) from None

    def _problem(self, code: str, event: Any, message: str, **rest: Any) -> None:
        self.problems.append(Problem(code=code, message=message, place=self._place(event), **rest))

    def _place(self, event: Any) -> Place:
        return _at(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _value(self, event: Any, events: Iterator[Any], path: Path) -> Any:
        kind = type(event).__name__
        self.values[path] = (event.start_mark.line + 1, event.start_mark.column + 1)
        if kind == "AliasEvent":
            self._problem("Y06", event, f"alias *{event.anchor}", fix="write the value out")
            return None
        if event.anchor is not None:
            self._problem("Y06", event, f"anchor &{event.anchor}", fix="remove it and write values out")
        if event.tag is not None:
            self._problem("Y07", event, f"tag {event.tag}", fix="remove it; fields know their types")
        if len(path) > MAX_DEPTH:
            self._problem("Y08", event, "nested too deeply", rule=f"at most {MAX_DEPTH} levels")
            raise PlanError(problems=self.problems)
        if kind == "ScalarEvent":
            if event.style is not None:
                self.quoted.add(path)
            value = self._scalar(event)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self.numbers[path] = str(event.value)
            return value
        if kind == "SequenceStartEvent":
            return self._sequence(events, path)
        return self._mapping(events, path)

    def _sequence(self, events: Iterator[Any], path: Path) -> list[Any]:
        items: list[Any] = []
        for event in events:
            if type(event).__name__ == "SequenceEndEvent":
                break
            items.append(self._value(event, events, (*path, len(items))))
        return items

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for event in events:
            if type(event).__name__ == "MappingEndEvent":
                break
            key = self._key(event, events, path)
            seen = key in items
            at = (event.start_mark.line + 1, event.start_mark.column + 1)
            value = self._value(next(events), events, (*path, key))
            if value is None:
                self.values[(*path, key)] = at  # an empty value has no place of its own
            if seen:
                first = self.keys[(*path, key)]
                self._problem(
                    "Y09", event, f"field '{key}' stands twice", rule=f"first on line {first[0]}", fix="keep one"
                )
                continue
            self.keys[(*path, key)] = at
            items[key] = value
        return items

    def _key(self, event: Any, events: Iterator[Any], path: Path) -> str:
        if type(event).__name__ != "ScalarEvent":
            self._problem("Y10", event, "a field name is not text", fix="use a plain name")
            self._value(event, events, (*path, "?"))
            return "?"
        if event.anchor is not None or event.tag is not None:
            code, what = ("Y06", "anchor") if event.anchor is not None else ("Y07", "tag")
            self._problem(code, event, f"{what} on a field name", fix="remove it")
        key = self._scalar(event)
        if event.value == "<<" and event.style is None:
            self._problem("Y06", event, "merge key <<", fix="write the fields out")
        elif not isinstance(key, str) or not key:
            self._problem("Y10", event, f"field name {event.value} is not text", fix="put it in quotes")
        return event.value if not isinstance(key, str) else key

    def _scalar(self, event: Any) -> Any:
        text = str(event.value)
        if unicodedata.normalize("NFC", text) != text:
            self._problem(
                "Y11", event, "letters and accents are stored apart (not Unicode NFC)", value=shown(text),
                fix="type the accented letters anew",
            )  # fmt: skip
        if event.style is not None:
            return text
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if _LEADING_ZERO.fullmatch(text):
            self._problem("Y12", event, f"{text} has a leading zero", fix="put a code in quotes, or drop the zero")
        elif _ODD_NUMBER.fullmatch(text):
            self._problem("Y12", event, f"{text} is not a plain decimal number", fix="write it out, or in quotes")
        elif len(text) > MAX_DIGITS and text.lstrip("+-").isdigit():
            self._problem("Y12", event, "a number of more than 300 digits", value=shown(text))
        elif _INTEGER.fullmatch(text):
            return int(text)
        elif _FLOAT.fullmatch(text):
            return self._float(event, text)
        return text

    def _float(self, event: Any, text: str) -> float:
        number = float(text)
        if number in {float("inf"), float("-inf")}:
            self._problem("Y12", event, f"{text} is too large")
        return number
