"""Regression estimators against dense algebra, against each other, and under every change that must not matter."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import wwc_eval as we

pytestmark = pytest.mark.property

ESTIMATORS = {
    "two_way_fixed_effects": {},
    "event_study": {"leads": 2, "lags": 2},
    "sun_abraham": {},
    "extended_twfe": {},
    "imputation": {},
    "two_stage": {},
    "stacked": {"leads": 1, "lags": 1},
}


def rows(seed, *, n=24, T=7, missing=0.0, weights="none", clusters=False, starts=(3, 4, 6)):
    """Rows of a panel with a third of its units never treated and effects that grow."""
    rng = np.random.default_rng(seed)
    start = np.r_[np.tile(starts, n)[: 2 * n // 3], np.zeros(n - 2 * n // 3, dtype=int)]
    t = np.arange(1, T + 1)
    on = (start[:, None] > 0) & (t >= start[:, None])
    x = rng.normal(size=(n, T))
    y = (
        rng.normal(size=(n, 1))
        + 0.3 * t
        + 0.5 * x
        + on * (1 + 0.4 * (t - start[:, None]))
        + rng.normal(size=(n, T))
    )
    weight = {"none": np.ones((n, T)), "unit": rng.uniform(0.5, 2, (n, 1)) * np.ones((n, T))}
    data = pd.DataFrame(
        {
            "unit": np.repeat([f"LA {i:03d}" for i in rng.permutation(n)], T),
            "period": np.tile(t, n),
            "y": y.ravel(),
            "x": x.ravel(),
            "start": np.repeat(start, T),
            "weight": (weight[weights] if weights != "cell" else rng.uniform(0.5, 2, (n, T))).ravel(),
            "area": np.repeat(np.arange(n) // 2 if clusters else np.arange(n), T),
        }
    )
    keep = rng.uniform(size=n * T) >= missing
    return data[keep].reset_index(drop=True)


def panel_of(data, *, weights="none", clusters=False):
    return we.Panel(
        data,
        unit="unit",
        period="period",
        outcome="y",
        cohort="start",
        weights=None if weights == "none" else "weight",
        cluster="area" if clusters else None,
    )


def numbers(result):
    """Every estimate and error of a result."""
    items = [result.overall, *result.estimates, *(result.by_cohort or ()), *(result.cells or ())]
    return np.array([[item.estimate, item.se] for item in items])


def dense(data, columns, names, weights="none"):
    """Columns, dummies of units and periods, outcome, root weights and units of the rows of a panel."""
    unit, period = pd.factorize(data["unit"], sort=True)[0], pd.factorize(data["period"], sort=True)[0]
    root = np.sqrt(data["weight"].to_numpy()) if weights != "none" else np.ones(len(data))
    X = np.hstack(
        [
            np.column_stack([columns[name] for name in names]),
            np.eye(unit.max() + 1)[unit],
            np.eye(period.max() + 1)[period][:, 1:],
        ]
    )
    return X, data["y"].to_numpy(), root, unit


@settings(max_examples=16, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    missing=st.sampled_from([0.0, 0.15]),
    weights=st.sampled_from(["none", "unit", "cell"]),
    clusters=st.booleans(),
    covariate=st.booleans(),
)
def test_two_way_fixed_effects_is_least_squares_on_all_dummies(seed, missing, weights, clusters, covariate):
    data = rows(seed, missing=missing, weights=weights, clusters=clusters)
    panel = panel_of(data, weights=weights, clusters=clusters)
    on = ((data["start"] > 0) & (data["period"] >= data["start"])).astype(float)
    names = ["on", "x"] if covariate else ["on"]
    X, y, root, _ = dense(data, {"on": on, "x": data["x"]}, names, weights)
    Q, R = np.linalg.qr(X * root[:, None])
    beta = np.linalg.solve(R, Q.T @ (y * root))
    left = y - X @ beta
    bread = np.linalg.inv(R.T @ R)
    score = pd.DataFrame(X * (root**2 * left)[:, None]).groupby(data["area"].to_numpy()).sum().to_numpy()
    cr0 = np.sqrt(np.diag(bread @ score.T @ score @ bread))
    G, N, K = len(score), len(y), len(names) + 7
    found = {
        k: we.did.two_way_fixed_effects(panel, "x" if covariate else None, vcov=k)
        for k in ("CR0", "CR1S", "HC1", "classical")
    }
    for position, name in enumerate(["treated", "x"][: len(names)]):
        estimate = {k: result.estimates[name] for k, result in found.items()}
        assert estimate["CR0"].estimate == pytest.approx(beta[position], rel=1e-9, abs=1e-11)
        assert estimate["CR0"].se == pytest.approx(cr0[position], rel=1e-9)
        assert estimate["CR1S"].se == pytest.approx(
            cr0[position] * np.sqrt(G / (G - 1) * (N - 1) / (N - K)), rel=1e-9
        )
        free = N - X.shape[1]
        plain = np.sqrt(bread[position, position] * (root**2 * left**2).sum() / free)
        assert estimate["classical"].se == pytest.approx(plain, rel=1e-9)
        single = X * (root**2 * left)[:, None]
        robust = np.sqrt((bread @ single.T @ single @ bread)[position, position] * N / free)
        assert estimate["HC1"].se == pytest.approx(robust, rel=1e-9)


def full_cr2(X, y, root, codes, kind):
    """CR2 or CR3 and the Satterthwaite df of the first coefficient, every effect a column, rows of one variance."""
    n, W = len(y), root**2
    M = np.linalg.inv((X * W[:, None]).T @ X)
    maker = np.eye(n) - X @ M @ (X * W[:, None]).T
    V, left = maker @ maker.T, maker @ y
    meat, P = 0.0, []
    for code in np.unique(codes):
        i = np.flatnonzero(codes == code)
        if kind == "CR2":
            values, vectors = np.linalg.eigh(V[np.ix_(i, i)])
            A = (vectors * np.where(values > 1e-9, np.abs(values) ** -0.5, 0.0)) @ vectors.T
        else:
            A = np.linalg.pinv(maker[np.ix_(i, i)], rcond=1e-9)
        s = (M[0] @ X[i].T * W[i]) @ A
        meat += (s @ left[i]) ** 2
        P.append(maker[i].T @ s)
    omega = np.array(P) @ np.array(P).T
    return np.sqrt(meat), np.trace(omega) ** 2 / (omega**2).sum()


@pytest.mark.parametrize("weights", ["none", "unit", "cell"])
@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("clusters", [False, True])
def test_cr2_cr3_and_df_are_those_of_the_regression_with_every_effect_as_a_column(weights, missing, clusters):
    data = rows(5, n=16, missing=missing, weights=weights, clusters=clusters)
    panel = panel_of(data, weights=weights, clusters=clusters)
    on = ((data["start"] > 0) & (data["period"] >= data["start"])).astype(float)
    X, y, root, _ = dense(data, {"on": on}, ["on"], weights)
    for kind in ("CR2", "CR3"):
        se, df = full_cr2(X, y, root, data["area"].to_numpy(), kind)
        found = we.did.two_way_fixed_effects(panel, vcov=kind).overall
        assert found.se == pytest.approx(se, rel=1e-8)
        assert found.df == pytest.approx(df, rel=1e-7)


def test_cr3_is_the_jackknife_over_clusters():
    data = rows(8, n=16, missing=0.1)
    whole = we.did.two_way_fixed_effects(panel_of(data), vcov="CR3").overall
    left = [
        we.did.two_way_fixed_effects(panel_of(data[data["unit"] != unit])).overall.estimate
        for unit in data["unit"].unique()
    ]
    assert whole.se == pytest.approx(np.sqrt(((np.array(left) - whole.estimate) ** 2).sum()), rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    missing=st.sampled_from([0.0, 0.12]),
    weights=st.sampled_from(["none", "unit", "cell"]),
    covariate=st.booleans(),
)
def test_imputation_and_two_stage_against_dense_algebra(seed, missing, weights, covariate):
    data = rows(seed, missing=missing, weights=weights)
    panel = panel_of(data, weights=weights)
    on = ((data["start"] > 0) & (data["period"] >= data["start"])).to_numpy()
    # a unit without untreated cells cannot be imputed, and is left out
    assume(set(data["unit"]) == set(data["unit"][~on]))
    names = ["x"] if covariate else ["nothing"]
    X, y, root, unit = dense(data, {"x": data["x"], "nothing": np.zeros(len(data))}, names, weights)
    X = X if covariate else X[:, 1:]
    W = root**2
    beta = np.linalg.lstsq(X[~on] * root[~on, None], y[~on] * root[~on], rcond=None)[0]
    gap = y - X @ beta
    own = np.where(on, W, 0.0) / W[on].sum()
    v = np.where(on, own, -W * (X @ np.linalg.pinv((X[~on] * W[~on, None]).T @ X[~on]) @ X[on].T @ own[on]))
    assert (v * y).sum() == pytest.approx((own * gap).sum(), abs=1e-10)
    cell = (data["start"] * 100 + data["period"]).to_numpy()
    centred, alone = gap.copy(), gap.copy()
    for code in np.unique(cell[on]):
        here = np.flatnonzero(on & (cell == code))
        square = v[here] ** 2
        centred[here] -= (square * gap[here]).sum() / square.sum()
        for i in here:
            others = here[here != i]
            alone[i] -= (v[others] ** 2 * gap[others]).sum() / max((v[others] ** 2).sum(), 1e-300)
    found = we.did.imputation(panel, "x" if covariate else None)
    assert found.overall.estimate == pytest.approx((own * gap).sum(), rel=1e-9, abs=1e-11)
    assert found.overall.se == pytest.approx(np.sqrt((np.bincount(unit, v * centred) ** 2).sum()), rel=1e-8)
    if all((on & (cell == code)).sum() > 1 for code in np.unique(cell[on])):
        loo = we.did.imputation(panel, "x" if covariate else None, leave_one_out=True)
        assert loo.overall.se == pytest.approx(np.sqrt((np.bincount(unit, v * alone) ** 2).sum()), rel=1e-8)
    stage = np.where(on, gap - (own * gap).sum(), gap)
    gardner = we.did.two_stage(panel, "x" if covariate else None).overall
    assert gardner.estimate == pytest.approx(found.overall.estimate, rel=1e-12)
    assert gardner.se == pytest.approx(np.sqrt((np.bincount(unit, v * stage) ** 2).sum()), rel=1e-8)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), weights=st.sampled_from(["none", "unit"]))
def test_estimators_agree_where_they_must(seed, weights):
    panel = panel_of(rows(seed, weights=weights), weights=weights)
    imputed, extended = we.did.imputation(panel), we.did.extended_twfe(panel)
    assert imputed.overall.estimate == pytest.approx(extended.overall.estimate, rel=1e-10)
    assert [item.estimate for item in imputed.cells] == pytest.approx(
        [item.estimate for item in extended.cells], rel=1e-9, abs=1e-10
    )
    saturated, interacted = we.did.extended_twfe(panel, control="never"), we.did.sun_abraham(panel)
    assert numbers(saturated) == pytest.approx(numbers(interacted), rel=1e-12)
    bacon = we.did.bacon_decomposition(panel)
    weight, value = (np.array(bacon.estimates.column(name)) for name in ("weight", "estimate"))
    assert weight.sum() == pytest.approx(1.0, abs=1e-12)
    assert (weight > 0).all()
    assert (weight * value).sum() == pytest.approx(we.did.two_way_fixed_effects(panel).overall.estimate, rel=1e-10)
    one = panel_of(rows(seed, weights=weights, starts=(4,)), weights=weights)
    before_after = we.did.two_by_two(one)
    assert before_after.means.column("change")[2] == pytest.approx(
        before_after.overall.estimate, rel=1e-10, abs=1e-12
    )
    for other in (we.did.imputation(one), we.did.stacked(one), we.did.sun_abraham(one)):
        path = we.did.event_study(one).path
        if other.path.reference == -1:
            assert other.path.estimates == pytest.approx(path.estimates, rel=1e-9, abs=1e-10)
        else:
            assert other.overall.estimate == pytest.approx(before_after.overall.estimate, rel=1e-9)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), missing=st.sampled_from([0.0, 0.1]), clusters=st.booleans())
def test_row_order_labels_and_units_of_the_outcome_do_not_matter(seed, missing, clusters):
    data = rows(seed, missing=missing, weights="unit", clusters=clusters)
    rng = np.random.default_rng(seed)
    shuffled = data.iloc[rng.permutation(len(data))]
    labels = dict(zip(data["unit"].unique(), rng.permutation(data["unit"].nunique()), strict=True))
    relabelled = data.assign(unit=data["unit"].map(labels))
    scaled = data.assign(y=10 * data["y"] + 3, weight=7 * data["weight"])
    for name, options in ESTIMATORS.items():
        base, same, other, ten = (
            numbers(getattr(we.did, name)(panel_of(frame, weights="unit", clusters=clusters), **options))
            for frame in (data, shuffled, relabelled, scaled)
        )
        assert np.array_equal(base, same, equal_nan=True), name
        assert other == pytest.approx(base, rel=1e-9, abs=1e-11, nan_ok=True), name
        assert ten == pytest.approx(10 * base, rel=1e-8, abs=1e-9, nan_ok=True), name


def test_groups_of_units_and_units_for_themselves_are_the_same_fit():
    from wwc_eval.did.least_squares import fit_linear
    from wwc_eval.did.robust import robust_of
    from wwc_eval.did.sample import sample_of

    for missing in (0.0, 0.1):
        sample = sample_of(panel_of(rows(3, n=60, missing=missing)), "test")
        found = []
        for own in (False, True):
            data = sample.grouped(own=own)
            fit = fit_linear(data, sample.treated[data.first].astype(float)[:, :, None], ("treated",))
            found.append(
                [fit.beta[0], *(robust_of(fit, kind).matrix[0, 0] for kind in ("CR0", "HC1", "classical", "CR2"))]
            )
            assert data.compressed is not own
        assert found[0] == pytest.approx(found[1], rel=1e-10)


def test_hash_seed_does_not_matter(tmp_path):
    data = rows(11, missing=0.1, weights="unit", clusters=True)
    data.to_csv(tmp_path / "panel.csv", index=False)
    program = (
        "import sys, pandas as pd, wwc_eval as we\n"
        "p = we.Panel(pd.read_csv(sys.argv[1]), unit='unit', period='period', outcome='y', cohort='start',"
        " weights='weight', cluster='area')\n"
        "for r in (we.did.two_way_fixed_effects(p, vcov='CR2'), we.did.sun_abraham(p), we.did.imputation(p)):\n"
        "    print([i.estimate.hex() + i.se.hex() for i in (r.overall, *r.estimates)])\n"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "panel.csv")],
        env={**os.environ, "PYTHONHASHSEED": "20261127"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    panel = panel_of(pd.read_csv(tmp_path / "panel.csv"), weights="unit", clusters=True)
    here = [we.did.two_way_fixed_effects(panel, vcov="CR2"), we.did.sun_abraham(panel), we.did.imputation(panel)]
    lines = [str([one.estimate.hex() + one.se.hex() for one in (r.overall, *r.estimates)]) for r in here]
    assert elsewhere.splitlines() == lines


def test_the_outcome_is_no_covariate_of_itself():
    data = pd.DataFrame(
        [(u, t, float((3 * u + t * t) % 5), int(u < 3 and t > 1)) for u in range(8) for t in range(4)],
        columns=["u", "t", "y", "d"],
    )
    found = we.Panel(data, unit="u", period="t", outcome="y", treated="d")
    for column, role in (("y", "outcome"), ("d", "treated")):
        with pytest.raises(we.DesignError, match=f"is the panel's {role} column"):
            we.did.two_way_fixed_effects(found, covariates=column)
