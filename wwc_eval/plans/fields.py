"""Building blocks of a plan's fields: strict, frozen, and described for editors."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

__all__ = ["Block", "ColumnName", "DateText", "Identifier", "Number", "OneOrMany", "Text"]


class Block(BaseModel):
    """Base of every part of a plan: unknown fields are refused, types are not coerced, values do not change."""

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


Text = Annotated[str, StringConstraints(min_length=1), Field(description="Text")]
Identifier = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64),
    Field(description="A short name: letters, digits, '-' and '_', beginning with a letter"),
]
ColumnName = Annotated[str, StringConstraints(min_length=1), AfterValidator(_not_padded)]
DateText = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    AfterValidator(_a_date),
    Field(description="A date, YYYY-MM-DD"),
]
Number = Annotated[int | float, Field(description="A number")]
OneOrMany = Annotated[
    list[ColumnName],
    BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
    Field(min_length=1, description="One column name or a list of them"),
]
