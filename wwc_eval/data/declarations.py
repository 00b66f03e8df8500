"""Checks that the declaration of a column does not contradict itself."""

from __future__ import annotations

import datetime as dt
import math
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wwc_eval.data.dates import DateFormat
from wwc_eval.errors import DataError, Place, Problem, did_you_mean, shown

if TYPE_CHECKING:
    from wwc_eval.data.schema import ColumnSpec

__all__ = ["declared_fields"]

_WHERE = {
    "levels": ("category", "local_authority"),
    "min": ("integer", "number", "date"),
    "max": ("integer", "number", "date"),
    "format": ("date",),
    "pattern": ("text",),
    "units": ("integer", "number"),
}


class _Checker:
    """Gathers the problems of one declaration and the fields brought to their form."""

    def __init__(self, spec: ColumnSpec) -> None:
        self.spec = spec
        self.problems: list[Problem] = []
        self.values: dict[str, Any] = {}

    def refuse(self, field: str, message: str, fix: str) -> None:
        self.problems.append(
            Problem(
                code="D50",
                message=f"column '{self.spec.name}': {message}",
                place=Place(field=f"{self.spec.name}.{field}"),
                fix=fix,
            )
        )

    def texts(self, field: str, example: str) -> tuple[str, ...]:
        """A list of texts; whole numbers stand for their digits, anything else is refused."""
        given = getattr(self.spec, field)
        if isinstance(given, str) or not isinstance(given, Sequence):
            self.refuse(field, f"{field} == {shown(given)}, must be a list", f"write {field}: {example}")
            return ()
        found: list[str] = []
        for item in given:
            if isinstance(item, bool) or not isinstance(item, str | int):
                self.refuse(field, f"{field} holds {shown(item)}, not text", "put quotes around each value")
            elif str(item) in found:
                self.refuse(field, f"{field} lists {shown(str(item))} twice", "list it once")
            elif not unicodedata.is_normalized("NFC", str(item)):
                self.refuse(field, f"{field} holds {shown(item)}, which is not in Unicode form NFC", "retype it")
            elif field == "levels" and (not str(item) or str(item) != str(item).strip()):
                self.refuse(
                    field, f"level {shown(item)} is blank or has spaces around it", "write it without them"
                )
            else:
                found.append(str(item))
        return tuple(found)

    def limit(self, field: str) -> float | str | None:
        given = getattr(self.spec, field)
        if given is None:
            return None
        if self.spec.type == "date":
            return self._date_limit(field, given)
        number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
        if not number:
            self.refuse(field, f"{field} == {shown(given)}, must be a finite number", "write it without quotes")
            return None
        return given  # type: ignore[no-any-return]

    def _date_limit(self, field: str, given: object) -> str | None:
        if isinstance(given, dt.date):
            return given.isoformat()[:10]
        date = DateFormat.parse(None).read(given) if isinstance(given, str) else None
        if date is None:
            self.refuse(field, f"{field} == {shown(given)}, must be an ISO date", 'write for example "2024-11-30"')
            return None
        return date.isoformat()

    def flag(self, field: str) -> bool:
        given = getattr(self.spec, field)
        if not isinstance(given, bool):
            self.refuse(field, f"{field} == {shown(given)}, must be true or false", "write true or false")
        return bool(given)

    def words(self, field: str) -> str | None:
        given = getattr(self.spec, field)
        if given is not None and not isinstance(given, str):
            self.refuse(field, f"{field} == {shown(given)}, must be text", "put quotes around it")
            return None
        return given


def declared_fields(spec: ColumnSpec, types: Sequence[str]) -> tuple[dict[str, Any], list[Problem]]:
    """Fields of a declaration in their form, and everything that is wrong with it."""
    check = _Checker(spec)
    _check_name_and_type(check, types)
    if check.problems:
        return {}, check.problems
    values = check.values
    values["levels"] = check.texts("levels", '["usual", "conference"]')
    values["missing"] = check.texts("missing", '["", "not known"]')
    values["min"], values["max"] = check.limit("min"), check.limit("max")
    for field in ("required", "unique", "baseline"):
        values[field] = check.flag(field)
    for field in ("units", "format", "pattern", "description"):
        values[field] = check.words(field)
    _check_agreement(check)
    return values, check.problems


def _check_name_and_type(check: _Checker, types: Sequence[str]) -> None:
    spec = check.spec
    if not isinstance(spec.name, str) or not spec.name or spec.name != spec.name.strip():
        check.refuse("name", f"name == {shown(spec.name)}, must be text without spaces around it", "rename it")
    elif not unicodedata.is_normalized("NFC", spec.name):
        check.refuse("name", "the name is not in Unicode form NFC", "retype it")
    if not isinstance(spec.type, str) or spec.type not in types:
        check.refuse("type", f"type == {shown(spec.type)} is not known", did_you_mean(str(spec.type), types))


def _check_agreement(check: _Checker) -> None:
    spec, values = check.spec, check.values
    for field, types in _WHERE.items():
        if values[field] not in (None, ()) and spec.type not in types:
            check.refuse(
                field,
                f"{field} means nothing for type {spec.type}",
                f"remove it, or declare type {' or '.join(types)}",
            )
    if spec.type == "category" and not values["levels"]:
        check.refuse("levels", "a category needs levels", 'add levels: ["first", "second"], the reference first')
    both = [level for level in values["levels"] if level in values["missing"]]
    if both:
        check.refuse("missing", f"{shown(both[0])} is both a level and a code for missing", "keep one of the two")
    low, high = values["min"], values["max"]
    if low is not None and high is not None and low > high:
        check.refuse("min", f"min == {low} is above max == {high}", "swap them")
    if values["pattern"] is not None:
        try:
            re.compile(values["pattern"])
        except re.error as error:
            check.refuse("pattern", f"pattern is not a regular expression: {error}", "correct it")
    if values["format"] is not None and spec.type == "date":
        try:
            DateFormat.parse(values["format"])
        except DataError as error:
            check.refuse("format", error.problems[0].message, error.problems[0].fix or "")
