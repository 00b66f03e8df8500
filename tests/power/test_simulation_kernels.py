"""Kernels of simulation against the fits of row data by the package's own engines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulation_rows import rows_of_events, rows_of_means

from wwc_eval.inference import regression
from wwc_eval.multilevel import multilevel_model
from wwc_eval.power.simulation.cell_glm import Cells, fit_glm
from wwc_eval.power.simulation.cell_glmm import fit_glmm
from wwc_eval.power.simulation.cell_laplace import laplace_at
from wwc_eval.power.simulation.cell_randomisation import fit_randomisation, ranked
from wwc_eval.power.simulation.cell_robust import fit_model_based, fit_robust
from wwc_eval.power.simulation.linear_robust import linear_robust
from wwc_eval.power.simulation.nested_cells import CellSummaries, draw_cells, nested_design
from wwc_eval.power.simulation.nested_point import criterion_at, point_at
from wwc_eval.power.simulation.three_level import fit_nested
from wwc_eval.power.simulation.two_level import (
    ClusterSummaries,
    draw_clusters,
    fit_cluster_means,
    fit_kenward_roger,
    fit_two_level,
)

CLOSE = {"rel": 1e-5, "abs": 1e-7}


def picks(boundary: np.ndarray, count: int = 3) -> np.ndarray:
    """Some replicates, singular ones among them."""
    return np.r_[np.flatnonzero(boundary)[:count], np.flatnonzero(~boundary)[:count]]


def same(fits, k: int, estimate, p_scale: float = 1.0) -> None:
    """Estimate (in standard errors), standard error, df and p of a replicate are those of the row-data fit."""
    assert abs(fits.estimate[k] - estimate.estimate) / estimate.se < 1e-5
    assert fits.se[k] == pytest.approx(estimate.se, rel=1e-5)
    if np.isfinite(estimate.df):
        assert fits.df[k] == pytest.approx(estimate.df, rel=1e-5 * p_scale)
    assert fits.p_value[k] == pytest.approx(estimate.p_value, abs=1e-5)


@pytest.fixture(scope="module")
def two_level():
    rng = np.random.default_rng(2)
    sizes = np.maximum(np.round(rng.gamma(4, 5, 14)), 2)
    X = np.column_stack([np.ones(14), np.arange(14) % 2, rng.normal(size=14)])
    data = draw_clusters(rng, 400, sizes, np.zeros(14), between=0.02, within=0.98)
    columns = pd.DataFrame({"team": [f"t{k}" for k in range(14)], "arm": X[:, 1], "x": X[:, 2]})
    return data, X, columns


@pytest.mark.parametrize("method", ["satterthwaite", "kenward_roger"])
def test_two_level_is_the_row_data_fit(two_level, method):
    data, X, columns = two_level
    fit = fit_two_level if method == "satterthwaite" else fit_kenward_roger
    fits = fit(data, X, np.array([0.0, 1.0, 0.0]))
    assert not fits.failed.any()
    assert fits.boundary.sum() > 20
    for k in picks(fits.boundary):
        rows = rows_of_means(data.means[k], data.within[k], data.sizes, columns)
        model = multilevel_model("y ~ arm + x + (1 | team)", rows)
        same(fits, k, model.with_inference(method).estimates["arm"])
        assert (model.status == "boundary") == fits.boundary[k]


def test_two_level_sizes_may_differ_between_replicates(two_level):
    data, X, _ = two_level
    contrast = np.array([0.0, 1.0, 0.0])
    wide = ClusterSummaries(means=data.means, within=data.within, sizes=np.tile(data.sizes, (400, 1)))
    one, many = fit_two_level(data, X, contrast), fit_two_level(wide, X, contrast)
    np.testing.assert_allclose(many.p_value, one.p_value, atol=1e-8)


def test_cluster_means_are_the_t_test(two_level):
    data, X, _ = two_level
    fits = fit_cluster_means(data, X[:, :2], np.array([0.0, 1.0]))
    wanted = stats.ttest_ind(data.means[:, X[:, 1] == 1], data.means[:, X[:, 1] == 0], axis=1)
    np.testing.assert_allclose(fits.p_value, wanted.pvalue, rtol=1e-9)


@pytest.mark.parametrize("case", ["team", "authority", "hussey_hughes", "nested_exchangeable"])
def test_nested_cells_are_the_row_data_fit(case):
    rng = np.random.default_rng(7)
    wedge = case in {"hussey_hughes", "nested_exchangeable"}
    clusters, deep = (8, 5) if wedge else (10, 3)
    la, inner = np.repeat(np.arange(clusters), deep), np.tile(np.arange(deep), clusters)
    sizes = rng.integers(2, 14, clusters * deep).astype(float)
    if wedge:
        arm = (inner > la // 2).astype(float)
        X = np.column_stack([arm, np.eye(deep)[inner]])
    else:
        arm = ((inner + la) % 2 if case == "team" else la % 2).astype(float)
        X = np.column_stack([arm, np.ones(len(la))])
    keep = np.ones(len(la), bool)
    keep[[4, 11]] = False  # cells that are not there
    la, inner, sizes, arm, X = la[keep], inner[keep], sizes[keep], arm[keep], X[keep]
    design = nested_design(la, sizes, X, np.eye(X.shape[1])[0])
    data = draw_cells(rng, 300, design, np.zeros(len(la)), between_clusters=0.03, between_cells=0.03, within=0.94)
    fits = fit_nested(design, data, cells=case != "hussey_hughes")
    assert not fits.failed.any()
    columns = pd.DataFrame({"la": [f"l{k}" for k in la], "unit": [f"u{k}" for k in inner], "arm": arm})
    fixed = "y ~ arm + unit" if wedge else "y ~ arm"
    random = "(1 | la)" if case == "hussey_hughes" else "(1 | la/unit)"
    for k in picks(fits.boundary):
        means = data.means[k].ravel()[design.place]
        model = multilevel_model(f"{fixed} + {random}", rows_of_means(means, data.within[k], sizes, columns))
        same(fits, k, model.with_inference("satterthwaite").estimates["arm"], p_scale=3.0)
        assert (model.status == "boundary") == fits.boundary[k]


def test_nested_derivatives_are_those_of_the_criterion():
    rng = np.random.default_rng(1)
    la = np.repeat(np.arange(6), 4)
    X = np.column_stack([la % 2, np.ones(24), rng.normal(size=24)])
    sizes = rng.integers(2, 9, 24).astype(float)
    design = nested_design(la, sizes, X, np.eye(3)[0])
    data = draw_cells(rng, 5, design, np.zeros(24), between_clusters=0.2, between_cells=0.1, within=1.0)
    at = np.tile([0.2, 0.3], (5, 1))
    point = point_at(design, data, at)
    np.testing.assert_allclose(point.value, criterion_at(design, data, at), rtol=1e-12)
    step = 1e-5
    for j in range(2):
        move = np.zeros(2)
        move[j] = step
        up, down = point_at(design, data, at + move), point_at(design, data, at - move)
        np.testing.assert_allclose(
            point.gradient[:, j], (up.value - down.value) / (2 * step), rtol=1e-6, atol=1e-6
        )
        slope = (up.gradient - down.gradient) / (2 * step)
        np.testing.assert_allclose(point.hessian[:, [0, 1] if j == 0 else [1, 2]], slope, rtol=1e-6, atol=1e-5)


def test_sizes_may_be_permuted_between_replicates():
    rng = np.random.default_rng(3)
    la = np.repeat(np.arange(6), 4)
    X = np.column_stack([np.tile(np.arange(4), 6) > la // 2, np.eye(4)[np.tile(np.arange(4), 6)]]).astype(float)
    one, other = rng.integers(3, 30, (2, 24)).astype(float)
    designs = [nested_design(la, sizes, X, np.eye(5)[0]) for sizes in (one, other)]
    drawn = [
        draw_cells(rng, 40, d, np.zeros(24), between_clusters=0.1, between_cells=0.05, within=1.0) for d in designs
    ]
    both = CellSummaries(
        means=np.concatenate([d.means for d in drawn]),
        within=np.concatenate([d.within for d in drawn]),
        sizes=np.concatenate([np.repeat(d.sizes, 40, axis=0) for d in drawn]),
    )
    together = fit_nested(designs[0], both)
    apart = np.concatenate([fit_nested(d, e).p_value for d, e in zip(designs, drawn, strict=True)])
    np.testing.assert_allclose(together.p_value, apart, atol=1e-6)


@pytest.mark.parametrize("kind", ["CR1", "CR2", "CR3"])
def test_linear_robust_is_the_row_data_regression(kind):
    rng = np.random.default_rng(4)
    la, period = np.repeat(np.arange(6), 4), np.tile(np.arange(4), 6)
    sizes = rng.integers(2, 12, 24).astype(float)
    arm = (period > la // 2).astype(float)
    means = rng.normal(size=(2, 24))
    dummies = kind != "CR3"
    X = np.column_stack([arm, np.eye(4)[period], *([np.eye(6)[la]] if dummies else [])])
    fits = linear_robust(X, sizes, la, kind=kind).fit(means)
    columns = pd.DataFrame({"la": [f"l{k}" for k in la], "period": [f"p{k}" for k in period], "arm": arm})
    formula = "y ~ arm + period + la" if dummies else "y ~ arm + period"
    rows = rows_of_means(means[0], 30.0, sizes, columns)
    wanted = regression(formula, rows, vcov=kind, cluster="la").estimates["arm"]
    assert fits.estimate[0] == pytest.approx(wanted.estimate, rel=1e-9)
    assert fits.se[0] == pytest.approx(wanted.se, rel=1e-9)
    if kind == "CR2":
        assert fits.df[0] == pytest.approx(wanted.df, rel=1e-9)


@pytest.fixture(scope="module")
def binary_wedge():
    rng = np.random.default_rng(6)
    clusters, periods, reps = 5, 4, 40
    start = np.array([1, 1, 2, 3, 3])
    arm = (np.arange(periods)[:, None] >= start).astype(float)
    n = rng.integers(20, 90, (periods, clusters)).astype(float)
    eta = -1.2 + 0.25 * rng.normal(size=(reps, 1, clusters)) + 0.1 * np.arange(periods)[:, None]
    y = rng.binomial(n.astype(int), 1 / (1 + np.exp(-eta)), (reps, periods, clusters)).astype(float)
    cells = Cells(y=y, n=n[None])
    t, k = np.divmod(np.arange(periods * clusters), clusters)
    columns = pd.DataFrame({"la": [f"l{j}" for j in k], "period": [f"p{j}" for j in t], "arm": arm.ravel()})
    dummies = np.broadcast_to(np.eye(clusters)[1:, None, :], (clusters - 1, periods, clusters))[None]
    return cells, arm, dummies, columns


@pytest.mark.parametrize("kind", ["CR2", "CR3", "classical"])
def test_cells_have_the_robust_errors_of_children(binary_wedge, kind):
    cells, arm, dummies, columns = binary_wedge
    with_dummies = kind != "CR3"  # the row-data CR3 with dummies of the clusters has no inverse
    X = np.concatenate([arm[None, None], dummies], axis=1) if with_dummies else arm[None, None]
    fits = fit_model_based(cells, X) if kind == "classical" else fit_robust(cells, X, kind=kind)
    formula = "y ~ arm + period + la" if with_dummies else "y ~ arm + period"
    for k in range(2):
        rows = rows_of_events(cells.y[k].ravel(), cells.n[0].ravel(), columns)
        cluster = None if kind == "classical" else "la"
        wanted = regression(formula, rows, family="binomial", vcov=kind, cluster=cluster).estimates["arm"]
        assert fits.estimate[k] == pytest.approx(wanted.estimate, rel=1e-6)
        assert fits.se[k] == pytest.approx(wanted.se, rel=1e-6)
        if kind == "CR2":
            assert fits.df[k] == pytest.approx(wanted.df, rel=1e-6)
            assert fits.p_value[k] == pytest.approx(wanted.p_value, abs=1e-6)


def test_poisson_cells_have_the_robust_errors_of_rows():
    rng = np.random.default_rng(8)
    arm = (np.arange(12) % 2).astype(float)
    exposure = rng.uniform(50, 400, 12)
    y = rng.poisson(exposure * 0.05 * rng.gamma(4, 0.25, 12)).astype(float)
    cells = Cells(y=y[None, None], n=exposure[None, None], family="poisson")
    rows = pd.DataFrame({"y": y, "arm": arm, "school": range(12), "years": exposure})
    for kind in ("CR2", "CR3"):
        fits = fit_robust(cells, arm[None, None, None], kind=kind)
        model = regression("y ~ arm", rows, family="poisson", exposure="years", vcov=kind, cluster="school")
        wanted = model.estimates["arm"]
        assert fits.estimate[0] == pytest.approx(wanted.estimate, rel=1e-7)
        assert fits.se[0] == pytest.approx(wanted.se, rel=1e-7)
        if kind == "CR2":
            assert fits.df[0] == pytest.approx(wanted.df, rel=1e-6)


def test_cells_have_the_mixed_model_of_children(binary_wedge):
    cells, arm, _, columns = binary_wedge
    fits = fit_glmm(cells, arm[None, None])
    assert not fits.failed.any()
    for k in range(2):
        rows = rows_of_events(cells.y[k].ravel(), cells.n[0].ravel(), columns)
        model = multilevel_model("y ~ arm + period + (1 | la)", rows, family="binomial")
        wanted = model.estimates["arm"]
        assert abs(fits.estimate[k] - wanted.estimate) / wanted.se < 1e-4
        assert fits.se[k] == pytest.approx(wanted.se, rel=1e-3)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_laplace_derivatives_are_those_of_the_likelihood(binary_wedge, family):
    cells, arm, _, _ = binary_wedge
    some = Cells(y=cells.y[:4], n=cells.n, family=family)
    X = np.broadcast_to(
        np.concatenate([arm[None], np.eye(4)[:, :, None] + np.zeros((4, 4, 5))])[None], (4, 5, 4, 5)
    )
    theta, b, modes = np.full(4, 0.4), np.tile([0.2, -1.0, -1.1, -0.9, -1.2], (4, 1)), np.zeros((4, 5))
    at = laplace_at(some, X, theta, b, modes)
    step = 1e-5
    for j in range(6):
        ends = []
        for sign in (1, -1):
            moved = np.column_stack([theta, b])
            moved[:, j] += sign * step
            ends.append(laplace_at(some, X, moved[:, 0], moved[:, 1:], modes))
        np.testing.assert_allclose(at.gradient[:, j], (ends[0].value - ends[1].value) / (2 * step), atol=2e-4)
        slope = (ends[0].gradient - ends[1].gradient) / (2 * step)
        np.testing.assert_allclose(at.hessian[:, j], slope, rtol=1e-4, atol=1e-3)


def test_randomisation_test_is_every_regression(binary_wedge):
    cells, arm, dummies, _ = binary_wedge
    orders = [np.arange(5), [1, 0, 2, 3, 4], [2, 0, 1, 3, 4], [0, 3, 2, 1, 4], [4, 1, 3, 2, 0], [3, 4, 2, 0, 1]]
    treatments = np.array([arm[:, order] for order in orders])
    used = np.arange(len(cells)) % len(orders)
    fits = fit_randomisation(cells, treatments, used, dummies)
    statistics = np.column_stack(
        [fit_glm(cells, np.concatenate([t[None, None], dummies], axis=1)).beta[:, 0] for t in treatments]
    )
    chosen = statistics[np.arange(len(cells)), used]
    wanted = (np.abs(statistics) >= np.abs(chosen)[:, None] - 1e-7).mean(axis=1)
    np.testing.assert_allclose(fits.p_value, wanted)
    np.testing.assert_allclose(fits.estimate, chosen, atol=1e-7)


def test_ranks_count_ties_and_failures():
    fits = ranked(np.array([[1.0, -1.0, 0.5], [0.1, 2.0, -3.0], [np.nan, 1.0, 2.0]]), np.array([0, 0, 1]))
    np.testing.assert_allclose(fits.p_value[:2], [2 / 3, 1.0])
    assert fits.failed.tolist() == [False, False, True]


def test_a_cluster_without_events_fails_openly():
    y = np.tile([5.0, 3.0, 8.0, 4.0, 6.0, 2.0], (2, 1, 1))
    y[0, 0, 3:] = 0.0
    arm = np.array([0, 0, 0, 1, 1, 1.0])[None, None, None]
    fits = fit_robust(Cells(y=y, n=np.full((1, 1, 6), 20.0)), arm)
    assert fits.failed.tolist() == [True, False]
    assert np.isnan(fits.p_value[0])
