"""Sample data: the same bytes every time, the truth as planted, the calibration as published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_eval.data.samples import (
    family_conferencing_trial,
    family_conferencing_truth,
    family_safeguarding_pilot,
    family_safeguarding_ratings,
    la_panel,
    write_samples,
)
from wwc_eval.data.samples.__main__ import main
from wwc_eval.data.samples.dictionary import PANEL_COLUMNS, TRIAL_COLUMNS
from wwc_eval.data.samples.draws import Draws, poisson_quantile
from wwc_eval.data.samples.fidelity_page import RATING_COLUMNS
from wwc_eval.data.samples.panel import EFFECT
from wwc_eval.data.samples.pilot_fidelity_page import PILOT_RATING_COLUMNS
from wwc_eval.data.samples.pilot_page import PILOT_COLUMNS
from wwc_eval.data.samples.places import LOCAL_AUTHORITIES, REGION_OF, TRIAL_AUTHORITIES
from wwc_eval.data.samples.rollout import ROLLOUT_COLUMNS
from wwc_eval.data.samples.schools_page import SCHOOL_COLUMNS
from wwc_eval.data.samples.wedge_page import WEDGE_COLUMNS
from wwc_eval.errors import DataError, DesignError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "sample_data"
CALIBRATION = json.loads((ROOT / "tests/reference/la_panel_calibration.json").read_text(encoding="utf-8"))
NAMES = (
    "family_conferencing_trial",
    "la_panel",
    "schools_s47_trial",
    "no_wrong_door_wedge",
    "family_safeguarding_pilot",
    "family_safeguarding_ratings",
    "practice_rollout",
    "fidelity_ratings",
)
FILES = tuple(f"{name}.{kind}" for name in NAMES for kind in ("csv", "md"))


@pytest.fixture(scope="module")
def trial() -> pd.DataFrame:
    return family_conferencing_trial(7)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("samples") / "new"
    write_samples(folder)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_the_committed_files_are_made_again_byte_for_byte(written, name):
    assert (written / name).read_bytes() == (FOLDER / name).read_bytes()


def test_the_command_names_its_files_and_says_what_is_wrong(tmp_path, capsys):
    assert main([str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / name) for name in FILES]
    blocked = tmp_path / "file"
    blocked.write_text("x")
    assert main([str(blocked)]) == 1
    assert "cannot write" in capsys.readouterr().err
    with pytest.raises(DataError):
        write_samples(blocked)


@pytest.mark.parametrize("name", FILES[::2])
def test_the_files_are_plain_text_with_line_feeds(name):
    raw = (FOLDER / name).read_bytes()
    assert b"\r" not in raw
    assert raw.endswith(b"\n")
    raw.decode("ascii")


@pytest.mark.parametrize(
    ("entries", "name"),
    zip(
        (
            TRIAL_COLUMNS,
            PANEL_COLUMNS,
            SCHOOL_COLUMNS,
            WEDGE_COLUMNS,
            PILOT_COLUMNS,
            PILOT_RATING_COLUMNS,
            ROLLOUT_COLUMNS,
            RATING_COLUMNS,
        ),
        FILES[::2],
        strict=True,
    ),
    ids=NAMES,
)
def test_the_dictionary_names_every_column(entries, name):
    header = (FOLDER / name).read_text().splitlines()[0].split(",")
    assert header == [entry.name for entry in entries]
    words = (FOLDER / name).with_suffix(".md").read_text()
    assert all(f"| `{column}` |" in words for column in header)


@pytest.mark.parametrize("function", [family_conferencing_trial, family_conferencing_truth, la_panel])
@pytest.mark.parametrize("rng", [None, -1, 1.5, "1", True])
def test_there_is_no_default_seed(function, rng):
    with pytest.raises(DesignError, match="rng"):
        function(rng)


def test_every_kind_of_rng_is_taken_and_gives_the_same_trial():
    whole = family_conferencing_trial(3)
    pd.testing.assert_frame_equal(whole, family_conferencing_trial(np.random.SeedSequence(3)))
    pd.testing.assert_frame_equal(whole, family_conferencing_trial(np.random.Generator(np.random.PCG64(3))))
    assert not whole.equals(family_conferencing_trial(4))


def test_a_trial_has_the_size_and_keys_it_should(trial):
    assert trial["family_id"].nunique() == 1500
    assert 2300 < len(trial) < 2650
    assert trial["child_id"].is_unique
    assert trial["child_id"].str.fullmatch(r"\d{6}").all()
    assert trial["family_id"].str.fullmatch(r"\d{5}").all()
    assert set(trial["local_authority"]) == set(TRIAL_AUTHORITIES)
    assert len(trial[["family_id", "arm", "local_authority", "randomised_on"]].drop_duplicates()) == 1500


def test_families_are_randomised_in_blocks_within_authorities(trial):
    families = trial.drop_duplicates("family_id")
    offered = (families["arm"] == "conference").to_numpy()
    for name in TRIAL_AUTHORITIES:
        running = np.cumsum(np.where(offered[families["local_authority"] == name], 1, -1))
        # within a block of 4 at most two in a row lead; at the end of each block the arms are equal
        assert np.abs(running).max() <= 2
        assert (running == 0).sum() >= len(running) // 4


def test_dates_outcomes_and_exclusions_hang_together(trial):
    assert (trial["referred_on"] < trial["randomised_on"]).all()
    assert (trial["randomised_on"].dt.dayofweek < 5).all()
    seen = trial.dropna(subset=["in_care_12m"])
    days = seen["days_in_care"].astype(int)
    assert days.between(0, 365).all()
    assert (days[seen["in_care_12m"] == 1] >= 1).all()
    assert trial.loc[trial["consent_withdrawn"] == 1, "in_care_12m"].isna().all()
    assert trial.loc[trial["consent_withdrawn"] == 1, "family_id"].nunique() == 16
    adults = trial[trial["age"] == 18]
    assert len(adults) == 12
    # no family is lost altogether because of them
    assert (trial[trial["family_id"].isin(adults["family_id"])].groupby("family_id")["age"].min() < 18).all()
    missing = ["in_care_12m", "days_in_care", "proceedings"]
    assert trial[missing].isna().sum(axis=1).isin([0, 3]).all()


def test_values_are_missing_where_the_dictionary_says(trial):
    by_place = trial.assign(gone=trial["ethnicity"].isna()).groupby("local_authority")["gone"].mean()
    assert by_place["Aldercombe"] > 0.8
    assert by_place.drop("Aldercombe").max() < 0.15
    score = trial.assign(gone=trial["family_needs"].isna()).groupby("local_authority")["gone"].mean()
    assert score.idxmax() == "Larchmere"
    assert "not known" in (FOLDER / FILES[0]).read_text()


def test_protocol_violations_are_few_but_there(trial):
    held = trial.drop_duplicates("family_id").groupby("arm", observed=True)["conference_held"].mean()
    assert 0.005 < held["usual"] < 0.05
    assert 0.80 < held["conference"] < 0.93


def test_siblings_mostly_enter_care_together():
    pairs = []
    for seed in range(8):
        seen = family_conferencing_trial(seed).dropna(subset=["in_care_12m"])
        families = seen.groupby("family_id").size()
        two = seen[seen["family_id"].isin(families.index[families >= 2])]
        grouped = two.groupby("family_id")["in_care_12m"]
        pairs.append(np.column_stack([grouped.nth(0).astype(float), grouped.nth(1).astype(float)]))
    both = np.vstack(pairs)
    assert 0.74 < np.corrcoef(both.T)[0, 1] < 0.86


def test_covariates_predict_the_outcome():
    seen = pd.concat([family_conferencing_trial(seed) for seed in range(4)]).dropna(
        subset=["in_care_12m", "family_needs"]
    )
    outcome = seen["in_care_12m"].astype(float)
    assert np.corrcoef(outcome, seen["family_needs"].astype(float))[0, 1] > 0.08
    assert outcome[seen["previous_plan"] == 1].mean() - outcome[seen["previous_plan"] == 0].mean() > 0.08
    assert outcome[seen["age"] < 1].mean() - outcome[seen["age"] >= 5].mean() > 0.08


@pytest.mark.parametrize("effect", [-0.09, 0.0, 0.06])
def test_the_truth_is_the_effect_asked_for(effect):
    truth = family_conferencing_truth(1, families=3_000, effect=effect, control_risk=0.40)
    assert truth.risk_difference == pytest.approx(effect, abs=1e-12)
    assert truth.risk_usual == pytest.approx(0.40, abs=1e-12)
    assert truth.complier_difference * truth.compliance == pytest.approx(effect, abs=1e-12)
    assert np.sign(truth.days_difference) == np.sign(effect)


@pytest.mark.parametrize(
    "change",
    [
        {"effect": -0.44},
        {"effect": 0.6},
        {"effect": -1.0},
        {"control_risk": 0.0},
        {"control_risk": 1.0},
        {"families": 99},
        {"families": 500.5},
        {"sibling_icc": 1.1},
        {"la_sd": -0.1},
        {"attrition": 0.5},
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(DesignError):
        family_conferencing_trial(1, **change)


def _clustered_difference(seen: pd.DataFrame) -> tuple[float, float, float]:
    """Effect of the arm given authority and an earlier plan, with errors clustered by family and without."""
    outcome = seen["in_care_12m"].astype(float).to_numpy()
    places = pd.get_dummies(seen["local_authority"]).to_numpy(dtype=float)
    x = np.column_stack([seen["arm"] == "conference", seen["previous_plan"], seen["age"], places]).astype(float)
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ (x.T @ outcome)
    residual = outcome - x @ beta
    codes = seen["family_id"].astype("category").cat.codes.to_numpy()
    scores = np.zeros((codes.max() + 1, x.shape[1]))
    np.add.at(scores, codes, x * residual[:, None])
    plain = residual @ residual / (len(x) - x.shape[1]) * inverse[0, 0]
    return beta[0], float(np.sqrt((inverse @ scores.T @ scores @ inverse)[0, 0])), float(np.sqrt(plain))


@pytest.mark.simulation
def test_the_planted_effect_is_recovered_and_needs_clustering():
    found = []
    for seed in range(100):
        trial = family_conferencing_trial(10_000 + seed)
        kept = trial[(trial["age"] < 18) & (trial["consent_withdrawn"] == 0)].dropna(subset=["in_care_12m"])
        found.append(_clustered_difference(kept))
    estimate, clustered, plain = np.array(found).T
    error = estimate.std(ddof=1) / np.sqrt(len(estimate))
    assert abs(estimate.mean() + 0.09) < 3.5 * error
    covered = np.mean(np.abs(estimate + 0.09) < 1.96 * clustered)
    # 95% within 3.3 Monte Carlo standard errors of 100 replicates
    assert 0.878 <= covered <= 1.0
    assert np.mean(np.abs(estimate + 0.09) < 1.96 * plain) < 0.915


def _moments(panel: pd.DataFrame, name: str, years: list[int]) -> dict[str, object]:
    """Means, spread and correlations as the reference file defines them."""
    seen = panel[panel["year"].between(*years)]
    wide = seen.pivot_table(index="la_code", columns="year", values=name).astype(float)
    values = wide if name == "rereferral_pct" else np.log(wide)
    centred = (values - values.mean()).to_numpy()
    n, t = centred.shape
    level = centred.mean(axis=1)
    between_square = t * level.var(ddof=1)
    within_square = ((centred - level[:, None]) ** 2).sum() / ((n - 1) * (t - 1))
    between = (between_square - within_square) / t
    correlation = np.corrcoef(centred.T)
    return {
        "mean": wide.mean().to_dict(),
        "sd_between": np.sqrt(between),
        "sd_within": np.sqrt(within_square),
        "icc": between / (between + within_square),
        "lags": {lag: np.diag(correlation, lag).mean() for lag in (1, 2, 3, 5)},
    }


@pytest.fixture(scope="module")
def committed() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "la_panel.csv", dtype={"la_code": str})


@pytest.mark.reference
@pytest.mark.parametrize("name", list(CALIBRATION["measures"]))
def test_the_committed_panel_is_calibrated(committed, name):
    target = CALIBRATION["measures"][name]
    found = _moments(committed, name, target["years"])
    for year, mean in target["mean_by_year"].items():
        assert found["mean"][int(year)] == pytest.approx(mean, rel=0.05)
    assert found["sd_between"] == pytest.approx(target["sd_between"], rel=0.05)
    assert found["sd_within"] == pytest.approx(target["sd_within"], rel=0.05)
    assert found["icc"] == pytest.approx(target["icc"], abs=0.03)
    for lag, value in target["corr_by_lag"].items():
        assert found["lags"][int(lag)] == pytest.approx(value, rel=0.05)


@pytest.mark.simulation
def test_the_generator_is_calibrated_on_average():
    panels = [la_panel(seed, effect=(0,)) for seed in range(20)]
    for name, target in CALIBRATION["measures"].items():
        found = [_moments(panel, name, target["years"]) for panel in panels]
        for year, mean in target["mean_by_year"].items():
            assert np.mean([one["mean"][int(year)] for one in found]) == pytest.approx(mean, rel=0.05)
        assert np.mean([one["icc"] for one in found]) == pytest.approx(target["icc"], abs=0.03)
        assert np.mean([one["sd_between"] for one in found]) == pytest.approx(target["sd_between"], rel=0.05)
        for lag, value in target["corr_by_lag"].items():
            assert np.mean([one["lags"][int(lag)] for one in found]) == pytest.approx(value, rel=0.05)


def test_the_child_population_is_as_published(committed):
    children = committed.loc[committed["year"] == 2024, "child_population"]
    assert children.median() == pytest.approx(CALIBRATION["children_2024"]["median"], rel=0.005)
    assert children.std() / children.mean() == pytest.approx(CALIBRATION["children_2024"]["cv"], abs=0.01)


def test_rates_are_counts_over_children():
    panel = la_panel(2)
    assert len(panel) == 1530
    assert panel["la_code"].nunique() == 153
    for name in ("cla", "cla_starts", "cin", "cpp", "s47", "referrals"):
        np.testing.assert_allclose(panel[f"{name}_rate"], 1e4 * panel[name] / panel["child_population"])
    np.testing.assert_allclose(panel["rereferral_pct"], 100 * panel["rereferrals"] / panel["referrals"])


def test_the_programme_does_what_the_dictionary_says():
    with_it, without = la_panel(5), la_panel(5, effect=(0,))
    same = with_it.columns.difference(["cla_starts", "cla_starts_rate"])
    pd.testing.assert_frame_equal(with_it[same], without[same])
    assert with_it.groupby("programme_from")["la_code"].nunique().tolist() == [6, 6, 6, 6]
    since = (with_it["year"] - with_it["programme_from"]).fillna(-1).astype(int)
    for passed, expected in enumerate(EFFECT):
        rows = since == passed
        ratio = with_it.loc[rows, "cla_starts"].sum() / without.loc[rows, "cla_starts"].sum()
        assert np.log(ratio) == pytest.approx(expected, abs=0.01)
    assert (with_it.loc[since < 0, "cla_starts"] == without.loc[since < 0, "cla_starts"]).all()
    assert (with_it["programme"] == (since >= 0)).all()


@pytest.mark.parametrize("change", [{"treated": 5}, {"treated": 156}, {"treated": True}, {"effect": ()}])
def test_an_impossible_programme_is_refused(change):
    with pytest.raises(DesignError):
        la_panel(1, **change)


def test_nobody_needs_to_be_treated():
    panel = la_panel(1, treated=0)
    assert panel["programme_from"].isna().all()
    assert not panel["programme"].any()


def test_ratings_of_the_pilot_agree_with_what_its_review_found():
    pilot = family_safeguarding_pilot(5)
    ratings = family_safeguarding_ratings(6, pilot)
    found = pilot.dropna(subset=["fidelity_met"]).set_index("family_id")
    judged = ratings.dropna(subset=["rater"])
    assert set(judged["case"]) == set(found.index)
    assert 0.1 < (judged.groupby("case")["rater"].nunique() == 2).mean() < 0.3
    assert (judged["team"].to_numpy() == found.loc[judged["case"], "team"].to_numpy()).all()
    days = pd.to_datetime(judged["date"]).to_numpy() - found.loc[judged["case"], "approached_on"].to_numpy()
    weeks = days / np.timedelta64(7, "D")
    assert 12 <= weeks.min() <= weeks.max() <= 16
    plain = judged[(judged["item"] == "harm_statement") & judged["value"].str.fullmatch("[1-5]")]
    value = (
        plain["value"].astype(int).groupby(found.loc[plain["case"], "fidelity_met"].astype(int).to_numpy()).mean()
    )
    assert value[1] - value[0] > 0.5


def test_ratings_need_a_pilot_with_reviews():
    pilot = family_safeguarding_pilot(5)
    with pytest.raises(DesignError, match="fidelity_met"):
        family_safeguarding_ratings(1, pilot.drop(columns="fidelity_met"))
    with pytest.raises(DesignError, match="missing in every row"):
        family_safeguarding_ratings(1, pilot[pilot["fidelity_met"].isna()])
    with pytest.raises(DesignError, match="rng"):
        family_safeguarding_ratings(None, pilot)


def test_the_places_are_invented_and_as_many_as_there_are():
    assert len(set(LOCAL_AUTHORITIES)) == len(REGION_OF) == 153
    assert len(set(TRIAL_AUTHORITIES)) == 21
    assert not {"Hackney", "Leeds", "Norfolk", "Camden", "Torbay"} & set(LOCAL_AUTHORITIES)


def test_draws_follow_their_distributions():
    draws = Draws(11)
    counts = draws.poisson(np.full(20_000, 3.7))
    assert counts.mean() == pytest.approx(3.7, abs=0.06)
    assert counts.var() == pytest.approx(3.7, rel=0.04)
    assert np.bincount(draws.code((0.2, 0.3, 0.5), 20_000)) / 20_000 == pytest.approx([0.2, 0.3, 0.5], abs=0.015)
    whole = draws.whole(2, 4, 9_000)
    assert set(np.unique(whole)) == {2, 3, 4}


def test_poisson_quantiles_are_those_of_scipy():
    from scipy import stats

    share = np.linspace(0.001, 0.999, 301)
    for mean in (0.3, 2.0, 55.5, 12_345.6):
        expected = stats.poisson.ppf(share, mean)
        np.testing.assert_array_equal(poisson_quantile(share, np.full(301, mean)), expected)
