"""A planted anticipation biases every estimator on the plain panel, and none on the masked one."""

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.errors import DesignError

EFFECT, EARLY, AHEAD = 2.0, 1.0, 2


def frame(*, n=120, periods=14, noise=0.0, seed=3, starts=(2008, 2010), ahead=AHEAD):
    """Units of which a third is treated, with half of the effect in the periods just before."""
    rng = np.random.default_rng(seed)
    start = np.array([starts[i % len(starts)] if i < n // 3 else 0 for i in range(n)])
    year = 2000 + np.arange(periods)
    event = year - start[:, None]
    treated = start[:, None] > 0
    effect = treated * (EFFECT * (event >= 0) + EARLY * ((event < 0) & (event >= -ahead)))
    y = 5 * rng.normal(size=(n, 1)) + np.sin(year) + effect + noise * rng.normal(size=(n, periods))
    return pd.DataFrame(
        {
            "la": np.repeat(np.arange(n), periods),
            "year": np.tile(year, n),
            "rate": y.ravel(),
            "start": np.repeat(start, periods),
        }
    )


def panel_of(data):
    return we.Panel(data, unit="la", period="year", outcome="rate", cohort="start")


PLAIN = panel_of(frame())
MASKED = we.did.mask_periods(PLAIN, anticipation=AHEAD)
# what each needs on a masked panel, and the least bias without it
ESTIMATORS = {
    "two_way_fixed_effects": ({}, 0.25),
    "imputation": ({}, 0.25),
    "two_stage": ({}, 0.25),
    "extended_twfe": ({}, 0.25),
    "event_study": ({"reference": -1 - AHEAD}, 0.9),
    "sun_abraham": ({"reference": -1 - AHEAD}, 0.9),
    "stacked": ({"reference": -1 - AHEAD}, 0.9),
    "callaway_santanna": ({"anticipation": AHEAD}, 0.9),
}


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_anticipation_biases_the_plain_panel_and_not_the_masked_one(name):
    options, bias = ESTIMATORS[name]
    estimator = getattr(we.did, name)
    assert estimator(PLAIN).overall.estimate < EFFECT - bias
    result = estimator(MASKED, **options)
    assert result.overall.estimate == pytest.approx(EFFECT, abs=1e-9)
    assert result.overall.n == 120 * 14 - 40 * AHEAD or name in {"stacked", "callaway_santanna"}
    path = result.path
    if path is not None:
        assert path.estimates[path.post] == pytest.approx(EFFECT, abs=1e-9)
        # nothing is said of the periods taken out
        assert not {-1, -2} & set(path.events.tolist()) or name == "imputation"


def test_imputed_leads_are_of_the_periods_that_are_left():
    result = we.did.imputation(MASKED)
    assert set(result.path.events[result.path.events < 0].tolist()) <= {-3, -4, -5}


@pytest.mark.simulation
def test_intervals_on_the_masked_panel_hold_the_effect():
    """Twenty panels with noise: unbiased within three Monte Carlo errors where the plain estimate is off by many."""
    found = {name: [] for name in ("imputation", "callaway_santanna", "sun_abraham")}
    for seed in range(20):
        masked = we.did.mask_periods(panel_of(frame(n=60, noise=0.5, seed=seed)), anticipation=AHEAD)
        for name, values in found.items():
            values.append(getattr(we.did, name)(masked, **ESTIMATORS[name][0]).overall)
    for values in found.values():
        estimates = np.array([item.estimate for item in values])
        assert abs(estimates.mean() - EFFECT) < 3 * estimates.std(ddof=1) / np.sqrt(20)
        assert sum(item.ci_low < EFFECT < item.ci_high for item in values) >= 15


def test_callaway_and_santanna_need_no_mask_for_effects_after_treatment():
    plain = we.did.callaway_santanna(PLAIN, anticipation=AHEAD)
    masked = we.did.callaway_santanna(MASKED, anticipation=AHEAD)
    assert masked.overall.estimate == pytest.approx(plain.overall.estimate, abs=1e-12)
    assert masked.overall.se == pytest.approx(plain.overall.se, abs=1e-12)


def test_the_mask_says_what_to_compare_with():
    words = MASKED.findings[-1].message
    assert "compare with event -3" in words
    assert "anticipation=2 in callaway_santanna and compare" in words


@pytest.mark.parametrize("name", ["event_study", "stacked"])
def test_a_reference_that_was_taken_out_names_the_one_before(name):
    with pytest.raises(DesignError, match="reference=-3"):
        getattr(we.did, name)(MASKED)


def test_cohorts_without_their_reference_name_the_one_before():
    for estimator, options in ((we.did.sun_abraham, {}), (we.did.extended_twfe, {"control": "never"})):
        with pytest.raises(DesignError, match="reference=-3, or control='not_yet'"):
            estimator(MASKED, **options)
    with pytest.raises(DesignError, match="anticipation= that a panel was masked for"):
        _ = we.did.callaway_santanna(MASKED).overall


def test_estimators_that_need_every_cell_name_the_way_out():
    one = panel_of(frame(n=45, starts=(2008,)))
    masked = we.did.mask_periods(one, anticipation=AHEAD)
    for name, options in (
        ("bacon_decomposition", {}),
        ("synthetic_did", {"rng": 1, "draws": 19}),
        ("synthetic_control", {"rng": 1, "draws": 19}),
    ):
        with pytest.raises(DesignError, match="with_adopted"):
            getattr(we.did, name)(masked, **options)
        forward = one.with_adopted(np.where(one.adopted < one.n_periods, one.adopted - AHEAD, one.n_periods))
        found = getattr(we.did, name)(forward, **options).overall
        # two periods of half the effect among eight treated ones
        assert found.estimate == pytest.approx((6 * EFFECT + 2 * EARLY) / 8, abs=0.3)
    with pytest.raises(DesignError, match=r"panel\.without"):
        we.did.bacon_decomposition(panel_of(frame().drop(index=5)))


def test_compare_on_the_masked_panel_has_every_estimator_unbiased():
    found = we.did.compare(MASKED, anticipation=AHEAD, methods=(), sensitivity=False)
    assert [key["estimator"] for key in found.estimates.keys] == [
        "callaway_santanna",
        "sun_abraham",
        "imputation",
        "extended_twfe",
        "two_way_fixed_effects",
    ]
    assert [row.estimate for row in found.estimates] == pytest.approx([EFFECT] * 5, abs=1e-9)
    plain = we.did.compare(PLAIN, anticipation=AHEAD, methods=(), sensitivity=False)
    assert [row.estimate for row in plain.estimates][:2] == pytest.approx([EFFECT] * 2, abs=1e-9)
    assert any("mask_periods" in note for note in plain.notes)
    # without anticipation= two of them have no base, which the notes say, and the others stand
    left = we.did.compare(MASKED, methods=(), sensitivity=False)
    assert len(left.estimates) == 3
    assert sum("could not be had" in note for note in left.notes) == 2


def test_findings_after_a_mask_are_of_what_is_left():
    rows = [(f"LA{a}", y, 1.0 * a + y % 3 + a * y % 7) for a in range(8) for y in range(2012, 2020)]
    data = pd.DataFrame(rows, columns=["la", "year", "rate"]).astype({"rate": object})
    data["start"] = np.where(data["la"] == "LA1", 2016, 0)
    data = data[
        ~((data["la"] == "LA3") & (data["year"] < 2015)) & ~((data["la"] == "LA4") & (data["year"] == 2014))
    ]
    data.loc[(data["la"] == "LA5") & (data["year"] == 2018), "rate"] = "c"
    panel = we.Panel(data, unit="la", period="year", outcome="rate", cohort="start")
    before = [problem.message for problem in panel.findings]
    assert any("1 unit begins after 2012" in text for text in before)
    for part in (we.did.mask_periods(panel, [2012, 2013, 2014, 2015]), panel.between(2016, 2019)):
        after = [problem.message for problem in part.findings]
        assert not any("begins after" in text or "LA4" in text for text in after)
        assert any("1 of 32 cells" in text for text in after)
        assert any("'c' (suppressed)" in text for text in after)
        assert any("treated in every period" in text and "LA1" in text for text in after)


def test_the_figure_of_a_comparison_has_the_intervals_of_its_tables():
    found = we.did.compare(panel_of(frame(n=60, noise=0.5, seed=1)), draws=99, rng=1, level=0.8, sensitivity=False)
    ax = found.plot_events()
    assert "80% intervals" in ax.get_ylabel()
    name, result = next((n, r) for n, r in found.results.items() if n == "sun_abraham")
    drawn = ax.collections[[n for n, r in found.results.items() if r.path is not None].index(name)]
    ends = np.array([segment[:, 1] for segment in drawn.get_segments()])
    np.testing.assert_allclose(ends[:, 0], result.estimates.to_frame()["ci_low"], rtol=1e-9)
    np.testing.assert_allclose(ends[:, 1], result.estimates.to_frame()["ci_high"], rtol=1e-9)


def test_what_does_nothing_is_said():
    assert "nothing was taken out" in we.did.mask_periods(PLAIN).findings[-1].message
    assert we.did.callaway_santanna(PLAIN, method="ipw").notes[0] == "method is not used: no covariates are named."
    assert "not used" not in str(we.did.callaway_santanna(PLAIN))
