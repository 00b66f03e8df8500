"""Strict reading of data: declared schemas, one error with every fault, joins that never multiply rows."""

from __future__ import annotations

from wwc_eval.data.joins import join_tables
from wwc_eval.data.names import local_authority_key
from wwc_eval.data.reading import check_table, read_table
from wwc_eval.data.schema import ColumnSpec, pandera_schema
from wwc_eval.data.writing import write_csv

__all__ = [
    "ColumnSpec",
    "check_table",
    "join_tables",
    "local_authority_key",
    "pandera_schema",
    "read_table",
    "write_csv",
]
