"""Treated clusters that are not seen on both sides of their adoption do not count, wherever few are counted."""

import math

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.did.few_counts import joiners
from wwc_eval.errors import DataError

VERBS = (
    "two_way_fixed_effects",
    "callaway_santanna",
    "sun_abraham",
    "imputation",
    "two_stage",
    "extended_twfe",
    "stacked",
)


def panel_of(starts, *, periods=6, seed=1, lost=None, **options):
    """LAs that adopt as ``starts`` says (0 never); ``lost`` names the cells that nobody returned."""
    rng = np.random.default_rng(seed)
    rows = [(f"E{k:02d}", t, start, rng.normal()) for k, start in enumerate(starts) for t in range(1, periods + 1)]
    data = pd.DataFrame(rows, columns=["la", "year", "start", "rate"])
    if lost is not None:
        data = data[~lost(data)]
    return we.Panel(data, unit="la", period="year", outcome="rate", cohort="start", **options)


def half_unseen():
    """Six treated LAs, of whom three stopped returning when they began."""
    return panel_of([3] * 3 + [5] * 3 + [0] * 20, lost=lambda d: (d.start == 5) & (d.year >= 5))


@pytest.mark.parametrize("verb", VERBS)
def test_treated_that_nobody_saw_afterwards_are_no_treated(verb):
    panel = half_unseen()
    assert panel.clusters_of(joiners(panel)) == 3
    overall = getattr(we.did, verb)(panel).overall
    assert 0 < overall.details["permutation_p"] <= 1
    assert any(text.startswith("3 treated clusters") for text in overall.warnings)
    # seen afterwards, the six are enough
    assert "permutation_p" not in getattr(we.did, verb)(panel_of([3] * 3 + [5] * 3 + [0] * 20)).overall.details


def test_few_treated_and_leave_one_out_count_those_that_are_seen():
    panel = half_unseen()
    found = we.did.few_treated(panel, methods=("permutation", "CR2"), rng=1, draws=99)
    assert found.n_treated == 3
    assert any("3 treated clusters" in text for text in found["CR2"].warnings)
    assert math.isnan(we.did.leave_one_out(panel).overall.se)


def test_a_cohort_is_as_large_as_what_is_seen_of_it():
    lost = lambda d: d.la.isin(["E00", "E01", "E02"]) & (d.year >= 4)  # noqa: E731
    result = we.did.callaway_santanna(panel_of([4] * 6 + [3] * 6 + [0] * 20, lost=lost))
    by_cohort = dict(zip((3, 4), result.aggregate("cohort").estimates, strict=True))
    assert "permutation_p" in by_cohort[4].details
    assert "permutation_p" not in by_cohort[3].details
    assert any("Cohorts of fewer than 5 treated: 4 (3)" in note for note in result.notes)


def test_areas_that_always_were_treated_do_not_make_few_many():
    rng = np.random.default_rng(4)
    area, year = rng.integers(0, 30, 6_000), rng.integers(1, 5, 6_000)
    start = np.where(area < 3, 3, np.where(area < 8, 1, 0))
    data = pd.DataFrame({"area": area, "year": year, "start": start, "age": rng.normal(size=6_000), "y": 0.0})
    once = we.Panel(data, unit=None, period="year", outcome="y", cohort="start", cluster="area")
    found = we.did.composition(once, "age", draws=99, rng=1)
    assert math.isnan(found.estimates[0].se)
    assert any(note.startswith("3 treated clusters") for note in found.notes)


def test_residuals_that_can_be_listed_need_no_seed():
    # three hundred are never treated, of whom a hundred are seen on both sides of adoption
    def lost(d):
        return d.la.str[1:].astype(int).gt(101) & (d.year >= 4)

    found = we.did.few_treated(panel_of([4] * 2 + [0] * 300, lost=lost), methods=("conley_taber",))
    assert found.overall.details["exact"]
    assert found.overall.details["controls"] == 100


def test_one_cluster_has_no_error_and_no_sensitivity():
    rng = np.random.default_rng(3)
    rows = [(k, t, 4 * (k < 4), rng.normal()) for k in range(24) for t in range(1, 7)]
    data = pd.DataFrame(rows, columns=["la", "year", "start", "rate"]).assign(region="all")
    panel = we.Panel(data, unit="la", period="year", outcome="rate", cohort="start", cluster="region")
    result = we.did.callaway_santanna(panel, base="universal")
    assert math.isnan(result.overall.se)
    with pytest.raises(DataError, match="missing or zero variances"):
        we.did.honest(result.aggregate("event"))
    assert any("Breakdown" in note or "breakdown" in note for note in we.did.compare(panel, rng=1, draws=99).notes)
