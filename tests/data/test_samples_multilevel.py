"""The schools trial and the stepped wedge: designed as they say, messy as they say, with the truth they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_eval.data.samples import no_wrong_door_truth, no_wrong_door_wedge, schools_s47_trial
from wwc_eval.data.samples.draws import Draws
from wwc_eval.data.samples.places import LOCAL_AUTHORITIES, SCHOOL_AUTHORITIES, WEDGE_AUTHORITIES
from wwc_eval.data.samples.schools import _draw as draw_schools
from wwc_eval.data.samples.schools import _gamma, allocate_schools
from wwc_eval.data.samples.wedge import LAST_DAY, PERIOD_STARTS
from wwc_eval.data.samples.wedge import _draw as draw_wedge
from wwc_eval.data.samples.writing import SCHOOLS_SEED, WEDGE_SEED
from wwc_eval.errors import DesignError

FOLDER = Path(__file__).parents[2] / "sample_data"


@pytest.fixture(scope="module")
def schools() -> pd.DataFrame:
    return schools_s47_trial(SCHOOLS_SEED)


@pytest.fixture(scope="module")
def wedge() -> pd.DataFrame:
    return no_wrong_door_wedge(WEDGE_SEED)


@pytest.fixture(scope="module")
def eligible(wedge) -> pd.DataFrame:
    """Rows that the plan keeps."""
    already = (wedge["days_to_care"] < 0).fillna(value=False).astype(bool)
    kept = (
        (wedge["duplicate"] == 0) & (wedge["referred_on"].dt.year > 2000) & wedge["age"].between(10, 17) & ~already
    )
    return wedge[kept]


def test_the_files_are_small_enough_for_the_wheel():
    assert (FOLDER / "no_wrong_door_wedge.csv").stat().st_size < 1_600_000
    assert (FOLDER / "schools_s47_trial.csv").stat().st_size < 50_000


@pytest.mark.parametrize("function", [schools_s47_trial, no_wrong_door_wedge, no_wrong_door_truth])
@pytest.mark.parametrize("rng", [None, -1, 1.5, "1", True])
def test_there_is_no_default_seed(function, rng):
    with pytest.raises(DesignError, match="rng"):
        function(rng)


@pytest.mark.parametrize(
    ("function", "size"), [(schools_s47_trial, {}), (no_wrong_door_wedge, {"children": 3_000})]
)
def test_every_kind_of_rng_is_taken_and_gives_the_same_data(function, size):
    whole = function(3, **size)
    pd.testing.assert_frame_equal(whole, function(np.random.SeedSequence(3), **size))
    pd.testing.assert_frame_equal(whole, function(np.random.Generator(np.random.PCG64(3)), **size))
    assert not whole.equals(function(4, **size))


@pytest.mark.parametrize(
    ("function", "change"),
    [
        (schools_s47_trial, {"schools": 62}),
        (schools_s47_trial, {"schools": 280.5}),
        (schools_s47_trial, {"rate_ratio": 0.0}),
        (schools_s47_trial, {"base_rate": -0.1}),
        (schools_s47_trial, {"school_k": -0.1}),
        (schools_s47_trial, {"la_k": -0.1}),
        (schools_s47_trial, {"lost": 71}),
        (no_wrong_door_wedge, {"children": 100}),
        (no_wrong_door_wedge, {"children": True}),
        (no_wrong_door_wedge, {"odds_ratio": 0.0}),
        (no_wrong_door_wedge, {"base_risk": 1.0}),
        (no_wrong_door_wedge, {"la_sd": -0.1}),
        (no_wrong_door_wedge, {"drift_sd": -0.1}),
    ],
)
def test_impossible_settings_are_refused(function, change):
    with pytest.raises(DesignError):
        function(1, **change)


def test_the_authorities_are_invented_and_differ_between_the_trials():
    assert set(SCHOOL_AUTHORITIES) | set(WEDGE_AUTHORITIES) <= set(LOCAL_AUTHORITIES)
    assert len(set(SCHOOL_AUTHORITIES)) == 21
    assert not set(SCHOOL_AUTHORITIES) & set(WEDGE_AUTHORITIES)


# --- schools


def test_a_school_is_a_row_and_keys_are_unique(schools):
    assert len(schools) == 280
    assert schools["school_id"].is_unique
    assert schools["school"].is_unique
    assert set(schools["local_authority"]) == set(SCHOOL_AUTHORITIES)


@pytest.mark.parametrize("seed", [SCHOOLS_SEED, 1, 2, 3])
def test_schools_are_randomised_in_halves_within_authorities(seed):
    trial = schools_s47_trial(seed)
    counts = pd.crosstab(trial["local_authority"], trial["arm"])
    assert (counts["usual"] - counts["social worker"]).abs().max() <= 1
    assert abs(counts["usual"].sum() - counts["social worker"].sum()) <= 1
    assert (counts.sum(axis=1) % 2).sum() >= 5
    assert counts.sum(axis=1).min() >= 4


def test_every_school_is_as_likely_in_either_arm():
    authority = np.repeat(np.arange(21), 5 + np.arange(21) % 4)
    draws = Draws(5)
    share = np.mean([allocate_schools(draws, authority) for _ in range(2_000)], axis=0)
    # four Monte Carlo standard errors of 2,000 allocations
    assert np.abs(share - 0.5).max() < 4 * np.sqrt(0.25 / 2_000)


def test_schools_are_lost_few_and_said_so(schools):
    gone = schools["follow_up"] != "returned"
    assert gone.sum() == 8
    for column in ("pupils", "s47_enquiries", "school_in_return"):
        assert (schools[column].isna() == gone).all()
    assert set(schools["follow_up"]) == {"returned", "closed", "merged", "not_returned"}
    kept = schools[~gone]
    assert (kept["school"] != kept["school_in_return"]).sum() in {2, 3}
    assert kept["school_in_return"].is_unique


def test_codes_stand_for_what_schools_did_not_return(schools):
    text = (FOLDER / "schools_s47_trial.csv").read_text(encoding="utf-8")
    read = pd.read_csv(FOLDER / "schools_s47_trial.csv", dtype=str, keep_default_na=False)
    assert text.count("\n") == 281
    assert (read["s47_before"] == "z").sum() == 5
    assert (read["fsm_pct"] == "x").sum() == schools["fsm_pct"].isna().sum() > 5
    assert (read["s47_enquiries"] == "x").sum() == 8
    np.testing.assert_allclose(
        schools["s47_rate_before"].dropna(),
        (1000 * schools["s47_before"] / schools["pupils_before"]).dropna().astype(float),
        atol=0.0051,
    )


def test_enquiries_are_skewed_and_vary_more_than_by_chance(schools):
    seen = schools.dropna(subset=["s47_enquiries"])
    count, pupils = seen["s47_enquiries"].astype(float), seen["pupils"].astype(float)
    expected = pupils * count.sum() / pupils.sum()
    assert ((count - expected) ** 2 / expected).mean() > 3
    assert (count / pupils).skew() > 0.8
    assert count.min() <= 1
    assert 0.013 < count.sum() / pupils.sum() < 0.020


@pytest.mark.simulation
def test_rates_vary_between_schools_and_authorities_as_asked():
    within, between = [], []
    for seed in range(100):
        drawn = draw_schools(Draws(seed), 280, base_rate=0.017, school_k=0.60, la_k=0.25)
        assert drawn.rate @ drawn.pupils / drawn.pupils.sum() == pytest.approx(0.017, rel=1e-12)
        logs, sizes = np.log(drawn.rate), np.bincount(drawn.authority)
        means = np.bincount(drawn.authority, logs) / sizes
        spread = ((logs - means[drawn.authority]) ** 2).sum() / (280 - 21)
        within.append(spread)
        between.append(means.var(ddof=1) - spread * np.mean(1 / sizes))
    assert np.sqrt(np.expm1(np.mean(within))) == pytest.approx(0.60, abs=0.03)
    # free school meals differ between authorities too
    assert np.sqrt(np.expm1(np.mean(between))) == pytest.approx(0.26, abs=0.03)


@pytest.mark.simulation
def test_the_rate_ratio_is_recovered():
    found = []
    for seed in range(100):
        trial = schools_s47_trial(20_000 + seed).dropna(subset=["s47_enquiries", "s47_rate_before"])
        rate = np.log((trial["s47_enquiries"].astype(float) + 0.5) / trial["pupils"].astype(float)).to_numpy()
        places = trial["local_authority"].astype("category").cat.codes.to_numpy()
        before = np.sqrt(trial["s47_rate_before"].astype(float))
        x = np.column_stack([trial["arm"] == "social worker", before, np.eye(21)[places]]).astype(float)
        found.append(np.linalg.lstsq(x, rate, rcond=None)[0][0])
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(np.log(0.90), abs=3.5 * error)
    assert error < 0.012


def test_schools_without_spread_differ_by_chance_alone():
    drawn = draw_schools(Draws(1), 280, base_rate=0.02, school_k=0.0, la_k=0.0)
    same = np.log(drawn.rate) - 0.018 * drawn.meals - 0.10 * (drawn.phase == 1)
    assert np.ptp(same) < 1e-12


def test_gamma_numbers_have_mean_one_and_the_variance_asked_for():
    made = _gamma(Draws(2), 40_000, 0.3)
    assert made.mean() == pytest.approx(1, abs=0.01)
    assert made.var() == pytest.approx(0.3, rel=0.04)


# --- stepped wedge


def test_a_wedge_has_its_size_and_key(wedge, eligible):
    assert len(eligible) == 27_000
    assert len(wedge) == 27_397
    key = ["child_id", "local_authority", "duplicate"]
    assert not wedge.duplicated(key).any()
    assert not eligible.duplicated(["child_id", "local_authority"]).any()
    assert eligible["child_id"].duplicated().sum() in range(150, 161)


@pytest.mark.parametrize("seed", range(6))
def test_authorities_cross_over_in_turn_the_ready_ones_first(seed):
    wedge = no_wrong_door_wedge(seed, children=3_000)
    treated = wedge[wedge["arm"] == "programme"].astype({"period": int})
    first = treated.groupby("local_authority")["period"].min()
    assert {first[name] for name in WEDGE_AUTHORITIES[:2]} == {2, 3}
    assert {first[name] for name in WEDGE_AUTHORITIES[2:]} == {4, 5, 6}
    assert (
        (wedge["arm"] == "programme") == (wedge["period"].astype(int) >= wedge["local_authority"].map(first))
    ).all()


def test_every_order_of_the_strata_comes_up():
    orders = set()
    for seed in range(120):
        drawn = draw_wedge(Draws(seed), 3_000, odds_ratio=1, base_risk=0.07, la_sd=0, drift_sd=0)
        starts = [drawn.go_live[drawn.authority == place][0] for place in range(5)]
        orders.add(tuple(starts))
    assert len(orders) == 12


def test_dates_periods_and_time_on_treatment_hang_together(eligible):
    dates = eligible["referred_on"].to_numpy().astype("datetime64[D]")
    starts = np.asarray(PERIOD_STARTS)
    assert dates.min() == starts[0]
    assert dates.max() == LAST_DAY
    assert (np.searchsorted(starts, dates, side="right") == eligible["period"].astype(int)).all()
    assert sorted(np.diff([*starts, LAST_DAY + 1]).astype(int)) == [61, 92, 182, 183, 212, 365]
    on = eligible["months_on"].astype(int)
    assert (on[eligible["arm"] == "usual"] == 0).all()
    assert on.max() == 29
    new = (eligible["arm"] == "programme") & (eligible["transition"] == 1)
    assert (on[new] <= 1).all()
    assert (on[(eligible["arm"] == "programme") & (eligible["transition"] == 0)] >= 1).all()


def test_rows_to_leave_out_are_as_many_as_the_dictionary_says(wedge):
    assert wedge["duplicate"].sum() == 240
    assert (wedge.loc[wedge["duplicate"] == 1, "local_authority"] == "Coldstow").sum() == 232
    assert (wedge["age"] == -1).sum() == 14
    assert (wedge["age"] > 100).sum() == 6
    assert wedge["age"].between(18, 20).sum() == 60
    assert (wedge["days_to_care"] < 0).sum() == 57
    assert (wedge["referred_on"] == pd.Timestamp("1900-01-01")).sum() == 20
    assert wedge[["transition", "months_on"]].isna().sum().tolist() == [20, 20]
    assert wedge[["period", "arm"]].notna().all(axis=None)


def test_repeated_rows_are_equal_to_the_first(wedge):
    rest = wedge.columns.difference(["duplicate"]).tolist()
    again = wedge.loc[wedge["duplicate"] == 1, ["child_id", "local_authority"]]
    both = wedge.merge(again, on=["child_id", "local_authority"])
    assert len(both) == 480
    assert both.duplicated(rest).sum() == 240


def test_care_is_dated_where_there_was_any(eligible):
    known = eligible.dropna(subset=["looked_after_18m"])
    assert 0.005 < 1 - len(known) / len(eligible) < 0.015
    assert (known["days_to_care"].notna() == (known["looked_after_18m"] == 1)).all()
    assert known["days_to_care"].dropna().between(1, 548).all()
    assert eligible["days_to_care"][eligible["looked_after_18m"].isna()].isna().all()


@pytest.mark.parametrize("odds_ratio", [0.75, 1.0, 1.3])
def test_the_truth_is_that_of_the_draw(odds_ratio):
    truth = no_wrong_door_truth(4, children=5_000, odds_ratio=odds_ratio, base_risk=0.10)
    assert truth.risk_usual == pytest.approx(0.10, abs=1e-12)
    assert np.sign(truth.risk_difference) == np.sign(odds_ratio - 1)
    assert abs(truth.as_delivered) <= abs(truth.risk_difference) + 0.005
    assert truth.risk_programme - truth.risk_usual == pytest.approx(truth.risk_difference, abs=1e-12)
    # between the odds ratio given covariates and no effect
    marginal = truth.risk_programme / (1 - truth.risk_programme) * 0.9 / 0.1
    assert abs(np.log(marginal)) <= abs(np.log(odds_ratio)) + 1e-12


@pytest.mark.simulation
def test_cells_drift_as_asked():
    found = []
    for seed in range(200):
        drawn = draw_wedge(Draws(seed), 3_000, odds_ratio=1, base_risk=0.07, la_sd=0.2, drift_sd=0.10)
        day = (drawn.referred - PERIOD_STARTS[0]).astype(int) / 1_095
        left = drawn.log_odds - 0.10 * (drawn.age - 14) - 0.05 * drawn.sex - 0.80 * drawn.earlier - 0.15 * day
        cells = pd.DataFrame({"left": left, "place": drawn.authority, "period": drawn.period})
        table = cells.pivot_table(index="place", columns="period", values="left").to_numpy()
        assert np.abs(left - table[drawn.authority, drawn.period]).max() < 1e-9
        found.append([table.var(axis=1, ddof=1).mean(), table.mean(axis=1).var(ddof=1)])
    drift, between = np.mean(found, axis=0)
    assert np.sqrt(drift) == pytest.approx(0.10, abs=0.005)
    assert np.sqrt(between - drift / 6) == pytest.approx(0.20, abs=0.02)


@pytest.mark.simulation
def test_the_odds_ratio_is_recovered_where_it_is_whole():
    # settled programme against usual within the children's true log odds: a likelihood with one unknown
    from scipy import optimize, special

    errors = []
    for seed in range(40):
        drawn = draw_wedge(Draws(seed), 27_000, odds_ratio=0.75, base_risk=0.07, la_sd=0.2, drift_sd=0.1)
        happened = Draws(1_000 + seed).happens(drawn.risk(drawn.share), 27_000)
        share, offset = drawn.share, drawn.log_odds

        def score(b, share=share, offset=offset, happened=happened):
            return float(share @ (happened - special.expit(offset + b * share)))

        errors.append(optimize.brentq(score, -2, 2) - np.log(0.75))
    assert abs(np.mean(errors)) < 3.5 * np.std(errors, ddof=1) / np.sqrt(40)
