"""Regression and the inference that trials need: robust and clustered errors, marginal effects, effect sizes."""

from wwc_eval.inference.covariance import VCOV_KINDS
from wwc_eval.inference.effect_size import effect_size
from wwc_eval.inference.families import FAMILIES
from wwc_eval.inference.fit import RegressionFit
from wwc_eval.inference.marginal import adjusted_means, marginal_effect
from wwc_eval.inference.missing_data import Completed, missing_indicator
from wwc_eval.inference.multiplicity import adjust_p
from wwc_eval.inference.regression import regression
from wwc_eval.inference.unadjusted import UnadjustedComparison, unadjusted_comparison
from wwc_eval.inference.wald import WaldTest

__all__ = [
    "FAMILIES",
    "VCOV_KINDS",
    "Completed",
    "RegressionFit",
    "UnadjustedComparison",
    "WaldTest",
    "adjust_p",
    "adjusted_means",
    "effect_size",
    "marginal_effect",
    "missing_indicator",
    "regression",
    "unadjusted_comparison",
]
