"""The estimate: one frozen record that every room returns, and the table that holds several.

An estimate carries its inference with it (standard error, degrees of freedom, interval and the level of the
interval), the scale and units it is in, the sample behind it and the paper behind its method.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, SupportsIndex

from wwc_eval.errors import DataError, check_number, did_you_mean
from wwc_eval.table import MISSING, Grid, Rendered, format_number, format_p_value

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "RATIO_SCALES", "SCALES", "Estimate", "Estimates"]

COLUMNS = ("term", "estimate", "se", "df", "statistic", "p_value", "ci_low", "ci_high")

SCALES: Mapping[str, str] = MappingProxyType(
    {
        "mean_difference": "difference in means",
        "coefficient": "coefficient",
        "log_odds": "log odds",
        "log_rate": "log rate",
        "slope": "slope",
        "risk_difference": "risk difference",
        "risk_ratio": "risk ratio",
        "odds_ratio": "odds ratio",
        "rate_ratio": "rate ratio",
        "rate_difference": "rate difference",
        "hedges_g": "Hedges' g",
        "glass_delta": "Glass's delta",
        "proportion": "proportion",
        "mean": "mean",
        "rate": "rate",
        "variance_share": "share of variance",
        "agreement": "agreement",
    }
)
"""Scales an estimate may be on, with the words shown for each. Rooms may add names of their own."""

RATIO_SCALES = frozenset({"risk_ratio", "odds_ratio", "rate_ratio"})
"""Scales whose estimate and interval are ratios while the standard error is of the logarithm."""

PROPORTION_SCALES = frozenset({"risk_difference"})
"""Scales stored as a proportion and shown in percentage points."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Estimate(Rendered):
    """One estimate with its inference.

    Parameters
    ----------
    term : str
        What was estimated, such as ``arm[programme]``.
    estimate, se : float
        Estimate and standard error. A risk difference is a proportion (shown in percentage points). A ratio
        has its estimate and interval on the ratio scale and ``se`` on the log scale.
    df : float
        Degrees of freedom of the reference distribution; infinity for the normal distribution.
    statistic, p_value : float
        Test statistic and two-sided p-value unless ``method`` says otherwise.
    ci_low, ci_high, level : float
        Interval and its nominal coverage.
    scale : str
        Key of :data:`SCALES` or a room's own name.
    units : str
        Units in words, such as "percentage points", "days", "odds ratio".
    method : str
        One sentence: the estimator and its inference.
    n : int
        Rows used.
    n_clusters : int, optional
        Clusters used, where errors are clustered.
    warnings : tuple of str
        What a reader must know before trusting the figure.
    citation : str
        The paper behind the method, with its DOI.
    details : mapping
        What one method adds.
    """

    term: str
    estimate: float
    se: float
    df: float
    statistic: float
    p_value: float
    ci_low: float
    ci_high: float
    level: float = 0.95
    scale: str = "coefficient"
    units: str = ""
    method: str = ""
    n: int = 0
    n_clusters: int | None = None
    warnings: tuple[str, ...] = ()
    citation: str = ""
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Freeze what is mutable and make NumPy numbers plain."""
        for name in COLUMNS[1:]:
            object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "level", check_number("level", self.level, above=0, below=1))
        object.__setattr__(self, "n", int(self.n))
        if self.n_clusters is not None:
            object.__setattr__(self, "n_clusters", int(self.n_clusters))
        warnings = (self.warnings,) if isinstance(self.warnings, str) else self.warnings
        object.__setattr__(self, "warnings", tuple(warnings))
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Read-only mappings do not pickle; estimates must (joblib workers)."""
        state = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return _rebuild, ({**state, "details": dict(self.details)},)

    @classmethod
    def from_normal(
        cls,
        *,
        term: str,
        estimate: float,
        se: float,
        df: float = math.inf,
        level: float = 0.95,
        scale: str = "coefficient",
        null: float | None = None,
        **rest: Any,
    ) -> Estimate:
        """Estimate with a Wald test and interval: normal when ``df`` is infinite, else Student's t.

        On a ratio scale pass the ratio as ``estimate`` and the standard error of its logarithm as ``se``;
        test and interval are formed on the log scale.

        Formula: statistic = (estimate - null) / se; interval = estimate -+ t(df, (1 + level) / 2) * se.

        Parameters
        ----------
        null : float, optional
            Value under the null hypothesis: 0, or 1 for a ratio, where it is not given.
        rest
            Other fields of :class:`Estimate`.

        Examples
        --------
        >>> Estimate.from_normal(term="arm[programme]", estimate=-0.08, se=0.03).p_value < 0.01
        True
        """
        from scipy import special

        ratio = scale in RATIO_SCALES
        centre = math.log(estimate) if ratio and estimate > 0 else (math.nan if ratio else estimate)
        if null is not None:
            null = check_number("null", null, above=0 if ratio else None)
        against = (math.log(null) if null is not None else 0.0) if ratio else (null or 0.0)
        # a fit may have no residual degrees of freedom: the estimate stands, its inference does not
        usable = se > 0 and df > 0 and math.isfinite(centre)
        statistic = (centre - against) / se if usable else math.nan
        if not usable:
            p_value = low = high = math.nan
        else:
            normal = math.isinf(df)
            tail = special.ndtr(-abs(statistic)) if normal else special.stdtr(df, -abs(statistic))
            p_value = 2.0 * float(tail)
            upper = 0.5 + 0.5 * level
            reach = se * float(special.ndtri(upper) if normal else special.stdtrit(df, upper))
            low, high = centre - reach, centre + reach
        if ratio:
            low, high = _exp(low), _exp(high)
        return cls(
            term=term,
            estimate=estimate,
            se=se,
            df=df,
            statistic=statistic,
            p_value=p_value,
            ci_low=low,
            ci_high=high,
            level=level,
            scale=scale,
            **rest,
        )

    def replace(self, **changes: Any) -> Estimate:
        """Copy with some fields changed; an unknown field is refused."""
        unknown = sorted(set(changes) - set(self.__dataclass_fields__))
        if unknown:
            raise DataError(
                f"Estimate has no field '{unknown[0]}'",
                fix=did_you_mean(unknown[0], self.__dataclass_fields__),
            )
        return replace(self, **changes)

    def to_dict(self, *, full: bool = False) -> dict[str, Any]:
        """Raw values: the eight columns, or every field with ``full=True`` (as in ``results.json``)."""
        if not full:
            return {name: getattr(self, name) for name in COLUMNS}
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "warnings": list(self.warnings), "details": dict(self.details)}

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row: ``term, estimate, se, df, statistic, p_value, ci_low, ci_high``."""
        return [self.to_dict()]

    @property
    def shown_estimate(self) -> str:
        """Estimate as a reader wants it, to two significant digits of its standard error."""
        return self._show(self.estimate)

    @property
    def shown_interval(self) -> str:
        """Interval as a reader wants it, ``low to high``; an em dash where there is none."""
        if math.isnan(self.ci_low) and math.isnan(self.ci_high):
            return MISSING
        return f"{self._show(self.ci_low)} to {self._show(self.ci_high)}"

    @property
    def shown_units(self) -> str:
        """Units in words."""
        if self.scale in PROPORTION_SCALES:
            return "percentage points"
        return self.units or SCALES.get(self.scale, self.scale)

    def _factor(self) -> float:
        return 100.0 if self.scale in PROPORTION_SCALES else 1.0

    def _digits(self) -> int:
        """Decimals that show two significant digits of the standard error."""
        spread = self.se * self._factor()
        if self.scale in RATIO_SCALES:
            spread = self.se * abs(self.estimate)
        return _digits_of(spread)

    def _show(self, value: float) -> str:
        return _rounded(value * self._factor(), self._digits())

    def _show_se(self) -> str:
        if self.scale in RATIO_SCALES:
            return _rounded(self.se, max(_digits_of(self.se), 3))
        return _rounded(self.se * self._factor(), self._digits())

    def _grid(self) -> Grid:
        return Estimates([self])._grid()

    def _title(self) -> str:
        return self.method

    def _notes(self) -> tuple[str, ...]:
        sample = f"n = {self.n:,}" if self.n else ""
        if self.n_clusters is not None:
            sample += f", {self.n_clusters:,} clusters"
        reference = self.details.get("reference")
        against = f"Reference level: {reference}." if reference is not None else ""
        return tuple(note for note in (sample, against, *self.warnings, self.citation) if note)

    def __str__(self) -> str:
        """Table of one row with method, sample and warnings."""
        return Rendered.__str__(self)


@dataclass(frozen=True, eq=False, repr=False)
class Estimates(Rendered):
    """Estimates in order, reachable by position or by term.

    Parameters
    ----------
    items : iterable of Estimate
        The estimates.
    title : str
        Caption: the model and its inference.
    notes : iterable of str
        Sentences below: reference levels, rows dropped, warnings.

    Examples
    --------
    >>> one = Estimate.from_normal(term="arm[programme]", estimate=-0.08, se=0.03, scale="risk_difference")
    >>> Estimates([one])["arm[programme]"].shown_interval
    '-13.9 to -2.1'
    """

    items: tuple[Estimate, ...]
    title: str = ""
    notes: tuple[str, ...] = ()

    def __init__(self, items: Iterable[Estimate], *, title: str = "", notes: Iterable[str] = ()) -> None:
        object.__setattr__(self, "items", tuple(items))
        object.__setattr__(self, "title", title)
        object.__setattr__(self, "notes", tuple(notes))

    def __len__(self) -> int:
        """Number of estimates."""
        return len(self.items)

    def __iter__(self) -> Iterator[Estimate]:
        """Estimates in order."""
        return iter(self.items)

    def __contains__(self, term: object) -> bool:
        """Whether there is an estimate of that term."""
        return any(item.term == term for item in self.items)

    def __getitem__(self, key: SupportsIndex | str) -> Estimate:
        """Estimate at a position or of a term.

        Raises
        ------
        DataError
            If no estimate, or more than one, has that term.
        """
        if not isinstance(key, str):
            return self.items[operator.index(key)]
        found = [item for item in self.items if item.term == key]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(f"term '{key}' names {len(found)} estimates", fix="take one by its position")
        raise DataError(f"term '{key}' is not among the estimates", fix=did_you_mean(key, self.terms))

    @property
    def terms(self) -> tuple[str, ...]:
        """Terms in order."""
        return tuple(item.term for item in self.items)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of ``term, estimate, se, df, statistic, p_value, ci_low, ci_high``."""
        return [item.to_dict() for item in self.items]

    def to_frame(self, *, full: bool = False) -> pd.DataFrame:
        """The eight columns of every estimate; every field with ``full=True``."""
        import pandas as pd

        rows = [item.to_dict(full=full) for item in self.items]
        columns = list(rows[0]) if rows else list(COLUMNS)
        return pd.DataFrame(rows, columns=columns)

    def _grid(self) -> Grid:
        levels = {item.level for item in self.items}
        interval = f"{100 * levels.pop():g}% interval" if len(levels) == 1 else "interval"
        headings = ("term", "estimate", interval, "SE", "df", "p", "units")
        rows = tuple(
            (
                item.term,
                item.shown_estimate,
                item.shown_interval,
                item._show_se(),
                "normal" if math.isinf(item.df) else format_number(item.df, 1),
                format_p_value(item.p_value),
                item.shown_units + (" (SE of the log)" if item.scale in RATIO_SCALES else ""),
            )
            for item in self.items
        )
        numeric = (False, True, True, True, True, True, False)
        if not any("permutation_p" in item.details for item in self.items):
            return Grid(headings, rows, numeric)
        # few treated: the permutation stands beside the conventional error
        beside = [format_p_value(item.details.get("permutation_p") or math.nan) for item in self.items]
        return Grid(
            (*headings[:6], "p (permutation)", *headings[6:]),
            tuple((*row[:6], text, *row[6:]) for row, text in zip(rows, beside, strict=True)),
            (*numeric[:6], True, *numeric[6:]),
        )

    def _title(self) -> str:
        return self.title

    def _notes(self) -> tuple[str, ...]:
        warned = (warning for item in self.items for warning in item.warnings)
        return tuple(dict.fromkeys((*self.notes, *warned)))


MOST_DIGITS = 6
"""Decimals shown at most; figures that need more are shown in scientific notation."""


def _digits_of(spread: float) -> int:
    """Decimals that show two significant digits of a standard error."""
    if not (math.isfinite(spread) and spread > 0):
        return 3
    return max(1 - math.floor(math.log10(spread)), 0)


def _rounded(value: float, digits: int) -> str:
    if digits <= MOST_DIGITS or not math.isfinite(value) or value == 0:
        return format_number(value, min(digits, MOST_DIGITS))
    significant = max(digits + math.floor(math.log10(abs(value))), 0)
    return f"{value:.{min(significant, MOST_DIGITS)}e}"


def _exp(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)  # not a number stays so


def _rebuild(state: dict[str, Any]) -> Estimate:
    return Estimate(**state)
