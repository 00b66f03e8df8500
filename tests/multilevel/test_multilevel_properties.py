"""What must not change a linear mixed model: row order, names, units, coding, how weights are scaled."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wwc_eval.multilevel import multilevel_model

pytestmark = pytest.mark.property
QUIET = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

FORMULAS = [
    "y ~ arm + x + (1 | g)",
    "y ~ arm + x + (1 | l/g)",
    "y ~ arm + x + (1 + x | g)",
    "y ~ arm + x + (1 | g) + (1 | r)",
    "y ~ arm * x + (1 + x || l) + (1 | l:g)",
]


@st.composite
def trials(draw):
    """A small trial: groups of 3 to 12 rows in 2 to 4 larger groups."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    per = rng.integers(3, 13, draw(st.sampled_from([6, 9, 12])))
    g = np.repeat(np.arange(len(per)), per)
    n = len(g)
    frame = pd.DataFrame({"g": g, "l": g % 3, "r": rng.integers(0, 4, n), "x": rng.normal(size=n)})
    frame["arm"] = np.where((g // 3) % 2 == 0, "a", "b")
    spread = draw(st.sampled_from([0.0, 0.3, 1.5]))
    frame["y"] = frame.x + spread * rng.normal(size=len(per))[g] + rng.normal(size=n)
    frame["w"] = rng.uniform(0.5, 2.0, n)
    return draw(st.sampled_from(FORMULAS)), frame, rng


def summary(fit, kinds=("satterthwaite", "kenward_roger")):
    found = []
    for kind in kinds:
        for row in fit.with_inference(kind).estimates:
            found += [row.estimate, row.se]
    return np.array(found)


def components(fit):
    return np.array([row["variance"] for row in fit.variance_components])


def same(one, two, rtol=1e-6):
    np.testing.assert_allclose(one, two, rtol=rtol, atol=1e-7)


@QUIET
@given(trials())
def test_row_order(drawn):
    formula, frame, rng = drawn
    fit, other = (
        multilevel_model(formula, frame),
        multilevel_model(formula, frame.iloc[rng.permutation(len(frame))]),
    )
    assert fit.criterion == pytest.approx(other.criterion, rel=1e-9)
    same(summary(fit), summary(other))
    same(components(fit), components(other), 1e-5)


@QUIET
@given(trials())
def test_names_of_groups(drawn):
    formula, frame, rng = drawn
    names = rng.permutation(1000)
    renamed = frame.assign(**{c: [f"group {names[k]}" for k in frame[c]] for c in ("g", "l", "r")})
    fit, other = multilevel_model(formula, frame), multilevel_model(formula, renamed)
    assert fit.criterion == pytest.approx(other.criterion, rel=1e-9)
    same(summary(fit), summary(other))


@QUIET
@given(trials(), st.floats(1e-3, 1e3), st.floats(-1e4, 1e4))
def test_units_of_the_outcome(drawn, scale, shift):
    formula, frame, _ = drawn
    fit = multilevel_model(formula, frame)
    other = multilevel_model(formula, frame.assign(y=scale * frame.y + shift))
    same(components(fit) * scale**2 / (1 + scale**2), components(other) / (1 + scale**2), 1e-4)
    for one, two in zip(fit.estimates, other.estimates, strict=True):
        if one.term != "(Intercept)":
            assert two.estimate == pytest.approx(scale * one.estimate, rel=1e-5, abs=1e-6 * scale)
            assert two.se == pytest.approx(scale * one.se, rel=1e-5)
            assert two.df == pytest.approx(one.df, rel=1e-4)


@QUIET
@given(trials(), st.floats(-1e3, 1e3), st.sampled_from([1e-2, 1.0, 1e2]))
def test_origin_and_units_of_a_covariate(drawn, shift, scale):
    """A random slope brings its intercept, so its origin does not matter either (correlated brackets only)."""
    formula, frame, _ = drawn
    if "||" in formula:
        return
    fit, other = (
        multilevel_model(formula, frame),
        multilevel_model(formula, frame.assign(x=scale * frame.x + shift)),
    )
    # REML knows the scale of X, by a constant
    tested = "arm[b]:x" if "*" in formula else "x"
    one, two = fit.estimates[tested], other.estimates[tested]
    assert two.estimate * scale == pytest.approx(one.estimate, rel=1e-4, abs=1e-6)
    assert two.se * scale == pytest.approx(one.se, rel=1e-4)
    same(fit.predict(), other.predict(), 1e-4)


@QUIET
@given(trials())
def test_reference_level(drawn):
    formula, frame, _ = drawn
    if "*" in formula:
        return
    fit = multilevel_model(formula, frame)
    other = multilevel_model(formula, frame, levels={"arm": ["b", "a"]})
    one, two = fit.estimates["arm[b]"], other.estimates["arm[a]"]
    assert two.estimate == pytest.approx(-one.estimate, rel=1e-5, abs=1e-8)
    assert two.p_value == pytest.approx(one.p_value, rel=1e-5)


@QUIET
@given(trials(), st.floats(0.01, 100.0))
def test_scale_of_the_weights(drawn, scale):
    """Only the ratio of precision weights matters, but for the residual variance of a row of weight one."""
    formula, frame, _ = drawn
    fit = multilevel_model(formula, frame, weights="w")
    other = multilevel_model(formula, frame.assign(w=scale * frame.w), weights="w")
    assert fit.criterion == pytest.approx(other.criterion, rel=1e-8)
    same(summary(fit), summary(other), 1e-5)
    assert other.residual_variance == pytest.approx(scale * fit.residual_variance, rel=1e-5)


@QUIET
@given(trials())
def test_the_minimum_is_below_nearby_points(drawn):
    formula, frame, rng = drawn
    solution = multilevel_model(formula, frame).core.solution
    criterion = solution.problem.criterion
    theta = solution.problem.parameters.theta(solution.gammas)
    for _ in range(5):
        moved = theta + 0.05 * rng.normal(size=len(theta))
        moved = np.where(solution.problem.parameters.diagonal, np.abs(moved), moved)
        assert criterion.value(criterion.parameters.factors(moved)) >= solution.minimum.value - 1e-9


@QUIET
@given(trials())
def test_boundary_status_matches_the_variances(drawn):
    formula, frame, _ = drawn
    fit = multilevel_model(formula, frame)
    singular = any(np.linalg.eigvalsh(c)[0] < 1e-12 * max(fit.residual_variance, 1e-300) for c in fit.covariances)
    assert (fit.status == "boundary") == singular


@QUIET
@given(trials())
def test_profile_limits_hold_the_estimate_between_them(drawn):
    formula, frame, _ = drawn
    if "r" in formula.split("|")[-1]:
        return
    fit = multilevel_model(formula, frame)
    for row in fit.variance_intervals():
        if not np.isnan(row["estimate"]):
            assert row["ci_low"] <= row["estimate"] + 1e-9
            assert row["estimate"] <= row["ci_high"] + 1e-9
    for each in fit.icc(method="profile"):
        assert 0.0 <= each.ci_low <= each.estimate + 1e-6
        assert each.estimate - 1e-6 <= each.ci_high <= 1.0
