"""Raters one by one: planted severity, drift and bias are found, and no others."""

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError


def ratings(seed=1, severe=(0.8, 0.0, 0.0, -0.1, -0.7), cases=80, drift=0.0):
    rng = np.random.default_rng(seed)
    case, rater = (each.ravel() for each in np.indices((cases, len(severe))))
    week = case // 4
    y = (
        rng.normal(size=cases)[case]
        - np.array(severe)[rater]
        + drift * week * (rater == 0)
        + 0.4 * rng.normal(size=len(case))
    )
    frame = pd.DataFrame(
        {"case": case, "rater": np.array(list("ABCDE"))[rater], "la": case % 8, "time": week, "score": y}
    )
    return frame[rng.random(len(frame)) < 0.8].reset_index(drop=True)


def test_severity_is_that_of_least_squares_with_subjects():
    frame = ratings()
    found = we.rater_severity(frame, within="la")
    rows = {row["rater"]: row for row in found.rows}
    assert [rows[name]["differs"] for name in "ABE"] == [True, False, True]
    for name, planted in zip("ABCDE", (0.8, 0.0, 0.0, -0.1, -0.7), strict=True):
        assert rows[name]["severity"] == pytest.approx(planted, abs=0.2)
    assert sum(row["severity"] for row in found.rows) == pytest.approx(0, abs=1e-9)
    assert 0.05 < found.summary["share_raters"] < 0.5
    whole = frame.groupby("case").filter(lambda g: len(g) == 5)
    complete = we.rater_severity(whole)
    means = whole.groupby("rater")["score"].mean()
    for row in complete.rows:  # a complete table: differences of raw means
        assert row["severity"] == pytest.approx(means.mean() - means[row["rater"]], abs=1e-8)


@pytest.mark.simulation
def test_holm_flags_few_raters_by_chance():
    flagged = sum(
        any(row["differs"] for row in we.rater_severity(ratings(seed, (0.0,) * 5, 30)).rows) for seed in range(10)
    )
    assert flagged <= 3


def test_drift_is_found_where_it_is():
    found = we.rater_drift(ratings(drift=0.08))
    rows = {row["rater"]: row for row in found.rows}
    assert rows["A"]["differs"]
    assert rows["A"]["drift"] == pytest.approx(0.08 * 0.8, abs=0.03)
    assert found.summary["common"]["estimate"] == pytest.approx(0.08 / 5, abs=0.05)
    assert not any(row["differs"] for row in we.rater_drift(ratings()).rows)
    assert "gold standard" in str(found)
    slow = we.rater_drift(ratings(drift=0.08).assign(time=lambda f: 7.0 * f["time"]))
    assert slow.rows[0]["drift"] == pytest.approx(found.rows[0]["drift"] / 7, rel=1e-6)


def test_raters_of_their_own_cases_cannot_be_told_from_them():
    frame = ratings().drop_duplicates("case")
    found = we.rater_severity(frame)
    assert not found.summary["crossed"]
    assert any("cannot be told" in note for note in found.notes)


def test_calibration_against_an_expert():
    rng = np.random.default_rng(2)
    gold = rng.integers(1, 6, 60)
    seen = pd.DataFrame(
        {
            "expert": gold,
            "good": np.clip(gold + rng.choice([0, 0, 0, 0, 1, -1], 60), 1, 5),
            "lenient": np.clip(gold + rng.choice([1, 1, 0], 60), 1, 5),
            "constant": 3,
            "idle": np.nan,
            "la": np.arange(60) % 10,
        }
    )
    found = we.rater_calibration(seen, "expert", categories=[1, 2, 3, 4, 5], at_least=0.6, cluster="la")
    rows = {row["rater"]: row for row in found.rows}
    assert rows["good"]["passes"]
    assert rows["lenient"]["ci_low"] > 0
    assert rows["constant"]["slope"] == 0
    assert rows["idle"]["note"]
    assert rows["good"]["bias"] == pytest.approx((seen["good"] - gold).mean())
    kappa = we.agreement(
        seen[["good", "expert", "la"]],
        "cohen_kappa",
        weights="quadratic",
        categories=[1, 2, 3, 4, 5],
        cluster="la",
    )
    assert rows["good"]["kappa"] == pytest.approx(kappa.estimate)
    axes = found.plot()
    assert "expert" in axes.get_xlabel()
    with pytest.raises(DataError, match="did you mean 'expert'"):
        we.rater_calibration(seen, "expart")


def test_refusals():
    frame = ratings()
    with pytest.raises(DesignError, match="one rater"):
        we.rater_severity(frame[frame["rater"] == "A"])
    with pytest.raises(DataError, match="did you mean 'case'"):
        we.rater_severity(frame, subject="cases")
    with pytest.raises(DesignError, match="one time only"):
        we.rater_drift(frame[(frame["rater"] != "B") | (frame["time"] == 3)])
    with pytest.raises(DataError, match="not numbers"):
        we.rater_drift(frame.assign(time="June"))
