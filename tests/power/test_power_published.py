"""Published power figures are explained: a convention reproduces each, and others do not."""

import pytest
from power_cases import PUBLISHED

from wwc_eval.errors import DesignError
from wwc_eval.power import Binary, Continuous, Level, SteppedWedge, Trial, explain_power

pytestmark = pytest.mark.reference


def one(n, outcome=None, **more):
    return Trial(levels=[Level("unit", n)], assigned="unit", outcome=outcome or Continuous(), **more)


def as_given(found):
    return {(row["convention"], row["sides"]) for row in found.reproduced_by if row["departures"] == "as given"}


def test_stepped_wedge_of_five_authorities():
    given = PUBLISHED["P01"]
    design = SteppedWedge.standard(
        clusters=5,
        steps=5,
        cell_size=600,
        outcome=Binary(control=0.07, variance="null"),
        icc=given["inputs"]["ICC"],
    )
    found = explain_power(published=given["published"], design=design)
    assert ("exact", 2) in as_given(found)
    assert all(row["reproduces"] == "no" for row in found.rows if row["sides"] == 1)


def test_schools_75_against_75():
    given = PUBLISHED["P02"]["published"]
    assert ("exact", 2) in as_given(explain_power(published=given["d"], design=one(150)))
    found = explain_power(published=given["pp"] / 100, design=one(150, Binary(control=0.5)), tolerance=0.005)
    assert ("exact", 2) in as_given(found)
    null = [
        row for row in found.rows if row["departures"] == "null variance" and row["convention"] == "normal_upper"
    ]
    assert null[0]["reproduces"] == "truncated"
    assert null[0]["value"] == pytest.approx(PUBLISHED["P02"]["ours"]["pp_null"] / 100, abs=5e-5)


@pytest.mark.parametrize("at", range(3))
def test_thirty_clusters(at):
    given = PUBLISHED["P04"]["inputs"][at]
    design = Trial(
        levels=[Level("child", given["m"]), Level("team", given["J"], icc=given["ICC"])], assigned="team"
    )
    found = explain_power(published=PUBLISHED["P04"]["published"][at], design=design)
    assert ("exact", given["tails"]) in as_given(found)
    if given["tails"] == 1:  # the sum of t quantiles does not reproduce these
        assert ("bloom", 1) not in as_given(found)
    assert all(
        row["reproduces"] == "no"
        for row in found.rows
        if row["convention"] == "normal" and row["departures"] == "as given"
    )


@pytest.mark.parametrize("at", range(3))
def test_two_per_cent_baseline(at):
    given = PUBLISHED["P06"]["inputs"][at]
    total = given["n_c"] + given["n_t"]
    design = one(total, Binary(control=given["p0"]), allocation=given["n_t"] / total)
    found = explain_power(published=PUBLISHED["P06"]["published"][at] / 100, design=design, tolerance=5e-5)
    verdicts = {
        row["reproduces"] for row in found.rows if row["departures"] == "null variance" and row["sides"] == 2
    }
    assert verdicts == ({"yes"} if at < 2 else {"truncated"})


@pytest.mark.parametrize("at", range(3))
def test_factorial(at):
    given = PUBLISHED["P07"]
    design = one(given["inputs"]["N"][at]).factorial()
    assert ("normal_upper", 2) in as_given(explain_power(published=given["published"]["main"][at], design=design))
    found = explain_power(published=given["published"]["interaction"][at], design=design.interaction)
    assert ("normal_upper", 2) in as_given(found)


@pytest.mark.parametrize("at", range(6))
def test_fixed_number_of_clusters(at):
    given, published = PUBLISHED["P09"]["inputs"][at], PUBLISHED["P09"]["published"]
    effect, outcome = given["p1"] - given["p0"], Binary(control=given["p0"])
    alone = one(100, outcome.replace(variance="fleiss")).required("unit", effect, convention="normal_upper")
    assert abs(float(alone.fraction) - published["individual"][at]) < 2
    design = Trial(levels=[Level("child", 40), Level("team", 200, icc=0.01)], assigned="team", outcome=outcome)
    if isinstance(published["cluster"][at], str):
        with pytest.raises(DesignError, match=r"out of reach.*tends to"):
            design.required("child", effect)
        return
    found = design.required("child", effect, convention="bloom")
    assert found.fraction * 200 == pytest.approx(published["cluster"][at], rel=0.0015)


def test_one_to_two_allocation():
    given = PUBLISHED["P11"]["inputs"]
    design = one(120, Continuous(sd=given["sd"]), allocation=2 / 3)
    found = explain_power(
        published=sum(PUBLISHED["P11"]["published"]["step1"]),
        design=design,
        quantity="required",
        level="unit",
        effect=given["diff"],
        power=given["power"],
    )
    rows = [row for row in found.reproduced_by if row["convention"] == "normal_upper" and row["sides"] == 2]
    assert [row["direction"] for row in rows if row["departures"] == "as given"] == ["each arm rounded up"]
    exact = design.required("unit", given["diff"], given["power"])
    assert int(exact) >= sum(PUBLISHED["P11"]["ours"]["nct"]) - 2
    # a share of 10% of controls who get the programme costs more than the factor 1.2 that was published
    diluted = design.replace(crossover=given["crossover"]).required(
        "unit", given["diff"], given["power"], convention="normal_upper"
    )
    plain = design.required("unit", given["diff"], given["power"], convention="normal_upper")
    assert diluted.fraction / plain.fraction == pytest.approx(1 / 0.81)


def test_multiple_of_a_standard_error():
    given = PUBLISHED["P14"]
    found = explain_power(published=given["published"], se=given["inputs"]["SE"])
    assert ("normal_upper", 2) in as_given(found)
    assert "3.5" in str(found)


def test_what_cannot_be_explained():
    with pytest.raises(DesignError, match="either the design or the standard error"):
        explain_power(published=0.2)
    with pytest.raises(DesignError, match="needs the effect"):
        explain_power(published=0.8, design=one(100), quantity="power")
    found = explain_power(published=5.0, design=one(100))
    assert found.reproduced_by == ()
    assert "No convention" in str(found)
