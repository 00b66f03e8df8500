"""The row of each method: its p-value, interval, and what must be said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did.few_counts import FEW, treated_clusters
from wwc_eval.did.few_permutation import permuted
from wwc_eval.did.few_reference import Reference, lottery, permutations
from wwc_eval.did.few_resampling import Resampled, conley_taber, ferman_pinto, residuals_listed
from wwc_eval.did.few_statistic import Statistic
from wwc_eval.did.few_wild import cluster_errors, effect_fit, panel_moments, smallest_cohort, wild_effect
from wwc_eval.errors import DataError, DesignError
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats

if TYPE_CHECKING:
    from wwc_eval.data.samples.draws import Seed

__all__ = ["METHODS", "Asked", "few_rows", "populations"]

PERMUTED = ("permutation", "studentised_permutation")
WILD = ("wild_bootstrap", "wild_bootstrap_unrestricted")
ROBUST = ("CR0", "CR1", "CR1S", "CR2", "CR3")
METHODS = (*PERMUTED, *WILD, "conley_taber", "ferman_pinto", *ROBUST)
CITATIONS = {
    "permutation": "MacKinnon and Webb 2020, doi:10.1016/j.jeconom.2020.04.024",
    "wild": "Cameron, Gelbach and Miller 2008, doi:10.1162/rest.90.3.414",
    "conley_taber": "Conley and Taber 2011, doi:10.1162/REST_a_00049",
    "ferman_pinto": "Ferman and Pinto 2019, doi:10.1162/rest_a_00759",
    "robust": "Pustejovsky and Tipton 2018, doi:10.1080/07350015.2016.1247004",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a call asked for.

    Parameters
    ----------
    statistic : Statistic
        The effect.
    draws, rng, allocation, population, level
        As in :func:`few_treated`.
    """

    statistic: Statistic
    draws: int
    rng: Seed | None
    allocation: Any
    population: str | Sequence[float] | None
    level: float

    @cached_property
    def sources(self) -> dict[str, np.random.Generator]:
        """A stream for each kind of draws: which methods are asked for does not change any of them."""
        from wwc_eval.data.samples.draws import generator

        if self.rng is None:
            return {}
        names = ("permutation", "wild", "conley_taber", "ferman_pinto")
        return dict(zip(names, generator(self.rng).spawn(len(names)), strict=True))

    def source(self, name: str) -> np.random.Generator:
        """The stream of a method.

        Raises
        ------
        DesignError
            If ``rng`` is missing.
        """
        if self.rng is None:
            raise DesignError(f"{name} draws at random, which needs rng", fix="give a seed, such as rng=1")
        return self.sources[name]

    @cached_property
    def reference(self) -> Reference:
        """Reassignments of treatment."""
        rng = self.sources.get("permutation")
        if self.allocation is not None:
            return lottery(self.statistic, self.allocation, self.draws, rng)
        return permutations(self.statistic, self.draws, rng)

    @cached_property
    def fit(self) -> Any:
        """Regression that holds the effect, and its contrast."""
        return effect_fit(self.statistic)

    def estimate(self, **fields: Any) -> Estimate:
        """An estimate of the effect with the fields of a method."""
        sample = self.statistic.sample
        blank = dict.fromkeys(("se", "df", "statistic", "p_value", "ci_low", "ci_high"), math.nan)
        what = "two-way fixed effects" if self.statistic.estimator == "two_way_fixed_effects" else "imputation"
        method = fields.pop("method")
        shared = {
            "term": "treated",
            "estimate": self.statistic.estimate,
            "level": self.level,
            "units": sample.panel.measure,
            "n": sample.n_cells,
            "n_clusters": len(self.statistic.codes),
            "method": f"{method}; effect by {what}",
        }
        return Estimate(**{**blank, **shared, **fields})


def few_rows(asked: Asked, methods: Sequence[str]) -> tuple[list[tuple[str, Estimate]], Floats]:
    """A row for each method, and the statistic under each reassignment.

    Raises
    ------
    DesignError
        If something is drawn and ``rng`` is missing.
    """
    rows: list[tuple[str, Estimate]] = []
    values = np.empty(0)
    for method in methods:
        if method in PERMUTED:
            row, found = _permutation(asked, studentised=method == "studentised_permutation")
            if not values.size or method == "permutation":
                values = found
        elif method in WILD:
            row = _wild(asked, imposed=method == "wild_bootstrap")
        elif method in ROBUST:
            row = _robust(asked, method)
        else:
            row = _resampled(asked, method)
        rows.append((method, row))
    return rows, values


def _no_permutation(asked: Asked, error: DesignError) -> tuple[Estimate, Floats]:
    """The row of a permutation that there is none of."""
    citation = CITATIONS["permutation"]
    return asked.estimate(
        method="Permutation: not available", warnings=(str(error),), citation=citation
    ), np.empty(0)


def _permutation(asked: Asked, *, studentised: bool) -> tuple[Estimate, Floats]:
    try:
        asked.statistic.need_whole()
    except DesignError as error:
        return _no_permutation(asked, error)
    # a lottery that does not fit the panel, or draws without rng, are faults of the call and stop it
    reference = asked.reference
    try:
        found = permuted(asked.statistic, reference, asked.level, studentised=studentised)
    except DesignError as error:
        return _no_permutation(asked, error)
    warnings = []
    if reference.smallest > 1.0 - asked.level:
        warnings.append(
            f"no result can reach p < {1.0 - asked.level:g}: the smallest p-value of these reassignments is "
            f"{reference.smallest:.3f}"
        )
    if asked.allocation is None and asked.statistic.n_treated < FEW:
        warnings.append(
            "exact for a lottery over all clusters, and otherwise on average over which is treated: too many rejections "
            "where the treated are small and noisy, too few where they are large"
        )
    compared = "effect over its error" if studentised else "effect"
    row = asked.estimate(
        statistic=found.statistic,
        p_value=found.p_value,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        method=f"Permutation test, two-sided, {reference.words}, {compared} compared",
        warnings=tuple(warnings),
        citation=CITATIONS["permutation"],
        details={
            "exact": reference.exact,
            "reassignments": len(reference.codes),
            "smallest_p_value": reference.smallest,
            "monte_carlo_se": found.monte_carlo_error,
        },
    )
    return row, found.values


def _wild(asked: Asked, *, imposed: bool) -> Estimate:
    fit, contrast = asked.fit
    moments = panel_moments(fit, contrast)
    groups = len(moments.scores)
    exact = groups <= 12
    source: Any = None if exact else asked.source("wild")
    name = "null imposed (WCR)" if imposed else "null not imposed (WCU)"
    try:
        test, drawn, kind = wild_effect(moments, asked.draws, source, asked.level, imposed=imposed)
    except DesignError as error:
        return asked.estimate(method=f"Wild cluster bootstrap, {name}: not available", warnings=(str(error),))
    # listed, a draw and its mirror image have one |t|; without the null imposed the actual |t| need not be among them
    listed = 2.0 / len(drawn.values) if imposed else 0.0
    smallest = listed if drawn.complete else 1.0 / (len(drawn.values) + 1)
    every = f"all {len(drawn.values):,} sign changes" if drawn.complete else f"{len(drawn.values):,} draws"
    warnings = []
    if asked.statistic.n_treated <= 2:
        way = "hardly ever rejects" if imposed else "rejects far too often"
        warnings.append(
            f"with {asked.statistic.n_treated} treated the bootstrap {way} (MacKinnon and Webb 2017, "
            f"doi:10.1002/jae.2508); its smallest attainable p-value is {smallest:.2g}"
        )
    return asked.estimate(
        se=test.se,
        statistic=test.statistic,
        p_value=test.p_value,
        ci_low=test.ci_low,
        ci_high=test.ci_high,
        method=f"Wild cluster bootstrap, {kind.capitalize()} weights, {every}, {name}",
        warnings=tuple(warnings),
        citation=CITATIONS["wild"],
        details={"weights": kind, "complete": drawn.complete, "imposed": imposed, "smallest_p_value": smallest},
    )


def _robust(asked: Asked, kind: str) -> Estimate:
    treated = asked.statistic.n_treated
    if kind in ("CR2", "CR3"):
        alone = smallest_cohort(asked.statistic.sample) if asked.statistic.estimator == "imputation" else treated
        if alone < 2:
            who = treated_clusters(treated) if treated == 1 else "a cohort of one cluster"
            return asked.estimate(
                method=f"{kind}: not available",
                warnings=(
                    f"{who}: its own effect leaves it no residual, so {kind} does not identify the variance",
                ),
                citation=CITATIONS["robust"],
            )
    fit, contrast = asked.fit
    robust = cluster_errors(fit, kind)
    se = math.sqrt(max(float(contrast @ robust.matrix @ contrast), 0.0))
    warnings: tuple[str, ...] = ()
    if treated < FEW:
        small = "too small" if kind in ROBUST[:3] else "approximate at best"
        warnings = (f"{treated_clusters(treated)}: errors are {small}; judge by the permutation",)
    usual = Estimate.from_normal(
        term="treated", estimate=asked.statistic.estimate, se=se, df=robust.df(contrast), level=asked.level
    )
    fields = {name: getattr(usual, name) for name in ("se", "df", "statistic", "p_value", "ci_low", "ci_high")}
    return asked.estimate(
        **fields, method=f"Cluster-robust: {robust.words}", warnings=warnings, citation=CITATIONS["robust"]
    )


def _resampled(asked: Asked, method: str) -> Estimate:
    name = {"conley_taber": "Conley-Taber", "ferman_pinto": "Ferman-Pinto"}[method]
    try:
        if method == "conley_taber":
            found: Resampled = conley_taber(asked.statistic, asked.draws, _lazy(asked, method), asked.level)
        else:
            sizes = populations(asked.statistic, asked.population)
            found = ferman_pinto(asked.statistic, sizes, asked.draws, asked.source(method), asked.level)
    except DesignError as error:
        if "needs rng" in str(error):
            raise
        return asked.estimate(method=f"{name}: not available", warnings=(str(error),), citation=CITATIONS[method])
    every = f"all {found.count:,} residuals" if found.exact else f"{found.count:,} draws"
    words = {
        "conley_taber": f"{name}, {every} of the never treated, equal tails",
        "ferman_pinto": f"{name}, {every}, variance by population",
    }[method]
    smallest = 2.0 / (found.count + 1) if method == "conley_taber" else 1.0 / (found.count + (not found.exact))
    coarse = f"no result can reach p < {1.0 - asked.level:g}: the smallest p-value of {found.count:,} errors is {smallest:.3f}"
    return asked.estimate(
        p_value=found.p_value,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        method=words,
        warnings=(coarse,) if smallest > 1.0 - asked.level else (),
        citation=CITATIONS[method],
        details={"exact": found.exact, "smallest_p_value": smallest, **found.details},
    )


def _lazy(asked: Asked, method: str) -> Any:
    """The stream where something is drawn; listed residuals need none."""
    return None if residuals_listed(asked.statistic) else asked.source(method)


def populations(statistic: Statistic, given: str | Sequence[float] | None) -> Floats:
    """Population of each unit in use.

    Raises
    ------
    DesignError
        If there is none.
    DataError
        If one is missing or not above 0, or there are too many or too few.
    """
    sample = statistic.sample
    panel = sample.panel
    if given is None:
        if panel.exposures is not None:
            found = _mean_seen(np.where(panel.observed, panel.exposures, np.nan))
        elif float(np.ptp(panel.weights)) > 0:
            found = panel.weights
        else:
            raise DesignError("no population is known", fix="name it: population='children', or give exposure=")
    elif isinstance(given, str):
        found = _mean_seen(panel.covariate(given))
    else:
        found = np.asarray(given, dtype=float)
        if found.shape != (panel.n_units,):
            raise DataError(f"population has shape {found.shape}, must be ({panel.n_units},), one for each unit")
    found = found[sample.rows]
    if not (np.isfinite(found).all() and (found > 0).all()):
        place = int(np.flatnonzero(~(np.isfinite(found) & (found > 0)))[0])
        raise DataError(f"the population of {panel.units[sample.rows[place]]} is {found[place]}, must be above 0")
    return np.asarray(found, dtype=float)


def _mean_seen(values: Floats) -> Floats:
    """Mean of each row over the cells that have one; missing where none has."""
    seen = np.isfinite(values)
    counts = seen.sum(axis=1)
    return np.asarray(np.where(seen, values, 0.0).sum(axis=1) / np.where(counts > 0, counts, np.nan))
