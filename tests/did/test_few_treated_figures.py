"""Sizes with few treated from an independent program (1,000 panels each) against the committed study and the product."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we

pytestmark = [pytest.mark.reference, pytest.mark.simulation]

RECORD = json.loads((Path(__file__).parents[1] / "reference" / "did_sizes.json").read_text())
# 150 units, 20 periods, treated from the 13th, AR(1) 0.6, scales log-normal (0.3); seed 0
PANELS = 1_000
SIZES = {
    1: {"cs_analytic_z": 0.871, "twfe_CR1_t": 0.848, "cr3_t": 0.0, "perm_exact": 0.042},
    2: {"cs_analytic_z": 0.366, "twfe_CR1_t": 0.331, "cr3_t": 0.179, "perm_exact": 0.041},
    3: {"cs_analytic_z": 0.225, "twfe_CR1_t": 0.213, "cr3_t": 0.109, "perm_exact": 0.066},
    5: {"cs_analytic_z": 0.116, "twfe_CR1_t": 0.124, "cr3_t": 0.07, "perm_exact": 0.039},
    10: {"cs_analytic_z": 0.096, "twfe_CR1_t": 0.08, "cr3_t": 0.063, "perm_exact": 0.054},
    20: {"cs_analytic_z": 0.067, "twfe_CR1_t": 0.055, "cr3_t": 0.048, "perm_exact": 0.043},
}


def noise(size, *panels):
    """Monte Carlo error of a difference of shares."""
    return math.sqrt(size * (1 - size) * sum(1 / count for count in panels))


@pytest.mark.parametrize("treated", list(SIZES))
def test_the_committed_study_and_the_figures_agree(treated):
    """At any autocorrelation of the study: what matters is how few are treated."""
    rows = [row for row in RECORD["rows"] if row["where"] == "all" and row["treated"] == treated]
    assert len(rows) == 3
    for row in rows:
        for ours, theirs in (("CR1S", "twfe_CR1_t"), ("permutation", "perm_exact")):
            size = row[ours]
            assert abs(size - SIZES[treated][theirs]) < 3.5 * noise(size, PANELS, row["reps"])


def rejected(treated, panels, seed):
    """Share of panels without effect in which each method of the product finds one."""
    rng, found = np.random.default_rng(seed), {"cs_analytic_z": 0, "twfe_CR1_t": 0, "cr3_t": 0}
    error = np.zeros((panels, 150, 20))
    fresh = rng.normal(size=error.shape)
    error[..., 0] = fresh[..., 0]
    for t in range(1, 20):
        error[..., t] = 0.6 * error[..., t - 1] + 0.8 * fresh[..., t]
    error *= np.exp(rng.normal(0, 0.3, (panels, 150, 1)))
    labels = {"unit": np.repeat(np.arange(150), 20), "period": np.tile(np.arange(20), 150)}
    data = pd.DataFrame(labels).assign(start=lambda d: np.where(d["unit"] < treated, 12, -1))
    data["start"] = data["start"].where(data["start"] > 0)
    for one in error:
        panel = we.Panel(data.assign(y=one.ravel()), unit="unit", period="period", outcome="y", cohort="start")
        for name, item in (
            ("cs_analytic_z", we.did.callaway_santanna(panel).aggregate("simple").overall),
            ("twfe_CR1_t", we.did.two_way_fixed_effects(panel).overall),
            ("cr3_t", we.did.two_way_fixed_effects(panel, vcov="CR3", df="clusters").overall),
        ):
            found[name] += item.p_value < 0.05
    return {name: count / panels for name, count in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("treated", [2, 5])
def test_the_product_has_these_sizes(treated):
    """CR3 with clusters - 1 degrees of freedom, as there; with Satterthwaite's it holds its level (the study)."""
    panels = 120
    for name, share in rejected(treated, panels, 5).items():
        size = SIZES[treated][name]
        assert abs(share - size) < 3.5 * noise(size, PANELS, panels), name
