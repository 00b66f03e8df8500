"""What a column is declared to hold, and the pandera schema that follows from it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from wwc_eval.data.dates import DateFormat
from wwc_eval.data.declarations import declared_fields
from wwc_eval.data.names import other_spellings
from wwc_eval.errors import DataError, Place, Problem, did_you_mean, shown

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa

__all__ = ["COLUMN_TYPES", "ColumnSpec", "column_specs", "pandera_schema"]

COLUMN_TYPES = ("text", "integer", "number", "binary", "category", "date", "local_authority")


@dataclass(frozen=True, kw_only=True)
class ColumnSpec:
    """Declaration of one column: the only ground on which its text becomes a value.

    Parameters
    ----------
    name : str
        Name of the column, exactly as in the header.
    type : {"text", "integer", "number", "binary", "category", "date", "local_authority"}
        What a cell holds. ``binary`` is written 0 or 1; ``date`` in ISO form unless ``format`` is given.
    levels : tuple of str
        Allowed values in order, the reference first: needed for ``category``, possible for ``local_authority``.
    min, max : int, float or str, optional
        Limits, both included, of ``integer``, ``number`` and ``date`` (as ISO text) columns. Dates without limits
        must lie between 1900 and 2100.
    units : str, optional
        Words for the unit, such as ``years``.
    missing : tuple of str
        The texts that mean missing, matched exactly. A blank cell is missing only where ``""`` is listed.
    required : bool
        Whether the column must be in the table.
    unique : bool
        Whether no value may occur twice (missing values aside).
    format : str, optional
        Form of a ``date`` column made of ``%d %m %Y %b %B %j`` and punctuation, such as ``%d/%m/%Y``.
    pattern : str, optional
        Regular expression that the whole of a ``text`` value must match. It replaces the usual checks of text for
        stray spaces and codes for missing.
    baseline : bool
        Whether the column was measured before randomisation.
    description : str, optional
        Words for the data dictionary.

    Raises
    ------
    DataError
        If the declaration contradicts itself (code D50); every contradiction is listed.

    Examples
    --------
    >>> ColumnSpec(name="age", type="integer", min=0, max=17, units="years").rule
    'integer, from 0 to 17 years'
    """

    name: str
    type: str
    levels: tuple[str, ...] = ()
    min: float | str | None = None
    max: float | str | None = None
    units: str | None = None
    missing: tuple[str, ...] = ()
    required: bool = True
    unique: bool = False
    format: str | None = None
    pattern: str | None = None
    baseline: bool = False
    description: str | None = None

    def __post_init__(self) -> None:
        """Bring every field to its form, and refuse what contradicts itself."""
        values, problems = declared_fields(self, COLUMN_TYPES)
        if problems:
            raise DataError(problems=problems)
        for field, value in values.items():
            object.__setattr__(self, field, value)

    @classmethod
    def parse(cls, name: str, declared: ColumnSpec | Mapping[str, Any] | str) -> ColumnSpec:
        """Declaration from what a plan holds: a mapping of fields, or the type alone.

        Parameters
        ----------
        name : str
            Name of the column.
        declared : ColumnSpec, mapping or str
            ``{"type": "integer", "min": 0}`` or ``"integer"``.

        Returns
        -------
        ColumnSpec
            The declaration.

        Raises
        ------
        DataError
            For an unknown field or type (with the nearest known one) and for contradictions (code D50).

        Examples
        --------
        >>> ColumnSpec.parse("arm", {"type": "category", "levels": ["usual", "conference"]}).levels
        ('usual', 'conference')
        """
        if isinstance(declared, ColumnSpec):
            if declared.name != name:
                raise _invalid(
                    f"the declaration of column '{name}' is that of '{declared.name}'",
                    name,
                    "give it the same name as its key",
                )
            return declared
        if isinstance(declared, str):
            return cls(name=name, type=declared)
        if not isinstance(declared, Mapping):
            raise _invalid(
                f"the declaration of column '{name}' is {shown(declared)}, not a mapping or a type",
                name,
                "write for example {type: integer, min: 0}",
            )
        known = [field.name for field in fields(cls) if field.name != "name"]
        unknown = [key for key in declared if key not in known]
        if unknown:
            raise DataError(
                problems=[
                    Problem(
                        code="D50",
                        message=f"column '{name}' has no field {shown(key)}",
                        place=Place(field=f"{name}.{key}"),
                        fix=did_you_mean(str(key), known),
                    )
                    for key in unknown
                ]
            )
        if "type" not in declared:
            raise _invalid(f"column '{name}' has no type", name, f"add type: one of {', '.join(COLUMN_TYPES)}")
        return cls(name=name, **{str(key): value for key, value in declared.items()})

    @property
    def rule(self) -> str:
        """The declaration in words, as error messages quote it."""
        parts = [self.type.replace("_", " ")]
        if self.levels:
            listed = ", ".join(self.levels[:8])
            parts.append(f"one of {listed}" + (" ..." if len(self.levels) > 8 else ""))
        if self.format:
            parts.append(f"written {self.format}")
        if self.min is not None and self.max is not None:
            parts.append(f"from {self.min} to {self.max}")
        elif self.min is not None:
            parts.append(f"at least {self.min}")
        elif self.max is not None:
            parts.append(f"at most {self.max}")
        if self.units:
            parts[-1] += f" {self.units}"
        if self.pattern:
            parts.append(f"matching {self.pattern}")
        if self.missing:
            parts.append("missing: " + ", ".join(f'"{code}"' for code in self.missing))
        return ", ".join(parts)

    @property
    def dates(self) -> DateFormat:
        """How the dates of the column are written."""
        return DateFormat.parse(self.format)


def column_specs(columns: Mapping[str, Any]) -> dict[str, ColumnSpec]:
    """Declarations by column name, with the problems of all of them reported together.

    Raises
    ------
    DataError
        If ``columns`` is not a mapping of names to declarations (D51) or a declaration is invalid (D50).
    """
    if not isinstance(columns, Mapping):
        raise DataError(
            f"columns == {shown(columns)}, must map column names to declarations",
            code="D51",
            fix='write for example columns={"age": {"type": "integer", "min": 0}, "child_id": "text"}',
        )
    specs: dict[str, ColumnSpec] = {}
    problems: list[Problem] = []
    for name, declared in columns.items():
        try:
            specs[name] = ColumnSpec.parse(name, declared)
        except DataError as error:
            problems.extend(error.problems)
    if problems:
        raise DataError(problems=problems)
    return specs


def pandera_schema(columns: Mapping[str, Any], *, key: Sequence[str] = ()) -> pa.DataFrameSchema:
    """The pandera schema that a converted table must satisfy.

    :func:`read_table` validates with this schema, lazily, after it has converted text by the declared types.

    Parameters
    ----------
    columns : mapping of str to ColumnSpec, mapping or str
        Declarations by column name.
    key : sequence of str
        Columns that together identify a row.

    Returns
    -------
    pandera.pandas.DataFrameSchema
        One column per declaration, with the declaration as metadata.

    Raises
    ------
    DataError
        If a declaration is not valid.

    Examples
    --------
    >>> schema = pandera_schema({"age": {"type": "integer", "min": 0, "max": 17}})
    >>> [check.name for check in schema.columns["age"].checks]
    ['type', 'min', 'max']
    """
    pandera = _pandera()
    specs = column_specs(columns)
    schema: pa.DataFrameSchema = pandera.DataFrameSchema(
        {
            name: pandera.Column(
                checks=_checks(pandera, spec),
                nullable=bool(spec.missing),
                required=spec.required,
                description=spec.description,
                metadata={"declared": spec.rule, "units": spec.units, "missing": list(spec.missing)},
            )
            for name, spec in specs.items()
        },
        unique=list(key) or None,
        report_duplicates="all",
    )
    return schema


def _pandera() -> Any:
    from contextlib import suppress
    from importlib import import_module

    try:
        pandera = import_module("pandera.pandas")
    except ImportError:  # before pandera 0.24 the pandas interface was the package itself
        pandera = import_module("pandera")
    with suppress(ImportError):  # pandera 0.24 leaves this out where no column names a dtype
        import_module("pandera.backends.pandas.builtin_checks")
    return pandera


def _checks(pa: Any, spec: ColumnSpec) -> list[Any]:
    checks = [pa.Check(_type_check(spec), name="type", error=f"type {spec.type}")]
    if spec.type in {"category", "local_authority"} and spec.levels:
        checks.append(pa.Check.isin(list(spec.levels), name="levels"))
    if spec.type == "local_authority":
        checks.append(pa.Check(_one_spelling, name="spelling", error="one spelling of each local authority"))
    low, high = limits(spec)
    if low is not None:
        checks.append(pa.Check.ge(low, name="min"))
    if high is not None:
        checks.append(pa.Check.le(high, name="max"))
    if spec.pattern is not None:
        matches = re.compile(spec.pattern).fullmatch
        checks.append(pa.Check(_each(matches), name="pattern", error=f"matches {spec.pattern}"))
    if spec.unique:
        checks.append(pa.Check(_not_repeated, name="unique", error="no value twice"))
    return checks


def limits(spec: ColumnSpec) -> tuple[Any, Any]:
    """Lowest and highest allowed value in the type of the column, None where there is no limit."""
    if spec.type == "binary":
        return 0, 1
    if spec.type != "date":
        return spec.min, spec.max
    import pandas as pd

    return pd.Timestamp(spec.min or "1900-01-01"), pd.Timestamp(spec.max or "2100-12-31")


def _type_check(spec: ColumnSpec) -> Callable[[pd.Series[Any]], bool]:
    def fits(values: pd.Series[Any]) -> bool:
        from pandas.api import types

        if spec.type in {"integer", "binary"}:
            return bool(types.is_integer_dtype(values.dtype))
        if spec.type == "number":
            return bool(types.is_float_dtype(values.dtype))
        if spec.type == "date":
            return bool(types.is_datetime64_any_dtype(values.dtype))
        return not types.is_numeric_dtype(values.dtype)

    return fits


def _each(predicate: Callable[[str], object]) -> Callable[[pd.Series[Any]], pd.Series[bool]]:
    """Check of a column by its distinct values."""

    def holds(values: pd.Series[Any]) -> pd.Series[bool]:
        good = [value for value in values.dropna().unique() if predicate(str(value))]
        return values.isin(good) | values.isna()

    return holds


def _one_spelling(values: pd.Series[Any]) -> pd.Series[bool]:
    return ~values.isin(list(other_spellings(spelling_counts(values.dropna()))))


def spelling_counts(names: Iterable[Hashable]) -> dict[str, int]:
    """Number of rows of each name as written, in order of first appearance."""
    counts: dict[str, int] = {}
    for name in names:
        counts[str(name)] = counts.get(str(name), 0) + 1
    return counts


def _not_repeated(values: pd.Series[Any]) -> pd.Series[bool]:
    return ~values.duplicated(keep=False) | values.isna()


def _invalid(message: str, name: str, fix: str) -> DataError:
    return DataError(message, place=Place(field=str(name)), code="D50", fix=fix)


def is_composed(text: str) -> bool:
    """Whether text is in Unicode form NFC."""
    return text.isascii() or unicodedata.is_normalized("NFC", text)
