"""Never a silent wrong fit: random trials of every awkward kind beside several restarts."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from glmm_trials import lowest_restart, random_trial

from wwc_eval.multilevel.generalised.solve import solve

RECORD = Path(__file__).resolve().parents[1] / "reference" / "multilevel_glmm_robustness.json"
TOLERANCE = 1e-6


def study(seeds, restarts, largest=60):
    """Counts by outcome, and the trials whose fit is worse than a restart without saying so."""
    counts, worse = Counter(), []
    for seed in seeds:
        rng = np.random.default_rng([2024, seed])
        drawn = random_trial(rng, largest)
        if drawn is None:
            counts["nothing to fit"] += 1
            continue
        sample, points, kind = drawn
        solution = solve(sample, points)
        status = status_of(solution)
        counts[status] += 1
        check_status(sample, solution, status)
        if solution.trouble or not restarts:
            continue
        gap = solution.optimum.value - lowest_restart(solution, rng, restarts)
        if gap > TOLERANCE:
            worse.append({"seed": seed, "kind": kind, "family": sample.family, "gap": gap})
    return counts, worse


def status_of(solution):
    if solution.separation is not None:
        return "separated"
    if solution.trouble:
        return "failed"
    roots = solution.prepared.roots
    pivots = solution.optimum.psi[: roots.size][roots.diagonal]
    return "boundary" if solution.poisson_limit or (pivots == 0).any() else "ok"


def check_status(sample, solution, status):
    """What a status promises."""
    if status == "separated":
        assert np.isnan(solution.beta[~solution.estimable]).all()
        assert not solution.rows.all()
    if solution.trouble:
        assert np.isnan(solution.vcov).all()
        return
    fine = solution.estimable
    assert np.isfinite(solution.beta[fine]).all()
    assert (np.diag(solution.vcov)[fine] > 0).all()
    assert solution.optimum.slope < 1e-4
    assert solution.optimum.smallest_curvature > -1e-4
    for covariance in solution.covariances:
        assert np.linalg.eigvalsh(covariance)[0] > -1e-9 * max(1, np.abs(covariance).max())


@pytest.mark.simulation
def test_no_restart_does_better():
    counts, worse = study(range(50), restarts=1, largest=8)
    assert not worse
    assert counts["ok"] > 10
    assert counts["boundary"] > 10
    assert counts["separated"] > 1


@pytest.mark.simulation
def test_every_fit_keeps_its_promises():
    counts, _ = study(range(50, 150), restarts=0, largest=8)
    assert counts["failed"] < 10


@pytest.mark.slow
@pytest.mark.simulation
def test_no_restart_does_better_in_ten_thousand_trials():
    counts, worse = study(range(10_000), restarts=3)
    record = {"trials": 10_000, "restarts": 3, "tolerance": TOLERANCE, "counts": dict(counts), "worse": worse}
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    # an unmarked loss in a thousand trials would be one too many; those left are recorded one by one
    assert len(worse) <= 5
