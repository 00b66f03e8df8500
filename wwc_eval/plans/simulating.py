"""The planned analysis by simulation: which analysis of the power room is the one that the plan writes, or why none is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from wwc_eval.errors import DesignError, PlanError, did_you_mean
from wwc_eval.plans.allocating import kind_of
from wwc_eval.plans.facts import formula_or_error
from wwc_eval.plans.powering import power_of

if TYPE_CHECKING:
    from wwc_eval.plans.facts import Facts, Task
    from wwc_eval.plans.vocabulary.base import AnalysisFields
    from wwc_eval.power import SteppedWedge, Trial
    from wwc_eval.power.simulation.result import Simulation

__all__ = ["analysis_named", "simulate_plan"]

FAMILIES = {"Continuous": ("gaussian",), "Binary": ("binomial",), "Rate": ("poisson", "quasipoisson")}


def simulate_plan(
    facts: Facts, effect: float | None, *, analysis: str | None, drift_sd: float, **asked: Any
) -> Simulation:
    """Simulate the plan's trial with its own analysis; see :meth:`wwc_eval.plans.Plan.simulate`."""
    planned = power_of(facts)
    target = facts.document.design.target
    if target.sides != 2:
        raise DesignError("simulated tests are two-sided, and the plan's is one-sided", fix="use plan.power()")
    task = _task(facts, analysis)
    size = planned.effect if effect is None else effect
    if size is None:
        raise DesignError("the plan states no effect", fix="give effect=, or write target: mdes:")
    name = analysis_named(facts, task.analysis, planned.design)
    return planned.design.simulate(size, analysis=name, drift_sd=drift_sd, alpha=float(target.alpha), **asked)


def _task(facts: Facts, wanted: str | None) -> Task:
    """The analysis of that identifier, planned or varied; the primary outcome's where none is named."""
    tasks = [task for task in facts.tasks() if task.by is None]
    if wanted is None:
        found = next((task for task in tasks if task.role == "primary"), None)
        if found is None:
            raise PlanError("no analysis of a primary outcome is planned", fix="name one: analysis=...")
        return found
    by_id = {task.id: task for task in tasks}
    if wanted not in by_id:
        raise PlanError(f"the plan has no analysis '{wanted}'", fix=did_you_mean(wanted, by_id))
    primary = facts.primary
    if primary is None or by_id[wanted].analysis.outcome != primary.name:
        raise DesignError(
            f"analysis '{wanted}' is of another outcome than the one that the trial was sized for",
            fix="name an analysis of the primary outcome",
        )
    return by_id[wanted]


def analysis_named(facts: Facts, analysis: AnalysisFields, design: Trial | SteppedWedge) -> str:
    """Name under which the power room simulates an analysis of the plan.

    Parameters
    ----------
    facts : Facts
        The plan.
    analysis : AnalysisFields
        One of its analyses.
    design : Trial or SteppedWedge
        What is simulated.

    Raises
    ------
    DesignError
        If it is not simulated as it is written; the error names what is not.
    """
    named = {
        "regression": _regression,
        "multilevel": _multilevel,
        "cluster_summaries": _summaries,
        "randomisation_test": _randomisation,
    }
    if analysis.model not in named:
        _refuse(f"model: {analysis.model}", f"one of {', '.join(named)} is")
    if analysis.population != "intention_to_treat":
        _refuse(f"population: {analysis.population}", "intention_to_treat is")
    if analysis.model != "randomisation_test":
        _shared(analysis, design)
    return named[analysis.model](facts, analysis, design)


def _refuse(what: str, instead: str) -> NoReturn:
    raise DesignError(
        f"{what} is not simulated",
        rule="what is simulated is the analysis as the plan writes it",
        fix=f"{instead}; plan.power().design.simulate(...) simulates any that it knows, by name",
    )


def _shared(analysis: Any, design: Trial | SteppedWedge) -> None:
    """Parts that analyses of every model may have."""
    families = FAMILIES.get(type(design.outcome).__name__, ())
    if analysis.family not in families:
        _refuse(f"family: {analysis.family} of this outcome", f"{' or '.join(families) or 'no family'} is")
    for field in ("weights", "bootstrap"):
        if getattr(analysis, field, None):
            _refuse(f"{field}:", f"an analysis without {field} is")
    if getattr(analysis, "average", None) == "clusters" and analysis.model != "cluster_summaries":
        _refuse("average: clusters", "average: participants is")


def _is_wedge(design: Trial | SteppedWedge) -> bool:
    return not hasattr(design, "levels")


def _terms(analysis: Any) -> frozenset[str]:
    """Columns of the fixed part."""
    formula = formula_or_error(analysis.formula)
    return frozenset(name for term in getattr(formula, "fixed", ()) for name in getattr(term, "columns", ()))


def _saturated_wedge(facts: Facts, analysis: Any, what: str) -> None:
    """Regressions of a wedge are simulated with effects of clusters and of periods."""
    wedge = facts.document.design.wedge
    assert wedge is not None
    needed = [str(facts.unit_column), wedge.period]
    missing = [name for name in needed if name not in _terms(analysis)]
    if missing:
        _refuse(f"{what} without {' and '.join(missing)}", f"one with + {' + '.join(missing)} in its formula is")


def _is_blocked(design: Any) -> bool:
    """Whether both arms stand in each unit of the top level."""
    return not _is_wedge(design) and design.at < len(design.levels) - 1


def _blocks_in_model(facts: Facts, analysis: Any, design: Any, what: str) -> None:
    """Models of a blocked trial are simulated with an effect of each block."""
    if not _is_blocked(design):
        return
    within = facts.document.design.within
    missing = [name for name in within if name not in _terms(analysis)]
    if missing or not within:
        _refuse(f"{what} without effects of its blocks", f"one with + {' + '.join(missing) or 'the blocks'} is")


def _regression(facts: Facts, analysis: Any, design: Any) -> str:
    vcov, df, cluster = analysis.inference.vcov, analysis.inference.df, analysis.inference.cluster
    if vcov == "classical":
        if _is_wedge(design) or len(design.levels) > 1 or analysis.family == "quasipoisson":
            _refuse("vcov: classical of this design", "CR2 is")
        return "regression"
    if _is_blocked(design) and analysis.family == "gaussian" and design.block_effects == "random":
        _refuse("a regression of blocks whose effects are random", "block_effects: fixed or constant is")
    _blocks_in_model(facts, analysis, design, "a regression of a blocked trial")
    if vcov not in {"CR2", "CR3"}:
        _refuse(f"vcov: {vcov}", "CR2 is" if facts.document.design.kind != "individual" else "classical is")
    if cluster != facts.unit_column:
        _refuse(f"cluster: {cluster}", f"cluster: {facts.unit_column} is")
    if vcov == "CR2" and df == "clusters":
        _refuse("vcov: CR2 with df: clusters", "df: satterthwaite is")
    if vcov == "CR3" and df != "clusters":
        _refuse("vcov: CR3 with df: satterthwaite", "df: clusters is")
    if _is_wedge(design):
        _saturated_wedge(facts, analysis, "a regression of a wedge")
    return f"regression_{vcov.lower()}"


def _multilevel(facts: Facts, analysis: Any, design: Any) -> str:
    method, groups = analysis.inference_method, analysis.groups
    gaussian = analysis.family == "gaussian"
    if analysis.method not in (None, "reml" if gaussian else "laplace"):
        _refuse(f"method: {analysis.method}", f"method: {'reml' if gaussian else 'laplace'} is")
    formula = formula_or_error(analysis.formula)
    if any("|" in term.text and not term.text.replace(" ", "").startswith("(1|") for term in formula.random):  # type: ignore[union-attr]
        _refuse("a random slope", "(1 | ...) is")
    if not gaussian:
        if groups != (facts.unit_column,):
            _refuse(f"random effects of {', '.join(groups)}", f"(1 | {facts.unit_column}) is")
        _blocks_in_model(facts, analysis, design, "a mixed model of a blocked trial")
        return "mixed_model"
    if _is_wedge(design):
        return _wedge_model(facts, method, groups)
    wanted = 0 if len(design.levels) == 1 else len(design.levels) - 1
    fixed = design.at < len(design.levels) - 1 and design.block_effects != "random"
    if len(groups) != wanted - fixed:
        _refuse(
            f"a model with random effects of {', '.join(groups)}",
            f"in a design of {len(design.levels)} levels one of {wanted - fixed} grouping factors",
        )
    if fixed:
        _blocks_in_model(facts, analysis, design, "a mixed model of a blocked trial")
    if design.at > 0 and facts.unit_column not in groups:
        _refuse(f"a model without random effects of {facts.unit_column}", f"(1 | {facts.unit_column}) is")
    if method not in {"satterthwaite", "kenward_roger"}:
        _refuse(f"inference: {method}", "satterthwaite or kenward_roger is")
    return "mixed_model" if method == "satterthwaite" else "kenward_roger"


def _wedge_model(facts: Facts, method: str, groups: tuple[str, ...]) -> str:
    """Hussey and Hughes's model has random effects of clusters, the nested exchangeable one of their periods too."""
    wedge = facts.document.design.wedge
    assert wedge is not None
    if method != "satterthwaite":
        _refuse(f"inference: {method} in a stepped wedge", "satterthwaite is")
    names = {(facts.unit_column,): "hussey_hughes", (facts.unit_column, wedge.period): "nested_exchangeable"}
    if groups not in names:
        unit = facts.unit_column
        _refuse(f"random effects of {', '.join(groups)}", f"(1 | {unit}) or (1 | {unit}/{wedge.period}) is")
    return names[groups]


def _summaries(facts: Facts, analysis: Any, design: Any) -> str:
    how = analysis.inference
    if _is_wedge(design):
        _refuse("model: cluster_summaries of a wedge", "a regression with CR2 is")
    if how.average != "clusters":
        _refuse("average: participants of cluster summaries", "average: clusters is")
    if how.variance not in (None, "pooled"):
        _refuse(f"variance: {how.variance} of cluster summaries", "pooled is")
    if analysis.scales[0] not in {"mean_difference", "risk_difference"}:
        _refuse(f"a comparison of cluster summaries by {analysis.scales[0]}", "their difference is")
    if how.cluster != facts.unit_column:
        _refuse(f"summaries of {how.cluster}", f"cluster: {facts.unit_column} is")
    blocked = _is_blocked(design)
    if blocked != (how.by is not None):
        _refuse("by: in a design without blocks" if how.by else "a comparison without by: in a design with blocks",
                "the other is")  # fmt: skip
    return "cluster_summaries"


def _randomisation(facts: Facts, analysis: Any, design: Any) -> str:
    randomisation = facts.document.randomisation
    scheme = None if randomisation is None else kind_of(randomisation.method)
    by = bool(randomisation.by) if randomisation is not None else False
    options = dict(randomisation.options) if randomisation is not None else {}
    if _is_wedge(design):
        fits = scheme == "stepped_wedge_sequences" and by == (design.strata is not None)
        if analysis.statistic != "regression":
            _refuse(f"statistic: {analysis.statistic} of a wedge", "regression is")
        _saturated_wedge(facts, analysis, "a randomisation test of a wedge")
    else:
        blocked = _is_blocked(design)
        fits = (scheme == "stratified" and blocked and by) or (
            scheme == "complete" and not blocked and not options
        )
        wanted = "regression" if blocked else "difference_in_means"
        if analysis.statistic != wanted:
            _refuse(f"statistic: {analysis.statistic}", f"{wanted} is")
        _blocks_in_model(facts, analysis, design, "a randomisation test of a blocked trial")
        if any(float(level.size_cv) > 0 for level in design.levels):
            _refuse("a difference in means of rows where sizes vary", "a design without size_cv is")
    if not fits:
        said = "a scheme that is a description" if scheme is None else f"method: {randomisation.method}"  # type: ignore[union-attr]
        _refuse(
            said,
            "complete, stratified with blocks as levels, or stepped_wedge_sequences with strata: where it is by: something is",
        )
    return "randomisation_test"
