"""Averages over clusters, impact, size checks, replicates and looks at the assumptions of multilevel models."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import wwc_eval as we
from wwc_eval.errors import DesignError
from wwc_eval.inference.clusters import Clusters

LEVELS = {"arm": ["usual", "programme"]}
OUTCOMES = {"gaussian": "score", "binomial": "hit", "poisson": "count", "negative_binomial": "count"}


def children(seed=4, las=10, teams=2):
    """Teams within LAs, LAs of very different sizes; the effect grows with x."""
    rng = np.random.default_rng(seed)
    groups = las * teams
    sizes = np.repeat(rng.integers(4, 22, las), teams) + rng.integers(0, 12, groups)
    team = np.repeat(np.arange(groups), sizes)
    la = team // teams
    n = len(team)
    x = rng.normal(size=n) + 0.5 * np.log(sizes)[team]
    part = 0.5 * rng.normal(size=las)[la] + 0.4 * rng.normal(size=groups)[team]
    treated = (la % 2) * 1
    level = part + 0.4 * x - 0.3 * treated * x
    exposure = rng.uniform(0.5, 2.0, n)
    return pd.DataFrame(
        {
            "la": [f"la {k:02d}" for k in la],
            "team": [f"team {k:02d}" for k in team],
            "arm": np.where(treated, "programme", "usual"),
            "x": x,
            "score": 20 + 3 * level + 4 * rng.normal(size=n),
            "hit": (rng.random(n) < special.expit(level - 0.5)).astype(int),
            "count": rng.poisson(exposure * np.exp(level - 0.5)),
            "exposure": exposure,
        }
    )


DATA = children()


def fitted(family, formula="arm * x + (1 | la)", data=None):
    options = {"exposure": "exposure"} if family not in ("gaussian", "binomial") else {}
    text = f"{OUTCOMES[family]} ~ {formula}"
    return we.multilevel_model(text, DATA if data is None else data, family=family, levels=LEVELS, **options)


@pytest.fixture(scope="module")
def fits():
    return {family: fitted(family) for family in ("gaussian", "binomial", "poisson")}


FAMILIES = ["gaussian", "binomial", "poisson"]


def by_hand(fit, rows):
    """Means of the rows with each arm, over participants or exposure."""
    shift = 0.0 if fit.family == "gaussian" else float(fit.covariances[0][0, 0])
    found = []
    for arm in ("usual", "programme"):
        eta = fit.data.design.matrix(DATA.iloc[rows].assign(arm=arm)) @ fit.coefficients
        if fit.family == "gaussian":
            mean = eta
        elif fit.family == "poisson":
            mean = np.exp(eta + shift / 2)
        else:
            z, w = np.polynomial.hermite_e.hermegauss(80)
            mean = special.expit(eta[:, None] + np.sqrt(shift) * z) @ (w / w.sum())
        weight = DATA["exposure"].to_numpy()[rows] if fit.family == "poisson" else np.ones(len(rows))
        found.append(np.average(mean, weights=weight))
    return np.array(found)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_cluster_counts_once(fits, family):
    fit = fits[family]
    scale = {"gaussian": "mean_difference", "binomial": "risk_difference", "poisson": "rate_difference"}[family]
    each = np.array([by_hand(fit, rows) for rows in DATA.groupby("la").indices.values()]).mean(axis=0)
    found = fit.marginal_effect("arm", scale=scale, average="clusters")
    assert found.estimate == pytest.approx(each[1] - each[0], rel=1e-7)
    assert found.details["average"] == "clusters"
    assert "clusters (la), each counting once" in found.method
    plain = fit.marginal_effect("arm", scale=scale)
    whole = by_hand(fit, np.arange(len(DATA)))
    assert plain.estimate == pytest.approx(whole[1] - whole[0], rel=1e-7)
    assert plain.details["average"] == "participants"
    other = fit.marginal_effect("arm", scale=scale, average="clusters", cluster="team")
    assert len({round(row.estimate, 9) for row in (found, plain, other)}) == 3


def test_errors_of_cluster_averages_have_the_right_gradient(fits):
    fit = fits["binomial"]
    core = fit.core

    def effect(psi):
        moved = replace(fit, core=replace(core, optimum=replace(core.optimum, psi=psi)))
        return np.log(moved.marginal_effect("arm", scale="risk_ratio", average="clusters").estimate)

    gradient = []
    for k in range(len(core.optimum.psi)):
        step = np.zeros(len(core.optimum.psi))
        step[k] = 1e-5
        gradient.append((effect(core.optimum.psi + step) - effect(core.optimum.psi - step)) / 2e-5)
    se = np.sqrt(np.array(gradient) @ core.optimum.covariance @ np.array(gradient))
    found = fit.marginal_effect("arm", scale="risk_ratio", average="clusters")
    assert found.se == pytest.approx(se, rel=1e-6)


@pytest.mark.parametrize("kind", ["wald", "satterthwaite", "kenward_roger", "CR2"])
def test_linear_averages_keep_the_inference_of_the_fit(fits, kind):
    fit = fits["gaussian"].with_inference(kind)
    codes = pd.factorize(DATA["la"])[0]
    share = 1.0 / np.bincount(codes)[codes] / 10
    weights = dict(zip(fit.terms, share @ (fit.data.design.matrix(DATA.assign(arm="programme")) - fit.data.design.matrix(DATA.assign(arm="usual"))), strict=True))  # fmt: skip
    direct = fit.contrast(weights)
    found = fit.marginal_effect("arm", average="clusters")
    for name in ("estimate", "se", "df", "p_value", "ci_low", "ci_high"):
        assert getattr(found, name) == pytest.approx(getattr(direct, name), rel=1e-8)
    assert fit.marginal_effect("arm", level=0.8).level == 0.8


def test_slopes_over_clusters(fits):
    codes = pd.factorize(DATA["la"])[0]
    share = 1.0 / np.bincount(codes)[codes] / 10
    h = 1e-5
    for family in ("gaussian", "poisson"):
        fit = fits[family]
        shift = 0.0 if family == "gaussian" else float(fit.covariances[0][0, 0]) / 2
        ends = [fit.data.design.matrix(DATA.assign(x=DATA["x"] + s)) @ fit.coefficients + shift for s in (h, -h)]
        if family == "poisson":
            ends = [np.exp(end) for end in ends]
            total = np.bincount(codes, weights=DATA["exposure"])
            share = DATA["exposure"].to_numpy() / total[codes] / 10
        expected = share @ (ends[0] - ends[1]) / (2 * h)
        assert fit.marginal_effect("x", average="clusters").estimate == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_impact_follows_from_marginal_effects(fits, family):
    fit = fits[family]
    scale = {"gaussian": "mean_difference", "binomial": "risk_difference", "poisson": "rate_difference"}[family]
    effect = fit.marginal_effect("arm", scale=scale)
    found = fit.impact("arm", per_year=250)
    for name in ("estimate", "se", "ci_low", "ci_high"):
        assert getattr(found.difference, name) == pytest.approx(250 * getattr(effect, name), rel=1e-9)
    assert found.difference.df == pytest.approx(effect.df, rel=1e-9)
    low, high = by_hand(fit, np.arange(len(DATA)))
    assert (found.without.estimate, found.with_programme.estimate) == pytest.approx(
        (250 * low, 250 * high), rel=1e-7
    )
    assert found.percent_change[0] == pytest.approx(high / low - 1, rel=1e-7)
    if family != "gaussian":
        ratio = fit.marginal_effect("arm", scale="risk_ratio" if family == "binomial" else "rate_ratio")
        assert found.relative.ci_low == pytest.approx(ratio.ci_low, rel=1e-9)


def test_size_checks_are_of_the_regression_without_random_effects(fits):
    for family in FAMILIES:
        check = fits[family].cluster_size_check("arm")
        options = {"exposure": "exposure"} if family == "poisson" else {}
        plain = we.regression(
            f"{OUTCOMES[family]} ~ arm * x",
            DATA,
            family=family,
            vcov="CR2",
            cluster="la",
            levels=LEVELS,
            **options,
        )
        assert check.to_frame().equals(plain.cluster_size_check("arm").to_frame())
        assert check.cluster == "la"
    nested = fitted("gaussian", "arm + x + (1 | la/team)").cluster_size_check("arm")
    assert nested.sizes["clusters"] == 10


# --- replicates


def doubled(counts):
    parts = [
        DATA[DATA["la"] == name].assign(la=f"{name} {k}", team=lambda d, k=k: d["team"] + f" {k}")
        for name, count in zip(sorted(DATA["la"].unique()), counts, strict=True)
        for k in range(int(count))
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("family", "formula"),
    [
        ("gaussian", "arm * x + (1 | la/team)"),
        ("gaussian", "arm * x + (1 + x | la)"),
        ("binomial", "arm * x + (1 | la)"),
        ("poisson", "arm * x + (1 | la/team)"),
        ("negative_binomial", "arm + x + (1 | la)"),
    ],
)
def test_a_cluster_drawn_twice_counts_twice(family, formula):
    fit = fitted(family, formula)
    counts = np.array([2, 1, 0, 1, 1, 2, 1, 1, 0, 1], dtype=float)
    codes, _ = pd.factorize(DATA["la"], sort=True)
    again = fit.redrawn(counts, Clusters(name="la", codes=codes))
    direct = fitted(family, formula, doubled(counts))
    assert again.log_likelihood == pytest.approx(direct.log_likelihood, rel=1e-8)
    assert again.groups == direct.groups
    np.testing.assert_allclose(again.coefficients, direct.coefficients, atol=2e-5)
    for average in ("participants", "clusters"):
        one, two = (each.marginal_effect("arm", average=average).estimate for each in (again, direct))
        assert one == pytest.approx(two, abs=2e-5)
    np.testing.assert_allclose(
        [row.estimate for row in again._icc(None, 0.95)],
        [row.estimate for row in direct._icc(None, 0.95)],
        atol=2e-4,
    )


@pytest.mark.parametrize(
    ("family", "draw", "reps"),
    [
        ("gaussian", "parametric", 40),
        ("gaussian", "clusters", 40),
        ("binomial", "parametric", 19),
        ("poisson", "clusters", 19),
    ],
)
def test_bootstrap_intervals(fits, family, draw, reps):
    fit = fits[family]
    options = {"reps": reps, "draw": draw, "progress": False, "strata": "arm" if draw == "clusters" else None}
    found = fit.marginal_effect("arm", interval="bootstrap", rng=2, **options)
    delta = fit.marginal_effect("arm")
    assert found.estimate == delta.estimate
    assert found.ci_low < found.estimate < found.ci_high
    assert 0.4 < found.se / delta.se < 1.8
    assert found.details["draw"] == draw
    assert "delta" not in found.method
    assert not any("Normal inference" in text for text in found.warnings)
    share = fit.icc(method="bootstrap", rng=2, **options)["la"]
    assert share.estimate == pytest.approx(fit.icc()["la"].estimate, rel=1e-12)
    assert 0 <= share.ci_low <= share.ci_high
    assert np.isnan(share.p_value)


def test_replicates_follow_from_the_seed(fits):
    fit = fits["gaussian"]
    options = {"interval": "bootstrap", "reps": 19, "progress": False}
    assert fit.marginal_effect("arm", rng=1, **options) == fit.marginal_effect("arm", rng=1, **options)
    assert fit.marginal_effect("arm", rng=1, **options) != fit.marginal_effect("arm", rng=2, **options)
    found = fit.impact("arm", per_year=100, rng=1, **options)
    assert found.difference.ci_low == pytest.approx(100 * fit.marginal_effect("arm", rng=1, **options).ci_low)


def test_what_cannot_be_drawn(fits):
    with pytest.raises(DesignError, match="source of randomness"):
        fits["gaussian"].icc(method="bootstrap")
    crossed = fitted("gaussian", "arm + (1 | la) + (1 | grade)", DATA.assign(grade=np.arange(len(DATA)) % 7))
    with pytest.raises(DesignError, match="crossed"):
        crossed.marginal_effect("arm", average="clusters")
    options = {"interval": "bootstrap", "draw": "clusters", "rng": 1, "reps": 19, "progress": False}
    with pytest.raises(DesignError, match="groups of 'grade' lie in several clusters"):
        crossed.marginal_effect("arm", cluster="la", **options)
    with pytest.raises(DesignError, match="strata are for draws of clusters"):
        fits["gaussian"].marginal_effect("arm", **{**options, "draw": "parametric", "strata": "arm"})
    with pytest.raises(DesignError, match="single random intercept"):
        fitted("binomial", "arm + (1 | la/team)").icc(method="profile")
    delta = fits["binomial"].icc(method="delta")[0]
    assert delta.details["interval"] == "delta"
    assert delta.ci_low < delta.estimate < delta.ci_high


# --- looks at the assumptions of generalised models


def test_distributions_and_residuals_are_those_of_the_families():
    from wwc_eval.multilevel.generalised.diagnostics import _distribution, _variance

    mean = np.array([0.3, 1.7, 6.0])
    y = np.array([0.0, 2.0, 5.0])
    for family in ("poisson", "negative_binomial", "negative_binomial_1"):
        rng = np.random.default_rng(2)
        data = DATA.assign(count=rng.poisson(DATA["count"] * rng.gamma(0.7, 1 / 0.7, len(DATA))))
        fit = fitted("negative_binomial", "x + (1 | la)", data) if family != "poisson" else fitted("poisson")
        if family == "negative_binomial_1":
            fit = we.multilevel_model("count ~ x + (1 | la)", data, family=family, exposure="exposure")
        if family == "poisson":
            known = stats.poisson(mean)
        else:
            size = fit.dispersion if family == "negative_binomial" else mean / fit.dispersion
            known = stats.nbinom(size, size / (size + mean))
        np.testing.assert_allclose(_distribution(fit, y, mean), known.cdf(y), rtol=1e-9)
        np.testing.assert_allclose(_variance(fit, mean), known.var(), rtol=1e-9)
    binomial = fitted("binomial")
    risk = binomial.predict()
    expected = (DATA["hit"] - risk) / np.sqrt(risk * (1 - risk))
    np.testing.assert_allclose(binomial.residuals(), expected, rtol=1e-10)
    with pytest.raises(DesignError, match="randomised"):
        binomial.residuals("quantile")
    with pytest.raises(DesignError, match="not randomised"):
        binomial.residuals("pearson", rng=1)


@pytest.mark.simulation
@pytest.mark.parametrize("family", ["binomial", "poisson", "negative_binomial"])
def test_quantile_residuals_are_normal_where_the_model_is_right(family):
    data = children(seed=9, las=40)
    fit = fitted(family, data=data)
    own = fit.refit(fit.simulate(1, rng=5)[0])
    values = own.residuals("quantile", rng=3)
    # conditional residuals know the random effects, which leaves them a little narrower
    assert stats.kstest(values, "norm").pvalue > 1e-3
    assert 0.85 < values.std() < 1.1
    rows = own.diagnostics(rng=3).to_dicts()
    assert [row["of"] for row in rows] == ["quantile residuals", "la: (Intercept)"]
    assert abs(rows[0]["skewness"]) < 0.3


def test_tables_of_generalised_checks(fits):
    for family in ("binomial", "poisson"):
        fit = fits[family]
        table = fit.calibration(5).to_frame()
        assert table["rows"].sum() == len(DATA)
        assert table["observed"].sum() == DATA[OUTCOMES[family]].sum()
        assert (table["low"].diff().dropna() >= 0).all()
        explained = fit.variance_explained().column("share")
        eta = fit.data.design.X @ fit.coefficients
        between = float(fit.covariances[0][0, 0])
        own = np.pi**2 / 3
        if family == "poisson":
            own = np.log1p(1 / np.mean(DATA["exposure"] * np.exp(eta + between / 2)))
        assert explained[0] == pytest.approx(np.var(eta) / (np.var(eta) + between + own), rel=1e-9)
        assert explained[0] < explained[1] < 1
        vcov = fit.vcov.iloc[1:, 1:].to_numpy()
        expected = np.diag(vcov) * np.diag(np.linalg.inv(vcov))
        assert fit.vif().column("vif") == pytest.approx(list(expected), rel=1e-9)
        assert [row["of"] for row in fit.diagnostics()] == ["la: (Intercept)"]
    assert "Pearson dispersion" in " ".join(fits["poisson"].diagnostics().notes)
    assert "Rows without an event" in " ".join(fits["poisson"].diagnostics().notes)


def test_plots_of_generalised_checks(fits):
    fit = fits["poisson"]
    axes = [fit.plot_qq(), fit.plot_qq("la"), fit.plot_qq("residuals", rng=1), fit.plot_residuals(), fit.plot_random_effects()]  # fmt: skip
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in axes)
    with pytest.raises(DesignError, match="randomised"):
        fit.plot_qq("residuals")
