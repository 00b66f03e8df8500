"""Difference-in-differences that stays honest with one treated local authority.

Names load on first use: an estimator is one file, and one line here.
"""

from __future__ import annotations

import importlib
from typing import Any

# public name -> module that holds it
_HOMES = {
    "CallawaySantAnna": "wwc_eval.did.callaway",
    "EventPath": "wwc_eval.did.event_path",
    "FewTreated": "wwc_eval.did.few_treated",
    "HonestIntervals": "wwc_eval.did.honest_intervals",
    "MatchBalance": "wwc_eval.did.matching",
    "Matching": "wwc_eval.did.matching",
    "Panel": "wwc_eval.did.panel",
    "PreTrendPower": "wwc_eval.did.pre_trends",
    "SyntheticResult": "wwc_eval.did.synthetic",
    "callaway_santanna": "wwc_eval.did.callaway",
    "coarsened_exact_matching": "wwc_eval.did.matching",
    "few_treated": "wwc_eval.did.few_treated",
    "honest": "wwc_eval.did.honest_intervals",
    "mahalanobis_matching": "wwc_eval.did.matching",
    "pre_trend_power": "wwc_eval.did.pre_trends",
    "propensity_matching": "wwc_eval.did.matching",
    "synthetic_control": "wwc_eval.did.synthetic",
    "synthetic_did": "wwc_eval.did.synthetic",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'wwc_eval.did' has no attribute '{name}'")
