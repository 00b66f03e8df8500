"""Hostile input, whatever the family: one clear error, or a fit whose status says what happened; nothing lost."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from wwc_eval.errors import ConvergenceError, DataError, DesignError, FormulaError, WwcError
from wwc_eval.multilevel import multilevel_model

FAMILIES = {"gaussian": "score", "binomial": "event", "poisson": "visits", "negative_binomial": "visits"}
OUTCOMES = ("score", "event", "visits")


def trial():
    rng = np.random.default_rng(1)
    school = np.repeat(np.arange(12), 12)
    n = len(school)
    return pd.DataFrame(
        {
            "score": rng.normal(size=n) + 0.5 * rng.normal(size=12)[school],
            "event": rng.integers(0, 2, n),
            "visits": rng.poisson(2, n),
            "arm": school % 2,
            "age": rng.normal(size=n),
            "school": school,
            "weight": rng.uniform(0.5, 2, n),
            "time": rng.uniform(0.5, 2, n),
        }
    )


def fitted(frame, family, **options):
    before = frame.copy(deep=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return multilevel_model(
                f"{FAMILIES[family]} ~ arm + age + (1 | school)", frame, family=family, **options
            )
        finally:
            pd.testing.assert_frame_equal(frame, before)


def at(frame, column, value, row=5):
    values = frame[column].astype(object if isinstance(value, str) or value is None else float)
    values.iloc[row] = value
    return frame.assign(**{column: values})


def outcomes(frame, change):
    return frame.assign(**{name: change(frame[name]) for name in OUTCOMES})


def twice(frame, name):
    return pd.concat([frame, frame[[name]]], axis=1)


REFUSED = {
    "one cluster": (lambda d: d.assign(school="one"), {}, DesignError, "single group"),
    "constant outcome": (lambda d: d.assign(score=3.0, event=1, visits=0), {}, DataError, "in all 144 rows"),
    "covariate all missing": (lambda d: d.assign(age=np.nan), {}, DataError, "age 144"),
    "outcome all missing": (lambda d: outcomes(d, lambda y: y * np.nan), {}, DataError, "no complete row"),
    "labels all missing": (lambda d: d.assign(school=None), {}, DataError, "school 144"),
    "unseen covariate": (lambda d: d.drop(columns="age"), {}, FormulaError, "no column 'age'"),
    "unseen group": (lambda d: d.rename(columns={"school": "scool"}), {}, FormulaError, "did you mean 'scool'"),
    "zero weight": (lambda d: at(d, "weight", 0.0), {"weights": "weight"}, DataError, "row 7, column 'weight'"),
    "negative weight": (lambda d: at(d, "weight", -1.0), {"weights": "weight"}, DataError, "above 0"),
    "infinite weight": (lambda d: at(d, "weight", np.inf), {"weights": "weight"}, DataError, "infinite in 1 row"),
    "weight of text": (lambda d: at(d, "weight", "x"), {"weights": "weight"}, DataError, "not numbers"),
    "infinite outcome": (lambda d: outcomes(d, lambda y: y.where(y.index != 5, np.inf)), {}, DataError, "infinite"),
    "infinite covariate": (lambda d: at(d, "age", -np.inf), {}, DataError, "'age' is infinite"),
    "infinite label": (lambda d: at(d, "school", np.inf), {}, DataError, "'school' is infinite"),
    "covariate beyond numbers": (lambda d: d.assign(age=1e160 * d.age), {}, DataError, "change its unit"),
    "covariate below numbers": (lambda d: d.assign(age=1e-170 * d.age), {}, DataError, "change its unit"),
    "covariate twice": (lambda d: twice(d, "age"), {}, DataError, "'age' is there more than once"),
    "groups twice": (lambda d: twice(d, "school"), {}, DataError, "'school' is there more than once"),
    "outcome of text": (lambda d: outcomes(d, lambda y: y.astype(str)), {}, FormulaError, "holds text"),
    "yes and no": (lambda d: outcomes(d, lambda y: np.where(y > 0, "yes", "no")), {}, FormulaError, "holds text"),
    "covariate of dates": (
        lambda d: d.assign(age=pd.Timestamp("2024-01-01") + pd.to_timedelta(range(len(d)), "D")),
        {}, FormulaError, "holds dates",
    ),
    "no rows": (lambda d: d.iloc[:0], {}, DataError, "no complete row"),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", REFUSED)
def test_one_clear_error(name, family):
    change, options, error, words = REFUSED[name]
    with pytest.raises(error, match=words) as caught:
        fitted(change(trial()), family, **options)
    assert "Fix:" in str(caught.value)


@pytest.mark.parametrize("data", [5, None, {"score": [1.0]}])
def test_what_is_no_table_is_refused(data):
    with pytest.raises(DataError, match="data frame"):
        multilevel_model("score ~ arm + (1 | school)", data)


def test_counts_that_are_all_alike_leave_no_variance():
    fit = fitted(trial().assign(visits=4), "poisson")
    assert fit.status == "boundary"
    assert fit.estimates["arm"].estimate == pytest.approx(0.0, abs=1e-9)


FAMILY_ERRORS = {
    "a group for each row": (
        lambda d: d.assign(school=range(len(d))), ("gaussian", "binomial", "negative_binomial"), DesignError, "144",
    ),
    "half events": (lambda d: d.assign(event=d.event / 2), ("binomial",), DataError, "must be 0 or 1"),
    "negative counts": (lambda d: d.assign(visits=d.visits - 1), ("poisson", "negative_binomial"), DataError, "whole"),
    "copy of the arm": (lambda d: d.assign(score=2.0 * d.arm), ("gaussian",), ConvergenceError, "does not vary"),
    "a huge constant": (lambda d: d.assign(score=1e12 + d.score), ("gaussian",), ConvergenceError, "near its mean"),
    "two rows": (lambda d: d.iloc[[0, 13]], ("gaussian", "poisson"), DesignError, "cannot carry"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILY_ERRORS)
def test_errors_of_some_families(name):
    change, families, error, words = FAMILY_ERRORS[name]
    for family in families:
        with pytest.raises(error, match=words):
            fitted(change(trial()), family)


SAME = {
    "unused levels of the groups": lambda d: d.assign(school=pd.Categorical(d.school, categories=range(40))),
    "groups as fractions": lambda d: d.assign(school=d.school + 0.1),
    "groups as dates": lambda d: d.assign(school=pd.Timestamp("2024-01-01") + pd.to_timedelta(d.school, "D")),
    "an index that repeats": lambda d: d.set_axis(np.zeros(len(d), dtype=int)),
    "numbers held as objects": lambda d: d.astype(dict.fromkeys([*OUTCOMES, "age"], object)),
    "nullable numbers": lambda d: d.convert_dtypes(),
    "a covariate far from zero": lambda d: d.assign(age=1e9 + 1e3 * d.age),
}


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
@pytest.mark.parametrize("name", SAME)
def test_the_same_model_written_in_another_way(name, family):
    plain, other = fitted(trial(), family), fitted(SAME[name](trial()), family)
    assert other.status == plain.status
    assert other.n == 144
    assert other.estimates["arm"].estimate == pytest.approx(plain.estimates["arm"].estimate, rel=1e-6)
    assert other.estimates["arm"].se == pytest.approx(plain.estimates["arm"].se, rel=1e-6)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
@pytest.mark.parametrize("lost", [np.nan, None])
def test_rows_without_a_group_are_dropped_and_counted(family, lost):
    frame = trial()
    frame["school"] = [lost if k % 20 == 0 else f"s{code}" for k, code in enumerate(frame.school)]
    fit = fitted(frame, family)
    assert fit.n == 136
    assert fit.groups == {"school": 12}
    assert set(fit.data.rows) == {k for k in range(144) if k % 20}


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_true_and_false_are_one_and_zero(family):
    flags = trial().assign(
        score=lambda d: d.score > 0, event=lambda d: d.event == 1, visits=lambda d: d.visits > 1
    )
    numbers = flags.astype(dict.fromkeys(OUTCOMES, int))
    for frame in (flags, flags.astype(dict.fromkeys(OUTCOMES, "boolean"))):
        assert fitted(frame, family).estimates["arm"].estimate == fitted(numbers, family).estimates["arm"].estimate


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16"])
def test_small_integers_do_not_overflow(kind):
    frame = trial()
    whole = frame.assign(score=(10 * frame.score + 100).round(), age=(10 * frame.age + 60).round())
    small = whole.astype({"score": kind, "age": kind, "event": kind, "visits": kind, "arm": kind, "school": kind})
    for family in ("gaussian", "binomial", "poisson"):
        one, other = fitted(whole, family).estimates["arm"], fitted(small, family).estimates["arm"]
        assert other.estimate == pytest.approx(one.estimate, rel=1e-9)
        assert other.se == pytest.approx(one.se, rel=1e-9)


def test_integers_beyond_the_digits_of_a_double_are_not_mistaken_for_a_covariate():
    frame = trial()
    fit = fitted(frame.assign(age=(1e3 * frame.age).astype("int64") + 2**62), "gaussian")
    assert fit.status == "dropped_columns"
    assert "age" in fit.message


@pytest.mark.parametrize("family", ["binomial", "poisson", "negative_binomial"])
def test_an_arm_that_decides_the_outcome(family):
    frame = trial().assign(event=lambda d: d.arm, visits=lambda d: d.visits * d.arm)
    fit = fitted(frame, family)
    assert fit.status == "separated"
    assert "perfectly" in fit.message
    assert np.isnan(fit.estimates["arm"].estimate)


def test_outcomes_all_alike_within_groups():
    frame = trial().assign(score=lambda d: np.sin(d.school), event=lambda d: (d.school % 3 == 0) * 1)
    for family in ("gaussian", "binomial"):
        fit = fitted(frame, family)
        assert fit.status == "failed"
        assert all(np.isnan(each.estimate) for each in fit.estimates)


def test_weights_over_many_orders_of_magnitude():
    frame = trial().assign(weight=lambda d: 10.0 ** np.linspace(-6, 6, len(d)))
    fit = fitted(frame, "gaussian", weights="weight")
    scaled = fitted(frame.assign(weight=1e20 * frame.weight), "gaussian", weights="weight")
    assert fit.status in ("ok", "boundary")
    assert scaled.estimates["arm"].estimate == pytest.approx(fit.estimates["arm"].estimate, rel=1e-9)


def test_counts_that_no_rate_explains():
    frame = trial().assign(visits=lambda d: d.visits * 10**15)
    fit = fitted(frame, "poisson")
    assert fit.status == "failed"
    assert "Nothing is estimated" in fit.message


@pytest.mark.parametrize("seed", range(12))
def test_any_small_frame_gives_a_fit_or_a_clear_error(seed):
    """Frames of a few rows with every fault at once: never another exception, never a number without a status."""
    rng = np.random.default_rng([9, seed])
    for family, outcome in FAMILIES.items():
        n = int(rng.integers(3, 25))
        frame = pd.DataFrame(
            {
                outcome: rng.choice([0, 0, 1, 1, np.nan], n)
                if family != "gaussian"
                else rng.normal(size=n).round(),
                "arm": rng.choice([0, 1, 1], n),
                "age": rng.choice([1e9, 0.0, -3.0, np.nan, 2.0], n),
                "school": rng.choice(["a", "b", "c", "", None], n),
            }
        )
        try:
            fit = fitted(frame, family)
        except WwcError as error:
            assert "Fix:" in str(error)
            continue
        numbers = [each for each in fit.estimates if np.isfinite(each.estimate)]
        assert fit.status in ("ok", "boundary", "dropped_columns", "separated", "failed")
        if fit.status == "failed":
            assert not numbers
        assert all(each.se > 0 for each in numbers)


def nearly_known(seed, noise):
    """Lines of twelve schools, with hardly anything about them."""
    rng = np.random.default_rng(seed)
    school, x = np.repeat(np.arange(12), 6), rng.normal(size=72)
    y = rng.normal(size=12)[school] * 10.0 ** (seed % 4 - 2) + rng.normal(size=12)[school] * x
    y = y + noise * rng.normal(size=72)
    return rng, pd.DataFrame({"y": y, "x": x, "school": school, "arm": school % 2, "area": school // 3})


@pytest.mark.parametrize(("seed", "noise"), [(0, 1e-10), (12, 0.0)])
def test_refits_whose_residual_rounding_takes_below_zero_fail_in_silence(seed, noise):
    rng, data = nearly_known(seed, noise)
    fit = multilevel_model("y ~ arm + (1 + x | school)", data)
    y = data["y"].to_numpy()
    known = y.mean() + np.repeat(rng.normal(size=12), 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit.refit_many(outcomes=np.stack([y, rng.permutation(y), known]))
    assert found["status"].tolist()[0] == found["status"].tolist()[2] == "failed"
    assert np.isnan(found["estimate"].to_numpy(float)[[0, 2]]).all()
    assert np.isfinite(found["estimate"].to_numpy(float)[1])


def test_shares_of_variance_beside_a_residual_that_goes_to_zero():
    data = nearly_known(2, 0.0)[1].assign(y=lambda d: d["y"] - 0 * d["x"])
    means = data.groupby("school")["y"].transform("mean")
    rng = np.random.default_rng(5)
    small = data.assign(y=means + 1e-4 * rng.normal(size=72))
    share = multilevel_model("y ~ x + (1 | school)", small).icc()[0]
    assert 1 - 1e-6 < share.ci_low < share.estimate < share.ci_high < 1
    with pytest.raises(ConvergenceError, match="residual variance goes to zero"):
        multilevel_model("y ~ x + (1 | school)", data.assign(y=means)).icc()
    for nested in multilevel_model("y ~ x + (1 | area/school)", small).icc():
        assert not nested.ci_low > nested.ci_high
