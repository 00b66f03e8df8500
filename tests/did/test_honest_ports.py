"""Honest intervals of the example shipped with HonestDiD: two ports, and who is right where they differ."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from did_figures import solved
from scipy.optimize import minimize
from scipy.special import ndtri
from scipy.stats import ncx2

import wwc_eval as we
from wwc_eval.did.event_path import EventPath

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "did_honest.json").read_text(encoding="utf-8"))
SHARED = Path(__file__).parents[3] / "shared" / "data" / "did" / "bc_event_study.json"
EVENTS = (-5, -4, -3, -2, 0, 1, 2, 3)
KNOWN = 4

pytestmark = [
    pytest.mark.reference,
    pytest.mark.skipif(not SHARED.exists(), reason="the estimates of Benzarti and Carloni are not in this copy"),
]
# what each port is off at its two ends, by M: moderndid's optimiser stops short, honestdid draws its critical values
GAPS = {
    "moderndid": [[5.63e-5, 5.63e-5], [-1.1e-7, -0.8e-7]],
    "honestdid": [[5.95e-5, -2.97e-5], [-2.38e-5, 2.37e-5]],
}


def data():
    return json.loads(SHARED.read_text(encoding="utf-8"))


def ends(restriction, values):
    path = EventPath(events=list(EVENTS), estimates=data()["betahat"], vcov=data()["sigma"])
    return we.did.honest(path, restriction, values).to_frame()[["ci_low", "ci_high"]].to_numpy()


def least_squares():
    """With M = 0: the first effect less the line through the estimates before, of least variance; in fractions."""
    beta = [Fraction(value) for value in np.ravel(data()["betahat"]).tolist()]
    sigma = [[Fraction(value) for value in row] for row in data()["sigma"]]
    line = [Fraction(event + 1) for event in EVENTS]
    system = [[*sigma[i][:KNOWN], line[i]] for i in range(KNOWN)] + [[*line[:KNOWN], Fraction(0)]]
    right = [*(-sigma[i][KNOWN] for i in range(KNOWN)), -line[KNOWN]]
    weights = [*solved(system, right)[:KNOWN], Fraction(1)]
    within = range(KNOWN + 1)
    variance = sum(weights[i] * weights[j] * sigma[i][j] for i in within for j in within)
    centre = float(sum(weight * value for weight, value in zip(weights, beta, strict=False)))
    half = float(ndtri(0.975)) * float(variance) ** 0.5
    return np.array([centre - half, centre + half])


def shortest(value):
    """Shortest interval by a general optimiser over weights before treatment and the sizes of the weights on bends."""
    beta, sigma = np.ravel(data()["betahat"]), np.array(data()["sigma"])
    events = np.array(EVENTS)
    # a path that bends once, at -4, -3, -2 (backwards) or at the reference and 0 .. 2 (forwards), zero at the reference
    bends = np.array(
        [np.maximum(at - events, 0) for at in (-4, -3, -2)] + [np.maximum(events - at, 0) for at in (-1, 0, 1, 2)]
    )

    def parts(x):
        weights = np.concatenate([x[:KNOWN], [1.0], np.zeros(len(EVENTS) - KNOWN - 1)])
        return weights, bends @ weights

    def half(x):
        weights, _ = parts(x)
        sd = np.sqrt(weights @ sigma @ weights)
        return sd * np.sqrt(ncx2.ppf(0.95, 1, (value * x[KNOWN:].sum() / sd) ** 2))

    start = least_squares_start(sigma, events)
    found = minimize(
        half,
        np.concatenate([start, np.abs(parts(start)[1]) + 0.01]),
        method="SLSQP",
        constraints=[
            {"type": "eq", "fun": lambda x: parts(x)[0] @ (events + 1)},
            {"type": "ineq", "fun": lambda x: x[KNOWN:] - parts(x)[1]},
            {"type": "ineq", "fun": lambda x: x[KNOWN:] + parts(x)[1]},
        ],
        options={"ftol": 1e-15, "maxiter": 1_000},
    )
    centre = parts(found.x)[0] @ beta
    return np.array([centre - found.fun, centre + found.fun])


def least_squares_start(sigma, events):
    line = (events + 1)[:KNOWN, None].astype(float)
    system = np.block([[sigma[:KNOWN, :KNOWN], line], [line.T, np.zeros((1, 1))]])
    return np.linalg.solve(system, np.append(-sigma[:KNOWN, KNOWN], -1.0))[:KNOWN]


def test_a_straight_line_is_generalised_least_squares():
    assert np.abs(ends("smoothness", [0.0])[0] - least_squares()).max() < 1e-12


def test_a_general_optimiser_finds_no_shorter_interval():
    ours, other = ends("smoothness", [0.05])[0], shortest(0.05)
    assert np.diff(ours)[0] <= np.diff(other)[0] + 1e-9
    assert np.abs(ours - other).max() < 1e-6


@pytest.mark.parametrize("port", list(GAPS))
def test_smoothness(port):
    """Within 1e-5, but for what the ports are off the exact answer."""
    figures = REFERENCE["smoothness"]
    assert figures["M"] == [0.0, 0.05]
    exact = np.array([least_squares(), ends("smoothness", [0.05])[0]])
    gaps = np.array(figures[port]) - exact
    np.testing.assert_allclose(gaps, GAPS[port], rtol=0.01, atol=2e-8)


@pytest.mark.parametrize("port", list(GAPS))
def test_relative_magnitudes(port):
    figures = REFERENCE["relative_magnitudes"]
    found = ends("relative_magnitudes", figures["M"])
    assert np.abs(found - np.array(figures[port])).max() < 2e-3


def test_parallel_trends():
    path = EventPath(events=list(EVENTS), estimates=data()["betahat"], vcov=data()["sigma"])
    overall = we.did.honest(path).overall
    assert np.allclose([overall.ci_low, overall.ci_high], REFERENCE["parallel_trends"], rtol=0, atol=1e-12)
