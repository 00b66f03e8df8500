"""A regression fitted again to other outcomes and allocations equals the regression of those."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError

LEVELS = {"arm": ["usual", "programme"]}
ARM = "arm[programme]"


def children(seed=1):
    rng = np.random.default_rng(seed)
    team = np.repeat(np.arange(10), rng.integers(4, 15, 10))
    n = len(team)
    frame = pd.DataFrame({"team": [f"t{k}" for k in team], "age": rng.normal(size=n)})
    frame["arm"] = np.where(team % 2 == 1, "programme", "usual")
    frame["y"] = rng.normal(size=n) + rng.normal(size=10)[team]
    frame["seen"] = (frame["y"] > 0) * 1
    frame["days"] = rng.poisson(3, n)
    frame["at_risk"] = rng.uniform(1, 4, n)
    frame.loc[3, "age"] = np.nan
    return frame


MODELS = {
    "gaussian": ("y ~ arm + age", {"family": "gaussian", "vcov": "CR2", "cluster": "team"}),
    "interaction": ("y ~ arm * age", {"family": "gaussian", "vcov": "HC2"}),
    "binomial": ("seen ~ arm + age", {"family": "binomial", "vcov": "CR1S", "cluster": "team"}),
    "satterthwaite": (
        "seen ~ arm",
        {"family": "binomial", "vcov": "CR1", "cluster": "team", "df": "satterthwaite"},
    ),
    "rate": ("days ~ arm + age", {"family": "quasipoisson", "exposure": "at_risk"}),
}


@pytest.mark.property
@pytest.mark.parametrize("name", MODELS)
def test_allocations(name):
    formula, options = MODELS[name]
    data = children()
    fit = we.regression(formula, data, levels=LEVELS, **options)
    rng = np.random.default_rng(2)
    teams = sorted(set(data["team"]))
    arms = pd.DataFrame([rng.permutation(["usual", "programme"] * 5) for _ in range(4)], columns=teams)
    found = fit.refit_many(arms=arms, unit="team")
    for k in range(4):
        direct = we.regression(
            formula, data.assign(arm=data["team"].map(arms.iloc[k])), levels=LEVELS, **options
        ).estimates[ARM]
        wanted = (direct.estimate, direct.se, direct.df, direct.p_value)
        assert tuple(found.iloc[k, :4]) == pytest.approx(wanted, rel=1e-9)
    assert set(found["status"]) == {"ok"}


@pytest.mark.property
def test_outcomes_and_pairs():
    data = children()
    fit = we.regression("y ~ arm + age", data, levels=LEVELS, vcov="HC2")
    rng = np.random.default_rng(3)
    Y = rng.normal(size=(3, fit.n))
    flipped = np.where(data["arm"] == "usual", "programme", "usual")[None].repeat(3, axis=0)
    found = fit.refit_many(Y, flipped, arm="arm")
    plain = fit.refit_many(Y)
    np.testing.assert_allclose(found["estimate"], -plain["estimate"], rtol=1e-9)
    used = data.iloc[fit.design_info.rows].assign(y=Y[0])
    assert plain["estimate"][0] == pytest.approx(
        we.regression("y ~ arm + age", used, levels=LEVELS).estimates[ARM].estimate
    )


def test_a_refit_without_an_estimate_fails_alone():
    data = children()
    fit = we.regression("y ~ arm", data, levels=LEVELS)
    arms = np.array([["usual"] * len(data), data["arm"].tolist()], dtype=object)
    found = fit.refit_many(arms=arms)
    assert list(found["status"]) == ["failed", "ok"]
    assert np.isnan(found["estimate"][0])
    assert found["estimate"][1] == pytest.approx(fit.estimates[ARM].estimate)


def test_what_cannot_be_asked():
    data = children()
    fit = we.regression("seen ~ arm * age", data, levels=LEVELS, family="binomial")
    y = fit.fitted.y
    for call, error, match in [
        (fit.refit_many, DesignError, "nothing changes"),
        (lambda: fit.refit_many(y[None], term="arm"), DesignError, "no term 'arm'"),
        (lambda: fit.refit_many(y[None] + 1), DataError, "cannot be that"),
        (lambda: fit.refit_many(y[None, :-1]), DataError, "shape"),
        (
            lambda: fit.refit_many(arms=data[["arm"]].T.to_numpy(), arm="arms"),
            DesignError,
            "is not in the fixed part",
        ),
        (lambda: fit.refit_many(arms=np.full((1, fit.n), None)), DataError, "missing"),
        (
            lambda: fit.refit_many(arms=pd.DataFrame({"t0": ["usual"]}), unit="team"),
            DataError,
            "not among the units",
        ),
        (lambda: fit.refit_many(arms=pd.DataFrame({"t0": ["usual"]}), unit="tea"), DesignError, "no column 'tea'"),
        (lambda: fit.refit_many(y[None], data[["arm", "arm"]].T.to_numpy()), DataError, "in pairs"),
    ]:
        with pytest.raises(error, match=match):
            call()


def test_a_logistic_regression_in_a_randomisation_test():
    data = children().drop(columns="arm")
    teams = data.groupby("team", as_index=False).agg(n=("y", "size"))
    allocation = we.randomise(
        teams, unit="team", method=we.Complete(), arms=("usual", "programme"), seed="example"
    )
    arm = dict(zip(allocation.table["team"], allocation.table["arm"].astype(str), strict=True))
    fit = we.regression("seen ~ arm", data.assign(arm=data["team"].map(arm)), family="binomial", levels=LEVELS)
    found = we.randomisation_test(allocation, fit)
    assert found.details["n_allocations"] == 252
    # without covariates the log odds ratio orders allocations as the odds ratio itself does
    seen, size = data.groupby("team")["seen"].sum(), data.groupby("team").size()
    inside = allocation.reference_set() == 1
    a, n = inside @ seen.to_numpy(), inside @ size.to_numpy()
    b, m = seen.sum() - a, len(data) - n
    odds = np.log(a / (n - a) * (m - b) / b)
    assert found.p_value == pytest.approx(np.mean(np.abs(odds) >= abs(found.estimate) - 1e-9))
