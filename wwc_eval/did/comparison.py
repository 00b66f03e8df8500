"""One frozen sample, one table: every estimator of the effect, and what each rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did.decimals import decimals_of, ends
from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.guard import guard_of, guarded
from wwc_eval.did.panel import Panel
from wwc_eval.did.sample import need_panel
from wwc_eval.errors import DesignError, WwcError, check_choice, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.data.samples.draws import Seed

__all__ = ["ESTIMATORS", "Comparison", "compare", "frozen_sample"]

ESTIMATORS = ("callaway_santanna", "sun_abraham", "imputation", "extended_twfe", "two_way_fixed_effects")
ASKED = (*ESTIMATORS, "staggered")
"""Estimators that may be asked for: that of drawn roll-outs rests on something else, and is not there unasked."""
METHODS = ("permutation", "wild_bootstrap", "ferman_pinto")
NAMES = {
    "callaway_santanna": "Callaway-Sant'Anna",
    "sun_abraham": "Sun-Abraham",
    "imputation": "imputation",
    "extended_twfe": "extended TWFE",
    "two_way_fixed_effects": "two-way fixed effects",
    "staggered": "drawn timing (Roth-Sant'Anna)",
    "conley_taber": "Conley-Taber",
    "ferman_pinto": "Ferman-Pinto",
}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Comparison(Rendered):
    """Estimates of one effect from one sample.

    Parameters
    ----------
    overall : Estimate
        That of the first estimator.
    estimates : EffectEstimates
        One row an estimator, then one a method for few treated; the column ``estimator`` first.
    results : dict
        Result of each estimator by name; not there where it failed.
    few : FewTreated or None
        Inference for few treated.
    bacon : BaconDecomposition or None
        What two-way fixed effects compare, and with which weights.
    honest, power : HonestIntervals, PreTrendPower, or None
        Sensitivity of the effects of Callaway-Sant'Anna to trends that are not parallel, and what a pre-trend test
        could have seen.
    panel : Panel
        The frozen sample.
    notes : tuple of str
        What was left out, and why something could not be estimated.
    """

    overall: Estimate
    estimates: EffectEstimates
    results: dict[str, Any]
    few: Any
    bacon: Any
    honest: Any
    power: Any
    panel: Panel
    notes: tuple[str, ...]

    def __getitem__(self, estimator: str) -> Estimate:
        """The estimate of an estimator or method."""
        names = [str(key["estimator"]) for key in self.estimates.keys]
        check_choice("estimator", estimator, names)
        return self.estimates.items[names.index(estimator)]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows: the estimator, then the eight columns of an estimate."""
        return self.estimates.to_dicts()

    def _grid(self) -> Grid:
        rows = []
        digits = decimals_of(self.estimates)
        for key, item in zip(self.estimates.keys, self.estimates, strict=True):
            name = str(key["estimator"])
            rows.append(
                {
                    "estimator": NAMES.get(name, name.replace("_", " ")),
                    "estimate": item.estimate,
                    "interval": ends(item, digits),
                    "se": item.se,
                    "p_value": item.p_value,
                    "permutation_p": item.details.get("permutation_p", math.nan),
                    "n": item.n,
                }
            )
        columns = [
            Column(name="estimator"),
            Column(name="estimate", kind="number", digits=digits),
            Column(name="interval", label=f"{100 * self.overall.level:g}% interval"),
            Column(name="se", label="SE", kind="number", digits=digits),
            Column(name="p_value", label="p", kind="p_value"),
            Column(name="permutation_p", label="p, permutation", kind="p_value"),
            Column(name="n", label="cells", kind="count"),
        ]
        return Table(rows, columns)._grid()

    def _title(self) -> str:
        panel = self.panel
        joins = int((panel.adopted < panel.n_periods).sum())
        count = int((panel.cohorts < panel.n_periods).sum())
        return (
            f"Effect on {panel.measure}: {panel.n_units:,} units, {joins:,} of them treated in "
            f"{count} cohort{'s' * (count != 1)}, {panel.n_periods} periods"
        )

    def _notes(self) -> tuple[str, ...]:
        said = list(self.notes)
        if self.bacon is not None:
            said.append(
                f"Of the weight of two-way fixed effects, {100 * self.bacon.forbidden_weight:.0f}% compares with units "
                "already treated (Goodman-Bacon)."
            )
        if self.honest is not None:
            said.append(
                f"Breakdown value (relative magnitudes, first treated period): {self.honest.breakdown:.2f} times the "
                "largest change before treatment."
            )
        if self.power is not None:
            row = self.power.estimates.to_dicts()[0]
            said.append(
                f"A pre-trend test finds a trend of {row['slope']:.3g} a period with power {100 * row['power']:.0f}%; its "
                f"test in these data {'rejects' if self.power.rejects else 'does not reject'}."
            )
        if (self.honest is not None or self.power is not None) and guard_of(self.panel) is not None:
            said.append(
                "Breakdown value and power rest on conventional errors, which are too small with so few treated."
            )
        warned = [text for item in self.estimates for text in item.warnings]
        return tuple(dict.fromkeys((*said, *warned)))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Every estimate with its interval; hollow marks are the intervals for few treated."""
        from wwc_eval.did.comparison_plot import plot_comparison

        return plot_comparison(self, ax)

    def plot_events(self, ax: Axes | None = None) -> Axes:
        """Effects by periods since treatment, the estimators side by side."""
        from wwc_eval.did.comparison_plot import plot_events

        return plot_events(self, ax)


def frozen_sample(panel: Panel) -> tuple[Panel, tuple[str, ...]]:
    """The cells that every estimator can use, and what was left out.

    Units treated in every period have nothing to be compared with; where no unit is never treated, the last cohort
    serves as comparison and the periods from its first treated one on go.
    """
    notes = []
    always = panel.adopted == 0
    if always.any():
        named = ", ".join(str(unit) for unit in panel.units[always][:5])
        notes.append(f"{int(always.sum()):,} units treated in every period left out ({named}).")
        panel = panel.without(panel.units[always].tolist())
    joins = panel.adopted < panel.n_periods
    if not joins.any():
        raise DesignError(
            "no unit of the panel becomes treated: there is nothing to compare",
            fix="give cohort= or treated= to the panel, or placebo dates with panel.with_adopted(...)",
        )
    if joins.all():
        last = int(panel.adopted.max())
        if (panel.adopted == last).all():
            raise DesignError("every unit is treated at one date: there is no comparison")
        notes.append(
            f"No unit is never treated: the cohort of {panel.period_label(last)} is the comparison, and periods from then on "
            "are left out."
        )
        panel = panel.between(last=panel.period_label(last - 1))
    return panel, tuple(notes)


def compare(
    panel: Panel,
    estimators: Sequence[str] = ESTIMATORS,
    *,
    control: str = "never",
    anticipation: int = 0,
    methods: Sequence[str] | None = None,
    draws: int = 9_999,
    rng: Seed | None = None,
    allocation: Any = None,
    population: str | Sequence[float] | None = None,
    window: tuple[int, int] = (-5, 4),
    sensitivity: bool = True,
    level: float = 0.95,
) -> Comparison:
    """Every estimator of the effect on one frozen sample, with what each rests on.

    Parameters
    ----------
    panel : Panel
        The panel; see :func:`frozen_sample` for what is left out.
    estimators : sequence of str
        Any of ``callaway_santanna``, ``sun_abraham``, ``imputation``, ``extended_twfe``, ``two_way_fixed_effects``, and,
        where a draw decided who began when, ``staggered``.
    control : {"never", "not_yet"}
        Comparison of Callaway-Sant'Anna.
    anticipation : int
        Periods before treatment in which an effect is allowed (Callaway-Sant'Anna and what is made from it, staggered, and
        Sun-Abraham by its reference); the other estimators take panels of :func:`mask_periods` as well.
    methods, draws, rng, allocation, population
        As in :func:`few_treated`; permutation, wild bootstrap and, where populations are known, Ferman-Pinto if
        nothing is said, and ``()`` for none.
    window : (int, int)
        Events of the sensitivity analysis.
    sensitivity : bool
        Whether the breakdown value and the power of a pre-trend test are worked out.
    level : float
        Coverage of the intervals.

    Returns
    -------
    Comparison
        ``.estimates`` with a column ``estimator``; ``.plot()``, ``.plot_events()``; ``.results``, ``.few``, ``.bacon``,
        ``.honest``, ``.power``. With fewer than five treated clusters every conventional row has the p-value of a
        permutation beside it. An estimator that cannot be had says why, and the others stand.

    Raises
    ------
    DesignError
        If nothing is treated, there is no comparison, or an estimator is not known.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> data = pd.read_csv("sample_data/la_panel.csv")
    >>> panel = we.Panel(data, unit="local_authority", period="year", outcome="cla_starts_rate", cohort="programme_from")
    >>> found = compare(panel, methods=("permutation",), rng=1, sensitivity=False)
    >>> [key["estimator"] for key in found.estimates.keys][:3]
    ['callaway_santanna', 'sun_abraham', 'imputation']
    """
    need_panel(panel, "compare")
    panel.need_units("compare")
    check_number("level", level, above=0, below=1)
    for name in estimators:
        check_choice("estimators", name, ASKED)
    frozen, left_out = frozen_sample(panel)
    notes = list(left_out)
    results = _results(frozen, estimators, (control, anticipation), level, notes)
    rows = [(name, guarded(found.overall, frozen)) for name, found in results.items()]
    asked = _few_methods(frozen, population) if methods is None else methods
    few = None
    if asked:
        few = _verb("few_treated")(
            frozen, methods=asked, draws=draws, rng=rng, allocation=allocation, population=population, level=level
        )
        rows += list(zip(few.methods, few.estimates, strict=True))
    if not rows:
        raise DesignError("; ".join(notes) or "no estimator is asked for")
    bacon = None
    if "two_way_fixed_effects" in results and frozen.balanced:
        bacon = _tried("Goodman-Bacon decomposition", lambda: _verb("bacon_decomposition")(frozen), notes)
    honest, power = (
        _sensitivity(frozen, (control, anticipation), window, level, notes) if sensitivity else (None, None)
    )
    if anticipation and set(results) - {"callaway_santanna", "sun_abraham", "staggered"}:
        notes.append(
            f"Anticipation of {anticipation} period{'s' * (anticipation != 1)} is allowed by Callaway-Sant'Anna, Sun-Abraham and "
            "the sensitivity analysis; the other rows allow it on a panel of mask_periods(panel, anticipation=...)."
        )
    return Comparison(
        overall=rows[0][1],
        estimates=EffectEstimates([row for _, row in rows], [{"estimator": name} for name, _ in rows]),
        results=results,
        few=few,
        bacon=bacon,
        honest=honest,
        power=power,
        panel=frozen,
        notes=(*notes, *_unequal(rows, frozen)),
    )


def _results(
    frozen: Panel, estimators: Sequence[str], asked: tuple[str, int], level: float, notes: list[str]
) -> dict[str, Any]:
    """The result of every estimator that can be had; why others cannot goes to the notes."""
    control, anticipation = asked
    own_options: dict[str, dict[str, Any]] = {
        "callaway_santanna": {"control": control, "anticipation": anticipation},
        "sun_abraham": {"reference": -1 - anticipation},
        "staggered": {"anticipation": anticipation},
    }
    found = {
        name: _tried(
            NAMES[name],
            partial(_with_overall, _verb(name), frozen, level=level, **own_options.get(name, {})),
            notes,
        )
        for name in dict.fromkeys(estimators)
    }
    return {name: result for name, result in found.items() if result is not None}


def _few_methods(frozen: Panel, population: str | Sequence[float] | None) -> Sequence[str]:
    """Methods for few treated where none are named: Ferman-Pinto needs populations."""
    known = population is not None or frozen.exposures is not None or float(np.ptp(frozen.weights)) > 0
    return METHODS if known else METHODS[:2]


def _verb(name: str) -> Callable[..., Any]:
    import wwc_eval.did as room

    found: Callable[..., Any] = getattr(room, name)
    return found


def _with_overall(verb: Callable[..., Any], panel: Panel, **options: Any) -> Any:
    """A result whose overall effect can be had."""
    found = verb(panel, **options)
    _ = found.overall
    return found


def _tried(what: str, make: Callable[[], Any], notes: list[str]) -> Any:
    try:
        return make()
    except WwcError as error:
        notes.append(f"{what} could not be had: {error}")
        return None


def _sensitivity(
    panel: Panel, asked: tuple[str, int], window: tuple[int, int], level: float, notes: list[str]
) -> tuple[Any, Any]:
    """Breakdown value and pre-trend power of the event study of Callaway-Sant'Anna with a universal base period."""

    def path() -> Any:
        control, anticipation = asked
        return _verb("callaway_santanna")(
            panel, control=control, base="universal", anticipation=anticipation, level=level
        ).path

    events = _tried("The event study for the sensitivity analysis", path, notes)
    if events is None:
        return None, None
    inside = [event for event in events.events.tolist() if window[0] <= event <= window[1]]
    span = (min([*inside, -1]), max([*inside, 0]))
    honest = _tried(
        "The breakdown value",
        lambda: _verb("honest")(events, values=(0.0, 1.0), level=level, window=span),
        notes,
    )
    power = _tried(
        "The power of a pre-trend test",
        lambda: _verb("pre_trend_power")(events, power=(0.8,), alpha=1.0 - level, window=span),
        notes,
    )
    return honest, power


def _unequal(rows: list[tuple[str, Estimate]], panel: Panel) -> list[str]:
    """A note where an estimator used other cells than the frozen sample."""
    cells = int(np.count_nonzero(panel.observed))
    return [
        f"{NAMES.get(name, name)} used {row.n:,} of {cells:,} cells."
        for name, row in rows
        if row.n and row.n != cells
    ]
