"""Ratings as recorded, put on the scales of a specification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, WwcError, did_you_mean, shown
from wwc_eval.fidelity.scoring.ratings_checks import (
    SHOWN_ROWS,
    Faults,
    blank_in,
    column_problems,
    duplicate_problems,
    odd_rows,
    twin_problems,
    unit_problems,
    value_problems,
    version_problems,
    who_problems,
)
from wwc_eval.inference.frames import to_pandas

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from wwc_eval.fidelity.specification.specification import FidelitySpecification

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Ratings", "read_ratings"]

VALUE, DROPPED, MISSING = 0, 1, 2
"""What a rating says: a value (also the lowest one for what was not recorded), the item is dropped, it is missing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ratings:
    """Ratings that fit the specification.

    Parameters
    ----------
    frame : DataFrame
        As received, with a plain index.
    columns : mapping
        Unit: its column, the lowest first.
    item : array of int
        Position of the item in the specification.
    numbers : array of float
        In the item's own values, as they count; missing where ``kind`` is not a value.
    kind : array of int
        0 a value, 1 dropped (not applicable), 2 missing (not seen).
    codes : mapping
        Meaning of a code for missing: how often it was written.
    applies : array of bool
        Whether the item's condition holds in the row.
    notes : tuple of str
        What a reader must know of the data.
    """

    frame: pd.DataFrame
    columns: Mapping[str, str]
    item: Ints
    numbers: Floats
    kind: Ints
    codes: Mapping[str, Ints]
    applies: NDArray[np.bool_]
    notes: tuple[str, ...]


def unit_columns(spec: FidelitySpecification, units: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Columns of the units, by the specification's names, the lowest first.

    Raises
    ------
    DataError
        If a unit is unknown or names do not match.
    """
    known = spec.units
    if units is None:
        return {unit: unit for unit in known}
    if isinstance(units, str):
        units = [units]
    if isinstance(units, Mapping):
        given = {str(unit): str(column) for unit, column in units.items()}
    else:
        listed = [str(unit) for unit in units]
        if len(set(listed)) < len(listed):
            raise DataError(f"units == {shown(listed)} names a column twice", fix="name each column once")
        if set(listed) <= set(known):
            given = {unit: unit for unit in listed}
        elif len(listed) == len(known):
            given = dict(zip(known, listed, strict=True))
        else:
            odd = next(unit for unit in listed if unit not in known)
            raise DataError(f"units == {shown(listed)}: there is no unit '{odd}'", fix=did_you_mean(odd, known))
    for unit in given:
        if unit not in known:
            raise DataError(f"units: there is no unit '{unit}'", fix=did_you_mean(unit, known))
    if known[0] not in given:
        raise DataError(
            f"units == {shown(list(given))} leaves out '{known[0]}'",
            rule="scores are made for the lowest unit first",
            fix=f"add '{known[0]}'",
        )
    return {unit: given[unit] for unit in known if unit in given}


def read_ratings(
    spec: FidelitySpecification, ratings: Any, units: Sequence[str] | Mapping[str, str] | None
) -> Ratings:
    """Check ratings and put them on the scales of the specification.

    Raises
    ------
    DataError
        With every fault: columns (R01), rows (R02), units (R03, R04), items (R05), values (R06, R07), ratings given
        twice (R08), raters (R09), respondents (R10), dates (R11), conditions (R12), arms (R13), names that differ by
        case or blanks alone (R14), dates that cannot be (R15), ratings made under another version of the
        specification (R16).
    """
    import pandas as pd

    columns = unit_columns(spec, units)
    given = to_pandas(ratings)
    source = given.attrs.get("source") or {}
    # rows of a selection are not those of the file
    faults = Faults(source.get("file") if source.get("rows") == len(given) else None)
    frame = pd.DataFrame(given).reset_index(drop=True)
    frame.attrs = {}
    column_problems(faults, spec, frame, columns)
    if faults.problems:
        raise DataError(problems=faults.problems)
    names = _names(faults, spec, frame)
    places = {item.id: spec.unit_place(item.id, columns) for item in spec.document.items}
    lowest = np.array([places.get(name, -1) if name else -1 for name in names], dtype=np.int64)
    unit_problems(faults, frame, columns, lowest)
    twin_problems(faults, frame, [*columns.values(), *(["rater"] if "rater" in frame.columns else [])])
    values = frame["value"].astype(object).tolist()
    numbers, kinds, meanings = _numbers(spec, names, values)
    value_problems(faults, spec, names, values=values, numbers=numbers, kinds=kinds)
    who_problems(faults, spec, frame, names)
    duplicate_problems(faults, _keys(frame, columns, names, lowest))
    _dates(faults, frame)
    version_problems(faults, spec, frame)
    applies, notes = _applies(faults, spec, frame, lowest=next(iter(columns.values())), names=names, kinds=kinds)
    _arms(faults, spec, frame, lowest=next(iter(columns.values())))
    notes += _own(spec, frame, columns, names)
    if faults.problems:
        raise DataError(problems=sorted(faults.problems, key=lambda p: (p.place.row or 0, p.code)))
    order = {item.id: place for place, item in enumerate(spec.document.items)}
    item = np.array([order[str(name)] for name in names], dtype=np.int64)
    scored, kind = _counted(spec, item, numbers, meanings)
    return Ratings(
        frame=frame,
        columns=columns,
        item=item,
        numbers=scored,
        kind=kind,
        codes={name: np.bincount(item[meanings == name], minlength=len(order)) for name in _MEANINGS},
        applies=applies,
        notes=tuple(notes),
    )


OLDEST = "1990-01-01"
"""First day that a rating may have been made."""
_MEANINGS = ("not_applicable", "not_recorded", "not_seen")


def _names(faults: Faults, spec: FidelitySpecification, frame: pd.DataFrame) -> list[str | None]:
    """Item of each row, None where it is not known (R05)."""
    known = {item.id: None for item in spec.document.items}
    blank = blank_in(frame["item"])
    given = frame["item"].astype(object).tolist()
    found = [
        None if empty or str(value) not in known else str(value) for value, empty in zip(given, blank, strict=True)
    ]
    for row in faults.rows(blank):
        faults.add("R05", "no item is given", row=row, column="item", fix="say which item was rated")
    for row in faults.rows(~blank & np.array([name is None for name in found])):
        message, fix = f"there is no item '{given[row]}'", did_you_mean(str(given[row]), known)
        faults.add("R05", message, row=row, column="item", fix=fix)
    return found


def _numbers(
    spec: FidelitySpecification, names: list[str | None], values: list[Any]
) -> tuple[Floats, NDArray[np.object_], NDArray[np.object_]]:
    """Numbers, what each cell is (value, code, blank, unread, unknown), and the meaning of codes."""
    codes = {item.id: spec.codes_of(item.id) for item in spec.document.items}
    known: dict[tuple[str | None, type, Any], tuple[float, str, str]] = {}
    found: list[tuple[float, str, str]] = []
    for name, value in zip(names, values, strict=True):
        plain = value if isinstance(value, str | float | int) else str(value)
        key = (name, type(value), None if _missing(value) else plain)
        if key not in known:
            known[key] = _read(name, value, codes.get(name or "", {}))
        found.append(known[key])
    numbers, kinds, meanings = zip(*found, strict=True)
    return np.array(numbers), np.array(kinds, dtype=object), np.array(meanings, dtype=object)


def _read(name: str | None, value: Any, own: Mapping[str, str]) -> tuple[float, str, str]:
    """Number, kind and meaning of one cell."""
    text = "" if _missing(value) else str(value).strip()
    short = text.removesuffix(".0")
    if name is None:
        return np.nan, "unknown", ""
    if not text:
        return np.nan, "blank", ""
    if text in own or short in own:
        return np.nan, "code", own[text if text in own else short]
    try:
        number = float(text) if "_" not in text and not isinstance(value, bool | np.bool_) else np.nan
    except ValueError:
        number = np.nan
    return (number, "value", "") if np.isfinite(number) else (np.nan, "unread", "")


def _missing(value: Any) -> bool:
    return (
        value is None
        or type(value).__name__ in {"NAType", "NaTType"}
        or (isinstance(value, float) and isnan(value))
    )


def _counted(
    spec: FidelitySpecification, item: Ints, numbers: Floats, meanings: NDArray[np.object_]
) -> tuple[Floats, Ints]:
    values, kind = numbers.copy(), np.zeros(len(item), dtype=np.int64)
    for place, fields in enumerate(spec.document.items):
        mine = item == place
        treatments = spec.treatments_of(fields.id)
        worst = fields.scale.high if fields.reverse else fields.scale.low
        for meaning in _MEANINGS:
            rows = mine & (meanings == meaning)
            treatment = treatments[meaning]
            if treatment == "score_min":
                values[rows] = worst
            else:
                kind[rows] = DROPPED if treatment == "drop" else MISSING
        values[mine] = fields.scale.counted(values[mine])
    return values, kind


def _keys(frame: pd.DataFrame, columns: dict[str, str], names: list[str | None], lowest: Ints) -> pd.DataFrame:
    import pandas as pd

    units = np.stack([frame[column].astype(object).to_numpy() for column in columns.values()])
    own = units[np.maximum(lowest, 0), np.arange(len(frame))]
    keys: dict[str, Any] = {"unit": own, "item": np.array(names, dtype=object)}
    for name in ("rater", "respondent", "date"):
        if name in frame.columns:
            keys[name] = pd.factorize(frame[name].astype(object).mask(blank_in(frame[name])))[0]
    return pd.DataFrame(keys)


def _dates(faults: Faults, frame: pd.DataFrame) -> None:
    """Dates that are none (R11), or cannot be those of ratings (R15); they are read as ISO dates and never guessed."""
    import pandas as pd

    if "date" not in frame.columns:
        return
    if not pd.api.types.is_datetime64_any_dtype(frame["date"]):
        given = frame["date"].astype(object)
        text = given.where(~blank_in(frame["date"])).astype(str)
        # a time of day may follow the date, and nothing else
        whole = text.str.fullmatch(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?")
        read = pd.to_datetime(text.str.slice(0, 10).where(whole), format="%Y-%m-%d", errors="coerce")
        for row in faults.rows(read.isna().to_numpy() & ~blank_in(frame["date"])):
            faults.add("R11", "the date is not read", row=row, column="date", value=given[row], rule="YYYY-MM-DD")
        frame["date"] = read
    day = frame["date"].dt.tz_localize(None) if frame["date"].dt.tz is not None else frame["date"]
    # somewhere on earth it is a day later already
    latest = pd.Timestamp.now().normalize() + pd.Timedelta(days=2)
    for row in faults.rows(((day < OLDEST) | (day >= latest)).to_numpy()):
        message = f"the date is {'in the future' if day[row] >= latest else f'before {OLDEST}'}"
        rule = "the day of the rating; 1899, 1900, 1904 and 1970 are where programs begin to count days"
        value = f"{day[row]:%Y-%m-%d}"
        faults.add(
            "R15", message, row=row, column="date", value=value, rule=rule, fix="correct it, or leave it blank"
        )


def _applies(
    faults: Faults,
    spec: FidelitySpecification,
    frame: pd.DataFrame,
    *,
    lowest: str,
    names: list[str | None],
    kinds: NDArray[np.object_],
) -> tuple[NDArray[np.bool_], list[str]]:
    """Rows in which the item's condition holds; what cannot be told is a fault (R12)."""
    import pandas as pd

    applies, notes = np.ones(len(frame), dtype=bool), []
    text = np.array([name or "" for name in names], dtype=object)
    for column in sorted({name for item in spec.document.items for name in spec.condition_of(item.id)}):
        if frame[column].dtype == object or str(frame[column].dtype) in {"str", "string"}:
            filled = frame[column].where(~blank_in(frame[column]))
            numbers = pd.to_numeric(filled, errors="coerce")
            frame[column] = numbers if bool((numbers.notna() | filled.isna()).all()) else filled
        for value, row, rows in _torn(frame, lowest, column):
            message = f"{column} of {lowest} {value} is not the same in all rows"
            faults.add("R12", message, row=row, column=column, rule=f"one {column} for each {lowest}; {rows}")
    for item in spec.document.items:
        if item.applies_if is None:
            continue
        mine = text == item.id
        try:
            truth = spec.conditions[item.id].evaluate(frame)
        except WwcError as error:
            _unread(faults, spec, frame, item.id, error)
            continue
        for row in faults.rows(mine & truth.isna().to_numpy()):
            message = f"whether item '{item.id}' applies cannot be told"
            column = ", ".join(sorted(spec.condition_of(item.id)))
            faults.add("R12", message, row=row, column=column, rule=item.applies_if, fix="fill in the column")
        holds = truth.fillna(True).to_numpy(dtype=bool)
        idle = int((mine & ~holds & (kinds == "value")).sum())
        if idle:
            notes.append(f"{idle} ratings of item '{item.id}' do not count: {item.applies_if} does not hold.")
        applies &= holds | ~mine
    return applies, notes


def _unread(faults: Faults, spec: FidelitySpecification, frame: pd.DataFrame, item: str, error: WwcError) -> None:
    """Rows for which a condition on numbers meets words (R12); the condition's own fault where no row can be named."""
    import pandas as pd

    said = len(faults.problems)
    for column in sorted(spec.condition_of(item)):
        numbers = pd.to_numeric(frame[column], errors="coerce")
        words = (numbers.isna() & frame[column].notna()).to_numpy()
        if numbers.notna().any():
            for row in faults.rows(words):
                message = f"{column} is no number, and whether item '{item}' applies hangs on it"
                value = frame[column].iloc[row]
                faults.add("R12", message, row=row, column=column, value=value, rule=spec.conditions[item].text)
    if len(faults.problems) == said:
        problem = error.problems[0]
        message = f"whether item '{item}' applies cannot be told: {problem.message}"
        faults.add("R12", message, column=problem.place.column, fix=problem.fix)


def _own(
    spec: FidelitySpecification, frame: pd.DataFrame, columns: dict[str, str], names: list[str | None]
) -> list[str]:
    """A note where raters judge a unit of their own name: a worker who rates their own practice."""
    if "rater" not in frame.columns:
        return []
    judged = {item.id for item in spec.document.items if spec.judged(item.id)}
    rater = frame["rater"].astype(object).map(str)
    rated = np.array([name in judged for name in names]) & ~blank_in(frame["rater"])
    counts = {
        unit: int((rated & (frame[column].astype(object).map(str) == rater)).sum())
        for unit, column in columns.items()
    }
    return [
        f"{count:,} ratings are by a rater of the same name as the {unit} that is rated: raters who judge themselves "
        "are seldom severe."
        for unit, count in counts.items()
        if count
    ]


def _arms(faults: Faults, spec: FidelitySpecification, frame: pd.DataFrame, *, lowest: str) -> None:
    """Arms that the specification does not measure, and cases in two of them (R13)."""
    plan = spec.document.differentiation
    if plan is None or plan.arm not in frame.columns:
        return
    odd = ~np.isin(frame[plan.arm].astype(object).astype(str).to_numpy(), plan.measured_in)
    for row in faults.rows(odd):
        value = frame[plan.arm].iloc[row]
        faults.add(
            "R13",
            "the arm is none that is measured",
            row=row,
            column=plan.arm,
            value=value,
            fix=did_you_mean(str(value), plan.measured_in),
        )
    for value, row, rows in [] if odd.any() else _torn(frame, lowest, plan.arm):
        rule = f"one {plan.arm} for each {lowest}; {rows}"
        faults.add("R13", f"{lowest} {value} is in more than one arm", row=row, column=plan.arm, rule=rule)


def _torn(frame: pd.DataFrame, lowest: str, column: str) -> Iterator[tuple[Any, int, str]]:
    """Lowest units of which a column says different things: the unit, the first odd row, and all rows in words."""
    pairs = frame[[lowest, column]].loc[~blank_in(frame[lowest])].dropna()
    distinct = pairs.drop_duplicates()
    for value in distinct.loc[distinct[lowest].duplicated(), lowest].drop_duplicates().iloc[:SHOWN_ROWS]:
        yield (value, *odd_rows(pairs.loc[pairs[lowest] == value, column]))
