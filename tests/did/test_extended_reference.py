"""The reference event of the extended model: that of Sun and Abraham for every event, and exact ratios of counts."""

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.errors import DesignError


def rows(seed=4, *, n=24, T=8, starts=(4, 6), vary=False):
    """Rates and counts of authorities of which two thirds begin in two waves; populations may change over the years."""
    rng = np.random.default_rng(seed)
    start = np.where(np.arange(n) % 3 < 2, np.array(starts)[np.arange(n) % 3 % 2], 0)
    t = np.arange(1, T + 1)
    on = (start[:, None] > 0) & (t >= start[:, None])
    children = rng.uniform(500, 5_000, (n, 1)).round() * (
        rng.uniform(0.8, 1.2, (n, T)) if vary else np.ones((n, T))
    )
    mean = children * np.exp(-3 + rng.normal(0, 0.3, (n, 1)) + 0.05 * t - 0.2 * on)
    return pd.DataFrame(
        {
            "la": np.repeat([f"LA {k:02d}" for k in range(n)], T),
            "year": np.tile(2010 + t, n),
            "rate": (60 + rng.normal(0, 5, (n, 1)) + 0.4 * t - 2.0 * on + rng.normal(size=(n, T))).ravel(),
            "starts": rng.poisson(mean).ravel(),
            "children": children.ravel(),
            "joined": np.repeat(np.where(start > 0, 2010 + start, 0), T),
        }
    )


def read(data, outcome="rate", **options):
    return we.Panel(data, unit="la", period="year", outcome=outcome, cohort="joined", **options)


COMMON = range(-3, 3)
"""Events at which both cohorts are seen."""


@pytest.mark.parametrize("reference", COMMON)
def test_every_reference_gives_the_numbers_of_sun_and_abraham(reference):
    panel = read(rows())
    extended = we.did.extended_twfe(panel, control="never", reference=reference)
    interacted = we.did.sun_abraham(panel, reference=reference)
    assert extended.path.reference == reference
    assert f"never treated, reference event {reference}" in extended.method
    for name in ("estimates", "by_cohort", "cells"):
        ours, theirs = getattr(extended, name), getattr(interacted, name)
        assert ours.keys == theirs.keys
        for field in ("estimate", "se", "df"):
            assert [getattr(item, field) for item in ours] == pytest.approx(
                [getattr(item, field) for item in theirs], rel=1e-10, abs=1e-12
            )
    assert extended.overall.estimate == pytest.approx(interacted.overall.estimate, rel=1e-10)
    assert extended.path.vcov == pytest.approx(interacted.path.vcov, rel=1e-9, abs=1e-12)


def test_the_period_before_is_the_reference_where_nothing_is_said():
    panel = read(rows())
    plain, named = (we.did.extended_twfe(panel, control="never", **given) for given in ({}, {"reference": -1}))
    assert plain.overall == named.overall
    assert (plain.path.reference, we.did.extended_twfe(panel).path.reference) == (-1, None)


@pytest.mark.parametrize("reference", COMMON)
def test_ratios_of_counts_are_ratios_of_sums_for_every_reference(reference):
    data = rows()
    panel = read(data, "starts", exposure="children")
    found = we.did.extended_twfe(panel, family="poisson", control="never", reference=reference)
    # populations that do not change: the fit is that of the sums of each cohort and year
    sums = data.pivot_table(index="joined", columns="year", values="starts", aggfunc="sum")
    cells = {
        (key["cohort"], key["period"]): item.estimate
        for key, item in zip(found.ratios.keys, found.ratios, strict=True)
        if key["period"] is not None
    }
    assert len(cells) == 2 * 7
    for (cohort, year), ratio in cells.items():
        change, never = (sums.loc[row, year] / sums.loc[row, cohort + reference] for row in (cohort, 0))
        assert ratio == pytest.approx(change / never, rel=1e-8)
    after = [(cohort, year) for cohort, year in cells if year >= cohort]
    without = {cell: sums.loc[cell] / cells[cell] for cell in after}
    total = sum(sums.loc[cell] for cell in after)
    assert found.ratios[0].estimate == pytest.approx(total / sum(without.values()), rel=1e-8)
    assert found.path.reference == reference
    assert reference not in found.path.events


def test_ratios_are_those_of_a_generalised_linear_model_with_every_effect_as_a_column():
    sm = pytest.importorskip("statsmodels.api")
    data = rows(vary=True)
    panel = read(data, "starts", exposure="children")
    found = we.did.extended_twfe(panel, family="poisson", control="never", reference=-2)
    event = data["year"] - data["joined"]
    keys = [key for key in found.ratios.keys if key["period"] is not None]
    hits = [(data["joined"] == key["cohort"]) & (data["year"] == key["period"]) for key in keys]
    assert not any((event[hit] == -2).any() for hit in hits)
    columns = np.column_stack(
        [*hits, pd.get_dummies(data["la"]), pd.get_dummies(data["year"], drop_first=True)]
    ).astype(float)
    fit = sm.GLM(data["starts"], columns, sm.families.Poisson(), exposure=data["children"]).fit(tol=1e-12)
    assert [item.estimate for item in found.ratios][-len(keys) :] == pytest.approx(
        np.exp(np.asarray(fit.params)[: len(keys)]), rel=1e-7
    )


def test_a_reference_goes_with_the_never_treated_and_must_be_seen_by_every_cohort():
    panel = read(rows())
    with pytest.raises(DesignError, match="reference == -1 goes with control='never'"):
        we.did.extended_twfe(panel, reference=-1)
    for estimator, options in ((we.did.sun_abraham, {}), (we.did.extended_twfe, {"control": "never"})):
        with pytest.raises(DesignError, match="not seen at event -5"):
            estimator(panel, reference=-5, **options)
