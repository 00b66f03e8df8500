"""Placebos, serial correlation, regression to the mean, masks, the guard and the comparison."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from did_data import SHARED, castle
from few_panels import la_frame, ols, panel_of

import wwc_eval as we
from wwc_eval.did.comparison import frozen_sample
from wwc_eval.did.few_permutation import p_words
from wwc_eval.did.guard import guard_of, guarded
from wwc_eval.did.guard_cells import cohort_p_values
from wwc_eval.errors import DataError, DesignError
from wwc_eval.estimate import Estimate

# --- placebos


def test_placebo_dates_use_untreated_cells_alone():
    frame = la_frame(n=30, T=10, treated=((3, 6), (7, 8)), effect=50.0)
    panel = panel_of(frame)
    found = we.did.placebo_dates(panel, shifts=(1, 3), rng=1, draws=199)
    assert found.overall.estimate > 40
    assert all(abs(row.estimate) < 3 for row in found.estimates)
    emptied = panel.with_outcomes(np.where(panel.treated, np.nan, panel.outcomes))
    adopted = np.where(panel.adopted < 10, panel.adopted - 3, 10)
    assert found.estimates[1].estimate == pytest.approx(ols(emptied, adopted)[0], rel=1e-8)
    assert found.to_frame()["periods_early"].tolist() == [1, 3]
    assert "periods early" in found.plot().get_ylabel()


def test_placebo_dates_before_the_panel_are_left_out_and_said():
    panel = panel_of(la_frame(n=20, T=8, treated=((3, 2), (7, 6))))
    found = we.did.placebo_dates(panel, shifts=(2, 7), rng=1)
    assert [key["periods_early"] for key in found.estimates.keys] == [2]
    assert "left out for want of a period before: 1 of the treated units" in found.notes[0]
    assert "7 periods early" in found.notes[1]
    with pytest.raises(DesignError, match="any of the placebo dates"):
        we.did.placebo_dates(panel, shifts=(7,), rng=1)
    with pytest.raises(DesignError, match="above 0"):
        we.did.placebo_dates(panel, shifts=(0,), rng=1)


def test_placebo_outcomes_have_the_treatment_and_another_outcome():
    frame = la_frame(n=20, treated=((3, 4),))
    frame["births"] = np.random.default_rng(5).normal(size=len(frame))
    found = we.did.placebo_outcomes(panel_of(frame), ["births"])
    other = panel_of(frame, outcome="births")
    assert found.estimates[0].estimate == pytest.approx(ols(other, other.adopted)[0], rel=1e-9)
    assert found.estimates[0].units == "births"
    with pytest.raises(DataError, match="no column 'brths'"):
        we.did.placebo_outcomes(panel_of(frame), ["brths"])


# --- serial correlation


@pytest.mark.simulation
def test_serial_correlation_is_found_where_it_is_and_not_elsewhere():
    counts = {0.0: 200, 0.5: 40}
    rejected = {(rho, test): 0 for rho in counts for test in ("wooldridge", "born_breitung")}
    implied = []
    for rho, reps in counts.items():
        for seed in range(reps):
            frame = la_frame(n=50, T=9, treated=((3, 4), (7, 6)), rho=rho, seed=seed, missing=0.1 * (seed % 2))
            found = we.did.serial_correlation(panel_of(frame))
            for key, row in zip(found.estimates.keys, found.estimates, strict=True):
                rejected[rho, key["test"]] += row.p_value < 0.05
            if rho:
                implied.append(found.overall.estimate)
    for test in ("wooldridge", "born_breitung"):
        assert abs(rejected[0.0, test] / 200 - 0.05) < 3 * math.sqrt(0.05 * 0.95 / 200)
        assert rejected[0.5, test] / 40 > 0.85
    assert np.mean(implied) == pytest.approx(0.5, abs=0.04)


def test_serial_correlation_needs_periods():
    with pytest.raises(DesignError, match="at least 4"):
        we.did.serial_correlation(panel_of(la_frame(T=3, treated=((1, 2),))))


# --- regression to the mean


def test_joiners_that_rose_are_found_and_their_fall_is_foretold():
    rng = np.random.default_rng(11)
    n, T, joined = 150, 16, 10
    noise = np.zeros((n, T))
    for t in range(T):
        noise[:, t] = 0.7 * (noise[:, t - 1] if t else 0) + rng.normal(size=n)
    rise = noise[:, joined - 4 : joined] @ np.array([-1.5, -0.5, 0.5, 1.5]) / 5
    joins = np.zeros(n, dtype=bool)
    joins[np.argsort(rise)[-20:]] = True
    frame = pd.DataFrame(
        {"la": np.repeat(np.arange(n), T), "year": np.tile(np.arange(T), n), "rate": noise.ravel()}
    )
    frame["cohort"] = np.repeat(np.where(joins, joined, 0), T)
    panel = panel_of(frame)
    found = we.did.regression_to_mean(panel, 4, rng=1, draws=999)
    gaps = noise - np.where(joins[:, None] & (np.arange(T) >= joined), np.nan, noise).mean(axis=0, where=True)
    national = np.array([noise[~joins | (t < joined), t].mean() for t in range(T)])
    x = np.array([-1.5, -0.5, 0.5, 1.5]) / 5
    slopes = (noise - national)[:, joined - 4 : joined] @ x
    assert found.overall.estimate == pytest.approx(slopes[joins].mean())
    assert found.overall.p_value < 0.01
    row = found.to_dicts()[0]
    assert row["slope"] == pytest.approx(slopes[joins][0])
    assert row["rank"] > 0.5
    assert gaps.shape == found.gaps.shape
    # no treatment did anything here, so the change that is foretold is near the effect that is seen
    seen = we.did.few_treated(panel, methods=("CR2",)).overall
    assert abs(found.reversion.estimate - seen.estimate) < 3 * math.hypot(found.reversion.se, seen.se)
    assert "rising" in str(found)
    assert "less national trend" in found.plot().get_ylabel()
    with pytest.raises(DesignError, match="shorter window"):
        we.did.regression_to_mean(panel, 12, rng=1)


# --- masks


def test_masks_take_out_periods_anticipation_and_transition():
    panel = panel_of(la_frame(n=12, T=10, treated=((1, 4), (3, 6))))
    found = we.did.mask_periods(panel, [2, 6], anticipation=1, transition=1)
    assert found.periods.tolist() == [0, 1, 3, 4, 5, 7, 8, 9]
    assert found.times.tolist() == [0, 1, 3, 4, 5, 7, 8, 9]
    lost = np.argwhere(~found.observed)
    # E001: anticipation in 3, transition in 4; E003: anticipation in 5, transition in 6, which is out already
    assert [(found.units[i], found.periods[j]) for i, j in lost] == [("E001", 3), ("E001", 4), ("E003", 5)]
    assert found.adopted[3] == 5
    assert any("E003" in problem.message for problem in found.findings)
    effect = we.did.few_treated(found, methods=("permutation",)).overall.estimate
    by_hand = ols(found, found.adopted)[0]
    assert effect == pytest.approx(by_hand, rel=1e-9)
    with pytest.raises(DesignError, match="anticipation == -1"):
        we.did.mask_periods(panel, anticipation=-1)
    with pytest.raises(DesignError, match="no outcome is left"):
        we.did.mask_periods(panel, list(range(10)))


def test_masks_keep_counts_and_exposures():
    frame = la_frame(n=12, T=8, treated=((1, 4),))
    frame["count"] = np.random.default_rng(1).poisson(50, len(frame))
    panel = panel_of(frame, outcome="count", exposure="population")
    found = we.did.mask_periods(panel, [2], transition=1)
    assert found.counts.shape == found.exposures.shape == found.outcomes.shape


# --- the guard


def test_the_guard_puts_a_permutation_beside_every_conventional_error():
    panel = panel_of(la_frame(n=30, treated=((3, 4),)))
    exact = we.did.few_treated(panel, methods=("permutation",)).overall.p_value
    estimate = Estimate.from_normal(
        term="treated", estimate=2.0, se=0.1, warnings=("conventional errors are small",)
    )
    found = guarded(estimate, panel)
    assert found.details["permutation_p"] == exact
    assert found.warnings == (guard_of(panel).words,)
    assert p_words(exact) in found.warnings[0]
    many = panel_of(la_frame(n=30, treated=tuple((k, 4) for k in range(5))))
    assert guard_of(many) is None
    assert guarded(estimate, many) is estimate


def test_the_guard_withholds_errors_where_nothing_can_be_permuted():
    frame = la_frame(n=6, treated=tuple((k, 4) for k in range(3)))
    frame["region"] = frame["la"].map({"E000": "a", "E001": "a", "E003": "a"}).fillna("b")
    panel = panel_of(frame, cluster="region")
    found = guarded(Estimate.from_normal(term="treated", estimate=2.0, se=0.1), panel)
    assert math.isnan(found.se)
    assert "cannot be permuted" in found.warnings[0]


def test_the_guards_draws_are_a_function_of_the_data():
    frame = la_frame(n=60, treated=((3, 4), (5, 4), (8, 5), (9, 5)))
    one = guard_of(panel_of(frame))
    two = guard_of(panel_of(frame.sample(frac=1.0, random_state=3)))
    assert one.p_value == two.p_value


def test_every_result_with_few_treated_shows_the_permutation():
    panel = panel_of(la_frame(n=30, treated=((3, 4), (5, 6))))
    words = guard_of(panel).words
    for name in ("callaway_santanna", "sun_abraham", "imputation", "extended_twfe", "two_way_fixed_effects"):
        found = getattr(we.did, name)(panel)
        assert words in found.overall.warnings, name
        assert found.overall.details["permutation_p"] == guard_of(panel).p_value, name
        assert "p (permutation)" in str(found), name


def test_events_of_few_are_shown_with_their_permutation():
    panel = panel_of(la_frame(n=14, treated=((3, 4), (5, 6)), missing=0.04))
    y, T = panel.outcomes, panel.n_periods
    places = np.flatnonzero(panel.adopted < T)

    def effect(first, second, event):
        rest = np.ones(14, dtype=bool)
        rest[[first, second]] = False
        gaps = []
        for unit, date in ((first, 4), (second, 6)):
            if 0 <= date + event < T:
                change = y[:, date + event] - y[:, date - 1]
                if np.isfinite(change[unit]):
                    gaps.append(change[unit] - np.nanmean(change[rest]))
        return np.mean(gaps) if gaps else math.inf

    rows = we.did.event_study(panel).estimates
    for event in (-3, 0, 1, 3):
        actual = effect(*places, event)
        values = [effect(a, b, event) for a in range(14) for b in range(14) if a != b]
        p = np.mean(np.abs(values) >= abs(actual) * (1 - 1e-9))
        item = next(i for key, i in zip(rows.keys, rows, strict=True) if key["event"] == event)
        assert item.details["permutation_p"] == pytest.approx(p)
    by_event = we.did.callaway_santanna(panel).aggregate("event").estimates
    assert all("permutation_p" in item.details for item in by_event)


def test_cohorts_of_few_are_shown_with_their_permutation():
    panel = we.Panel(castle(), unit="sid", period="year", outcome="l_homicide", cohort="g")
    result = we.did.callaway_santanna(panel)
    found = cohort_p_values(result)
    rows = result.estimates.to_dicts()
    for row, p in zip(rows, found, strict=True):
        size = int((panel.adopted == panel.position(row["cohort"])).sum())
        assert (p is None) == (size >= 5)
        if size == 1:
            # the rank of the one state among the never treated
            base = panel.position(row["period"]) - 1
            base = min(base, panel.position(row["cohort"]) - 1)
            change = panel.outcomes[:, panel.position(row["period"])] - panel.outcomes[:, base]
            pool = np.flatnonzero(
                (panel.adopted == panel.n_periods) | (panel.adopted == panel.position(row["cohort"]))
            )
            mine = change[panel.adopted == panel.position(row["cohort"])][0]
            total = change[pool].sum()
            gaps = np.abs(change[pool] - (total - change[pool]) / (len(pool) - 1))
            own = abs(mine - (total - mine) / (len(pool) - 1))
            rank = np.mean(gaps >= own * (1 - 1e-9))
            assert p == pytest.approx(rank)
    shown = [item.details.get("permutation_p") for item in result.estimates]
    assert shown == found
    assert "p (permutation)" in str(result)


# --- the comparison


def test_compare_shows_every_estimator_on_one_sample():
    treated = tuple((k, 5 + k % 3) for k in range(9))
    panel = panel_of(la_frame(n=60, T=12, treated=treated, effect=1.0))
    found = we.did.compare(panel, rng=1, draws=499, population="population")
    for name in ("callaway_santanna", "sun_abraham", "imputation", "extended_twfe", "two_way_fixed_effects"):
        assert found[name].estimate == pytest.approx(getattr(we.did, name)(panel).overall.estimate, rel=1e-12)
        assert found[name].n == 720
    assert found["permutation"].estimate == pytest.approx(found["two_way_fixed_effects"].estimate, rel=1e-9)
    assert found.bacon.forbidden_weight > 0
    assert 0 <= found.honest.breakdown < 5
    assert found.power.estimates.to_dicts()[0]["power"] == pytest.approx(0.8, abs=1e-3)
    text = str(found)
    assert "Breakdown value" in text
    assert "Goodman-Bacon" in text
    assert "power 80%" in text
    assert len(found.plot().get_yticks()) == 8
    assert "periods since treatment" in found.plot_events().get_xlabel()
    assert list(found.to_frame().columns[:3]) == ["estimator", "term", "estimate"]


def test_the_frozen_sample_leaves_out_what_some_estimator_cannot_use():
    frame = la_frame(n=12, T=8, treated=tuple((k, (0, 3, 5, 7)[k % 4] or 1) for k in range(12)))
    frame.loc[frame["la"] == "E000", "cohort"] = -1
    panel = panel_of(frame[frame["la"] != "E000"])
    frozen, notes = frozen_sample(panel)
    assert frozen.n_periods == 7
    assert (frozen.adopted == frozen.n_periods).sum() == 3
    assert "No unit is never treated" in notes[0]
    with pytest.raises(DesignError, match="nothing to compare"):
        frozen_sample(panel.with_adopted(np.full(panel.n_units, 8)))


def test_one_treated_authority_goes_through_the_comparison():
    panel = panel_of(la_frame(n=40, treated=((3, 4),), missing=0.05))
    found = we.did.compare(panel, rng=1, draws=199)
    assert found.overall.details["permutation_p"] == guard_of(panel).p_value
    assert "p, permutation" in str(found)


@pytest.mark.skipif(not SHARED.exists(), reason="the DfE panel is not here")
def test_the_panel_of_the_department_goes_through_without_editing():
    data = pd.read_csv(SHARED / "sector" / "la_panel_2016_2025.csv")
    data["joined"] = data["la"].isin(["Derby", "Leeds", "Kent"]).map({True: 2021, False: 0})
    panel = we.Panel(data, unit="la", period="year", outcome="cla_start_rate_10k", cohort="joined")
    found = we.did.compare(panel, rng=1, draws=199, sensitivity=False)
    assert all(math.isfinite(row.estimate) for row in found.estimates)
    assert we.did.placebo_dates(panel, shifts=(1, 2), rng=1, draws=199).estimates[0].n > 0
    masked = we.did.mask_periods(panel, [2020, 2021])
    assert math.isfinite(we.did.two_way_fixed_effects(masked).overall.estimate)
    assert math.isfinite(we.did.regression_to_mean(panel, 3, rng=1, draws=199).overall.p_value)
    json.dumps(found.to_dicts(), default=str)


@pytest.mark.parametrize(
    ("make", "column"),
    [
        (lambda panel: we.did.compare(panel, methods=("permutation",), rng=1, draws=99, sensitivity=False), "SE"),
        (
            lambda panel: we.did.compare(panel, methods=("permutation",), rng=1, draws=99, sensitivity=False),
            "estimate",
        ),
        (lambda panel: we.did.few_treated(panel, methods=("permutation", "CR2"), rng=1, draws=99), "95% interval"),
        (lambda panel: we.did.few_treated(panel, methods=("permutation", "CR2"), rng=1, draws=99), "SE"),
        (we.did.leave_one_out, "estimate"),
        (we.did.bacon_decomposition, "mean estimate"),
        (lambda panel: we.did.regression_to_mean(panel, 3, rng=1, draws=99), "slope before, a period"),
        (lambda panel: we.did.honest(we.did.event_study(panel), values=[0, 1]), "95% interval, low"),
        (lambda panel: we.did.pre_trend_power(we.did.event_study(panel)), "bias of the effect"),
    ],
)
def test_rates_a_person_show_the_digits_of_rates_per_10_000(make, column):
    frame = la_frame(n=40, treated=((3, 4), (5, 4), (7, 5)), effect=2.0)
    shown = []
    for panel in (panel_of(frame), panel_of(frame.assign(rate=frame["rate"] / 10_000))):
        grid = make(panel)._grid()
        place = grid.headings.index(column)
        numbers = [re.findall(r"[0-9.]+", row[place]) for row in grid.rows]
        shown.append([[number.replace(".", "").lstrip("0") for number in row] for row in numbers])
    assert any(shown[0])
    assert shown[0] == shown[1]


def test_a_fall_before_joining_is_called_a_fall():
    frame = la_frame(n=30, treated=((3, 4), (5, 4)))
    for sign, words in ((1.0, "after such a rise:"), (-1.0, "after such a fall:")):
        moved = frame["la"].isin(["E003", "E005"]) * sign * 3.0 * frame["year"]
        assert words in str(
            we.did.regression_to_mean(panel_of(frame.assign(rate=frame["rate"] + moved)), 3, rng=1, draws=99)
        )
