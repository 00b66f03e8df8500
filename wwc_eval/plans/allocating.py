"""What a plan says of its allocation, as schemes of the randomisation room: bound to units expected, listed or analysed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DataError, DesignError, did_you_mean, shown

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.plans.document import Randomisation
    from wwc_eval.plans.facts import Facts
    from wwc_eval.plans.roll_out import Record
    from wwc_eval.randomisation.allocation import Allocation
    from wwc_eval.randomisation.scheme import BoundScheme, Scheme

__all__ = [
    "KINDS",
    "OBSERVED",
    "Assigned",
    "allocation_in",
    "expected_scheme",
    "kind_of",
    "listed_units",
    "ratio_of",
    "scheme_of",
    "unit_frame",
]

KINDS = (
    "complete",
    "constrained",
    "matched_pairs",
    "minimisation",
    "permuted_blocks",
    "rerandomised",
    "saturation",
    "simple",
    "stepped_wedge_sequences",
    "stratified",
)
"""Schemes that ``randomisation: method:`` may name; other words are a description that nothing is derived from."""
DATA_COLUMNS = frozenset({"on", "within"})
"""Options that name covariates, which no expected number of units tells of."""


def kind_of(method: str) -> str | None:
    """The scheme that a method's words name, such as ``permuted blocks``; None for a description."""
    plain = "_".join(method.lower().replace("-", " ").split()).replace("__", "_")
    return plain if plain in KINDS else None


def scheme_of(randomisation: Randomisation) -> Scheme | None:
    """The scheme with its options; None where the method is a description.

    Raises
    ------
    DesignError
        If an option is missing, unknown or not what the scheme takes.
    """
    kind = kind_of(randomisation.method)
    if kind is None:
        return None
    from wwc_eval.randomisation.scheme import Scheme, _subclasses, scheme_from

    given: dict[str, Any] = dict(randomisation.options)
    for name in ("by", "sizes"):
        if getattr(randomisation, name):
            given[name] = list(getattr(randomisation, name))
    if kind == "stepped_wedge_sequences" and isinstance(given.get("by"), list):
        # a wedge has one column of strata
        given["by"] = given["by"][0] if len(given["by"]) == 1 else given["by"]
    try:
        return scheme_from({"kind": kind, **given})
    except TypeError:
        classes = {found.kind: found for found in _subclasses(Scheme) if hasattr(found, "kind")}  # type: ignore[type-abstract]
        needed = [each.name for each in dataclasses.fields(classes[kind]) if each.default is dataclasses.MISSING]
        missing = ", ".join(name for name in needed if name not in given)
        raise DesignError(
            f"method '{randomisation.method}' needs {missing or 'other options'}",
            fix=f"write options: {{{missing}: ...}}",
        ) from None


def check_kind(facts: Facts, column: str) -> None:
    """Refuse a scheme that gives arms in a stepped wedge, or sequences elsewhere.

    Raises
    ------
    DesignError
        If they do not go together.
    """
    design, randomisation = facts.document.design, facts.document.randomisation
    if randomisation is None or design.panel is not None:
        # units over time began when their arm or their sequence did
        return
    if (column == "arm") != (design.wedge is None):
        raise DesignError(
            f"method '{randomisation.method}' does not go with design: kind: {design.kind}",
            rule="a stepped wedge allocates sequences, every other design arms",
            fix="write method: stepped_wedge_sequences, or the design's kind",
        )


def ratio_of(facts: Facts) -> dict[str, int]:
    """Arms with their shares, the comparator first; equal where sequences of units over time are allocated."""
    design, randomisation = facts.document.design, facts.document.randomisation
    arms = design.arms
    if design.panel is not None and randomisation and kind_of(randomisation.method) == "stepped_wedge_sequences":
        # shares are of those that ever began, and each sequence has its capacity
        return dict.fromkeys(facts.arms, 1)
    return {arm: arms[arm] for arm in facts.arms if arm in arms} or dict(arms)


def expected_scheme(facts: Facts) -> BoundScheme | None:
    """The scheme for the units that the plan expects; None where it does not say, or the scheme reads covariates.

    Raises
    ------
    DesignError
        If the scheme cannot be met by these units and arms.
    """
    import pandas as pd

    from wwc_eval.randomisation.arms import read_arms
    from wwc_eval.randomisation.units import read_units

    randomisation = facts.document.randomisation
    if randomisation is None or not randomisation.expected:
        return None
    scheme = scheme_of(randomisation)
    if scheme is None or any(getattr(scheme, name, None) for name in DATA_COLUMNS):
        return None
    columns = list(scheme.columns)
    if len(columns) > 1:
        return None
    rows = list(_expected_units(randomisation.expected))
    frame = pd.DataFrame(rows, columns=["unit", "stratum"])
    if columns:
        order = list(randomisation.expected)
        frame[columns[0]] = pd.Categorical(frame["stratum"], categories=order, ordered=True)
    return scheme.bind(read_units(frame, "unit", columns), read_arms(ratio_of(facts)))


def _expected_units(expected: dict[str, int]) -> Iterator[tuple[str, str]]:
    number = 0
    for stratum, count in expected.items():
        for _ in range(count):
            number += 1
            yield f"u{number:06d}", stratum


def unit_frame(facts: Facts, frame: pd.DataFrame) -> pd.DataFrame:
    """One row a unit with the columns that the scheme reads, from every row received.

    Raises
    ------
    DesignError
        If the plan names no scheme, or a column is not in the data.
    DataError
        If a unit has several values of a column.
    """
    randomisation = facts.document.randomisation
    scheme = scheme_of(randomisation) if randomisation is not None else None
    if scheme is None:
        raise DesignError(
            "the plan names no scheme of allocation that a test could repeat",
            rule=f"randomisation: method: is one of {', '.join(KINDS)}",
            fix="name the scheme with its options",
        )
    unit = facts.unit_column
    if unit is None:
        raise DesignError("the plan does not say which column is the randomised unit", fix="write unit_column:")
    return listed_units(facts, frame, scheme.columns)


def listed_units(facts: Facts, frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """One row a unit with some columns, from every row received.

    Parameters
    ----------
    facts : Facts
        The plan, which names the column of the units.
    frame : DataFrame
        Every row received.
    columns : sequence of str
        What the scheme reads.

    Raises
    ------
    DesignError
        If a column is not in the data.
    DataError
        If a unit has several values of a column.
    """
    unit = str(facts.unit_column)
    for name in columns:
        if name not in frame.columns:
            raise DesignError(
                f"the data have no column '{name}', which the scheme reads",
                fix=did_you_mean(name, [str(column) for column in frame.columns]),
            )
    rows = frame[[unit, *columns]].dropna(subset=[unit]).drop_duplicates()
    torn = rows.loc[rows[unit].duplicated(keep=False), unit]
    if len(torn):
        raise DataError(
            f"{_named(facts, torn.iloc[0])} has several values of {', '.join(columns)}, which the scheme reads",
            value=shown(str(torn.iloc[0])),
            rule="a unit was allocated by one value of each",
            fix="correct the data",
        )
    return rows.reset_index(drop=True)


def allocation_in(facts: Facts, frame: pd.DataFrame) -> Allocation:
    """The allocation that the data hold, bound to the plan's scheme: its law without its seed.

    Parameters
    ----------
    facts : Facts
        The plan.
    frame : DataFrame
        Every row received.

    Raises
    ------
    DesignError
        If the plan names no scheme, or the scheme cannot have made this allocation.
    DataError
        If a unit's arm is missing, or is not one that it can have got.
    """
    import numpy as np

    from wwc_eval.randomisation.allocation import Allocation
    from wwc_eval.randomisation.arms import read_arms
    from wwc_eval.randomisation.units import read_units

    randomisation = facts.document.randomisation
    listed = unit_frame(facts, frame)
    assert randomisation is not None
    scheme = scheme_of(randomisation)
    assert scheme is not None
    unit = str(facts.unit_column)
    units = read_units(listed, unit, scheme.columns)
    bound = scheme.bind(units, read_arms(ratio_of(facts)))
    check_kind(facts, bound.column)
    got = _codes_of(facts, frame, bound)
    keys = units.frame[unit].tolist()
    missing = [key for key in keys if key not in got]
    if missing:
        raise DataError(
            f"what {_named(facts, missing[0])} was allocated is not in the data", value=shown(str(missing[0]))
        )
    codes = np.array([got[key] for key in keys], dtype=np.int8)
    chance = bound.probabilities()[np.arange(units.n), codes]
    if np.any(chance <= 0):
        odd = keys[int(np.argmin(chance))]
        raise DataError(
            f"{_named(facts, odd)} cannot have got what the data say under this scheme",
            value=shown(str(odd)),
            rule="the allocation analysed is one that the plan's scheme permits",
            fix="correct the arms, or the scheme",
        )
    return Allocation.of(bound, codes, seed=OBSERVED, alpha=float(facts.document.design.target.alpha))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Assigned:
    """What was allocated, as the data tell it.

    Parameters
    ----------
    facts : Facts
        The plan.
    frame : DataFrame
        Every row received, exclusions not yet made: units without rows to analyse were allocated too.
    record : Record, optional
        The record of an allocation that was made elsewhere.
    """

    facts: Facts
    frame: pd.DataFrame
    record: Record | None = None

    def allocation(self) -> Allocation:
        """The allocation with its scheme; see :func:`allocation_in`, and for a record of it ``roll_out``."""
        if self.record is not None:
            from wwc_eval.plans.roll_out import allocation_of

            return allocation_of(self.record, self.facts, self.frame)
        return allocation_in(self.facts, self.frame)

    def numbered(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, str | None]:
        """Rows with their period counted from 1 in a column of its own, and its name; as they are without a wedge."""
        wedge = self.facts.document.design.wedge
        if wedge is None:
            return frame, None
        from wwc_eval.plans.wedge import period_order

        seen = {str(value) for value in self.frame[wedge.period].dropna()}
        order = period_order(self.facts, wedge, seen)
        numbers = [1 + order[str(value)] for value in frame[wedge.period]]
        return frame.assign(**{PERIOD: numbers}), PERIOD


PERIOD = "(number of the period)"
OBSERVED = "the allocation found in the data; its seed is not known here"


def _named(facts: Facts, key: object) -> str:
    """A unit in a sentence that a report may show: institutions by name, people never."""
    unit = facts.document.design.unit
    return f"a {unit}" if facts.document.design.kind == "individual" else f"{unit} {shown(str(key))}"


def _codes_of(facts: Facts, frame: pd.DataFrame, bound: BoundScheme) -> dict[Any, int]:
    """Index of what each unit got: its arm, or the sequence of a stepped wedge."""
    design, unit = facts.document.design, str(facts.unit_column)
    if design.panel is not None and bound.column != "arm":
        return _starts(facts, frame, bound)
    if (bound.column == "arm") == (design.wedge is not None):
        raise DesignError(
            f"method '{bound.scheme.kind}' does not go with design: kind: {design.kind}",
            rule="units of a stepped wedge are allocated to sequences, those of other designs to arms",
            fix="correct randomisation: method:",
        )
    if bound.column == "arm":
        pairs = frame[[unit, design.arm_column]].dropna().drop_duplicates(subset=[unit])
        index = {str(arm): k for k, arm in enumerate(bound.labels)}
        return {key: index[str(arm)] for key, arm in zip(pairs[unit], pairs[design.arm_column], strict=True)}
    return _sequences(facts, frame, bound)


def _starts(facts: Facts, frame: pd.DataFrame, bound: BoundScheme) -> dict[Any, int]:
    """Sequence of each unit by its cohort: a year or number as it reads, else the number of that period from 1."""
    import numpy as np

    from wwc_eval.did.panel_periods import Unreadable, group_values, means_never, read_label, scale_of

    design, unit = facts.document.design, str(facts.unit_column)
    assert design.panel is not None
    crossing = {
        int(bound.extra_columns(np.full(bound.units.n, code, dtype=np.int8))["crossover"][0]): code
        for code in range(len(bound.labels))
    }
    try:
        scale, _ = scale_of([read_label(label) for label in group_values(frame[design.panel.period]).labels])
        # sequences that all come before the first year are numbers of periods
        plain = scale.kind in ("number", "year") and max(crossing) >= scale.origin
        pairs = frame[[unit, design.panel.cohort]].drop_duplicates(subset=[unit])
        starts = {
            key: None if means_never(label) else int(scale.position(label)) + (scale.origin if plain else 1)
            for key, label in zip(pairs[unit], pairs[design.panel.cohort], strict=True)
        }
    except Unreadable as reason:
        raise DataError(f"a period or cohort cannot be read: {reason}", fix="correct the data") from None
    found = {}
    for key, start in starts.items():
        if start not in crossing:
            began = "never began" if start is None else f"began in {start}"
            raise DataError(
                f"{_named(facts, key)} {began}, which is no sequence of the scheme",
                rule=f"sequences begin in {', '.join(map(str, crossing))}",
                fix="correct options: sequences:, or name the record of the allocation, which lists the units of the lottery",
            )
        found[key] = crossing[start]
    return found


def _sequences(facts: Facts, frame: pd.DataFrame, bound: BoundScheme) -> dict[Any, int]:
    """Sequence of each unit by the first period in which its rows are in the programme's arm."""
    import numpy as np

    from wwc_eval.plans.wedge import period_order

    design, unit = facts.document.design, str(facts.unit_column)
    assert design.wedge is not None
    seen = {str(value) for value in frame[design.wedge.period].dropna()}
    order = period_order(facts, design.wedge, seen)
    crossing = [
        bound.extra_columns(np.full(bound.units.n, code, dtype=np.int8))["crossover"][0]
        for code in range(len(bound.labels))
    ]
    index = {period: k for k, period in enumerate(crossing)}
    treated = frame[design.arm_column].astype(object) == facts.arms[1]
    found = {}
    for key, rows in frame.loc[treated].groupby(unit, observed=True):
        first = 1 + min(order[str(value)] for value in rows[design.wedge.period].dropna())
        if first not in index:
            raise DataError(
                f"{unit} {shown(str(key))} crosses over in period {first}, which is no sequence of the scheme",
                rule=f"crossovers are in periods {', '.join(map(str, crossing))}",
                fix="correct options: sequences:, or the arms in the data",
            )
        found[key] = index[first]
    return found
