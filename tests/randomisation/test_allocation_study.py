"""The committed record of the studies of the draw, and a small sample of each."""

import json

import pytest
from allocation_study import MILLION, RECORD, bound, chi_square, draws_of, study_draws, text
from scipy import stats

RECORDED = json.loads(RECORD.read_text(encoding="utf-8"))


@pytest.mark.simulation
def test_the_record_of_a_million_draws_is_within_its_bands():
    rows = RECORDED["draws"]
    assert [row["design"] for row in rows] == [text(*case) for case in MILLION]
    for row in rows:
        assert row["draws"] == 1_000_000
        low, high = stats.chi2.ppf([0.005, 0.995], row["df"])
        assert (row["low"], row["high"]) == pytest.approx((low, high))
        assert row["low"] < row["chi_square"] < row["high"]


def test_the_record_of_exact_laws_covers_most_designs():
    laws = RECORDED["laws"]
    assert laws["designs"] > 500
    assert laws["too_large"] < laws["designs"] / 2


def test_the_record_of_enumerations_covers_every_design():
    found = RECORDED["enumerations"]
    assert found["designs"] == RECORDED["laws"]["designs"] + RECORDED["laws"]["too_large"]
    assert found["too_large"] == 0


@pytest.mark.simulation
@pytest.mark.parametrize("case", MILLION, ids=lambda case: text(*case))
def test_a_small_sample_of_draws_is_within_a_wide_band(case):
    each = bound(*case)
    statistic, df = chi_square(each, draws_of(each, max(1_500, 8 * each.count)))
    low, high = stats.chi2.ppf([0.0002, 0.9998], df)
    assert low < statistic < high


@pytest.mark.slow
@pytest.mark.simulation
def test_the_record_is_that_of_the_program():
    number = RECORDED["draws"][0]["draws"]
    again = {row["design"]: row["chi_square"] for row in study_draws(number)}
    assert again == pytest.approx({row["design"]: row["chi_square"] for row in RECORDED["draws"]}, rel=1e-9)
