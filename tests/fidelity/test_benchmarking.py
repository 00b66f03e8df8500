"""Leagues, ranks, funnels and change: published figures, exact laws, and alerts that hold their level."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.fidelity.benchmarking.ranks import rank_probabilities

CASES = json.loads((Path(__file__).parents[1] / "reference/fidelity_league.json").read_text(encoding="utf-8"))


@pytest.mark.reference
@pytest.mark.parametrize("method", ["REML", "DL"])
def test_empirical_bayes_equals_metafor(method):
    n, population = (np.array(CASES["input"][name], dtype=float) for name in ("n", "pop"))
    found = we.fidelity.random_effects(np.log(n / population), 1 / n, method)
    expected = CASES[method]
    assert found.mu == pytest.approx(expected["mu"], abs=1e-8)
    assert found.se == pytest.approx(expected["se"], abs=1e-8)
    assert found.tau2 == pytest.approx(expected["tau2"], abs=1e-8)
    assert 100 * found.i2 == pytest.approx(expected["I2"], abs=1e-7)
    assert found.q == pytest.approx(expected["Q"], rel=1e-10)
    np.testing.assert_allclose(found.shrunk[:5], expected["blup_first5"], atol=1e-8)
    np.testing.assert_allclose(found.shrunk_se[:5], expected["blup_se_first5"], atol=1e-8)


def test_the_league_of_150_authorities():
    n, population = (np.array(CASES["input"][name], dtype=float) for name in ("n", "pop"))
    labels = [str(code) for code in CASES["input"]["la_num"]]
    league = we.fidelity.league(np.log(n / population), 1 / n, labels, name="log rate")
    rows = league.to_dicts()
    assert [row["rank"] for row in rows] == list(range(1, len(n) + 1))
    assert all(
        row["rank_low"] <= row["expected_rank"] + 1 and row["rank_high"] >= row["expected_rank"] - 1
        for row in rows
    )
    assert "REML" in str(league)


@pytest.mark.property
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(2, 9))
def test_ranks_are_a_law_and_sum_to_one_each_way(seed, k):
    rng = np.random.default_rng(seed)
    law = rank_probabilities(rng.normal(size=k), rng.uniform(0.2, 2, size=k))
    np.testing.assert_allclose(law.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(law.sum(axis=0), 1, atol=1e-3)  # by quadrature


@pytest.mark.simulation
def test_ranks_equal_those_of_draws():
    rng = np.random.default_rng(1)
    mean, se = rng.normal(size=8), rng.uniform(0.3, 1.2, size=8)
    draws = mean + se * rng.normal(size=(200_000, 8))
    ranks = (-draws).argsort(axis=1).argsort(axis=1)
    drawn = np.stack([np.bincount(ranks[:, unit], minlength=8) for unit in range(8)]) / len(draws)
    np.testing.assert_allclose(rank_probabilities(mean, se), drawn, atol=0.006)


def test_funnel_by_hand():
    found = we.fidelity.funnel(
        [50.0, 60.0, 70.0, 62.0],
        [25, 25, 100, 100],
        list("ABCD"),
        sd=10,
        target=60,
        overdispersion="multiplicative",
        winsorise=0,
    )
    z = np.array([-5.0, 0.0, 10.0, 2.0])
    assert found.phi == pytest.approx((z**2).mean())
    np.testing.assert_allclose(found.z, z / np.sqrt((z**2).mean()))
    additive = we.fidelity.funnel(
        [50.0, 60.0, 70.0, 62.0], [25, 25, 100, 100], list("ABCD"), sd=10, target=60, winsorise=0
    )
    w = np.array([0.25, 0.25, 1.0, 1.0])
    assert additive.tau2 == pytest.approx((4 * (z**2).mean() - 3) / (w.sum() - (w**2).sum() / w.sum()))


@pytest.mark.simulation
def test_a_funnel_flags_as_few_as_it_says():
    rng = np.random.default_rng(2)
    flags = {("none", 0.1): [], ("additive", 0.1): [], ("additive", 0): []}
    for _ in range(150):
        n = rng.integers(30, 200, size=30)
        level = rng.normal(60, 4, size=30)
        values = level + rng.normal(size=30) * 15 / np.sqrt(n)
        for (how, drawn_in), found in flags.items():
            table = we.fidelity.funnel(
                values, n, [str(k) for k in range(30)], sd=15, overdispersion=how, winsorise=drawn_in
            )
            found.append(np.mean(np.abs(table.z) > 1.96))
    assert np.mean(flags["none", 0.1]) > 0.30  # units differ: sampling alone condemns a third
    assert np.mean(flags["additive", 0]) < 0.065
    assert 0.08 < np.mean(flags["additive", 0.1]) < 0.13  # winsorising draws in what is no outlier, too


@pytest.mark.simulation
@pytest.mark.parametrize("method", ["ewma", "cusum"])
def test_alerts_are_rare_without_change_and_come_with_it(method):
    rng = np.random.default_rng(3)
    units, periods = (
        np.repeat([f"U{k:03d}" for k in range(400)], 64),
        np.tile(np.repeat([f"Q{q}" for q in range(8)], 8), 400),
    )
    values = rng.normal(60, 15, size=len(units))
    still = we.fidelity.changes(list(units), list(periods), values, method=method)
    share = len({row["unit"] for row in still.alerts}) / 400
    assert share < 0.06
    moved = values - np.where(np.isin(periods, ["Q4", "Q5", "Q6", "Q7"]), 15, 0)
    found = we.fidelity.changes(list(units), list(periods), moved, method=method)
    rows = [row for row in found.alerts if row["alert"] == "down"]
    assert len({row["unit"] for row in rows}) / 400 > 0.75
    assert not any(row["period"] in {"Q0", "Q1", "Q2", "Q3"} for row in found.alerts)


def test_a_period_without_cases_leaves_the_chart_where_it_was():
    periods = ["Q1"] * 6 + ["Q2"] * 6 + ["Q3"] * 6
    found = we.fidelity.changes(
        ["A"] * 18 + ["B"] * 12, periods + ["Q1"] * 6 + ["Q3"] * 6, np.tile([50.0, 70.0], 15), baseline=1
    )
    rows = [row for row in found.rows if row["unit"] == "B"]
    assert [row["n"] for row in rows] == [6, 0, 6]
    assert rows[1]["statistic"] == rows[1]["target"]


def test_what_cannot_be_is_refused():
    with pytest.raises(DataError, match="two units at least"):
        we.fidelity.random_effects(np.array([1.0]), np.array([1.0]))
    with pytest.raises(DataError, match="variance 0"):
        we.fidelity.league([1.0, 2.0], [1.0, 0.0], ["a", "b"])
    with pytest.raises(DataError, match="a proportion is"):
        we.fidelity.funnel([1.2, 0.5], [10, 10], ["a", "b"])
    with pytest.raises(DataError, match="do not vary"):
        we.fidelity.changes(["a", "a"], ["1", "2"], np.array([1.0, 2.0]))
    with pytest.raises(DesignError, match="method"):
        we.fidelity.changes(["a"], ["1"], np.array([1.0]), method="shewhart")
    short = we.fidelity.changes(["a"] * 4, ["1", "1", "2", "2"], np.array([1.0, 2.0, 3.0, 5.0]))
    assert "no period after the baseline" in str(short)
