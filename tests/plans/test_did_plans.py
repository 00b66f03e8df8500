"""Plans of difference-in-differences: what a plan reports is what Python finds."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.plans import Plan
from wwc_eval.plans.did_supplements import did_supplements
from wwc_eval.plans.vocabulary.did import DidAnalysis

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "analysis_plans" / "practice_rollout.yaml"
QUICK = (
    ("draws: 1999, seed: 20250203", "draws: 199, seed: 20250203"),
    ("pre_trend_power: true, leave_one_out: true, compare: true", "pre_trend_power: true"),
)


def planned(tmp_path, *edits):
    text = SAMPLE.read_text(encoding="utf-8")
    text = text.replace("../sample_data/practice_rollout.csv", "rollout.csv")
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (tmp_path / "rollout.csv").write_bytes((ROOT / "sample_data" / "practice_rollout.csv").read_bytes())
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    return Plan.load(tmp_path / "plan.yaml")


def panel(outcome="cla_starts_rate", **options):
    frame = pd.read_csv(ROOT / "sample_data" / "practice_rollout.csv", dtype={"la_code": str})
    return we.Panel(frame, unit="la_code", period="year", outcome=outcome, cohort="practice_from", **options)


def test_the_sample_plan_is_sound():
    assert Plan.load(SAMPLE).check() == []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("did")
    return planned(folder, *QUICK).run(out=folder / "out", draft=True), folder / "out"


def test_effects_are_those_of_the_verbs(run):
    results, _ = run
    direct = we.did.callaway_santanna(panel()).aggregate("simple").overall
    found = results.analyses["primary"].estimates[0]
    assert found.estimate == pytest.approx(direct.estimate, rel=1e-10)
    assert (found.ci_low, found.ci_high) == pytest.approx((direct.ci_low, direct.ci_high), rel=1e-10)
    assert (found.term, found.units) == ("practice[practice model]", "per 10,000 children")
    ratio = we.did.extended_twfe(panel("cla_starts", exposure="child_population"), family="poisson").ratios.items[
        0
    ]
    assert results.analyses["rate_ratio"].estimates[0].estimate == pytest.approx(ratio.estimate, rel=1e-8)
    assert results.analyses["rate_ratio"].estimates[0].scale == "rate_ratio"
    for name, verb in (
        ("imputation", lambda: we.did.imputation(panel())),
        ("two_way", lambda: we.did.two_way_fixed_effects(panel(), vcov="CR2")),
        ("anticipation", lambda: we.did.callaway_santanna(panel(), anticipation=1).aggregate("simple")),
    ):
        assert results.analyses[name].estimates[0].estimate == pytest.approx(verb().overall.estimate, rel=1e-9), (
            name
        )


def test_what_stands_beside_the_effect(run):
    results, out = run
    supplements = {item.key: item for item in results.analyses["primary"].supplements}
    assert list(supplements) == ["trends", "timing", "events", "few_treated", "honest", "pre_trend_power"]
    few = we.did.few_treated(
        panel(),
        methods=("permutation", "wild_bootstrap", "ferman_pinto", "CR2"),
        draws=199,
        rng=20250203,
        population="child_population",
    )
    shown = supplements["few_treated"].table.to_dicts()
    assert [row["p_value"] for row in shown] == [item.p_value for item in few.estimates]
    assert [row["method"] for row in shown] == ["permutation", "wild bootstrap", "Ferman-Pinto", "CR2"]
    path = we.did.callaway_santanna(panel(), base="universal").aggregate("event")
    honest = we.did.honest(path, restriction="relative_magnitudes", values=[0, 0.5, 1, 1.5, 2])
    assert supplements["honest"].table.to_dicts() == honest.estimates.to_dicts()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "over all periods. The effect is about how they changed, not about these levels." in page
    assert "than if it had moved as in the" in page
    assert page.count("Arms were not formed at random") == 2
    assert ">Allocation<" not in page
    # a symbol stays small at the head of a column
    assert ">p (permutation)<" in page
    assert ">P (permutation)<" not in page
    for words in (
        "Who began when",
        "Effects by time since the start",
        "Sensitivity to trends that are not parallel",
    ):
        assert words in page
    assert (out / "figures" / "primary_trends.svg").exists()
    assert (out / "figures" / "primary_honest.png").stat().st_size > 10_000
    assert [item.key for item in results.analyses["imputation"].supplements] == ["events"]


@pytest.mark.parametrize(
    ("edit", "code", "words"),
    [
        (("estimator: callaway_santanna\n    few", "estimator: sun_abraham\n    aggregate: event\n    few"), "P14", "aggregate"),
        (("estimator: callaway_santanna\n    few", "estimator: stacked\n    covariates: [region]\n    few"), "P14", "covariates"),
        (("estimator: callaway_santanna\n    few", "estimator: callaway_santanna\n    covariates: [s47_rate]\n    few"), "P06", "baseline"),
        (("estimator: callaway_santanna\n    few", "estimator: callaway_santanna\n    inference: {vcov: CR2}\n    few"), "P14", "influence"),
        (("estimator: callaway_santanna\n    few", "estimator: callaway_santanna\n    inference: {draws: 999}\n    few"), "P14", "go together"),
        (("estimator: callaway_santanna\n    few", "estimator: callaway_santanna\n    per: 10000\n    few"), "P14", "no exposure"),
        (("honest: relative_magnitudes, ", ""), "P14", "honest intervals"),
        (("    exposure: child_population\n", "    exposure: children\n"), "P02", "children"),
        (("    family: poisson\n    exposure: child_population\n", ""), "P09", "unequal size"),
        (("cohort: practice_from}", "cohort: began}"), "P02", "began"),
        (("few_treated: {methods: [permutation], draws: 1999, seed: 20250204}", "anticipation: 0"), None, ""),
        (("clusters: {usual: 141, practice model: 12}\n  panel", "clusters: {usual: 150, practice model: 3}\n  panel"), None, ""),
        (("  panel: {period: year, cohort: practice_from}\n", ""), "S03", "go together"),
        (("kind: did\n", "kind: cluster\n"), "S03", "go together"),
    ],
)  # fmt: skip
def test_findings(tmp_path, edit, code, words):
    if code == "S03":
        with pytest.raises(we.PlanError, match=words):
            planned(tmp_path, edit)
        return
    found = planned(tmp_path, edit).check()
    if code is None:
        assert not found
        return
    assert any(problem.code == code and words in f"{problem.message} {problem.fix}" for problem in found), found


def test_few_treated_without_their_inference_are_refused(tmp_path):
    few = (
        "clusters: {usual: 141, practice model: 12}\n  panel",
        "clusters: {usual: 150, practice model: 3}\n  panel",
    )
    without = ("    few_treated: {methods: [permutation], draws: 1999, seed: 20250204}\n", "")
    found = planned(tmp_path, few, without).check()
    assert any(problem.code == "P08" and "few_treated" in problem.fix for problem in found)


def test_subgroups_are_refused_with_what_to_do_instead(tmp_path):
    text = "subgroups:\n  - {id: london, of: enquiries, by: \"region == 'London'\", why: London differs}\nmultiplicity"
    results = planned(tmp_path, *QUICK, ("multiplicity", text)).run(draft=True)
    assert "population" in results.analyses["london"].message


def test_few_treated_are_shown_with_their_permutation_in_every_table():
    frame = pd.read_csv(ROOT / "sample_data" / "practice_rollout.csv", dtype={"la_code": str})
    kept = frame.loc[frame["practice_from"].notna(), "la_code"].unique()[:3]
    frame["practice_from"] = frame["practice_from"].where(frame["la_code"].isin(kept))
    few = we.Panel(frame, unit="la_code", period="year", outcome="cla_starts_rate", cohort="practice_from")
    fields = {
        "id": "few",
        "outcome": "cla_starts_rate",
        "model": "did",
        "anticipation": 1,
        "few_treated": {"methods": ["permutation"], "draws": 99, "seed": 1, "population": "child_population"},
        "sensitivity": {"honest": "relative_magnitudes", "leave_one_out": True, "compare": True},
    }
    analysis = DidAnalysis.model_validate(fields)
    context = SimpleNamespace(
        changed=False, level=0.95, label="Starts", units="per 10,000", unit_column="la_code", frame=frame
    )
    result = analysis.estimate(few, 0.95)
    shown = {item.key: item for item in did_supplements(analysis, few, result, context)}
    by_event = we.did.callaway_santanna(few, base="universal", anticipation=1).aggregate("event").estimates
    assert [row["permutation_p"] for row in shown["events"].table.to_dicts()] == [
        item.details["permutation_p"] for item in by_event
    ]
    direct = we.did.compare(few, anticipation=1, draws=99, rng=1, population="child_population")
    rows = {row["estimator"]: row for row in shown["compare"].table.to_dicts()}
    assert rows["Callaway-Sant'Anna"]["estimate"] == direct["callaway_santanna"].estimate
    assert rows["Callaway-Sant'Anna"]["permutation_p"] == direct["callaway_santanna"].details["permutation_p"]
    assert rows["Ferman-Pinto"]["p_value"] == direct["ferman_pinto"].p_value
    assert any("Anticipation of 1 period is allowed" in text for text in shown["compare"].sentences)
    assert any("reakdown" in text or "Even with M = 0" in text for text in shown["honest"].sentences)
    assert any("Breakdown value" in text for text in shown["compare"].sentences)
    assert any("Callaway and Sant'Anna" in text for text in shown["leave_one_out"].sentences)


def test_effects_by_event_are_from_the_base_that_the_plan_names():
    frame = pd.read_csv(ROOT / "sample_data" / "practice_rollout.csv", dtype={"la_code": str})
    source = panel()
    for base, expected in ((None, "universal"), ("varying", "varying"), ("universal", "universal")):
        fields = {
            "id": "primary",
            "outcome": "cla_starts_rate",
            "model": "did",
            **({"base": base} if base else {}),
        }
        analysis = DidAnalysis.model_validate(fields)
        context = SimpleNamespace(
            changed=False, level=0.95, label="Starts", units="per 10,000", unit_column="la_code", frame=frame
        )
        shown = {
            item.key: item for item in did_supplements(analysis, source, analysis.estimate(source, 0.95), context)
        }
        direct = we.did.callaway_santanna(source, base=expected).aggregate("event").estimates
        found = [row["estimate"] for row in shown["events"].table.to_dicts()]
        assert found == pytest.approx([item.estimate for item in direct])
        assert ("-1" in {str(row["event"]) for row in shown["events"].table.to_dicts()}) == (expected == "varying")


def test_what_varies_another_analysis_is_not_asked_for_its_sensitivity(tmp_path):
    # imputation has no reference event: refused of the primary, of no account in the analysis that varies it
    plan = planned(tmp_path, ("estimator: callaway_santanna\n    few_treated: {methods: [permutation, w",
                              "estimator: two_stage\n    few_treated: {methods: [permutation, w"))  # fmt: skip
    told = [problem.message for problem in plan.check() if problem.code == "P14"]
    assert sum("relative to one event, which estimator: two_stage has not" in text for text in told) == 2
    assert not any("imputation has not" in text for text in told)
