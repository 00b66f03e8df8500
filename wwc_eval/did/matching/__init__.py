"""Matching before difference-in-differences: coarsened exact, propensity and Mahalanobis."""

from __future__ import annotations

from wwc_eval.did.matching.coarsened import coarsened_exact_matching
from wwc_eval.did.matching.nearest import mahalanobis_matching, propensity_matching
from wwc_eval.did.matching.result import MatchBalance, Matching

__all__ = [
    "MatchBalance",
    "Matching",
    "coarsened_exact_matching",
    "mahalanobis_matching",
    "propensity_matching",
]
