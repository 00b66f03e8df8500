"""Reliability of ratings: agreement, intraclass correlation, generalisability, internal consistency, raters.

Names load on first use.

- ``reading``: a subjects x raters frame to codes, values and clusters.
- ``weights``, ``chance``, ``pairwise``, ``krippendorff``: the coefficients, each as sums over subjects, a value of the
  sums, and the influence of each subject.
- ``errors``: linearised, jackknife and bootstrap errors of anything that is a function of sums.
- ``coefficients``: the verb ``agreement``; ``icc`` (with ``icc_limits``, ``sums_of_squares``): intraclass correlations.
- ``generalisability`` (with ``effects``, ``d_study``, ``planner``): generalisability.
- ``consistency`` (alpha, omega), ``items``; ``raters`` (severity, drift), ``calibration``; ``concordance``.
"""

from __future__ import annotations

import importlib
from typing import Any

# public name -> module that holds it
_HOMES = {
    "GStudy": "wwc_eval.fidelity.reliability.generalisability",
    "agreement": "wwc_eval.fidelity.reliability.coefficients",
    "cronbach_alpha": "wwc_eval.fidelity.reliability.consistency",
    "g_study": "wwc_eval.fidelity.reliability.generalisability",
    "intraclass_correlation": "wwc_eval.fidelity.reliability.icc",
    "intraclass_correlations": "wwc_eval.fidelity.reliability.icc",
    "item_analysis": "wwc_eval.fidelity.reliability.items",
    "kappa_sample_size": "wwc_eval.fidelity.reliability.concordance",
    "kendall_w": "wwc_eval.fidelity.reliability.concordance",
    "marginal_homogeneity": "wwc_eval.fidelity.reliability.concordance",
    "mcdonald_omega": "wwc_eval.fidelity.reliability.consistency",
    "ratings_of_table": "wwc_eval.fidelity.reliability.reading",
    "rater_calibration": "wwc_eval.fidelity.reliability.calibration",
    "rater_drift": "wwc_eval.fidelity.reliability.raters",
    "rater_severity": "wwc_eval.fidelity.reliability.raters",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'wwc_eval.fidelity.reliability' has no attribute '{name}'")
