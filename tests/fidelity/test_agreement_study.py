"""Clustered intervals of agreement hold what they say; naive ones do not."""

import json

import pytest
from agreement_study import COEFFICIENTS, coverage
from reliability_cases import REFERENCE

CLUSTERED = ("linearised", "jackknife")


@pytest.mark.simulation
def test_a_small_sample_of_the_study():
    found = coverage(
        12, 10, repeats=120, seed=4, names=("ac2", "krippendorff_ordinal"), methods=("naive", *CLUSTERED)
    )
    for each in found.values():
        assert each["naive"] < 0.86
        for method in CLUSTERED:
            assert each[method] > 0.87


@pytest.mark.simulation
@pytest.mark.parametrize("name", list(COEFFICIENTS))
def test_the_record_says_what_the_documentation_says(name):
    record = json.loads((REFERENCE / "agreement_coverage.json").read_text())
    assert [case["authorities"] for case in record["cases"]] == [6, 12, 20]
    for case in record["cases"]:
        rates = case["coverage"][name]
        for method in CLUSTERED:
            assert 0.90 <= rates[method] <= 0.97
            if case["authorities"] >= 12:
                assert rates[method] >= 0.92
        assert rates["naive"] < 0.8
    assert all(case["coverage"]["ac2"]["bootstrap"] > 0.9 for case in record["cases"])
