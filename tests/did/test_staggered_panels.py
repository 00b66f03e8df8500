"""Drawn roll-outs in messy panels: what is left out, refused and said; and what must not change a result."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import staggered_exact as exact
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtr
from staggered_panels import drawn, panel_of, reference_panel

import wwc_eval as we
from wwc_eval.did.guard import guard_aside
from wwc_eval.did.staggered_errors import solve
from wwc_eval.did.staggered_fisher import studentised
from wwc_eval.did.staggered_rollout import rollout_of
from wwc_eval.did.staggered_targets import cells_of, targets_of

# --- what becomes of messy panels


def test_incomplete_and_single_units_are_left_out_and_named():
    y, start = drawn(n=21, T=6)
    holes = y.copy()
    holes[4, 2] = np.nan
    start[7] = 3
    result = we.did.staggered(panel_of(holes, start))
    kept = np.delete(np.arange(21), [4, 7])
    plain = we.did.staggered(panel_of(y[kept], start[kept]))
    assert result.overall.estimate == pytest.approx(plain.overall.estimate, rel=1e-12)
    assert result.overall.se == pytest.approx(plain.overall.se, rel=1e-12)
    assert result.panel.n_units == 19 == result.overall.n_clusters
    assert "1 unit (4) without an outcome in some period left out." in result.notes
    assert "1 unit (7) alone in a cohort left out: one unit has no variance." in result.notes


def test_without_never_treated_the_last_cohort_is_the_comparison():
    y, start = drawn(n=18, T=7, starts=(2, 4, 5))
    found = we.did.staggered(panel_of(y, start))
    value, variance, _ = exact.estimated(np.round(y * 1000).astype(int).tolist(), start.tolist())
    assert found.overall.estimate == pytest.approx(float(value) / 1000, abs=1e-3)
    assert found.overall.se == pytest.approx(math.sqrt(float(variance)) / 1000, abs=1e-3)
    assert any("the cohort of 6 is the control" in note for note in found.notes)
    assert max(key["period"] for key in found.cells.keys) == 5


def test_one_unit_never_treated_is_no_comparison():
    y, start = drawn(n=19, T=7, starts=(2, 4, 5))
    start[11] = 99
    found = we.did.staggered(panel_of(y, start))
    kept = np.delete(np.arange(19), 11)
    assert found.overall.estimate == pytest.approx(
        we.did.staggered(panel_of(y[kept], start[kept])).overall.estimate, rel=1e-12
    )
    assert any("1 unit (11) alone" in note for note in found.notes)
    assert any("the cohort of 6 is the control" in note for note in found.notes)


def test_units_treated_throughout_are_left_out():
    y, start = drawn(n=18)
    start[:3] = 0
    found = we.did.staggered(panel_of(y, start))
    assert found.overall.estimate == we.did.staggered(panel_of(y[3:], start[3:])).overall.estimate
    assert any("3 units (0, 1, 2) treated in every period" in note for note in found.notes)


def test_anticipation_moves_the_base_back_and_the_nearly_treated_out():
    y, start = drawn(n=40, T=9, starts=(3, 5, 99, 7))
    found = we.did.staggered(panel_of(y, start), anticipation=1)
    early = panel_of(y, np.where(start < 9, start - 1, start))
    moved = we.did.staggered(early)
    wanted = {
        (key["cohort"] + 1, key["period"]): item.estimate
        for key, item in zip(moved.cells.keys, moved.cells, strict=True)
    }
    rows = {
        (key["cohort"], key["period"]): item.estimate
        for key, item in zip(found.cells.keys, found.cells, strict=True)
    }
    assert rows == pytest.approx(wanted, rel=1e-10, abs=1e-12)
    assert -1 in found.path.events
    assert -2 not in found.path.events
    assert "anticipation of 1" in found.method
    both = we.did.staggered(panel_of(y, start), anticipation=1, adjustment="callaway_santanna")
    theirs = we.did.callaway_santanna(
        panel_of(y, start), anticipation=1, control="not_yet", base="universal"
    ).aggregate("simple")
    assert both.path.reference == -2
    assert both.overall.estimate == pytest.approx(theirs.overall.estimate, rel=1e-11)


def test_a_cohort_without_a_period_before_its_effect_is_not_adjusted():
    y, start = drawn(n=30, T=6, starts=(1, 3, 99))
    found = we.did.staggered(panel_of(y, start), anticipation=1)
    assert {key["cohort"] for key in found.cells.keys} == {2, 4}
    first = next(item for key, item in zip(found.cells.keys, found.cells, strict=True) if key["cohort"] == 2)
    plain = we.did.staggered(panel_of(y, start), anticipation=1, adjustment="difference_in_means")
    other = next(
        item
        for key, item in zip(plain.cells.keys, plain.cells, strict=True)
        if key["cohort"] == 2 and key["event"] == -1
    )
    assert first.estimate == pytest.approx(other.estimate, rel=1e-12)
    assert any("cohort 2 may begin" in note for note in found.notes)
    one = we.did.staggered(panel_of(y, start), anticipation=1, adjustment="callaway_santanna")
    assert {key["cohort"] for key in one.cells.keys} == {4}


ADJUSTMENTS = ("efficient", "callaway_santanna", "sun_abraham", "difference_in_means")


@pytest.mark.parametrize("adjustment", ADJUSTMENTS)
@pytest.mark.parametrize("estimand", ["simple", "cohort", "calendar", "event"])
def test_few_treated_have_the_test_of_the_same_effect_beside_their_error(estimand, adjustment):
    y, start = drawn(n=20, T=6, starts=(99,))
    start[:3] = 3
    asked = {"estimand": estimand, "adjustment": adjustment}
    found = we.did.staggered(panel_of(y, start), **asked)
    tested = we.did.staggered(panel_of(y, start), **asked, draws=99)
    for one, other in ((found.overall, tested.overall), *zip(found.estimates, tested.estimates, strict=True)):
        assert one.details["permutation_p"] == other.details["randomisation_p"] == other.details["permutation_p"]
    assert [text[:18] for text in found.overall.warnings].count("3 treated clusters") == 1
    assert all("permutation_p" in item.details for item in (*found.by_cohort, *found.cells))
    assert all("permutation_p" in row for row in found.to_dicts())


def test_cells_of_few_are_judged_among_those_they_are_compared_with():
    y, start = drawn(n=12, T=5, starts=(99,))
    start[[2, 5]], start[[1, 3, 7, 8, 9]] = 3, 4
    found = we.did.staggered(panel_of(y, start))
    cell = next(k for k, key in enumerate(found.cells.keys) if (key["cohort"], key["period"]) == (4, 4))
    item = found.cells[cell]
    score = y[:, 3] - found_beta(found, cell) * y[:, 2]
    gaps = [
        abs(score[list(pair)].mean() - np.delete(score, list(pair)).mean()) for pair in combinations(range(12), 2)
    ]
    assert item.estimate == pytest.approx(score[[2, 5]].mean() - np.delete(score, [2, 5]).mean(), rel=1e-9)
    assert item.details["permutation_p"] == np.mean(np.array(gaps) >= abs(item.estimate) * (1 - 1e-9))
    # five are enough
    assert not any(
        "permutation_p" in one.details
        for key, one in zip(found.cells.keys, found.cells, strict=True)
        if key["cohort"] == 5
    )


def found_beta(found, cell):
    """beta* of a cell, from the covariances of its cohort and its comparison."""
    key, panel = found.cells.keys[cell], found.panel
    column, base = key["period"] - 1, key["cohort"] - 2
    own = panel.adopted == key["cohort"] - 1
    total = np.zeros((2, 2))
    groups = [own, *(panel.adopted == later for later in np.unique(panel.adopted[~own]))]
    rest = (~own).sum()
    for members in groups:
        part = np.cov(panel.outcomes[members][:, [base, column]].T)
        share = 1.0 if members is own else members.sum() / rest
        total += share**2 * part / members.sum()
    return total[0, 1] / total[0, 0]


def test_rows_of_few_are_judged_where_more_are_treated_in_all():
    thin = we.did.staggered(panel_of(*drawn(n=40, starts=(2, 4, 99, 99, 99, 99, 99, 99, 99, 99))))
    assert thin.overall.n_clusters == 40
    assert "permutation_p" not in thin.overall.details
    assert all("permutation_p" in item.details for item in (*thin.by_cohort, *thin.cells))
    events = {key["event"]: item for key, item in zip(thin.estimates.keys, thin.estimates, strict=True)}
    # the cohort of 4 alone is seen four periods before it begins, both are at 0
    assert "permutation_p" in events[-4].details
    assert "permutation_p" not in events[0].details
    assert any("Fewer than 5 treated are behind event[-4]" in note for note in thin.notes)


def test_within_other_fits_no_test_is_made():
    y, start = drawn(n=20, T=6, starts=(99,))
    start[:3] = 3
    with guard_aside():
        assert "permutation_p" not in we.did.staggered(panel_of(y, start)).overall.details


def test_few_units_and_thin_cohorts_are_warned_of():
    y, start = drawn(n=9, T=5)
    assert any("few units" in text for text in we.did.staggered(panel_of(y, start)).overall.warnings)
    fixed = we.did.staggered(panel_of(y, start), adjustment="callaway_santanna")
    assert not any("few units" in text for text in fixed.overall.warnings)
    y, start = drawn(n=30, T=16, starts=(12, 14, 99))
    adjusted = we.did.staggered(panel_of(y, start), errors="adjusted")
    assert any("hardly more units" in text for text in adjusted.overall.warnings)
    assert not any("hardly more units" in text for text in we.did.staggered(panel_of(y, start)).overall.warnings)


def test_adjusted_variances_that_are_used_up_give_no_error():
    found = we.did.staggered(reference_panel("castle"), errors="adjusted")
    row = next(item for key, item in zip(found.estimates.keys, found.estimates, strict=True) if key["event"] == 1)
    assert math.isnan(row.se)
    assert math.isfinite(row.estimate)
    assert math.isfinite(row.details["se_neyman"])
    assert any("no adjusted error" in text for text in row.warnings)


def refused(panel, words, **options):
    with pytest.raises(we.DesignError, match=words) as caught:
        we.did.staggered(panel, **options)
    assert caught.value.problems[0].fix


def test_what_is_refused():
    y, start = drawn(n=12, T=6)
    cells = {
        "w": np.tile(np.arange(1.0, 7.0), 12),
        "team": np.repeat(np.arange(12) // 2, 6),
        "big": np.repeat(np.arange(1.0, 13.0), 6),
    }
    refused(panel_of(y, start, columns=cells, weights="w"), "counts every unit once")
    refused(panel_of(y, start, columns=cells, weights="big"), "counts every unit once")
    refused(panel_of(y, np.repeat([2, 4, 99], 4), columns=cells, cluster="team"), "6 clusters")
    refused(panel_of(y, np.full(12, 3)), "control")
    refused(panel_of(y, np.full(12, 99)), "becomes treated")
    refused(panel_of(y[:4], [2, 3, 4, 99]), "one unit have no variance")
    refused(panel_of(y[:6], [2, 3, 4, 99, 99, 99]), "one unit have no variance")
    holes = np.where(np.arange(6) == np.arange(12)[:, None] % 6, np.nan, y)
    refused(panel_of(holes, start), "no unit has an outcome in every period")
    masked = we.did.mask_periods(panel_of(y, start), [], transition=1)
    refused(masked, "no treated unit has an outcome in every period")
    with pytest.raises(we.DesignError, match="before mask_periods"):
        we.did.staggered(masked)
    rows = pd.DataFrame({"t": np.tile(np.arange(6), 20), "y": np.arange(120.0), "s": np.repeat([3, 0], 60)})
    refused(we.Panel(rows, unit=None, period="t", outcome="y", cohort="s"), "repeated cross-sections")
    for options, words in (
        ({"estimand": "overall"}, "estimand"),
        ({"adjustment": "dr"}, "adjustment"),
        ({"errors": "CR2"}, "errors"),
        ({"df": "clusters"}, "df"),
    ):
        with pytest.raises(we.DesignError, match=words):
            we.did.staggered(panel_of(y, start), **options)
    with pytest.raises(we.DesignError, match="anticipation == 1"):
        we.did.staggered(panel_of(y, start), anticipation=1.5)
    with pytest.raises(we.DesignError, match="needs a Panel"):
        we.did.staggered(y)


def test_clusters_of_one_unit_and_even_weights_are_taken():
    y, start = drawn(n=12, T=6)
    cells = {"w": 2.0, "team": np.repeat(np.arange(12), 6)}
    found = we.did.staggered(panel_of(y, start, columns=cells, weights="w", cluster="team"))
    plain = we.did.staggered(panel_of(y, start))
    assert found.overall.se == pytest.approx(plain.overall.se, rel=1e-12)


def test_rates_count_once_each():
    y, start = drawn(n=15, T=6)
    size = np.repeat(np.arange(1.0, 16.0) * 1000, 6)
    counts = np.round((np.abs(y) + 5).ravel() * size)
    cells = {"count": counts, "children": size}
    data = pd.DataFrame({"unit": np.repeat(np.arange(15), 6), "period": np.tile(np.arange(6), 15), **cells})
    data["start"] = np.repeat(np.where(start < 6, start, 0), 6)
    data["rate"] = data["count"] / data["children"] * 10_000
    rates = we.Panel(
        data, unit="unit", period="period", outcome="count", exposure="children", per=10_000, cohort="start"
    )
    plain = we.Panel(data, unit="unit", period="period", outcome="rate", cohort="start")
    found = we.did.staggered(rates)
    assert found.overall.estimate == pytest.approx(we.did.staggered(plain).overall.estimate, rel=1e-10)
    assert "Each unit's rate counts once, whatever its exposure." in found.notes
    assert found.overall.units == "count per 10,000 children"


def test_gaps_in_time_take_the_last_period_there_is():
    y, start = drawn(n=18, T=8, starts=(3, 5, 99))
    masked = we.did.mask_periods(panel_of(y, start), [3])
    found = we.did.staggered(masked, adjustment="callaway_santanna")
    row = next(
        item
        for key, item in zip(found.cells.keys, found.cells, strict=True)
        if key["cohort"] == 4 and key["period"] == 4
    )
    change = y[:, 3] - y[:, 1]
    assert row.estimate == pytest.approx(change[start == 3].mean() - change[start > 3].mean(), rel=1e-12)


def test_the_difference_before_treatment_is_shown():
    y, start = drawn(n=60, T=6)
    fair = we.did.staggered(panel_of(y, start)).overall.details
    assert fair["x_hat_p"] > 0.01
    unfair = we.did.staggered(panel_of(y + 9.0 * (start[:, None] < 99), start))
    assert unfair.overall.details["x_hat_p"] < 1e-6
    assert any(note.startswith("Before treatment those drawn early and late differ by") for note in unfair.notes)
    assert any("more than a draw would make them" in text for text in unfair.overall.warnings)
    both = y[start == 2, 1].mean() - y[start > 2, 1].mean()
    one = we.did.staggered(panel_of(y[:, :3], np.where(start == 2, 2, 99))).overall.details
    assert one["x_hat"] == pytest.approx(both, rel=1e-12)
    parts = np.array([y[start == 2, 1].var(ddof=1) / 20, y[start > 2, 1].var(ddof=1) / 40])
    assert one["x_hat_se"] == pytest.approx(math.sqrt(parts.sum()), rel=1e-12)
    df = parts.sum() ** 2 / (parts**2 / [19, 39]).sum()
    assert one["x_hat_p"] == pytest.approx(2 * stdtr(df, -abs(both) / one["x_hat_se"]), rel=1e-10)
    # difference-in-differences takes them out whole, and rests on parallel trends where timing was not drawn
    panel = panel_of(y + 9.0 * (start[:, None] < 99), start)
    assert not we.did.staggered(panel, adjustment="callaway_santanna").overall.warnings
    constant = y.copy()
    constant[:, :4] = 1.0
    flat = we.did.staggered(panel_of(constant, np.where(start < 99, 4, 99))).overall
    assert (flat.details["beta"], flat.details["x_hat_se"]) == (0.0, 0.0)
    assert flat.estimate == pytest.approx(flat.details["theta_zero"], rel=1e-14)


def test_results_print_and_draw():
    y, start = drawn(n=24)
    for estimand, axis in (
        ("event", "periods since"),
        ("simple", "periods since"),
        ("cohort", "effect"),
        ("calendar", "effect"),
    ):
        result = we.did.staggered(panel_of(y, start), estimand=estimand)
        assert "doi:10.1086/726581" in str(result)
        assert axis in result.plot().get_xlabel()
        key = {"simple": "event", "calendar": "period"}.get(estimand, estimand)
        assert list(result.estimates.to_frame().columns)[:2] == [key, "term"]
        assert (result.path is None) == (estimand in ("cohort", "calendar"))


def test_it_stands_in_comparisons_where_it_is_asked_for():
    y, start = drawn(n=30)
    panel = panel_of(y, start)
    asked = ("callaway_santanna", "staggered")
    found = we.did.compare(panel, asked, anticipation=1, methods=(), sensitivity=False)
    assert [key["estimator"] for key in found.estimates.keys] == list(asked)
    assert found["staggered"].estimate == we.did.staggered(panel, anticipation=1).overall.estimate
    assert "drawn timing (Roth-Sant'Anna)" in str(found)
    assert found.plot().get_yticklabels()[1].get_text() == "drawn timing (Roth-Sant'Anna)"
    assert "staggered" not in we.did.compare(panel, methods=(), sensitivity=False).results
    # where it cannot be had the others stand, and the notes say why
    alone = panel_of(y[:8], [2, 3, 99, 99, 99, 99, 99, 99])
    other = we.did.compare(alone, asked, methods=(), sensitivity=False)
    assert [key["estimator"] for key in other.estimates.keys] == ["callaway_santanna"]
    assert any("drawn timing" in note and "one unit have no variance" in note for note in other.notes)


def test_one_authority_left_out_at_a_time():
    y, start = drawn(n=30)
    found = we.did.leave_one_out(panel_of(y, start), estimator=lambda part: we.did.staggered(part).overall)
    treated = np.flatnonzero(start < 99)
    assert len(found.estimates) == len(treated)
    kept = np.delete(np.arange(30), treated[0])
    wanted = we.did.staggered(panel_of(y[kept], start[kept])).overall.estimate
    assert any(item.estimate == pytest.approx(wanted, rel=1e-12) for item in found.estimates)


# --- invariances


@pytest.mark.property
@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10_000),
    scale=st.floats(0.01, 100.0),
    adjustment=st.sampled_from(["efficient", "callaway_santanna", "sun_abraham", "difference_in_means"]),
    estimand=st.sampled_from(["simple", "cohort", "calendar", "event"]),
)
def test_order_labels_units_and_common_shocks_change_nothing(seed, scale, adjustment, estimand):
    rng = np.random.default_rng(seed)
    y, start = drawn(n=14, T=6, seed=seed, starts=(2, 3, 99, 99))
    options = {"adjustment": adjustment, "estimand": estimand}
    plain = we.did.staggered(panel_of(y, start), **options)
    order = rng.permutation(14)
    shock = rng.normal(0, 5, 6)
    other = we.did.staggered(panel_of(scale * (y + shock)[order], start[order]), **options)
    for one, two in zip((plain.overall, *plain.estimates), (other.overall, *other.estimates), strict=True):
        tolerance = 1e-9 * float(np.abs(scale * y).max() + np.abs(scale * shock).max())
        assert two.estimate == pytest.approx(scale * one.estimate, rel=1e-9, abs=tolerance)
        assert two.se == pytest.approx(scale * one.se, rel=1e-7, abs=tolerance)
    levels = rng.normal(0, 20, (14, 1))
    moved = we.did.staggered(panel_of(y + levels, start), **options)
    same = moved.overall.estimate == pytest.approx(plain.overall.estimate, rel=1e-9, abs=1e-9)
    # difference-in-differences takes levels out whole, the others as far as they foretell
    assert same == (adjustment in ("callaway_santanna", "sun_abraham"))


@pytest.mark.property
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_the_test_compares_the_actual_roll_out_with_itself(seed):
    y, start = drawn(n=13, T=6, seed=seed, starts=(2, 3, 99))
    rollout = rollout_of(panel_of(y, start))
    targets = targets_of(cells_of(rollout, "efficient", 0), "event")
    solved = solve(rollout, targets.theta, targets.zero, "efficient")
    codes = ((rollout.member + 1) % 3).astype(np.int8)
    found = studentised(rollout, targets.theta, targets.zero, "efficient", codes[None])[0]
    assert found == pytest.approx(solved.estimates / np.sqrt(solved.variances), rel=1e-8)
