"""Panels: detectable effects invert power, required numbers are minimal, nonsense is refused."""

import numpy as np
import pytest

from wwc_eval.errors import DesignError
from wwc_eval.power import Binary, Continuous, PanelDiD, Rate

OUTCOMES = {
    "scores": (Continuous(sd=8.0), 4.0, 40.0),
    "risks": (Binary(control=0.2), 0.02, 900.0),
    "rates": (Rate(control=0.006), 0.0006, 20_000.0),
}
STANDARD = PanelDiD.standard(treated=6, control=60, pre=5, post=3, noise_sd=4.0, rho=0.6)


@pytest.mark.property
@pytest.mark.parametrize("kind", OUTCOMES)
@pytest.mark.parametrize("estimator", ["ols", "gls"])
@pytest.mark.parametrize("df", ["clusters", "z", 9.5])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_power_of_the_detectable_effect_is_the_power(kind, estimator, df, power):
    outcome, noise, people = OUTCOMES[kind]
    design = PanelDiD.staggered(
        starts=[3, 4, 4, 6], control=20, periods=9, noise_sd=noise, rho=0.4, population=people, outcome=outcome,
        estimator=estimator, df=df,
    )  # fmt: skip
    found = design.mdes(power)
    for effect in (float(found.fall), float(found.rise)):
        assert float(design.power(effect)) == pytest.approx(power, abs=1e-10)


@pytest.mark.property
@pytest.mark.parametrize("level", ["treated", "control"])
@pytest.mark.parametrize("effect", [4.7, 5.5])
def test_required_numbers_are_minimal(level, effect):
    design = STANDARD if level == "treated" else STANDARD.replace(treatment=STANDARD.treatment[:30])
    found = design.required(level, effect)
    assert found.power >= 0.8
    treated, control = (int(arm) for arm in found.arms)
    assert int(found) == (treated if level == "treated" else control)
    again = PanelDiD.standard(treated=treated, control=control, pre=5, post=3, noise_sd=4.0, rho=0.6)
    assert float(again.power(effect)) == pytest.approx(found.power, abs=1e-12)
    if int(found) > 1:
        assert found.short < 0.8
    assert f"{level} LAs required" in str(found)


def test_cohorts_are_repeated_whole():
    design = PanelDiD.staggered(starts=[2, 2, 4, 4, 5, 5], control=30, periods=8, noise_sd=4.0, rho=0.5)
    found = design.required("treated", 2.5)
    assert int(found) % 3 == 0
    assert found.power >= 0.8 > found.short


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rho": 1.0}, "rho == 1, must be < 1"),
        ({"noise_sd": -1}, "noise_sd == -1, must be >= 0"),
        ({"treatment": np.ones((6, 4))}, "cannot be told apart"),
        ({"treatment": np.ones((2, 4))}, "2 LAs, a panel needs at least 3"),
        ({"treatment": [[0, 2], [0, 0], [0, 0]]}, "of 0 and 1"),
        ({"population": 0}, "population == 0"),
        ({"population": [1, 2, 3]}, "population has shape"),
        ({"estimator": "wls"}, "estimator == 'wls'"),
        ({"df": 0}, "df == 0"),
    ],
)
def test_nonsense_is_refused(change, message):
    with pytest.raises(DesignError, match=message):
        STANDARD.replace(**change)


def test_sizes_that_cannot_be_had_are_refused():
    with pytest.raises(DesignError, match="no number of control LAs reaches 80% power"):
        STANDARD.required("control", 1.0)
    with pytest.raises(DesignError, match="is no effect"):
        STANDARD.required("treated", 0.0)
    with pytest.raises(DesignError, match="LA by LA"):
        STANDARD.replace(population=np.full((66, 1), 50.0)).required("treated", 3.0)
