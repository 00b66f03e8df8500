"""Serial correlation of the errors of a panel: two tests that hold with short panels and unit effects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wwc_eval.did.absorb import Absorber
from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.panel import Panel
from wwc_eval.did.sample import Sample, sample_of
from wwc_eval.errors import DesignError
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats
from wwc_eval.table import Column, Grid, Rendered, Table

__all__ = ["SerialCorrelation", "serial_correlation"]

ROUNDING = 1e-24
"""Squares this small beside those of the outcomes are rounding."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SerialCorrelation(Rendered):
    """Tests of no serial correlation, and the correlation from one period to the next.

    Parameters
    ----------
    overall : Estimate
        First-order autocorrelation of the errors, from the regression of first differences.
    estimates : EffectEstimates
        One row a test, the column ``test`` first.
    panel : Panel
        The panel.
    """

    overall: Estimate
    estimates: EffectEstimates
    panel: Panel

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows by test."""
        return self.estimates.to_dicts()

    def _grid(self) -> Grid:
        rows = [
            {"test": key["test"], "estimate": item.estimate, "statistic": item.statistic, "p_value": item.p_value}
            for key, item in zip(self.estimates.keys, self.estimates, strict=True)
        ]
        columns = [
            Column(name="test"), Column(name="estimate", label="autocorrelation", kind="number"),
            Column(name="statistic", kind="number", digits=2), Column(name="p_value", label="p", kind="p_value"),
        ]  # fmt: skip
        return Table(rows, columns)._grid()

    def _title(self) -> str:
        return "Serial correlation of the errors: the hypothesis is that there is none"

    def _notes(self) -> tuple[str, ...]:
        return (
            (
                "Errors of two-way fixed effects. Where they are correlated, errors must be clustered by unit (they are, "
                "in every estimator here), and power is that of a correlated panel."
            ),
            *(item.citation for item in self.estimates),
        )


def serial_correlation(panel: Panel, *, level: float = 0.95) -> SerialCorrelation:
    """Test whether the errors of a unit are correlated from one period to the next.

    Parameters
    ----------
    panel : Panel
        The panel; pairs of periods with a gap between them are not used. Weights of the panel enter the fit whose errors
        Born and Breitung's test takes, and no other sum: the question is of each unit's errors, not of a population.
    level : float
        Coverage of the interval of the autocorrelation.

    Returns
    -------
    SerialCorrelation
        Rows ``wooldridge`` and ``born_breitung``.

    Raises
    ------
    DesignError
        If there are fewer than four periods, or the panel has no units.

    Notes
    -----
    Wooldridge: residuals of the regression in first differences are regressed on their lag, errors clustered by unit; white
    noise in levels makes the coefficient -1/2, an AR(1) of autocorrelation r makes it (r - 1) / 2, so
    ``r = 2 b + 1``. Born and Breitung (HR): with u the residual that keeps the unit effect, ``z_i = sum_t (u_it less the
    mean from t on)(u_i,t-1 less the mean up to t - 1)`` has mean zero without correlation, whatever the variances;
    the statistic is ``sum z_i / sqrt(sum z_i^2 - (sum z_i)^2 / n)``. Sources: Wooldridge (2010), Econometric Analysis of
    Cross Section and Panel Data, section 10.6.3; Drukker (2003), doi:10.1177/1536867X0300300206; Born and
    Breitung (2016), doi:10.1080/07474938.2014.976524.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(2)
    >>> walk = rng.normal(size=(50, 12)).cumsum(axis=1)
    >>> data = pd.DataFrame([(la, t, walk[la, t]) for la in range(50) for t in range(12)], columns=["la", "t", "y"])
    >>> panel = Panel(data.assign(g=6 * (data.la < 5)), unit="la", period="t", outcome="y", cohort="g")
    >>> serial_correlation(panel).overall.estimate > 0.7
    True
    """
    sample = sample_of(panel, "serial_correlation")
    if sample.n_periods < 4:
        raise DesignError(f"{sample.n_periods} periods, a test of serial correlation needs at least 4")
    rows = [_wooldridge(sample, level), _born_breitung(sample, level)]
    return SerialCorrelation(
        overall=rows[0],
        estimates=EffectEstimates(rows, [{"test": "wooldridge"}, {"test": "born_breitung"}]),
        panel=panel,
    )


def _wooldridge(sample: Sample, level: float) -> Estimate:
    steps = np.diff(sample.times) == 1
    present = (sample.weights > 0)[:, 1:] & (sample.weights > 0)[:, :-1] & steps
    change = np.where(present, np.diff(sample.outcomes, axis=1), 0.0)
    moved = np.where(present, np.diff(sample.treated.astype(float), axis=1), 0.0)
    counts = np.maximum(present.sum(axis=0), 1)
    change, moved = (np.where(present, v - v.sum(axis=0) / counts, 0.0) for v in (change, moved))
    size = float((moved**2).sum())
    left = change - (float((moved * change).sum()) / size if size > 0 else 0.0) * moved
    pairs = present[:, 1:] & present[:, :-1]
    x, y = np.where(pairs, left[:, :-1], 0.0), np.where(pairs, left[:, 1:], 0.0)
    square = float((x**2).sum())
    n = len(np.unique(sample.clusters[pairs.any(axis=1)]))
    if n < 2:
        raise DesignError(
            f"{n} clusters are seen in three periods in a row, a test of serial correlation needs at least 2",
            fix="leave out cluster= of the panel, or use a panel with fewer gaps",
        )
    if not square > ROUNDING * float((np.where(sample.present, sample.outcomes, 0.0) ** 2).sum()):
        raise DesignError("the outcome does not change but by unit and period effects: no errors are left to test")
    slope = float((x * y).sum()) / square
    scores = (x * (y - slope * x)).sum(axis=1)
    groups = np.bincount(sample.clusters, weights=scores)
    se = math.sqrt(float((groups**2).sum()) * n / (n - 1)) / square
    return Estimate.from_normal(
        term="autocorrelation",
        estimate=2.0 * slope + 1.0,
        se=2.0 * se,
        df=float(n - 1),
        level=level,
        scale="correlation",
        method="Wooldridge test: residuals in first differences on their lag, errors clustered",
        citation="Wooldridge 2010, section 10.6.3; Drukker 2003, doi:10.1177/1536867X0300300206",
        n=int(pairs.sum()),
        n_clusters=n,
        details={"slope": slope},
    )


def _born_breitung(sample: Sample, level: float) -> Estimate:
    left = _with_unit_effects(sample)
    present = sample.weights > 0
    n, T = left.shape
    z, norm = np.zeros(n), 0.0
    filled = np.where(present, left, 0.0)
    before, count_before = np.cumsum(filled, axis=1), np.cumsum(present, axis=1)
    after = np.cumsum(filled[:, ::-1], axis=1)[:, ::-1]
    count_after = np.cumsum(present[:, ::-1], axis=1)[:, ::-1]
    for t in range(2, T - 1):
        pair = present[:, t] & present[:, t - 1]
        if sample.times[t] - sample.times[t - 1] != 1:
            continue
        forward = left[:, t] - after[:, t] / np.maximum(count_after[:, t], 1)
        backward = left[:, t - 1] - before[:, t - 1] / np.maximum(count_before[:, t - 1], 1)
        z += np.where(pair, forward * backward, 0.0)
        norm += float(np.where(pair, backward**2, 0.0).sum())
    groups = np.bincount(sample.clusters, weights=z)
    spread = float((groups**2).sum() - groups.sum() ** 2 / len(groups))
    if not spread > 0:
        raise DesignError("the errors do not vary")
    statistic = float(groups.sum()) / math.sqrt(spread)
    from scipy import special

    value = float(groups.sum()) / norm
    return Estimate(
        term="autocorrelation",
        estimate=value,
        se=abs(value / statistic) if statistic else math.nan,
        df=math.inf,
        statistic=statistic,
        p_value=2.0 * float(special.ndtr(-abs(statistic))),
        ci_low=math.nan,
        ci_high=math.nan,
        level=level,
        scale="correlation",
        method="Born-Breitung heteroskedasticity-robust test: residual less later mean, on its lag less earlier mean",
        citation="Born and Breitung 2016, doi:10.1080/07474938.2014.976524",
        n=sample.n_cells,
        n_clusters=len(groups),
        details={"estimate_is": "slope of the two demeaned residuals, biased for the autocorrelation"},
    )


def _with_unit_effects(sample: Sample) -> Floats:
    """Outcome less period effects and the effect of treatment; unit effects stay in."""
    absorber = Absorber.of(sample.weights)
    treated = sample.treated.astype(float)
    joint = np.stack([sample.outcomes, treated], axis=2)
    left = absorber.residual(joint)
    weights = sample.weights
    size = float((weights * left[:, :, 1] ** 2).sum())
    slope = float((weights * left[:, :, 0] * left[:, :, 1]).sum()) / size if size > 0 else 0.0
    rest = sample.outcomes - slope * treated
    _, periods = absorber.effects(np.where(sample.present, rest, 0.0)[:, :, None])
    return np.asarray(rest - periods[0, :, 0])
