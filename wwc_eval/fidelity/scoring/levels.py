"""Units and raters as random effects: variances from a multilevel model, and what follows for every unit.

``y_i = mu + sum over levels of u_level(i) + r_rater(i) + e_i``; the true score of a unit is ``mu`` plus its own effect
and those of the units that it belongs to, at a rater of average severity. Given the variances, scores and their
errors solve Henderson's equations, with the lowest level swept out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import WwcError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wwc_eval.multilevel.linear import LinearFit

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["LevelScores", "Levels", "fit_levels"]

FEW_UNITS = 3
"""Units of a level below which no variance between them can be told: each then stands for itself."""
DIFFUSE = 1e4
"""Variance of units that stand for themselves, in variances of the scores."""
ALL_THE_SAME = "all scores are the same: nothing varies"


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelScores:
    """Scores of the units of one level.

    Parameters
    ----------
    estimate, se : array
        Empirical Bayes score and its standard error of prediction; missing where ``reason`` says why.
    df : float
        Degrees of freedom of intervals.
    reason : str
        Why there is no score, for all units of the level.
    """

    estimate: Floats
    se: Floats
    df: float
    reason: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Levels:
    """Scores of all levels from one model.

    Parameters
    ----------
    scores : mapping
        Unit: its scores.
    variances : mapping
        Unit, ``rater`` or ``residual``: variance.
    rater_effect : array
        Effect of each rater on a score, in points: below 0 where the rater scores low.
    rater_effect_se : array
        Its standard error of prediction.
    notes : tuple of str
        What was left out of the model and why.
    fit : LinearFit, optional
        The multilevel model behind the variances, where there is one.
    random : tuple of str
        Units that are its groupings ``level0``, ``level1``, ...
    """

    scores: Mapping[str, LevelScores]
    variances: Mapping[str, float]
    rater_effect: Floats
    rater_effect_se: Floats
    notes: tuple[str, ...]
    fit: LinearFit | None = None
    random: tuple[str, ...] = ()

    @cached_property
    def covariance(self) -> Floats | None:
        """Covariance of the estimated variances, in their order; None where no model gave them.

        From REML's expected information, in which a variance at 0 has one too. Where it cannot be had (units that stand for
        themselves in the model, more than 2,000 levels) it is from the curvature of the criterion, in which it has none.
        """
        from wwc_eval.fidelity.reliability.pivotal import component_covariance
        from wwc_eval.multilevel.small_sample.satterthwaite import variance_covariance

        if self.fit is None:
            return None
        named = {_unit(each.name, self.random): each.codes for each in self.fit.data.groupings}
        effects = [name for name in self.variances if name != "residual"]
        values = np.array([self.variances[name] for name in (*effects, "residual")])
        found = None
        if len(self.fit.terms) == 1:
            found, inner = component_covariance([named[name] for name in effects], values), effects
        if found is None:
            core: Any = self.fit.core
            _, found = variance_covariance(core.solution, core.sensitivity)
            inner = [_unit(each.name, self.random) for each in core.solution.problem.prepared.groupings]
        places = [len(inner) if name == "residual" else inner.index(name) for name in self.variances]
        return np.asarray(found[np.ix_(places, places)])

    @cached_property
    def pivots(self) -> Floats | None:
        """Variances (points, variances) that may have made the scores, for intervals; None where there are none."""
        from wwc_eval.fidelity.reliability.pivotal import pivots

        if self.covariance is None:
            return None
        units = list(self.scores)
        inside = {name: frozenset(units[units.index(name) :]) for name in units}
        inside |= {"rater": frozenset(["rater"]), "residual": frozenset([*units, "rater"])}
        sets = [inside[name] for name in self.variances]
        return pivots(np.array(list(self.variances.values())), self.covariance, sets)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """Which levels carry a variance, which stand for themselves, and which coincide with the level above."""

    random: tuple[str, ...]
    fixed: tuple[str, ...]
    same_as: Mapping[str, str]
    single: tuple[str, ...]
    notes: tuple[str, ...]


def fit_levels(
    y: Floats, units: Mapping[str, Ints], rater: Ints | None, sizes: Mapping[str, int] | None = None
) -> Levels:
    """Fit the model and give every unit its score.

    Parameters
    ----------
    y : array
        Score of each sheet; no value may be missing.
    units : mapping
        Unit: position of each sheet's unit, the lowest first.
    rater : array of int, optional
        Rater of each sheet, -1 for none; raters do not enter the model where it is missing.
    sizes : mapping, optional
        Unit, and ``rater``: how many there are, where some have no sheet.

    Returns
    -------
    Levels
    """
    names = list(units)
    sizes = sizes or {name: int(codes.max()) + 1 if len(codes) else 0 for name, codes in units.items()}
    spread = float(y.var()) if len(y) else 0.0
    if len(y) < 2 or spread == 0.0:
        return _constant(y, units, sizes)
    if _agree(y, units[names[0]], spread):
        return _known(y, units, sizes)
    plan = _plan(names, units, len(y))
    severe = rater is not None and _raters_can_be_told(rater)
    notes = list(plan.notes)
    if rater is not None and not severe:
        notes.append("Severity of raters is not in the model: fewer than three raters, or each has one sheet.")
    try:
        variances, fit = _variances(y, units, plan, rater if severe else None)
    except WwcError as error:
        return _unmodelled(y, units, sizes, str(error))
    if fit is not None and fit.status == "failed":
        notes.append(
            "The search for the variances did not end at a maximum: scores and errors rest on where it stopped."
        )
    judges = rater if severe else None
    found = _posterior(y, units, sizes, plan=plan, variances=variances, rater=judges, notes=tuple(notes))
    return replace(found, fit=fit, random=plan.random)


def _agree(y: Floats, codes: Ints, spread: float) -> bool:
    """Whether some of the lowest units have several sheets, and all sheets of a unit have the same score."""
    _, first, place = np.unique(codes, return_index=True, return_inverse=True)
    return len(first) < len(y) and bool((np.abs(y - y[first][place]) <= 1e-9 * np.sqrt(spread)).all())


def _known(y: Floats, units: Mapping[str, Ints], sizes: Mapping[str, int]) -> Levels:
    """Scores that are the same on every sheet of a lowest unit, such as visits in the record: each unit counts once."""
    lowest = next(iter(units))
    _, first = np.unique(units[lowest], return_index=True)
    found = fit_levels(y[first], {name: codes[first] for name, codes in units.items()}, None, sizes)
    estimate = np.full(sizes[lowest], np.nan)
    estimate[units[lowest]] = y
    own = LevelScores(estimate=estimate, se=np.where(np.isnan(estimate), np.nan, 0.0), df=np.inf)
    note = f"The score is the same on every sheet of a {lowest}: it is known, and raters do not enter."
    rest = (one for one in found.notes if not one.startswith(f"Every {lowest} has one rating sheet"))
    return replace(found, scores={**found.scores, lowest: own}, notes=(note, *rest))


def _raters_can_be_told(rater: Ints) -> bool:
    known = rater[rater >= 0]
    counts = np.bincount(known) if len(known) else np.zeros(0, dtype=np.int64)
    counts = counts[counts > 0]
    return len(counts) >= FEW_UNITS and int(counts.sum()) > len(counts)


def _plan(names: list[str], units: Mapping[str, Ints], rows: int) -> _Plan:
    random, fixed, single, notes = [], [], [], []
    same: dict[str, str] = {}
    finer: list[str] = []
    for name in reversed(names):
        count = len(np.unique(units[name]))
        coarser = finer[-1] if finer else None
        if count == rows:
            same[name] = "residual"
            notes.append(f"Every {name} has one rating sheet: its own variance cannot be told from error.")
        elif coarser is not None and len(np.unique(units[coarser])) == count:
            same[name] = coarser
            notes.append(f"Every {coarser} has one {name}: they have one variance.")
        elif count == 1:
            single.append(name)
        elif count < FEW_UNITS:
            fixed.append(name)
            notes.append(f"{count} units at level {name}: they are not shrunk, for no variance can be told.")
        else:
            random.append(name)
        if name not in same:
            finer.append(name)
    return _Plan(random=tuple(random), fixed=tuple(fixed), same_as=same, single=tuple(single), notes=tuple(notes))


def _variances(
    y: Floats, units: Mapping[str, Ints], plan: _Plan, rater: Ints | None
) -> tuple[dict[str, float], LinearFit | None]:
    """Variances by REML, and the model that they come from."""
    import pandas as pd

    from wwc_eval.multilevel import multilevel_model

    columns: dict[str, Floats | list[str]] = {"score": y}
    terms = ["score ~ 1"]
    for place, name in enumerate(plan.fixed):
        columns[f"fixed{place}"] = [f"u{code}" for code in units[name]]
        terms.append(f"fixed{place}")
    for place, name in enumerate(plan.random):
        columns[f"level{place}"] = [f"u{code}" for code in units[name]]
        terms.append(f"(1 | level{place})")
    if rater is not None:
        # a sheet without a rater is a rater of its own, whose effect nothing else shares
        columns["rater"] = [f"r{code}" if code >= 0 else f"none{row}" for row, code in enumerate(rater)]
        terms.append("(1 | rater)")
    if len(terms) == 1:
        return {"residual": float(y.var(ddof=1))}, None
    if len(terms) == 1 + len(plan.fixed):
        means = pd.DataFrame(columns).groupby(list(columns)[1:])["score"]
        within = float(((y - means.transform("mean").to_numpy()) ** 2).sum())
        return {"residual": within / (len(y) - means.ngroups)}, None
    fit: LinearFit = multilevel_model(" + ".join(terms), pd.DataFrame(columns))  # type: ignore[assignment]
    found = {"residual": float(fit.residual_variance)}
    for grouping, covariance in zip(fit.data.groupings, fit.covariances, strict=True):
        found[_unit(grouping.name, plan.random)] = float(np.asarray(covariance)[0, 0])
    return found, fit


def _unit(grouping: str, random: tuple[str, ...]) -> str:
    """Name of what a grouping of the model stands for."""
    return grouping if grouping == "rater" else random[int(grouping.removeprefix("level"))]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    """Effects of one level: the position of each sheet's unit, how many units there are, and their variance."""

    name: str
    codes: Ints
    size: int
    variance: float


class _Equations:
    """Henderson's equations, solved with the lowest random level swept out."""

    def __init__(self, y: Floats, sigma2: float, coarse: list[_Block], fine: _Block | None) -> None:
        from scipy import linalg, sparse

        self.fine = fine
        self.centre = float(y.mean())
        rows, moved = np.arange(len(y)), y - self.centre
        starts = np.cumsum([1, *(block.size for block in coarse)]).tolist()
        self.offsets = {block.name: start for block, start in zip(coarse, starts[:-1], strict=True)}
        parts, prior = [sparse.csr_matrix(np.ones((len(y), 1)))], [np.zeros(1)]
        for block in coarse:
            on = block.codes >= 0
            cells = (np.ones(int(on.sum())), (rows[on], block.codes[on]))
            parts.append(sparse.csr_matrix(cells, shape=(len(y), block.size)))
            prior.append(np.full(block.size, 1.0 / block.variance))
        Z: Any = sparse.hstack(parts, format="csr")
        A = (Z.T @ Z).toarray() / sigma2 + np.diag(np.concatenate(prior))
        right = np.asarray(Z.T @ moved).ravel() / sigma2
        if fine is None:
            self.inverse: Floats = linalg.inv(A)
            self.solution: Floats = self.inverse @ right
            return
        F: Any = sparse.csr_matrix((np.ones(len(y)), (rows, fine.codes)), shape=(len(y), fine.size))
        self.B: Any = (Z.T @ F).tocsr() / sigma2
        self.D = np.bincount(fine.codes, minlength=fine.size) / sigma2 + 1.0 / fine.variance
        own = np.asarray(F.T @ moved).ravel() / sigma2
        swept = self.B.multiply(1.0 / self.D).tocsr()
        self.inverse = linalg.inv(A - (swept @ self.B.T).toarray())
        self.solution = self.inverse @ (right - swept @ own)
        self.effects = (own - self.B.T @ self.solution) / self.D

    def level(self, name: str, units: Mapping[str, Ints], size: int) -> LevelScores:
        """Score of every unit of a level: mu, the effects of the units above, and its own."""
        from scipy import sparse

        order, codes = list(units), units[name]
        first = np.zeros(size, dtype=np.int64)
        first[codes] = np.arange(len(codes))
        seen = np.zeros(size, dtype=bool)
        seen[codes] = True
        above = [one for one in order[order.index(name) :] if one in self.offsets]
        at = [np.zeros(size, dtype=np.int64), *(self.offsets[one] + units[one][first] for one in above)]
        cells, who = np.concatenate(at), np.tile(np.arange(size), len(at))
        L: Any = sparse.csr_matrix((np.ones(len(cells)), (who, cells)), shape=(size, len(self.solution)))
        estimate = self.centre + np.asarray(L @ self.solution)
        variance = np.zeros(size)
        if self.fine is not None and self.fine.name == name:
            estimate = estimate + self.effects
            L = (L - self.B.multiply(1.0 / self.D).T).tocsr()
            variance = 1.0 / self.D
        variance = variance + _diagonal(L, self.inverse)
        return LevelScores(
            estimate=np.where(seen, estimate, np.nan),
            se=np.where(seen, np.sqrt(np.maximum(variance, 0.0)), np.nan),
            df=_freedom(name, units),
        )

    def effects_of(self, name: str, size: int) -> tuple[Floats, Floats]:
        """Effects of a level that was not swept out, and their standard errors of prediction."""
        begin = self.offsets[name]
        error = np.sqrt(np.diag(self.inverse)[begin : begin + size])
        return self.solution[begin : begin + size], error


def _freedom(name: str, units: Mapping[str, Ints]) -> float:
    """Units less one: of its own for the lowest level, of the highest level whose variance can be told for those above it.

    A team's score leans on what its authority is estimated to be, and so on the number of authorities.
    """
    order = list(units)
    several = [one for one in order if len(np.unique(units[one])) >= FEW_UNITS]
    leaning = name if name == order[0] or not several else several[-1]
    return float(max(len(np.unique(units[leaning])) - 1, 1))


def _posterior(
    y: Floats,
    units: Mapping[str, Ints],
    sizes: Mapping[str, int],
    *,
    plan: _Plan,
    variances: Mapping[str, float],
    rater: Ints | None,
    notes: tuple[str, ...],
) -> Levels:
    spread = float(y.var())
    blocks: list[_Block] = []
    for name in (*plan.fixed, *plan.random):
        variance = DIFFUSE * spread if name in plan.fixed else variances[name]
        if variance > 0:
            blocks.append(_Block(name=name, codes=units[name], size=sizes[name], variance=variance))
    fine = next((block for block in blocks if block.name == next(iter(units))), None)
    coarse = [block for block in blocks if block is not fine]
    severe = rater is not None and variances.get("rater", 0.0) > 0
    n_raters = sizes.get("rater", int(rater.max()) + 1) if rater is not None else 0
    if severe and rater is not None:
        coarse.append(_Block(name="rater", codes=rater, size=n_raters, variance=variances["rater"]))
    equations = _Equations(y, max(variances["residual"], 1e-9 * spread), coarse, fine)
    scores: dict[str, LevelScores] = {}
    for name in units:
        if plan.same_as.get(name) == "residual":
            nothing = np.full(sizes[name], np.nan)
            reason = f"one rating sheet a {name}"
            scores[name] = LevelScores(estimate=nothing, se=nothing, df=np.inf, reason=reason)
        else:
            scores[name] = equations.level(name, units, sizes[name])
    none = (np.zeros(n_raters), np.zeros(n_raters))
    effect, error = equations.effects_of("rater", n_raters) if severe else none
    return Levels(
        scores=scores, variances=dict(variances), rater_effect=effect, rater_effect_se=error, notes=notes
    )


def _diagonal(L: Any, inverse: Floats) -> Floats:
    """Diagonal of ``L inverse L'`` in strips, so that nothing large and dense is made."""
    found = np.empty(L.shape[0])
    for start in range(0, L.shape[0], 1000):
        part = L[start : start + 1000]
        found[start : start + 1000] = np.asarray(part.multiply(part @ inverse).sum(axis=1)).ravel()
    return found


def _constant(y: Floats, units: Mapping[str, Ints], sizes: Mapping[str, int]) -> Levels:
    value = float(y[0]) if len(y) else np.nan
    reason = ALL_THE_SAME if len(y) > 1 else "one score, or none"
    scores = {
        name: LevelScores(
            estimate=np.full(sizes[name], value), se=np.full(sizes[name], np.nan), df=np.inf, reason=reason
        )
        for name in units
    }
    return Levels(
        scores=scores, variances={}, rater_effect=np.zeros(0), rater_effect_se=np.zeros(0), notes=(reason,)
    )


def _unmodelled(y: Floats, units: Mapping[str, Ints], sizes: Mapping[str, int], why: str) -> Levels:
    scores = {}
    for name, codes in units.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(codes, y, minlength=sizes[name]) / np.bincount(codes, minlength=sizes[name])
        scores[name] = LevelScores(estimate=mean, se=np.full(sizes[name], np.nan), df=np.inf, reason="no model")
    return Levels(
        scores=scores,
        variances={},
        rater_effect=np.zeros(0),
        rater_effect_se=np.zeros(0),
        notes=(f"No model: {why}",),
    )
