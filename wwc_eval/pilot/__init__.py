"""Pilots: pre-stated criteria, flow and rates with exact intervals, what the main trial needs, and the decision.

Names load on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

# public name -> module that holds it
_HOMES = {
    "Decision": "wwc_eval.pilot.decision",
    "MeanCriterion": "wwc_eval.pilot.criteria",
    "Finding": "wwc_eval.pilot.judgement",
    "Judgement": "wwc_eval.pilot.judgement",
    "PilotFlow": "wwc_eval.pilot.flow",
    "ProgressionCriterion": "wwc_eval.pilot.criteria",
    "RateCriterion": "wwc_eval.pilot.criteria",
    "Rules": "wwc_eval.pilot.judgement",
    "assurance_normal": "wwc_eval.pilot.intervals",
    "clustered_count": "wwc_eval.pilot.recruitment",
    "clustered_rate": "wwc_eval.pilot.rates",
    "icc_interval": "wwc_eval.pilot.intervals",
    "judge": "wwc_eval.pilot.judgement",
    "main_trial": "wwc_eval.pilot.planning",
    "pilot_sizes": "wwc_eval.pilot.sizes",
    "pool_iccs": "wwc_eval.pilot.intervals",
    "rate_difference": "wwc_eval.pilot.rates",
    "rate_interval": "wwc_eval.pilot.rates",
    "rate_variation": "wwc_eval.pilot.variation",
    "recruitment_forecast": "wwc_eval.pilot.recruitment",
    "recruitment_rate": "wwc_eval.pilot.recruitment",
    "sd_interval": "wwc_eval.pilot.intervals",
    "upper_sd": "wwc_eval.pilot.intervals",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'wwc_eval.pilot' has no attribute '{name}'")
