"""One generalised linear mixed model from arrays: separation, search, and the estimates at the optimum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError
from wwc_eval.inference.separation import Separation
from wwc_eval.multilevel.engine.modes import Modes
from wwc_eval.multilevel.engine.structure import Array, Index, arrange
from wwc_eval.multilevel.generalised.descent import LARGEST_SD, Optimum
from wwc_eval.multilevel.generalised.laplace import Laplace, Moment
from wwc_eval.multilevel.generalised.outcomes import Outcome
from wwc_eval.multilevel.generalised.prepare import Prepared, Sample, poisson_of, prepare
from wwc_eval.multilevel.generalised.quadrature import Quadrature
from wwc_eval.multilevel.generalised.search import search
from wwc_eval.multilevel.generalised.starting import separation_of, spanning, start_of

__all__ = ["Solution", "blocks_of", "objective_of", "solve"]

POISSON_LIMIT = -10.0
"""Log dispersion below which a negative binomial is its Poisson limit for any purpose."""
NO_GAIN = 5e-7
"""A dispersion that raises the log-likelihood by less than this is none."""
NEAR_POISSON = -3.0
START_DISPERSION = -0.7
"""Log dispersion to start from."""
RUNAWAY = LARGEST_SD / 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """A fitted model on arrays.

    Parameters
    ----------
    sample : Sample
        Arrays as given.
    points : int
        Quadrature points; 1 is Laplace's approximation.
    separation : Separation, optional
        Directions in which the likelihood has no maximum.
    rows : (n,) of bool
        Rows that inform the fit; all of them unless separated.
    columns : (k,) integers
        Columns of the fit.
    estimable : (p,) of bool
        Columns whose coefficient is finite and identified.
    prepared : Prepared, optional
        Collapsed rows; None where separation left nothing to fit.
    optimum : Optimum, optional
        Where the search ended.
    poisson_limit : bool
        Whether a negative binomial fit ended at its Poisson limit.
    """

    sample: Sample
    points: int
    separation: Separation | None
    rows: NDArray[np.bool_]
    columns: Index
    estimable: NDArray[np.bool_]
    prepared: Prepared | None
    optimum: Optimum | None
    poisson_limit: bool = False

    @property
    def trouble(self) -> str:
        """Empty, or why there is no trustworthy optimum."""
        if self.prepared is None or self.optimum is None:
            return "separation left too few rows or groups to fit"
        if self.runaway:
            return (
                f"the variance of {self.runaway[0]} grows without bound: outcomes within its groups are all alike"
            )
        if not np.isfinite(self.optimum.value):
            return self.optimum.message or "the likelihood could not be evaluated at the end of the search"
        return self.optimum.message

    @cached_property
    def runaway(self) -> tuple[str, ...]:
        """Factors whose variance has no finite estimate."""
        if self.prepared is None or self.optimum is None:
            return ()
        k = self.prepared.roots.size
        root = self.prepared.roots.root(self.optimum.psi[:k])
        spread = np.sqrt((root**2).sum(1))
        return tuple(
            grouping.name
            for grouping, part in zip(self.prepared.groupings, self.prepared.layout.parts, strict=True)
            if spread[part].max() > RUNAWAY
        )

    @cached_property
    def objective(self) -> Laplace:
        """The function that was minimised."""
        assert self.prepared is not None
        return objective_of(self.prepared, self.points, self.outcome)

    @property
    def outcome(self) -> Outcome:
        """Distribution that was fitted: the Poisson limit where a negative binomial reached it."""
        assert self.prepared is not None
        return poisson_of(self.prepared.outcome) if self.poisson_limit else self.prepared.outcome

    @property
    def p(self) -> int:
        """Fixed effects, those without an estimate included."""
        return int(self.sample.X.shape[1])

    @cached_property
    def beta(self) -> Array:
        """Fixed effects (p,), NaN where there is no finite estimate."""
        found = np.full(self.p, np.nan)
        if self.prepared is not None and self.optimum is not None and np.isfinite(self.optimum.value):
            k, q = self.prepared.roots.size, len(self.columns)
            found[self.columns] = self.prepared.beta(self.optimum.psi[k : k + q])
            found[~self.estimable] = np.nan
        return found

    @cached_property
    def inner_beta(self) -> Array:
        """Coefficients of the columns that were fitted (k,)."""
        assert self.prepared is not None
        assert self.optimum is not None
        k, q = self.prepared.roots.size, len(self.columns)
        return self.prepared.beta(self.optimum.psi[k : k + q])

    @cached_property
    def joint_covariance(self) -> Array:
        """Covariance of variance parameters, fitted coefficients (units of the data) and log dispersion."""
        assert self.prepared is not None
        assert self.optimum is not None
        k, q = self.prepared.roots.size, len(self.columns)
        back = np.eye(len(self.optimum.psi))
        back[k : k + q, k : k + q] = np.linalg.inv(self.prepared.X_root)
        return np.asarray(back @ self.optimum.covariance @ back.T)

    @cached_property
    def vcov(self) -> Array:
        """Covariance of the fixed effects (p, p), NaN where there is no estimate."""
        found = np.full((self.p, self.p), np.nan)
        if self.prepared is not None and self.optimum is not None and not self.trouble:
            k, q = self.prepared.roots.size, len(self.columns)
            found[np.ix_(self.columns, self.columns)] = self.joint_covariance[k : k + q, k : k + q]
            found[~self.estimable] = np.nan
            found[:, ~self.estimable] = np.nan
        return found

    @cached_property
    def covariances(self) -> tuple[Array, ...]:
        """Covariance of the random effects of each factor, in the order of the sample."""
        if self.prepared is None or self.optimum is None:
            return tuple(np.full((g.width, g.width), np.nan) for g in self.sample.groupings)
        inner = self.prepared.covariances(self.optimum.psi[: self.prepared.roots.size])
        names = [grouping.name for grouping in self.prepared.groupings]
        return tuple(inner[names.index(grouping.name)] for grouping in self.sample.groupings)

    @property
    def dispersion(self) -> float | None:
        """Size k of NB2 (variance ``mu + mu^2 / k``), alpha of NB1 (variance ``mu (1 + alpha)``), else None."""
        if not self.sample.dispersed:
            return None
        second = self.sample.family == "negative_binomial"
        if self.poisson_limit:
            return np.inf if second else 0.0
        if self.optimum is None:
            return np.nan
        phi = float(self.optimum.psi[-1])
        return float(np.exp(-phi if second else phi))

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood with all its constants."""
        return np.nan if self.optimum is None else -self.optimum.value

    # --- random effects

    @cached_property
    def moment(self) -> Moment:
        """The approximation at the optimum."""
        assert self.optimum is not None
        found = self.objective.at(self.optimum.psi)
        assert found is not None
        return found

    @cached_property
    def modes(self) -> dict[str, Modes]:
        """Conditional modes of every factor by group of the data; groups without rows have NaN.

        The covariance of the prediction error adds to the conditional one how the mode moves with the estimated
        parameters (all of them), as glmmTMB does.
        """
        assert self.prepared is not None
        at, layout = self.moment, self.prepared.layout
        _, own = at.factor.inverse()
        shifts = self._mode_shifts()
        covariance = np.zeros((0, 0)) if self.optimum is None else self.optimum.covariance
        free = np.zeros(0, dtype=bool) if self.optimum is None else self.optimum.free
        inner = covariance[np.ix_(free, free)]
        found = {}
        for level, (grouping, part) in enumerate(zip(self.prepared.groupings, layout.parts, strict=True)):
            back = np.linalg.inv(self.prepared.bases[level])
            root = back @ at.root[part, part]
            conditional = root @ own[level] @ root.T
            moved = np.einsum("ij,pgj->gip", back, shifts[level])
            found[grouping.name] = self._by_label(
                level,
                Modes(
                    mean=at.effects[level] @ root.T,
                    conditional=conditional,
                    prediction=conditional + moved @ inner @ moved.swapaxes(1, 2),
                ),
            )
        return found

    def _mode_shifts(self) -> list[Array]:
        """Derivatives of the modes b in the search's basis by the free parameters, (c, G, q) by factor."""
        assert self.prepared is not None
        assert self.optimum is not None
        optimum, objective = self.optimum, self.objective
        size = np.sqrt(np.maximum(np.diag(optimum.covariance), 1e-300))
        shifts: list[list[Array]] = [[] for _ in self.prepared.groupings]
        for k in np.flatnonzero(optimum.free):
            step = np.zeros_like(optimum.psi)
            step[k] = 1e-4 * size[k]
            ends = []
            for sign in (1.0, -1.0):
                at = objective.at(optimum.psi + sign * step)
                assert at is not None
                parts = self.prepared.layout.parts
                ends.append([each @ at.root[p, p].T for each, p in zip(at.effects, parts, strict=True)])
            for level, (up, down) in enumerate(zip(*ends, strict=True)):
                shifts[level].append((up - down) / (2.0 * step[k]))
        return [
            np.array(each).reshape(-1, count, width)
            for each, count, width in zip(
                shifts, self.prepared.layout.n_groups, self.prepared.layout.widths, strict=True
            )
        ]

    def _by_label(self, level: int, modes: Modes) -> Modes:
        """Modes of the groups of the data, in the data's codes."""
        assert self.prepared is not None
        inner = self.prepared.groupings[level]
        whole = next(grouping for grouping in self.sample.groupings if grouping.name == inner.name)
        place = {label: code for code, label in enumerate(whole.labels)}
        at = [place[inner.labels[code]] for code in self.prepared.labels[level]]

        def spread(values: Array) -> Array:
            found = np.full((whole.n_groups, *values.shape[1:]), np.nan)
            found[at] = values
            return found

        return Modes(
            mean=spread(modes.mean), conditional=spread(modes.conditional), prediction=spread(modes.prediction)
        )


def objective_of(prepared: Prepared, points: int, outcome: Outcome | None = None) -> Laplace:
    """The function to minimise."""
    chosen = prepared.outcome if outcome is None else outcome
    if points > 1:
        return Quadrature(chosen, prepared.X, prepared.layout, prepared.roots, points)
    return Laplace(chosen, prepared.X, prepared.layout, prepared.roots)


def blocks_of(prepared: Prepared) -> list[list[int]]:
    """Columns of the root that are correlated with each other."""
    found = []
    for grouping, part in zip(prepared.groupings, prepared.layout.parts, strict=True):
        found += [[part.start + k for k in block] for block in grouping.blocks]
    return found


def solve(sample: Sample, points: int = 1) -> Solution:
    """Fit one model.

    Parameters
    ----------
    sample : Sample
        Arrays of the model; X of full column rank.
    points : int
        Quadrature points; more than 1 needs one factor with a random intercept.
    """
    n, p = sample.X.shape
    rows, estimable = np.ones(n, dtype=bool), np.ones(p, dtype=bool)
    columns = np.arange(p, dtype=np.intp)
    prepared = prepare(sample)
    start = start_of(prepared)
    separation = separation_of(prepared) if start.suspicious else None
    if separation is not None:
        # the rows decided drop out: that is the limit of the likelihood
        rows, estimable = ~separation.rows[prepared.cell], ~separation.columns
        columns = spanning(sample.X[rows], estimable)
        rest = sample.take(rows, columns)
        if not _enough(rest):
            return Solution(
                sample=sample,
                points=points,
                separation=separation,
                rows=rows,
                columns=columns,
                estimable=np.zeros(p, dtype=bool),
                prepared=None,
                optimum=None,
            )
        prepared = prepare(rest)
        start = start_of(prepared)
    optimum, limit = _minimise(prepared, start.gamma, points)
    return Solution(
        sample=sample,
        points=points,
        separation=separation,
        rows=rows,
        columns=columns,
        estimable=estimable,
        prepared=prepared,
        optimum=optimum,
        poisson_limit=limit,
    )


def _minimise(prepared: Prepared, gamma: Array, points: int) -> tuple[Optimum, bool]:
    """Optimum, and whether it is the Poisson limit of a negative binomial model."""
    blocks = blocks_of(prepared)

    def found(outcome: Outcome, begin: Array | None = None) -> Optimum:
        extra = [START_DISPERSION] if outcome.dispersed else []
        start = np.concatenate([np.zeros(prepared.roots.size), gamma, extra]) if begin is None else begin
        sizes = None if begin is None else ()
        coarse = objective_of(prepared, 1, outcome) if points > 1 else None
        return search(objective_of(prepared, points, outcome), start, blocks=blocks, coarse=coarse, sizes=sizes)

    optimum = found(prepared.outcome)
    if not prepared.outcome.dispersed:
        return optimum, False
    # the Poisson limit may be a minimum of its own, far from the one found
    limit = found(poisson_of(prepared.outcome))
    if limit.value < optimum.value:
        near = found(prepared.outcome, np.append(limit.psi, NEAR_POISSON))
        optimum = min(optimum, near, key=lambda each: (bool(each.message), each.value))
    # far below any dispersion that counts can tell, unless they are huge, the search may not settle
    lost = optimum.psi[-1] < POISSON_LIMIT and bool(optimum.message)
    if limit.value <= optimum.value + NO_GAIN or lost:
        return limit, True
    return optimum, False


def _enough(sample: Sample) -> bool:
    """Whether rows and groups remain that a model can be fitted to."""
    if not len(sample.y) or len(sample.y) <= sample.X.shape[1] or not sample.X.shape[1]:
        return False
    if any(grouping.n_groups < 2 for grouping in sample.groupings):
        return False
    try:
        arrange(sample.groupings)
    except DesignError:
        return False  # two factors divide the remaining rows in the same way
    return True
