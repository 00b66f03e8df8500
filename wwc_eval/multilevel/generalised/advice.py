"""Which inference is advised for a generalised mixed model: itself, or a regression with robust errors beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError, WwcError, did_you_mean
from wwc_eval.multilevel.advice import VERY_FEW, Advice
from wwc_eval.multilevel.engine.structure import Grouping, nests

if TYPE_CHECKING:
    from wwc_eval.inference import RegressionFit
    from wwc_eval.multilevel.generalised.fit import GeneralisedFit

__all__ = ["advise_generalised", "caution", "regression_beside"]

ENOUGH = 40
"""From here on a mixed model's normal inference is about right (6.8% in place of 5%, docs/methods)."""
SOME = 10
"""From here on normal inference is about right for an arm that varies within the groups, if they do not drift apart."""
MOST_EFFECTS = 60
"""Groups up to which each gets an effect of its own in the regression beside it."""
REGRESSIONS = {"regression, CR2": "CR2", "regression, CR3": "CR3"}


def advise_generalised(fit: GeneralisedFit, term: str | None = None) -> Advice:
    """Advice for a generalised fit: below 40 clusters a regression with CR2 errors beside it.

    No small-sample theory covers a generalised mixed model. A regression (GLM) with effects of the groups where the
    term varies within them, CR2 errors and Satterthwaite's degrees of freedom holds its level with few clusters
    (docs/methods/multilevel_generalised.md); CR3 errs on the safe side.

    Parameters
    ----------
    fit : GeneralisedFit
        A fit with estimates.
    term : str, optional
        Coefficient to show; the first that is not the intercept where it is missing.

    Returns
    -------
    Advice
        ``inference`` is ``"wald"`` (the model as fitted) or ``"regression, CR2"``.

    Raises
    ------
    DesignError
        If the model has no such term.
    """
    if term is None:
        term = next((name for name in fit.terms if name != "(Intercept)"), fit.terms[0])
    if term not in fit.terms:
        raise DesignError(f"the model has no term '{term}'", fix=did_you_mean(term, fit.terms))
    top = _highest(fit)
    fewest = min(fit.groups.values()) if top is None else top.n_groups
    estimates = {"wald": fit.estimates[term]}
    for name, vcov in REGRESSIONS.items() if top is not None and fit.status != "failed" else ():
        try:
            estimates[name] = regression_beside(fit, term, vcov=vcov).estimates[term]
        except WwcError:
            continue
    within = top is not None and fewest >= SOME and _varies_within(fit, term, top)
    few = fewest < ENOUGH and not within and "regression, CR2" in estimates
    return Advice(
        inference="regression, CR2" if few else "wald",
        cluster=None if top is None else top.name,
        n_clusters=fewest,
        term=term,
        reasons=tuple(_reasons(top, fewest, few=few, within=within, beside="regression, CR2" in estimates)),
        estimates=estimates,
    )


def caution(fit: GeneralisedFit, term: str) -> str:
    """What to say of normal inference with few groups: it depends on whether the term varies within them."""
    top = _highest(fit)
    if top is not None and top.n_groups >= SOME and term in fit.terms and _varies_within(fit, term, top):
        return (
            f"Normal inference trusts that the effect is the same in all {top.n_groups:,} groups of '{top.name}' and that "
            "they do not drift apart over time; a regression with group effects and CR2 errors does not"
        )
    return (
        f"Normal inference with {fit.n_clusters:,} groups rejects too often: put a regression with group effects, CR2 "
        "errors and Satterthwaite degrees of freedom beside it"
    )


def regression_beside(fit: GeneralisedFit, term: str, *, vcov: str = "CR2") -> RegressionFit:
    """The regression (GLM) of the same rows and covariates, clustered at the highest grouping factor.

    The groups get effects of their own where the term varies within them and they are not many; a negative binomial
    outcome is fitted as Poisson, whose robust errors need no model of the dispersion.

    Parameters
    ----------
    fit : GeneralisedFit
        The mixed model.
    term : str
        Coefficient of interest.
    vcov : {"CR2", "CR3", ...}
        Cluster-robust errors.

    Raises
    ------
    DesignError
        If the grouping factors cross, or there are too few clusters.
    """
    from wwc_eval.formula.tokens import quote_name
    from wwc_eval.inference import regression

    top = _highest(fit)
    if top is None:
        raise DesignError(
            "the grouping factors cross, so none is the highest", fix="fit we.regression and name the cluster"
        )
    data = fit.data
    frame = data.source.iloc[data.rows]
    formula = data.formula.without_random()
    if top.n_groups <= MOST_EFFECTS and top.name in frame.columns and _varies_within(fit, term, top):
        formula = formula.with_terms(quote_name(top.name))
    return regression(
        formula,
        frame,
        family="binomial" if fit.family == "binomial" else "poisson",
        exposure=None if data.exposure is None else data.exposure.tolist(),
        weights=None if data.weights is None else data.weights.tolist(),
        vcov=vcov,
        cluster=top.name
        if top.name in frame.columns
        else np.asarray(top.labels, dtype=object)[top.codes].tolist(),
        levels={name: listed for name, listed in data.design.levels.items() if name in formula.columns},
        level=fit.level,
    )


def _highest(fit: GeneralisedFit) -> Grouping | None:
    """The grouping factor whose groups hold whole groups of all the others; None where factors cross."""
    fewest = min(fit.data.groupings, key=lambda grouping: grouping.n_groups)
    inside = (nests(each.codes, fewest.codes, each.n_groups) for each in fit.data.groupings if each is not fewest)
    return fewest if all(inside) else None


def _varies_within(fit: GeneralisedFit, term: str, top: Grouping) -> bool:
    """Whether the column of a term varies within at least one group."""
    column = fit.data.design.X[:, fit.terms.index(term)]
    order = np.argsort(top.codes, kind="stable")
    starts = np.flatnonzero(np.diff(top.codes[order], prepend=-1))
    values = column[order]
    return bool(np.any(np.maximum.reduceat(values, starts) > np.minimum.reduceat(values, starts)))


def _reasons(top: Grouping | None, fewest: int, *, few: bool, within: bool, beside: bool) -> list[str]:
    if top is None:
        sentence = (
            f"The grouping factors cross (the smallest has {fewest:,} groups), so there is no highest level to "
            "cluster by: put a regression with the cluster named, or a randomisation test, beside it."
        )
        return [sentence]
    where = f"{fewest:,} groups of '{top.name}'"
    if not beside:
        return [f"With {where} no regression with cluster-robust errors could be put beside it."]
    found = []
    if few:
        found.append(
            f"With {where}, fewer than {ENOUGH}, the normal inference of a generalised mixed model rejects too often, "
            "and no small-sample theory covers it; a regression with CR2 errors and Satterthwaite's degrees of freedom "
            "holds its level, CR3 errs on the safe side."
        )
    elif fewest < ENOUGH and within:
        found.append(
            f"The term varies within the {where}, so normal inference is about right if its effect is the same in all of "
            "them and they do not drift apart over time; the regression with CR2 errors does not need that."
        )
    else:
        found.append(f"With {where} normal inference is about right; the regression is there to compare.")
    found.append(
        "The regression's coefficient is an average over groups and as a rule nearer zero than the mixed model's, which is "
        "within a group: compare the averaged effects of the two (marginal effects), not the coefficients."
    )
    if fewest < VERY_FEW:
        found.append(
            f"{fewest:,} clusters are too few for any standard error; prefer a randomisation test or an analysis of "
            "cluster summaries, and say which level the conclusion rests on."
        )
    return found
