"""What must not matter does not: order, labels, units, how rows are written down."""

import numpy as np
import pytest
from glmm_data import binary_trial, count_trial, frame, glmm

from wwc_eval.multilevel.generalised.laplace import Laplace
from wwc_eval.multilevel.generalised.prepare import prepare
from wwc_eval.multilevel.generalised.quadrature import Quadrature

pytestmark = pytest.mark.property

FORMULA = "y ~ treat + x + (1 | school)"


def same(a, b, *, rel=1e-8):
    assert b.log_likelihood == pytest.approx(a.log_likelihood, rel=1e-10)
    assert b.coefficients == pytest.approx(a.coefficients, rel=rel, abs=rel)
    assert np.diag(b.vcov) == pytest.approx(np.diag(a.vcov), rel=1e-5)
    for one, other in zip(a.covariances, b.covariances, strict=True):
        assert other == pytest.approx(one, rel=1e-6, abs=1e-9)


def test_row_order_leaves_no_trace():
    data = frame("syn_bin").round(1)
    fit = glmm(FORMULA, data)
    shuffled = glmm(FORMULA, data.sample(frac=1, random_state=3))
    assert shuffled.log_likelihood == fit.log_likelihood
    assert np.array_equal(shuffled.coefficients, fit.coefficients)
    assert np.array_equal(shuffled.vcov.to_numpy(), fit.vcov.to_numpy())


@pytest.mark.parametrize("points", [1, 7])
def test_labels_of_groups_do_not_matter(points):
    data = frame("syn_bin")
    other = data.assign(school=data["school"].str[::-1])
    a, b = (glmm(FORMULA, each, quadrature_points=points) for each in (data, other))
    same(a, b)
    effects = a.random_effects().to_frame().set_index("level")["estimate"]
    mirrored = b.random_effects().to_frame().set_index("level")["estimate"]
    assert mirrored.loc[[label[::-1] for label in effects.index]].to_numpy() == pytest.approx(
        effects.to_numpy(), abs=1e-8
    )


def test_collapsed_rows_are_the_same_model():
    """0/1 rows, and successes of trials by covariate pattern."""
    data = frame("syn_bin").assign(x=lambda d: d["x"].round())
    cells = data.groupby(["school", "treat", "x"], as_index=False).agg(k=("y", "sum"), n=("y", "size"))
    rows, counts = glmm(FORMULA, data), glmm("k / n ~ treat + x + (1 | school)", cells)
    assert len(rows.core.prepared.X) == len(cells) == len(counts.core.prepared.X)
    assert counts.coefficients == pytest.approx(rows.coefficients, abs=1e-10)
    assert np.diag(counts.vcov) == pytest.approx(np.diag(rows.vcov), rel=1e-8)
    # likelihoods differ by the binomial coefficients alone
    from scipy.special import gammaln

    choose = (gammaln(cells["n"] + 1) - gammaln(cells["k"] + 1) - gammaln(cells["n"] - cells["k"] + 1)).sum()
    assert counts.log_likelihood == pytest.approx(rows.log_likelihood + choose, abs=1e-8)


@pytest.mark.parametrize("family", ["binomial", "poisson", "negative_binomial", "negative_binomial_1"])
def test_a_weight_of_two_is_two_rows(family):
    data = count_trial().assign(hit=lambda d: (d["ynb"] > 0) * 1, w=2.0)
    outcome = "hit" if family == "binomial" else "ynb"
    formula = f"{outcome} ~ treat + x + (1 | team)"
    doubled = data.loc[data.index.repeat(2)].reset_index(drop=True)
    same(glmm(formula, doubled, family), glmm(formula, data, family, weights="w"))


def test_units_of_covariates_and_exposure():
    data = count_trial()
    fit = glmm("ypois ~ treat + x + (1 | team)", data, "poisson", exposure="exposure")
    moved = data.assign(x=1000 + 10 * data["x"], exposure=365.25 * data["exposure"])
    other = glmm("ypois ~ treat + x + (1 | team)", moved, "poisson", exposure="exposure")
    assert other.coefficients[1:] == pytest.approx(fit.coefficients[1:] / [1, 10], rel=1e-7)
    assert other.covariances[0] == pytest.approx(fit.covariances[0], rel=1e-6)
    assert other.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-10)


def test_units_of_a_random_slope():
    data = frame("syn_bin")
    fit = glmm("y ~ treat + x + (1 + x || school)", data)
    other = glmm("y ~ treat + x + (1 + x || school)", data.assign(x=data["x"] * 100))
    assert other.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-9)
    sd, scaled = fit.variance_components.column("sd"), other.variance_components.column("sd")
    assert scaled[1] == pytest.approx(sd[1] / 100, rel=1e-5, abs=1e-8)


def test_success_and_failure_mirror_each_other():
    data = frame("syn_bin")
    a, b = glmm(FORMULA, data), glmm(FORMULA, data.assign(y=1 - data["y"]))
    assert b.coefficients == pytest.approx(-a.coefficients, abs=1e-8)
    assert b.log_likelihood == pytest.approx(a.log_likelihood, rel=1e-12)


def test_one_point_is_laplace():
    model = glmm(FORMULA, frame("syn_bin"))
    prepared = prepare(model.core.sample)
    parts = (prepared.outcome, prepared.X, prepared.layout, prepared.roots)
    laplace, quadrature = Laplace(*parts), Quadrature(*parts, 1)
    rng = np.random.default_rng(0)
    for _ in range(5):
        psi = rng.normal(size=laplace.size)
        (value, slope), (other, own) = laplace.slope(psi), quadrature.slope(psi)
        assert other == pytest.approx(value, rel=1e-13)
        assert own == pytest.approx(slope, rel=1e-9, abs=1e-9)


def test_nested_and_crossed_eliminations_agree():
    data = binary_trial(21, 30, 12, 0.8, 0.3)
    data["la"] = data["school"].str[1:].astype(int) // 5
    nested = glmm("y ~ treat + x + (1 | la/school)", data)
    sample = nested.core.sample
    prepared = prepare(sample)
    crossed = Laplace(prepared.outcome, prepared.X, _as_crossed(prepared.layout), prepared.roots)
    psi = np.array([0.7, 0.4, 0.1, 0.2, -0.3])
    value, slope = nested.core.objective.slope(psi)
    other, own = crossed.slope(psi)
    assert other == pytest.approx(value, rel=1e-12)
    assert own == pytest.approx(slope, rel=1e-8, abs=1e-8)


def _as_crossed(layout):
    from dataclasses import replace

    return replace(layout, nested=False)


def test_negative_binomials_tend_to_poisson():
    data = count_trial()
    poisson = glmm("ypois ~ treat + x + (1 | team)", data, "poisson", exposure="exposure")
    for family in ("negative_binomial", "negative_binomial_1"):
        fit = glmm("ypois ~ treat + x + (1 | team)", data, family, exposure="exposure")
        assert fit.log_likelihood >= poisson.log_likelihood - 1e-8


def test_without_variation_between_groups_it_is_a_regression():
    from wwc_eval.inference import regression

    data = frame("syn_bin_small")
    fit = glmm(FORMULA, data)
    plain = regression("y ~ treat + x", data, family="binomial")
    assert fit.status == "boundary"
    assert fit.coefficients == pytest.approx([row.estimate for row in plain.estimates], abs=1e-8)
    assert [row.se for row in fit.estimates] == pytest.approx([row.se for row in plain.estimates], rel=1e-6)


def test_the_same_call_gives_the_same_bytes():
    a, b = (glmm(FORMULA, frame("syn_bin"), quadrature_points=5) for _ in range(2))
    assert a.log_likelihood == b.log_likelihood
    assert np.array_equal(a.coefficients, b.coefficients)
    assert np.array_equal(a.vcov.to_numpy(), b.vcov.to_numpy())
