"""Two-way fixed effects, and the comparison of two groups before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wwc_eval.did.effects import DidResult
from wwc_eval.did.least_squares import fit_linear
from wwc_eval.did.panel import Panel
from wwc_eval.did.poisson import counted, fit_poisson, poisson_robust
from wwc_eval.did.reporting import contrasted, influence_of, shared_fields
from wwc_eval.did.robust import Robust, robust_of
from wwc_eval.did.sample import Sample, sample_of
from wwc_eval.errors import DesignError, check_choice
from wwc_eval.table import Column, Table

__all__ = ["TwoByTwo", "two_by_two", "two_way_fixed_effects"]

CITATION = "Goodman-Bacon 2021, doi:10.1016/j.jeconom.2021.03.014"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TwoByTwo(DidResult):
    """Two groups before and after.

    Parameters
    ----------
    means : Table
        Mean outcome of each group before and after, and the changes.
    """

    means: Table


def two_way_fixed_effects(
    panel: Panel,
    covariates: str | Sequence[str] | None = None,
    vcov: str = "CR1S",
    *,
    family: str = "gaussian",
    df: str | None = None,
    level: float = 0.95,
) -> DidResult:
    """Regression of the outcome on treatment with unit effects and period effects.

    With several cohorts and effects that differ or grow, the coefficient averages effects with weights that may
    be negative: show :func:`~wwc_eval.did.bacon_decomposition` beside it, and prefer an estimator that compares
    with the not yet treated alone. Formula: ``y_it = unit_i + period_t + effect * treated_it + x_it'b + e_it``.

    Parameters
    ----------
    panel : Panel
        The panel; cells may be missing.
    covariates : str or sequence of str, optional
        Columns that vary over time within units.
    vcov : {"CR1S", "CR0", "CR1", "CR2", "CR3", "HC1", "classical"}
        Covariance, clustered by the panel's clusters. CR1S is G/(G-1) (n-1)/(n-K), with K the regressors and the
        period effects: unit effects lie within clusters and are not counted, as in the R package fixest. CR2 and
        CR3 are those of the regression with every effect as a column; under weights, CR2 and all Satterthwaite
        degrees of freedom take rows to have one variance, as the R package clubSandwich does.
    family : {"gaussian", "poisson"}
        Linear, or Poisson for counts with the panel's exposure: then coefficients are rate ratios.
    df : {"clusters", "satterthwaite"}, optional
        Degrees of freedom: clusters - 1 for CR0, CR1 and CR1S, Satterthwaite for CR2 and CR3 by default.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DidResult
        ``overall`` is the coefficient of treatment, ``estimates`` all coefficients.

    Raises
    ------
    DesignError
        If nothing is treated, or a coefficient is not identified.

    References
    ----------
    Goodman-Bacon 2021, doi:10.1016/j.jeconom.2021.03.014.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(la, t, la + t + 2.0 * (la < 3 and t > 2) + (la * t) % 3) for la in range(1, 9) for t in range(1, 6)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(start=lambda d: 3 * (d.la < 3))
    >>> panel = Panel(data, unit="la", period="year", outcome="rate", cohort="start")
    >>> round(two_way_fixed_effects(panel).overall.estimate, 3)
    1.833
    """
    check_choice("family", family, ("gaussian", "poisson"))
    sample = sample_of(panel, "two_way_fixed_effects", covariates=covariates, keep_always=True)
    if family == "gaussian":
        return _result(sample, _fit(sample, vcov, df), "Two-way fixed effects", level)
    sample, exposure = counted(sample)
    tables = np.concatenate([sample.treated.astype(float)[:, :, None], sample.covariates], axis=2)
    robust = poisson_robust(fit_poisson(sample, exposure, tables, ("treated", *sample.names)), vcov, df)
    return _result(sample, robust, "Two-way fixed effects, Poisson with exposure", level, ratio=True)


def two_by_two(panel: Panel, vcov: str = "CR1S", *, df: str | None = None, level: float = 0.95) -> TwoByTwo:
    """Change of the treated less change of the never treated, one date of treatment.

    Formula: ``(treated after - treated before) - (never after - never before)``, means over the periods before and
    after; the coefficient of two-way fixed effects, which it equals on a balanced panel.

    Parameters
    ----------
    panel : Panel
        One treated cohort and units never treated.
    vcov, df, level
        As in :func:`two_way_fixed_effects`.

    Returns
    -------
    TwoByTwo
        With the four means in ``means``.

    Raises
    ------
    DesignError
        If there are several cohorts, or none is never treated.

    References
    ----------
    Card and Krueger 1994, American Economic Review 84.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(la, t, la + t + 2.0 * (la < 3 and t > 2) + (la * t) % 3) for la in range(1, 9) for t in range(1, 6)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(start=lambda d: 3 * (d.la < 3))
    >>> result = two_by_two(Panel(data, unit="la", period="year", outcome="rate", cohort="start"))
    >>> [round(value, 2) for value in result.means.column("change")]
    [4.0, 2.17, 1.83]
    """
    sample = sample_of(panel, "two_by_two")
    never = sample.adopted == sample.n_periods
    if len(sample.cohorts) > 1 or not never.any():
        found = ", ".join(str(sample.label(int(cohort))) for cohort in sample.cohorts)
        short = "none never treated" if not never.any() else f"{len(sample.cohorts)} treated cohorts ({found})"
        raise DesignError(
            f"two_by_two compares one treated cohort with the never treated; the panel has {short}",
            fix="use we.did.callaway_santanna(panel) or we.did.imputation(panel) where treatment is staggered",
        )
    robust = _fit(sample, vcov, df)
    plain = _result(sample, robust, "Two groups before and after", level)
    fields = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    return TwoByTwo(**fields, means=_means(sample))


def _fit(sample: Sample, vcov: str, df: str | None) -> Robust:
    data = sample.grouped()
    treated = sample.treated[data.first].astype(float)[:, :, None]
    fit = fit_linear(data, sample.with_covariates(treated), ("treated", *sample.names))
    return robust_of(fit, vcov, df)


def _result(sample: Sample, robust: Robust, name: str, level: float, *, ratio: bool = False) -> DidResult:
    beside = f", given {', '.join(sample.names)}" if sample.names else ""
    method = f"{name}{beside}; {robust.words}"
    scale = "rate_ratio" if ratio else "coefficient"
    shared = shared_fields(sample, method=method, citation=CITATION, n_clusters=robust.n_clusters, scale=scale)
    terms = ("treated", *sample.names)
    every = np.eye(len(terms))
    found = contrasted(robust, every, level, shared)
    found = replace(found, values=np.exp(found.values)) if ratio else found
    notes = sample.notes
    if len(sample.cohorts) > 1:
        notes += ("Several cohorts: the coefficient may weigh some effects negatively; see bacon_decomposition.",)
    influence = influence_of(robust, every)
    return DidResult(
        method=method,
        overall=found.one(0, "treated"),
        estimates=found.table(range(len(terms)), [{} for _ in terms], terms),
        path=None,
        panel=sample.panel,
        influence=None if influence is None else np.column_stack([influence[:, 0], influence]),
        notes=notes,
    )


def _means(sample: Sample) -> Table:
    """Mean outcome of each group before and after."""
    after = np.arange(sample.n_periods) >= sample.cohorts[0]
    inside = sample.adopted < sample.n_periods
    found = np.empty((2, 2))
    for k, here in enumerate((inside, ~inside)):
        for j, when in enumerate((~after, after)):
            weight = sample.weights[np.ix_(here, when)]
            found[k, j] = (weight * sample.outcomes[np.ix_(here, when)]).sum() / weight.sum()
    values = np.vstack([found, found[0] - found[1]]).tolist()
    names = ("treated", "never treated", "difference")
    units = (int(inside.sum()), int((~inside).sum()), None)
    rows = [
        {"group": name, "units": count, "before": before, "after": later, "change": later - before}
        for name, count, (before, later) in zip(names, units, values, strict=True)
    ]
    columns = [Column(name="group"), Column(name="units", kind="count")]
    columns += [Column(name=name, kind="number") for name in ("before", "after", "change")]
    return Table(rows, columns, title=f"Mean {sample.panel.measure} before and after")
