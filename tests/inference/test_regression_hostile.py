"""Input that cannot be: one clear error with place and fix, and never a traceback of another kind."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from inference_data import LEVELS, family_trial

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError, FormulaError, WwcError
from wwc_eval.inference import unadjusted_comparison


def small(**columns):
    rng = np.random.default_rng(0)
    n = 40
    base = {
        "y": rng.normal(size=n),
        "event": rng.integers(0, 2, n),
        "count": rng.poisson(3, n),
        "arm": np.where(np.arange(n) % 2 == 0, "usual", "offer"),
        "x": rng.normal(size=n),
        "g": np.arange(n) // 4,
    }
    return pd.DataFrame(base | columns)


CASES = [
    ("y ~ arm", {}, {"family": "normal"}, DesignError, "must be one of 'gaussian'"),
    ("y ~ arm", {}, {"family": None}, DesignError, "must be one of"),
    ("y ~ arm", {}, {"vcov": "hc2"}, DesignError, "must be one of 'classical'"),
    ("y ~ arm", {}, {"vcov": "HC4"}, DesignError, "must be one of"),
    ("y ~ arm", {}, {"vcov": "CR1"}, DesignError, "needs clusters"),
    ("y ~ arm", {}, {"vcov": "HC2", "cluster": "g"}, DesignError, "makes no use of cluster"),
    ("y ~ arm", {}, {"df": "satterthwaite"}, DesignError, "needs clustered errors"),
    ("y ~ arm", {}, {"vcov": "CR1", "cluster": "g", "df": "kenward"}, DesignError, "must be one of 'clusters'"),
    ("y ~ arm", {}, {"vcov": "CR1", "cluster": "h"}, FormulaError, "no column 'h'"),
    ("y ~ arm", {}, {"vcov": "CR1", "cluster": [1, 2]}, DataError, "one value for each of the 40 rows"),
    ("y ~ arm", {}, {"vcov": "CR2", "cluster": np.zeros(40)}, DesignError, "at least 2"),
    ("y ~ arm", {}, {"level": 95}, DesignError, "level == 95"),
    ("y ~ arm", {}, {"exposure": "x"}, DesignError, "exposure goes with a count"),
    ("event ~ arm", {}, {"family": "binomial", "exposure": "x"}, DesignError, "exposure goes with a count"),
    ("count ~ arm", {}, {"family": "poisson", "exposure": "x"}, DataError, "exposure must be above 0"),
    ("count ~ arm", {}, {"family": "poisson", "exposure": "arm"}, DataError, "not numbers"),
    ("count ~ arm", {"e": "2"}, {"family": "poisson", "exposure": "e"}, DataError, "holds '2', not numbers"),
    ("count ~ arm", {}, {"family": "poisson", "exposure": np.zeros(40)}, DataError, "above 0"),
    ("y ~ arm", {}, {"weights": np.r_[0.0, np.ones(39)]}, DataError, "weights must be above 0"),
    ("y ~ arm", {}, {"weights": -np.ones(40)}, DataError, "so in 40 rows in all"),
    ("y ~ arm + (1 | g)", {}, {}, DesignError, "no random part"),
    ("~ arm", {}, {}, FormulaError, ""),
    ("y ~ arms", {}, {}, FormulaError, "did you mean 'arm'"),
    ("y ~ __import__('os')", {}, {}, FormulaError, ""),
    ("arm ~ x", {}, {}, FormulaError, "not numbers"),
    ("y ~ arm", {}, {"family": "binomial"}, DataError, "must be 0 or 1"),
    ("count ~ arm", {}, {"family": "binomial"}, DataError, "must be 0 or 1"),
    ("y ~ arm", {}, {"family": "poisson"}, DataError, "cannot be negative"),
    ("event / count ~ arm", {}, {"family": "poisson"}, DesignError, "is a share"),
    ("event / count ~ arm", {}, {}, DesignError, "is a share"),
    (
        "log(count) ~ arm",
        {"count": np.arange(1, 41)},
        {"family": "poisson"},
        DesignError,
        "takes the outcome as it is",
    ),
    ("y ~ arm", {"y": 1.5}, {}, DataError, "is 1.5 in all 40 rows"),
    ("event ~ arm", {"event": 0}, {"family": "binomial"}, DataError, "is 0 in all"),
    ("event ~ arm", {"event": 1}, {"family": "binomial"}, DataError, "is 1 in all"),
    ("count ~ arm", {"count": 0}, {"family": "quasipoisson", "exposure": np.ones(40)}, DataError, "is 0 in all"),
    ("y ~ arm", {"arm": "usual"}, {}, DesignError, "nothing to compare"),
    ("y ~ treat", {"treat": 1}, {}, DesignError, "nothing to compare"),
    ("y ~ arm", {"y": np.nan}, {}, DataError, "no complete row"),
    ("y ~ arm + x", {"x": np.nan}, {}, DataError, "no complete row"),
    ("y ~ x", {"x": np.inf}, {}, DataError, "infinite"),
    ("y ~ factor(id)", {"id": np.arange(40)}, {}, DesignError, "40 rows for 40 coefficients"),
    ("y ~ arm", {}, {"levels": {"arm": ["usual", "programme"]}}, WwcError, "offer"),
]


@pytest.mark.parametrize(("formula", "columns", "options", "error", "words"), CASES)
def test_one_clear_error(formula, columns, options, error, words):
    with pytest.raises(error) as caught:
        we.regression(formula, small(**columns), **options)
    assert words in str(caught.value)


def test_levels_of_columns_that_the_formula_does_not_name_are_no_matter():
    fit = we.regression("y ~ arm", small(), levels={"sex": ["female", "male"], "arm": ["usual", "offer"]})
    assert fit.reference_levels == {"arm": "usual"}


def test_offending_rows_are_named_as_a_spreadsheet_counts_them():
    data = small(event=np.r_[[0, 1] * 18, [2, 3, 0, 1]])
    with pytest.raises(DataError) as caught:
        we.regression("event ~ arm", data, family="binomial")
    assert [problem.place.row for problem in caught.value.problems] == [38, 39]
    assert caught.value.problems[0].place.column == "event"
    assert caught.value.problems[0].value == "2"


@pytest.mark.parametrize("data", [None, 3, "file.csv", {"y": [1, 2]}, [[1, 2]], np.eye(3)])
def test_what_is_no_table_is_refused(data):
    with pytest.raises(DataError, match="must be a data frame"):
        we.regression("y ~ x", data)


def test_empty_frames_are_refused():
    with pytest.raises(WwcError):
        we.regression("y ~ arm", small().iloc[:0])


def test_one_arm_is_refused_by_the_unadjusted_comparison():
    with pytest.raises(DesignError, match="nothing to compare"):
        unadjusted_comparison("y", "arm", small(arm="usual"))


def test_a_one_level_covariate_is_dropped_and_said():
    fit = we.regression("y ~ arm + place", small(place="A"))
    assert fit.status == "dropped_columns"
    assert "place" in fit.message


def test_a_perfect_fit_is_said():
    fit = we.regression("y ~ x", small(y=2.0 * np.arange(40) + 1, x=np.arange(40.0)))
    assert "exactly" in fit.estimates["x"].warnings[0]


def test_rows_with_a_column_of_their_own():
    data = small(lone=np.r_[1.0, np.zeros(39)])
    for vcov in ("HC2", "HC3"):
        fit = we.regression("y ~ arm + lone", data, vcov=vcov)
        assert fit.estimates["arm[usual]"].se > 0
        assert "a column of their own" in fit.estimates["arm[usual]"].warnings[0]


def test_values_near_the_limits_of_numbers():
    for scale in (1e-90, 1e-12, 1e12, 1e90):
        fit = we.regression("y ~ x + arm", small(y=small()["y"] * scale), vcov="HC2")
        base = we.regression("y ~ x + arm", small(), vcov="HC2")
        assert fit.estimates["x"].p_value == pytest.approx(base.estimates["x"].p_value, rel=1e-6)
    huge = we.regression("count ~ arm", small(count=small()["count"] * 10**12), family="quasipoisson")
    base = we.regression("count ~ arm", small(), family="quasipoisson")
    assert huge.status == "ok"
    assert huge.estimates[1].p_value == pytest.approx(base.estimates[1].p_value, rel=1e-6)


def test_exposures_over_many_orders_of_magnitude():
    rng = np.random.default_rng(2)
    exposure = 10 ** rng.uniform(-6, 6, 200)
    arm = rng.integers(0, 2, 200)
    data = pd.DataFrame({"n": rng.poisson(2 * exposure * (1 + arm)), "arm": arm, "e": exposure})
    fit = we.regression("n ~ arm", data, family="poisson", exposure="e")
    assert fit.status == "ok"
    assert fit.ratio("arm").estimate == pytest.approx(2, rel=0.01)


@pytest.mark.property
@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    family=st.sampled_from(["gaussian", "binomial", "poisson", "quasipoisson"]),
    vcov=st.sampled_from(["classical", "HC0", "HC1", "HC2", "HC3", "CR0", "CR1", "CR1S", "CR2", "CR3"]),
)
@example(seed=77_595, family="poisson", vcov="CR2")
def test_any_small_frame_gives_a_fit_or_a_clear_error(seed, family, vcov):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 25))
    holes = rng.random(n) < rng.choice([0, 0.3, 1.0], p=[0.6, 0.3, 0.1])
    data = pd.DataFrame(
        {
            "y": rng.choice([0, 1, 1, 2, -1, 1e9], n, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05])
            if rng.random() < 0.4
            else rng.integers(0, 2, n),
            "arm": rng.choice(["a", "b", "c"][: int(rng.integers(1, 4))], n),
            "x": np.where(holes, np.nan, np.round(rng.normal(size=n), 1)),
            "g": rng.integers(0, max(1, n // 2), n),
        }
    )
    options = {"cluster": "g"} if vcov.startswith("CR") else {}
    try:
        fit = we.regression("y ~ arm + x", data, family=family, vcov=vcov, **options)
        assert fit.status in ("ok", "dropped_columns", "separated")
        str(fit)
        fit.marginal_effect("arm")
        fit.marginal_effect("x")
        fit.adjusted_means("arm")
    except WwcError as error:
        assert error.problems[0].message
        return
    for row in fit.estimates:
        assert np.isnan(row.se) or row.se >= 0


def test_the_family_example_of_the_plan_runs_under_every_inference():
    data = family_trial()
    for family in ("gaussian", "binomial"):
        fit = we.regression(
            "in_care ~ arm + local_authority + age + sex",
            data,
            family=family,
            vcov="CR1",
            cluster="family_id",
            levels=LEVELS,
        )
        errors = {
            vcov: fit.with_inference(vcov).marginal_effect("arm", scale="risk_difference").se
            for vcov in ("classical", "HC0", "HC1", "HC2", "HC3", "CR0", "CR1", "CR1S", "CR2", "CR3")
        }
        assert errors["HC0"] < errors["HC2"] < errors["HC3"]
        assert errors["CR0"] < errors["CR1"] < errors["CR1S"]
        assert errors["CR0"] < errors["CR2"] < errors["CR3"]
