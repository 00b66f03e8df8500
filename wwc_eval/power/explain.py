"""Which conventions reproduce a published power figure, and what the others give."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wwc_eval.errors import DesignError, WwcError, check_choice, check_number
from wwc_eval.power.contrasts import Moderation
from wwc_eval.power.conventions import CONVENTIONS, Convention
from wwc_eval.power.level import Level
from wwc_eval.power.outcomes import BINARY_VARIANCES, Binary
from wwc_eval.power.parts import Baseline
from wwc_eval.power.solving import Solvable
from wwc_eval.power.trial import Trial
from wwc_eval.table import Column, Grid, Rendered, Table, format_number

__all__ = ["Explanation", "explain_power"]

Quantity = Literal["mdes", "power", "required", "design_effect"]
FARTHEST = 2
"""Departures from the design as given, and from two-sided tests, that are tried together."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Explanation(Rendered):
    """Every convention's figure beside the published one, those that reproduce it first.

    Parameters
    ----------
    published : float
        The figure quoted.
    tolerance : float
        How far a figure may lie from it and still round to it.
    rows : tuple of dict
        convention, sides, departures, direction, value, difference, reproduces ("yes", "truncated", "no").
    quantity, design
        What was quoted; the design in one line.
    """

    published: float
    tolerance: float
    rows: tuple[dict[str, Any], ...]
    quantity: str
    design: str

    @property
    def reproduced_by(self) -> tuple[dict[str, Any], ...]:
        """Rows that reproduce the figure, the nearest to the design as given first."""
        return tuple(row for row in self.rows if row["reproduces"] == "yes")

    def to_dicts(self) -> list[dict[str, Any]]:
        """Every row."""
        return [dict(row) for row in self.rows]

    def _grid(self) -> Grid:
        columns = [
            Column(name="convention"),
            Column(name="sides", kind="count"),
            Column(name="departures"),
            Column(name="direction"),
            Column(name="value", kind="number", digits=5),
            Column(name="difference", kind="number", digits=5),
            Column(name="reproduces"),
        ]
        return Table(self.rows[:40], columns)._grid()

    def _title(self) -> str:
        return f"{self.quantity} published as {self.published:g}: {self.design}"

    def _notes(self) -> tuple[str, ...]:
        values = [row["value"] for row in self.rows if math.isfinite(row["value"])]
        found = len(self.reproduced_by)
        words = f"{found} of {len(self.rows)} reproduce it" if found else "No convention tried reproduces it"
        span = (
            f"; together they give {format_number(min(values), 4)} to {format_number(max(values), 4)}"
            if values
            else ""
        )
        return (f"{words} (within {self.tolerance:g}){span}.",)


def explain_power(
    *,
    published: float,
    design: Solvable | None = None,
    quantity: Quantity = "mdes",
    effect: float | None = None,
    power: float = 0.8,
    level: str | None = None,
    alpha: float = 0.05,
    se: float | None = None,
    tolerance: float | None = None,
) -> Explanation:
    """Which conventions reproduce a published figure, and what the others give.

    Parameters
    ----------
    published : float
        The figure quoted: a detectable effect, a power, a number of units (in all, at the level asked for), or the factor
        by which the number of an individually randomised trial is multiplied.
    design : Trial or another design, optional
        The design as published. For a trial, departures are tried too: n of the assigned level as the number an arm,
        clustering ignored, every variance of a binary outcome, every method for unequal sizes, ANCOVA and change.
    quantity : {"mdes", "power", "required", "design_effect"}
        What the figure is. A design effect follows no convention; of a wedge it counts all children, or those of one period
        (Woertman et al. 2013, doi:10.1016/j.jclinepi.2013.01.009).
    effect : float, optional
        The effect, for power and sizes.
    power, alpha : float
        Power and level that the publication states.
    level : str, optional
        For sizes, the level whose units they count.
    se : float, optional
        Instead of a design: the standard error, for figures such as 2.8 SE.
    tolerance : float, optional
        Half a unit of the last digit of ``published`` where it is not given.

    Returns
    -------
    Explanation
        ``.reproduced_by`` holds the rows that reproduce the figure; printing it shows every one.

    Examples
    --------
    >>> from wwc_eval.power import Level, Trial
    >>> design = Trial(levels=[Level("child", 7), Level("team", 30, icc=0.05)], assigned="team")
    >>> found = explain_power(published=0.401, design=design).reproduced_by
    >>> [(row["convention"], row["sides"]) for row in found if row["departures"] == "as given"]
    [('exact', 1), ('upper_tail', 1)]
    """
    quoted = check_number("published", published)
    check_choice("quantity", quantity, ("mdes", "power", "required", "design_effect"))
    within = _last_digit(published) if tolerance is None else check_number("tolerance", tolerance, above=0)
    if (design is None) == (se is None):
        raise DesignError("give either the design or the standard error")
    if quantity in {"power", "required"} and effect is None:
        raise DesignError(f"quantity == '{quantity}' needs the effect", fix="effect=...")
    if quantity == "required" and (level is None or design is None):
        raise DesignError(
            "quantity == 'required' needs a design and the level whose units are counted", fix="level='team'"
        )
    if design is None:
        if quantity != "mdes":
            raise DesignError("a standard error explains a detectable effect alone", fix="give the design")
        size = check_number("se", se, above=0)
        design = Trial(levels=[Level("unit", 4.0 / size**2)], assigned="unit", df=math.inf)
    asked: dict[str, Any] = {"effect": effect, "power": power, "level": level}
    rows = [
        row | {"difference": row["value"] - quoted, "reproduces": _verdict(row["value"] - quoted, within)}
        for row in _tried(design, alpha=alpha, quantity=quantity, **asked)
    ]
    order = sorted(
        rows, key=lambda row: (row["reproduces"] != "yes", row["reproduces"] != "truncated", row["far"])
    )
    kept = tuple({key: value for key, value in row.items() if key != "far"} for row in order)
    return Explanation(
        published=quoted,
        tolerance=within,
        rows=kept,
        quantity=quantity,
        design=design.describe() if se is None else f"SE {se:g}",
    )


def _tried(design: Solvable, *, alpha: float, quantity: Quantity, **asked: Any) -> Iterator[dict[str, Any]]:
    """The figure by every convention, with up to two departures."""
    for changes, changed in _variants(design):
        tests = [
            (CONVENTIONS[name], sides)
            for name, sides in itertools.product(CONVENTIONS, (2, 1))
            if len(changes) + (sides == 1) <= FARTHEST and (name != "crtsize" or quantity == "required")
        ]
        for rule, sides, direction, value in _all_figures(changed, quantity, tests, alpha=alpha, **asked):
            yield {
                "convention": rule,
                "sides": sides,
                "departures": ", ".join(changes) or "as given",
                "direction": direction,
                "value": value,
                "far": len(changes) + (sides == 1),
            }


def _all_figures(
    design: Solvable, quantity: Quantity, tests: list[tuple[Convention, int]], *, alpha: float, **asked: Any
) -> Iterator[tuple[str, int, str, float]]:
    """Convention, sides, direction and figure of every test of one design."""
    if quantity == "design_effect":
        yield from _design_effects(design)
        return
    if quantity != "mdes" or type(design).mdes is not Solvable.mdes:
        for rule, sides in tests:
            given = {"alpha": alpha, "sides": sides, "convention": rule.name}
            for direction, value in _figures(design, quantity, given=given, **asked):
                yield rule.name, sides, direction, value
        return
    groups: dict[Any, list[tuple[Convention, int]]] = {}
    for test in tests:  # what a standard error may depend on: clusters added, and PowerUp's form for moderators
        own = (test[0].extra_clusters, isinstance(design, Moderation) and test[0].name == "powerup")
        groups.setdefault(own, []).append(test)
    for group in groups.values():
        try:
            found = design._detected_by(asked["power"], alpha, group)
        except WwcError:
            continue  # these conventions have no figure here
        for (rule, sides), fall, rise in zip(group, *found, strict=True):
            for direction, value in _directions(float(fall), float(rise)):
                yield rule.name, sides, direction, value


def _directions(fall: float, rise: float) -> Iterator[tuple[str, float]]:
    """Detectable effects, those that are possible; one where fall and rise are the same size."""
    if abs(fall + rise) < 1e-12:
        yield "", rise
        return
    for direction, value in (("fall", abs(fall)), ("rise", rise)):
        if math.isfinite(value):
            yield direction, value


def _design_effects(design: Solvable) -> Iterator[tuple[str, int, str, float]]:
    """Every way to count children, of which a trial without periods has one."""
    from wwc_eval.power.design_effects import COUNTS, design_effect
    from wwc_eval.power.stepped_wedge import SteppedWedge

    for count in COUNTS if isinstance(design, SteppedWedge) else COUNTS[:1]:
        try:
            yield "design effect", 2, count, float(design_effect(design, count=count))  # type: ignore[arg-type]
        except WwcError:
            continue


def _last_digit(published: float) -> float:
    text = repr(float(published))
    if "e" in text or "inf" in text or "nan" in text:
        return abs(published) * 5e-3
    decimals = len(text.split(".")[1]) if not text.endswith(".0") else 0
    return 0.5 * 10.0**-decimals


def _verdict(gap: float, within: float) -> str:
    if abs(gap) <= within * (1 + 1e-9):
        return "yes"
    return "truncated" if 0 < gap < 2 * within else "no"


def _figures(
    design: Solvable,
    quantity: Quantity,
    *,
    effect: float | None,
    power: float,
    level: str | None,
    given: dict[str, Any],
) -> Iterator[tuple[str, float]]:
    """The figure, in each direction where they differ."""
    try:
        if quantity == "power" and effect is not None:
            yield "", float(design.power(effect, **given))
        elif quantity == "required" and effect is not None and level is not None:
            found = design.required(level, effect, power, **given)  # type: ignore[attr-defined]
            yield "", _in_all(design, level, float(found))
            fraction = float(np.ravel(found.fraction)[0])
            yield "unrounded", _in_all(design, level, fraction)
            trial = _trial_of(design)
            if level == trial.assigned:
                share = float(np.ravel(trial.allocation)[0])
                whole = math.ceil(share * fraction - 1e-9) + math.ceil((1.0 - share) * fraction - 1e-9)
                yield "each arm rounded up", _in_all(design, level, float(whole))
        else:
            mdes = design.mdes(power, **given)
            yield from _directions(float(np.ravel(mdes.fall)[0]), float(np.ravel(mdes.rise)[0]))
    except WwcError:
        return  # this convention has no figure here


def _trial_of(design: Solvable) -> Trial:
    found = getattr(design, "trial", design)
    if not isinstance(found, Trial):
        raise DesignError("only the sizes of a trial can be explained", fix="quantity='mdes' or 'power'")
    return found


def _in_all(design: Solvable, level: str, n: float) -> float:
    """Units of a level in all."""
    trial = _trial_of(design)
    names = [each.name for each in trial.levels]
    above = trial.levels[names.index(level) + 1 :]
    return n * math.prod(float(np.ravel(each.n)[0]) for each in above)


def _variants(design: Solvable) -> Iterator[tuple[tuple[str, ...], Solvable]]:
    """The design as given, and with up to two departures."""
    if not isinstance(design, Trial):
        yield (), design
        return
    choices: list[list[tuple[str, dict[str, Any]]]] = [[("n per arm", {"per_arm": True})]]
    if any(np.any(np.asarray(each.icc) > 0) or each.k is not None for each in design.levels):
        choices.append([("clustering ignored", {"naive": True})])
    if isinstance(design.outcome, Binary):
        others = [name for name in BINARY_VARIANCES if name != design.outcome.variance]
        choices.append([(f"{name} variance", {"variance": name}) for name in others])
    if any(np.any(np.asarray(each.size_cv) > 0) for each in design.levels):
        methods = [name for name in ("taylor", "eldridge", "unweighted", "ignored") if name != design.size_method]
        choices.append([(f"sizes {name}", {"size_method": name}) for name in methods])
    if design.baseline is not None:
        other = "change" if design.baseline.method == "ancova" else "ancova"
        choices.append([(f"baseline as {other}", {"method": other}), ("no baseline", {"method": None})])
    yield (), design
    for count in range(1, FARTHEST + 1):
        for groups in itertools.combinations(choices, count):
            for picked in itertools.product(*groups):
                changes: dict[str, Any] = {}
                for _, change in picked:
                    changes |= change
                yield tuple(name for name, _ in picked), _changed(design, changes)


def _changed(design: Trial, changes: dict[str, Any]) -> Trial:
    if changes.get("naive"):
        design = design.replace(levels=[each.replace(icc=0.0, k=None) for each in design.levels])
    if changes.get("per_arm"):
        design = design.with_level(design.assigned, n=2.0 * np.asarray(design.level(design.assigned).n))
    if "variance" in changes:
        design = design.replace(outcome=design.outcome.replace(variance=changes["variance"]))
    if "size_method" in changes:
        design = design.replace(size_method=changes["size_method"])
    if "method" in changes and design.baseline is not None:
        method = changes["method"]
        new = None if method is None else Baseline(correlation=design.baseline.correlation, method=method)
        design = design.replace(baseline=new)
    return design
