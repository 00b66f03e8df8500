"""Effects of the extended Poisson model as differences in rates and as rate ratios."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wwc_eval.did.cohort_cells import CohortCells, cohort_cells
from wwc_eval.did.effects import DidResult, EffectEstimates, Inference
from wwc_eval.did.guard import BLANK
from wwc_eval.did.poisson import PoissonFit, counted, fit_poisson, poisson_robust
from wwc_eval.did.reporting import shared_fields
from wwc_eval.did.robust import Robust
from wwc_eval.did.sample import Sample
from wwc_eval.errors import DesignError
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats

__all__ = ["PoissonResult", "poisson_result"]

CITATION = "Wooldridge 2023, doi:10.1093/ectj/utad016"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PoissonResult(DidResult):
    """Extended Poisson model: differences in rates, and rate ratios.

    Parameters
    ----------
    ratios : EffectEstimates
        Expected over expected without treatment: over all treated cells, then by event, cohort and cell.
    count : Estimate
        Mean difference in the count of a treated cell.
    """

    ratios: EffectEstimates
    count: Estimate


@dataclass(frozen=True, kw_only=True)
class _Expected:
    """Expected counts of each cohort and period with and without treatment, and what each unit adds to them."""

    factual: Floats
    without: Floats
    factual_influence: Floats
    without_influence: Floats


def poisson_result(
    sample: Sample,
    reference: int | None,
    *,
    words: str,
    vcov: str,
    df: str | None,
    level: float,
    regressors_of: Callable[..., Any],
) -> PoissonResult:
    """Fit the model and average its effects.

    Formulas: over the treated cells of a row, difference = ``sum (mean - mean without) / sum exposure``, ratio =
    ``sum mean / sum mean without``; errors by the delta method through all coefficients, effects of units and
    periods included, the cells averaged over taken as given.
    """
    sample, exposure = counted(sample)
    if vcov not in ("CR0", "CR1", "CR1S"):
        raise DesignError(
            f"vcov == '{vcov}' is not available for the extended Poisson model",
            fix="use vcov='CR1S', 'CR1' or 'CR0'",
        )
    cells = cohort_cells(sample, reference=reference)
    design = regressors_of(sample, cells, cells.tables(sample.adopted))
    fit = fit_poisson(sample, exposure, design.tables, design.names)
    robust = poisson_robust(fit, vcov, df)
    expected = _expected(sample, cells, fit, design.effects, robust)
    size = sample.weights * exposure
    cells = replace(
        cells,
        weight=np.array(
            [size[sample.adopted == c, t].sum() for c, t in zip(cells.cohort, cells.column, strict=True)]
        ),
    )
    contrasts = cells.averages(len(cells.cohort))
    difference = (expected.factual_influence - expected.without_influence) / cells.weight
    influence = difference @ contrasts
    method = f"Extended two-way fixed effects, Poisson with exposure, control: {words}; {robust.words}"
    fields = shared_fields(
        sample, method=method, citation=CITATION, n_clusters=robust.n_clusters, scale="rate_difference"
    )
    shared = _Shared(level=level, fields=fields)
    values = (expected.factual - expected.without) / cells.weight @ contrasts
    found = _inference(values, influence, robust, shared)
    result = cells.result(
        found,
        reference=reference,
        influence=influence,
        notes=design.notes,
        overall="difference in rates of the treated",
    )
    return PoissonResult(
        **{name: getattr(result, name) for name in result.__dataclass_fields__},
        ratios=_judged(_ratios(cells, contrasts, expected, robust, shared), result),
        count=_as_judged(_count(cells, expected, robust, shared), result.overall),
    )


def _judged(ratios: EffectEstimates, result: DidResult) -> EffectEstimates:
    """Ratios with what stands beside the differences: no effect is one hypothesis, on whichever scale."""
    differences = [result.overall, *result.estimates, *(result.by_cohort or ()), *(result.cells or ())]
    items = [_as_judged(item, beside) for item, beside in zip(ratios, differences, strict=True)]
    return EffectEstimates(items, ratios.keys, title=ratios.title, notes=ratios.notes)


def _as_judged(item: Estimate, beside: Estimate) -> Estimate:
    """An estimate with the permutation and the warnings of another of the same effect, and no error where that has none."""
    told = {name: beside.details[name] for name in ("permutation_p",) if name in beside.details}
    changed = item.replace(details={**item.details, **told}, warnings=beside.warnings)
    return changed if math.isfinite(beside.se) else changed.replace(**dict.fromkeys(BLANK, math.nan))


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """Level of the intervals, and the fields that all estimates share."""

    level: float
    fields: dict[str, Any]

    def replace(self, **changes: Any) -> _Shared:
        """Copy with some fields changed."""
        return _Shared(level=self.level, fields={**self.fields, **changes})


def _inference(values: Floats, influence: Floats, robust: Robust, shared: _Shared) -> Inference:
    return Inference(
        values=values,
        vcov=influence.T @ influence,
        df=np.full(len(values), robust.constant_df),
        level=shared.level,
        shared=shared.fields,
    )


def _expected(
    sample: Sample, cells: CohortCells, fit: PoissonFit, effects: np.ndarray, robust: Robust
) -> _Expected:
    """Expected counts by cell with what each cluster adds, in the scale of the chosen covariance."""
    linear = fit.linear
    gap = linear.regressors[:, :, effects] @ linear.beta[effects]
    bare = np.where(effects, 0.0, 1.0) * linear.regressors
    own = sample.adopted[:, None] == cells.cohort
    parts = []
    for mean, regressors in ((fit.mean, linear.regressors), (fit.mean * np.exp(-gap), bare)):
        share = np.where(own, (sample.weights * mean)[:, cells.column], 0.0)
        slopes = np.einsum("im,imk->km", share, regressors[:, cells.column, :], optimize=True)
        influence = _influence(sample, cells, linear, share, slopes)
        parts += [share.sum(axis=0), influence * _scale(robust)]
    return _Expected(factual=parts[0], factual_influence=parts[1], without=parts[2], without_influence=parts[3])


def _influence(sample: Sample, cells: CohortCells, linear: Any, share: Floats, slopes: Floats) -> Floats:
    """What each cluster adds to quantities with gradient ``share`` in the unit and period effects."""
    data, absorber = linear.data, linear.data.absorber
    m = len(cells.cohort)
    period = np.zeros((1, sample.n_periods, m))
    period[0, cells.column, np.arange(m)] = share.sum(axis=0)
    _, effects = absorber.solve(share, period)
    unit_x, period_x = absorber.effects(linear.regressors)
    left = slopes - unit_x.T @ share - period_x[0].T @ period[0]
    noise = data.weights * linear.residual
    single = noise @ effects[0] + linear.scores @ (linear.bread @ left)
    return np.asarray(data.by_cluster(single))


def _scale(robust: Robust) -> float:
    """Square root of the small-sample factor of the covariance."""
    plain = robust.fit.data.by_cluster(robust.fit.scores) @ robust.fit.bread
    assert robust.influence is not None
    return math.sqrt(float((robust.influence**2).sum() / (plain**2).sum()))


def _ratios(
    cells: CohortCells, contrasts: Floats, expected: _Expected, robust: Robust, shared: _Shared
) -> EffectEstimates:
    member = contrasts != 0
    top, bottom = expected.factual @ member, expected.without @ member
    influence = expected.factual_influence @ member / top - expected.without_influence @ member / bottom
    ratios = _inference(top / bottom, influence, robust, shared.replace(scale="rate_ratio"))
    label = cells.sample.label
    keys: list[dict[str, Any]] = [{"cohort": None, "period": None, "event": None}]
    keys += [{"cohort": None, "period": None, "event": int(event)} for event in cells.events]
    keys += [{"cohort": label(int(cohort)), "period": None, "event": None} for cohort in cells.cohorts]
    keys += list(cells.keys)
    terms = ["rate ratio of the treated", *(f"event[{event}]" for event in cells.events)]
    terms += [f"cohort[{label(int(cohort))}]" for cohort in cells.cohorts] + list(cells.terms)
    return ratios.table(range(len(keys)), keys, terms)


def _count(cells: CohortCells, expected: _Expected, robust: Robust, shared: _Shared) -> Estimate:
    post, sample = cells.event >= 0, cells.sample
    number = sum(
        float(sample.weights[sample.adopted == c, t].sum())
        for c, t in zip(cells.cohort[post], cells.column[post], strict=True)
    )
    value = (expected.factual - expected.without)[post].sum() / number
    influence = (expected.factual_influence - expected.without_influence)[:, post].sum(axis=1) / number
    changed = shared.replace(scale="coefficient", units="events")
    return _inference(np.array([value]), influence[:, None], robust, changed).one(
        0, "difference in the count of a treated cell"
    )
