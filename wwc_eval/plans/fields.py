"""Building blocks of a plan's fields: those that every YAML document shares."""

from __future__ import annotations

from wwc_eval.data.yaml_fields import Block, ColumnName, DateText, Identifier, Number, OneOrMany, Text

__all__ = ["Block", "ColumnName", "DateText", "Identifier", "Number", "OneOrMany", "Text"]
