"""Few treated clusters: every method against its definition."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from few_panels import la_frame, ols, panel_of
from hypothesis import given, settings
from hypothesis import strategies as st

import wwc_eval as we
from wwc_eval.did.few_permutation import permuted
from wwc_eval.did.few_reference import permutations
from wwc_eval.did.few_resampling import variance_of_population
from wwc_eval.did.few_statistic import Statistic
from wwc_eval.did.few_wild import effect_fit, panel_moments
from wwc_eval.did.two_way import two_way_fixed_effects
from wwc_eval.errors import DataError, DesignError
from wwc_eval.inference.wild import draw_weights, wild_test

CASES = {
    "one date": {"treated": ((2, 4), (5, 4))},
    "staggered": {"treated": ((2, 3), (5, 4), (9, 4), (11, 6))},
    "missing cells": {"treated": ((2, 3), (5, 5)), "missing": 0.1},
    "weights": {"treated": ((2, 3), (5, 5)), "weights": True},
    "weights and missing cells": {"treated": ((2, 3), (5, 5), (8, 5)), "weights": True, "missing": 0.1},
}


def adoptions(panel, codes, statistic):
    T = panel.n_periods
    return np.r_[T, statistic.dates][codes][statistic.blocks]


# --- permutation


@pytest.mark.parametrize("case", CASES)
def test_permuted_effects_equal_refits(case):
    panel = panel_of(la_frame(n=16, **CASES[case]))
    statistic = Statistic.of(panel, "two_way_fixed_effects")
    assert statistic.estimate == pytest.approx(ols(panel, panel.adopted)[0], rel=1e-10)
    reference = permutations(statistic, 60, 3)
    pick = np.linspace(0, len(reference.codes) - 1, 12).astype(int)
    found = statistic.scores().at(reference.codes[pick], studentised=True)
    for k, row in enumerate(reference.codes[pick]):
        beta, x, e, unit = ols(panel, adoptions(panel, row, statistic))
        assert found.estimates[k] == pytest.approx(beta, rel=1e-9, abs=1e-10)
        square = (np.bincount(unit, x * e) ** 2).sum() / (x @ x) ** 2
        assert found.squares[k, 0] == pytest.approx(square, rel=1e-9)


def test_a_constant_effect_moves_permuted_effects_and_errors_as_said():
    for case in ("staggered", "weights and missing cells"):
        panel = panel_of(la_frame(n=16, **CASES[case]))
        statistic = Statistic.of(panel, "two_way_fixed_effects")
        codes = permutations(statistic, 30, 3).codes[:30]
        found = statistic.scores().at(codes, studentised=True)
        moved = panel.with_outcomes(panel.outcomes - 1.7 * panel.treated)
        other = Statistic.of(moved, "two_way_fixed_effects").scores().at(codes, studentised=True)
        assert np.allclose(other.estimates, found.estimates - 1.7 * found.moves, rtol=1e-9, atol=1e-11)
        square = found.squares @ np.array([1.0, 1.7, 1.7**2])
        assert np.allclose(other.squares[:, 0], square, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("studentised", [False, True])
def test_the_interval_holds_what_the_test_does_not_reject(studentised):
    panel = panel_of(la_frame(n=24, treated=((2, 4), (5, 4))))
    statistic = Statistic.of(panel, "two_way_fixed_effects")
    reference = permutations(statistic, 99, None)
    assert reference.exact
    assert len(reference.codes) == math.comb(24, 2)
    found = permuted(statistic, reference, 0.9, studentised=studentised)

    def p_at(effect):
        moved = panel.with_outcomes(panel.outcomes - effect * panel.treated)
        return permuted(
            Statistic.of(moved, "two_way_fixed_effects"), reference, 0.9, studentised=studentised
        ).p_value

    width = found.ci_high - found.ci_low
    for end, outward in ((found.ci_low, -1), (found.ci_high, 1)):
        assert p_at(end - outward * 1e-3 * width) > 0.1
        assert p_at(end + outward * 1e-3 * width) <= 0.1 + 1e-12


def test_one_treated_unit_has_the_p_value_of_its_rank():
    panel = panel_of(la_frame(n=40, treated=((3, 5),), effect=1.0))
    found = we.did.few_treated(panel, methods="permutation")
    effects = [ols(panel, np.where(np.arange(40) == k, 5, 8))[0] for k in range(40)]
    rank = sum(abs(effect) >= abs(effects[3]) * (1 - 1e-9) for effect in effects)
    assert found.overall.p_value == pytest.approx(rank / 40)
    assert found.overall.details["smallest_p_value"] == pytest.approx(1 / 40)


def test_every_arrangement_of_staggered_cohorts_is_listed_once():
    panel = panel_of(la_frame(n=7, treated=((1, 3), (4, 3), (5, 5))))
    reference = permutations(Statistic.of(panel, "two_way_fixed_effects"), 99, None)
    assert len(reference.codes) == math.factorial(7) // (math.factorial(4) * math.factorial(2))
    assert len(np.unique(reference.codes, axis=0)) == len(reference.codes)
    assert (np.sort(reference.codes, axis=1) == np.sort([0, 1, 0, 0, 1, 2, 0])).all()


def test_clusters_above_the_unit_are_permuted_whole():
    frame = la_frame(n=20, treated=((4, 4), (5, 4)), missing=0.05)
    panel = panel_of(frame, cluster="region")
    statistic = Statistic.of(panel, "two_way_fixed_effects")
    assert len(statistic.codes) == 10
    reference = permutations(statistic, 99, None)
    found = statistic.scores().at(reference.codes, studentised=True)
    for k, row in enumerate(reference.codes):
        beta, x, e, unit = ols(panel, adoptions(panel, row, statistic))
        assert found.estimates[k] == pytest.approx(beta, rel=1e-9)
        square = (np.bincount(panel.clusters[unit], x * e) ** 2).sum() / (x @ x) ** 2
        assert found.squares[k, 0] == pytest.approx(square, rel=1e-9)
    parts = Statistic.of(panel_of(la_frame(n=20, treated=((4, 4),)), cluster="region"), "two_way_fixed_effects")
    with pytest.raises(DesignError, match="units of one cluster"):
        permutations(parts, 99, None)


def test_the_imputation_effect_and_its_permutations_equal_refits():
    panel = panel_of(la_frame(n=14, treated=((2, 3), (5, 4), (9, 4), (11, 6))))
    statistic = Statistic.of(panel, "imputation")
    n, T = panel.outcomes.shape

    def imputed(adopted):
        treated = np.arange(T) >= adopted[:, None]
        unit, period = np.nonzero(~treated)
        X = np.column_stack([np.eye(n)[unit], np.eye(T)[period][:, 1:]])
        b = np.linalg.lstsq(X, panel.outcomes[~treated], rcond=None)[0]
        fitted = b[:n, None] + np.r_[0.0, b[n:]]
        return (panel.outcomes - fitted)[treated].mean()

    assert statistic.estimate == pytest.approx(imputed(panel.adopted), rel=1e-10)
    codes = permutations(statistic, 25, 3).codes[:25]
    found = statistic.scores().at(codes)
    for k, row in enumerate(codes):
        assert found.estimates[k] == pytest.approx(imputed(adoptions(panel, row, statistic)), rel=1e-9)
    fit, contrast = effect_fit(statistic)
    assert float(contrast @ fit.beta) == pytest.approx(statistic.estimate, rel=1e-10)


@pytest.mark.property
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(CASES)))
def test_relabelling_and_the_order_of_rows_change_nothing(seed, case):
    frame = la_frame(n=14, seed=seed, **CASES[case])
    names = {f"E{k:03d}": f"X{(k * 5) % 14:03d}" for k in range(14)}
    other = frame.assign(la=frame["la"].map(names)).sample(frac=1.0, random_state=seed)
    one, two = (Statistic.of(panel_of(f), "two_way_fixed_effects") for f in (frame, other))
    a, b = (permuted(s, permutations(s, 199, 1), 0.9) for s in (one, two))
    assert one.estimate == pytest.approx(two.estimate, rel=1e-9)
    same = frame.sample(frac=1.0, random_state=seed + 1)
    again = permuted(Statistic.of(panel_of(same), "two_way_fixed_effects"), permutations(one, 199, 1), 0.9)
    assert (again.p_value, again.ci_low, again.ci_high) == (a.p_value, a.ci_low, a.ci_high)
    if permutations(one, 199, 1).exact:
        assert b.p_value == pytest.approx(a.p_value, abs=1e-12)


# --- the lottery


def test_the_lottery_of_a_roll_out_decides_who_could_have_been_treated():
    frame = la_frame(n=12, treated=((0, 4), (1, 4), (2, 6), (3, 6)))
    units = pd.DataFrame({"la": [f"E{k:03d}" for k in range(4)]})
    method = we.SteppedWedgeSequences(sequences=[4, 6], capacity=2)
    allocation = we.randomise(units, unit="la", method=method, arms=("before", "after"), seed="example")
    crossover = dict(zip(allocation.table["la"], allocation.table["crossover"], strict=True))
    frame["cohort"] = frame["la"].map(crossover).fillna(0).astype(int)
    panel = panel_of(frame)
    found = we.did.few_treated(panel, methods=("permutation",), allocation=allocation)
    statistic = Statistic.of(panel, "two_way_fixed_effects")
    effects = []
    for chosen in itertools.combinations(range(4), 2):
        adopted = np.full(12, 8)
        adopted[:4] = [4 if k in chosen else 6 for k in range(4)]
        effects.append(ols(panel, adopted)[0])
    far = sum(abs(effect) >= abs(statistic.estimate) * (1 - 1e-9) for effect in effects)
    assert found.overall.p_value == pytest.approx(far / 6)
    assert "lottery permitted" in found.overall.method
    assert any("no result can reach" in text for text in found.overall.warnings)


def test_a_simple_lottery_may_treat_other_numbers_of_units():
    frame = la_frame(n=10, treated=())
    units = pd.DataFrame({"la": [f"E{k:03d}" for k in range(10)]})
    allocation = we.randomise(units, unit="la", method=we.Simple(), seed="x")
    arm = dict(zip(allocation.table["la"], allocation.table["arm"].astype(str), strict=True))
    treated_arm = str(allocation.labels[1])
    frame["cohort"] = np.where(frame["la"].map(arm) == treated_arm, 4, 0)
    panel = panel_of(frame)
    found = we.did.few_treated(panel, methods=("permutation",), allocation=allocation, rng=1)
    effects = []
    for codes in allocation.reference_set():
        adopted = np.where(codes == 1, 4, 8)
        effects.append(ols(panel, adopted)[0] if 0 < codes.sum() < 10 else math.inf)
    weights = allocation.reference_probabilities
    weights = np.full(len(effects), 1 / len(effects)) if weights is None else weights
    expected = weights[np.abs(effects) >= abs(found.overall.estimate) * (1 - 1e-9)].sum()
    assert found.overall.p_value == pytest.approx(expected)


def test_a_lottery_that_was_not_followed_is_refused():
    frame = la_frame(n=8, treated=((0, 4),))
    units = pd.DataFrame({"la": [f"E{k:03d}" for k in range(8)]})
    allocation = we.randomise(units, unit="la", method=we.Complete(), seed="x")
    with pytest.raises(DesignError, match="adopted at different times"):
        we.did.few_treated(panel_of(frame), methods=("permutation",), allocation=allocation)


# --- wild bootstrap


def by_refits(panel, weights, *, imposed, null=0.0):
    """t of every draw by a regression on outcomes made anew."""
    n = panel.n_clusters
    beta, x, e, unit = ols(panel, panel.adopted)
    unit = panel.clusters[unit]
    x0 = e + beta * x
    restricted = x0 - null * x
    fitted, left = (np.zeros_like(e), restricted) if imposed else (beta * x, e)
    full = panel_dummies(panel)
    found = []
    for w in weights:
        y = fitted + left * w[unit]
        y = y - full @ np.linalg.lstsq(full, y, rcond=None)[0]
        b = x @ y / (x @ x)
        s = np.bincount(unit, x * (y - b * x), minlength=n)
        centre = 0.0 if imposed else beta
        found.append((b - centre) * (x @ x) / np.sqrt((s**2).sum()))
    t0 = (beta - null) * (x @ x) / np.sqrt((np.bincount(unit, x * e) ** 2).sum())
    return t0, np.array(found)


def panel_dummies(panel):
    n, T = panel.outcomes.shape
    keep = panel.observed.ravel()
    unit, period = np.repeat(np.arange(n), T)[keep], np.tile(np.arange(T), n)[keep]
    root = np.sqrt(np.repeat(panel.weights, T)[keep])
    return np.column_stack([np.eye(n)[unit], np.eye(T)[period][:, 1:]]) * root[:, None]


@pytest.mark.parametrize("case", ["one date", "weights and missing cells"])
@pytest.mark.parametrize("imposed", [True, False])
def test_the_wild_bootstrap_equals_regressions_on_outcomes_made_anew(case, imposed):
    panel = panel_of(la_frame(n=12, effect=1.0, **CASES[case]))
    moments = panel_moments(*effect_fit(Statistic.of(panel, "two_way_fixed_effects")))
    drawn = draw_weights("webb", 12, 60, np.random.default_rng(2))
    found = wild_test(moments, 0.3, drawn, 0.9, imposed=imposed)
    t0, t = by_refits(panel, drawn.values, imposed=imposed, null=0.3)
    assert found.statistic == pytest.approx(t0, rel=1e-9)
    assert np.allclose(found.replicates, t, rtol=1e-8, atol=1e-10)
    assert found.p_value == pytest.approx((1 + (np.abs(t) >= abs(t0)).sum()) / 61)


def test_the_wild_bootstrap_of_clusters_above_the_units():
    frame = la_frame(n=24, treated=((4, 4), (5, 4), (8, 4), (9, 4), (2, 4), (3, 4)), missing=0.05, weights=True)
    panel = panel_of(frame, cluster="region")
    moments = panel_moments(*effect_fit(Statistic.of(panel, "two_way_fixed_effects")))
    assert len(moments.scores) == 12
    drawn = draw_weights("rademacher", 12, 4096, np.random.default_rng(2))
    found = wild_test(moments, 0.0, drawn, 0.9)
    t0, t = by_refits(panel, [w for _, w in zip(range(50), drawn.values, strict=False)], imposed=True)
    assert found.statistic == pytest.approx(t0, rel=1e-9)
    assert np.allclose(found.replicates[:50], t, rtol=1e-8, atol=1e-10)


def test_twelve_clusters_take_every_sign_change_and_more_take_webb():
    found = we.did.few_treated(panel_of(la_frame(n=12)), methods=("wild_bootstrap",))
    assert found.overall.details["complete"]
    assert found.overall.details["weights"] == "rademacher"
    assert found.overall.details["smallest_p_value"] == pytest.approx(2 / 4096)
    more = we.did.few_treated(panel_of(la_frame(n=30)), methods=("wild_bootstrap",), draws=999, rng=1)
    assert more.overall.details["weights"] == "webb"
    assert more.overall.details["smallest_p_value"] == pytest.approx(1 / 1000)


@pytest.mark.parametrize("imposed", [True, False])
def test_the_interval_of_the_wild_bootstrap_inverts_it(imposed):
    panel = panel_of(la_frame(n=12, treated=((1, 4), (3, 4), (5, 4), (8, 4)), effect=1.0))
    moments = panel_moments(*effect_fit(Statistic.of(panel, "two_way_fixed_effects")))
    drawn = draw_weights("rademacher", 12, 9999, np.random.default_rng(2))
    found = wild_test(moments, 0.0, drawn, 0.9, imposed=imposed)
    width = found.ci_high - found.ci_low
    for end, outward in ((found.ci_low, -1), (found.ci_high, 1)):
        inner, outer = (
            wild_test(moments, end + sign * outward * 1e-4 * width, drawn, 0.9, imposed=imposed).p_value
            for sign in (-1, 1)
        )
        assert outer <= 0.1 < inner


def test_the_wild_bootstrap_of_an_aggregated_effect():
    panel = panel_of(la_frame(n=12, treated=((1, 4), (3, 4), (5, 6), (8, 6)), effect=1.0))
    found = we.did.few_treated(panel, methods=("wild_bootstrap", "CR3"), estimator="imputation")
    direct = Statistic.of(panel, "imputation").estimate
    assert found.overall.estimate == pytest.approx(direct)
    fit, contrast = effect_fit(Statistic.of(panel, "imputation"))
    moments = panel_moments(fit, contrast)
    assert moments.estimate == pytest.approx(direct)
    # CR0 of the same contrast
    assert found.overall.se == pytest.approx(math.sqrt(((moments.scores @ moments.direction) ** 2).sum()))
    assert 0 < found.overall.p_value <= 1


def test_an_aggregated_effect_of_a_panel_with_missing_cells():
    frame = la_frame(n=12, treated=((1, 4), (3, 4), (5, 6), (8, 6)), missing=0.1, weights=True)
    panel = panel_of(frame)
    found = we.did.few_treated(panel, ("wild_bootstrap", "CR2", "permutation"), estimator="imputation", rng=1)
    assert found.overall.estimate == pytest.approx(we.did.imputation(panel).overall.estimate, rel=1e-9)
    assert found["CR2"].se > 0
    assert "every cell" in found["permutation"].warnings[0]


# --- Conley-Taber and Ferman-Pinto


def test_conley_taber_with_one_treated_ranks_it_among_the_residuals():
    panel = panel_of(la_frame(n=60, treated=((3, 5),), effect=3.0))
    found = we.did.few_treated(panel, methods=("conley_taber",)).overall
    beta, x, e, unit = ols(panel, panel.adopted)
    mine = x[unit == 3] / (x @ x)
    errors = np.sort([mine @ e[unit == k] for k in range(60) if k != 3])
    tail = min((errors >= beta).sum(), (errors <= beta).sum())
    assert found.p_value == pytest.approx(min(1.0, 2 * (tail + 1) / 60))
    # 1.5 of 60 are beyond each end, the treated one among them
    assert found.ci_low == pytest.approx(beta - errors[-1])
    assert found.ci_high == pytest.approx(beta - errors[0])


def test_the_variance_by_population_is_fitted_within_bounds():
    population = np.array([1.0, 2.0, 4.0, 8.0])
    assert variance_of_population(1 + 2 / population, population) == pytest.approx((1, 2))
    flat = variance_of_population(1 - 0.5 / population, population)
    assert flat == pytest.approx(((1 - 0.5 / population).mean(), 0.0))
    squares = 2 / population - np.array([0.0, 0.1, 0.2, 0.2])
    a, b = variance_of_population(squares, population)
    assert a == 0.0
    # weights in proportion to the squared population
    assert b == pytest.approx((population * squares).mean())


def test_ferman_pinto_widens_for_a_small_authority():
    rng = np.random.default_rng(4)
    n, T = 120, 8
    population = np.exp(rng.uniform(np.log(1), np.log(10), n))
    values = rng.normal(size=(n, T)) / np.sqrt(population)[:, None]
    small, large = int(np.argmin(population)), int(np.argmax(population))
    widths = {}
    for unit in (small, large):
        frame = pd.DataFrame(
            {"la": np.repeat(np.arange(n), T), "year": np.tile(np.arange(T), n), "rate": values.ravel()}
        )
        frame["cohort"] = np.where(frame["la"] == unit, 4, 0)
        found = we.did.few_treated(
            panel_of(frame), methods=("ferman_pinto", "permutation"), rng=1, population=population
        )
        widths[unit] = found["ferman_pinto"].ci_high - found["ferman_pinto"].ci_low
        assert found["ferman_pinto"].details["variance_share_of_population"] > 0.5
    assert widths[small] > 1.8 * widths[large]


def test_populations_come_from_a_column_the_exposure_or_the_weights():
    frame = la_frame(n=20, treated=((1, 4),), weights=True)
    named = we.did.few_treated(panel_of(frame), methods=("ferman_pinto",), rng=1, population="population")
    numbers = frame.groupby("la")["population"].first().to_numpy()
    given_ = we.did.few_treated(panel_of(frame), methods=("ferman_pinto",), rng=1, population=numbers)
    assert named.overall.p_value == given_.overall.p_value
    assert we.did.few_treated(panel_of(frame), methods=("ferman_pinto",), rng=1).overall.p_value > 0
    none = we.did.few_treated(panel_of(frame.drop(columns="w")), methods=("ferman_pinto",), rng=1)
    assert math.isnan(none.overall.p_value)
    assert "no population is known" in none.overall.warnings[0]
    with pytest.raises(DataError, match="must be above 0"):
        we.did.few_treated(panel_of(frame), methods=("ferman_pinto",), rng=1, population=numbers * 0)


# --- cluster-robust errors, and what is said


def test_robust_rows_are_those_of_the_regression():
    panel = panel_of(la_frame(n=25, treated=((1, 4), (3, 4), (5, 6))))
    found = we.did.few_treated(panel, methods=("CR1S", "CR2", "CR3"))
    for kind in ("CR1S", "CR2", "CR3"):
        fit = two_way_fixed_effects(panel, vcov=kind).overall
        assert found[kind].se == pytest.approx(fit.se, rel=1e-10)
        assert found[kind].df == pytest.approx(fit.df, rel=1e-8)
        assert found[kind].p_value == pytest.approx(fit.p_value, rel=1e-8)


def test_one_treated_authority_identifies_no_variance_and_the_result_says_so():
    found = we.did.few_treated(
        panel_of(la_frame(n=30, treated=((3, 4),))), rng=1, draws=999, population="population"
    )
    for kind in ("CR2", "CR3"):
        assert math.isnan(found[kind].se)
        assert math.isnan(found[kind].p_value)
        assert "does not identify the variance" in found[kind].warnings[0]
    assert "smallest attainable p-value is 0.001" in found["wild_bootstrap"].warnings[0]
    text = str(found)
    assert "1 treated cluster of 30" in text
    assert "does not identify the variance" in text
    assert found.to_frame()["method"].tolist()[0] == "permutation"
    assert list(found.to_frame().columns[:3]) == ["method", "term", "estimate"]


def test_asking_for_other_methods_does_not_change_the_draws_of_one():
    panel = panel_of(la_frame(n=40, treated=((1, 4), (3, 4), (5, 4), (9, 5))))
    alone = we.did.few_treated(panel, methods=("ferman_pinto",), rng=5, draws=499, population="population")
    every = we.did.few_treated(panel, rng=5, draws=499, population="population")
    assert alone.overall.p_value == every["ferman_pinto"].p_value


def test_plots_are_drawn():
    found = we.did.few_treated(
        panel_of(la_frame(n=30, treated=((3, 4),))), methods=("permutation", "conley_taber")
    )
    assert "had others been treated" in found.plot().get_xlabel()
    other = we.did.few_treated(panel_of(la_frame(n=30)), methods=("CR2", "CR3"))
    assert [t.get_text() for t in other.plot().get_yticklabels()] == ["CR2", "CR3"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": ("permutatoin",)}, "did you mean 'permutation'"),
        ({"methods": ()}, "no method"),
        ({"methods": ("wild_bootstrap",)}, "needs rng"),
        ({"methods": ("permutation",), "draws": 5}, "at least 19"),
        ({"methods": ("permutation",), "estimator": "cs"}, "estimator == 'cs'"),
    ],
)
def test_refusals(options, words):
    with pytest.raises(DesignError, match=words):
        we.did.few_treated(panel_of(la_frame(n=30)), **options)


def test_drawn_permutations_need_a_seed():
    panel = panel_of(la_frame(n=30, treated=((1, 4), (3, 4), (5, 5), (9, 5))))
    with pytest.raises(DesignError, match="give a seed"):
        we.did.few_treated(panel, methods=("permutation",))
