"""What a difference-in-differences shows beyond its effect: trends, timing, events, few treated, sensitivity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import WwcError
from wwc_eval.report.record import Supplement
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wwc_eval.did import Panel
    from wwc_eval.plans.vocabulary.base import Context
    from wwc_eval.plans.vocabulary.did import DidAnalysis

__all__ = ["Used", "did_supplements", "lottery_of"]

NAMES = {
    "callaway_santanna": "Callaway-Sant'Anna",
    "sun_abraham": "Sun-Abraham",
    "extended_twfe": "extended TWFE",
    "two_way_fixed_effects": "two-way fixed effects",
    "staggered": "drawn timing (Roth-Sant'Anna)",
    "conley_taber": "Conley-Taber",
    "ferman_pinto": "Ferman-Pinto",
}


@dataclass(frozen=True, kw_only=True)
class Used:
    """Rows of the panel, and the rows that have no outcome."""

    rows: NDArray[np.int64]
    dropped: Mapping[str, int]
    reference_levels: Mapping[str, Any]

    @classmethod
    def of(cls, context: Context, panel: Panel) -> Used:
        """What a panel took from the context's frame."""
        import numpy as np

        del panel
        present = context.frame[context.outcome.name].notna().to_numpy()
        gone = int((~present).sum())
        return cls(
            rows=np.flatnonzero(present),
            dropped={context.outcome.name: gone} if gone else {},
            reference_levels={context.arm: context.arms[0]},
        )


def did_supplements(analysis: DidAnalysis, panel: Panel, result: Any, context: Context) -> tuple[Supplement, ...]:
    """Pictures and tables in the order in which a reader asks for them.

    Parameters
    ----------
    analysis : DidAnalysis
        What the plan asks for.
    panel, result
        The panel and the estimator's result.
    context : Context
        The run's context; a varied analysis shows its own effects by event alone.
    """
    found: list[Supplement] = []
    if not context.changed:
        found += _panel(panel, context)
    found += _events(analysis, panel, result, context)
    if context.changed:
        return tuple(found)
    if analysis.few_treated is not None:
        found += _few(analysis, panel, context)
    found += _composition(analysis, panel, context)
    found += _sensitivity(analysis, panel, context)
    return tuple(found)


def _panel(panel: Panel, context: Context) -> list[Supplement]:
    told = tuple(str(finding) for finding in panel.findings)
    return [
        Supplement(
            key="trends",
            title=f"{context.label}: trends by when units began",
            draw=lambda ax: panel.trends(ax).set_ylabel(f"mean {_measured(context)}"),
            alt="Mean outcome of each cohort by period, with the periods in which each began marked.",
            sentences=told,
        ),
        Supplement(
            key="timing",
            title="Who began when",
            draw=panel.timing,
            alt="One row a unit, in the order in which they began: periods before and after its start, and those without an outcome.",
        ),
    ]


def _measured(context: Context) -> str:
    """Label of the outcome with its units, in small letters, in at most two lines."""
    import textwrap

    words = f"{context.label[:1].lower()}{context.label[1:]}" + (f" ({context.units})" if context.units else "")
    return textwrap.fill(words, 44)


def _events(analysis: DidAnalysis, panel: Panel, result: Any, context: Context) -> list[Supplement]:
    """Effects by event with their plot."""
    by_event = result
    own = analysis.estimator == "callaway_santanna" and getattr(result, "kind", "") != "event"
    if own or (analysis.estimator == "staggered" and result.path is None):
        by_event = analysis.estimate(panel, context.level, base=analysis.base or "universal")
    if getattr(by_event, "path", None) is None:
        return []
    return [
        Supplement(
            key="events",
            title="Effects by time since the start",
            table=_table(by_event.estimates, context, first=("event", "periods since the start")),
            draw=lambda ax: by_event.plot(ax).set_ylabel(f"effect on {_measured(context)}"),
            alt="Effect with its interval at each period before and after the start; no difference is marked.",
        )
    ]


def _few(analysis: DidAnalysis, panel: Panel, context: Context) -> list[Supplement]:
    from wwc_eval import did

    asked = analysis.few_treated
    assert asked is not None
    idle: tuple[str, ...] = ()
    if asked.slopes is not None and not panel.cross_sections:
        idle = ("slopes is not used: units are seen again and again.",)
    panel, population = _areas(analysis, panel), _population(analysis, panel)
    try:
        allocation, told_of_lottery = lottery_of(analysis, panel, context)
        few = did.few_treated(
            panel,
            methods=tuple(asked.methods),
            draws=asked.draws,
            rng=asked.seed,
            allocation=allocation,
            population=population if "ferman_pinto" in asked.methods else asked.population,
            level=context.level,
        )
    except WwcError as error:
        # a lottery that is not the one in the data, or nothing to reassign, takes nothing from the effect itself
        title = "Inference that holds with few treated"
        return [Supplement(key="few_treated", title=title, sentences=(str(error),))]
    told = dict.fromkeys(warning for item in few.estimates for warning in item.warnings)
    return [
        Supplement(
            key="few_treated",
            title=f"Inference that holds with few treated: {few.n_treated:,} of {few.n_clusters:,}",
            sentences=(
                *(f"{one.message[:1].upper()}{one.message[1:]}." for one in panel.findings if one.code == "means"),
                *idle,
                *told_of_lottery,
                *(f"{few['permutation'].method}." for _ in told_of_lottery[:1]),
                *few.notes,
                *told,
            ),
            table=_table(few.estimates, context, first=("method", "method")),
        )
    ]


def lottery_of(analysis: DidAnalysis, panel: Panel, context: Context) -> tuple[Any, tuple[str, ...]]:
    """The allocation that the permutation repeats, of the units analysed, and what must be said of it."""
    if not analysis.repeats_allocation or context.assigned is None:
        return None, ()
    from wwc_eval.plans.roll_out import kept_units

    allocation, told = kept_units(context.assigned.allocation(), {str(unit) for unit in panel.units})
    where = analysis.allocation_record
    drawn = "the plan's own scheme" if where is None else f"the record {where}"
    return allocation, (
        f"Who began when was drawn by lot: {allocation.n:,} units, by {drawn}.",
        *filter(None, [told]),
    )


def _areas(analysis: DidAnalysis, panel: Panel) -> Panel:
    """The panel; of children seen once the means of their areas, adjusted within them, for what needs areas."""
    from wwc_eval import did

    if not panel.cross_sections:
        return panel
    asked = analysis.few_treated
    kept = () if asked is None or asked.population is None else (asked.population,)
    slopes = None if asked is None else asked.slopes
    return did.area_means(panel, analysis.covariates_, keep=kept, slopes=slopes)


def _population(analysis: DidAnalysis, panel: Panel) -> str | None:
    """Column of the population; of participants seen once their number by unit where the plan names none."""
    asked = analysis.few_treated
    if asked is not None and asked.population is not None:
        return asked.population
    return "rows" if panel.cross_sections else None


def _composition(analysis: DidAnalysis, panel: Panel, context: Context) -> list[Supplement]:
    """Whether treatment changed who is seen, of participants seen once."""
    from wwc_eval import did

    key, title = "composition", "Who was seen: effects on the participants themselves"
    names = analysis.sensitivity.composition
    if not panel.cross_sections:
        idle = "composition is not used: units are seen again and again, and stay who they are."
        return [Supplement(key=key, title=title, sentences=(idle,))] if names else []
    names = names or analysis.covariates_
    if not names:
        return []
    few = analysis.few_treated
    try:
        found = did.composition(
            panel,
            names,
            control=analysis.control or "never",
            anticipation=analysis.anticipation,
            allocation=lottery_of(analysis, panel, context)[0],
            level=context.level,
            **({} if few is None else {"draws": few.draws, "rng": few.seed}),
        )
    except WwcError as error:
        return [Supplement(key=key, title=title, sentences=(str(error),))]
    return [
        Supplement(
            key=key,
            title=title,
            sentences=(
                "An effect on the participants, rather than on their outcome, would mean that other participants are seen.",
                *found.sentences(),
                *found.notes,
            ),
            table=found.table(),
            draw=found.plot,
            alt="Effect on each covariate in standard deviations with its interval; no difference is marked.",
        )
    ]


def _sensitivity(analysis: DidAnalysis, panel: Panel, context: Context) -> list[Supplement]:
    from wwc_eval import did

    asked = analysis.sensitivity
    found: list[Supplement] = []
    wanted: list[tuple[str, Callable[[], Supplement]]] = []
    if asked.honest is not None:
        wanted.append(("Sensitivity to trends that are not parallel", lambda: _honest(analysis, panel, context)))
    if asked.pre_trend_power:
        wanted.append(("Power of a test before treatment", lambda: _power(analysis, panel, context)))
    if asked.leave_one_out:
        wanted.append(
            (
                "Without each treated unit in turn",
                lambda: _left_out(
                    did.leave_one_out(
                        panel, estimator=lambda part: analysis.headline(analysis.estimate(part, context.level))
                    ),
                    context,
                ),
            )
        )
    if asked.compare and analysis.few_treated is not None:
        wanted.append(
            (
                "Every estimator on the same cells",
                lambda: _compared(_comparison(analysis, panel, context), context),
            )
        )
    for title, make in wanted:
        try:
            found.append(make())
        except WwcError as error:
            # what cannot be had for this panel is said, and the rest is shown
            found.append(Supplement(key=title.lower().replace(" ", "_"), title=title, sentences=(str(error),)))
    return found


def _comparison(analysis: DidAnalysis, panel: Panel, context: Context) -> Any:
    """Every estimator on the cells of units, its permutation that of the lottery where one is named.

    That of drawn roll-outs, which rests on something else, is there where it is the plan's own.
    """
    from wwc_eval import did
    from wwc_eval.did.comparison import ESTIMATORS

    few, areas = analysis.few_treated, _areas(analysis, panel)
    assert few is not None
    own = ("staggered",) if analysis.estimator == "staggered" else ()
    return did.compare(
        areas,
        (*own, *ESTIMATORS),
        control=analysis.control or "never",
        anticipation=analysis.anticipation,
        draws=few.draws,
        rng=few.seed,
        allocation=lottery_of(analysis, areas, context)[0],
        population=_population(analysis, panel),
        level=context.level,
    )


def _path_of(analysis: DidAnalysis, panel: Panel, context: Context) -> Any:
    """Effects by event that are all relative to one period."""
    return analysis.estimate(panel, context.level, base="universal")


def _honest(analysis: DidAnalysis, panel: Panel, context: Context) -> Supplement:
    from wwc_eval import did

    asked = analysis.sensitivity
    assert asked.honest is not None
    found = did.honest(
        _path_of(analysis, panel, context),
        restriction=asked.honest,
        values=[float(value) for value in asked.values] or None,
        level=context.level,
    )
    return Supplement(
        key="honest",
        title="Sensitivity to trends that are not parallel",
        sentences=found._notes(),
        table=found.estimates,
        draw=lambda ax: found.plot(ax).set_ylabel(f"effect on {_measured(context)}"),
        alt="Interval of the effect as departures from parallel trends grow; the breakdown value is where it meets no effect.",
    )


def _power(analysis: DidAnalysis, panel: Panel, context: Context) -> Supplement:
    from wwc_eval import did

    found = did.pre_trend_power(_path_of(analysis, panel, context), alpha=1.0 - context.level)
    return Supplement(
        key="pre_trend_power",
        title="Which trends a test before treatment could have seen",
        sentences=found._notes(),
        table=found.estimates,
    )


def _left_out(found: Any, context: Context) -> Supplement:
    return Supplement(
        key="leave_one_out",
        title="Without each treated unit in turn",
        sentences=found._notes(),
        table=_table(found.estimates, context, first=(found.key, f"without this {context.unit_column}")),
    )


def _compared(found: Any, context: Context) -> Supplement:
    return Supplement(
        key="compare",
        title="Every estimator on the same cells",
        sentences=found._notes(),
        table=_table(found.estimates, context, first=("estimator", "estimator")),
        draw=lambda ax: found.plot(ax).set_xlabel(f"effect on {_measured(context)}"),
        alt="The effect with its interval by each estimator and by each method for few treated.",
    )


def _table(estimates: Iterable[Any], context: Context, *, first: tuple[str, str] | None) -> Table:
    """Estimates as rows, to as many decimals as their errors call for."""
    records: Any = estimates
    rows = [dict(row) for row in records.to_dicts()]
    name, label = first or ("term", "which")
    items = list(records)
    digits = _digits([item.se for item in items] + [item.ci_high - item.ci_low for item in items])
    head = f"{100 * context.level:.6g}%"
    columns = [
        Column(name=name, label=label, kind="count" if name == "event" else "text"),
        Column(name="estimate", kind="number", digits=digits),
        Column(name="se", label="SE", kind="number", digits=digits),
        Column(name="ci_low", label=f"{head} low", kind="number", digits=digits),
        Column(name="ci_high", label=f"{head} high", kind="number", digits=digits),
        Column(name="p_value", label="p", kind="p_value"),
    ]
    beside = [item.details.get("permutation_p") for item in items]
    if any(value is not None for value in beside):
        # with few treated no conventional error stands alone
        columns.append(Column(name="permutation_p", label="p (permutation)", kind="p_value"))
        rows = [{**row, "permutation_p": value} for row, value in zip(rows, beside, strict=True)]
    kept = [{column.name: row.get(column.name) for column in columns} for row in rows]
    for row in kept:
        key = str(row[name])
        row[name] = int(key) if name == "event" else NAMES.get(key, key.replace("_", " "))
    return Table(kept, columns)


def _digits(spreads: Iterable[float]) -> int:
    """Decimals that show two digits of the smallest spread, at most six."""
    import math

    known = [value for value in spreads if value and math.isfinite(value) and value > 0]
    return min(max(1 - math.floor(math.log10(min(known))), 1), 6) if known else 2
