"""From a fitted model to what a plan asked to be reported: effect measures, subgroups, the sample by arm."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from wwc_eval.data.disclosure import safe_count
from wwc_eval.errors import DesignError
from wwc_eval.estimate import RATIO_SCALES, Estimate, Estimates
from wwc_eval.formula import parse_condition, parse_formula, quote_name
from wwc_eval.plans.vocabulary.base import Context

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Design
    from wwc_eval.plans.document import Outcome
    from wwc_eval.report.record import AnalysisResult

__all__ = [
    "FEW_CLUSTERS",
    "SIZE_SCALES",
    "Used",
    "arm_terms",
    "few_clusters",
    "group_counts",
    "left_side",
    "modified_scale",
    "one_sided",
    "sample_by_arm",
    "saturated_cells",
    "shown_coefficients",
    "with_groups",
    "with_interaction",
    "with_units",
    "withheld",
]

FEW_CLUSTERS = 10
"""Below this many clusters an arm (of a wedge: in all) inference must be made for few clusters (P08)."""

SIZE_SCALES = frozenset({"hedges_g", "glass_delta"})


def left_side(outcome: Outcome) -> str:
    """What stands on the left of a formula of an outcome: its column, of trials where it counts successes."""
    name = quote_name(outcome.name)
    return name if outcome.trials is None else f"{name} / {quote_name(outcome.trials)}"


def arm_terms(estimates: Estimates, context: Context) -> list[str]:
    """Terms of the arms other than the reference, in declared order.

    Raises
    ------
    DesignError
        If no coefficient is the effect of an arm against the reference.
    """
    reference, *others = (f"{context.arm}[{arm}]" for arm in context.arms)
    found = [term for term in others if term in estimates]
    if not found or reference in estimates:
        raise DesignError(
            f"no coefficient of the model is the effect of '{context.arm}' against '{context.arms[0]}'",
            fix=f"write ~ {context.arm} + ..., with an intercept",
        )
    return found


def with_units(found: Estimate | Iterable[Estimate], context: Context) -> list[Estimate]:
    """Estimates as a list, differences in the outcome's own units as declared."""
    return [_with_units(item, context) for item in ([found] if isinstance(found, Estimate) else found)]


def _with_units(item: Estimate, context: Context) -> Estimate:
    plain = item.scale in {"mean_difference", "slope"} or (item.scale == "coefficient" and not item.units)
    return item.replace(units=context.units) if plain and context.units else item


def modified_scale(family: str, scale: str) -> str:
    """Scale of the effects by subgroup: the headline's, the family's own where that one is not averaged.

    A conditional odds ratio is not averaged either: that of the averaged risks stands in for it.
    """
    if scale in SIZE_SCALES or scale == "coefficient":
        return {"binomial": "risk_difference", "gaussian": "mean_difference"}.get(family, "rate_ratio")
    return scale


def few_clusters(context: Context, design: Design) -> tuple[str, ...]:
    """Warning where clusters were assigned and the rows used hold fewer than 10 an arm (of a wedge: in all)."""
    if context.design == "individual" or context.unit_column not in context.frame.columns:
        return ()
    used = context.frame.iloc[design.rows.tolist()]
    name = str(context.unit_column)
    if context.design == "stepped_wedge":
        count, where = int(used[name].nunique()), "in all"
    else:
        count = min(int(used.loc[used[context.arm] == arm, name].nunique()) for arm in context.arms)
        where = "in an arm"
    if count >= FEW_CLUSTERS:
        return ()
    told = f"The data have {count:,} clusters ({name}) {where}, fewer than {FEW_CLUSTERS}, and this inference is not made "
    return (told + "for so few: put CR2 or Kenward-Roger beside it",)


def one_sided(item: Estimate, better: str) -> Estimate:
    """The same estimate with the p-value of the one-sided test in the direction that is better.

    Formula: p = P(T <= statistic) where lower is better, P(T >= statistic) where higher is better.
    """
    from scipy import special

    method = f"{item.method} One-sided test that {better} is better.".strip()
    if math.isnan(item.statistic):
        # from replicates: their share on the wrong side
        null = 1.0 if item.scale in RATIO_SCALES else 0.0
        right = (item.estimate < null) == (better == "lower")
        return item.replace(p_value=item.p_value / 2.0 if right else 1.0 - item.p_value / 2.0, method=method)
    signed = item.statistic if better == "lower" else -item.statistic
    p_value = special.ndtr(signed) if math.isinf(item.df) else special.stdtr(item.df, signed)
    return item.replace(p_value=float(p_value), method=method)


def with_groups(context: Context, by: str) -> tuple[Context, str]:
    """Context whose frame has the subgroup as a categorical column, and the column's name.

    A categorical column is used as it is, and one of text by its values in order; a 0/1 column or a condition becomes
    ``no`` and ``yes``. Rows whose group is not known are left out.
    """
    import pandas as pd

    frame = context.frame
    groups: tuple[str, ...] = ("no", "yes")
    values = frame[by] if by in frame.columns else parse_condition(by).evaluate(frame)
    column = by.replace("`", "'")
    if by in context.levels:
        groups = context.levels[by]
    elif by in frame.columns and not pd.api.types.is_numeric_dtype(values):
        groups = tuple(sorted(str(value) for value in values.dropna().unique()))
    elif not set(values.dropna().unique()) <= {0, 1}:
        raise DesignError(
            f"subgroups by '{by}' have no groups: it is a number", fix=f"write a condition such as '{by} >= 5'"
        )
    else:
        values = values.astype("Float64").eq(1).astype(object).map({False: "no", True: "yes"})
    grown = frame.assign(**{column: pd.Categorical(values.astype(object), categories=pd.Index(list(groups)))})
    grown = grown.loc[grown[column].notna()]
    return replace(context, frame=grown, levels={**context.levels, column: tuple(groups)}), column


def with_interaction(formula: str, arm: str, column: str) -> str:
    """Formula with the interaction of arm and subgroup, and the subgroup itself, added."""
    name = quote_name(column)
    return parse_formula(f"{formula} + {name} + {quote_name(arm)}:{name}").text


class Used(Protocol):
    """Rows that an analysis used, what each column took out, and reference levels: a formula's design, or the like."""

    @property
    def rows(self) -> Any:
        """Positions among the rows of the analysis."""

    @property
    def dropped(self) -> Mapping[str, int]:
        """Rows without a value, by column."""

    @property
    def reference_levels(self) -> Mapping[str, Any]:
        """Reference level of each factor."""


def sample_by_arm(
    context: Context,
    design: Used,
    *,
    cluster: str | None,
    n_clusters: int | None,
    by: tuple[str, pd.DataFrame] | None = None,
) -> dict[str, Any]:
    """What the analysis used: rows, clusters, and the outcome by arm.

    ``by`` is the column of a subgroup analysis and the frame before rows without a group were left out.

    ``rows``, ``population_rows`` and ``dropped_rows`` hold positions among the included rows;
    :class:`wwc_eval.plans.samples.Samples` takes them away when it decides which of these counts may be shown.
    """
    import numpy as np

    frame = context.frame.iloc[design.rows.tolist()]
    outcome = frame[context.outcome.name].astype(float)
    by_arm: dict[str, dict[str, Any]] = {}
    for arm in context.arms:
        here = (frame[context.arm] == arm).to_numpy()
        values = outcome[here]
        entry: dict[str, Any] = {"n": int(here.sum())}
        if context.unit_column and context.unit_column in frame.columns:
            entry["n_clusters"] = int(frame.loc[here, context.unit_column].nunique())
        entry["mean"] = float(values.mean()) if len(values) else math.nan
        if context.outcome.trials is not None:
            entry["events"] = int(values.sum())
            entry["trials"] = int(frame.loc[here, context.outcome.trials].sum())
            entry["mean"] = entry["events"] / entry["trials"] if entry["trials"] else math.nan
        elif context.outcome.type == "binary":
            entry["events"] = int(values.sum())
        else:
            entry["sd"] = float(values.std(ddof=1)) if len(values) > 1 else math.nan
        by_arm[arm] = entry
    gone = {
        name: context.frame.index[context.frame[name].isna()]
        for name in design.dropped
        if name in context.frame.columns
    }
    dropped = dict(design.dropped)
    received = context.frame.index if by is None else by[1].index
    if by is not None and len(received) > len(context.frame):
        gone[by[0]] = received.difference(context.frame.index)
        dropped[by[0]] = len(gone[by[0]])
    return {
        "n": len(frame),
        "n_clusters": n_clusters,
        "cluster": cluster,
        "by_arm": by_arm,
        "dropped": dropped,
        "reference_levels": dict(design.reference_levels),
        "rows": np.asarray(frame.index, dtype=np.int64),
        "population_rows": np.asarray(received, dtype=np.int64),
        "dropped_rows": {name: np.asarray(rows, dtype=np.int64) for name, rows in gone.items()},
    }


def withheld(result: AnalysisResult, counts: Sequence[int], context: Context, what: str) -> AnalysisResult:
    """The result itself, or one without figures where a group it shows is smaller than the threshold."""
    if not any(context.rule.is_small(count) for count in counts):
        return result
    return replace(
        result,
        estimates=(),
        coefficients=(),
        supplements=(),
        status="withheld",
        message=f"Not shown: {what} fewer than {context.rule.threshold}.",
        sample={"n": safe_count(int(result.sample["n"]), context.rule)},
        notes=(),
    )


def saturated_cells(design: Design, context: Context) -> list[int]:
    """Rows, events and non-events of each cell of a model that has a coefficient for every cell; else empty.

    The figures of such a model, the arms alone or the arms crossed with a group, give back the counts behind them.
    """
    import numpy as np

    X = design.X
    cells: dict[bytes, int] = {}
    cell_of = np.empty(len(X), dtype=np.int64)
    for index, row in enumerate(X):
        cell_of[index] = cells.setdefault(row.tobytes(), len(cells))
        if len(cells) > X.shape[1]:
            return []
    frame = context.frame.iloc[design.rows.tolist()]
    return _cell_counts(frame, context, cell_of)


def shown_coefficients(design: Design, items: list[Estimate], context: Context) -> list[Estimate]:
    """Coefficients but for those of groups smaller than the threshold, which stand for single people."""
    X, rule = design.X, context.rule
    if X.shape[1] != len(items):
        return items
    small = []
    for column in X.T:
        indicator = bool(((column == 0) | (column == 1)).all()) and not (column == 1).all()
        few = int(min(column.sum(), len(column) - column.sum())) if indicator else len(column)
        small.append(rule.is_small(few))
    return [item for item, few in zip(items, small, strict=True) if not few]


def group_counts(frame: pd.DataFrame, context: Context, column: str) -> list[int]:
    """Rows, and for a binary outcome events and non-events, by arm and group."""
    return _cell_counts(frame, context, [frame[context.arm], frame[column]])


def _cell_counts(frame: pd.DataFrame, context: Context, keys: Any) -> list[int]:
    counts: list[int] = []
    for _, group in frame.groupby(keys, observed=True):
        counts.append(len(group))
        if context.outcome.type == "binary":
            events, trials = int(group[context.outcome.name].sum()), context.outcome.trials
            counts += [events, (len(group) if trials is None else int(group[trials].sum())) - events]
    return counts
