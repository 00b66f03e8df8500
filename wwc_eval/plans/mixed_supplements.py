"""What a mixed model shows beyond its effects: estimand, clusters and their likeness, variances, inference, search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import WwcError
from wwc_eval.report.record import Supplement
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from wwc_eval.estimate import Estimate
    from wwc_eval.plans.vocabulary.base import Context

__all__ = ["mixed_supplements", "profiled"]

SAME_FIT = frozenset({"inference", "report", "effect_size", "title"})
"""Fields that leave the fit as it is: an analysis that varies no other shows its inference alone."""
Rows = list[dict[str, Any]]


def mixed_supplements(fit: Any, context: Context, terms: Sequence[str]) -> tuple[Supplement, ...]:
    """Supplements of a fitted mixed model.

    Parameters
    ----------
    fit : MultilevelFit
        The model.
    context : Context
        The run's context; a varied analysis leaves out the intervals of its variances, which take longest.
    terms : sequence of str
        Coefficients of the arms.
    """
    beside = tuple(_inferences(fit, term) for term in terms)
    if context.changed and context.changed <= SAME_FIT:
        return beside
    # one that takes the place of another model has no original whose intervals stand elsewhere
    variances = _variances(fit, intervals=not context.changed or "model" in context.changed)
    return (_estimand(fit), _likeness(fit, context), variances, *beside, _search(fit))


def _estimand(fit: Any) -> Supplement:
    group = " and ".join(fit.groups)
    weighed = (
        "Effects are differences in means. Rows count by how much they tell, given that those of one group "
        f"({group}) are alike: neither every row nor every group counts the same."
    )
    averaged = (
        "Risk differences and risk ratios are averaged over the rows analysed, each counting the same, and over the "
        f"distribution of the effects of {group}."
    )
    conditional = (
        f"Odds ratios and coefficients compare two rows of one group ({group}) with the same covariates; they lie "
        "further from no effect than averages do."
    )
    rates = (
        "Rate ratios are averaged over the rows analysed, each counting by its exposure, and over the distribution of "
        f"the effects of {group}; a model without random slopes gives the same ratio within a group."
    )
    told = {"gaussian": (weighed,), "binomial": (averaged, conditional)}.get(fit.family, (rates,))
    return Supplement(key="estimand", title="What the effects are averages of", sentences=told)


# --- how alike rows of one group are


def _likeness(fit: Any, context: Context) -> Supplement:
    """Groups of each factor with the intraclass correlation, for counts the coefficient of variation k."""
    counts = fit.family not in {"gaussian", "binomial"}
    rows: Rows = []
    level, method = context.level, ""
    found = _estimates_or_none(fit)
    for name, number in fit.groups.items():
        share = None if found is None else found[name]
        method = share.method if share is not None else method
        level = share.level if share is not None else level
        rows.append(
            {
                "group": name,
                "groups": context.rule.rounded(number),
                "size": context.rule.rounded(fit.n) / number,
                "share": math.nan if share is None else share.estimate,
                "ci_low": math.nan if share is None else share.ci_low,
                "ci_high": math.nan if share is None else share.ci_high,
                "correlation": math.nan if share is None else share.details.get("correlation", math.nan),
            }
        )
    head = f"{100 * level:.6g}%"
    columns = [
        Column(name="group", label="grouping factor"),
        Column(name="groups", kind="count"),
        Column(name="size", label="rows in a group, on average", kind="number", digits=1),
        Column(name="share", label="k" if counts else "ICC", kind="number", digits=4),
        Column(name="ci_low", label=f"{head} low", kind="number", digits=4),
        Column(name="ci_high", label=f"{head} high", kind="number", digits=4),
        Column(name="correlation", label="correlation of two rows", kind="number", digits=4),
    ]
    if all(math.isnan(row["correlation"]) for row in rows):
        columns = columns[:-1]
        for row in rows:
            del row["correlation"]
    title = "Coefficient of variation between groups (k)" if counts else "Intraclass correlation"
    notes = [f"{method}."] if method else []
    return Supplement(key="icc", title=title, table=Table(rows, columns, notes=notes))


def _estimates_or_none(fit: Any) -> Mapping[str, Estimate] | None:
    try:
        return {item.term: item for item in fit.icc()}
    except WwcError:
        return None


def _variances(fit: Any, *, intervals: bool) -> Supplement:
    """Variances and correlations, of a planned analysis with profile-likelihood intervals of standard deviations."""
    limits = _limits(fit) if intervals else {}
    rows: Rows = []
    for row in fit.variance_components:
        near = limits.get((row["group"], *sorted((row["term_1"], row["term_2"]))), {})
        rows.append(
            {
                "group": row["group"],
                "term": " with ".join(part for part in (row["term_1"], row["term_2"]) if part),
                "variance": row["variance"],
                "sd": row["sd"] if not row["term_2"] else row["correlation"],
                "ci_low": near.get("ci_low", math.nan),
                "ci_high": near.get("ci_high", math.nan),
            }
        )
    columns = [
        Column(name="group", label="grouping factor"),
        Column(name="term"),
        Column(name="variance", label="variance or covariance", kind="number", digits=4),
        Column(name="sd", label="SD or correlation", kind="number", digits=4),
        *([Column(name="ci_low", label=f"{100 * fit.level:.6g}% low", kind="number", digits=4)] if limits else []),
        *(
            [Column(name="ci_high", label=f"{100 * fit.level:.6g}% high", kind="number", digits=4)]
            if limits
            else []
        ),
    ]
    rows = [{column.name: row[column.name] for column in columns} for row in rows]
    notes = ["Intervals are of the SD (profile likelihood) or of the correlation."] if limits else []
    if getattr(fit, "dispersion", None) is not None:
        notes.append(f"{_DISPERSION[fit.family]} {fit.dispersion:.4g}.")
    return Supplement(key="variances", title="Variance components", table=Table(rows, columns, notes=notes))


_DISPERSION = {
    "negative_binomial": "Size of the negative binomial (variance mu + mu squared / size):",
    "negative_binomial_1": "Overdispersion of the negative binomial (variance mu (1 + alpha)): alpha =",
}


def _limits(fit: Any) -> dict[tuple[str, ...], Mapping[str, Any]]:
    """Intervals of standard deviations and correlations; none where there is no profile."""
    try:
        found = fit.variance_intervals()
    except WwcError:
        return {}
    return {(row["group"], *sorted((row["term_1"], row["term_2"]))): row for row in found}


# --- inference and search


def _inferences(fit: Any, term: str) -> Supplement:
    """The effect under every inference that the fit can have, a regression beside a generalised one; the advice."""
    from wwc_eval.multilevel.advice import advise
    from wwc_eval.multilevel.generalised.advice import advise_generalised

    advice = advise(fit, term) if fit.family == "gaussian" else advise_generalised(fit, term)
    used = fit.inference.kind
    # the inference planned, with its own clusters, takes the place of the one at the highest factor
    everything = {**advice.estimates, used: fit.estimates[term]}
    rows = [
        {
            "inference": _name(kind),
            "estimate": one.estimate,
            "se": one.se,
            "df": "normal" if math.isinf(one.df) else one.df,
            "p_value": one.p_value,
            "ci_low": one.ci_low,
            "ci_high": one.ci_high,
            "mark": ", ".join(
                [*(["as planned"] if kind == used else []), *(["advised"] if kind == advice.inference else [])]
            ),
        }
        for kind, one in everything.items()
    ]
    columns = [
        Column(name="inference"),
        Column(name="estimate", kind="number", digits=4),
        Column(name="se", label="SE", kind="number", digits=4),
        Column(name="df", kind="number", digits=1),
        Column(name="p_value", label="p", kind="p_value"),
        Column(name="ci_low", label=f"{100 * fit.level:.6g}% low", kind="number", digits=4),
        Column(name="ci_high", label=f"{100 * fit.level:.6g}% high", kind="number", digits=4),
        Column(name="mark", label="which"),
    ]
    return Supplement(
        key=f"inference {term}",
        title=f"Inferences side by side: coefficient {term}",
        sentences=advice.reasons,
        table=Table(rows, columns, notes=("Two-sided p-values of the coefficient.",)),
    )


def profiled(fit: Any, context: Context, terms: Sequence[str]) -> Supplement:
    """Profile-likelihood intervals of the arms' coefficients."""
    table = fit.profile_intervals(terms, level=context.level)
    return Supplement(
        key="profile", title=f"Profile-likelihood intervals ({100 * context.level:.6g}%)", table=table
    )


def _name(kind: str) -> str:
    """Name of an inference for a reader."""
    return {"wald": "Wald", "satterthwaite": "Satterthwaite", "kenward_roger": "Kenward-Roger"}.get(kind, kind)


def _search(fit: Any) -> Supplement:
    """Where the search ended and how it got there."""
    record = fit.optimiser
    rows = [
        {"parameter": each.name, "value": each.value, "edge": "yes" if each.at_boundary else "no"}
        for each in record.parameters
    ]
    columns = [
        Column(name="parameter"),
        Column(name="value", kind="number", digits=6),
        Column(name="edge", label="at its boundary"),
    ]
    head = f"Status: {fit.status.replace('_', ' ')}. {fit.message}"
    ended = f"{record._title()}. {' '.join(record._notes())}"
    return Supplement(
        key="optimiser", title="Record of the search", sentences=(head, ended), table=Table(rows, columns)
    )
