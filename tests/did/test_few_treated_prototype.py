"""Sizes with few treated that another program simulated: ours of the same design, within both studies' noise."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri, stdtrit

import wwc_eval as we

FIGURES = json.loads((Path(__file__).parents[1] / "reference" / "did_few_treated_sizes.json").read_text())
LAS, QUARTERS, START, REPS, DRAWS = 150, 20, 12, 2_500, 199


@cache
def samples():
    """Panels without any effect, shape (reps, LAs, quarters): AR(1), each LA with errors of its own size."""
    rng = np.random.default_rng(20261127)
    noise = rng.standard_normal((QUARTERS, REPS, LAS))
    for t in range(1, QUARTERS):
        noise[t] = 0.6 * noise[t - 1] + 0.8 * noise[t]
    return np.moveaxis(noise * np.exp(rng.normal(0, 0.3, (REPS, LAS))), 0, 2)


def two_means(values, n1):
    """Difference of means of treated and untreated, and its two sums of squares, by row."""
    parts = values[:, :n1], values[:, n1:]
    squares = [((part - part.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) for part in parts]
    return parts[0].mean(axis=1) - parts[1].mean(axis=1), squares


def statistics(outcomes, n1):
    """Effect over error: of Callaway and Sant'Anna, of two-way fixed effects with CR1S, and with CR3."""
    n0, n = LAS - n1, LAS * QUARTERS
    after = outcomes[:, :, START:].mean(axis=2)
    effect, (one, zero) = two_means(after - outcomes[:, :, START - 1], n1)
    found = {"cs_analytic_z": effect / np.sqrt(one / n1**2 + zero / n0**2)}
    effect, (one, zero) = two_means(after - outcomes[:, :, :START].mean(axis=2), n1)
    factor = LAS / (LAS - 1) * (n - 1) / (n - QUARTERS - 1)
    found["twfe_CR1_t"] = effect / np.sqrt(factor * (one / n1**2 + zero / n0**2))
    if n1 > 1:
        found["cr3_t"] = effect / np.sqrt(one / (n1 - 1) ** 2 + zero / (n0 - 1) ** 2)
    return found


def permuted(outcomes, n1, rng):
    """p of a permutation that draws which LAs are treated."""
    change = outcomes[:, :, START:].mean(axis=2) - outcomes[:, :, :START].mean(axis=2)
    chosen = np.zeros((DRAWS, LAS))
    np.put_along_axis(chosen, np.argsort(rng.random((DRAWS, LAS)), axis=1)[:, :n1], 1.0, axis=1)
    sums = change @ chosen.T
    effects = sums / n1 - (change.sum(axis=1)[:, None] - sums) / (LAS - n1)
    own = two_means(change, n1)[0]
    return (1 + (np.abs(effects) >= np.abs(own)[:, None]).sum(axis=1)) / (1 + DRAWS)


@pytest.mark.simulation
@pytest.mark.parametrize("n1", [1, 2, 3, 5, 10, 20])
def test_sizes_agree_with_those_of_the_prototype(n1):
    there, outcomes, rng = FIGURES["sizes"][str(n1)], samples(), np.random.default_rng(n1)
    found = statistics(outcomes, n1)
    cut = {"cs_analytic_z": ndtri(0.975), "twfe_CR1_t": stdtrit(LAS - 1, 0.975)}
    # its jackknife has a factor (G - 1) / G
    cut["cr3_t"] = stdtrit(LAS - 1, 0.975) * np.sqrt((LAS - 1) / LAS)
    sizes = {name: (np.abs(value) > cut[name]).mean() for name, value in found.items()}
    sizes["perm_exact"] = np.mean(
        [permuted(part, n1, rng) <= 0.05 + 1e-12 for part in np.array_split(outcomes, 20)]
    )
    if n1 == 1:
        # one treated LA does not identify the error: nothing was tested, so nothing rejected
        assert there["cr3_t"] == 0.0
        sizes["cr3_t"] = 0.0
    assert sizes.keys() == there.keys()
    for name, share in there.items():
        noise = np.sqrt(sizes[name] * (1 - sizes[name]) * (1 / FIGURES["reps"] + 1 / REPS))
        assert abs(sizes[name] - share) <= 3 * noise, (name, sizes[name], share)


@pytest.mark.parametrize("n1", [1, 4])
def test_the_closed_forms_are_what_the_product_finds(n1):
    outcomes = samples()[0]
    data = pd.DataFrame(
        {"la": np.repeat(np.arange(LAS), QUARTERS), "t": np.tile(np.arange(QUARTERS), LAS), "y": outcomes.ravel()}
    )
    panel = we.Panel(
        data.assign(g=np.where(data["la"] < n1, START, 0)), unit="la", period="t", outcome="y", cohort="g"
    )
    found = {name: float(value[0]) for name, value in statistics(samples()[:1], n1).items()}
    simple = we.did.callaway_santanna(panel).overall
    assert simple.estimate / simple.se == pytest.approx(found["cs_analytic_z"], rel=1e-9)
    for name, vcov in (("twfe_CR1_t", "CR1S"), ("cr3_t", "CR3")):
        if name in found:
            item = we.did.two_way_fixed_effects(panel, vcov=vcov).overall
            assert item.estimate / item.se == pytest.approx(found[name], rel=1e-9)
