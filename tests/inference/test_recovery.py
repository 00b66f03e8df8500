"""Recovery: over 200 regenerated trials the clustered interval covers the planted effect, the naive one falls short."""

from __future__ import annotations

import math

import numpy as np
import pytest

import wwc_eval as we
from wwc_eval.data.samples import family_conferencing_trial

TRIALS = 200
EFFECT = -0.09


@pytest.mark.simulation
def test_family_clustered_intervals_cover_the_planted_effect():
    estimates, errors, covered, naive_errors, naive_covered = [], [], [], [], []
    for trial in range(TRIALS):
        rng = np.random.default_rng([20_261_123, trial])
        children = family_conferencing_trial(rng, effect=EFFECT)
        children = children[(children.age < 18) & (children.consent_withdrawn == 0)]
        fit = we.regression(
            "in_care_12m ~ arm + local_authority + previous_plan", children,
            family="binomial", vcov="CR1S", cluster="family_id",
        )  # fmt: skip
        clustered = fit.marginal_effect("arm", scale="risk_difference")
        naive = fit.with_inference("HC1").marginal_effect("arm", scale="risk_difference")
        estimates.append(clustered.estimate)
        errors.append(clustered.se)
        naive_errors.append(naive.se)
        covered.append(clustered.ci_low <= EFFECT <= clustered.ci_high)
        naive_covered.append(naive.ci_low <= EFFECT <= naive.ci_high)
    spread = float(np.std(estimates, ddof=1))
    # bounds at 3.3 Monte Carlo standard errors: one false alarm in a thousand
    assert abs(np.mean(estimates) - EFFECT) < 3.3 * spread / math.sqrt(TRIALS)
    assert abs(np.mean(covered) - 0.95) < 3.3 * math.sqrt(0.95 * 0.05 / TRIALS)
    assert np.mean(errors) / spread == pytest.approx(1.0, abs=3.3 / math.sqrt(2 * TRIALS))
    # siblings' outcomes go together: errors that take children as independent are a fifth too small and more
    assert np.mean(naive_errors) / spread < 0.87
    assert np.mean(naive_covered) < 0.93
    assert np.mean(naive_covered) < np.mean(covered)
