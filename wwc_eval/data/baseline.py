"""Baseline characteristics by arm with standardised differences, and no p-values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from wwc_eval.data.balance import smd_categories, smd_means, smd_proportions
from wwc_eval.errors import DataError, Place, check_choice
from wwc_eval.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.data.counts import Counts, Protected
    from wwc_eval.data.disclosure import DisclosureRule

__all__ = ["Baseline", "BaselineVariable", "Summary", "baseline_table", "largest_between"]

Kind = Literal["numeric", "binary", "category"]
KINDS = ("numeric", "binary", "category")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One variable in one arm.

    Parameters
    ----------
    n, present, missing : int
        Rows of the arm, those with a value and those without.
    mean, sd : float
        Of a numeric variable (SD with n - 1); not a number for others.
    levels : mapping of str to int
        Rows by level of a binary variable (``1``) or a category.
    """

    n: int
    present: int
    missing: int
    mean: float = math.nan
    sd: float = math.nan
    levels: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class BaselineVariable:
    """One characteristic: its column, words, kind, levels and summary by arm."""

    name: str
    label: str
    units: str
    kind: Kind
    levels: tuple[str, ...]
    arms: Mapping[str, Summary]

    @property
    def heading(self) -> str:
        """Label with units."""
        return f"{self.label} ({self.units})" if self.units else self.label


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Baseline characteristics as counted, before small counts are hidden.

    ``counts`` go to :func:`wwc_eval.data.counts.protect` with those of the other tables; ``table`` and
    ``to_dicts`` then show what may be shown.
    """

    arms: tuple[str, ...]
    n: Mapping[str, int]
    variables: tuple[BaselineVariable, ...]
    row_words: str = "people"

    @property
    def counts(self) -> Counts:
        """Every count of the table with its sums: arm = present + missing, present = sum of levels."""
        from wwc_eval.data.counts import Cell, Counts

        cells = [Cell(key=("rows", "allocated", arm), value=self.n[arm], size=True) for arm in self.arms]
        sums: list[Any] = []
        for variable in self.variables:
            for arm, summary in variable.arms.items():
                present = ("rows", "present", variable.name, arm)
                missing = ("rows", "missing", variable.name, arm)
                cells += [
                    Cell(key=present, value=summary.present, plain_zero=True, weight=2.0),
                    Cell(key=missing, value=summary.missing, plain_zero=True),
                ]
                sums.append((("rows", "allocated", arm), [present, missing]))
                levels = dict(summary.levels)
                parts = [("rows", "level", variable.name, level, arm) for level in levels]
                cells += [Cell(key=key, value=levels[key[3]]) for key in parts]
                if variable.kind == "binary":
                    without = ("rows", "level", variable.name, "without", arm)
                    rest = summary.present - sum(levels.values())
                    cells.append(Cell(key=without, value=rest, shown=False))
                    parts.append(without)
                if parts:
                    sums.append((present, parts))
        return Counts(cells, sums)

    def smd(self, name: str) -> tuple[float, tuple[str, str]]:
        """Standardised difference of a variable from exact counts, and the arms it is between.

        With two arms the second minus the first; with more the largest in absolute value.
        """
        variable = next((one for one in self.variables if one.name == name), None)
        if variable is None:
            raise DataError(f"no baseline variable '{name}'")
        return largest_between(self.arms, lambda a, b: _exact_smd(variable, a, b))

    def table(self, by: DisclosureRule | Protected, *, title: str = "Baseline characteristics by arm") -> Table:
        """The table as it may be shown.

        Parameters
        ----------
        by : DisclosureRule or Protected
            A rule, for a table that stands alone; or what was decided for the whole report.
        """
        from wwc_eval.data.baseline_view import show_baseline
        from wwc_eval.data.counts import as_protected

        return show_baseline(self, as_protected(by, self.counts), title=title)

    def to_dicts(self, by: DisclosureRule | Protected) -> list[dict[str, Any]]:
        """One row for each variable, arm and level: raw numbers, or text where they may not be shown."""
        from wwc_eval.data.baseline_view import baseline_dicts
        from wwc_eval.data.counts import as_protected

        return baseline_dicts(self, as_protected(by, self.counts))


def baseline_table(
    frame: Any,
    *,
    arm: str,
    arms: Sequence[str],
    variables: Sequence[str],
    labels: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    kinds: Mapping[str, Kind] | None = None,
    row_words: str = "people",
) -> Baseline:
    """Summarise baseline variables by arm.

    Parameters
    ----------
    frame : data frame
        One row per person included; pandas, polars or pyarrow.
    arm, arms : str, sequence of str
        Column of the arm and its levels in order, the reference first.
    variables : sequence of str
        Columns in the order of the table.
    labels, units : mapping of str to str, optional
        Words and units by column.
    kinds : mapping, optional
        ``numeric`` (mean and SD), ``binary`` (those with 1 or true) or ``category``, where the column itself does
        not say: numbers that are only 0 and 1 are binary, other numbers numeric, text and categories a category.
    row_words : str
        What the rows are, in the plural.

    Returns
    -------
    Baseline

    Raises
    ------
    DataError
        If a column is missing, an arm is undeclared, or a column's kind does not fit its values.

    Examples
    --------
    >>> import pandas as pd
    >>> from wwc_eval.data.disclosure import DisclosureRule
    >>> frame = pd.DataFrame({"arm": ["a", "b"] * 60, "age": [4.0, 5.0, 6.0, 7.0] * 30, "sex": ["f", "f", "m"] * 40})
    >>> baseline = baseline_table(frame, arm="arm", arms=("a", "b"), variables=["age", "sex"])
    >>> print(baseline.table(DisclosureRule()))  # doctest: +ELLIPSIS
    Baseline characteristics by arm
    characteristic    level               a           b  standardised difference
    ----------------------------------------------------------------------------
    number of people                     60          60
    age               mean (SD)   5.0 (1.0)   6.0 (1.0)                     0.99
    sex               f          40 (66.7%)  40 (66.7%)                     0.00
                      m          20 (33.3%)  20 (33.3%)
    Standardised difference: difference in means or shares over the pooled standard deviation, b minus a; for ...
    """
    from wwc_eval.data.coding import codes_of, refuse_repeated, table_with

    if not arms:
        raise DataError("arms == [], must be one or more")
    refuse_repeated(variables)
    table = table_with(frame, [arm, *variables])
    codes = codes_of(table[arm], arms)
    found = [
        _variable(
            table[name],
            [table[name][codes == code] for code in range(len(arms))],
            arms,
            kind=(kinds or {}).get(name),
            words=((labels or {}).get(name) or name.replace("_", " "), (units or {}).get(name) or ""),
        )
        for name in variables
    ]
    sizes = {one: int((codes == code).sum()) for code, one in enumerate(arms)}
    return Baseline(arms=tuple(arms), n=sizes, variables=tuple(found), row_words=row_words)


def _variable(
    column: pd.Series[Any],
    by_arm: Sequence[pd.Series[Any]],
    arms: Sequence[str],
    *,
    kind: Kind | None,
    words: tuple[str, str],
) -> BaselineVariable:
    """One variable over the arms; ``words`` are its label and units."""
    known = _kind(column, kind)
    levels = _levels(column, known)
    return BaselineVariable(
        name=str(column.name),
        label=words[0],
        units=words[1],
        kind=known,
        levels=levels,
        arms={one: _summary(own, known, levels) for one, own in zip(arms, by_arm, strict=True)},
    )


def largest_between(arms: Sequence[str], between: Callable[[str, str], float]) -> tuple[float, tuple[str, str]]:
    """The standardised difference that is largest in absolute value among all pairs of arms, and the pair."""
    pairs = list(combinations(arms, 2))
    if not pairs:
        return math.nan, (arms[0], arms[0])
    values = [between(first, second) for first, second in pairs]
    known = [index for index, value in enumerate(values) if not math.isnan(value)]
    best = max(known, key=lambda index: abs(values[index])) if known else 0
    return values[best], pairs[best]


def _exact_smd(variable: BaselineVariable, first: str, second: str) -> float:
    one, other = variable.arms[first], variable.arms[second]
    if not (one.present and other.present):
        return math.nan
    if variable.kind == "numeric":
        return smd_means((one.mean, other.mean), (one.sd, other.sd))
    shares = [[count / summary.present for count in summary.levels.values()] for summary in (one, other)]
    if variable.kind == "binary":
        return smd_proportions(shares[0][0], shares[1][0])
    return smd_categories(shares[0], shares[1])


def _kind(values: pd.Series[Any], asked: Kind | None) -> Kind:
    """Kind of a column: what was asked for if the values fit it, else what the values say."""
    import pandas as pd

    present = values.dropna()
    numbers = pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values)
    if pd.api.types.is_datetime64_any_dtype(values):
        raise DataError(
            f"'{values.name}' holds dates, which a baseline table does not show",
            place=Place(column=str(values.name)),
            fix="leave it out, or add a column of the days or months that it means",
        )
    truths = numbers and bool(present.isin([0, 1]).all())
    if asked is None:
        if not numbers:
            return "category"
        return "binary" if truths and len(present) else "numeric"
    check_choice("kind", asked, KINDS, error=DataError)
    if (asked == "binary" and not truths) or (asked == "numeric" and not numbers):
        raise DataError(
            f"'{values.name}' is declared {asked} but its values are not",
            place=Place(column=str(values.name)),
            rule="0, 1, false or true" if asked == "binary" else "numbers",
        )
    return asked


def _levels(values: pd.Series[Any], kind: Kind) -> tuple[str, ...]:
    """Levels in declared order, else sorted; ``1`` for a binary variable."""
    import pandas as pd

    if kind == "numeric":
        return ()
    if kind == "binary":
        return ("1",)
    if isinstance(values.dtype, pd.CategoricalDtype):
        return tuple(str(level) for level in values.cat.categories)
    return tuple(str(level) for level in sorted(values.dropna().unique()))


def _summary(values: pd.Series[Any], kind: Kind, levels: Sequence[str]) -> Summary:
    """One variable in one arm."""
    present = values.dropna()
    n, known = len(values), len(present)
    if kind == "numeric":
        numbers = present.astype(float)
        return Summary(
            n=n,
            present=known,
            missing=n - known,
            mean=float(numbers.mean()) if known else math.nan,
            sd=float(numbers.std(ddof=1)) if known > 1 else math.nan,
            levels={},
        )
    if kind == "binary":
        counts = {"1": int(present.astype(float).sum())}
    else:
        texts = present.astype(object).map(str).value_counts()
        counts = {level: int(texts.get(level, 0)) for level in levels}
    return Summary(n=n, present=known, missing=n - known, levels=counts)
