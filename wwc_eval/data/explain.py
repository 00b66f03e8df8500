"""Why a text cannot stand in a column of a declared type, and what to do about it.

Every function here sees one text that is known or suspected to be wrong; speed does not matter, words do.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from wwc_eval.data.findings import Fault
from wwc_eval.data.names import advise_authority, meant_authority
from wwc_eval.errors import did_you_mean, shown

if TYPE_CHECKING:
    from wwc_eval.data.schema import ColumnSpec

__all__ = ["BINARY", "INTEGER", "MISSING_LIKE", "NUMBER", "level_fault", "range_fault", "text_fault", "type_fault"]

INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
BINARY = frozenset({"0", "1"})
MISSING_LIKE = frozenset(
    (
        *("na", "n/a", "n.a.", "n.a", "#na", "<na>", "nan", "nat", "nil", "null", "none", "missing", "unknown"),
        *("-", "--", "---", ".", "..", "?", "??", "*"),
    )
)
# symbols of published statistics (Department for Education; Government Analysis Function)
SYMBOLS = {
    "c": "suppressed",
    "x": "not available",
    "z": "not applicable",
    "u": "low reliability",
    "k": "rounds to 0",
    "low": "rounds to 0",
    ":": "not available",
    "~": "rounds to 0",
    "..": "not available",
    "*": "suppressed",
}
SPREADSHEET_ERROR = re.compile(
    r"#(?:REF!|N/A|VALUE!|DIV/0!|NAME\?|NUM!|NULL!|SPILL!|CALC!|GETTING_DATA|FIELD!|BLOCKED!|#+)"
)
MANGLED = re.compile(r"-?[0-9](?:\.[0-9]+)?E\+[0-9]{2,3}")
_INVISIBLE = ("Cf", "Cc", "Co", "Cn", "Cs", "Zl", "Zp")
_ALLOWED_INSIDE = "\n\r\t"


def common_fault(text: str, spec: ColumnSpec) -> Fault | None:
    """Faults that a text has whatever the type of its column, or None."""
    if not text:
        fix = f"fill it in, or declare that blank means missing: {_with_code(spec, '')}"
        return Fault(code="D21", message="the cell is blank, and blank is not declared as missing", fix=fix)
    if SPREADSHEET_ERROR.fullmatch(text):
        return Fault(
            code="D29",
            message="the cell holds a spreadsheet error instead of a value",
            fix="repair the formula, or widen the column, and save again",
        )
    return _damaged(text) or _padded(text, spec) or _missing_like(text, spec)


def _damaged(text: str) -> Fault | None:
    if "\ufffd" in text:
        return Fault(
            code="D04",
            message="a character was lost when the file was saved in another encoding (U+FFFD stands for it)",
            fix="go back to the source and save it as UTF-8",
        )
    if not text.isascii():
        try:
            meant = text.encode("cp1252").decode("utf-8")
        except UnicodeError:
            return None
        return Fault(
            code="D04",
            message=f"the text was read in the wrong encoding before it was saved; {shown(meant)} was meant",
            fix="go back to the source and save it as UTF-8",
        )
    return None


def _padded(text: str, spec: ColumnSpec) -> Fault | None:
    bare = stripped(text)
    if not bare:
        return Fault(
            code="D21",
            message="the cell holds only blanks",
            fix=f"empty it, and declare that blank means missing: {_with_code(spec, '')}",
        )
    if bare != text:
        where = "before" if not text.startswith(bare[0]) else "after"
        odd = text[0] if where == "before" else text[-1]
        level = _near_level(bare, spec)
        meant = f"'{bare}'" if level is None else f"level '{level}'"
        return Fault(
            code="D27",
            message=f"there is {_character(odd)} {where} the value",
            fix=f"remove it so that the cell holds {meant}",
        )
    hidden = [one for one in text if unicodedata.category(one) in _INVISIBLE and one not in _ALLOWED_INSIDE]
    if hidden:
        control = unicodedata.category(hidden[0]) == "Cc"
        return Fault(
            code="D05" if control else "D27",
            message=f"the value holds {_character(hidden[0])}",
            fix="delete the character; retype the value if it cannot be seen",
        )
    if not unicodedata.is_normalized("NFC", text):
        return Fault(
            code="D27",
            message="the value is not in Unicode form NFC, so it differs from others that look the same",
            fix=f"write it in form NFC: '{unicodedata.normalize('NFC', text)}'",
        )
    return None


def _missing_like(text: str, spec: ColumnSpec) -> Fault | None:
    near = [code for code in spec.missing if code.casefold() == text.casefold()]
    if near:
        return Fault(
            code="D21",
            message=f"the declared code for missing is '{near[0]}', and codes are matched exactly",
            fix=f"write '{near[0]}', or declare both: {_with_code(spec, text)}",
        )
    # a pattern that holds for it says that it is a value, such as a code of ratings
    told = spec.type == "text" and spec.pattern is not None and re.fullmatch(spec.pattern, text) is not None
    if text.casefold() in MISSING_LIKE and not told:
        return Fault(
            code="D21",
            message=f"'{text}' looks like a code for missing and is not declared as one",
            fix=f"declare it: {_with_code(spec, text)}; or fill in the value",
        )
    symbol = text.casefold().strip("[]")
    if symbol in SYMBOLS and spec.type in {"integer", "number", "binary", "date"}:
        return Fault(
            code="D21",
            message=f"'{text}' is a symbol of published statistics ({SYMBOLS[symbol]}) and is not declared",
            fix=f"declare it as missing: {_with_code(spec, text)}",
        )
    return None


def type_fault(text: str, spec: ColumnSpec) -> Fault:
    """Why a text that is not a value of the column's type is refused."""
    common = common_fault(text, spec)
    if common is not None:
        return common
    if spec.type == "date":
        return spec.dates.fault(text)
    if spec.type == "binary":
        return _binary_fault(text)
    if spec.type == "category":
        return level_fault(text, spec)
    return _number_fault(text, spec)


def text_fault(text: str, spec: ColumnSpec) -> Fault | None:
    """Why a text column refuses a text, or None if it does not."""
    fault = common_fault(text, spec)
    if fault is None and MANGLED.fullmatch(text):
        return Fault(
            code="D28",
            message="the identifier was turned into a rounded number by spreadsheet software",
            fix="restore it from the source, with the column formatted as text before the file is opened",
        )
    return fault


def level_fault(text: str, spec: ColumnSpec, *, search: bool = True) -> Fault:
    """Why a text is not one of the declared levels; ``search`` looks for the one that was meant."""
    if spec.type == "local_authority":
        fault = text_fault(text, spec)
        meant = meant_authority(text, spec.levels) if search else None
        return fault or Fault(
            code="D31",
            message=(
                f"the declared spelling of this local authority is '{meant}'"
                if meant is not None
                else "this local authority is not among the declared ones"
            ),
            fix=advise_authority(text, spec.levels) if search else "write it as declared",
            rule=spec.rule,
        )
    fault = common_fault(text, spec)
    if fault is not None:
        return fault
    meant = _near_level(text, spec)
    if meant is not None:
        advice = f"did you mean '{meant}'? Levels are matched exactly"
    else:
        advice = did_you_mean(text, spec.levels) if search else "use a declared level"
    return Fault(code="D22", message="the value is not one of the declared levels", fix=advice, rule=spec.rule)


def range_fault(spec: ColumnSpec, side: str) -> Fault:
    """Why a value beyond the lower (``min``) or upper (``max``) limit is refused."""
    units = f" {spec.units}" if spec.units else ""
    limit = spec.min if side == "min" else spec.max
    if spec.type == "date" and limit is None:
        return Fault(
            code="D24",
            message="the date lies outside 1900 to 2100",
            fix=f"correct the year, or declare {side} if such dates are meant",
            rule=spec.rule,
        )
    below = "below the minimum" if side == "min" else "above the maximum"
    return Fault(
        code="D24",
        message=f"the value is {below} {limit}{units}",
        fix=f"correct the value at its source, or change {side} in the declaration",
        rule=spec.rule,
    )


def _binary_fault(text: str) -> Fault:
    words = {"true": "1", "t": "1", "yes": "1", "y": "1", "false": "0", "f": "0", "no": "0", "n": "0"}
    written = words.get(text.casefold()) or {"1.0": "1", "0.0": "0", "01": "1", "00": "0"}.get(text)
    fix = f"write {written}" if written else "recode the column to 0 and 1"
    more = "" if written is None else "; or declare a category with its levels"
    return Fault(code="D20", message="the value is neither 0 nor 1", fix=fix + more, rule="binary: 0 or 1")


def _number_fault(text: str, spec: ColumnSpec) -> Fault:
    whole = spec.type == "integer"
    if (INTEGER if whole else NUMBER).fullmatch(text):
        code = next((c for c in spec.missing if NUMBER.fullmatch(c) and float(c) == float(text)), None)
        if code is not None:
            return Fault(
                code="D21",
                message=f"the number equals the declared code for missing '{code}' but is written otherwise",
                fix=f"write '{code}', or declare both: {_with_code(spec, text)}",
            )
        return Fault(
            code="D30",
            message="the number is too large or too small to be kept exactly",
            fix="declare the column as text if it identifies something; otherwise use a larger unit",
            rule=spec.rule,
        )
    message, fix = _number_advice(text, whole=whole)
    return Fault(code="D20", message=message, fix=fix, rule=spec.rule)


# what a refused number looks like: expression, what it is, fix (``{0}`` is the text with marks removed)
_SHAPES: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3}){2,}(?:\.[0-9]+)?"), "commas separate thousands", "write {0}"),
    (re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})\.[0-9]+"), "a comma separates thousands", "write {0}"),
    (
        re.compile(r"[+-]?[0-9]{1,3},[0-9]{3}"),
        "the comma may separate thousands or decimals",
        "write {0} if it separates thousands, a decimal point if it does not",
    ),
    (re.compile(r"[+-]?[0-9.]*,[0-9]+"), "a comma stands for the decimal point", "write a decimal point"),
    (re.compile(r"[+-]?[0-9]{1,3}(?:[\s'’_][0-9]{3})+(?:\.[0-9]+)?"), "marks separate thousands", "write {0}"),
    (re.compile(r"[+-]?[0-9]+(?:_[0-9]+)+"), "underscores stand between digits", "write {0}"),
    (re.compile(r"[+-]?[0-9.,]+\s*[%‰]"), "a percent sign stands after the number", "remove the sign from the column and name it in units"),
    (re.compile(r"[£$€]\s*[0-9.,]+"), "a currency sign stands before the number", "remove the sign from the column and name it in units"),
    (re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE), "the text is not a finite number", "correct it, or declare it as missing"),
    (re.compile(r"[+-]?0[xobXOB][0-9A-Fa-f]+"), "the number is not written in base ten", "write it with the digits 0-9"),
    (re.compile(r"\+[0-9.]+(?:[eE][+-]?[0-9]+)?"), "a plus sign stands before the number", "remove the sign"),
    (re.compile(r"[−–—][0-9.,]+"), "a dash stands for the minus sign", "write the minus sign as '-'"),
    (re.compile(r"-?0[0-9]+(?:\.[0-9]*)?"), "the number has leading zeros", "remove them, or declare the column as text if the value is an identifier"),
    (re.compile(r"[<>≤≥]=?\s*[0-9.]+"), "the text is a bound, not a number", "declare it as missing, or ask for the number"),
    (re.compile(r"\([0-9.,]+\)"), "brackets stand for a negative number", "write a minus sign"),
    (re.compile(r"[0-9]{1,4}[-/][0-9]{1,2}[-/][0-9]{1,4}"), "the text looks like a date", "correct it, or declare type: date"),
)  # fmt: skip


def _number_advice(text: str, *, whole: bool) -> tuple[str, str]:
    if not text.isascii() and any(one.isnumeric() and not one.isascii() for one in text):
        plain = unicodedata.normalize("NFKC", text)
        return "the digits are not the digits 0-9", f"retype the number ({plain})"
    for expression, message, fix in _SHAPES:
        if expression.fullmatch(text):
            return message, fix.format(re.sub(r"[\s,'’_]", "", text))
    if whole and NUMBER.fullmatch(text):
        if "e" in text.casefold():
            return "a whole number must be written out, without exponent", "write all its digits"
        head, _, tail = text.partition(".")
        if not tail.strip("0"):
            return "a whole number is written without decimals", f"write {head}, or declare type: number"
        return "the value is not a whole number", "correct it, or declare type: number"
    kind = "a whole number" if whole else "a number"
    return f"the text is not {kind}", "correct it, or declare it as missing if it is a code"


def stripped(text: str) -> str:
    """Text without blanks and invisible characters around it."""
    start, end = 0, len(text)
    while start < end and _blank(text[start]):
        start += 1
    while end > start and _blank(text[end - 1]):
        end -= 1
    return text[start:end]


def _blank(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in _INVISIBLE


def _character(character: str) -> str:
    names = {" ": "a space", "\t": "a tab", "\n": "a line break", "\r": "a line break"}
    if character in names:
        return names[character]
    name = unicodedata.name(character, "control character").lower()
    return f"the character U+{ord(character):04X} ({name})"


def _with_code(spec: ColumnSpec, code: str) -> str:
    codes = ", ".join(f'"{each}"' for each in (*spec.missing, code))
    return f"missing: [{codes}]"


def _near_level(text: str, spec: ColumnSpec) -> str | None:
    """The declared level that differs from the text in case, marks or spacing only."""
    return {_loose(level): level for level in spec.levels}.get(_loose(text))


def _loose(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().replace("_", " ").replace("-", " ").split())
