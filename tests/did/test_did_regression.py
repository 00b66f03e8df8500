"""What the regression estimators refuse, say, draw and recover."""

import math

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError


def made(effect, *, n=20, T=8, starts=(4, 6), share=2, noise=0.0, seed=0, never=True):
    """A panel in which treatment adds ``effect(event, x)``; x is fixed and bends the trends."""
    rng = np.random.default_rng(seed)
    start = np.array([starts[i % len(starts)] if i % share == 0 or not never else 0 for i in range(n)])
    if never and len(starts) > 1:
        start = np.where(start > 0, np.array(starts)[(np.arange(n) // share) % len(starts)], 0)
    t, x = np.arange(1, T + 1), rng.normal(size=n)
    event = t - start[:, None]
    on = (start[:, None] > 0) & (event >= 0)
    y = rng.normal(size=(n, 1)) + np.sin(t) + on * effect(event, x[:, None]) + noise * rng.normal(size=(n, T))
    return pd.DataFrame(
        {
            "la": np.repeat(np.arange(n), T),
            "year": np.tile(2010 + t, n),
            "rate": y.ravel(),
            "start": np.repeat(np.where(start > 0, start + 2010, 0), T),
            "x": np.repeat(x, T),
        }
    )


def panel_of(data, **options):
    names = {"unit": "la", "period": "year", "outcome": "rate", "cohort": "start"}
    return we.Panel(data, **{**names, **options})


GROWING = panel_of(made(lambda e, x: 1.0 + e))
NOISY = panel_of(made(lambda e, x: 1.0 + e, noise=0.5))


# --- what they recover


def test_effects_that_grow_are_recovered_exactly_but_by_two_way_fixed_effects():
    for name in ("sun_abraham", "extended_twfe", "imputation", "two_stage"):
        result = getattr(we.did, name)(GROWING)
        after = result.path.post
        assert result.path.estimates[after] == pytest.approx(1.0 + result.path.events[after], abs=1e-9)
        if name != "two_stage":
            assert result.path.estimates[~after] == pytest.approx(0.0, abs=1e-9)
        cells = np.array([key["event"] for key in result.cells.keys])
        size = {2014: 5, 2016: 5}
        weight = np.array([size[key["cohort"]] if key["event"] >= 0 else 0 for key in result.cells.keys])
        assert result.overall.estimate == pytest.approx((weight * (1.0 + cells)).sum() / weight.sum(), abs=1e-9)
    assert we.did.two_way_fixed_effects(GROWING).overall.estimate < result.overall.estimate - 0.2


def test_any_event_may_be_the_reference():
    base, other = we.did.event_study(NOISY), we.did.event_study(NOISY, reference=-3)
    value = dict(zip(base.path.events.tolist(), base.path.estimates, strict=True)) | {-1: 0.0}
    found = dict(zip(other.path.events.tolist(), other.path.estimates, strict=True))
    assert found == pytest.approx({event: value[event] - value[-3] for event in value if event != -3}, abs=1e-10)
    assert other.path.reference == -3


def test_pooled_ends_of_an_event_study():
    result = we.did.event_study(NOISY, leads=3, lags=2)
    assert result.estimates.terms == (
        "event[-3 or earlier]",
        "event[-2]",
        "event[0]",
        "event[1]",
        "event[2 or later]",
    )
    table = result.estimates.to_frame()
    assert table["event"].tolist() == [-3, -2, 0, 1, 2]
    alone = we.did.event_study(NOISY, leads=1, lags=0)
    assert alone.estimates.terms == ("event[0 or later]",)
    twfe = we.did.two_way_fixed_effects(NOISY).overall
    assert alone.overall.estimate == pytest.approx(twfe.estimate, rel=1e-10)
    assert alone.overall.se == pytest.approx(twfe.se, rel=1e-10)


def test_events_are_counted_in_time_not_in_rows():
    data = made(lambda e, x: 1.0 + e)
    gap = panel_of(data[data["year"] != 2013])
    path = we.did.sun_abraham(gap, reference=-2).path
    after = path.post
    assert path.estimates[after] == pytest.approx(1.0 + path.events[after], abs=1e-9)
    assert 7 not in path.events
    with pytest.raises(DesignError, match="not seen at event -1"):
        we.did.sun_abraham(gap)


def test_stacks_count_by_their_treated_units():
    panel = panel_of(made(lambda e, x: 1.0 + e, noise=0.5, n=30, starts=(4, 6)))
    result = we.did.stacked(panel, leads=2, lags=1)
    paths, sizes = [], []
    for first in (3, 5):
        keep = (panel.adopted == first) | (panel.adopted > first + 1)
        part = panel.without(panel.units[~keep]).between(2011 + first - 2, 2011 + first + 1)
        adopted = np.where(part.adopted == 2, 2, 4)
        paths.append(we.did.event_study(part.with_adopted(adopted)).path.estimates)
        sizes.append((panel.adopted == first).sum())
    assert sizes[0] != sizes[1]
    assert result.path.estimates == pytest.approx(np.average(paths, axis=0, weights=sizes), rel=1e-10)
    plain = we.did.stacked(panel, leads=2, lags=1, corrected=False)
    assert plain.path.estimates != pytest.approx(result.path.estimates, rel=1e-3)
    never = we.did.stacked(panel, leads=2, lags=1, control="never")
    assert never.overall.n < result.overall.n
    assert "cohorts of 2016" in we.did.stacked(panel, leads=2, lags=4).notes[-1]


def test_triple_difference_is_the_difference_of_two_event_studies():
    data = made(lambda e, x: 1.0 + e, noise=0.3, n=24)
    rng = np.random.default_rng(2)
    other = data.assign(rate=rng.normal(size=len(data)) + 0.2 * data["year"], young=0)
    both = pd.concat([data.assign(young=1), other])
    both = both.assign(group=both["la"].astype(str) + "-" + both["young"].astype(str))
    panel = panel_of(both, unit="group", cluster="la")
    result = we.did.triple_difference(panel, "young")
    eligible, others = we.did.sun_abraham(panel_of(data)), we.did.sun_abraham(panel_of(other))
    assert result.path.estimates == pytest.approx(eligible.path.estimates - others.path.estimates, rel=1e-9)
    # within areas the difference of the two groups is one outcome, and the errors are those of its event study
    gap = data.assign(rate=data["rate"].to_numpy() - other["rate"].to_numpy())
    single = we.did.sun_abraham(panel_of(gap), vcov="CR0")
    assert we.did.triple_difference(panel, "young", vcov="CR0").path.se == pytest.approx(single.path.se, rel=1e-9)
    with pytest.raises(DesignError, match="must be 0 or 1"):
        we.did.triple_difference(panel, "x")
    alone = both[(both["young"] == 1) | (both["start"] == 0)]
    with pytest.raises(DesignError, match="no unit with young == 0"):
        we.did.triple_difference(panel_of(alone, unit="group"), "young")
    moving = both.assign(young=both["young"] * (both["year"] > 2012))
    with pytest.raises(DesignError, match="changes within unit"):
        we.did.triple_difference(panel_of(moving, unit="group"), "young")


def test_extended_model_with_a_covariate_that_bends_trends_and_effects():
    data = made(lambda e, x: 2.0 + e + 0.5 * x)
    data["rate"] += 0.3 * data["x"] * (data["year"] - 2010) ** 1.5
    panel = panel_of(data)
    size = data.groupby("la").first()
    result = we.did.extended_twfe(panel, covariates="x")
    for key, item in zip(result.cells.keys, result.cells, strict=True):
        mean = size.loc[size["start"] == key["cohort"], "x"].mean()
        assert item.estimate == pytest.approx(2.0 + key["event"] + 0.5 * mean, abs=1e-8)
    assert abs(we.did.extended_twfe(panel).overall.estimate - result.overall.estimate) > 0.01
    lone = data[~data["la"].isin(size.index[size["start"] == 2016][1:])]
    notes = we.did.extended_twfe(panel_of(lone), covariates="x").notes
    assert any("2016 has too few units for slopes" in note for note in notes)


# --- Poisson


def counts(seed=1, n=16, T=6, scale=40.0):
    rng = np.random.default_rng(seed)
    start = np.where(np.arange(n) % 2 == 0, 4, 0)
    start[:4:2] = 5
    t = np.arange(1, T + 1)
    on = (start[:, None] > 0) & (t >= start[:, None])
    exposure = rng.uniform(0.5, 2.0, (n, T))
    mean = scale * exposure * np.exp(rng.normal(0, 0.3, (n, 1)) + 0.1 * t - 0.25 * on)
    return pd.DataFrame(
        {
            "la": np.repeat(np.arange(n), T),
            "year": np.tile(t, n),
            "rate": rng.poisson(mean).ravel(),
            "exact": mean.ravel(),
            "start": np.repeat(start, T),
            "children": exposure.ravel(),
        }
    )


def test_poisson_recovers_ratios_and_counts_that_hold_exactly():
    result = we.did.extended_twfe(panel_of(counts(), outcome="exact", exposure="children"), family="poisson")
    assert [item.estimate for item in result.ratios] == pytest.approx(
        [math.exp(-0.25)] * len(result.ratios), rel=1e-9
    )
    assert result.overall.scale == "rate_difference"
    assert result.ratios[0].scale == "rate_ratio"
    data = counts()
    on = (data["start"] > 0) & (data["year"] >= data["start"])
    without = data.loc[on, "exact"] * (1 - math.exp(0.25))
    assert result.overall.estimate == pytest.approx(without.sum() / data.loc[on, "children"].sum(), rel=1e-9)
    assert result.count.estimate == pytest.approx(without.mean(), rel=1e-9)
    simple = we.did.two_way_fixed_effects(panel_of(data, outcome="exact", exposure="children"), family="poisson")
    assert simple.overall.estimate == pytest.approx(math.exp(-0.25), rel=1e-10)


def test_delta_errors_of_the_poisson_model_are_those_of_all_coefficients():
    data = counts(n=10)
    result = we.did.extended_twfe(panel_of(data, exposure="children"), family="poisson", vcov="CR0")
    cells = [(key["cohort"], key["period"]) for key in result.cells.keys]
    hits = np.column_stack([(data["start"] == c) & (data["year"] == p) for c, p in cells]).astype(float)
    Z = np.hstack([hits, np.eye(10)[data["la"]], np.eye(6)[data["year"] - 1][:, 1:]])
    y, size = data["rate"].to_numpy(), data["children"].to_numpy()
    theta = np.zeros(Z.shape[1])
    theta[hits.shape[1] : hits.shape[1] + 10] = math.log(y.sum() / size.sum())
    for _ in range(40):
        mean = size * np.exp(Z @ theta)
        theta = theta + np.linalg.solve((Z * mean[:, None]).T @ Z, Z.T @ (y - mean))
    score = np.add.reduceat(Z * (y - size * np.exp(Z @ theta))[:, None], np.arange(0, 60, 6), axis=0)
    bread = np.linalg.inv((Z * mean[:, None]).T @ Z)
    on, bare = hits.any(axis=1), np.hstack([0 * hits, Z[:, hits.shape[1] :]])

    def values(theta):
        with_, without = size * np.exp(Z @ theta), size * np.exp(bare @ theta)
        return np.array(
            [(with_ - without)[on].sum() / size[on].sum(), math.log(with_[on].sum() / without[on].sum())]
        )

    step = 1e-5
    shift = step * np.eye(len(theta))
    gradient = np.array([(values(theta + h) - values(theta - h)) / (2 * step) for h in shift])
    se = np.sqrt(np.diag(gradient.T @ bread @ score.T @ score @ bread @ gradient))
    assert result.overall.estimate == pytest.approx(values(theta)[0], rel=1e-9)
    assert result.overall.se == pytest.approx(se[0], rel=1e-6)
    assert result.ratios[0].se == pytest.approx(se[1], rel=1e-6)


def test_poisson_leaves_out_units_without_events_and_refuses_what_has_no_optimum():
    data = counts()
    empty = data.assign(rate=data["rate"].where(data["la"] != 3, 0))
    result = we.did.extended_twfe(panel_of(empty, exposure="children"), family="poisson")
    assert "without any event left out" in " ".join(result.notes)
    assert result.overall.n == len(data) - 6
    none = data.assign(rate=data["rate"].where(~((data["start"] == 5) & (data["year"] == 6)), 0))
    with pytest.raises(DesignError, match=r"no event in the cells of 'cohort\[5\] period\[6\]'"):
        we.did.extended_twfe(panel_of(none, exposure="children"), family="poisson")
    with pytest.raises(DataError, match="counts of at least 0"):
        we.did.two_way_fixed_effects(panel_of(data.assign(rate=data["rate"] - 100.0)), family="poisson")
    for vcov in ("CR2", "CR3", "HC1"):
        with pytest.raises(DesignError, match=vcov):
            we.did.extended_twfe(panel_of(data, exposure="children"), family="poisson", vcov=vcov)
    with pytest.raises(DesignError, match="family"):
        we.did.extended_twfe(panel_of(data), family="binomial")


# --- what they leave out and refuse


def test_without_never_treated_units_the_last_cohort_is_the_control():
    panel = panel_of(made(lambda e, x: 1.0 + e, never=False, share=1))
    for name in ("sun_abraham", "imputation", "extended_twfe", "two_stage"):
        result = getattr(we.did, name)(panel)
        assert result.path.events.max() == 1
        after = result.path.post
        assert result.path.estimates[after] == pytest.approx(1.0 + result.path.events[after], abs=1e-9)
        assert "left out" in " ".join(result.notes)
        assert set(result.by_cohort.to_frame()["cohort"]) == {2014}
    with pytest.raises(DesignError, match="not identified"):
        we.did.event_study(panel)
    pooled = we.did.event_study(panel, leads=2)
    assert pooled.path.events.min() == -2


def test_always_treated_units_and_covariates_with_gaps_are_left_out_and_named():
    data = made(lambda e, x: 1.0 + e)
    always = data.assign(start=data["start"].where(data["la"] != 1, 2005))
    result = we.did.imputation(panel_of(always))
    assert "1 unit (1) treated in every period left out" in result.notes[0]
    assert we.did.two_way_fixed_effects(panel_of(always)).overall.n == len(data)
    assert any(
        row["type"] == "later vs always treated" for row in we.did.bacon_decomposition(panel_of(always)).to_dicts()
    )
    moving = data.assign(z=np.random.default_rng(1).normal(size=len(data)))
    moving.loc[[3, 40], "z"] = np.nan
    result = we.did.two_way_fixed_effects(panel_of(moving), covariates="z")
    assert result.overall.n == len(data) - 2
    assert "2 cells without z left out." in result.notes
    assert result.estimates.terms == ("treated", "z")


def test_bacon_weights_hold_with_always_treated_units_and_unit_weights():
    data = made(lambda e, x: 1.0 + e, noise=0.4)
    always = data.assign(start=data["start"].where(data["la"] != 1, 2005), weight=1.0 + data["la"] % 3)
    result = we.did.bacon_decomposition(panel_of(always, weights="weight"))
    weight, value = (np.array(result.estimates.column(name)) for name in ("weight", "estimate"))
    assert (weight * value).sum() == pytest.approx(result.overall.estimate, rel=1e-10)
    assert weight.sum() == pytest.approx(1.0)
    assert 0 < result.forbidden_weight < 1
    assert "treated already" in str(result)


def test_what_cannot_be_estimated_is_refused_with_the_way_out():
    data = made(lambda e, x: 1.0 + e, noise=0.3)
    hole = panel_of(data.drop(index=5))
    with pytest.raises(DesignError, match="has missing cells"):
        we.did.bacon_decomposition(hole)
    with pytest.raises(DesignError, match="2 treated cohorts"):
        we.did.two_by_two(GROWING)
    with pytest.raises(DesignError, match="no unit of the panel becomes treated"):
        we.did.imputation(panel_of(data.assign(start=0)))
    with pytest.raises(DesignError, match="needs a Panel"):
        we.did.sun_abraham(data)
    with pytest.raises(DesignError, match="repeated cross-sections"):
        we.did.event_study(panel_of(data, unit=None))
    with pytest.raises(DesignError, match="is no event of the panel"):
        we.did.event_study(NOISY, reference=-40)
    with pytest.raises(DesignError, match="pooled end"):
        we.did.event_study(NOISY, reference=-2, leads=2)
    with pytest.raises(DesignError, match="called 'classical'"):
        we.did.event_study(NOISY, vcov="iid")
    with pytest.raises(DesignError, match="did you mean 'CR1S'"):
        we.did.sun_abraham(NOISY, vcov="cr1s")
    with pytest.raises(DesignError, match="needs clustered errors"):
        we.did.sun_abraham(NOISY, vcov="HC1", df="satterthwaite")
    with pytest.raises(DesignError, match="'x'"):
        we.did.two_way_fixed_effects(NOISY, covariates="x")
    with pytest.raises(DesignError, match="not identified among untreated cells"):
        we.did.imputation(NOISY, "x")
    with pytest.raises(DesignError, match="leads == 9, must be <= 4"):
        we.did.imputation(NOISY, leads=9)
    with pytest.raises(DesignError, match="no cohort has all events"):
        we.did.stacked(NOISY, leads=6, lags=6)


def test_few_treated_units_are_said_beside_every_estimate_that_rests_on_them():
    data = made(lambda e, x: 1.0 + e, noise=0.3)
    first = data.groupby("la")["start"].first()
    lone = data[~data["la"].isin(first.index[first == 2016][1:])]
    result = we.did.imputation(panel_of(lone))
    assert result.overall.warnings == ()
    early, late = result.by_cohort
    assert early.warnings == ()
    assert "1 treated cluster: conventional errors are far too small" in late.warnings[0]
    alone = we.did.imputation(panel_of(lone), leave_one_out=True)
    assert math.isnan(alone.overall.se)
    assert early.se > 0
    assert any("no leave-one-out error" in note for note in alone.notes)
    one = panel_of(lone[~lone["la"].isin(first.index[first == 2014])])
    void = we.did.two_way_fixed_effects(one, vcov="CR3").overall
    assert "fitted exactly, such as the only one of its cohort: no error is given" in " ".join(void.warnings)
    assert math.isnan(void.se)
    assert len(we.did.two_way_fixed_effects(one).overall.warnings) == 1
    mixed = we.did.sun_abraham(panel_of(lone), vcov="CR2")
    assert "% of the variance." in mixed.overall.warnings[0]
    assert mixed.overall.se > 0
    assert [math.isnan(item.se) for item in mixed.by_cohort] == [False, True]
    assert we.did.sun_abraham(NOISY, vcov="CR2").overall.warnings == ()
    few = lone[~lone["la"].isin(first.index[first == 2014][1:])]
    assert (
        "2 treated clusters: conventional errors are far too small"
        in we.did.event_study(panel_of(few)).overall.warnings[0]
    )


# --- how they show


@pytest.mark.parametrize(
    "name", ["two_way_fixed_effects", "event_study", "imputation", "bacon_decomposition", "stacked"]
)
def test_results_render_and_draw(name):
    result = getattr(we.did, name)(NOISY)
    assert result.overall.term in str(result) or name == "bacon_decomposition"
    assert "<table>" in result._repr_html_()
    frame = result.to_frame()
    assert len(frame) == len(result.to_dicts())
    ax = result.plot()
    assert ax.get_xlabel()
    assert "rate" in ax.get_xlabel() + ax.get_ylabel()
    assert result.plot(ax) is ax
    if name == "event_study":
        assert list(frame.columns[:2]) == ["event", "term"]
        assert frame["term"][0] == "mean effect after treatment"


def test_influence_adds_up_to_the_covariance():
    for name in (
        "two_way_fixed_effects",
        "event_study",
        "sun_abraham",
        "extended_twfe",
        "imputation",
        "two_stage",
    ):
        result = getattr(we.did, name)(NOISY)
        se = [result.overall.se, *(item.se for item in result.estimates)]
        assert np.sqrt((result.influence**2).sum(axis=0)) == pytest.approx(se, rel=1e-9)
        assert result.influence.shape[0] == NOISY.n_clusters
    assert we.did.two_way_fixed_effects(NOISY, vcov="HC1").influence is None


# --- simulation


@pytest.mark.simulation
def test_intervals_cover_a_growing_effect():
    rng = np.random.default_rng(20261127)
    n, T, reps = 60, 8, 150
    adopted = np.r_[np.repeat([3, 5], 15), np.full(30, T)]
    data = made(lambda e, x: 1.0 + e, n=n, T=T)
    panel = panel_of(data).with_adopted(adopted.astype(np.int64))
    event = np.arange(T) - adopted[:, None]
    effect = np.where((adopted < T)[:, None] & (event >= 0), 1.0 + event, 0.0)
    truth = effect[panel.treated].mean()
    inside = dict.fromkeys(("imputation", "sun_abraham", "two_way_fixed_effects"), 0)
    for _ in range(reps):
        noise = rng.normal(size=(n, T))
        for t in range(1, T):
            noise[:, t] += 0.5 * noise[:, t - 1]
        one = panel.with_outcomes(effect + noise)
        for name in inside:
            found = getattr(we.did, name)(one).overall
            inside[name] += found.ci_low <= truth <= found.ci_high
    # three Monte Carlo errors of 95%, with 30 treated of 60 clusters
    for name in ("imputation", "sun_abraham"):
        assert 0.95 - 0.054 < inside[name] / reps <= 1.0
    assert inside["two_way_fixed_effects"] / reps < 0.85
