"""wwc_eval: design, randomise, pre-register, analyse and judge trials of children's social care.

Names load on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# public name -> module that holds it
_HOMES = {
    "Allocation": "wwc_eval.randomisation",
    "Baseline": "wwc_eval.power",
    "Belief": "wwc_eval.power",
    "Binary": "wwc_eval.power",
    "Complete": "wwc_eval.randomisation",
    "Condition": "wwc_eval.formula",
    "Constrained": "wwc_eval.randomisation",
    "Continuous": "wwc_eval.power",
    "ConvergenceError": "wwc_eval.errors",
    "DataError": "wwc_eval.errors",
    "DesignError": "wwc_eval.errors",
    "DisclosureError": "wwc_eval.errors",
    "Enrolment": "wwc_eval.randomisation",
    "Estimate": "wwc_eval.estimate",
    "Estimates": "wwc_eval.estimate",
    "FidelityScores": "wwc_eval.fidelity",
    "FidelitySpecification": "wwc_eval.fidelity",
    "FormulaError": "wwc_eval.errors",
    "GStudy": "wwc_eval.fidelity",
    "Ledger": "wwc_eval.randomisation",
    "LedgerError": "wwc_eval.errors",
    "Level": "wwc_eval.power",
    "LockError": "wwc_eval.errors",
    "MatchedPairs": "wwc_eval.randomisation",
    "Minimisation": "wwc_eval.randomisation",
    "PermutedBlocks": "wwc_eval.randomisation",
    "Panel": "wwc_eval.did",
    "PanelDiD": "wwc_eval.power",
    "Plan": "wwc_eval.plans",
    "PlanError": "wwc_eval.errors",
    "Rate": "wwc_eval.power",
    "Rerandomised": "wwc_eval.randomisation",
    "Saturation": "wwc_eval.randomisation",
    "Simple": "wwc_eval.randomisation",
    "SteppedWedge": "wwc_eval.power",
    "SteppedWedgeSequences": "wwc_eval.randomisation",
    "Stratified": "wwc_eval.randomisation",
    "Table": "wwc_eval.table",
    "TimeToEvent": "wwc_eval.power",
    "TreatedGroups": "wwc_eval.power",
    "Trial": "wwc_eval.power",
    "WwcError": "wwc_eval.errors",
    "agreement": "wwc_eval.fidelity",
    "cluster_summaries": "wwc_eval.inference.cluster_summaries",
    "coarsened_exact_matching": "wwc_eval.did.matching",
    "complier_effect": "wwc_eval.inference.compliance",
    "cronbach_alpha": "wwc_eval.fidelity",
    "dose_response": "wwc_eval.fidelity",
    "explain_power": "wwc_eval.power",
    "fidelity_moderation": "wwc_eval.fidelity",
    "g_study": "wwc_eval.fidelity",
    "icc_priors": "wwc_eval.power",
    "intraclass_correlation": "wwc_eval.fidelity",
    "intraclass_correlations": "wwc_eval.fidelity",
    "item_analysis": "wwc_eval.fidelity",
    "kappa_sample_size": "wwc_eval.fidelity",
    "kendall_w": "wwc_eval.fidelity",
    "mahalanobis_matching": "wwc_eval.did.matching",
    "marginal_homogeneity": "wwc_eval.fidelity",
    "mask_arms": "wwc_eval.randomisation",
    "mcdonald_omega": "wwc_eval.fidelity",
    "multilevel_model": "wwc_eval.multilevel",
    "parse_condition": "wwc_eval.formula",
    "parse_formula": "wwc_eval.formula",
    "placebo_power": "wwc_eval.power",
    "principal_score_effects": "wwc_eval.fidelity",
    "propensity_matching": "wwc_eval.did.matching",
    "randomisation_test": "wwc_eval.randomisation.testing",
    "randomise": "wwc_eval.randomisation",
    "rater_calibration": "wwc_eval.fidelity",
    "rater_drift": "wwc_eval.fidelity",
    "rater_severity": "wwc_eval.fidelity",
    "ratings_of_table": "wwc_eval.fidelity",
    "read_table": "wwc_eval.data",
    "refit_many": "wwc_eval.multilevel.refit",
    "regression": "wwc_eval.inference",
    "relative_strength": "wwc_eval.fidelity",
    "seed_from": "wwc_eval.randomisation",
    "verify_allocation": "wwc_eval.randomisation",
}

# rooms reached by name, such as ``we.did.callaway_santanna``
_ROOMS = ("did", "fidelity", "pilot")

__all__ = sorted([*_HOMES, *_ROOMS, "__version__"])  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"wwc_eval.{name}")
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'wwc_eval' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
