"""Power, detectable effects and sizes equal those of PowerUpR, clusterPower, CRTSize, pwr and R's stats."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from power_cases import CASES, MAIN, POWER, clusters, main_effect, partially_nested
from scipy import optimize, special

from wwc_eval.errors import DesignError
from wwc_eval.power import Binary, Continuous, Correlation, Level, Rate, Trial

pytestmark = pytest.mark.reference
TIGHT = {"abs": 1e-9, "rel": 1e-9}


def close(value):
    return pytest.approx(value, **TIGHT)


def options(case):
    given = case["inputs"]
    return {
        "alpha": given.get("alpha", 0.05),
        "sides": 1 if given.get("two.tailed") is False else 2,
        "convention": "powerup",
    }


def ids(*designs, quantity):
    return [
        c["id"]
        for c in CASES.values()
        if c["design"] in designs and c["quantity"] == quantity and "more" not in c["id"]
    ]


NESTED = (*MAIN, "ira_pn", "cra2_pn", "bira2_pn", "bcra3r2_pn")


def trial_of(case):
    return partially_nested(case) if case["design"].endswith("_pn") else main_effect(case)


@pytest.mark.parametrize("case", ids(*NESTED, quantity="power"))
def test_power_of_powerup_designs(case):
    case = CASES[case]
    found = trial_of(case).power(case["inputs"]["es"], **options(case))
    assert float(found) == close(case["result"]["power"])
    assert found.ncp == close(case["result"]["ncp"])
    assert found.df == close(case["result"]["df"])


@pytest.mark.parametrize("case", ids(*NESTED, quantity="mdes"))
def test_detectable_effects_of_powerup_designs(case):
    case = CASES[case]
    found = trial_of(case).mdes(case["inputs"].get("power", 0.8), **options(case))
    assert float(found) == close(case["result"]["mdes"])
    assert found.se == close(case["result"]["sse"])
    if case["result"]["df"] is not None:
        assert found.df == close(case["result"]["df"])


@pytest.mark.parametrize("case", ids(*NESTED, quantity="mrss"))
def test_sizes_of_powerup_designs(case):
    case = CASES[case]
    size, level = next((key, NAMES) for key, NAMES in SOUGHT.items() if key in case["result"])
    trial = trial_of(case)
    names = [each.name for each in trial.levels]
    level = "school" if case["design"] == "bira2_pn" else level
    found = trial.required(level, case["inputs"]["es"], case["inputs"]["power"], **options(case))
    assert level in names
    assert int(found) == case["result"][size]
    if not case["design"].endswith("3") and "3r2" not in case["design"]:
        # PowerUpR's three-level functions stop their search by another rule, at the same rounded size
        assert found.df == close(case["result"]["df"])


SOUGHT = {"n": "child", "J": "class", "K": "school", "L": "area"}


def test_sizes_of_powerup_may_fall_short_and_ours_do_not():
    case = CASES["powerupr-012"]
    trial, es = main_effect(case), case["inputs"]["es"]
    theirs = trial.required("class", es, convention="powerup")
    ours = trial.required("class", es)
    assert ours.power >= 0.8 > ours.short
    assert int(theirs) <= int(ours)


@pytest.mark.parametrize("case", POWER)
def test_power_of_cluster_trials(case):
    trial, effect, convention = POWER[case]
    found = CASES[case]["result"]["power"]
    assert float(trial.power(effect, convention=convention)) == close(found)


def test_power_is_not_that_of_another_convention():
    trial, effect, _ = POWER["other-045"]
    one_tail = float(trial.power(effect, convention="upper_tail"))
    assert CASES["other-045"]["result"]["power"] - one_tail == pytest.approx(9.3e-7, rel=0.1)


def test_moderated_effects():
    cluster = Trial(levels=[Level("child", 20), Level("team", 60, icc=0.2)], assigned="team")
    found = cluster.moderator("team", share=0.5).power(0.3, convention="powerup")
    result = CASES["powerupr-105"]["result"]
    assert (float(found), found.ncp, found.df) == close((result["power"], result["ncp"], result["df"]))
    found = cluster.with_level("team", n=40).moderator("child", share=0.3).mdes(convention="powerup")
    result = CASES["powerupr-106"]["result"]
    assert (float(found), found.se, found.df) == close((result["mdes"], result["sse"], result["df"]))


@pytest.mark.parametrize(
    ("case", "trial", "effect", "power", "convention"),
    [
        ("other-046", Trial(levels=[Level("child", 9)], assigned="child"), 0.25, 0.8, "exact"),
        (
            "other-048",
            Trial(levels=[Level("child", 9)], assigned="child", outcome=Binary(control=0.3, variance="arcsine")),
            -0.1,
            0.8,
            "normal",
        ),
        (
            "other-051",
            Trial(levels=[Level("child", 9)], assigned="child", outcome=Binary(control=0.3, variance="fleiss")),
            -0.1,
            0.8,
            "normal_upper",
        ),
        (
            "other-036",
            clusters(Rate(control=0.0148), n=424, k=0.29),
            0.0104 / 0.0148,
            0.9,
            "hayes_bennett",
        ),
        ("other-052", clusters(Continuous()), 0.3, 0.8, "crtsize"),
        ("other-053", clusters(Binary(control=0.3)), -0.1, 0.8, "crtsize"),
    ],
)
def test_sizes_an_arm_before_rounding(case, trial, effect, power, convention):
    found = trial.required(trial.assigned, effect, power, convention=convention)
    result = CASES[case]["result"]
    # the programs' own root finders stop at about 1e-6 of the size
    tight = 1e-9 if convention == "crtsize" else 2e-6
    assert found.fraction / 2 == pytest.approx(next(iter(result.values())), rel=tight)


def test_f_test_of_one_coefficient():
    # f2 = P (1 - P) d^2 for one treatment dummy; v = N - 2
    trial = Trial(levels=[Level("child", 9)], assigned="child")
    found = trial.required("child", math.sqrt(0.02 / 0.25))
    assert found.fraction - 2 == pytest.approx(CASES["other-050"]["result"]["v"], rel=2e-6)


@pytest.mark.parametrize("case", ["more-007", "more-009"])
def test_detectable_effects_by_the_inverse_of_the_power(case):
    given, result = CASES[case]["inputs"], CASES[case]["result"]
    trial = Trial(
        levels=[Level("pupil", given["n"]), Level("school", given["J"], icc=given["icc"])], assigned="school"
    )
    found = float(trial.mdes(sides=given["tails"]))
    assert found == close(result["mdes"])
    assert round(found, 3) == result["published"]


def test_three_levels_of_a_vignette():
    case = CASES["more-005"]
    assert float(main_effect(case).mdes(convention="powerup")) == close(case["result"]["mdes"])


def test_sizes_that_find_a_correlation():
    case = CASES["other-049"]
    found = optimize.brentq(
        lambda n: Correlation(n=n).power(case["inputs"]["r"], convention="fisher_z") - 0.8, 4, 1_000, xtol=1e-12
    )
    assert found == pytest.approx(case["result"]["n"], rel=2e-6)  # R's root finder stops there
    assert Correlation.required(case["inputs"]["r"], convention="fisher_z") == 85
    assert Correlation.required(case["inputs"]["r"]) == 84


def test_power_to_find_a_correlation_of_normal_measures():
    rng, n, r = np.random.default_rng(5), 12, 0.6
    x, own = rng.standard_normal((2, 40_000, n))
    y = r * x + math.sqrt(1 - r**2) * own
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    found = (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))
    t = found * np.sqrt((n - 2) / (1 - found**2))
    share = (np.abs(t) > -special.stdtrit(n - 2, 0.025)).mean()
    power = Correlation(n=n).power(r)
    assert abs(share - power) < 3.5 * math.sqrt(power * (1 - power) / 40_000)
    assert Correlation(n=n).power(Correlation(n=n).mdes(0.9)) == pytest.approx(0.9, abs=1e-10)
    with pytest.raises(DesignError, match="r == 1"):
        Correlation(n=n).power(1.0)
    with pytest.raises(DesignError, match="no number of units"):
        Correlation.required(0.0)


def test_every_case_has_a_test():
    """Cases of the list are tested here, with the wedges, or with the allocations that they count."""
    module = Path(__file__).read_text(encoding="utf-8")
    named = set(re.findall(r'"((?:powerupr|other|more)-\d+)"', module))
    here = (
        named | set(POWER) | {case for kind in ("power", "mdes", "mrss") for case in ids(*NESTED, quantity=kind)}
    )
    assert set(CASES) <= here
    home = Path(__file__).parents[1]
    tested = set(CASES)
    for name in ("power_wedge", "allocation_counts"):
        tested |= {case["id"] for case in json.loads((home / "reference" / f"{name}.json").read_text())["cases"]}
    constrained = json.loads((home / "reference" / "randomisation_constrained.json").read_text())["meta"]["source"]
    tested |= set(re.findall(r"rand-\d+", constrained))
    listed = home.parents[1] / "shared" / "reference" / "power.json"
    if listed.exists():
        every = {case["id"] for case in json.loads(listed.read_text())["cases"] if not case.get("bug")}
        assert every <= tested
