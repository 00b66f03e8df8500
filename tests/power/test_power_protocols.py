"""Real trials of the field: every power figure that they publish is explained, or the record says why it is none."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from power_cases import PUBLISHED

from wwc_eval.power import Binary, Level, Rate, SteppedWedge, Trial, explain_power
from wwc_eval.power.design_effects import design_effect

pytestmark = pytest.mark.reference
ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / "tests" / "reference" / "power_protocols.json").read_text(encoding="utf-8"))
TRIALS = RECORD["trials"]
WOERTMAN = next(each for each in RECORD["calculations"] if each["id"] == "P12")
SHARED = ROOT.parent / "shared" / "reference" / "protocols.json"


@pytest.mark.parametrize("at", range(3))
def test_design_effects_of_stepped_wedges(at):
    given = WOERTMAN["inputs"][at]
    design = SteppedWedge.standard(
        clusters=given["k"], steps=given["k"], cell_size=given["n"], icc=WOERTMAN["assumed"]["ICC"]
    )
    found = explain_power(published=WOERTMAN["published"][at], design=design, quantity="design_effect")
    assert [row["direction"] for row in found.reproduced_by] == ["children of one period"]
    n, k, rho = given["n"], given["k"], WOERTMAN["assumed"]["ICC"]
    formula = (1 + rho * (k * n + n - 1)) / (1 + rho * (k * n / 2 + n - 1)) * 3 * (1 - rho) / (2 * (k - 1 / k))
    assert design_effect(design, count="children of one period") == pytest.approx(formula, rel=1e-12)
    # over all periods the same children cost more than that many randomised one by one
    assert design_effect(design) == pytest.approx((k + 1) * formula, rel=1e-12)


def test_design_effect_of_clusters():
    design = Trial(levels=[Level("child", 20), Level("team", 30, icc=0.05)], assigned="team")
    found = explain_power(published=1.95, design=design, quantity="design_effect")
    assert found.reproduced_by[0]["value"] == pytest.approx(1 + 19 * 0.05, rel=1e-12)


def wedge_of_five(**more):
    given = TRIALS["SFPC-NWD"]["published"]
    parts = {"clusters": given["clusters"], "steps": given["steps"], "cell_size": given["cell_size"]}
    outcome = Binary(control=given["control"], variance="null")
    return SteppedWedge.standard(**(parts | more), icc=given["icc"], outcome=outcome)


def test_no_wrong_door_at_protocol():
    given, derived = TRIALS["SFPC-NWD"]["published"], TRIALS["SFPC-NWD"]["derived"]
    found = explain_power(published=given["mdes"], design=wedge_of_five())
    assert ("exact", 2, "as given") in {
        (row["convention"], row["sides"], row["departures"]) for row in found.reproduced_by
    }
    again = explain_power(
        published=given["power_at_mdes"], design=wedge_of_five(), quantity="power", effect=given["mdes"]
    )
    assert again.reproduced_by
    assert float(wedge_of_five().mdes()) == pytest.approx(derived["mdes"], abs=5e-6)
    for cac in (0.8, 0.5):
        mdes = float(wedge_of_five(cac=cac).mdes())
        assert mdes == pytest.approx(derived[f"cac_{cac}"], abs=5e-6)


@pytest.mark.parametrize(("figure", "months", "cac"), [
    ("delivered_equal_periods", [6] * 5, 1.0), ("delivered", None, 1.0), ("delivered_cac_0.8", None, 0.8),
])  # fmt: skip
def test_no_wrong_door_as_delivered(figure, months, cac):
    delivered = TRIALS["SFPC-NWD"]["delivered"]
    length = np.array(months or delivered["months"]) / 30
    sizes = np.outer(list(delivered["children"].values()), length)
    design = wedge_of_five(clusters=4, steps=4, cell_size=sizes, cac=cac)
    found = explain_power(published=TRIALS["SFPC-NWD"]["derived"][figure], design=design)
    assert found.reproduced_by[0]["departures"] == "as given"


def test_social_workers_in_schools():
    given, derived = TRIALS["SWIS"]["published"], TRIALS["SWIS"]["derived"]
    low, high = given["ci"]
    se = math.log(high / low) / (2 * 1.959963984540054)
    sd = math.sqrt(se**2 * given["schools_analysed"] / 4)
    assert round(se, 4) == derived["se_log_rate_ratio"]
    assert round(sd, 3) == derived["sd_log_rate"]
    # so much exposure that the schools' own variance is all there is
    levels = [Level("pupil-year", 1e9), Level("school", given["schools_analysed"], k=sd)]
    design = Trial(levels=levels, assigned="school", outcome=Rate(control=0.017, test="log"))
    for figure, direction in zip(derived["detectable"], ("fall", "rise"), strict=True):
        found = explain_power(published=figure, design=design)
        rows = [row for row in found.reproduced_by if row["direction"] == direction]
        assert ("normal_upper", 2) in {(row["convention"], row["sides"]) for row in rows}


@pytest.mark.parametrize("at", [0, 1])
def test_family_group_conferencing(at):
    given, derived = TRIALS["FGC"]["published"], TRIALS["FGC"]["derived"]
    size = given["children"] / given["families"]
    icc = (derived["design_effect"][at] - 1) / (size - 1)
    design = Trial(
        levels=[Level("child", size), Level("family", given["families"], icc=icc)],
        assigned="family",
        outcome=Binary(control=given["control"], variance="null"),
    )
    assert design_effect(design) == pytest.approx(derived["design_effect"][at])
    assert float(design.power(-0.05).se) == pytest.approx(derived["se"][at], abs=5e-4)
    found = explain_power(published=derived["mdes"][at], design=design, tolerance=5e-4)
    assert ("normal_upper", 2, "as given") in {
        (row["convention"], row["sides"], row["departures"]) for row in found.reproduced_by
    }


def test_every_entry_is_explained_or_has_a_reason():
    assert {name for name, entry in TRIALS.items() if entry.get("power", "") is None} == {
        "SFPC-FV", "HHP-SA", "SAAF", "SoS-MTM", "MOCK", "FS-PILOT", "DB-DARL", "CIC", "RFP", "FVOICE",
    }  # fmt: skip
    assert all(
        entry["source"] and (entry.get("power", "") is not None or entry["why"]) for entry in TRIALS.values()
    )


def test_no_entry_of_the_list_is_left_out():
    if not SHARED.exists():
        pytest.skip("the list of protocols is not here")
    listed = json.loads(SHARED.read_text(encoding="utf-8"))
    assert {each["id"] for each in listed["protocols"]} == set(TRIALS)
    assert {each["id"] for each in listed["power_calculations"]} == set(PUBLISHED) | {"P12"}
    for each in listed["protocols"]:
        inputs = (each.get("power") or {}).get("inputs")
        if isinstance(inputs, dict):
            assert TRIALS[each["id"]].get("power", "") is not None
