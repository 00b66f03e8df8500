"""Optimum, likelihood and errors beside dense likelihoods that share nothing with the package."""

import numpy as np
import pytest
from glmm_data import count_trial, frame, glmm
from glmm_oracle import Dense, Integral, gradient, hessian

CASES = {
    "cbpp": ("incidence / size ~ factor(period) + (1 | herd)", "binomial", None),
    "syn_bin": ("y ~ treat + x + (1 | school)", "binomial", None),
    "epil": ("y ~ lbase*trt + lage + V4 + (1 | subject)", "poisson", None),
    "grouseticks": (
        "TICKS ~ factor(YEAR) + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
        "poisson",
        None,
    ),
    "count_nb2": ("ynb ~ treat + x + (1 | team)", "negative_binomial", "exposure"),
    "count_nb1": ("ynb ~ treat + x + (1 | team)", "negative_binomial_1", "exposure"),
    "crossed": ("ypois ~ treat + x + (1 | team) + (1 | ward)", "poisson", "exposure"),
}


def data_of(name):
    if name in ("count_nb1", "count_nb2"):
        return count_trial()
    if name == "crossed":
        data = count_trial()
        random = np.random.RandomState(7)
        data["ward"] = random.randint(0, 9, len(data))
        lift = np.exp(0.5 * random.standard_normal(9))[data["ward"]]
        data["ypois"] = random.poisson(data["ypois"] * lift)
        return data
    return frame(name)


def parameters(fit):
    """(roots..., beta..., log alpha) as the oracle takes them."""
    roots = [np.sqrt(covariance[0, 0]) for covariance in fit.covariances]
    extra = []
    if fit.dispersion is not None:
        extra = [-np.log(fit.dispersion) if fit.family == "negative_binomial" else np.log(fit.dispersion)]
    return np.concatenate([roots, fit.coefficients, extra])


def arrays(fit):
    sample = fit.core.sample
    m = sample.trials if fit.family == "binomial" else sample.exposure
    Z = [np.eye(grouping.n_groups)[grouping.codes] for grouping in fit.data.groupings]
    owners = np.concatenate([np.full(z.shape[1], k) for k, z in enumerate(Z)])
    return sample.y, m, sample.X, np.column_stack(Z), owners


@pytest.mark.reference
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "grouseticks" else name for name in CASES]
)
def test_laplace_optimum_likelihood_and_errors(name):
    formula, family, exposure = CASES[name]
    fit = glmm(formula, data_of(name), family, exposure=exposure)
    oracle = Dense(family, *arrays(fit))
    psi = parameters(fit)
    assert fit.log_likelihood == pytest.approx(-oracle.value(psi), abs=1e-7)
    unit = np.concatenate([0.1 * psi[: oracle.k], np.sqrt(np.diag(fit.core.vcov)), [0.1] if oracle.extra else []])
    curvature = hessian(oracle.value, psi, unit)
    step = np.linalg.solve(curvature, gradient(oracle.value, psi, unit))
    se = np.sqrt(np.diag(np.linalg.inv(curvature)))
    assert np.abs(step / se).max() < 1e-5
    k = oracle.k
    ours = np.array([row.se for row in fit.estimates])
    assert ours == pytest.approx(se[k : k + len(ours)], rel=2e-5)


@pytest.mark.reference
@pytest.mark.parametrize("name", ["cbpp", "syn_bin", "count_nb2", "count_nb1"])
def test_quadrature_meets_the_integral(name):
    formula, family, exposure = CASES[name]
    fit = glmm(formula, data_of(name), family, exposure=exposure, quadrature_points=25)
    y, m, X, _, _ = arrays(fit)
    oracle = Integral(family, y, m, X, fit.data.groupings[0].codes)
    psi = parameters(fit)
    assert fit.log_likelihood == pytest.approx(-oracle.value(psi), abs=1e-7)
    unit = np.concatenate([0.1 * psi[:1], np.sqrt(np.diag(fit.core.vcov)), [0.1] if oracle.extra else []])
    curvature = hessian(oracle.value, psi, unit)
    se = np.sqrt(np.diag(np.linalg.inv(curvature)))
    step = np.linalg.solve(curvature, gradient(oracle.value, psi, unit))
    assert np.abs(step / se).max() < 1e-5
    ours = np.array([row.se for row in fit.estimates])
    assert ours == pytest.approx(se[1 : 1 + len(ours)], rel=2e-5)


@pytest.mark.reference
def test_few_points_have_the_optimum_of_their_own_quadrature():
    """Nodes move with the parameters: the gradient of three points is that of three points."""
    fit = glmm("incidence / size ~ factor(period) + (1 | herd)", frame("cbpp"), quadrature_points=3)
    objective, optimum = fit.core.objective, fit.core.optimum
    unit = np.sqrt(np.diag(np.linalg.inv(optimum.hessian)))
    steepness = gradient(objective.value, optimum.psi, unit)
    assert np.abs(np.linalg.solve(optimum.hessian, steepness) / unit).max() < 1e-6
    assert optimum.hessian == pytest.approx(hessian(objective.value, optimum.psi, unit), rel=1e-4, abs=1e-4)


@pytest.mark.property
@pytest.mark.parametrize("family", ["binomial", "poisson", "negative_binomial", "negative_binomial_1"])
@pytest.mark.parametrize("random", ["(1 + x | team)", "(1 + x || team)", "(1 | ward) + (1 + x | team)"])
def test_gradients_are_exact(family, random):
    """Random slopes, nested and crossed: analytic gradient beside differences of the value."""
    data = data_of("crossed")
    data["team"] = data["team"].str[1:].astype(int) % 10
    data["hit"] = (data["ynb"] > 0) * 1
    outcome = "hit" if family == "binomial" else "ynb"
    fit = glmm(f"{outcome} ~ treat + x + {random}", data, family)
    objective = fit.core.objective
    rng = np.random.default_rng(3)
    for _ in range(3):
        psi = rng.normal(scale=0.5, size=objective.size)
        value, found = objective.slope(psi)
        differences = gradient(objective.value, psi, np.full(len(psi), 0.05))
        assert found == pytest.approx(differences, rel=1e-6, abs=1e-6 * abs(value))
