"""What a plan may ask of roll-outs whose order was drawn, ``estimator: staggered``: its options, its faults and its test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from wwc_eval.plans.vocabulary.base import Context, Finding

if TYPE_CHECKING:
    from wwc_eval.did import DidResult, Panel
    from wwc_eval.plans.vocabulary.did import DidAnalysis

__all__ = ["ADJUSTMENTS", "DIFFERENCES", "drawn_effect", "drawn_findings", "tested_effect"]

DIFFERENCES = frozenset({"callaway_santanna", "sun_abraham"})
"""Adjustments that are differences in differences, which trends that are not parallel would bias."""
ADJUSTMENTS = DIFFERENCES | {"efficient", "difference_in_means"}


def drawn_findings(analysis: DidAnalysis) -> Iterator[Finding]:
    """Options that a drawn roll-out does not have (P14).

    Parameters
    ----------
    analysis : DidAnalysis
        With ``estimator: staggered``.
    """
    odd: list[tuple[tuple[str, ...], str, str]] = []
    if analysis.weights is not None:
        odd.append((("weights",), "each unit counts once, as in the draw", "remove weights"))
    if analysis.cluster is not None:
        odd.append(
            (
                ("inference", "cluster"),
                "errors are those of the units that were drawn",
                "remove cluster, or declare it the unit",
            )
        )
    if analysis.inference.vcov is not None:
        odd.append((("inference", "vcov"), "errors are those of the draw", "remove vcov"))
    trends = analysis.sensitivity.honest is not None or analysis.sensitivity.pre_trend_power
    if trends and analysis.adjustment not in DIFFERENCES:
        odd.append(
            (
                ("sensitivity",),
                "the effect rests on the draw, and not on parallel trends",
                "remove honest and pre_trend_power, or write adjustment: callaway_santanna",
            )
        )
    for path, message, fix in odd:
        yield Finding(
            code="P14",
            path=path,
            message=f"{path[-1]} does not go with estimator: staggered: {message}",
            fix=fix,
            beside=path == ("sensitivity",),
        )


def drawn_effect(
    analysis: DidAnalysis, panel: Panel, level: float, *, by_event: bool = False, **test: Any
) -> DidResult:
    """The efficient estimator as the plan asks for it; by event where ``by_event``.

    Parameters
    ----------
    analysis, panel, level
        The analysis, its panel, and coverage of the intervals.
    by_event : bool
        Whether effects are by event.
    test
        ``draws``, ``rng`` and ``allocation`` of the randomisation test; none where nothing is said.
    """
    from wwc_eval import did

    return did.staggered(
        panel,
        estimand="event" if by_event else analysis.aggregate or "simple",
        adjustment=analysis.adjustment or "efficient",
        anticipation=analysis.anticipation,
        level=level,
        **test,
    )


def tested_effect(analysis: DidAnalysis, panel: Panel, context: Context) -> DidResult:
    """The effect with its randomisation test, where the plan asks for draws: of the lottery where one is named.

    Parameters
    ----------
    analysis, panel, context
        The analysis, its panel and the run's context.
    """
    from wwc_eval.plans.did_supplements import lottery_of

    test: dict[str, Any] = {}
    if analysis.inference.draws is not None:
        allocation = lottery_of(analysis, panel, context)[0]
        test = {"draws": analysis.inference.draws, "rng": analysis.inference.seed, "allocation": allocation}
    return drawn_effect(analysis, panel, context.level, **test)
