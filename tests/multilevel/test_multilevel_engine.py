"""The engine against plain n x n algebra: criterion, derivatives, inference, modes, every kind of random part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from multilevel_dense import Dense

from wwc_eval.errors import ConvergenceError, DataError, DesignError
from wwc_eval.multilevel.engine.covariance import face_of
from wwc_eval.multilevel.engine.crossed import CrossedEngine
from wwc_eval.multilevel.engine.expansion import expand
from wwc_eval.multilevel.engine.modes import crossed_modes, nested_modes
from wwc_eval.multilevel.engine.pairs import DensePairs, SparsePairs
from wwc_eval.multilevel.engine.prepare import orthonormal
from wwc_eval.multilevel.engine.solve import problem_of, solve
from wwc_eval.multilevel.engine.starts import ALIKE, LARGEST, SMALLEST, spread_points, starts_of
from wwc_eval.multilevel.engine.structure import Grouping, arrange
from wwc_eval.multilevel.small_sample.kenward_roger import kenward_roger
from wwc_eval.multilevel.small_sample.robust import mixed_robust
from wwc_eval.multilevel.small_sample.satterthwaite import contrast_df, sensitivity


def factor(name, codes, Z=None, correlated=True):
    _, codes = np.unique(codes, return_inverse=True)
    Z = np.ones((len(codes), 1)) if Z is None else Z
    width = Z.shape[1]
    return Grouping(
        name=name,
        codes=codes.astype(np.intp),
        labels=tuple(str(k) for k in range(codes.max() + 1)),
        Z=Z,
        columns=tuple(f"z{k}" for k in range(width)),
        blocks=(tuple(range(width)),) if correlated else tuple((k,) for k in range(width)),
    )


def model(kind, seed=0, weighted=False):
    """Outcome, X, groupings and weights of one kind of random part."""
    rng = np.random.default_rng(seed)
    n = 150
    school = rng.integers(0, 20, n)
    la = school // 4
    rater = rng.integers(0, 7, n)
    x, arm = rng.normal(size=n), (school % 2).astype(float)
    X = np.column_stack([np.ones(n), arm, x])
    slopes = np.column_stack([np.ones(n), x + 3.0])
    u = rng.normal(size=(20, 2))
    y = 50 + arm + x + u[school, 0] + 0.6 * u[school, 1] * x + rng.normal(size=5)[la] + rng.normal(size=n)
    y = y + rng.normal(size=7)[rater]
    groupings = {
        "intercept": [factor("school", school)],
        "slope": [factor("school", school, slopes)],
        "independent": [factor("school", school, slopes, correlated=False)],
        "three_level": [factor("school", school), factor("la", la)],
        "slope_below": [factor("school", school, slopes), factor("la", la)],
        "slope_above": [factor("la", la, slopes), factor("school", school)],
        "crossed": [factor("school", school), factor("rater", rater)],
        "crossed_slope": [factor("school", school, slopes), factor("rater", rater)],
        "crossed_three": [
            factor("rater", rater, slopes, correlated=False),
            factor("school", school),
            factor("la", la),
        ],
    }[kind]
    return y, X, groupings, rng.uniform(0.3, 3.0, n) if weighted else None


KINDS = [
    "intercept", "slope", "independent", "three_level", "slope_below", "slope_above",
    "crossed", "crossed_slope", "crossed_three",
]  # fmt: skip


def fitted(kind, *, reml=True, weighted=False, seed=0):
    y, X, groupings, weights = model(kind, seed, weighted)
    solution = solve(problem_of(y, X, groupings, reml=reml, weights=weights))
    return solution, Dense.of(solution, y, X, groupings, weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_criterion_estimates_and_stationarity(kind, reml, weighted):
    solution, dense = fitted(kind, reml=reml, weighted=weighted)
    assert solution.criterion == pytest.approx(dense.criterion(), rel=1e-11)
    np.testing.assert_allclose(solution.beta, dense.beta, rtol=1e-9)
    np.testing.assert_allclose(solution.vcov, dense.parts()[1], rtol=1e-8, atol=1e-12)
    if len(solution.minimum.face.places) == solution.problem.parameters.size:
        # every variance is inside: the dense gradient vanishes
        scale = np.sqrt(np.abs(np.diag(dense.hessian())))
        np.testing.assert_allclose(dense.gradient() / scale, 0.0, atol=1e-5)


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_the_slope_of_the_criterion(kind, reml):
    y, X, groupings, weights = model(kind, weighted=True)
    criterion = problem_of(y, X, groupings, reml=reml, weights=weights).criterion
    rng = np.random.default_rng(3)
    diagonal = criterion.parameters.diagonal
    theta = np.where(diagonal, rng.uniform(0.1, 1.2, len(diagonal)), rng.normal(0, 0.3, len(diagonal)))
    _, gradient = criterion.gradient(theta)
    for k in range(len(theta)):
        step = np.zeros_like(theta)
        step[k] = 1e-5
        up = criterion.value(criterion.parameters.factors(theta + step))
        down = criterion.value(criterion.parameters.factors(theta - step))
        assert (up - down) / 2e-5 == pytest.approx(gradient[k], rel=1e-6, abs=1e-6)


def test_gradient_of_crossed_factors_at_zero_pivots():
    """Zero standard deviations take another path through the gradient: the slope by the variance must agree."""
    y, X, groupings, _ = model("crossed")
    problem = problem_of(y, X, groupings)
    roots = [np.array([[0.4]]), np.array([[0.0]])]
    value, slopes = problem.criterion.slopes(roots)
    up = problem.criterion.value([roots[0], np.array([[1e-3]])])
    assert (up - value) / 1e-6 == pytest.approx(slopes[1][0, 0], rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_expansion_is_the_second_derivative(kind):
    y, X, groupings, _ = model(kind)
    problem = problem_of(y, X, groupings)
    rng = np.random.default_rng(4)
    roots = [
        np.linalg.cholesky(0.3 * np.eye(g.width) + 0.1)
        if len(g.blocks) == 1
        else np.diag(rng.uniform(0.3, 0.8, g.width))
        for g in problem.prepared.groupings
    ]
    face = face_of(problem.prepared.groupings, [root @ root.T for root in roots])
    _, gradient, hessian = problem.curvature(face)
    for c in range(len(face.places)):
        step = np.zeros(len(face.places))
        step[c] = 1e-5
        up = problem._face_gradient(face, step)[1]
        down = problem._face_gradient(face, -step)[1]
        np.testing.assert_allclose((up - down) / 2e-5, hessian[c], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(problem._face_gradient(face, np.zeros(len(face.places)))[1], gradient, atol=1e-9)


@pytest.mark.parametrize("kind", ["intercept", "three_level", "slope_above"])
def test_bringing_groups_together_changes_nothing(kind):
    y, X, groupings, _ = model(kind)
    problem = problem_of(y, X, groupings)
    whole = replace(problem.engine, finest=None)
    factors = [
        np.array([[0.7]]) if g.width == 1 else np.array([[0.6, 0], [0.2, 0.4]]) for g in problem.prepared.groupings
    ]
    A, log_det, tape = problem.engine.reduce(factors)
    B, log_det_b, tape_b = whole.reduce(factors)
    np.testing.assert_allclose(A, B, rtol=1e-12, atol=1e-10)
    assert log_det == pytest.approx(log_det_b, rel=1e-13)
    adjoint = np.linalg.inv(A)
    for one, two in zip(problem.engine.pull_back(tape, adjoint), whole.pull_back(tape_b, adjoint), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10)
    base, levels = problem.levels([f @ f.T for f in factors])
    one, two = expand(base, levels), expand(whole.cross, levels)
    for key, value in one.A_2.items():
        np.testing.assert_allclose(value, two.A_2[key], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["three_level", "slope_below"])
def test_nested_factors_fit_alike_as_crossed_ones(kind):
    y, X, groupings, _ = model(kind)
    problem = problem_of(y, X, groupings)
    ordered = tuple(sorted(groupings, key=lambda g: -g.n_groups * g.width))
    prepared = replace(
        problem.prepared, W=problem.prepared.W[np.argsort(problem.prepared.order)], order=np.arange(len(y))
    )
    engine = CrossedEngine.from_rows(replace(prepared, groupings=ordered))
    factors = [np.array([[0.7]]) if g.width == 1 else np.array([[0.6, 0], [0.2, 0.4]]) for g in ordered]
    A, log_det, tape = problem.engine.reduce(factors)
    B, log_det_b, tape_b = engine.reduce(factors)
    np.testing.assert_allclose(A, B, rtol=1e-10, atol=1e-9)
    assert log_det == pytest.approx(log_det_b, rel=1e-12)
    adjoint = np.linalg.inv(A)
    for one, two in zip(problem.engine.pull_back(tape, adjoint), engine.pull_back(tape_b, adjoint), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-8)


@pytest.mark.parametrize("kind", ["crossed", "crossed_slope", "crossed_three"])
def test_sparse_and_dense_cross_products_agree(kind):
    y, X, groupings, _ = model(kind)
    engine = problem_of(y, X, groupings).engine
    dense = DensePairs(values=engine.pairs.dense().reshape(engine.first_zz.shape[0], engine.first_zz.shape[1], -1))
    from scipy import sparse

    flat = sparse.csr_matrix(dense.dense())
    thin = SparsePairs.from_matrix(flat, *engine.first_zz.shape[:2])
    rng = np.random.default_rng(0)
    gain = rng.normal(size=engine.first_zz.shape)
    gain = gain + gain.swapaxes(1, 2)
    inner = rng.normal(size=(flat.shape[1],) * 2)
    inner = inner + inner.T
    right = rng.normal(size=(*engine.first_zz.shape[:2], 3))
    np.testing.assert_allclose(thin.weighted(gain), dense.weighted(gain), atol=1e-9)
    np.testing.assert_allclose(thin.quadratic(inner), dense.quadratic(inner), atol=1e-9)
    np.testing.assert_allclose(thin.cross(right), dense.cross(right), atol=1e-9)
    other = rng.normal(size=(flat.shape[1], 2))
    np.testing.assert_allclose(thin.along(other), dense.along(other), atol=1e-9)


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_satterthwaite_against_the_dense_hessian(kind, reml):
    solution, dense = fitted(kind, reml=reml, weighted=True)
    if len(solution.minimum.face.places) < solution.problem.parameters.size:
        pytest.skip("a variance is zero here; the dense formula is for interior optima")
    contrasts = np.vstack([np.eye(3), [1.0, -1.0, 2.0]])
    df = contrast_df(solution, sensitivity(solution), contrasts)
    np.testing.assert_allclose(df, [dense.satterthwaite(c) for c in contrasts], rtol=1e-6)


def test_satterthwaite_of_a_singular_fit_is_that_of_the_model_without_the_factor():
    rng = np.random.default_rng(8)
    school = np.repeat(np.arange(12), 8)
    y = rng.normal(size=96) + 0.7 * rng.normal(size=12)[school]
    X = np.column_stack([np.ones(96), school % 2])
    la = school // 3
    three = solve(problem_of(y, X, [factor("school", school), factor("la", la)]))
    two = solve(problem_of(y, X, [factor("school", school)]))
    assert three.gammas[1][0, 0] == 0.0
    one, other = (contrast_df(s, sensitivity(s), np.eye(2)) for s in (three, two))
    np.testing.assert_allclose(one, other, rtol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_kenward_roger_against_dense_algebra(kind):
    solution, dense = fitted(kind, weighted=True)
    found = kenward_roger(solution)
    for L in (np.eye(3)[[1]], np.array([[0.0, 1.0, -1.0]]), np.eye(3)[1:], np.eye(3)):
        adjusted, df, scale = dense.kenward_roger(L)
        np.testing.assert_allclose(found.vcov, adjusted, rtol=1e-7, atol=1e-10)
        got_df, got_scale = found.df(L)
        assert got_df == pytest.approx(df, rel=1e-6)
        if len(L) > 1:
            assert got_scale == pytest.approx(scale, rel=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cr", ["CR0", "CR2", "CR3"])
@pytest.mark.parametrize("kind", ["intercept", "slope", "three_level", "slope_above"])
def test_cluster_robust_against_dense_algebra(kind, cr, weighted):
    _, _, groupings, _ = model(kind, weighted=weighted)
    solution, dense = fitted(kind, weighted=weighted)
    clusters = min(groupings, key=lambda g: g.n_groups).codes
    found = mixed_robust(solution, clusters, cr)
    np.testing.assert_allclose(found.vcov, dense.robust(clusters, cr)[0], rtol=1e-7, atol=1e-12)
    contrasts = np.vstack([np.eye(3), [1.0, 1.0, 0.0]])
    for c, df in zip(contrasts, found.df(contrasts), strict=True):
        P = dense.quadratic_forms(clusters, cr, c[None])[0, 0]
        assert df == pytest.approx(np.trace(P) ** 2 / np.sum(P * P), rel=1e-7)


def test_approximate_hotelling_against_its_definition():
    """The variances of the elements of the whitened estimate, from the quadratic forms themselves."""
    solution, dense = fitted("three_level")
    _, _, groupings, _ = model("three_level")
    clusters, L = groupings[1].codes, np.eye(3)[1:]
    found = mixed_robust(solution, clusters, "CR2").aht(L)
    P = dense.quadratic_forms(clusters, "CR2", L)
    expected = np.einsum("stgg->st", P)
    values, vectors = np.linalg.eigh(expected)
    white = (vectors / np.sqrt(values)) @ vectors.T
    P = np.einsum("as,bt,stgh->abgh", white, white, P)
    total = sum(np.sum(P[s, s] * P[t, t]) + np.sum(P[s, t] * P[t, s]) for s in range(2) for t in range(2))
    assert found == pytest.approx(2 * 3 / total, rel=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_modes_against_the_mixed_model_equations(kind):
    y, X, _, _ = model(kind, weighted=True)
    solution, dense = fitted(kind, weighted=True)
    prepared = solution.problem.prepared
    modes_of = nested_modes if solution.problem.nested else crossed_modes
    found = modes_of(
        solution.problem.engine, solution.minimum.face.factors, solution.profile.beta, solution.profile.inverse
    )
    Vi, _, P = dense.parts()
    for grouping, root, modes, covariance in zip(
        prepared.groupings, prepared.roots, found, solution.covariances, strict=True
    ):
        q = grouping.width
        Z = np.zeros((len(y), grouping.n_groups * q))
        for k in range(q):
            Z[np.arange(len(y)), grouping.codes * q + k] = grouping.Z[:, k]
        D = np.kron(np.eye(grouping.n_groups), covariance)
        back = np.linalg.inv(root)
        mean = (prepared.y_scale * modes.mean @ back.T).ravel()
        np.testing.assert_allclose(mean, D @ Z.T @ Vi @ (y - X @ solution.beta), atol=1e-8)
        for matrix, middle in ((modes.conditional, Vi), (modes.prediction, P)):
            whole = D - D @ Z.T @ middle @ Z @ D
            blocks = np.array([whole[g * q : g * q + q, g * q : g * q + q] for g in range(grouping.n_groups)])
            got = solution.unit * back @ matrix @ back.T
            np.testing.assert_allclose(got, blocks, atol=1e-8)


def test_orthonormal_keeps_its_digits_under_near_collinearity():
    rng = np.random.default_rng(0)
    x = 1000.0 + rng.normal(size=400)
    for gap in (1e-2, 1e-4, 1e-6, 1e-8):
        X = np.column_stack([np.ones(400), x, x + gap * rng.normal(size=400)])
        Q, R = orthonormal(X)
        np.testing.assert_allclose(Q.T @ Q / 400, np.eye(3), atol=1e-13)
        np.testing.assert_allclose(Q @ R, X, rtol=1e-12)
    with pytest.raises(ConvergenceError, match="depend on each other"):
        orthonormal(np.column_stack([np.ones(400), x, 2 * x]))


def test_what_cannot_be_fitted_is_refused():
    rng = np.random.default_rng(0)
    y, X = rng.normal(size=20), np.ones((20, 1))
    with pytest.raises(DesignError, match="single group"):
        problem_of(y, X, [factor("g", np.zeros(20))])
    with pytest.raises(DesignError, match="20 groups for 20 rows"):
        problem_of(y, X, [factor("g", np.arange(20))])
    with pytest.raises(DesignError, match="divide the rows in the same way"):
        arrange([factor("g", np.arange(20) // 4), factor("h", 9 - np.arange(20) // 4)])
    with pytest.raises(DesignError, match="depend on each other"):
        problem_of(y, X, [factor("g", np.arange(20) // 4, np.ones((20, 2)))])
    with pytest.raises(ConvergenceError, match="does not vary"):
        problem_of(np.full(20, 3.0), X, [factor("g", np.arange(20) // 4)])
    with pytest.raises(DataError, match="above 0"):
        problem_of(y, X, [factor("g", np.arange(20) // 4)], weights=np.r_[np.ones(19), 0.0])


def test_an_outcome_without_residual_variation_fails_and_says_so():
    group = np.repeat(np.arange(5), 4)
    y = np.random.default_rng(0).normal(size=5)[group]
    solution = solve(problem_of(y, np.ones((20, 1)), [factor("g", group)]))
    assert "residual variance goes to zero" in solution.minimum.message


def test_saddles_at_zero_are_left():
    """Zero is a stationary point of the standard deviation: a descent from there must still find the minimum."""
    y, X, groupings, _ = model("three_level")
    problem = problem_of(y, X, groupings)
    best = solve(problem)
    stuck = solve(problem, begin=[np.zeros((1, 1)), np.zeros((1, 1))])
    assert stuck.minimum.value == pytest.approx(best.minimum.value, abs=1e-8)
    assert stuck.minimum.descents > 1


@pytest.mark.parametrize("kind", ["intercept", "slope", "independent", "slope_below"])
def test_starting_points_are_spread_over_deviations_and_correlations(kind):
    y, X, groupings, _ = model(kind)
    parameters = problem_of(y, X, groupings).parameters
    points = spread_points(parameters, 40)
    assert points.shape == (40, parameters.size)
    assert (points[:, parameters.diagonal] > 0).all()
    for point in points[len(ALIKE) :]:
        for gamma in (root @ root.T for root in parameters.factors(point)):
            deviations = np.sqrt(np.diag(gamma))
            assert (deviations > 0.9 * SMALLEST).all()
            assert (deviations < 1.1 * LARGEST).all()
    for k in np.flatnonzero(~parameters.diagonal):
        assert (points[:, k] > 0).sum() > 8
        assert (points[:, k] < 0).sum() > 8


@pytest.mark.parametrize("kind", ["intercept", "slope", "three_level", "slope_above"])
def test_starts_end_at_the_minimum_and_are_the_same_each_time(kind):
    y, X, groupings, _ = model(kind)
    problem = problem_of(y, X, groupings)
    starts = starts_of(problem.criterion, expandable=True)
    again = starts_of(problem.criterion, expandable=True)
    assert starts.compared >= 16
    np.testing.assert_array_equal(starts.points[0], again.points[0])
    value = problem.criterion.value(problem.parameters.factors(starts.points[0]))
    assert value == pytest.approx(solve(problem).minimum.value, abs=1e-7)


@pytest.mark.parametrize("kind", ["intercept", "slope", "slope_below", "crossed"])
def test_a_scan_leads_to_the_same_minimum(kind, monkeypatch):
    """What problems too large for descents in vectors do."""
    y, X, groupings, _ = model(kind)
    problem = problem_of(y, X, groupings)
    before = solve(problem).minimum
    monkeypatch.setattr("wwc_eval.multilevel.engine.starts.WORK", 0)
    after = solve(problem).minimum
    assert after.value == pytest.approx(before.value, abs=1e-8)
    assert after.descents >= before.descents
