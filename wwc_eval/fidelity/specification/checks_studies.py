"""What the studies of a specification must say: reliability, differentiation of the arms, the link with outcomes."""

from __future__ import annotations

from collections.abc import Iterator

from wwc_eval.data.yaml_text import Path
from wwc_eval.errors import Problem
from wwc_eval.fidelity.specification.checks_items import RESERVED
from wwc_eval.fidelity.specification.findings import Read

__all__ = ["study_problems"]

AGREEMENT = (
    *("cohen_kappa", "fleiss_kappa", "conger_kappa", "brennan_prediger", "ac1", "ac2", "krippendorff_alpha"),
    *("light_kappa", "percent_agreement"),
)
"""Coefficients of items, as ``we.agreement`` names them."""
COEFFICIENTS = (
    *AGREEMENT,
    *("icc_single", "icc_average", "ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)"),
    *("alpha", "omega"),
)
"""Coefficients for which a least value may be planned; ``dependability_<unit>`` besides."""


def study_problems(read: Read) -> Iterator[Problem]:
    """Faults of the three blocks."""
    yield from _reliability(read)
    yield from _differentiation(read)
    yield from _link(read)


def _reliability(read: Read) -> Iterator[Problem]:
    plan = read.document.reliability
    if plan is None:
        return
    known = (*COEFFICIENTS, *(f"dependability_{unit}" for unit in read.units))
    for name, least in plan.minimum.items():
        path: Path = ("reliability", "minimum", name)
        if name not in known:
            yield read.unknown(path, "coefficient", name, known, key=True)
        elif not 0 <= least <= 1:
            yield read.problem("F06", path, f"no coefficient reaches {least:g}", rule="from 0 to 1")
        elif name == "cohen_kappa" and (plan.raters or 2) > 2:
            message = f"cohen_kappa compares two raters, and {plan.raters} are planned"
            yield read.problem("F06", path, message, key=True, fix="use conger_kappa, its form for more")
    if plan.weights is not None and not any(name in AGREEMENT and name != "ac1" for name in plan.minimum):
        message = "weights belong to the agreement on items, and 'minimum' names no coefficient that has them"
        yield read.problem(
            "F05", ("reliability", "weights"), message, fix="name one, such as ac2, or remove weights"
        )


def _differentiation(read: Read) -> Iterator[Problem]:
    plan = read.document.differentiation
    if plan is None:
        return
    for index, arm in enumerate(plan.measured_in):
        if arm in plan.measured_in[:index]:
            path: Path = ("differentiation", "measured_in", index)
            yield read.problem("F01", path, f"arm '{arm}' is named twice", fix="name each arm once")
    if plan.arm in (*RESERVED, *read.units):
        message = (
            f"the arm is in column '{plan.arm}', which holds {'units' if plan.arm in read.units else 'ratings'}"
        )
        yield read.problem("F05", ("differentiation", "arm"), message, fix="name the column of the arm")
    if plan.reference is not None and plan.reference not in plan.measured_in:
        yield read.unknown(("differentiation", "reference"), "measured arm", plan.reference, plan.measured_in)


def _link(read: Read) -> Iterator[Problem]:
    document = read.document
    link = document.outcome_link
    if link is None:
        return
    if link.exposure != "composite" and link.exposure not in read.components:
        yield read.unknown(("outcome_link", "exposure"), "component", link.exposure, read.components)
    if link.exposure == "composite" and document.scoring.composite.rule == "none":
        message = "the exposure is the composite, and there is none"
        yield read.problem("F05", ("outcome_link",), message, fix="name a component as exposure")
    if link.cluster is not None and link.cluster not in read.units:
        yield read.unknown(("outcome_link", "cluster"), "unit", link.cluster, read.units)
    path: Path = ("outcome_link", "analyses")
    for index, name in enumerate(link.analyses):
        if name in link.analyses[:index]:
            yield read.problem("F01", (*path, index), f"analysis '{name}' is named twice", fix="name each once")
    if "cace_iv" in link.analyses and link.instrument is None:
        message = "cace_iv needs an instrument"
        yield read.problem("F05", path, message, fix="add instrument: the column of it")
    compared = [name for name in ("itt", "principal_score", "moderation") if name in link.analyses]
    if compared and link.instrument is None and document.differentiation is None:
        message = f"{compared[0]} compares arms, and no column of them is named"
        yield read.problem("F05", path, message, fix="add instrument: the column of what was allocated")
    if "principal_score" not in link.analyses and link.threshold is not None:
        message = "threshold belongs to principal_score, which is not among the analyses"
        yield read.problem("F05", ("outcome_link", "threshold"), message, fix="remove it, or add the analysis")
    if "principal_score" in link.analyses and link.threshold is None and link.exposure != "composite":
        message = "principal_score needs the score from which fidelity is high"
        yield read.problem("F05", path, message, fix="add threshold")
    if "moderation" not in link.analyses and link.measured is not None:
        message = "measured belongs to moderation, which is not among the analyses"
        yield read.problem("F05", ("outcome_link", "measured"), message, fix="remove it, or add the analysis")
