"""Round trips, monotonicity and invariances of power in nested trials."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wwc_eval.errors import DesignError
from wwc_eval.power import Baseline, Binary, Continuous, Level, Rate, TimeToEvent, TreatedGroups, Trial
from wwc_eval.power.kernels import critical, t_ncp, t_power, upper_tail

pytestmark = pytest.mark.property
SLOW = settings(max_examples=25, deadline=None)
share = st.floats(0.02, 0.5)


@st.composite
def trials(draw, outcomes=("continuous", "binary", "rate", "time")):
    depth = draw(st.integers(1, 4))
    at = draw(st.integers(0, depth - 1))
    rest = 0.9
    kind = draw(st.sampled_from(outcomes))
    levels = [Level("a", draw(st.integers(6, 80)) if depth > 1 else draw(st.integers(30, 900)))]
    for i in range(1, depth):
        icc = draw(st.floats(0, 0.3 * rest))
        rest -= icc
        levels.append(
            Level(
                "abcd"[i],
                draw(st.integers(12, 60)) if i == depth - 1 else draw(st.integers(4, 8)),
                icc=icc,
                r2=draw(st.floats(0, 0.6)),
                effect_heterogeneity=draw(st.floats(0, 0.6)),
            )
        )
    outcome = {
        "continuous": Continuous(sd=draw(st.floats(0.1, 40))),
        "binary": Binary(
            control=draw(st.floats(0.05, 0.9)),
            variance=draw(st.sampled_from(["unpooled", "pooled", "null", "fleiss", "arcsine", "logit"])),
            effect=draw(st.sampled_from(["risk_difference", "risk_ratio", "odds_ratio"])),
        ),
        "rate": Rate(
            control=draw(st.floats(0.05, 2)),
            exposure=draw(st.floats(0.5, 5)),
            test=draw(st.sampled_from(["difference", "log"])),
        ),
        "time": TimeToEvent(
            control=draw(st.floats(0.1, 0.8)), variance=draw(st.sampled_from(["schoenfeld", "events"]))
        ),
    }[kind]
    return Trial(
        levels=levels,
        assigned="abcd"[at],
        allocation=draw(st.floats(0.25, 0.75)),
        block_effects=draw(st.sampled_from(["random", "fixed", "constant"])),
        outcome=outcome,
    )


@given(
    trial=trials(),
    power=st.floats(0.3, 0.99),
    sides=st.sampled_from([1, 2]),
    direction=st.sampled_from(["fall", "rise", "either"]),
)
@SLOW
def test_power_of_the_detectable_effect_is_the_power(trial, power, sides, direction):
    try:
        found = trial.mdes(power, sides=sides, direction=direction)
    except DesignError as error:
        assert "out of reach" in str(error)
        return
    assert float(trial.power(found, sides=sides)) == pytest.approx(power, abs=1e-10)
    if direction != "either":
        assert float(trial.power(float(found), sides=sides)) == pytest.approx(power, abs=1e-10)
        assert (float(found) < trial.outcome.null) == (direction == "fall")


@given(trial=trials(("continuous", "binary")), power=st.floats(0.3, 0.95), pick=st.integers(0, 3))
@SLOW
def test_contrasts_invert_too(trial, power, pick):
    assume(trial.outcome.null == 0)
    level = trial.levels[pick % len(trial.levels)].name
    for design in (trial.factorial(), trial.factorial().interaction, trial.moderator(level, share=0.4)):
        try:
            found = design.mdes(power)
            assert float(design.power(found)) == pytest.approx(power, abs=1e-10)
        except DesignError as error:
            assert any(word in str(error) for word in ("out of reach", "must be > ", "degrees of freedom"))


@given(trial=trials(), power=st.floats(0.5, 0.95), pick=st.integers(0, 3), size=st.floats(0.1, 0.4))
@SLOW
def test_required_sizes_are_minimal_and_can_be_allocated(trial, power, pick, size):
    level = trial.levels[pick % len(trial.levels)].name
    low, _ = trial.outcome.bounds()
    effect = {
        "mean_difference": size * float(trial.outcome.sd) if isinstance(trial.outcome, Continuous) else 0,
        "risk_difference": size * float(np.asarray(low)),
    }.get(trial.outcome.scale, 1 - size)
    try:
        found = trial.required(level, effect, power)
    except DesignError as error:
        assert "out of reach" in str(error)
        return
    assert found.power >= power
    assert int(found) == 1 or found.short < power
    target = trial.level(trial.assigned).n if level != trial.assigned else int(found)
    treated, control = found.arms
    assert treated + control == pytest.approx(target)
    if float(target).is_integer():
        assert treated == round(treated)
        assert abs(treated - trial.allocation * target) <= 1


@given(trial=trials(("continuous",)), factor=st.floats(1.05, 3), effect=st.floats(0.05, 0.8))
@SLOW
def test_more_units_and_less_clustering_never_lose_power(trial, factor, effect):
    effect *= float(trial.outcome.sd)
    base = float(trial.power(effect))
    for level in trial.levels:
        more = trial.with_level(level.name, n=level.n * factor)
        assert float(more.power(effect)) >= base - 1e-12
        assert float(trial.with_level(level.name, r2=level.r2 / 2).power(effect)) <= base + 1e-12


@given(trial=trials(("continuous",)), factor=st.floats(0.01, 100), effect=st.floats(0.05, 0.8))
@SLOW
def test_units_of_the_outcome_do_not_matter(trial, factor, effect):
    sd = float(trial.outcome.sd)
    scaled = trial.replace(outcome=trial.outcome.replace(sd=sd * factor))
    assert float(scaled.power(effect * sd * factor)) == pytest.approx(float(trial.power(effect * sd)), abs=1e-12)


@given(p=st.floats(0.05, 0.95), other=st.floats(0.02, 0.98), n=st.integers(20, 400))
@SLOW
def test_a_risk_and_its_complement_have_the_same_power(p, other, n):
    e = other - p
    assume(abs(e) > 1e-3)
    trial = Trial(levels=[Level("child", n)], assigned="child", outcome=Binary(control=p))
    mirrored = trial.replace(outcome=Binary(control=1 - p))
    assert float(trial.power(e)) == pytest.approx(float(mirrored.power(-e)), abs=1e-12)


def test_arrays_broadcast_and_equal_their_elements():
    icc, n, effect = (
        np.array([0.01, 0.05])[:, None, None],
        np.array([20.0, 40.0, 80.0])[:, None],
        np.array([-0.1, 0.05]),
    )
    trial = Trial(
        levels=[Level("child", 30), Level("team", n, icc=icc)], assigned="team", outcome=Binary(control=0.3)
    )
    power, mdes = trial.power(effect), trial.mdes(np.array([0.8, 0.9]))
    size = trial.required("child", -0.2)
    assert power.shape == mdes.shape == (2, 3, 2)
    assert len(power.to_frame()) == 12
    for i in range(2):
        for j in range(3):
            one = trial.with_level("team", icc=float(icc[i, 0, 0]), n=float(n[j, 0]))
            assert int(np.asarray(size)[i, j, 0]) == int(one.required("child", -0.2))
            for k in range(2):
                assert np.asarray(power)[i, j, k] == pytest.approx(float(one.power(float(effect[k]))), abs=1e-13)
                assert np.asarray(mdes)[i, j, k] == pytest.approx(float(one.mdes((0.8, 0.9)[k])), abs=1e-13)
    with pytest.raises(DesignError, match="float"):
        float(power)


@given(df=st.floats(1, 1e6), ncp=st.floats(-5, 60), alpha=st.floats(1e-4, 0.5))
@SLOW
def test_kernel_equals_scipy(df, ncp, alpha):
    from scipy.stats import nct

    t = float(critical(df, alpha, 1))
    assert float(upper_tail(t, df, ncp)) == pytest.approx(float(nct.sf(t, df, ncp)), abs=2e-12)


@given(
    df=st.floats(2, 1e10),
    alpha=st.floats(1e-3, 0.2),
    gain=st.floats(0.01, 0.99),
    sides=st.sampled_from([1, 2]),
    both=st.booleans(),
)
@SLOW
def test_kernel_inverts(df, alpha, gain, sides, both):
    power = alpha + gain * (1 - alpha) * 0.999
    ncp = t_ncp(power, df, alpha=alpha, sides=sides, both=both)
    assert float(t_power(ncp, df, alpha=alpha, sides=sides, both=both)) == pytest.approx(power, abs=1e-12)


def test_two_rules_of_the_kernel_agree():
    from scipy import special

    from wwc_eval.power.kernels import _mixed, _tails

    df, ncp = np.meshgrid(np.array([1, 2.5, 7, 30, 400, 1e5]), np.linspace(0, 12, 25))
    t = critical(df, 0.05, 2)
    series = _tails(t, df, ncp, None, both=False)[0]
    rule = _mixed(t.ravel(), df.ravel(), ncp.ravel(), special.ndtr).reshape(df.shape)
    assert np.max(np.abs(series - rule)) < 1e-13


def test_designs_are_frozen_and_equal_and_travel():
    trial = Trial(
        levels=[Level("child", np.array([10, 20])), Level("team", 20, icc=0.05)],
        assigned="team",
        baseline=Baseline(correlation={"child": 0.4}),
        groups=TreatedGroups(name="group", n=5, icc=0.05),
    )
    again = pickle.loads(pickle.dumps(trial))
    assert again.levels == trial.levels
    assert hash(again.levels[0]) == hash(trial.levels[0])
    assert np.array_equal(np.asarray(again.power(0.4)), np.asarray(trial.power(0.4)))
    assert trial.levels[0] != trial.levels[1]
    with pytest.raises(AttributeError):
        trial.allocation = 0.3
    with pytest.raises(ValueError, match="read-only"):
        trial.levels[0].n[0] = 3


def test_infinite_df_is_a_z_test():
    trial = Trial(levels=[Level("child", 100)], assigned="child", df=math.inf)
    assert float(trial.power(0.5)) == pytest.approx(float(trial.power(0.5, convention="normal")), abs=1e-15)
