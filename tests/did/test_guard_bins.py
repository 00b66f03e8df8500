"""Pooled ends of an event study of few treated have the permutation of all their events, and cells their own."""

from itertools import combinations

import numpy as np
import pytest
from hostile_panels import frame, panel

import wwc_eval as we

FEW = 5


def share(change, treated):
    """Two-sided p of a mean change over every choice of so many units."""

    def gap(own):
        inside = np.isin(np.arange(len(change)), own)
        return abs(change[inside].mean() - change[~inside].mean())

    actual = gap(np.flatnonzero(treated))
    values = [gap(own) for own in combinations(range(len(change)), int(treated.sum()))]
    return np.mean(np.array(values) >= actual * (1 - 1e-9))


def beside(result):
    """The p beside each event."""
    return {
        key["event"]: item.details.get("permutation_p")
        for key, item in zip(result.estimates.keys, result.estimates, strict=True)
    }


TWO = panel(frame(n=20, periods=9, cohorts={5: 2}, seed=7))


@pytest.mark.parametrize(
    ("options", "bins", "base"),
    [
        ({"leads": 3, "lags": 2}, {-3: slice(0, 3), 2: slice(7, 9)}, slice(4, 5)),
        ({"leads": 2, "lags": 1, "reference": -1}, {-2: slice(0, 4), 1: slice(6, 9)}, slice(4, 5)),
        ({"reference": -2, "leads": 4, "lags": 3}, {-4: slice(0, 2), 3: slice(8, 9)}, slice(3, 4)),
        # the reference itself stands for all periods before treatment
        ({"leads": 1, "lags": 0}, {0: slice(5, 9)}, slice(0, 5)),
        ({"leads": 1}, {0: slice(5, 6), 3: slice(8, 9)}, slice(0, 5)),
    ],
)
def test_pooled_ends_have_the_permutation_of_their_mean(options, bins, base):
    found = beside(we.did.event_study(TWO, **options))
    y, treated = TWO.outcomes, TWO.adopted == 5
    for event, periods in bins.items():
        change = y[:, periods].mean(axis=1) - y[:, base].mean(axis=1)
        assert found[event] == pytest.approx(share(change, treated), abs=1e-12), event
    if 1 in found and 1 not in bins:
        single = y[:, 6] - y[:, base].mean(axis=1)
        assert found[1] == pytest.approx(share(single, treated), abs=1e-12)


def test_the_end_after_treatment_is_the_two_way_effect_where_both_ends_are_pooled():
    # means after and before: the coefficient is the difference in differences, and so is what is permuted
    ends = we.did.event_study(TWO, leads=1, lags=0)
    few = we.did.few_treated(TWO, methods=("permutation",))
    assert ends.estimates[0].estimate == pytest.approx(few.overall.estimate, rel=1e-10)
    assert beside(ends)[0] == pytest.approx(few.overall.p_value, abs=1e-12)


def test_ends_that_enough_are_seen_at_have_none_and_those_of_few_theirs():
    # six of 2014 reach events -2 to 5, two of 2018 events -6 to 1
    source = panel(frame(n=24, cohorts={2: 6, 6: 2}))
    whole = we.did.event_study(source, leads=2, lags=1)
    assert set(beside(whole).values()) == {None}
    assert not any("Fewer than 5" in note for note in whole.notes)
    early = we.did.event_study(source, leads=5, lags=1)
    found = beside(early)
    assert [event for event, p in found.items() if p is not None] == [-5, -4, -3]
    assert any("Fewer than 5 treated are seen at events -5, -4 and -3:" in note for note in early.notes)
    kept = source.adopted != 2
    y, treated = source.outcomes[kept], source.adopted[kept] == 6
    change = y[:, :2].mean(axis=1) - y[:, 5]
    assert found[-5] == pytest.approx(share(change, treated), abs=1e-12)


@pytest.mark.parametrize(
    ("verb", "options", "base"),
    [
        ("extended_twfe", {}, None),
        ("extended_twfe", {"control": "never", "reference": -2}, -2),
        ("sun_abraham", {}, -1),
    ],
)
def test_cells_have_the_permutation_of_their_own_change(verb, options, base):
    source = panel(frame(n=22, cohorts={4: 2, 6: 7}))
    result = getattr(we.did, verb)(source, **options)
    kept = source.adopted != 6
    y, treated = source.outcomes[kept], source.adopted[kept] == 4
    seen = 0
    for key, item in zip(result.cells.keys, result.cells, strict=True):
        if key["cohort"] == 2018:
            assert "permutation_p" not in item.details
            continue
        before = y[:, :4].mean(axis=1) if base is None else y[:, 4 + base]
        change = y[:, 4 + key["event"]] - before
        assert item.details["permutation_p"] == pytest.approx(share(change, treated), abs=1e-12)
        seen += 1
    assert seen >= 4
    # and the cohort's row that of its whole effect
    cohort = next(
        item for key, item in zip(result.by_cohort.keys, result.by_cohort, strict=True) if key["cohort"] == 2016
    )
    ps = {round(item.details["permutation_p"], 9) for item in result.cells if "permutation_p" in item.details}
    assert len(ps) > 1
    assert 0 < cohort.details["permutation_p"] <= 1
