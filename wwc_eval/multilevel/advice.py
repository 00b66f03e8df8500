"""Which small-sample inference is advised for a linear mixed model, and why; :class:`Advice` serves every family."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DesignError, WwcError, did_you_mean
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from wwc_eval.estimate import Estimate
    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["Advice", "advise"]

MANY_CLUSTERS = 50
"""From here on the inferences agree for all practical purposes."""
VERY_FEW = 5
"""Below this no interval can be trusted: nothing estimates a variance from so few clusters."""
KENWARD_ROGER_EFFECTS = 2_500


@dataclass(frozen=True, kw_only=True, repr=False)
class Advice(Rendered):
    """The inference advised, with all of them side by side.

    Parameters
    ----------
    inference : str
        The inference advised, as ``with_inference`` takes it; ``"regression, CR2"`` for a generalised model whose
        groups are few.
    cluster : str or None
        The highest grouping factor; None with crossed factors.
    n_clusters : int
        Its groups.
    term : str
        Term shown: the first that is not the intercept, unless another is asked for.
    reasons : tuple of str
        Why, in sentences.
    estimates : mapping of str to Estimate
        The term under every inference that the fit can have.
    """

    inference: str
    cluster: str | None
    n_clusters: int
    term: str
    reasons: tuple[str, ...]
    estimates: dict[str, Estimate]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row for each inference."""
        return [
            {
                "inference": kind,
                "estimate": each.estimate,
                "se": each.se,
                "df": each.df,
                "p_value": each.p_value,
                "ci_low": each.ci_low,
                "ci_high": each.ci_high,
                "advised": kind == self.inference,
            }
            for kind, each in self.estimates.items()
        ]

    def _grid(self) -> Grid:
        columns = [
            Column(name="inference"),
            Column(name="estimate", kind="number"),
            Column(name="se", label="SE", kind="number"),
            Column(name="df", kind="number", digits=1),
            Column(name="p_value", label="p", kind="p_value"),
            Column(name="ci_low", label="low", kind="number"),
            Column(name="ci_high", label="high", kind="number"),
            Column(name="advised"),
        ]
        rows = [{**row, "advised": "advised" if row["advised"] else ""} for row in self.to_dicts()]
        return Table(rows, columns)._grid()

    def _title(self) -> str:
        return f"Inference for {self.term}"

    def _notes(self) -> tuple[str, ...]:
        return self.reasons

    def __repr__(self) -> str:
        """The inferences as a table, with the reasons."""
        return str(self)


def advise(fit: LinearFit, term: str | None = None) -> Advice:
    """Advice for a fit: Kenward-Roger below 50 clusters, with CR2 at the highest level beside it.

    The rule follows the simulations of docs/methods/multilevel.md: with few clusters Kenward-Roger holds its level
    when the random part is right, CR2 when only the clusters are; with very few, a randomisation test does.

    Parameters
    ----------
    fit : LinearFit
        The fit.
    term : str, optional
        Coefficient to show; the first that is not the intercept where it is missing.

    Raises
    ------
    DesignError
        If the model has no such term.
    """
    problem = fit.core.solution.problem
    cluster = problem.prepared.groupings[-1].name if problem.nested else None
    fewest = min(fit.groups.values()) if cluster is None else fit.groups[cluster]
    kinds = ["wald", "satterthwaite"]
    if fit.method == "reml" and (problem.nested or problem.effects <= KENWARD_ROGER_EFFECTS):
        kinds.append("kenward_roger")
    if cluster is not None:
        kinds += ["CR2", "CR3"]
    if term is None:
        term = next((name for name in fit.terms if name != "(Intercept)"), fit.terms[0] if fit.terms else "")
    elif term not in fit.terms:
        raise DesignError(f"the model has no term '{term}'", fix=did_you_mean(term, fit.terms))
    estimates = {}
    for kind in kinds:
        try:
            estimates[kind] = fit.with_inference(kind).estimates[term]
        except WwcError:
            continue
    few = fewest < MANY_CLUSTERS
    choice = "kenward_roger" if few and "kenward_roger" in estimates else "satterthwaite"
    return Advice(
        inference=choice,
        cluster=cluster,
        n_clusters=fewest,
        term=term,
        reasons=tuple(_reasons(fit, choice, cluster, fewest, estimates)),
        estimates=estimates,
    )


def _reasons(
    fit: LinearFit, choice: str, cluster: str | None, fewest: int, estimates: dict[str, Estimate]
) -> list[str]:
    where = (
        f"{fewest:,} groups of '{cluster}'" if cluster else f"crossed factors, the smallest of {fewest:,} groups"
    )
    found = []
    if fewest >= MANY_CLUSTERS:
        found.append(f"With {where} all inferences nearly agree; Satterthwaite's needs no adjustment.")
    elif choice == "kenward_roger":
        found.append(
            f"With {where}, fewer than {MANY_CLUSTERS}, normal intervals are too short; Kenward-Roger adjusts both "
            "errors and degrees of freedom, and holds its level if the random part of the model is right."
        )
    elif fit.method == "ml":
        found.append(
            f"With {where} a maximum likelihood fit understates variances; fit with method='reml' and use "
            "Kenward-Roger."
        )
    else:
        found.append(f"With {where} Kenward-Roger is out of reach; Satterthwaite's df come nearest.")
    if cluster and fewest < MANY_CLUSTERS:
        found.append(
            f"Report CR2 clustered by '{cluster}' beside it: it needs only that these clusters are independent."
        )
    found += _disagreement(cluster, estimates)
    if fewest < VERY_FEW:
        found.append(
            f"{fewest:,} clusters are too few for any standard error; prefer a randomisation test or a comparison "
            "of cluster means, and say which level the conclusion rests on."
        )
    return found


def _disagreement(cluster: str | None, estimates: dict[str, Estimate]) -> list[str]:
    """A sentence where the level that is taken as independent decides the degrees of freedom."""
    model, robust = estimates.get("kenward_roger"), estimates.get("CR2")
    if model is None or robust is None or math.isnan(robust.df) or not model.df > 2.0 * robust.df:
        return []
    sentence = (
        f"The level decides: Kenward-Roger gives {model.df:.1f} degrees of freedom, CR2 clustered by '{cluster}' "
        f"{robust.df:.1f}. The first trusts that effects do not vary between the groups of '{cluster}'."
    )
    return [sentence]
