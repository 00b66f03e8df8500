"""Building blocks of the fields of YAML documents: strict, frozen, and described for editors."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

__all__ = ["Block", "ColumnName", "DateText", "Identifier", "Number", "OneOrMany", "Text"]


class Block(BaseModel):
    """Base of every part of a document: unknown fields are refused, types are not coerced, values do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


def _not_padded(text: str) -> str:
    if text != text.strip():
        raise ValueError("the text begins or ends with a space")
    return text


def _a_date(text: str) -> str:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        raise ValueError("a date is written YYYY-MM-DD") from None
    return text


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _not_empty(names: list[str]) -> list[str]:
    if not names:
        raise ValueError("the list names no column; leave the field out instead")
    return names


# no Field() in these: a FieldInfo inside an alias is shared by every field that uses it, and pydantic 2.10 changes it
Text = Annotated[str, StringConstraints(min_length=1)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64)]
ColumnName = Annotated[str, StringConstraints(min_length=1), AfterValidator(_not_padded)]
DateText = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_a_date)]
Number = int | float
OneOrMany = Annotated[
    list[ColumnName],
    BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
    AfterValidator(_not_empty),
]
