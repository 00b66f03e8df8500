"""Inference that holds with few treated local authorities: one effect, several ways to judge it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did.decimals import decimals_of, ends
from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.few_counts import treated_clusters
from wwc_eval.did.few_rows import METHODS, PERMUTED, ROBUST, Asked, few_rows
from wwc_eval.did.few_statistic import ESTIMATORS, Statistic
from wwc_eval.did.guard import guard_warnings
from wwc_eval.did.panel import Panel
from wwc_eval.did.sample import need_panel
from wwc_eval.errors import DesignError, check_choice, check_number, shown
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.data.samples.draws import Seed

__all__ = ["FewTreated", "few_treated"]

DEFAULT = ("permutation", "wild_bootstrap", "conley_taber", "ferman_pinto", "CR2", "CR3")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FewTreated(Rendered):
    """One effect judged by several methods.

    Parameters
    ----------
    overall : Estimate
        The effect with the p-value and interval of the first method asked for.
    estimates : EffectEstimates
        One row a method, the column ``method`` first. A method that cannot be used has missing values and says why.
    panel : Panel
        The panel behind it.
    n_treated, n_clusters : int
        Treated clusters, and all.
    values : ndarray, shape (m,)
        The statistic under each reassignment of treatment; empty without a permutation.
    notes : tuple of str
        What was left out, and what a reader must know.
    """

    overall: Estimate
    estimates: EffectEstimates
    panel: Panel
    n_treated: int
    n_clusters: int
    values: Floats = field(default_factory=lambda: np.empty(0))
    notes: tuple[str, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods in order."""
        return tuple(str(key["method"]) for key in self.estimates.keys)

    def __getitem__(self, method: str) -> Estimate:
        """The estimate of a method."""
        check_choice("method", method, self.methods)
        return self.estimates.items[self.methods.index(method)]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows by method: the eight columns of an estimate."""
        return self.estimates.to_dicts()

    def _grid(self) -> Grid:
        digits = decimals_of(self.estimates)
        rows = [
            {
                "method": key["method"],
                "estimate": item.estimate,
                "interval": ends(item, digits),
                "se": item.se,
                "df": item.df,
                "p_value": item.p_value,
                "smallest_p_value": item.details.get("smallest_p_value", math.nan),
            }
            for key, item in zip(self.estimates.keys, self.estimates, strict=True)
        ]
        columns = [
            Column(name="method"), Column(name="estimate", kind="number", digits=digits),
            Column(name="interval", label=f"{100 * self.overall.level:g}% interval"),
            Column(name="se", label="SE", kind="number", digits=digits), Column(name="df", kind="number", digits=1),
            Column(name="p_value", label="p", kind="p_value"),
            Column(name="smallest_p_value", label="smallest p possible", kind="number", digits=4),
        ]  # fmt: skip
        return Table(rows, columns)._grid()

    def _title(self) -> str:
        count = treated_clusters(self.n_treated)
        return f"Effect of treatment on {self.panel.measure}: {count} of {self.n_clusters:,}"

    def _notes(self) -> tuple[str, ...]:
        said = [
            f"{key['method']}: {item.method}."
            for key, item in zip(self.estimates.keys, self.estimates, strict=True)
        ]
        warned = [
            f"{key['method']}: {text}"
            for key, item in zip(self.estimates.keys, self.estimates, strict=True)
            for text in item.warnings
        ]
        return (*said, *warned, *self.notes)

    def plot(self, ax: Axes | None = None) -> Axes:
        """The effect among those of all reassignments; by method where nothing was permuted."""
        from wwc_eval.did.few_plot import plot_reassigned

        return plot_reassigned(self, ax)


def few_treated(
    panel: Panel,
    methods: Sequence[str] = DEFAULT,
    draws: int = 9_999,
    rng: Seed | None = None,
    allocation: Any = None,
    *,
    estimator: str = "two_way_fixed_effects",
    population: str | Sequence[float] | None = None,
    level: float = 0.95,
) -> FewTreated:
    """Judge one effect by methods that do not rest on many treated local authorities.

    Parameters
    ----------
    panel : Panel
        Units by period; cells may be missing, weights may differ, treatment may be staggered.
    methods : sequence of str
        Any of ``permutation``; ``studentised_permutation`` (the effect over its error is compared);
        ``wild_bootstrap`` (null hypothesis imposed) and ``wild_bootstrap_unrestricted``; ``conley_taber``;
        ``ferman_pinto`` (needs populations); ``CR0``, ``CR1``, ``CR1S``, ``CR2``, ``CR3``.
    draws : int
        Permutations, bootstrap draws or resamples where there are too many to list.
    rng : int, Generator or SeedSequence, optional
        Needed where anything is drawn; each method has a stream of its own, so that methods asked for do not
        change each other's draws.
    allocation : Allocation, optional
        The lottery that decided the roll-out: permutations are then those that it permitted.
    estimator : {"two_way_fixed_effects", "imputation"}
        The constant-effect coefficient, or the mean over treated cells of the imputation estimator, which is reassigned
        on panels with every cell and equal weights alone. They are one where all adopt at one date.
    population : str or sequence of float, optional
        Column (its mean by unit) or one number for each unit; the mean exposure of the panel, or its weights where
        they differ, if nothing is said.
    level : float
        Coverage of the intervals.

    Returns
    -------
    FewTreated
        ``.estimates`` with a column ``method``; ``.overall``; ``.plot()`` shows the effect among those of all
        reassignments.

    Raises
    ------
    DesignError
        If a method is not known, nothing is treated, or ``rng`` is missing where something is drawn.

    Notes
    -----
    With one treated cluster CR2 and CR3 do not identify a variance: their rows are empty. A permutation is exact under
    its own lottery, and without one only on average over which unit is treated: where the treated unit is among the
    smallest its noise is larger than that of most it changes places with, and the test rejects too often, and
    among the largest too seldom; ``ferman_pinto`` takes that into account. The wild bootstrap hardly ever rejects with
    one or two treated clusters. Sources: MacKinnon and Webb (2020), doi:10.1016/j.jeconom.2020.04.024
    (permutation); Canay, Romano and Shaikh (2017), doi:10.3982/ECTA13081; Cameron, Gelbach and Miller (2008),
    doi:10.1162/rest.90.3.414, and MacKinnon and Webb (2017), doi:10.1002/jae.2508 (wild bootstrap); Conley and Taber
    (2011), doi:10.1162/REST_a_00049; Ferman and Pinto (2019), doi:10.1162/rest_a_00759; Pustejovsky and Tipton (2018),
    doi:10.1080/07350015.2016.1247004 (CR2, CR3).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> noise = np.random.default_rng(1).normal(0, 1, (40, 8))
    >>> data = pd.DataFrame([(la, t, noise[la, t] + 5 * (la == 0 and t > 4)) for la in range(40) for t in range(8)],
    ...                     columns=["la", "year", "rate"]).assign(joined=lambda d: 5 * (d.la == 0))
    >>> panel = Panel(data, unit="la", period="year", outcome="rate", cohort="joined")
    >>> found = few_treated(panel, methods=("permutation", "CR2"))
    >>> found["permutation"].p_value, bool(np.isnan(found["CR2"].se))
    (0.025, True)
    """
    need_panel(panel, "few_treated")
    wanted = (methods,) if isinstance(methods, str) else tuple(methods)
    if not wanted:
        raise DesignError("no method is asked for", fix="write methods=('permutation', 'ferman_pinto')")
    for method in wanted:
        check_choice("method", method, METHODS)
    check_choice("estimator", estimator, ESTIMATORS)
    check_number("level", level, above=0, below=1)
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 19:
        raise DesignError(f"draws == {shown(draws)}, must be a whole number of at least 19", fix="use 9,999")
    statistic = Statistic.of(panel, estimator)
    asked = Asked(
        statistic=statistic, draws=int(draws), rng=rng, allocation=allocation, population=population, level=level
    )
    rows, values = few_rows(asked, tuple(dict.fromkeys(wanted)))
    estimates = EffectEstimates([row for _, row in rows], [{"method": name} for name, _ in rows])
    return FewTreated(
        overall=rows[0][1],
        estimates=estimates,
        panel=panel,
        n_treated=statistic.n_treated,
        n_clusters=len(statistic.codes),
        values=values,
        notes=(*statistic.sample.notes, *_unused(wanted, allocation, population), *_beside(panel, wanted)),
    )


def _beside(panel: Panel, methods: Sequence[str]) -> tuple[str, ...]:
    """The permutation of the guard, where conventional errors are asked for and no permutation."""
    if any(name in PERMUTED for name in methods) or not any(name in ROBUST for name in methods):
        return ()
    return guard_warnings(panel)


def _unused(methods: Sequence[str], allocation: Any, population: Any) -> tuple[str, ...]:
    """What was given and no method asked for takes."""
    permuted = any(name in PERMUTED for name in methods)
    given = (
        ("allocation", allocation is not None and not permuted, "a permutation"),
        ("population", population is not None and "ferman_pinto" not in methods, "ferman_pinto"),
    )
    return tuple(f"{name} is not used: {taker} is not among the methods." for name, idle, taker in given if idle)
