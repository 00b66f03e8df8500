"""Check that inference is made for few clusters where there are few."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

from wwc_eval.errors import Problem
from wwc_eval.plans.checks.registry import check, problem_at, tasks_of
from wwc_eval.plans.effects import FEW_CLUSTERS
from wwc_eval.plans.facts import Facts
from wwc_eval.plans.yaml_text import Path


@check("P08", "few clusters have inference made for few")
def _few_clusters(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    """Of every planned analysis; what varies one stands beside it, and carries a warning in the result."""
    design = facts.document.design
    if design.kind == "pilot":
        return  # its criteria carry their own clusters
    if design.kind == "individual":
        for task in tasks_of(facts):
            if getattr(task.analysis, "average", "") == "clusters" and task.role != "subgroup":
                yield problem_at(
                    facts, "P08", (*task.path, "average"), "no clusters were assigned that could count once each",
                    "write average: participants, or kind: cluster",
                )  # fmt: skip
        if design.clusters is not None:
            yield problem_at(
                facts, "P08", ("design", "clusters"), "clusters are declared, and the design is individual",
                "write kind: cluster, or remove clusters",
            )  # fmt: skip
        return
    yield from _declaration(facts)
    fewest = facts.fewest_clusters
    if fewest is None or fewest >= FEW_CLUSTERS:
        return
    where = "in all" if design.kind == "stepped_wedge" else "in an arm"
    for index, analysis in enumerate(facts.document.analyses):
        if analysis.small_sample:
            continue
        path: Path = ("analyses", index)
        if "inference" in analysis.model_fields_set:
            path = (*path, "inference")
        yield problem_at(
            facts, "P08", path,
            f"{fewest} clusters {where} are fewer than {FEW_CLUSTERS}, and the inference of '{analysis.id}' is not made "
            "for so few",
            analysis.small_sample_fix(facts.unit_column or design.unit),
        )  # fmt: skip


def _declaration(facts: Facts) -> Iterator[Problem]:
    """The number of clusters is declared, agrees with the arms and with the dates of the wedge."""
    design = facts.document.design
    path: Path = ("design", "clusters")
    if design.clusters is None and not (design.wedge and design.wedge.go_live):
        shares = ", ".join(f"{arm}: ..." for arm in design.arms)
        fix = (
            f"write clusters: {{{shares}}}"
            if design.kind == "cluster"
            else "write clusters: ..., or go_live dates"
        )
        yield problem_at(facts, "P08", ("design",), "the number of clusters is not declared", fix, key=True)
        return
    numbers = design.clusters.values() if isinstance(design.clusters, dict) else [design.clusters or 1]
    if min(numbers, default=0) < 1:
        yield problem_at(facts, "P08", path, "a number of clusters must be >= 1")
    if isinstance(design.clusters, dict):
        if design.kind == "stepped_wedge":
            yield problem_at(
                facts, "P08", path, "in a stepped wedge every cluster is in every arm", "write their number in all"
            )
        elif set(design.clusters) != set(design.arms):
            odd = ", ".join(sorted(set(design.clusters) ^ set(design.arms)))
            yield problem_at(
                facts, "P08", path, f"clusters and arms differ in {odd}", "give the number of clusters of each arm"
            )
    live = len(design.wedge.go_live) if design.wedge else 0
    if isinstance(design.clusters, int) and live > design.clusters:
        yield problem_at(
            facts, "P08", path, f"{live} clusters have a go-live date, and clusters == {design.clusters}",
            "give the same number in both places",
        )  # fmt: skip
