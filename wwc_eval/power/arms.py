"""Trials of several arms: every comparison, with its multiplicity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError, check_choice
from wwc_eval.power.checks import Frozen, check_numbers
from wwc_eval.power.kernels import NORMAL, Array, critical, t_power
from wwc_eval.power.nested import degrees_of_freedom, effect_variance, units_in_all
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from wwc_eval.power.trial import Trial

__all__ = ["ADJUSTMENTS", "MultiArm", "dunnett_critical"]

ADJUSTMENTS = ("none", "bonferroni", "holm", "dunnett")
Rng = int | np.random.Generator | np.random.SeedSequence | None


@dataclass(frozen=True, kw_only=True, eq=False)
class MultiArm(Frozen):
    """A trial of several arms: ``trial.arms((0.4, 0.3, 0.3))``.

    Parameters
    ----------
    trial : Trial
        The trial; its ``allocation`` is not used.
    shares : tuple of float
        Share of the assigned units in each arm, the control arm first; they sum to 1.
    names : tuple of str
        Names of the arms; "control", "arm 1", ... where they are not given.

    Examples
    --------
    >>> from wwc_eval.power import Level, Trial
    >>> trial = Trial(levels=[Level("child", 20), Level("team", 60, icc=0.05)], assigned="team")
    >>> table = trial.arms((1 / 3, 1 / 3, 1 / 3)).comparisons(effects=(0.3, 0.3), adjust="dunnett")
    >>> [round(row["power"], 3) for row in table]
    [0.777, 0.777]
    """

    trial: Trial
    shares: tuple[float, ...]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the shares are those of two arms or more."""
        shares = np.atleast_1d(check_numbers("shares", self.shares, above=0, below=1))
        if len(shares) < 2:
            raise DesignError(f"{len(shares)} share, a trial has at least two arms")
        if abs(float(np.sum(shares)) - 1.0) > 1e-9:
            raise DesignError(f"the shares of the arms sum to {float(np.sum(shares)):g}, must be 1")
        self._set("shares", tuple(float(s) for s in shares))
        names = self.names or ("control", *(f"arm {i}" for i in range(1, len(shares))))
        if len(names) != len(shares) or len(set(names)) < len(names):
            raise DesignError(
                f"{len(names)} names for {len(shares)} arms, must be one for each", fix="control first"
            )
        self._set("names", tuple(names))
        if self.trial.groups is not None:
            raise DesignError("several arms with groups in one arm only have no formula here", fix="simulate it")
        if np.any(self._df() < 1):
            raise DesignError(
                f"{float(np.min(self._df())):g} degrees of freedom with {len(shares)} arms, must be >= 1"
            )

    def _df(self) -> Array:
        """Degrees of freedom: those of two arms less one (one a block, if fixed) for each further arm."""
        trial, more = self.trial, len(self.shares) - 2
        lost = np.asarray(float(more))
        if trial.df is not None:
            lost = np.asarray(0.0)
        elif trial.at < len(trial.levels) - 1:
            blocks = units_in_all(trial, trial.at + 1)
            lost = {"random": np.asarray(0.0), "fixed": more * blocks, "constant": lost}[trial.block_effects]
        return np.asarray(degrees_of_freedom(trial) - lost)

    def comparisons(
        self,
        effects: Sequence[float] | Mapping[str, float],
        *,
        against: Literal["control", "pairwise"] = "control",
        adjust: Literal["none", "bonferroni", "holm", "dunnett"] = "none",
        alpha: float = 0.05,
        reps: int = 200_000,
        rng: Rng = None,
    ) -> Table:
        """Power of every comparison of arms.

        Parameters
        ----------
        effects : sequence or mapping of float
            Effect of each arm but the control, against the control.
        against : {"control", "pairwise"}
            Every arm against the control, or every pair.
        adjust : {"none", "bonferroni", "holm", "dunnett"}
            Multiplicity. ``dunnett`` is for comparisons with the control. ``holm`` is simulated.
        alpha : float
            Family-wise level, two-sided.
        reps, rng
            Replicates and seed of the simulation; with ``rng`` the power of any and of all comparisons is added, with
            Monte Carlo errors.

        Returns
        -------
        Table
            comparison, effect, df, ncp, power, power_mc_se (0 where exact).

        Notes
        -----
        Statistics are multivariate t: correlated by the arms that comparisons share, one estimate of variance. Dunnett's
        critical value is had by quadrature, exactly, for arms of equal variance.
        Sources: Dunnett 1955 (doi:10.1080/01621459.1955.10501294); Holm 1979 (Scandinavian Journal of Statistics 6).
        """
        check_choice("against", against, ("control", "pairwise"))
        check_choice("adjust", adjust, ADJUSTMENTS)
        level = float(check_numbers("alpha", alpha, above=0, below=1))
        if adjust == "dunnett" and against == "pairwise":
            raise DesignError("Dunnett's test compares with the control, not every pair", fix="adjust='holm'")
        if adjust == "holm" and rng is None:
            raise DesignError("the power of Holm's procedure is simulated", fix="give rng, such as rng=1")
        given = [effects[name] for name in self.names[1:]] if isinstance(effects, Mapping) else list(effects)
        if len(given) != len(self.shares) - 1:
            raise DesignError(f"{len(given)} effects for {len(self.shares) - 1} arms beside the control")
        pairs = [(i, j) for i in range(len(self.shares)) for j in range(i + 1, len(self.shares))]
        pairs = pairs if against == "pairwise" else [(i, j) for i, j in pairs if i == 0]
        ncp, loadings = self._statistics(given, pairs)
        df = float(self._df())
        m = len(pairs)
        bar = float(critical(df, level / m if adjust in {"bonferroni", "holm"} else level, 2))
        if adjust == "dunnett":
            bar = dunnett_critical(df, self._lambdas(), level)
        powers = t_power(ncp, df, alpha=level, stretch=bar / float(critical(df, level, 2)))
        errors = np.zeros(m)
        notes = [f"{adjust} adjustment, family-wise level {level:g}." if adjust != "none" else "Not adjusted."]
        if rng is not None:
            hits = _rejections(ncp, loadings, df, level, bar, holm=adjust == "holm", reps=reps, rng=rng)
            if adjust == "holm":
                powers = hits.mean(axis=0)
                errors = np.sqrt(powers * (1.0 - powers) / reps)
            for word, share in (("any", hits.any(axis=1).mean()), ("all", hits.all(axis=1).mean())):
                error = math.sqrt(share * (1.0 - share) / reps)
                notes.append(
                    f"Power of {word} of them: {100 * share:.1f}% (Monte Carlo error {100 * error:.2f} points)."
                )
        return self._table(given, pairs, ncp=ncp, df=df, powers=powers, errors=errors, notes=notes)

    def _table(
        self,
        given: list[float],
        pairs: list[tuple[int, int]],
        *,
        ncp: Array,
        df: float,
        powers: Array,
        errors: Array,
        notes: list[str],
    ) -> Table:
        full = [self.trial.outcome.null, *given]
        rows: list[dict[str, Any]] = [
            {
                "comparison": f"{self.names[j]} - {self.names[i]}",
                "effect": _between(full[i], full[j], self.trial.outcome.null),
                "df": df,
                "ncp": float(ncp[at]),
                "power": float(powers[at]),
                "power_mc_se": float(errors[at]),
            }
            for at, (i, j) in enumerate(pairs)
        ]
        columns = [
            Column(name="comparison"),
            Column(name="effect", label=f"effect ({self.trial.outcome.words()})", kind="number", digits=3),
            Column(name="df", kind="number", digits=1),
            Column(name="ncp", label="noncentrality", kind="number", digits=3),
            Column(name="power", kind="percent", digits=1),
            Column(name="power_mc_se", label="Monte Carlo error", kind="percent", digits=2),
        ]
        return Table(rows, columns, title=f"{len(self.shares)} arms; {self.trial.describe()}", notes=notes)

    def _statistics(self, given: list[float], pairs: list[tuple[int, int]]) -> tuple[Array, Array]:
        """Noncentrality of each comparison, and what each arm's estimate adds to its standard normal."""
        trial = self.trial
        means = [trial.outcome.means(trial.outcome.null)[1], *(self._mean(effect) for effect in given)]
        ncp, loadings = np.zeros(len(pairs)), np.zeros((len(pairs), len(means)))
        for at, (i, j) in enumerate(pairs):
            pooled = self.shares[i] + self.shares[j]
            pair = trial.with_level(trial.assigned, n=trial.levels[trial.at].n * pooled).replace(
                allocation=self.shares[j] / pooled, df=math.inf
            )
            components = pair._parts(means[j], means[i])[0]
            variance = float(effect_variance(pair, components))
            ncp[at] = float(trial.outcome.distance(means[j], means[i])) / math.sqrt(variance)
            # equal variances an arm: the share of each in the difference
            loadings[at, j], loadings[at, i] = (
                math.sqrt(self.shares[i] / pooled),
                -math.sqrt(self.shares[j] / pooled),
            )
        return ncp, loadings

    def _mean(self, effect: float) -> Array:
        trial = self.trial
        trial.outcome.check_effect(effect)
        if np.any(np.asarray(trial.crossover) > 0):
            raise DesignError(
                "crossover between several arms has no formula here", fix="crossover=0, or simulate it"
            )
        return trial.outcome.diluted(effect, dilution=trial.dilution, crossover=0.0)[0]

    def _lambdas(self) -> Array:
        """Correlation of the comparisons with the control is the product of these."""
        control = self.shares[0]
        return np.array([math.sqrt(share / (share + control)) for share in self.shares[1:]])


def _between(first: float, second: float, null: float) -> float:
    return second - first if null == 0 else second / first


def dunnett_critical(df: float, lambdas: Array, alpha: float) -> float:
    """Critical value of Dunnett's two-sided test: P(max |T_i| > c) = alpha, correlations lambda_i lambda_j.

    Examples
    --------
    >>> round(dunnett_critical(20.0, np.array([0.5**0.5] * 3), 0.05), 3)
    2.54
    """
    low = float(critical(df, alpha, 2))
    high = float(critical(df, alpha / len(lambdas), 2)) + 1e-9
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _beyond(middle, df, lambdas) > alpha else (low, middle)
    return 0.5 * (low + high)


def _beyond(bar: float, df: float, lambdas: Array) -> float:
    """P(max |T_i| > bar) by Gauss-Hermite over what is shared and the trapezoidal rule over log S."""
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    if df < NORMAL:
        width = 8.5 / math.sqrt(2.0 * df)
        x = np.linspace(-width - 36.0 / (2.0 * df), min(width, 2.5), 400)
        spread = np.exp(df * (x - 0.5 * np.expm1(2.0 * x)))
        spread, s = spread / spread.sum(), np.exp(x)
    else:
        spread, s = np.ones(1), np.ones(1)
    inside = np.ones((len(z), len(s)))
    for lam in lambdas:
        rest = math.sqrt(1.0 - lam * lam)
        up = special.ndtr((bar * s + lam * z[:, None]) / rest)
        inside *= up - special.ndtr((-bar * s + lam * z[:, None]) / rest)
    return float(1.0 - weight @ inside @ spread)


def _rejections(
    ncp: Array, loadings: Array, df: float, alpha: float, bar: float, *, holm: bool, reps: int, rng: Rng
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which comparisons are rejected in each replicate."""
    draws = np.random.default_rng(rng)
    z = draws.standard_normal((reps, loadings.shape[1])) @ loadings.T + ncp
    s = np.sqrt(draws.chisquare(df, reps) / df) if df < NORMAL else np.ones(reps)
    size = np.abs(z) / s[:, None]
    if not holm:
        return np.asarray(size > bar)
    order = np.argsort(-size, axis=1)
    ranked = np.take_along_axis(size, order, axis=1)
    m = len(ncp)
    bars = critical(df, alpha / (m - np.arange(m)), 2)
    passed = np.logical_and.accumulate(ranked > bars, axis=1)
    out = np.zeros_like(passed)
    np.put_along_axis(out, order, passed, axis=1)
    return out
