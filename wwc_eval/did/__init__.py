"""Difference-in-differences that stays honest with one treated local authority.

Names load on first use: an estimator is one file, and one line here.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

# public name -> module that holds it
_HOMES = {
    "BaconDecomposition": "wwc_eval.did.bacon",
    "CallawaySantAnna": "wwc_eval.did.callaway",
    "Check": "wwc_eval.did.checks_result",
    "Comparison": "wwc_eval.did.comparison",
    "Composition": "wwc_eval.did.composition_result",
    "DidResult": "wwc_eval.did.effects",
    "DoseResponse": "wwc_eval.did.doses",
    "EventPath": "wwc_eval.did.event_path",
    "FewTreated": "wwc_eval.did.few_table",
    "HonestIntervals": "wwc_eval.did.honest_intervals",
    "InterruptedTimeSeries": "wwc_eval.did.interrupted",
    "MatchBalance": "wwc_eval.did.matching",
    "Matching": "wwc_eval.did.matching",
    "Panel": "wwc_eval.did.panel",
    "PoissonResult": "wwc_eval.did.extended_poisson",
    "PreTrendPower": "wwc_eval.did.pre_trends",
    "RegressionToMean": "wwc_eval.did.reversion",
    "SerialCorrelation": "wwc_eval.did.serial",
    "SyntheticResult": "wwc_eval.did.synthetic_result",
    "TwoByTwo": "wwc_eval.did.two_way",
    "area_means": "wwc_eval.did.area_means",
    "bacon_decomposition": "wwc_eval.did.bacon",
    "callaway_santanna": "wwc_eval.did.callaway",
    "coarsened_exact_matching": "wwc_eval.did.matching",
    "compare": "wwc_eval.did.comparison",
    "composition": "wwc_eval.did.composition",
    "dose": "wwc_eval.did.doses",
    "event_study": "wwc_eval.did.event_study",
    "extended_twfe": "wwc_eval.did.extended_twfe",
    "few_treated": "wwc_eval.did.few_table",
    "honest": "wwc_eval.did.honest_intervals",
    "imputation": "wwc_eval.did.imputation",
    "interrupted_time_series": "wwc_eval.did.interrupted",
    "leave_one_out": "wwc_eval.did.left_out",
    "mahalanobis_matching": "wwc_eval.did.matching",
    "mask_periods": "wwc_eval.did.masks",
    "placebo_dates": "wwc_eval.did.placebo",
    "placebo_outcomes": "wwc_eval.did.placebo",
    "merge_areas": "wwc_eval.did.panel_merging",
    "pre_trend_power": "wwc_eval.did.pre_trends",
    "propensity_matching": "wwc_eval.did.matching",
    "regression_to_mean": "wwc_eval.did.reversion",
    "serial_correlation": "wwc_eval.did.serial",
    "stacked": "wwc_eval.did.stacked",
    "staggered": "wwc_eval.did.staggered",
    "sun_abraham": "wwc_eval.did.sun_abraham",
    "synthetic_control": "wwc_eval.did.synthetic",
    "synthetic_did": "wwc_eval.did.synthetic",
    "triple_difference": "wwc_eval.did.triple",
    "two_by_two": "wwc_eval.did.two_way",
    "two_stage": "wwc_eval.did.two_stage",
    "two_way_fixed_effects": "wwc_eval.did.two_way",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'wwc_eval.did' has no attribute '{name}'")


class _Room(ModuleType):
    """The room: a public name stays what it is when a module of the same name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        # importing a module binds it in its package, which would hide the verb of that name
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Room
