"""The pilot on one page: criteria, and what else bears on the three headings, with the recommendation of pre-stated rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from wwc_eval.errors import DesignError, check_choice
from wwc_eval.estimate import Estimate
from wwc_eval.pilot.criteria import HEADINGS
from wwc_eval.pilot.decision import TIERS, Decision, shown_columns, shown_row
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.pilot.criterion import Criterion

__all__ = ["HEADING_QUESTIONS", "HEADING_TITLES", "Finding", "Judgement", "Rules", "judge"]

HEADING_TITLES = {
    "feasibility": "Feasibility",
    "evidence_of_promise": "Evidence of promise",
    "readiness_for_trial": "Readiness for trial",
}
HEADING_QUESTIONS = {
    "feasibility": "Can the practice be delivered as intended, and is it acceptable?",
    "evidence_of_promise": "Do outcomes move as the theory of change says they should?",
    "readiness_for_trial": "Is delivery consistent and described well enough for a trial, and can one be run?",
}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How tiers of the criteria add up; written before the data.

    Parameters
    ----------
    stop : {"any_essential_red", "any_red", "most_red"}
        What stops: a red on an essential criterion, any red, or red on more than half of all.
    go : {"all_green", "essential_green", "no_red"}
        What goes on unchanged: all green, all essential ones green and none red, or none red.

    What neither stops nor goes on unchanged goes on with amendments. A stop comes before a go.
    """

    stop: Literal["any_essential_red", "any_red", "most_red"] = "any_essential_red"
    go: Literal["all_green", "essential_green", "no_red"] = "all_green"

    def __post_init__(self) -> None:
        """Check the names of the rules."""
        check_choice("stop", self.stop, ("any_essential_red", "any_red", "most_red"))
        check_choice("go", self.go, ("all_green", "essential_green", "no_red"))

    def recommend(self, decisions: Sequence[Decision]) -> tuple[str, tuple[Decision, ...]]:
        """stop, amend or go, and the decisions that it rests on."""
        red = [one for one in decisions if one.tier == "red"]
        essential_red = [one for one in red if one.criterion.essential]
        stopping = {
            "any_essential_red": essential_red,
            "any_red": red,
            "most_red": red if 2 * len(red) > len(decisions) else [],
        }[self.stop]
        if stopping:
            return "stop", tuple(stopping)
        asked = [one for one in decisions if one.criterion.essential or self.go != "essential_green"]
        short = [one for one in decisions if one.tier == "red"]
        if self.go != "no_red":
            short += [one for one in asked if one.tier == "amber"]
        return ("amend", tuple(short)) if short else ("go", tuple(decisions))

    def words(self) -> str:
        """The rules as a sentence."""
        stop = {
            "any_essential_red": "an essential criterion is red",
            "any_red": "any criterion is red",
            "most_red": "more than half of the criteria are red",
        }[self.stop]
        go = {
            "all_green": "all criteria are green",
            "essential_green": "all essential criteria are green and none is red",
            "no_red": "none is red",
        }[self.go]
        return f"Stop if {stop}; go if {go}; else amend."


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that bears on a heading without deciding: an early outcome, fidelity, acceptability, cost.

    Parameters
    ----------
    heading : {"feasibility", "evidence_of_promise", "readiness_for_trial"}
        Where it belongs.
    what : str
        What it is.
    figure : Estimate or str
        A figure with its interval, or words.
    """

    heading: str
    what: str
    figure: Estimate | str

    def __post_init__(self) -> None:
        """Check the heading."""
        check_choice("heading", self.heading, HEADINGS)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Judgement(Rendered):
    """The pilot judged.

    Parameters
    ----------
    recommendation : {"stop", "amend", "go"}
        What the rules say.
    because : tuple of Decision
        Decisions that it rests on.
    decisions : tuple of Decision
        Every criterion.
    findings : tuple of Finding
        What else bears on the headings.
    rules : Rules
        How tiers add up.
    headings : mapping of str to str
        Lowest tier of the criteria under each heading.
    undecided : tuple of str
        Criteria that the rules ask for and that could not be decided: they keep a pilot from going on unchanged.
    """

    recommendation: str
    because: tuple[Decision, ...]
    decisions: tuple[Decision, ...]
    findings: tuple[Finding, ...]
    rules: Rules
    headings: Mapping[str, str] = field(default_factory=dict)
    undecided: tuple[str, ...] = ()

    def reason(self) -> str:
        """Why, in a sentence."""
        names = ", ".join(one.criterion.name for one in self.because)
        if self.recommendation == "stop":
            return f"Stop: {names} {'is' if len(self.because) == 1 else 'are'} red."
        if self.recommendation == "amend":
            short = [f"{names} {'is' if len(self.because) == 1 else 'are'} not green"] if self.because else []
            missing = [f"{', '.join(self.undecided)} could not be decided"] if self.undecided else []
            return f"Amend before a trial: {'; '.join([*short, *missing])}."
        return "Go: the criteria are met as the rules ask."

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a criterion, with its heading."""
        return [
            {"heading": one.criterion.heading, "essential": one.criterion.essential, **one.to_dicts()[0]}
            for one in self.decisions
        ]

    def under(self, heading: str) -> Table:
        """Criteria of a heading in words."""
        check_choice("heading", heading, HEADINGS)
        rows = [shown_row(one) for one in self.decisions if one.criterion.heading == heading]
        return Table(rows, shown_columns(self.decisions), title=HEADING_TITLES[heading])

    def beside(self, heading: str) -> list[tuple[str, str]]:
        """What else bears on a heading: what, and its figure in words."""
        return [(each.what, _in_words(each.figure)) for each in self.findings if each.heading == heading]

    def _grid(self) -> Grid:
        columns = (Column(name="heading"), *shown_columns(self.decisions))
        rows: list[dict[str, Any]] = []
        for heading in HEADINGS:
            rows += [
                {"heading": HEADING_TITLES[heading], **shown_row(one)}
                for one in self.decisions
                if one.criterion.heading == heading
            ]
            rows += [
                {
                    **dict.fromkeys((c.name for c in columns), ""),
                    "heading": HEADING_TITLES[heading],
                    "criterion": what,
                    "observed": text,
                }
                for what, text in self.beside(heading)
            ]
        return Table(rows, columns)._grid()

    def _title(self) -> str:
        return f"Pilot: {self.recommendation}. {self.reason()}"

    def _notes(self) -> tuple[str, ...]:
        told = (f"{one.criterion.name}: {note}" for one in self.decisions for note in one.notes)
        return tuple(dict.fromkeys((self.rules.words(), *told)))

    def __repr__(self) -> str:
        """The page as a table."""
        return str(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Every criterion's interval against its tiers."""
        from wwc_eval.pilot.charts import plot_decisions

        return plot_decisions(self.decisions, ax)


def judge(
    decisions: Sequence[Decision],
    *,
    rules: Rules | None = None,
    findings: Sequence[Finding] = (),
    undecided: Sequence[Criterion] = (),
) -> Judgement:
    """Bring decisions and findings under the three headings, and recommend by the pre-stated rules.

    Parameters
    ----------
    decisions : sequence of Decision
        One for each criterion.
    rules : Rules, optional
        How tiers add up: stop if an essential criterion is red, go if all are green, else amend.
    findings : sequence of Finding
        Early outcomes with intervals, fidelity, acceptability, costs: shown, never decisive.
    undecided : sequence of criteria
        Criteria that were planned and could not be decided. What is not known to be green is not green: instead of go the
        recommendation is amend, unless the rule asks for essential criteria and these are not.

    Returns
    -------
    Judgement

    Raises
    ------
    DesignError
        If there is no decision, something else stands among them, or two are of one name.

    Examples
    --------
    >>> from wwc_eval.pilot import ProgressionCriterion
    >>> consent = ProgressionCriterion("consent", red=0.2, green=0.35).decide(30, 78)
    >>> retention = ProgressionCriterion("retention", red=0.65, green=0.85).decide(24, 30)
    >>> judge([consent, retention]).recommendation
    'amend'
    """
    if not decisions:
        raise DesignError("no criterion was decided", fix="give at least one decision")
    if isinstance(decisions, Decision) or not all(isinstance(one, Decision) for one in decisions):
        raise DesignError("decisions are those of criteria, in a list", fix="give [criterion.decide(...), ...]")
    names = [one.criterion.name for one in decisions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DesignError(f"criterion '{twice[0]}' is decided twice", fix="give each criterion one decision")
    chosen = rules if rules is not None else Rules()
    recommendation, because = chosen.recommend(decisions)
    missing = tuple(one.name for one in undecided if one.essential or chosen.go != "essential_green")
    if missing and recommendation == "go":
        recommendation, because = "amend", ()
    lowest = {}
    for heading in HEADINGS:
        tiers = [TIERS.index(one.tier) for one in decisions if one.criterion.heading == heading]
        if tiers:
            lowest[heading] = TIERS[min(tiers)]
    return Judgement(
        recommendation=recommendation,
        because=because,
        decisions=tuple(decisions),
        findings=tuple(findings),
        rules=chosen,
        headings=lowest,
        undecided=missing,
    )


def _in_words(figure: Estimate | str) -> str:
    if isinstance(figure, str):
        return figure
    from wwc_eval.table import format_number, format_percent

    def show(value: float) -> str:
        if figure.scale in {"proportion", "risk_difference"}:
            return format_percent(value) if figure.scale == "proportion" else format_number(100 * value, 1)
        return format_number(value, 2)

    points = " percentage points" if figure.scale == "risk_difference" else ""
    interval = f"{100 * figure.level:g}% interval {show(figure.ci_low)} to {show(figure.ci_high)}"
    return f"{show(figure.estimate)}{points} ({interval})"
