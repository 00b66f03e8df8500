"""What a criterion says of what was observed: the tier, its probability, and the test against red."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wwc_eval.estimate import Estimate
from wwc_eval.table import Column, Grid, Rendered, Table, format_p_value, format_probability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.pilot.criterion import Criterion

__all__ = ["ACTIONS", "TIERS", "Decision"]

TIERS = ("red", "amber", "green")
ACTIONS = {"red": "stop", "amber": "amend", "green": "go"}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Decision(Rendered):
    """A criterion and what was observed.

    Parameters
    ----------
    criterion : ProgressionCriterion, RateCriterion or MeanCriterion
        The pre-stated criterion.
    tier : {"red", "amber", "green"}
        Tier of the estimate (or by the criterion's rule).
    p_red, p_amber, p_green : float
        Posterior probability of each tier; they add up to one.
    exact_p_value : float
        One-sided p-value of the hypothesis that the truth is at the limit of red (or worse).
    estimate : Estimate
        What was observed, with its interval.
    effective_n : float
        Independent participants that tell as much; n itself without clusters.
    notes : tuple of str
        How it was judged.
    """

    criterion: Criterion
    tier: str
    p_red: float
    p_amber: float
    p_green: float
    exact_p_value: float
    estimate: Estimate
    effective_n: float
    notes: tuple[str, ...] = field(default=())

    @property
    def action(self) -> str:
        """What the tier asks for: stop, amend or go."""
        return ACTIONS[self.tier]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row: criterion, limits, what was observed with its interval, tier, probabilities and p-value."""
        return [
            {
                "criterion": self.criterion.name,
                "red": self.criterion.red,
                "green": self.criterion.green,
                "observed": self.estimate.estimate,
                "ci_low": self.estimate.ci_low,
                "ci_high": self.estimate.ci_high,
                "n": self.estimate.n,
                "tier": self.tier,
                "action": self.action,
                "p_red": self.p_red,
                "p_amber": self.p_amber,
                "p_green": self.p_green,
                "exact_p_value": self.exact_p_value,
            }
        ]

    def _grid(self) -> Grid:
        return Table([shown_row(self)], shown_columns([self]))._grid()

    def _title(self) -> str:
        return f"{self.criterion.name}: {self.tier} ({self.action})"

    def _notes(self) -> tuple[str, ...]:
        return (self.criterion.words(), *self.notes)

    def __repr__(self) -> str:
        """The figures as a table."""
        return str(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """The interval against the three tiers."""
        from wwc_eval.pilot.charts import plot_decisions

        return plot_decisions([self], ax)


SHOWN = (
    Column(name="criterion"),
    Column(name="red"),
    Column(name="green"),
    Column(name="observed"),
    Column(name="interval"),
    Column(name="tier"),
    Column(name="p_red", label="P(red)"),
    Column(name="p_amber", label="P(amber)"),
    Column(name="p_green", label="P(green)"),
    Column(name="p_value", label="p against red"),
)


def shown_columns(decisions: Sequence[Decision]) -> tuple[Column, ...]:
    """Columns of :func:`shown_row`; the interval with its level where all have one."""
    levels = {one.estimate.level for one in decisions}
    if len(levels) != 1:
        return SHOWN
    label = f"{100 * levels.pop():g}% interval"
    return tuple(Column(name=c.name, label=label) if c.name == "interval" else c for c in SHOWN)


def shown_row(decision: Decision, *, rounded: Callable[[int], int] = int) -> dict[str, str]:
    """One decision in words, for a table of several of different kinds; ``rounded`` is applied to counts."""
    criterion, found = decision.criterion, decision.estimate
    low, high = (criterion.show(value) for value in (found.ci_low, found.ci_high))
    worse, better = ("at most", "at least") if criterion.higher_is_better else ("at least", "at most")
    return {
        "criterion": criterion.name,
        "red": f"{worse} {criterion.show(criterion.red)}",
        "green": f"{better} {criterion.show(criterion.green)}",
        "observed": f"{criterion.show(found.estimate)} ({criterion.counted(found, rounded)})",
        "interval": f"{low} to {high}",
        "tier": decision.tier,
        "p_red": format_probability(decision.p_red),
        "p_amber": format_probability(decision.p_amber),
        "p_green": format_probability(decision.p_green),
        "p_value": format_p_value(decision.exact_p_value),
    }
