"""What a test of trends before treatment could have seen: its power against straight lines, and the bias if it passes.

A pre-trend test that finds nothing is evidence only against trends that it would have found. And where a trend slips through,
the samples in which it does are those whose estimates after treatment are, as a rule, further off (Roth 2022).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did.box_normal import box_moments
from wwc_eval.did.decimals import decimals
from wwc_eval.did.honest_setting import Setting, few_words, path_of, setting
from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats
from wwc_eval.table import Column, Grid, Rendered, Table, format_number, format_p_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TESTS", "PreTrendPower", "pre_trend_power"]

TESTS = ("individual", "joint")
CITATION = "Roth 2022, doi:10.1257/aeri.20210236"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PreTrendPower(Rendered):
    """Power of a pre-trend test against linear trends, and what a trend that passes does to the estimate.

    Parameters
    ----------
    overall : Estimate
        Slope of the straight line through zero at the reference that fits the events before treatment best.
    estimates : Table
        One row a trend: its slope, the test's power, the bias it brings to the effect, that bias given that the test
        passes, and how the data judge it.
    events : Table
        By event: the estimate, the steepest trend of the table and what estimates are expected if that trend passed.
    effect : Estimate
        The effect whose bias is told.
    test : str
        ``individual`` or ``joint``.
    alpha : float
        Level of the test.
    rejects : bool
        Whether the test rejects in these data.
    units : str
        Units of the outcome.
    notes : tuple of str
        The test and its result.
    """

    overall: Estimate
    estimates: Table
    events: Table
    effect: Estimate
    test: str
    alpha: float
    rejects: bool
    units: str
    notes: tuple[str, ...]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a trend."""
        return self.estimates.to_dicts()

    def _grid(self) -> Grid:
        return self.estimates._grid()

    def _title(self) -> str:
        return self.estimates.title

    def _notes(self) -> tuple[str, ...]:
        return (*self.notes, CITATION)

    def plot(self, ax: Axes | None = None) -> Axes:
        """The event study with the steepest trend of the table, and what is expected where that trend passes."""
        from wwc_eval.did.honest_plot import plot_pre_trends

        return plot_pre_trends(self, ax)


def pre_trend_power(
    result: Any,
    *,
    power: Sequence[float] = (0.5, 0.8),
    slopes: Sequence[float] = (),
    test: str = "individual",
    alpha: float = 0.05,
    weights: str | Mapping[int, float] | Sequence[float] = "average",
    window: tuple[int, int] | None = None,
) -> PreTrendPower:
    """Slopes that a pre-trend test finds with given power, and the bias of the effect that they bring.

    Parameters
    ----------
    result : EventPath or a result with ``.path``
        An event study whose effects are all relative to one reference event.
    power : sequence of float
        Powers for which the slope is sought, between ``alpha`` and 1.
    slopes : sequence of float
        Further slopes to judge, in outcome units a period.
    test : {"individual", "joint"}
        Any estimate before treatment significant at ``alpha`` by itself, as readers of plots judge; or a Wald test of all.
    alpha : float
        Level of the test; of each single test with ``"individual"``, whose overall level is then higher (the power at slope 0
        is in the notes).
    weights, window
        The effect and the events used, as in :func:`honest`; the average over treated periods here.

    Returns
    -------
    PreTrendPower

    Raises
    ------
    DesignError
        As :func:`honest`, and for a power that the test exceeds without any trend.

    Notes
    -----
    Estimates are taken as normal with known covariance and mean ``slope * (event - reference)``. Joint test: the probability
    of passing is that of a noncentral chi-squared, and ``E[z | pass] = mean * P(chi2(k + 2) < c) / P(chi2(k) < c)`` for the
    whitened estimates: exact. Individual test: the normal probability of a box and the mean within it, by Genz's
    transformation on a fixed lattice (no random numbers; error about 1e-5 in the probability and 1e-4 standard errors in
    the mean). Bias given passing: ``w'(delta_post + S_post,pre
    S_pre^-1 (E[b_pre | pass] - delta_pre))``. Likelihood ratio: density of the estimates before treatment under the trend
    over that under none; Bayes factor: probability of passing under the trend over that under none. Ratios above 1,000 or below 0.001 are shown as such; the rows of
    ``to_dicts`` have them. Source: Roth 2022,
    doi:10.1257/aeri.20210236.

    Examples
    --------
    >>> import numpy as np, wwc_eval as we
    >>> path = we.did.EventPath(
    ...     events=[-4, -3, -2, 0, 1], estimates=[0.1, -0.2, 0.1, -2.0, -2.4], vcov=np.eye(5) * 0.04 + 0.04
    ... )
    >>> found = we.did.pre_trend_power(path)
    >>> [round(row["slope"], 2) for row in found.to_dicts()], found.rejects
    ([0.17, 0.25], False)
    """
    check_choice("test", test, TESTS)
    alpha = check_number("alpha", alpha, above=0, below=1)
    at = setting(result, weights, window)
    path = path_of(result)
    model = _Model(at, test, alpha, path.df)
    size = model.power(0.0)
    rows = []
    for wanted in power:
        target = check_number("power", wanted, above=0, below=1)
        if target <= size:
            raise DesignError(
                f"power == {target:g}, but the test rejects with probability {size:.3f} without any trend",
                fix="ask for a higher power",
            )
        rows.append(model.row(model.slope_for(target)))
    rows += [model.row(check_number("slopes", slope)) for slope in slopes]
    if not rows:
        raise DesignError("neither power nor slopes are given", fix="power=(0.5, 0.8)")
    return PreTrendPower(
        overall=_fitted_slope(at, path.units),
        estimates=_table(rows, path.units),
        events=_events(model, max(rows, key=lambda row: abs(row["slope"]))["slope"]),
        effect=Estimate.from_normal(
            term="effect", estimate=at.estimate, se=at.se, df=path.df, units=path.units, scale="mean_difference"
        ),
        test=test,
        alpha=alpha,
        rejects=model.rejects,
        units=path.units,
        notes=(*_notes(model, size), *few_words(result)),
    )


class _Model:
    """Normal estimates around a straight line, and the test that they meet."""

    def __init__(self, at: Setting, test: str, alpha: float, df: float) -> None:
        from scipy.special import chdtri, ndtri, stdtrit

        self.at, self.test, self.alpha = at, test, alpha
        known = at.known
        events = np.delete(at.grid, int(at.reference - at.grid[0])).astype(float)
        self.line = events - at.reference
        self.known = known
        self.inner = at.vcov[np.ix_(known, known)]
        self.inverse = np.linalg.pinv(self.inner, rcond=1e-12, hermitian=True)
        self.rank = int(np.linalg.matrix_rank(self.inner, tol=1e-12 * float(np.trace(self.inner)), hermitian=True))
        tail = 1.0 - alpha / 2.0
        z = float(ndtri(tail) if math.isinf(df) else stdtrit(df, tail))
        self.half = z * np.sqrt(np.diag(self.inner))
        self.cut = float(chdtri(self.rank, alpha))

    def passing(self, slope: float) -> tuple[float, Floats]:
        """Probability of passing, and the expected estimates before treatment if so."""
        mean = slope * self.line[self.known]
        if self.test == "individual":
            return box_moments(mean, self.inner, self.half)
        from scipy.special import chndtr

        away = float(mean @ self.inverse @ mean)
        chance = float(chndtr(self.cut, self.rank, away))
        return chance, mean * (float(chndtr(self.cut, self.rank + 2, away)) / chance if chance > 0 else math.nan)

    def power(self, slope: float) -> float:
        """Probability that the test rejects."""
        return 1.0 - self.passing(slope)[0]

    def slope_for(self, power: float) -> float:
        """Slope, above zero, that is found with that probability."""
        from scipy.optimize import brentq

        high = float((self.half / np.abs(self.line[self.known])).min())
        while self.power(high) < power:
            high *= 2.0
        return float(brentq(lambda slope: self.power(slope) - power, 0.0, high, xtol=1e-10 * high, rtol=1e-12))

    def expected(self, slope: float) -> Floats:
        """Expected estimates at every event if the test passes and there is no effect."""
        mean = slope * self.line
        shift = self.passing(slope)[1] - mean[self.known]
        return np.asarray(mean + self.at.vcov[:, self.known] @ self.inverse @ shift)

    def row(self, slope: float) -> dict[str, float]:
        """What one trend does."""
        at = self.at
        before, mean = at.beta[self.known], slope * self.line[self.known]
        ratio = math.exp(min(float(before @ self.inverse @ mean - 0.5 * mean @ self.inverse @ mean), 700.0))
        passing = self.passing(slope)[0]
        return {
            "slope": slope,
            "power": 1.0 - passing,
            "bias": float(slope * (at.weights @ self.line)),
            "bias_if_passed": float(at.weights @ self.expected(slope)),
            "likelihood_ratio": ratio,
            "bayes_factor": passing / self.passing(0.0)[0],
        }

    @property
    def wald(self) -> float:
        """Joint statistic of the estimates before treatment."""
        before = self.at.beta[self.known]
        return float(before @ self.inverse @ before)

    @property
    def rejects(self) -> bool:
        """Whether the test rejects in these data."""
        if self.test == "joint":
            return self.wald > self.cut
        return bool((np.abs(self.at.beta[self.known]) > self.half).any())


def _fitted_slope(at: Setting, units: str) -> Estimate:
    """Generalised least squares of the estimates before treatment on the line through the reference."""
    known = at.known
    line = (np.delete(at.grid, int(at.reference - at.grid[0])) - at.reference)[known].astype(float)
    pull = np.linalg.pinv(at.vcov[np.ix_(known, known)], rcond=1e-12, hermitian=True) @ line
    weight = float(line @ pull)
    return Estimate.from_normal(
        term="slope before treatment",
        estimate=float(pull @ at.beta[known]) / weight,
        se=1.0 / math.sqrt(weight),
        scale="slope",
        units=f"{units} a period" if units else "",
        method="Straight line through the reference, generalised least squares of the events before treatment",
        citation=CITATION,
    )


def _table(rows: list[dict[str, float]], units: str) -> Table:
    named = f" ({units})" if units else ""
    digits = decimals((abs(row[name]) for row in rows for name in ("slope", "bias")), 3)
    columns = [
        Column(name="slope", label=f"slope a period{named}", kind="number", digits=digits),
        Column(name="power", kind="percent", digits=1),
        Column(name="bias", label="bias of the effect", kind="number", digits=digits),
        Column(name="bias_if_passed", label="bias if the test passes", kind="number", digits=digits),
        Column(name="likelihood_ratio", label="likelihood ratio to no trend", kind="ratio"),
        Column(name="bayes_factor", label="passing, against no trend", kind="ratio"),
    ]
    return Table(rows, columns, title="Linear trends that the pre-trend test finds with given power")


def _events(model: _Model, slope: float) -> Table:
    at = model.at
    rows = [
        {
            "event": int(event),
            "estimate": float(value),
            "se": float(error),
            "trend": float(trend),
            "expected_if_passed": float(mean),
        }
        for event, value, error, trend, mean in zip(
            np.delete(at.grid, int(at.reference - at.grid[0])),
            at.beta,
            np.sqrt(np.diag(at.vcov)),
            slope * model.line,
            model.expected(slope),
            strict=True,
        )
    ]
    digits = decimals((float(row["se"]) for row in rows), 3)
    columns = [
        Column(name="event", kind="count"),
        Column(name="estimate", kind="number", digits=digits),
        Column(name="se", label="SE", kind="number", digits=digits),
        Column(name="trend", kind="number", digits=digits),
        Column(name="expected_if_passed", label="expected if the test passes", kind="number", digits=digits),
    ]
    return Table(rows, columns, title=f"A trend of {slope:.3g} a period, by event")


def _notes(model: _Model, size: float) -> tuple[str, ...]:
    from scipy.special import chdtrc

    joint = format_p_value(float(chdtrc(model.rank, model.wald)))
    count = int(model.known.sum())
    words = {
        "individual": f"any of {count} estimates before treatment significant at {model.alpha:g} by itself",
        "joint": f"Wald test of {count} estimates before treatment at {model.alpha:g}",
    }
    shown = f"p {joint}" if joint.startswith("<") else f"p = {joint}"
    result = (
        f"Here it {'rejects' if model.rejects else 'passes'}; joint test {shown}. "
        "Bias is of the effect named, by the trend continued; no effect is assumed before treatment."
    )
    return (
        f"Test: {words[model.test]}; it rejects {format_number(100 * size, 1)}% of the time without a trend.",
        result,
    )
