"""Balance-seeking schemes against brute force: the committed record of the study, and a small sample of it."""

import json

import pytest
from allocation_study import chi_square, draws_of
from balance_study import (
    MILLION,
    MOST,
    RECORD,
    bound_to,
    check_matched,
    check_minimised,
    check_scored,
    frame_of,
    matched_designs,
    minimised_designs,
    scored_designs,
    study_draws,
)
from scipy import stats

RECORDED = json.loads(RECORD.read_text(encoding="utf-8"))
FEW = 130
"""Arm vectors of the designs that are tried every time."""


def test_the_record_of_laws_covers_the_designs():
    laws = RECORDED["laws"]
    scored = len(list(scored_designs())) // 2
    for kind in ("constrained", "rerandomised"):
        assert laws[kind]["designs"] + laws[kind]["left"] == scored
        # refused: fewer than a unit an arm, or no table of strata and arms
        assert laws[kind]["left"] < 0.1 * scored
    assert laws["matched"]["designs"] + laws["matched"]["left"] == len(list(matched_designs()))
    assert laws["matched"]["designs"] > 100
    assert laws["minimised"]["designs"] == len(list(minimised_designs(MOST)))


@pytest.mark.simulation
def test_the_record_of_a_million_draws_is_within_its_bands():
    assert [row["design"] for row in RECORDED["draws"]] == list(MILLION)
    for row in RECORDED["draws"]:
        assert row["draws"] == 1_000_000
        low, high = stats.chi2.ppf([0.005, 0.995], row["df"])
        assert (row["low"], row["high"]) == pytest.approx((low, high))
        assert row["low"] < row["chi_square"] < row["high"]


def small(source, size_and_ratio):
    found = []
    for case in source:
        n, ratio = size_and_ratio(case)
        if len(ratio) ** n <= FEW:
            found.append(case)
    return found


@pytest.mark.reference
@pytest.mark.parametrize("kind", ["constrained", "rerandomised"])
def test_accepted_allocations_are_those_of_brute_force(kind):
    cases = small((c for c in scored_designs() if c[0].kind == kind), lambda case: (sum(case[1]), case[2]))
    assert sum(check_scored(*case) is not None for case in cases) > 30


@pytest.mark.reference
def test_pairs_and_blocks_have_the_law_of_brute_force():
    cases = small(matched_designs(), lambda case: (sum(case[0]), case[1]))
    assert sum(check_matched(*case) is not None for case in cases) > 20


@pytest.mark.reference
def test_minimised_allocations_have_the_product_of_their_coins():
    cases = small(minimised_designs(FEW), lambda case: case[:2])
    assert sum(check_minimised(*case) is not None for case in cases) == len(cases) > 40


@pytest.mark.simulation
@pytest.mark.parametrize("name", MILLION)
def test_a_small_sample_of_draws_is_within_a_wide_band(name):
    scheme, sizes, ratio = MILLION[name]
    each = bound_to(frame_of(sizes), scheme, ratio)
    statistic, df = chi_square(each, draws_of(each, max(1_500, 8 * each.count)))
    low, high = stats.chi2.ppf([0.0002, 0.9998], df)
    assert low < statistic < high


@pytest.mark.slow
@pytest.mark.simulation
@pytest.mark.parametrize("row", RECORDED["draws"], ids=lambda row: row["design"])
def test_the_record_is_that_of_the_program(row):
    again = study_draws(row["design"], row["draws"])
    assert again["chi_square"] == pytest.approx(row["chi_square"], rel=1e-9)
