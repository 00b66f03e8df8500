"""Clustered covariances against dense linear algebra, statsmodels and one another."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_data import LEVELS, family_trial
from scipy import linalg

import wwc_eval as we
from wwc_eval.errors import DesignError
from wwc_eval.inference.cluster_robust import CR_KINDS, ClusterLayout, cluster_robust
from wwc_eval.inference.families import FAMILIES
from wwc_eval.inference.glm import solve
from wwc_eval.inference.inverse_root import _nodes, inverse_root_applied


def dense(X, y, *, solution, family, weights, codes, kind):
    """Covariance and Satterthwaite df by n x n matrices, as clubSandwich defines them."""
    prior = np.ones(len(y)) if weights is None else weights
    slope = family.slope(solution.eta)
    U = X * slope[:, None]
    variance = slope / prior
    W = np.diag(1 / variance)
    M = np.linalg.inv(U.T @ W @ U)
    hat = U @ M @ U.T @ W
    e = y - family.mean(solution.eta)
    root = np.diag(np.sqrt(variance))
    parts = []
    for code in np.unique(codes):
        own = np.flatnonzero(codes == code)
        gap = np.eye(len(own)) - hat[np.ix_(own, own)]
        th = root[np.ix_(own, own)]
        if kind == "CR2":
            G = th @ gap @ th @ th @ th
            values, vectors = np.linalg.eigh((G + G.T) / 2)
            symmetric = np.eye(len(own)) - linalg.solve(th, hat[np.ix_(own, own)] @ th)
            lost = int((np.linalg.eigvalsh((symmetric + symmetric.T) / 2) < 1e-9).sum())
            power = np.where(np.arange(len(own)) >= lost, np.abs(values) ** -0.5, 0.0)
            A = th @ (vectors * power) @ vectors.T @ th
        elif kind == "CR3":
            A = th @ np.linalg.pinv(linalg.solve(th, gap @ th), rcond=1e-9) @ linalg.inv(th)
        else:
            A = np.eye(len(own))
        E = np.zeros((X.shape[1], len(y)))
        E[:, own] = M @ (U[own].T / variance[own]) @ A
        parts.append(E)
    scores = np.array([E @ e for E in parts])
    target = (np.eye(len(y)) - hat) @ np.diag(variance) @ (np.eye(len(y)) - hat).T
    df = []
    for j in range(X.shape[1]):
        rows = np.array([E[j] for E in parts])
        P = rows @ target @ rows.T
        df.append(np.trace(P) ** 2 / np.sum(P**2))
    return scores.T @ scores, np.array(df)


def problem(family, sizes, seed, *, weighted=False, effects=False):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    n = len(codes)
    X = np.column_stack(
        [np.ones(n), rng.normal(size=n), (codes % 2).astype(float) if not effects else rng.random(n)]
    )
    if effects:
        X = np.column_stack([X, (codes[:, None] == np.arange(1, len(sizes))).astype(float)])
    eta = 0.3 + 0.8 * X[:, 1] - 0.4 * X[:, 2] + rng.normal(0, 0.4, len(sizes))[codes]
    y = {
        "gaussian": eta + rng.normal(size=n),
        "binomial": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float),
        "poisson": rng.poisson(np.exp(eta)).astype(float),
    }[family]
    weights = rng.uniform(0.5, 3, n) if weighted else None
    return y, X, weights, codes


@pytest.mark.parametrize("kind", CR_KINDS)
@pytest.mark.parametrize("effects", [False, True])
@pytest.mark.parametrize(
    ("family", "weighted"), [("gaussian", False), ("gaussian", True), ("binomial", False), ("poisson", True)]
)
def test_equals_dense_algebra(kind, effects, family, weighted):
    # sizes on both sides of the number of columns and of the switch to quadrature
    sizes = [15, 9, 17, 12, 30, 70, 90] if effects else [2, 3, 7, 12, 30, 70, 90]
    y, X, weights, codes = problem(family, sizes, 5, weighted=weighted, effects=effects)
    solution = solve(y, X, FAMILIES[family], weights=weights)
    assert not solution.suspicious
    layout = ClusterLayout.from_codes(codes)
    found = cluster_robust(solution.kernel, layout, kind)
    base = kind if kind in ("CR2", "CR3") else "CR0"
    vcov, df = dense(X, y, solution=solution, family=FAMILIES[family], weights=weights, codes=codes, kind=base)
    n, p, G = len(y), X.shape[1], 7
    factor = {"CR1": G / (G - 1), "CR1S": G / (G - 1) * (n - 1) / (n - p)}.get(kind, 1.0)
    scale = np.sqrt(np.outer(np.diag(vcov), np.diag(vcov)))
    # effects of clusters, the intercept among them, have no variance between clusters
    keep = slice(1, 3) if effects else slice(0, 3)
    np.testing.assert_allclose((found.vcov / scale)[keep, keep], (factor * vcov / scale)[keep, keep], atol=1e-8)
    got = [found.satterthwaite(row) for row in np.eye(p)[keep]]
    np.testing.assert_allclose(got, df[keep], rtol=1e-7)


@pytest.mark.parametrize("vcov", ["CR0", "CR1S"])
@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_equals_statsmodels(vcov, family):
    import statsmodels.api as sm

    y, X, _, codes = problem(family, [4] * 40, 11)
    kind = {
        "gaussian": sm.families.Gaussian(),
        "binomial": sm.families.Binomial(),
        "poisson": sm.families.Poisson(),
    }[family]
    peer = sm.GLM(y, X, family=kind).fit(
        tol=1e-14, cov_type="cluster", cov_kwds={"groups": codes, "use_correction": vcov == "CR1S"}
    )
    frame = pd.DataFrame({"y": y, "x": X[:, 1], "arm": X[:, 2], "g": codes})
    fit = we.regression("y ~ x + arm", frame, family=family, vcov=vcov, cluster="g")
    np.testing.assert_allclose(list(fit.coefficients.values()), peer.params, rtol=1e-9)
    np.testing.assert_allclose(fit.vcov.to_numpy(), peer.cov_params(), rtol=1e-7)
    assert fit.estimates[0].df == 39


def test_singleton_clusters_give_the_heteroskedastic_kinds():
    data = family_trial()
    fit = we.regression("score ~ arm + age", data, vcov="HC0")
    alone = fit.with_inference("CR0", cluster=np.arange(len(data)))
    np.testing.assert_allclose(alone.vcov, fit.vcov, rtol=1e-12)
    hc2 = fit.with_inference("HC2").vcov
    np.testing.assert_allclose(fit.with_inference("CR2", cluster=np.arange(len(data))).vcov, hc2, rtol=1e-10)
    hc3 = fit.with_inference("HC3").vcov
    np.testing.assert_allclose(fit.with_inference("CR3", cluster=np.arange(len(data))).vcov, hc3, rtol=1e-10)


def test_cr3_is_the_delete_one_cluster_jackknife():
    data = family_trial(seed=3, families=30)
    fit = we.regression("score ~ arm + age", data, vcov="CR3", cluster="family_id", levels=LEVELS)
    full = np.array(list(fit.coefficients.values()))
    moved = []
    for family in data["family_id"].unique():
        rest = data[data["family_id"] != family]
        moved.append(list(we.regression("score ~ arm + age", rest, levels=LEVELS).coefficients.values()) - full)
    np.testing.assert_allclose(fit.vcov, np.array(moved).T @ np.array(moved), rtol=1e-9)


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_cr2_is_unbiased_under_its_working_model(family):
    """E(CR2) = classical covariance when rows are independent with the working variance, exactly."""
    y, X, _, codes = problem(family, [3, 5, 9, 14], 2)
    solution = solve(y, X, FAMILIES[family])
    found = cluster_robust(solution.kernel, ClusterLayout.from_codes(codes), "CR2")
    expected, _ = found.aht(np.eye(3))
    np.testing.assert_allclose(expected, solution.kernel.outer(np.eye(3)), rtol=1e-9)


def test_aht_equals_its_definition():
    """eta from the full covariance of the elements of the estimated covariance."""
    y, X, _, codes = problem("gaussian", [3, 4, 6, 8, 11, 5], 9)
    solution = solve(y, X, FAMILIES["gaussian"])
    found = cluster_robust(solution.kernel, ClusterLayout.from_codes(codes), "CR2")
    C = np.eye(3)[:, 1:]
    directions = found.adjusted @ found.kernel.to_q(C)
    groups = np.repeat(np.arange(6), found.layout.sizes)
    gamma = np.zeros((2, 2, 6, 6))  # covariance of cluster score s of g with score t of h
    for s in range(2):
        for t in range(2):
            rows_s = np.array([directions[:, s] * (groups == g) for g in range(6)])
            rows_t = np.array([directions[:, t] * (groups == g) for g in range(6)])
            gamma[s, t] = rows_s @ (np.eye(len(y)) - found.Q @ found.Q.T) @ rows_t.T
    omega = np.einsum("stgg->st", gamma)
    root = linalg.inv(linalg.sqrtm(omega)).real
    white = np.einsum("su,uvgh,tv->stgh", root, gamma, root)
    spread = sum(np.sum(white[s, s] * white[t, t] + white[s, t] * white[t, s]) for s in range(2) for t in range(2))
    expected, eta = found.aht(C)
    np.testing.assert_allclose(expected, omega, rtol=1e-10)
    assert eta == pytest.approx(2 * 3 / spread, rel=1e-9)


def test_aht_of_one_coefficient_is_the_satterthwaite_t_test():
    fit = we.regression("score ~ arm + age", family_trial(), vcov="CR2", cluster="family_id", levels=LEVELS)
    test, row = fit.wald_test("arm"), fit.estimates["arm[conference]"]
    assert test.df_denominator == pytest.approx(row.df, rel=1e-9)
    assert test.statistic == pytest.approx(row.statistic**2, rel=1e-9)
    assert test.p_value == pytest.approx(row.p_value, rel=1e-8)


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0])
def test_inverse_root_equals_eigendecomposition(k, spread):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 6))
    if k:
        X[:, 5] = np.arange(300) < 150
    Q = np.linalg.qr(X)[0][:150]
    values, vectors = np.linalg.eigh(Q.T @ Q)
    null = Q @ vectors[:, 1 - values < 1e-10]
    assert null.shape[1] == k
    d = 10 ** (-spread * rng.random(150))
    G = d[:, None] * (np.eye(150) - Q @ Q.T) * d
    values, vectors = np.linalg.eigh(G)
    power = np.where(np.arange(150) >= k, np.abs(values) ** -0.5, 0.0)
    expected = d[:, None] * ((vectors * power) @ vectors.T @ Q)
    np.testing.assert_allclose(d[:, None] * inverse_root_applied(d, Q, null), expected, atol=1e-8)


@pytest.mark.parametrize("ratio", [0.5, 1e-3, 1e-8, 1e-12, 1e-15])
def test_quadrature_of_the_inverse_root_holds_over_its_range(ratio):
    shifts, masses = _nodes(ratio * 3.0, 3.0)
    x = np.geomspace(ratio * 3.0, 3.0, 500)
    got = (masses / (x[:, None] + shifts)).sum(axis=1)
    np.testing.assert_allclose(got * np.sqrt(x), 1.0, rtol=1e-9)


@pytest.mark.property
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["CR1", "CR2", "CR3"]))
def test_neither_row_order_nor_labels_of_clusters_matter(seed, vcov):
    rng = np.random.default_rng(seed)
    data = family_trial(families=40)
    names = data["family_id"].unique()
    relabelled = data.assign(
        family_id=data["family_id"].map(dict(zip(names, rng.permutation(len(names)), strict=True)))
    )
    shuffled = relabelled.sample(frac=1, random_state=int(rng.integers(2**31)))
    options = {"family": "binomial", "vcov": vcov, "cluster": "family_id", "levels": LEVELS}
    one = we.regression("in_care ~ arm + age", data, **options).estimates.to_frame()
    two = we.regression("in_care ~ arm + age", shuffled, **options).estimates.to_frame()
    pd.testing.assert_frame_equal(one, two, rtol=1e-9)


def test_fewer_than_two_clusters_are_refused():
    data = family_trial(families=20).assign(one="A")
    with pytest.raises(DesignError, match="at least 2"):
        we.regression("score ~ arm", data, vcov="CR1", cluster="one")


def test_few_clusters_are_warned_of():
    data = family_trial()
    few = we.regression("score ~ arm", data, vcov="CR1", cluster="local_authority")
    assert any("CR2" in warning for warning in few.estimates[0].warnings)
    many = we.regression("score ~ arm", data, vcov="CR1", cluster="family_id")
    assert not many.estimates[0].warnings
    lopsided = data.assign(arm=np.where(data["family_id"] < "F0006", "conference", "usual"))
    fit = we.regression("score ~ arm", lopsided, vcov="CR1", cluster="family_id", levels=LEVELS)
    assert "Fewer than 10 clusters" in fit.estimates["arm[conference]"].warnings[0]
    assert "Fewer than 10 clusters" in fit.marginal_effect("arm").warnings[0]


def test_low_satterthwaite_df_are_warned_of():
    data = family_trial()
    rare = data.assign(arm=np.where(data["local_authority"] == "LA0", "conference", "usual"))
    fit = we.regression("score ~ arm", rare, vcov="CR2", cluster="local_authority", levels=LEVELS)
    assert fit.estimates["arm[conference]"].df < 4
    assert any("below 4" in warning for warning in fit.estimates["arm[conference]"].warnings)


def test_effects_of_the_clusters_themselves_have_no_error():
    data = family_trial()
    formula = "score ~ local_authority"
    fit = we.regression(formula, data, vcov="CR0", cluster="local_authority")
    for row in fit.estimates:
        assert np.isnan(row.se)
        assert np.isnan(row.p_value)
        assert any("No standard error" in warning for warning in row.warnings)
