"""What a specification plans is done: reliability beside its least values, differentiation, the declared analyses."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import unit_scores_study
from fidelity_faults import named

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.fidelity.reliability.pivotal import interval
from wwc_eval.fidelity.scoring.dependability import limits
from wwc_eval.fidelity.scoring.levels import fit_levels

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "sample_data" / "specifications" / "safety_planning.yaml").read_text(encoding="utf-8")
SMALL = """
schema_version: 1
spec:
  id: small
  version: "1.0.0"
  practice: Small practice
  units: [case, worker, authority]
  bands: [{name: low, min: 0}, {name: high, min: 60}]
components:
  - {id: core, dimension: adherence, role: core, weight: 1}
items:
  - {id: plan, component: core, text: A plan., source: [case_file], scale: {type: ordinal, min: 1, max: 5}}
  - {id: talk, component: core, text: A talk., source: [case_file], scale: {type: ordinal, min: 1, max: 5}}
  - {id: seen, component: core, text: Seen., source: [case_file], scale: {type: binary}}
"""
STUDIES = """
reliability:
  double_rated_share: 0.5
  raters: 6
  assignment: crossed
  minimum: {ac2: 0.5, fleiss_kappa: 0.9, "ICC(1,1)": 0.5, icc_average: 0.5, alpha: 0.2, dependability_authority: 0.3}
differentiation: {arm: arm, measured_in: [programme, usual]}
outcome_link: {analyses: [itt, cace_iv, principal_score, dose_response, moderation], instrument: drawn, cluster: authority}
"""


def parsed(text):
    return we.FidelitySpecification.parse(text.encode())


@cache
def ratings(authorities=10, seed=3):
    """Long ratings: six raters everywhere, every second case judged by two, programme authorities score higher."""
    rng = np.random.default_rng(seed)
    rows = []
    for a in range(authorities):
        level = rng.normal(0, 0.3) + (0.8 if a % 2 else 0)
        for c in range(12):
            quality = level + rng.normal(0, 0.8)
            raters = rng.choice(6, size=1 + c % 2, replace=False)
            for item in ("plan", "talk", "seen"):
                for rater in raters:
                    z = quality + 0.2 * (rater - 2.5) / 2.5 + rng.normal(0, 0.5)
                    value = int(z > 0) if item == "seen" else int(np.clip(np.round(3 + z), 1, 5))
                    rows.append((f"C{a}-{c}", f"W{a}-{c // 4}", f"A{a}", item, f"R{rater}", value, a % 2))
    names = ["case", "worker", "authority", "item", "rater", "value", "drawn"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(arm=np.where(frame["drawn"] == 1, "programme", "usual"))


@cache
def scored():
    return parsed(SMALL + STUDIES).score(ratings().drop(columns="drawn"))


def wide(item):
    of = ratings().query("item == @item")
    table = of.pivot_table(index="case", columns="rater", values="value")
    return table.loc[table.notna().sum(axis=1) >= 2]


@pytest.mark.reference
def test_agreement_is_that_of_each_item_over_the_cases_judged_twice():
    found = {(row["coefficient"], row["of"]): row for row in scored().item_reliability.to_dicts()}
    for item in ("plan", "talk", "seen"):
        table, row = wide(item), found["ac2", item]
        # from the definition: mean agreement within cases against that expected from the shares of the categories
        values = np.arange(1, 6) if item != "seen" else np.array([0, 1])
        weights = 1 - (values[:, None] - values) ** 2 / (values[-1] - values[0]) ** 2
        counts = np.stack([(table == v).sum(axis=1) for v in values], axis=1).astype(float)
        n = counts.sum(axis=1)
        observed = ((counts * (counts @ weights - 1)).sum(axis=1) / (n * (n - 1))).mean()
        shares = (counts / n[:, None]).mean(axis=0)
        q = len(values)
        expected = weights.sum() / (q * (q - 1)) * (shares * (1 - shares)).sum()
        assert row["estimate"] == pytest.approx((observed - expected) / (1 - expected), abs=1e-12)
        assert row["cases"] == len(table) == 60
        # the interval is that of the authorities
        direct = we.agreement(
            table,
            "ac2",
            weights="quadratic",
            categories=list(values),
            cluster=[c.split("-")[0] for c in table.index],
        )
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((direct.ci_low, direct.ci_high), abs=1e-12)


@pytest.mark.reference
def test_intraclass_correlations_are_of_the_composites_of_sheets():
    shown = {row["coefficient"]: row for row in scored().reliability.to_dicts()}
    frame = ratings().assign(
        percent=lambda d: np.where(d["item"] == "seen", d["value"] * 100, (d["value"] - 1) * 25)
    )
    sheets = frame.pivot_table(index="case", columns="rater", values="percent")
    sheets = sheets.loc[sheets.notna().sum(axis=1) >= 2]
    pairs = np.array([row[~np.isnan(row)] for row in sheets.to_numpy()])
    between = 2 * pairs.mean(axis=1).var(ddof=1)
    within = pairs.var(axis=1, ddof=1).mean()
    assert shown["ICC(1,1)"]["estimate"] == pytest.approx((between - within) / (between + within), abs=1e-12)
    assert shown["icc_average"]["detail"].startswith("ICC(2,2)")
    everything = frame.pivot_table(index="case", columns="item", values="percent")
    v = everything.cov().to_numpy()
    assert shown["alpha"]["estimate"] == pytest.approx(1.5 * (1 - np.trace(v) / v.sum()), abs=1e-12)


@pytest.mark.reference
def test_dependability_of_units_is_that_of_their_own_cases_and_raters():
    scores = scored()
    row = next(r for r in scores.reliability.to_dicts() if r["coefficient"] == "dependability_authority")
    sheets = scores.rating_sheets.to_frame()
    levels = ["authority", "authority:worker", "authority:worker:case", "rater"]
    study = we.g_study(sheets, levels, measured="authority")
    own = study.variances
    # every authority has 3 workers and 12 cases; half the cases have 2 sheets, and all cases count alike
    residual = (6 * (1 / 12) ** 2) + (12 * (1 / 24) ** 2)
    weights = sheets.assign(w=1 / sheets.groupby("case")["score"].transform("size") / 12)
    by_rater = weights.groupby(["authority", "rater"])["w"].sum().pow(2).groupby("authority").sum().mean()
    error = own["authority:worker"] / 3 + own["authority:worker:case"] / 12 + own["rater"] * by_rater
    error += own["residual"] * residual
    assert row["estimate"] == pytest.approx(own["authority"] / (own["authority"] + error), rel=1e-4)
    # the interval is that of a G-study of the same sheets: generalised pivots
    share = {"authority:worker": 1 / 3, "authority:worker:case": 1 / 12, "rater": by_rater, "residual": residual}
    universe = np.array([float(name == "authority") for name in own])
    expected = interval(study.pivots, universe, np.array([share.get(name, 0.0) for name in own]), 0.95)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected, abs=2e-3)


@pytest.mark.simulation
def test_intervals_of_dependability_as_rated_cover():
    record = json.loads((Path(__file__).parents[1] / "reference" / "unit_scores_coverage.json").read_text())[
        "cases"
    ]
    for case in record:
        least = 0.95 - 3.2 * math.sqrt(0.95 * 0.05 / case["repeats"])
        assert case["coverage"]["pivotal"] >= least, case
    assert min(case["coverage"]["delta"] for case in record) < 0.9
    found = unit_scores_study.coverage(6, 3, 0.5, repeats=8, seed=4)
    assert found["pivotal"] >= 0.95 - 3.2 * math.sqrt(0.95 * 0.05 / 8)


def test_a_variance_at_0_has_an_interval_of_dependability():
    rng = np.random.default_rng(6)
    at = unit_scores_study.sheets(rng, 8, 4)
    y = rng.normal(size=len(at["case"]))
    y -= np.array([y[at["authority"] == a].mean() for a in range(8)])[at["authority"]]
    model = fit_levels(y, {name: at[name] for name in unit_scores_study.UNITS}, at["rater"])
    assert model.variances["authority"] == 0
    over = unit_scores_study.shares(at)
    universe = np.array([float(name == "authority") for name in model.variances])
    low, high = limits(model, universe, np.array([over.get(name, 0.0) for name in model.variances]), 0.95)
    assert low == 0 < high < 0.9


def test_verdicts_rest_on_whole_intervals_and_the_notes_say_what_falls_short():
    for row in scored().item_reliability.to_dicts():
        low, high, least = row["ci_low"], row["ci_high"], row["minimum"]
        assert row["verdict"] == (
            "reached" if low >= least else "not reached" if high < least else "cannot be told"
        )
    verdicts = {row["verdict"] for row in scored().item_reliability.to_dicts()}
    assert {"reached", "not reached"} <= verdicts
    told = " ".join(scored().notes)
    assert "fleiss_kappa of" in told
    assert "the planned 0.90 is not reached" in told
    least = [row for row in scored().reliability.to_dicts() if row["coefficient"] == "ac2"]
    assert [row["place"] for row in least] == ["least of 3", "median of 3"]
    every = sorted(r["estimate"] for r in scored().item_reliability.to_dicts() if r["coefficient"] == "ac2")
    assert [row["estimate"] for row in least] == every[:2]


def test_the_design_is_compared_with_the_plan():
    plain = " ".join(scored().reliability.notes)
    assert "50% of the rated cases have two raters or more; 50% were planned." in plain
    assert "6 raters judged; 6 were planned." in plain
    assert "crossed with authority: 6 of 6" in plain
    assert not any("planned." in note for note in scored().notes)
    own = ratings().drop(columns="drawn")
    own["rater"] = own["authority"] + own["rater"]
    found = " ".join(parsed(SMALL + STUDIES).score(own).notes)
    assert "nested with authority: 0 of " in found
    assert "raters judged; 6 were planned." in found


def test_where_nothing_can_be_told_the_reason_is_given():
    single = ratings().drop(columns="drawn").drop_duplicates(["case", "item"])
    rows = parsed(SMALL + STUDIES).score(single).reliability.to_dicts()
    reasons = {row["coefficient"]: row for row in rows}
    assert reasons["ac2"]["status"] == "no case has two raters of it"
    assert reasons["ac2"]["place"] == "none of 3 has a value"
    assert {reasons[name]["verdict"] for name in ("ac2", "icc_average")} == {"cannot be told"}
    nobody = parsed(SMALL + STUDIES).score(single.drop(columns=["rater"]))
    assert any("No rater is named" in note for note in nobody.notes)
    assert all(row["status"] for row in nobody.reliability.to_dicts())
    assert parsed(SMALL).score(single).reliability.to_dicts() == []


def test_order_and_names_of_raters_do_not_matter():
    frame = ratings().drop(columns="drawn").sample(frac=1, random_state=1)
    frame["rater"] = frame["rater"].map({f"R{k}": f"Z{9 - k}" for k in range(6)})
    other = parsed(SMALL + STUDIES).score(frame).reliability.to_dicts()
    for row, same in zip(scored().reliability.to_dicts(), other, strict=True):
        assert same["estimate"] == pytest.approx(row["estimate"], abs=1e-5)
        assert (same["of"], same["verdict"]) == (row["of"], row["verdict"])


FAULTS = {
    "unknown coefficient": ("{ac2: 0.60", "{ac3: 0.60", "F02", "ac2"),
    "unknown kind": ("icc_single: 0.60", '"ICC(4,1)": 0.60', "F02", "ICC"),
    "Cohen's for many": ("ac2: 0.60", "cohen_kappa: 0.60", "F06", "conger_kappa"),
    "idle weights": (
        "minimum: {ac2: 0.60, icc_single",
        "weights: linear\n  minimum: {icc_average: 0.6, icc_single",
        "F05",
        "weights",
    ),
    "unknown reference": ("measured_in:", "reference: control, measured_in:", "F02", "measured arm"),
    "arm twice": ("[intervention, comparison]", "[comparison, comparison]", "F01", "twice"),
    "analysis twice": ("[itt, cace_iv, dose_response]", "[itt, itt]", "F01", "twice"),
    "idle threshold": ("exposure: composite", "threshold: 60", "F05", "principal_score"),
    "idle time": ("exposure: composite", "measured: before", "F05", "moderation"),
    "no threshold": (
        "analyses: [itt, cace_iv, dose_response], exposure: composite",
        "analyses: [principal_score], exposure: dose",
        "F05",
        "add threshold",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_of_the_studies_are_named_with_their_place(name):
    old, new, code, word = FAULTS[name]
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    found = named(DesignError, lambda: parsed(text), code, word)
    lines = text.splitlines()
    block = next(k for k, line in enumerate(lines) if line.startswith("reliability:"))
    assert all(problem.place.line > block + 1 for problem in found)


def test_differentiation_compares_cases_as_rated_with_the_reference_that_is_declared():
    found = scored().differentiation()
    values = pd.Series(scored().values("composite"), index=scored().matrix.places.labels["case"])
    arm = ratings().drop_duplicates("case").set_index("case")["arm"]
    means = values.groupby(arm).mean()
    assert found["composite: difference"].estimate == pytest.approx(means["programme"] - means["usual"], abs=1e-10)
    assert "Cannot claim" in found.claims
    turned = parsed(SMALL + STUDIES.replace("measured_in", "reference: programme, measured_in"))
    other = turned.score(ratings().drop(columns="drawn")).differentiation("core")
    assert other["core: difference"].estimate == pytest.approx(-found["core: difference"].estimate, abs=1e-10)
    with pytest.raises(DesignError, match="declares no differentiation"):
        parsed(SMALL).score(ratings()).differentiation()
    one = parsed(SMALL + STUDIES.replace("[programme, usual]", "[usual]"))
    with pytest.raises(DesignError, match="1 arms are measured"):
        one.score(ratings().query("arm == 'usual'")).differentiation()
    with pytest.raises(DataError, match="no column 'arm'"):
        parsed(SMALL + STUDIES).score(ratings().drop(columns=["arm"])).differentiation()


@cache
def outcomes():
    rng = np.random.default_rng(5)
    frame = ratings().drop_duplicates("case")[["case", "worker", "authority", "drawn"]].reset_index(drop=True)
    rated = pd.Series(scored().values("composite"), index=scored().matrix.places.labels["case"])
    age = rng.integers(0, 17, len(frame))
    y = 0.1 * frame["case"].map(rated) + 0.2 * age + rng.normal(0, 1, len(frame))
    return frame.assign(age=age, y=y)


def test_the_declared_analyses_run_through_their_verbs():
    data = outcomes()
    found = scored().link("y ~ age", data)
    assert list(found.results) == ["itt", "cace_iv", "principal_score", "dose_response", "moderation"]
    exposed = data.merge(scored().exposure("case")[["case", "exposure"]]).rename(columns={"exposure": "composite"})
    rated = pd.Series(scored().values("composite"), index=scored().matrix.places.labels["case"])
    exposed["rated"] = exposed["case"].map(rated)
    fit = we.regression("y ~ age + drawn", exposed, vcov="CR2", cluster="authority")
    assert found["itt"]["drawn"].estimate == pytest.approx(fit.estimates["drawn"].estimate, abs=1e-12)
    assert found["itt"]["drawn"].ci_low == pytest.approx(fit.estimates["drawn"].ci_low, abs=1e-12)
    iv = we.complier_effect("y ~ age", exposed, uptake="rated", instrument="drawn", cluster="authority")
    assert found["cace_iv"].estimate == pytest.approx(iv.estimate, abs=1e-12)
    assert found["cace_iv"].anderson_rubin_p == pytest.approx(iv.anderson_rubin_p, abs=1e-12)
    options = {"arm": "drawn", "fidelity": "composite", "cluster": "authority"}
    direct = {
        "principal_score": we.principal_score_effects("y ~ age", exposed, threshold=60, **options),
        "dose_response": we.dose_response("y ~ age", exposed, **options),
        "moderation": we.fidelity_moderation("y ~ age", exposed, **options),
    }
    for name, result in direct.items():
        for mine, theirs in zip(found[name].estimates, result.estimates, strict=True):
            assert (mine.estimate, mine.ci_low) == pytest.approx((theirs.estimate, theirs.ci_low), abs=1e-10)
    assert all("Cannot claim" in text for text in found.claims.values())
    assert str(found).count("Cannot claim") == 5


def test_fidelity_as_rated_finds_the_effect_that_shrunken_scores_overstate():
    data = outcomes()
    for unit in ("worker", "authority"):
        found = scored().link("y ~ age", data, analyses="cace_iv", unit=unit)["cace_iv"]
        shrunk = data.merge(scored().exposure(unit)[[unit, "exposure"]])
        over = we.complier_effect("y ~ age", shrunk, uptake="exposure", instrument="drawn", cluster="authority")
        assert found.ci_low < 0.1 < found.ci_high
        assert over.estimate > 1.5 * found.estimate


def test_what_is_not_declared_or_cannot_be_joined_is_refused():
    data, scores = outcomes(), scored()
    narrow = parsed(SMALL + STUDIES.replace("[itt, cace_iv, principal_score, dose_response, moderation]", "[itt]"))
    narrow = narrow.score(ratings().drop(columns="drawn"))
    assert list(narrow.link("y ~ age", data).results) == ["itt"]
    with pytest.raises(DesignError, match="not among those that the specification declares"):
        narrow.link("y ~ age", data, analyses=["moderation"])
    with pytest.raises(DesignError, match="declares no link"):
        parsed(SMALL).score(ratings()).link("y ~ age", data)
    with pytest.raises(DataError, match="no column 'drawn'"):
        scores.link("y ~ age", data.drop(columns="drawn"))
    with pytest.raises(DataError, match="no column 'authority'"):
        scores.link("y ~ age", data.drop(columns="authority"))
    with pytest.raises(DataError, match="no row has a case"):
        scores.link("y ~ age", data.assign(case="X"))
    with pytest.raises(DataError, match="already"):
        scores.link("y ~ age", data.assign(composite=1))
    with pytest.raises(DesignError, match="does nothing"):
        scores.link("y ~ age", data, analyses="cace_iv", family="binomial")
    late = data.assign(late=(data["y"] > data["y"].median()).astype(int))
    mixed = scores.link("late ~ age", late, analyses=["dose_response", "cace_iv"], family="binomial")
    assert mixed["dose_response"].estimates[0].scale == "log_odds"
    assert any("cace_iv: differences on the outcome's own scale" in note for note in mixed.notes)
    by_worker = scores.link("y ~ age", data.drop(columns="case"), analyses="dose_response")
    assert "that of the worker" in by_worker.notes[0]
    words = data.assign(drawn=np.where(data["drawn"] == 1, "programme", "usual"))
    same = scores.link("y ~ age", words, analyses="itt")
    assert same["itt"]["drawn"].estimate == pytest.approx(
        scores.link("y ~ age", data, analyses="itt")["itt"]["drawn"].estimate, abs=1e-12
    )


def test_the_command_writes_what_was_planned(tmp_path):
    from click.testing import CliRunner

    from wwc_eval.commands.fidelity import command

    (tmp_path / "small.yaml").write_text(SMALL + STUDIES, encoding="utf-8")
    ratings().drop(columns="drawn").to_csv(tmp_path / "ratings.csv", index=False)
    out = tmp_path / "out"
    paths = [str(tmp_path / "small.yaml"), str(tmp_path / "ratings.csv"), "--out", str(out)]
    result = CliRunner().invoke(command, paths)
    assert result.exit_code == 0, result.output
    assert "Reliability against what was planned" in result.output
    written = pd.read_csv(out / "reliability.csv")
    assert written["estimate"].tolist() == pytest.approx([r["estimate"] for r in scored().reliability.to_dicts()])
    assert {"item_reliability.csv", "differentiation.csv"} <= {path.name for path in out.iterdir()}
