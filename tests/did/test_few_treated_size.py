"""Size with few treated: the committed study, a sample of it run anew, and the study held to the product."""

import json
import math
from pathlib import Path

import did_size_study as study
import numpy as np
import pandas as pd
import pytest
import rollout_size_study as rollouts

import wwc_eval as we

ADVISED = {
    1: ("permutation", "ferman_pinto"),
    2: ("permutation", "ferman_pinto"),
    3: ("permutation", "ferman_pinto"),
    5: ("permutation", "ferman_pinto"),
    10: ("permutation", "ferman_pinto", "CR2", "wild_bootstrap"),
    20: ("permutation", "ferman_pinto", "CR2", "wild_bootstrap"),
}


def record():
    return json.loads(study.RECORD.read_text())


def noise(size, reps):
    return math.sqrt(size * (1 - size) / reps)


@pytest.mark.simulation
def test_an_advised_method_holds_its_level_for_every_number_of_treated():
    rows = [row for row in record()["rows"] if row["where"] == "all"]
    assert {(row["treated"], row["rho"]) for row in rows} == {
        (k, rho) for k in study.TREATED for rho in study.RHOS
    }
    for row in rows:
        for method in ADVISED[row["treated"]]:
            slack = 2 * noise(0.05, row["reps"])
            assert 0.04 - slack <= row[method] <= 0.06 + slack, (method, row)


@pytest.mark.simulation
def test_conventional_errors_do_not_and_one_treated_has_none_of_cr2():
    for row in record()["rows"]:
        if row["where"] == "all" and row["treated"] <= 3:
            assert row["CR1S"] > 0.15
        assert (row["CR2"] is None) == (row["treated"] == 1)


@pytest.mark.simulation
def test_permutation_is_exact_only_on_average_over_sizes():
    found = {
        (row["where"], row["rho"]): row
        for row in record()["rows"]
        if row["treated"] == 1 and row["where"] != "all"
    }
    for rho in study.RHOS:
        assert found["smallest", rho]["permutation"] > 0.12
        assert found["largest", rho]["permutation"] < 0.01
    for where in study.WHERE[1:]:
        for treated in study.TREATED[:-1]:
            rows = [row for row in record()["rows"] if (row["where"], row["treated"]) == (where, treated)]
            reps = sum(row["reps"] for row in rows)
            size = sum(row["ferman_pinto"] * row["reps"] for row in rows) / reps
            assert 0.04 - 2 * noise(0.05, reps) <= size <= 0.06 + 2 * noise(0.05, reps)


@pytest.mark.simulation
def test_a_sample_of_the_study_agrees_with_its_record():
    rows = {(row["where"], row["treated"], row["rho"]): row for row in record()["rows"]}
    for where, treated, rho in (("all", 2, 0.4), ("smallest", 1, 0.8)):
        reps = 400
        fresh = study.sizes(rho, treated, where, reps, seed=99)
        for name, value in fresh.items():
            past = rows[where, treated, rho][name]
            if past is None:
                assert value is None
            else:
                assert abs(value - past) < 4 * noise(max(past, 0.005), reps) + 0.002, (name, value, past)


def frame_of(q, pop):
    """A panel whose changes from before to after are q."""
    rng = np.random.default_rng(3)
    T, start = study.QUARTERS, study.START
    e = rng.normal(size=(len(q), T))
    e[:, start:] += (q - (e[:, start:].mean(axis=1) - e[:, :start].mean(axis=1)))[:, None]
    return pd.DataFrame(
        {
            "la": np.repeat(np.arange(len(q)), T),
            "t": np.tile(np.arange(T), len(q)),
            "y": e.ravel(),
            "pop": np.repeat(pop, T),
        }
    )


@pytest.mark.parametrize("treated", [1, 4])
def test_the_closed_forms_of_the_study_are_what_the_product_finds(treated):
    rng = np.random.default_rng(treated)
    q, pop = study.treated_first(study.changes(0.4, 1, rng), treated, "all", rng)
    data = frame_of(q[0], pop[0])
    data["g"] = np.where(data["la"] < treated, study.START, 0)
    panel = we.Panel(data, unit="la", period="t", outcome="y", cohort="g")
    methods = ("CR1S", "CR2", "CR3", "permutation", "studentised_permutation", "conley_taber", "ferman_pinto")
    found = we.did.few_treated(panel, methods=(*methods, "wild_bootstrap"), draws=4_999, rng=1, population="pop")
    mine = study.p_values(q, pop, treated, 4_999, rng)
    for name in study.METHODS:
        value = float(mine[name][0])
        exact = name.startswith("CR") or (treated == 1 and name in ("permutation", "conley_taber"))
        if math.isnan(value):
            assert math.isnan(found[name].p_value)
        elif exact:
            assert found[name].p_value == pytest.approx(value, rel=1e-7), name
        else:
            assert abs(found[name].p_value - value) < 4.5 * math.sqrt(2) * noise(max(value, 0.01), 4_999), name


# --- roll-outs over three dates, with noise as it comes


def test_the_page_shows_the_record_of_roll_outs():
    page = (Path(__file__).parents[2] / "docs" / "methods" / "did_inference.md").read_text(encoding="utf-8")
    assert "\n".join(rollouts.table(json.loads(rollouts.RECORD.read_text()))) in page


@pytest.mark.simulation
def test_permutation_and_ferman_pinto_hold_their_level_in_roll_outs():
    rows = json.loads(rollouts.RECORD.read_text())["rows"]
    assert {(row["noise"], row["treated"]) for row in rows} == {
        (n, t) for n in rollouts.NOISES for t in rollouts.TREATED
    }
    reps = sum(row["reps"] for row in rows)
    mean = {name: sum(row[name] for row in rows) / len(rows) for name in rollouts.SHOWN}
    # permutation is exact on average over who is treated
    assert abs(mean["permutation"] - 0.05) < 3.5 * noise(0.05, reps)
    assert 0.04 <= mean["ferman_pinto"] <= 0.06 + 2 * noise(0.05, reps)
    for row in rows:
        assert abs(row["permutation"] - 0.05) < 3 * noise(0.05, row["reps"]), row
        assert row["CR1S"] > 0.06


@pytest.mark.simulation
def test_a_sample_of_roll_outs_agrees_with_its_record():
    rows = {(row["noise"], row["treated"]): row for row in json.loads(rollouts.RECORD.read_text())["rows"]}
    rng = np.random.default_rng(5)
    p = np.array([rollouts.trial("7% missing", 6, rng) for _ in range(40)])
    assert p.shape == (40, len(rollouts.SHOWN))
    for name, share in zip(rollouts.SHOWN, (p <= 0.05).mean(axis=0), strict=True):
        past = rows["7% missing", 6][name]
        assert abs(share - past) < 4 * noise(max(past, 0.02), 40), name
