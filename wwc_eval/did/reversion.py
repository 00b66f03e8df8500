"""Regression to the mean: whether those who joined were rising, and how far they would have fallen anyway."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did.decimals import decimals
from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.few_permutation import Permuted, p_words
from wwc_eval.did.few_reference import Reference, lottery, permutations
from wwc_eval.did.few_statistic import Statistic
from wwc_eval.did.panel import Panel
from wwc_eval.errors import DesignError, shown
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats
from wwc_eval.inference.inversion import p_value
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.data.samples.draws import Seed

__all__ = ["RegressionToMean", "regression_to_mean"]

CITATION = "Daw and Hatfield 2018, doi:10.1111/1475-6773.12993"
BLANK: dict[str, Any] = dict.fromkeys(("se", "df", "ci_low", "ci_high"), math.nan)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RegressionToMean(Rendered):
    """Units less the national trend before they joined.

    Parameters
    ----------
    overall : Estimate
        Mean slope, a period, of joiners less the national trend before they joined; p by permutation.
    reversion : Estimate
        Mean change from before to after that is expected without treatment, from what those who were not treated
        did after such a rise.
    estimates : EffectEstimates
        Slope of each joiner, the column ``unit`` first; ``details`` hold ``gap``, the mean of the window less the
        unit's own earlier mean, and ``rank``, the share of others that rose less.
    gaps : ndarray, shape (n, T)
        Units less the national trend; missing where the cell is.
    panel : Panel
        The panel.
    window : int
        Periods before joining.
    """

    overall: Estimate
    reversion: Estimate
    estimates: EffectEstimates
    gaps: Floats
    panel: Panel
    window: int

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a joiner: ``unit, joined, slope, gap, rank``."""
        return [
            {
                "unit": key["unit"],
                "joined": key["joined"],
                "slope": item.estimate,
                "gap": item.details["gap"],
                "rank": item.details["rank"],
            }
            for key, item in zip(self.estimates.keys, self.estimates, strict=True)
        ]

    def _grid(self) -> Grid:
        rows = [{**row, "unit": str(row["unit"]), "joined": str(row["joined"])} for row in self.to_dicts()]
        digits = decimals([float(np.std([item.estimate for item in self.estimates]))], 3)
        columns = [
            Column(name="unit"), Column(name="joined"),
            Column(name="slope", label="slope before, a period", kind="number", digits=digits),
            Column(name="gap", label="window less own earlier mean", kind="number", digits=digits),
            Column(name="rank", label="others that rose less", kind="percent", digits=0),
        ]  # fmt: skip
        return Table(rows, columns)._grid()

    def _title(self) -> str:
        return f"Units less the national trend in the {self.window} periods before they joined"

    def _notes(self) -> tuple[str, ...]:
        one, back = self.overall, self.reversion
        way, turn = ("rising", "rise") if one.estimate > 0 else ("falling", "fall")
        return (
            (
                f"On average joiners were {way} by {abs(one.estimate):.3g} a period against the national trend "
                f"(permutation, {p_words(one.p_value)})."
            ),
            (
                f"Change expected without treatment, from others after such a {turn}: {back.estimate:.3g} "
                f"({back.ci_low:.3g} to {back.ci_high:.3g}), as a mean after less a mean of all periods before: set it beside a "
                "two-way effect. Against the last period before alone, as Callaway and Sant'Anna compare, it is another."
            ),
            CITATION,
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Joiners less the national trend, and less their own mean before joining, by periods since they joined."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(6.8, 3.8), layout="constrained").subplots()
        joins = (self.panel.adopted < self.panel.n_periods) & (self.panel.adopted > 0)
        events = self.panel.events[joins]
        before = np.where(events < 0, self.gaps[joins], np.nan)
        gaps = self.gaps[joins] - _mean(before)[:, None]
        ax.axhline(0.0, color="0.6", linewidth=0.8)
        ax.axvspan(-self.window - 0.5, -0.5, color="#e8f0f6", linewidth=0, zorder=0)
        for event, gap in zip(events, gaps, strict=True):
            ax.plot(event, gap, color="#9db7d1", linewidth=0.9, zorder=1)
        every = np.unique(events)
        size = np.broadcast_to(self.panel.weights[joins][:, None], gaps.shape)
        seen = [(events == at) & np.isfinite(gaps) for at in every.tolist()]
        means = [float(np.average(gaps[here], weights=size[here])) if here.any() else math.nan for here in seen]
        ax.plot(every, means, "o-", color="#D55E00", markersize=3.5, label="mean of joiners", zorder=2)
        ax.set_xlabel("periods since joining (shaded: the window)")
        ax.set_ylabel(f"{self.panel.measure} less national trend\nand own mean before")
        ax.legend(frameon=False)
        return ax


def regression_to_mean(
    panel: Panel,
    window: int = 4,
    *,
    draws: int = 9_999,
    rng: Seed | None = None,
    allocation: Any = None,
    level: float = 0.95,
) -> RegressionToMean:
    """Whether joiners were rising against the national trend before they joined, and what was to be expected anyway.

    Local authorities often join because a rate is rising; part of what follows is then a return to where they
    were. The national trend is the weighted mean of all units not yet treated; weights of the panel (those of a matching,
    say) weigh joiners and never treated, too.

    Parameters
    ----------
    panel : Panel
        The panel; a joiner needs every period of the window.
    window : int
        Periods before joining over which the slope is taken.
    draws, rng, allocation
        As in :func:`few_treated`, for the permutation of who joined.
    level : float
        Coverage of the interval of the expected change.

    Returns
    -------
    RegressionToMean

    Raises
    ------
    DesignError
        If no joiner has the window, or there are too few others.

    Notes
    -----
    Formula: slope by least squares of ``y_it - national_t`` on t over the window; the p-value permutes adoption times
    over units. Expected change: among the never treated, the mean after the date less the mean before it
    is regressed on their slope up to the date; joiners' slopes are put into that line, less what the average unit has.
    Source: Daw and Hatfield (2018), doi:10.1111/1475-6773.12993.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> noise = np.random.default_rng(3).normal(0, 1, (40, 12))
    >>> noise[0, 4:8] += [1, 3, 5, 7]
    >>> data = pd.DataFrame([(la, t, noise[la, t]) for la in range(40) for t in range(12)], columns=["la", "t", "y"])
    >>> panel = Panel(data.assign(g=8 * (data.la == 0)), unit="la", period="t", outcome="y", cohort="g")
    >>> regression_to_mean(panel).overall.p_value < 0.05
    True
    """
    if isinstance(window, bool) or not isinstance(window, (int, np.integer)) or window < 2:
        raise DesignError(f"window == {shown(window)}, must be a whole number of at least 2 periods")
    statistic = Statistic.of(panel, "two_way_fixed_effects")
    sample = statistic.sample
    untreated = sample.present & ~sample.treated
    weights = np.where(untreated, sample.weights, 0.0)
    totals = weights.sum(axis=0)
    national = (weights * sample.outcomes).sum(axis=0) / np.where(totals > 0, totals, np.nan)
    gaps = np.where(sample.present, sample.outcomes - national, np.nan)
    slopes, before = _slopes(gaps, statistic, int(window))
    codes = statistic.codes[statistic.blocks]
    mine = np.where(codes > 0, slopes[np.arange(len(codes)), codes], np.nan)
    if not np.isfinite(mine).any():
        raise DesignError(
            f"no joiner has all of the {window} periods before it joined", fix="use a shorter window"
        )
    reference = (
        permutations(statistic, draws, rng) if allocation is None else lottery(statistic, allocation, draws, rng)
    )
    size = panel.weights[sample.rows]
    tested = _permuted(slopes, size, statistic, reference)
    shared: dict[str, Any] = {
        "level": level,
        "n": sample.n_cells,
        "n_clusters": len(statistic.codes),
        "citation": CITATION,
        "units": f"{panel.measure} a period",
    }
    overall = Estimate(
        **BLANK, term="slope before joining", estimate=tested.statistic, statistic=tested.statistic,
        p_value=tested.p_value, method=f"Permutation test, two-sided, {reference.words}", **shared,
    )  # fmt: skip
    full = np.full(panel.outcomes.shape, np.nan)
    full[np.ix_(sample.rows, sample.columns)] = gaps
    return RegressionToMean(
        overall=overall,
        reversion=_reversion(gaps, slopes, size, statistic, level=level, shared=shared),
        estimates=_by_joiner(mine, slopes, before, statistic, shared),
        gaps=full,
        panel=panel,
        window=int(window),
    )


def _by_joiner(
    mine: Floats, slopes: Floats, before: Floats, statistic: Statistic, shared: dict[str, Any]
) -> EffectEstimates:
    """Slope of each joiner, with its rank among the never treated."""
    codes, sample = statistic.codes[statistic.blocks], statistic.sample
    rows, keys = [], []
    for row in np.flatnonzero(np.isfinite(mine)).tolist():
        others = slopes[codes == 0, codes[row]]
        rank = float(np.mean(others[np.isfinite(others)] < mine[row])) if np.isfinite(others).any() else math.nan
        rows.append(
            Estimate(
                **BLANK,
                term="slope before joining",
                estimate=mine[row],
                statistic=math.nan,
                p_value=math.nan,
                details={"gap": float(before[row, codes[row]]), "rank": rank},
                method="Slope of one unit",
                **shared,
            )
        )
        date = int(statistic.dates[codes[row] - 1])
        keys.append({"unit": sample.panel.units[sample.rows[row]], "joined": sample.label(date)})
    return EffectEstimates(rows, keys)


def _slopes(gaps: Floats, statistic: Statistic, window: int) -> tuple[Floats, Floats]:
    """Slope before each date, and the window's mean less that of all earlier periods, shape (n, C + 1)."""
    found = np.full((len(gaps), len(statistic.dates) + 1), np.nan)
    before = found.copy()
    for code, date in enumerate(statistic.dates.tolist(), start=1):
        if date < window:
            continue
        x = statistic.sample.times[date - window : date].astype(float)
        x = x - x.mean()
        part = gaps[:, date - window : date]
        found[:, code] = part @ (x / (x @ x))
        if date > window:
            earlier = gaps[:, : date - window]
            counts = np.isfinite(earlier).sum(axis=1)
            means = np.nansum(earlier, axis=1) / np.where(counts > 0, counts, np.nan)
            before[:, code] = part.mean(axis=1) - means
    return found, before


def _permuted(slopes: Floats, size: Floats, statistic: Statistic, reference: Reference) -> Permuted:
    """Mean slope of joiners under each reassignment, weighted by ``size``; slopes of a block are averaged over its units."""
    blocks = statistic.blocks
    known = np.isfinite(slopes)
    shape = (len(statistic.codes), slopes.shape[1])
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, blocks, np.where(known, size[:, None] * slopes, 0.0))
    np.add.at(counts, blocks, size[:, None] * known)

    def mean(codes: Any) -> Floats:
        top, bottom = np.zeros(len(codes)), np.zeros(len(codes))
        for code in range(1, slopes.shape[1]):
            chosen = (codes == code).astype(float)
            top += chosen @ sums[:, code]
            bottom += chosen @ counts[:, code]
        return top / np.where(bottom > 0, bottom, np.nan)

    observed = float(mean(statistic.codes[None, :])[0])
    values = mean(reference.codes)
    share, error = p_value(values, observed, reference, 0)
    return Permuted(
        statistic=observed,
        p_value=share,
        ci_low=math.nan,
        ci_high=math.nan,
        values=values,
        monte_carlo_error=error,
    )


def _reversion(
    gaps: Floats, slopes: Floats, size: Floats, statistic: Statistic, *, level: float, shared: dict[str, Any]
) -> Estimate:
    """Change that others had after such slopes, averaged over joiners; units weigh by ``size``."""
    codes = statistic.codes[statistic.blocks]
    others: list[Floats] = []
    joiners: list[Floats] = []
    for code, date in enumerate(statistic.dates.tolist(), start=1):
        after, before = gaps[:, date:], gaps[:, :date]
        with np.errstate(invalid="ignore"):
            change = _mean(after) - _mean(before)
        controls = (codes == 0) & np.isfinite(change) & np.isfinite(slopes[:, code])
        joined = (codes == code) & np.isfinite(slopes[:, code])
        if not joined.any() or controls.sum() < 3:
            continue
        w, x, y = size[controls], slopes[controls, code], change[controls]
        centre = float(np.average(x, weights=w))
        others.append(np.stack([w, x - centre, y - np.average(y, weights=w)]))
        joiners.append(np.stack([size[joined], slopes[joined, code] - centre]))
    if not others:
        raise DesignError("fewer than three units are never treated, so nothing says what would have happened")
    (w, x, y), (mine, at) = np.concatenate(others, axis=1), np.concatenate(joiners, axis=1)
    mean = float(np.average(at, weights=mine))
    square = float(w @ x**2)
    slope = float(w @ (x * y)) / square
    n = len(x) // len(others)
    se = math.sqrt(float(((w * x * (y - slope * x)) ** 2).sum()) * n / max(n - 2, 1)) / square
    return Estimate.from_normal(
        term="expected change", estimate=slope * mean, se=abs(mean) * se, df=float(max(n - 2, 1)),
        method="Change of never treated units after such a rise, put to the joiners", details={"slope": slope},
        **{**shared, "level": level, "units": shared["units"].removesuffix(" a period")},
    )  # fmt: skip


def _mean(values: Floats) -> Floats:
    counts = np.isfinite(values).sum(axis=1)
    return np.asarray(np.nansum(values, axis=1) / np.where(counts > 0, counts, np.nan))
