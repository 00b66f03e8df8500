"""The efficient estimator of drawn roll-outs: R's figures, exact arithmetic, other estimators, and its randomisation test."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import staggered_exact as exact
from staggered_panels import READ, drawn, panel_of, reference_panel

import wwc_eval as we

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "did_staggered.json").read_text(encoding="utf-8")
)
FIXED = {"callaway_santanna": 1, "difference_in_means": 0}


# --- R


@pytest.mark.reference
@pytest.mark.parametrize("name", READ)
def test_the_nine_figures_of_r(name):
    wanted = REFERENCE[name]
    found = we.did.staggered(reference_panel(name), errors="adjusted", df="normal").overall
    assert found.estimate == pytest.approx(wanted["estimate"], rel=1e-11, abs=1e-14)
    assert found.se == pytest.approx(wanted["se"], rel=1e-11)
    assert found.details["se_neyman"] == pytest.approx(wanted["se_neyman"], rel=1e-12)
    usual = we.did.staggered(reference_panel(name)).overall
    assert (usual.se, usual.details["se_adjusted"]) == (found.details["se_neyman"], found.se)
    for other in ("cohort", "calendar", "event"):
        assert (
            abs(we.did.staggered(reference_panel(name), estimand=other).overall.estimate - found.estimate) > 1e-3
        )


# --- exact arithmetic


@pytest.mark.reference
@pytest.mark.parametrize("estimand", ["simple", "cohort", "calendar", "event"])
@pytest.mark.parametrize("adjustment", ["efficient", "callaway_santanna", "difference_in_means"])
def test_estimates_and_variances_equal_exact_arithmetic(estimand, adjustment):
    rng = np.random.default_rng(4)
    for start in ((2, 2, 3, 3, 3, 5, 5, 99, 99), (1, 1, 1, 4, 4, 5, 5, 5), (3, 3, 99, 99)):
        y = rng.integers(-50, 50, (len(start), 6)).tolist()
        value, variance, beta = exact.estimated(y, list(start), beta=FIXED.get(adjustment), estimand=estimand)
        found = we.did.staggered(panel_of(y, start), estimand=estimand, adjustment=adjustment).overall
        assert found.estimate == pytest.approx(float(value), rel=1e-12, abs=1e-12)
        assert found.se**2 == pytest.approx(float(variance), rel=1e-12)
        assert found.details["beta"] == pytest.approx(float(beta), rel=1e-12)


@pytest.mark.parametrize("beta", [0, 1, Fraction(7, 10)])
def test_the_draw_alone_makes_it_unbiased_and_its_variance_conservative(beta):
    start = [1, 1, 2, 2, 99, 99]
    outcomes = exact.potential(6, 4, (1, 2, 99), seed=8)
    theta, _ = exact.matrices([1, 2, 99], {1: 2, 2: 2, 99: 2}, 4)
    own = [sum(theta[g][t] * outcomes[g][i][t] for g in theta for t in range(4)) for i in range(6)]
    truth = sum(own) / 6
    found = []
    for one in exact.assignments(start):
        y = [outcomes[g][i] for i, g in enumerate(one)]
        found.append((one, y, *exact.estimated(y, list(one), beta=beta)[:2]))
    values, variances = [row[2] for row in found], [row[3] for row in found]
    assert len(found) == 90
    assert sum(values) / 90 == truth
    spread = sum((value - truth) ** 2 for value in values) / 90
    # the variance of effects between units is what it is too large by, to the last digit
    assert sum(variances) / 90 - spread == sum((one - truth) ** 2 for one in own) / 5 / 6
    name = {0: "difference_in_means", 1: "callaway_santanna"}.get(beta)
    if name is not None:
        ours = [we.did.staggered(panel_of(y, one), adjustment=name).overall for one, y, *_ in found[::9]]
        assert [row.estimate for row in ours] == pytest.approx(
            [float(v) for v in values[::9]], rel=1e-12, abs=1e-12
        )
        assert [row.se**2 for row in ours] == pytest.approx([float(v) for v in variances[::9]], rel=1e-12)
    # effects by unit are those of the cells
    cells = [(g, t) for g in (1, 2) for t in range(g, 4)]
    assert truth == Fraction(
        sum(outcomes[g][i][t] - outcomes[99][i][t] for g, t in cells for i in range(6)), 6 * len(cells)
    )


def test_beta_star_has_the_smallest_variance():
    y, start = drawn()
    best = exact.estimated(np.round(100 * y).astype(int).tolist(), start.tolist())
    for step in (Fraction(-1, 10), Fraction(1, 100)):
        other = exact.estimated(np.round(100 * y).astype(int).tolist(), start.tolist(), beta=best[2] + step)
        assert other[1] > best[1]
    found = we.did.staggered(panel_of(y, start))
    for name in ("callaway_santanna", "difference_in_means"):
        assert found.overall.se < we.did.staggered(panel_of(y, start), adjustment=name).overall.se


# --- other estimators of this room


@pytest.mark.parametrize("kind", ["simple", "event", "cohort", "calendar"])
def test_beta_of_one_is_callaway_and_santanna(kind):
    panel = reference_panel("la")
    ours = we.did.staggered(panel, estimand=kind, adjustment="callaway_santanna")
    theirs = we.did.callaway_santanna(panel, control="not_yet", base="universal").aggregate(kind)
    assert ours.overall.estimate == pytest.approx(theirs.overall.estimate, rel=1e-11)
    wanted = {
        tuple(key.values()): item.estimate
        for key, item in zip(theirs.estimates.keys, theirs.estimates, strict=True)
    }
    rows = {
        tuple(key.values()): item.estimate for key, item in zip(ours.estimates.keys, ours.estimates, strict=True)
    }
    if kind == "simple":
        assert [key["event"] for key in ours.estimates.keys] == ours.path.events.tolist()
    elif kind == "event":
        # before treatment theirs compares with those not treated yet at that time, the cohort itself among them
        assert all(rows[key] == pytest.approx(wanted[key], rel=1e-10) for key in rows if key[0] >= 0)
    else:
        assert rows == pytest.approx(wanted, rel=1e-11)


def test_the_last_cohort_alone_is_sun_and_abraham():
    panel = reference_panel("la")
    ours = we.did.staggered(panel, adjustment="sun_abraham")
    theirs = we.did.sun_abraham(panel)
    assert ours.path.events.tolist() == theirs.path.events.tolist()
    assert ours.path.estimates == pytest.approx(theirs.path.estimates, rel=1e-9, abs=1e-9)
    assert ours.overall.estimate == pytest.approx(theirs.overall.estimate, rel=1e-11)
    assert [item.estimate for item in ours.cells] == pytest.approx(
        [item.estimate for item in theirs.cells], rel=1e-8, abs=1e-8
    )


# --- inference


def test_joint_covariance_influence_and_both_errors():
    y, start = drawn(n=120, T=6)
    panel = panel_of(y, start)
    result = we.did.staggered(panel, estimand="event")
    path = result.path
    assert path.se == pytest.approx([item.se for item in result.estimates], rel=1e-12)
    assert path.vcov == pytest.approx(path.vcov.T, rel=1e-12)
    assert np.linalg.eigvalsh(path.vcov).min() > 0
    whole = result.influence.T @ result.influence
    assert whole[1:, 1:] == pytest.approx(path.vcov, rel=1e-10, abs=1e-14)
    assert math.sqrt(whole[0, 0]) == pytest.approx(result.overall.se, rel=1e-12)
    assert -1 not in path.events
    # with beta* effects are relative to no one event, and nothing that rests on parallel trends takes them
    assert path.reference is None
    with pytest.raises(we.DesignError, match="no common reference"):
        we.did.honest(result)
    fixed = we.did.staggered(panel, adjustment="callaway_santanna")
    assert fixed.path.reference == -1
    assert we.did.honest(fixed).estimates
    adjusted = we.did.staggered(panel, estimand="event", errors="adjusted")
    assert adjusted.influence is None
    for one, other in zip(adjusted.estimates, result.estimates, strict=True):
        assert one.estimate == other.estimate
        assert one.details["se_neyman"] == pytest.approx(other.se, rel=1e-12)
    later = path.events >= 0
    assert (adjusted.path.se[later] < path.se[later]).all()
    # effects before treatment are zero in every unit, so nothing of their variance can be explained by how they differ
    assert adjusted.path.se[~later] == pytest.approx(path.se[~later], rel=1e-12)
    assert "beta* =" in result.method
    assert result.overall.df < 120


def test_welch_degrees_of_freedom_with_one_cohort():
    y, start = drawn(n=11, T=4, starts=(2, 2, 99))
    found = we.did.staggered(panel_of(y, start), adjustment="difference_in_means").overall
    after = y[:, 2:].mean(axis=1)
    one, other = after[start == 2], after[start == 99]
    parts = np.array([one.var(ddof=1) / len(one), other.var(ddof=1) / len(other)])
    sizes = np.array([len(one), len(other)])
    assert found.estimate == pytest.approx(one.mean() - other.mean(), rel=1e-12)
    assert found.se == pytest.approx(math.sqrt(parts.sum()), rel=1e-12)
    assert found.df == pytest.approx(parts.sum() ** 2 / (parts**2 / (sizes - 1)).sum(), rel=1e-12)


@pytest.mark.parametrize("estimand", ["simple", "event"])
def test_the_randomisation_test_is_the_one_that_refits_every_arrangement(estimand):
    y, start = small()
    y = np.round(10 * y).astype(int)
    found = we.did.staggered(panel_of(y, start), estimand=estimand, draws=99).overall
    arrangements = exact.assignments(start)
    assert len(arrangements) == 210 == found.details["randomisation_draws"]
    assert found.details["randomisation_exact"]
    squares = []
    for one in arrangements:
        value, variance, _ = exact.estimated(y.tolist(), list(one), estimand=estimand)
        squares.append(value**2 / variance)
    value, variance, _ = exact.estimated(y.tolist(), start, estimand=estimand)
    share = Fraction(sum(square >= value**2 / variance for square in squares), 210)
    assert found.details["randomisation_p"] == pytest.approx(float(share), abs=1e-12)
    assert 0.01 < share < 1


def small():
    """Seven units, five of them treated at two dates."""
    return drawn(n=7, T=5)[0], [2, 3, 99, 2, 3, 2, 99]


def test_draws_need_a_seed_and_keep_to_it():
    y, start = drawn(n=40)
    panel = panel_of(y, start)
    assert "randomisation_p" not in we.did.staggered(panel).overall.details
    with pytest.raises(we.DesignError, match="needs rng"):
        we.did.staggered(panel, draws=199)
    many = np.zeros((3_000, 2))
    with pytest.raises(we.DesignError, match=r"10\^\d+ reassignments"):
        we.did.staggered(panel_of(many, np.resize([1, 99], 3_000)), draws=199)
    assert any("all 210 permutations" in note for note in we.did.staggered(panel_of(*small()), draws=99).notes)
    one, two = (we.did.staggered(panel, draws=199, rng=3).overall.details for _ in range(2))
    assert one["randomisation_p"] == two["randomisation_p"] == 1 / 200
    assert we.did.staggered(panel, rng=3).overall.details["randomisation_draws"] == 9_999
    with pytest.raises(we.DesignError, match="draws == 5"):
        we.did.staggered(panel, draws=5, rng=1)


def test_the_lottery_that_decided_is_what_is_permuted():
    areas = pd.DataFrame({"la": [f"LA {k:02d}" for k in range(12)], "region": np.repeat(["north", "south"], 6)})
    allocation = we.randomise(
        areas, unit="la", method=we.Stratified(by="region"), arms=("early", "late", "never"), seed="roll-out 7"
    )
    starts = {"early": 3, "late": 5, "never": 0}
    rng = np.random.default_rng(2)
    arms = dict(zip(allocation.units.keys, (allocation.labels[code] for code in allocation.codes), strict=True))
    rows = [
        (la, t, rng.normal() + (la > "LA 05") * 4 - 3 * (0 < starts[arms[la]] <= t), starts[arms[la]])
        for la in areas["la"]
        for t in range(1, 7)
    ]
    data = pd.DataFrame(rows, columns=["la", "t", "y", "start"])
    columns = {"unit": "la", "period": "t", "outcome": "y", "cohort": "start"}
    panel = we.Panel(data, **columns)
    found = we.did.staggered(panel, allocation=allocation)
    details = found.overall.details
    assert details["randomisation_draws"] == 90**2 == allocation.n_permitted
    assert details["randomisation_exact"]
    assert "roll-out lottery permitted" in " ".join(found.notes)
    free = we.did.staggered(panel, draws=999, rng=1)
    assert free.overall.estimate == found.overall.estimate
    with pytest.raises(we.DesignError, match="not in the panel"):
        we.did.staggered(panel.without(["LA 03"]), allocation=allocation)
    # who was left out for want of outcomes leaves the lottery, too: five are left in the north, 5! / (1! 2! 2!)
    cells = data[(data["la"] != "LA 03") | (data["t"] != 2)]
    holed = we.did.staggered(we.Panel(cells, **columns), allocation=allocation)
    assert holed.overall.details["randomisation_draws"] == 30 * 90
    assert holed.overall.n_clusters == 11
    # the lottery says nothing of areas that it did not draw
    extra = data[data["la"] < "LA 04"].assign(la=lambda d: "X" + d["la"], start=0)
    wide = we.did.staggered(we.Panel(pd.concat([data, extra]), **columns), allocation=allocation)
    assert any("4 units took no part in the lottery" in text for text in wide.overall.warnings)
    assert not any("no part in the lottery" in text for text in found.overall.warnings)


def test_a_lottery_that_lets_cohorts_change_size_is_refused():
    areas = pd.DataFrame({"la": [f"LA {k:02d}" for k in range(10)]})
    allocation = we.randomise(areas, unit="la", method=we.Simple(), arms=("early", "never"), seed="coins")
    early = {key for key, code in zip(allocation.units.keys, allocation.codes, strict=True) if code == 0}
    assert 2 <= len(early) <= 8
    rows = [(la, t, float(hash_of(la, t)), 3 * (la in early)) for la in areas["la"] for t in range(1, 6)]
    panel = we.Panel(
        pd.DataFrame(rows, columns=["la", "t", "y", "s"]), unit="la", period="t", outcome="y", cohort="s"
    )
    with pytest.raises(we.DesignError, match="change size"):
        we.did.staggered(panel, allocation=allocation)


def hash_of(la, t):
    return (int(la[-2:]) * 37 + t * 101) % 23


def test_infinite_ratios_do_not_stop_the_test():
    y = np.zeros((6, 4))
    y[:2, 2:] = 1.0
    start = np.array([2, 2, 99, 99, 99, 99])
    result = we.did.staggered(panel_of(y, start), draws=99)
    assert result.overall.estimate == 1.0
    assert math.isnan(result.overall.se)
    assert result.overall.details["randomisation_p"] == pytest.approx(1 / 15)


def test_a_wave_that_began_with_the_panel_leaves_the_lottery():
    areas = pd.DataFrame({"la": [f"LA {k:02d}" for k in range(9)]})
    method = we.SteppedWedgeSequences(sequences=[1, 4, 9], capacity=[2, 3, 4])
    allocation = we.randomise(areas, unit="la", method=method, arms=("before", "after"), seed="waves")
    start = dict(zip(allocation.table["la"], allocation.table["crossover"], strict=True))
    rows = [
        (la, t, hash_of(la, t) - 30.0 * (start[la] <= t), start[la]) for la in areas["la"] for t in range(1, 7)
    ]
    data = pd.DataFrame(rows, columns=["la", "t", "y", "s"])
    found = we.did.staggered(we.Panel(data, unit="la", period="t", outcome="y", cohort="s"), allocation=allocation)
    # the seven others could have changed places: 7! / (3! 4!)
    assert found.overall.details["randomisation_draws"] == 35
    assert found.overall.details["randomisation_p"] == pytest.approx(1 / 35)
    assert any("treated in every period" in note for note in found.notes)


def test_more_cohorts_than_a_code_tells_apart_have_no_test():
    y = np.random.default_rng(3).normal(size=(260, 131))
    panel = panel_of(y, np.repeat(np.r_[np.arange(1, 130), 999], 2))
    with pytest.raises(we.DesignError, match="130 cohorts"):
        we.did.staggered(panel, draws=99, rng=1)
