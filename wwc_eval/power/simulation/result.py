"""What a simulation returns: power, bias, coverage and exaggeration of every analysis, each with its Monte Carlo error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, did_you_mean
from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.small_matrices import Array
from wwc_eval.table import Column, Grid, Rendered, Table

__all__ = ["AnalysisRecord", "Simulation", "recorded"]

FIELDS = (
    "power", "power_mc_se", "type_one", "type_one_mc_se", "bias", "bias_mc_se", "coverage", "coverage_mc_se", "type_m",
    "type_m_mc_se", "type_s", "type_s_mc_se", "mean_se", "empirical_se", "median_df", "boundary", "failed",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AnalysisRecord:
    """How one analysis did over the replicates; NaN where it says nothing of a figure.

    Parameters
    ----------
    analysis : str
        Its name.
    truth : float
        The effect on the scale of its estimate.
    power, power_mc_se : float
        Share of replicates whose test rejects, and its Monte Carlo error. Replicates without a fit do not reject.
    type_one, type_one_mc_se : float
        The same where there is no effect.
    bias, bias_mc_se : float
        Mean estimate less truth.
    coverage, coverage_mc_se : float
        Share of intervals that hold the truth.
    type_m, type_m_mc_se : float
        Mean of |estimate| / |truth| among replicates that reject: how much significant results exaggerate.
    type_s, type_s_mc_se : float
        Share of them with the wrong sign.
    mean_se, empirical_se, median_df : float
        Mean standard error, SD of the estimates, median degrees of freedom.
    boundary, failed : float
        Shares of replicates with a variance estimated as zero, and without a fit.
    """

    analysis: str
    truth: float
    reps: int
    power: float
    power_mc_se: float
    type_one: float
    type_one_mc_se: float
    bias: float
    bias_mc_se: float
    coverage: float
    coverage_mc_se: float
    type_m: float
    type_m_mc_se: float
    type_s: float
    type_s_mc_se: float
    mean_se: float
    empirical_se: float
    median_df: float
    boundary: float
    failed: float


def recorded(
    name: str, fits: ReplicateFits, truth: float, *, alpha: float, null: ReplicateFits | None
) -> AnalysisRecord:
    """Summary of the fits of one analysis."""
    from scipy import special

    reps = len(fits)
    good = ~fits.failed
    rejects = good & (np.nan_to_num(fits.p_value, nan=1.0) <= alpha * (1.0 + 1e-12))
    power, power_se = _share(rejects)
    is_null = truth == 0.0
    one, one_se = (power, power_se) if is_null else _rejections(null, alpha)
    error = fits.estimate[good] - truth
    normal = np.isinf(fits.df[good])
    with np.errstate(invalid="ignore"):
        bar = np.where(
            normal, -special.ndtri(alpha / 2), -special.stdtrit(np.where(normal, 1.0, fits.df[good]), alpha / 2)
        )
        covered = np.abs(error) <= bar * fits.se[good]
    usable = np.isfinite(fits.se[good])
    coverage, coverage_se = _share(covered[usable])
    significant = fits.estimate[rejects]
    wrong, wrong_se = (math.nan, math.nan) if is_null else _share(significant * truth < 0)
    large, large_se = (math.nan, math.nan) if is_null else _mean(np.abs(significant / truth))
    bias, bias_se = _mean(error)
    return AnalysisRecord(
        analysis=name, truth=truth, reps=reps, power=power, power_mc_se=power_se, type_one=one, type_one_mc_se=one_se,
        bias=bias, bias_mc_se=bias_se, coverage=coverage, coverage_mc_se=coverage_se, type_m=large, type_m_mc_se=large_se,
        type_s=wrong, type_s_mc_se=wrong_se, mean_se=_mean(fits.se[good][usable])[0],
        empirical_se=float(np.std(error, ddof=1)) if error.size > 1 else math.nan,
        median_df=float(np.median(fits.df[good][usable])) if usable.any() else math.nan,
        boundary=float(fits.boundary.mean()), failed=float(fits.failed.mean()),
    )  # fmt: skip


def _rejections(fits: ReplicateFits | None, alpha: float) -> tuple[float, float]:
    if fits is None:
        return math.nan, math.nan
    return _share(~fits.failed & (np.nan_to_num(fits.p_value, nan=1.0) <= alpha * (1.0 + 1e-12)))


def _share(hits: Any) -> tuple[float, float]:
    """A proportion and its Monte Carlo error."""
    if not len(hits):
        return math.nan, math.nan
    share = float(np.mean(hits))
    return share, math.sqrt(share * (1.0 - share) / len(hits))


def _mean(values: Array) -> tuple[float, float]:
    """A mean and its Monte Carlo error."""
    if len(values) < 2:
        return (float(values[0]) if len(values) else math.nan), math.nan
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Simulation(Rendered):
    """Simulated behaviour of one or more analyses of a planned trial.

    Figures of the first analysis are attributes (``.power``, ``.power_mc_se``, ``.type_one``, ``.bias``, ``.coverage``,
    ``.type_m``, ...); others are had by name, ``result["regression_cr2"].power``.

    Parameters
    ----------
    records : tuple of AnalysisRecord
        One an analysis.
    effect : float
        Effect in the outcome's units.
    reps : int
        Replicates.
    alpha, drift_sd : float
        Level of the tests, and SD of the drift between clusters and periods.
    design : str
        The design in one line.
    fits : mapping
        The replicates of each analysis.
    notes : tuple of str
        What a reader must know.
    """

    records: tuple[AnalysisRecord, ...]
    effect: float
    reps: int
    alpha: float
    drift_sd: float
    design: str
    fits: dict[str, ReplicateFits]
    notes: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> float:
        if name in FIELDS:
            return float(getattr(self.records[0], name))
        raise AttributeError(f"'{type(self).__name__}' has no attribute '{name}'")

    def __getitem__(self, analysis: str) -> AnalysisRecord:
        """Record of an analysis."""
        for record in self.records:
            if record.analysis == analysis:
                return record
        names = [record.analysis for record in self.records]
        raise DesignError(f"'{analysis}' was not simulated", fix=did_you_mean(str(analysis), names))

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row an analysis: analysis, effect, truth, reps, and every figure with its Monte Carlo error."""
        return [
            {"analysis": r.analysis, "effect": self.effect, "truth": r.truth, "reps": r.reps}
            | {name: getattr(r, name) for name in FIELDS}
            for r in self.records
        ]

    def _grid(self) -> Grid:
        word = "type I error" if self.records[0].truth == 0 else "power"
        columns = [
            Column(name="analysis"),
            Column(name="power", label=word, kind="percent", digits=1),
            Column(name="power_mc_se", label="MC error", kind="percent", digits=2),
            Column(name="bias", kind="number", digits=4),
            Column(
                name="coverage",
                label=f"coverage of {100 * (1 - self.alpha):g}% intervals",
                kind="percent",
                digits=1,
            ),
            Column(name="type_m", label="exaggeration", kind="number", digits=2),
            Column(name="median_df", label="df (median)", kind="number", digits=1),
            Column(name="boundary", label="singular", kind="percent", digits=1),
            Column(name="failed", kind="percent", digits=1),
        ]
        names = [column.name for column in columns]
        rows = [{name: row[name] for name in names} for row in self.to_dicts()]
        return Table(rows, columns)._grid()

    def _title(self) -> str:
        drift = f", drift SD {self.drift_sd:g}" if self.drift_sd else ""
        return f"{self.design}: effect {self.effect:g}{drift}, {self.reps:,} replicates, level {self.alpha:g}"

    def _notes(self) -> tuple[str, ...]:
        return self.notes
