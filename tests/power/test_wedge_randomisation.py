"""Power of the randomisation test of few clusters, from the means of cells."""

import numpy as np
import pytest

from wwc_eval.errors import DesignError
from wwc_eval.power import Binary, SteppedWedge

SIX = SteppedWedge.standard(clusters=6, steps=3, cell_size=50, icc=0.02, cac=0.8)
FIVE = SteppedWedge.standard(
    clusters=5,
    steps=5,
    cell_size=[900, 1800, 300, 450, 1050, 900],
    icc=0.0033,
    cac=0.8,
    outcome=Binary(control=0.07),
)


@pytest.mark.simulation
@pytest.mark.parametrize("effect", [0.0, 0.3, 0.4])
def test_power_is_that_of_simulated_trials(effect):
    found = SIX.randomisation_power(effect, rng=1)
    again = SIX.simulate(effect, 10_000, rng=2, analysis="randomisation_test")
    assert abs(float(found) - again.power) < 4 * np.hypot(found.mc_se, again.power_mc_se)


@pytest.mark.simulation
def test_clusters_of_unequal_size_take_the_allocations_in_turn():
    sizes = np.outer([30, 60, 90, 40, 50, 80], np.ones(4))
    design = SteppedWedge.standard(clusters=6, steps=3, cell_size=sizes, icc=0.05, cac=0.7)
    found = design.randomisation_power(0.35, rng=1)
    again = design.simulate(0.35, 10_000, rng=2, analysis="randomisation_test")
    assert abs(float(found) - again.power) < 4 * np.hypot(found.mc_se, again.power_mc_se) + 0.005


@pytest.mark.simulation
def test_risks_by_their_working_variance():
    found = FIVE.randomisation_power(-0.02, rng=1)
    again = FIVE.simulate(-0.02, 1_000, rng=2, analysis="randomisation_test")
    assert abs(float(found) - again.power) < 0.06
    null = FIVE.randomisation_power(0.0, rng=3)
    assert abs(float(null) - 6 / 120) < 4 * null.mc_se


def test_where_the_test_cannot_reject():
    strata = FIVE.replace(strata=["ready", "ready", "later", "later", "later"])
    found = strata.randomisation_power(-0.05, rng=1)
    assert (float(found), found.n_permitted) == (0.0, 12)
    assert "0.0833" in str(found)
    assert float(strata.randomisation_power(-0.05, alpha=0.09, rng=1)) > 0.9
    with pytest.raises(DesignError, match="never rejects"):
        strata.randomisation_mdes(direction="fall", rng=1)


def test_detectable_effect_has_its_power():
    mdes = SIX.randomisation_mdes(0.8, direction="fall", draws=4_000, rng=1)
    assert mdes < 0
    assert float(SIX.randomisation_power(mdes, draws=4_000, rng=1)) == pytest.approx(0.8, abs=1e-3)
    assert abs(mdes) > float(SIX.mdes())
    with pytest.raises(DesignError, match="incomplete"):
        SteppedWedge.standard(
            clusters=6, steps=3, periods_per_step=2, transition=1, cell_size=5, icc=0.1
        ).randomisation_power(0.3, rng=1)
