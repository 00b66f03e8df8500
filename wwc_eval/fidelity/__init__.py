"""Practice scored against a specification of high-quality practice: how reliably, and how it bears on outcomes.

Names load on first use: a method is one file, and one line here.
"""

from __future__ import annotations

import importlib
from typing import Any

# public name -> module that holds it
_HOMES = {
    "FidelityScores": "wwc_eval.fidelity.scoring.scores",
    "FidelitySpecification": "wwc_eval.fidelity.specification.specification",
    "GStudy": "wwc_eval.fidelity.reliability",
    "agreement": "wwc_eval.fidelity.reliability",
    "changes": "wwc_eval.fidelity.benchmarking.change",
    "cronbach_alpha": "wwc_eval.fidelity.reliability",
    "dose_response": "wwc_eval.fidelity.outcomes",
    "fidelity_moderation": "wwc_eval.fidelity.outcomes",
    "funnel": "wwc_eval.fidelity.benchmarking.funnel",
    "g_study": "wwc_eval.fidelity.reliability",
    "intraclass_correlation": "wwc_eval.fidelity.reliability",
    "intraclass_correlations": "wwc_eval.fidelity.reliability",
    "item_analysis": "wwc_eval.fidelity.reliability",
    "kappa_sample_size": "wwc_eval.fidelity.reliability",
    "kendall_w": "wwc_eval.fidelity.reliability",
    "league": "wwc_eval.fidelity.benchmarking.league",
    "marginal_homogeneity": "wwc_eval.fidelity.reliability",
    "mcdonald_omega": "wwc_eval.fidelity.reliability",
    "principal_score_effects": "wwc_eval.fidelity.outcomes",
    "random_effects": "wwc_eval.fidelity.benchmarking.random_effects",
    "rater_calibration": "wwc_eval.fidelity.reliability",
    "rater_drift": "wwc_eval.fidelity.reliability",
    "rater_severity": "wwc_eval.fidelity.reliability",
    "ratings_of_table": "wwc_eval.fidelity.reliability",
    "relative_strength": "wwc_eval.fidelity.outcomes",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'wwc_eval.fidelity' has no attribute '{name}'")
