"""Pilots: figures of publications and of R."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import special

import wwc_eval as we
from wwc_eval.pilot.exact import normal_size
from wwc_eval.pilot.sizes import WHITEHEAD, problem_size, share_of_main

CASES = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[1] / "reference" / "pilot.json").read_text())["cases"]
}
pytestmark = pytest.mark.reference


def case(name):
    return CASES[name]["input"], CASES[name]["expected"]


@pytest.mark.parametrize(
    ("name", "exact", "first"), [("lewis2021_recruit", 83, 77), ("lewis2021_fidelity", 35, 33)]
)
def test_lewis_and_others_2021(name, exact, first):
    """Table 4: 78 and 34 by the corrected normal formula; exact power there is 87.4% and 88.1%."""
    inputs, expected = case(name)
    criterion = we.pilot.ProgressionCriterion("share", red=inputs["rul"], green=inputs["gll"])
    found = criterion.sample_size(power=inputs["power"], alpha=inputs["alpha"])
    plain, corrected = normal_size(inputs["rul"], inputs["gll"], inputs["power"], inputs["alpha"])
    assert corrected == pytest.approx(expected["n_formula"], rel=1e-12)
    assert found.normal_uncorrected == plain
    assert (int(found), found.first_crossing) == (exact, first)
    assert found.normal_approximation == expected["n_published"]
    assert found.normal_power == pytest.approx({78: 0.874, 34: 0.881}[expected["n_published"]], abs=5e-4)


def test_lewis_and_others_without_correction():
    inputs, expected = case("lewis_abstract_40_70")
    plain, _ = normal_size(inputs["rul"], inputs["gll"], inputs["power"], inputs["alpha"])
    assert plain == pytest.approx(expected["n_formula"], rel=1e-12)
    assert round(plain) == expected["n_published"]


def test_sizes_of_pilots():
    inputs, expected = case("viechtbauer2015_5pct")
    assert problem_size(inputs["p_problem"], inputs["confidence"]) == expected["n"]
    inputs, expected = case("whitehead2016")
    sizes = [n for _, n in WHITEHEAD[inputs["power"]]]
    assert sizes == [expected[name] for name in ("extra_small", "small", "medium", "large")]
    inputs, expected = case("cocks_torgerson2013")
    for power in (80, 90):
        found = share_of_main(power=power / 100, confidence=inputs["conf"])
        assert found == pytest.approx(expected[f"formula_power{power}"], rel=1e-10)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("rate_")])
def test_intervals_of_shares(name):
    inputs, expected = case(name)
    for method, key in (
        ("clopper_pearson", "clopper_pearson"),
        ("wilson", "wilson"),
        ("mid_p", "midp"),
        ("jeffreys", "jeffreys"),
    ):
        found = we.pilot.rate_interval(inputs["x"], inputs["n"], method, level=inputs["level"])
        assert (found.ci_low, found.ci_high) == pytest.approx(expected[key], abs=1e-12)
    if inputs["x"]:
        p_value = (
            we.pilot.ProgressionCriterion("x", red=0.6, green=0.8).decide(inputs["x"], inputs["n"]).exact_p_value
        )
        assert p_value == pytest.approx(expected["p_one_sided_gt_.6"], rel=1e-9)


@pytest.mark.parametrize("name", ["rag_78_22", "rag_44_36"])
def test_decisions(name):
    inputs, expected = case(name)
    criterion = we.pilot.ProgressionCriterion("share", red=inputs["red_upper"], green=inputs["green_lower"])
    found = criterion.decide(inputs["x"], inputs["n"])
    for part in ("p_red", "p_amber", "p_green"):
        assert getattr(found, part) == pytest.approx(expected[part], rel=1e-10)
    assert found.exact_p_value == pytest.approx(expected["exact_p_vs_red"], rel=1e-10)
    assert found.tier == "amber"
    power = criterion.operating_characteristics(inputs["n"], [inputs["green_lower"]]).rejects[0]
    assert power == pytest.approx(expected["power_exact_at_green"], rel=1e-10)


@pytest.mark.parametrize("name", ["recruit_poisson_37", "recruit_poisson_4"])
def test_recruitment_rates(name):
    inputs, expected = case(name)
    found = we.pilot.recruitment_rate(inputs["count"], inputs["site_months"])
    assert found.estimate == pytest.approx(expected["rate"], rel=1e-11)
    assert (found.ci_low, found.ci_high) == pytest.approx(expected["ci"], rel=1e-11)


@pytest.mark.parametrize("name", ["sd_ucl_20", "sd_ucl_24", "sd_ucl_70"])
def test_upper_limits_of_sds(name):
    inputs, expected = case(name)
    n = inputs["n_total"]
    assert we.pilot.upper_sd(1.0, n, confidence=0.8) == pytest.approx(expected["f80"], rel=1e-11)
    assert we.pilot.upper_sd(1.0, n, confidence=0.95) == pytest.approx(expected["f95"], rel=1e-11)
    assert we.pilot.upper_sd(1.0, n) ** 2 == pytest.approx(expected["n_inflation_80"], rel=1e-11)


def test_size_of_a_main_trial_by_the_noncentral_t():
    inputs, expected = case("nct_upper_sd_trial_n")
    n = expected["n"]
    design = we.Trial(levels=[we.Level("child", 2 * n)], assigned="child", outcome=we.Continuous(sd=inputs["sd"]))
    assert float(design.power(inputs["delta"])) == pytest.approx(inputs["power"], abs=1e-6)


@pytest.mark.parametrize("name", ["assurance_0.2", "assurance_0.1"])
def test_assurance_in_closed_form(name):
    inputs, expected = case(name)
    found = we.pilot.assurance_normal(
        effect=inputs["prior_mean"], effect_sd=inputs["prior_sd"], se=inputs["se"], alpha=inputs["alpha_two_sided"]
    )
    assert found == pytest.approx(expected["assurance"], rel=1e-11)
    sure = we.pilot.assurance_normal(effect=inputs["prior_mean"], effect_sd=0.0, se=inputs["se"])
    assert sure == pytest.approx(expected["power_at_mean"], abs=1e-6)


@pytest.mark.parametrize("name", ["icc_ci_8x15", "icc_ci_5x50"])
def test_intervals_of_iccs(name):
    inputs, expected = case(name)
    found = we.pilot.icc_interval(inputs["icc"], clusters=inputs["k"], size=inputs["m"])
    assert found.details["F"] == pytest.approx(expected["F"], rel=1e-11)
    assert (found.ci_low, found.ci_high) == pytest.approx(expected["ci"], rel=1e-10)
    assert found.se == pytest.approx(expected["se_swiger"], rel=1e-11)


def test_shares_in_clusters():
    inputs, expected = case("clustered_rate")
    found = we.pilot.clustered_rate(inputs["x"], inputs["n"])
    assert found.estimate == pytest.approx(expected["p"], rel=1e-11)
    assert found.se == pytest.approx(expected["se"], rel=1e-11)
    assert found.details["deff"] == pytest.approx(expected["deff"], rel=1e-10)
    assert (found.ci_low, found.ci_high) == pytest.approx(expected["ci_logit_t"], rel=1e-10)


def test_differential_attrition():
    inputs, expected = case("attrition_differential")
    found = we.pilot.rate_difference(inputs["a"], inputs["b"])
    assert found.estimate == pytest.approx(expected["diff"], rel=1e-11)
    assert (found.ci_low, found.ci_high) == pytest.approx(expected["newcombe"], rel=1e-10)
    assert found.p_value == pytest.approx(expected["fisher_p"], rel=1e-10)
    assert 1 - found.details["overall"] == pytest.approx(expected["overall_attrition"])


def test_a_pilot_of_five_clusters_hardly_tells_the_icc():
    """Eldridge and others 2016: of pilots of 5 clusters half say 27 or fewer where 34 are needed, a tenth 10, a tenth 59.

    The analysis of variance's estimate gives 28.2, 9.6 and 61.1 exactly; the talk does not say which estimate it simulated.
    """
    inputs, expected = case("eldridge2016_talk")
    m, k, icc = inputs["m"], inputs["pilot_clusters"], inputs["icc"]
    needed = inputs["n_ind"] * (1 + (m - 1) * icc) / m
    assert needed == pytest.approx(expected["k_true"], abs=0.01)
    assert math.ceil(needed) == expected["k_published"]
    # the same distribution as that behind the interval: its belief at the truth, turned about
    ratio = (1 + (m - 1) * icc) / (1 - icc) * special.fdtri(k - 1, k * (m - 1), np.array([0.1, 0.5, 0.9]))
    estimate = np.maximum((ratio - 1) / (ratio + m - 1), 0)
    found = inputs["n_ind"] * (1 + (m - 1) * estimate) / m
    assert found == pytest.approx([9.6, 28.179, 61.098], abs=1e-3)
    assert found == pytest.approx([expected["p10"], expected["median"], expected["p90"]], abs=2.2)


def test_every_case_is_used():
    tested = {
        name for name in CASES if name.startswith(("rate_", "rag_", "recruit_", "sd_", "assurance_", "icc_ci"))
    }
    named = {
        "lewis2021_recruit",
        "lewis2021_fidelity",
        "lewis_abstract_40_70",
        "viechtbauer2015_5pct",
        "whitehead2016",
        "cocks_torgerson2013",
        "eldridge2016_talk",
        "nct_upper_sd_trial_n",
        "clustered_rate",
        "attrition_differential",
    }
    assert set(CASES) == tested | named
