"""What the page says agrees with the record, and is said plainly."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from report_pages import table_rows
from report_records import BY_ARM, N, analysis, effect, locked
from report_trials import many_arms

from wwc_eval.data.flow import Flow
from wwc_eval.report import render_html
from wwc_eval.report.reading import (
    arm_outcomes,
    raw_sentence,
)
from wwc_eval.report.words import (
    count_text,
)
from wwc_eval.table import Column, Table


def body_of(record):
    """The page of a record without the parts that take time to draw."""
    from report_pages import read_page

    return read_page(render_html(replace(record, flow=Flow(arms=record.arms, boxes=()))))


def as_read(value: float, digits: int) -> str:
    """Independent of the package: rounded, with a true minus sign."""
    return f"{value:,.{digits}f}".replace("-", "−")


def shown(one) -> tuple[str, str, str]:
    """Effect, interval and p of an estimate, worked out from its raw numbers."""
    factor = 100 if one.scale == "risk_difference" else 1
    spread = one.se * (one.estimate if one.scale.endswith("ratio") else factor)
    digits = max(0, 1 - math.floor(math.log10(spread)))
    low, value, high = (as_read(factor * x, digits) for x in (one.ci_low, one.estimate, one.ci_high))
    return value, f"{low} to {high}", "< 0.001" if one.p_value < 0.001 else f"{one.p_value:.3f}"


def test_every_effect_of_the_record_stands_in_its_row(rendered):
    report = rendered("locked")
    section = report.page.section("results")
    rows = table_rows(section, "Primary outcome: effects") + table_rows(section, "Secondary outcomes: effects")
    texts = [" | ".join(row) for row in rows]
    for result in report.record.analyses:
        if result.role == "subgroup":
            continue
        for position, one in enumerate(result.estimates):
            value, interval, p = shown(one)
            wanted = f"{value} | {interval} | {p}"
            found = [text for text in texts if wanted in text]
            assert found, (result.id, wanted)
            if position == 0:
                title = result.title[0].upper() + result.title[1:]
                assert any(text.startswith(title) and count_text(result.sample["n"]) in text for text in found)


def test_adjusted_p_values_stand_beside_the_headline_estimate_only(rendered):
    rows = table_rows(rendered("locked").page.section("results"), "Secondary outcomes: effects")
    assert [row[-2] for row in rows if len(row) == 7] == ["0.011", "0.238"]
    assert [row[-1] for row in rows if len(row) == 5] == ["—", "—"]


def test_adjusted_p_values_go_by_contrast():
    effects = tuple(effect(v, 0.03, term=f"arm[{a}]") for a, v in (("phone", -0.02), ("conference", -0.08)))
    adjusted = {
        "family": "f",
        "method": "holm",
        "p_value": 0.5,
        "p_values": {"arm[phone]": 0.5, "arm[conference]": 0.016},
    }
    record = locked(
        analyses=(
            analysis(),
            analysis(id="two", title="Two", role="secondary", estimates=effects, adjusted=adjusted),
        )
    )
    rows = table_rows(body_of(record).section("results"), "Secondary outcomes: effects")
    assert "0.500" in rows[0]
    assert "0.016" in rows[1]


def test_headline_table_gives_effect_interval_sizes_and_outcome(rendered):
    rows = table_rows(rendered("locked").page.section("headline"), "Primary result: in care at 12 months")
    assert rows == [
        ["Usual", "712", "1,188", "533 (44.9%)", "reference", "—", "—"],
        ["Conference", "717", "1,193", "431 (36.1%)", "−8.1", "−12.9 to −3.3", "< 0.001"],
    ]


def test_headline_with_four_arms_has_a_row_an_arm(rendered):
    section = rendered("many_arms").page.section("headline")
    rows = table_rows(section, "Primary result")
    assert [row[0] for row in rows] == [arm[0].upper() + arm[1:] for arm in many_arms().arms]
    assert [row[4] for row in rows] == ["reference", "−1.2", "−6.6", "−11.0"]
    assert "phone call arm than in the usual arm" in section.text


def test_headline_in_plain_english(rendered):
    text = rendered("locked").page.section("headline").text
    assert (
        "In care at 12 months: 36 of every 100 children in the conference arm, "
        "against 45 of every 100 children in the usual arm." in text
    )
    assert (
        "Analysed as planned, the outcome is 8.1 percentage points lower in the conference arm than in the usual arm "
        "(95% interval: 12.9 lower to 3.3 lower), the better direction for children. "
        "The interval excludes no difference (p < 0.001). The interval includes effects that reach the smallest effect "
        "that the plan calls worthwhile (5.0 percentage points lower) and effects that fall short of it." in text
    )


@pytest.mark.parametrize("name", ["locked", "many_arms", "troubled", "many_analyses", "draft"])
def test_nothing_is_called_significant(rendered, name):
    assert "significan" not in rendered(name).page.body.text.lower()


@pytest.mark.parametrize("name", ["locked", "draft", "troubled", "many_arms", "many_analyses"])
def test_no_leftovers_of_the_machine_are_shown(rendered, name):
    text = rendered(name).page.body.text.replace("None declared.", "")
    assert not re.search(r"\b(nan|inf|None|True|False|NaN|dict|Mapping)\b", text)
    assert "0.0000" not in text
    assert not re.search(r"(?<![\w-])-\d", text), "a hyphen stands for a minus sign"


@pytest.mark.parametrize(
    "hidden", [{"events": "<10"}, {"n": "<10"}, {"events": "suppressed", "mean": "suppressed"}]
)
def test_nothing_is_worked_out_from_a_suppressed_count(hidden):
    record = locked()
    arms = {**BY_ARM, "conference": {**BY_ARM["conference"], **hidden}}
    result = analysis(sample={**N, "by_arm": arms})
    assert raw_sentence(record, result) == ""
    shown_as = arm_outcomes(result, record.arms)["conference"]
    assert "%" not in shown_as
    text = body_of(replace(record, analyses=(result,))).section("headline").text
    assert "36.1%" not in text
    assert next(iter(hidden.values())) in text


def test_suppressed_texts_stand_as_they_are(rendered):
    report = rendered("locked")
    other = next(r for r in table_rows(report.page.section("baseline"), "Baseline") if r[0] == "other")
    assert other == ["other", "20 (1.8%)", "<10", "not shown"]
    camden = next(
        r for r in table_rows(report.page.section("missing-data"), "Missing values by local") if r[0] == "Camden"
    )
    assert camden[3] == "<10"
    assert "Did not receive it: <10 families" in report.page.section("participant-flow").text
    assert "4 counts of this report are hidden." in report.page.section("disclosure").text


@pytest.mark.parametrize(
    "record",
    [
        locked(),
        locked(baseline=Table([{"v": "Age", "p": 0.01}], [Column(name="v"), Column(name="p", kind="p_value")])),
    ],
)
def test_baseline_has_no_p_values(record):
    section = body_of(record).section("baseline")
    heads = [head.text.lower() for head in section.all("th")]
    assert not {"p", "p value", "p-value"} & set(heads)
    assert "0.010" not in section.text
    assert not re.search(r"\bp [=<]", section.text)


def test_failed_and_withheld_analyses_are_said_plainly(rendered):
    page = rendered("troubled").page
    headline = page.section("headline").text
    assert (
        "The primary analysis gave no estimate The fit did not converge in 100 iterations. No primary effect is reported."
        in headline
    )
    assert "percentage points lower" not in headline
    results = page.section("results").text
    assert "2 analyses gave no estimate" in results
    assert "One analysis is not shown Unadjusted comparison (withheld): Not shown" in results
    assert "Read one analysis with care Care proceedings (separated): No child of the conference arm" in results
    rows = {row[0]: row for row in table_rows(page.section("results"), "Primary outcome: effects")}
    assert rows["Unadjusted comparison Withheld: see methods"][2] == "not shown"
    assert rows["Nothing came back Failed: see methods"][2] == "not estimated"
    assert "Infants: no estimate (failed)" in page.section("subgroups").text
    assert "None declared." in page.section("deviations").text
    assert "No disclosure rule was applied" in page.section("disclosure").text


def test_a_run_without_a_primary_analysis_says_so():
    text = body_of(locked(analyses=())).section("headline").text
    assert "This run holds no primary analysis." in text


def test_subgroups_put_the_interaction_first_and_test_nothing_else(rendered):
    rows = table_rows(rendered("locked").page.section("subgroups"), "Infants")
    assert rows == [
        ["Difference between groups (interaction)"],
        ["Age < 1: yes against no", "Risk difference percentage points", "−3.1", "−14.5 to 8.3", "0.594"],
        ["Effect within each group"],
        ["Age < 1: no", "Risk difference percentage points", "−7.3", "−12.6 to −2.0", "—"],
        ["Age < 1: yes", "Risk difference percentage points", "−10.4", "−20.7 to −0.1", "—"],
    ]


def test_methods_say_what_each_analysis_did(rendered):
    section = rendered("locked").page.section("methods")
    rows = table_rows(section, "How each fit ended")
    assert [row[0] for row in rows][:2] == ["In care at 12 months, as randomised", "Days in care"]
    assert all(row[2] == "Converged" for row in rows)
    facts = dict(table_rows(section, "In care at 12 months, as randomised (primary)"))
    assert facts["Formula"] == "in_care_12m ~ arm + local_authority + age + sex"
    assert facts["Reference levels"] == "arm: usual; sex: female; local_authority: Barnsley"
    assert facts["Rows dropped for missing values"] == "in_care_12m: 96"
    varied = dict(table_rows(section, "Complete cases (complete_case)"))
    assert varied["Changed"] == "Missing method: complete case"
    assert varied["Otherwise"] == "As “In care at 12 months, as randomised”"
    assert "Formula" not in varied
    assert "[1] Liang" in section.text


def test_deviations_are_shown_in_full(rendered):
    facts = dict(table_rows(rendered("locked").page.section("deviations"), "Deviation 1 (ethnicity_indicator)"))
    assert facts["As planned"] == "sex"
    assert facts["As done"] == "sex, ethnicity"
    assert facts["What was known at the time"] == "masked data"
    assert facts["When"] == "2 November 2026"


def test_appendix_holds_what_a_third_party_needs(rendered):
    report = rendered("locked")
    section = report.page.section("appendix")
    (file,) = table_rows(section, "As read by this run")
    record = report.record
    assert file == ["children", "family_conferencing_trial.csv", "2,688", "14", record.files[0].sha256]
    assert record.plan_hash in section.text
    assert "the hash shows that the plan has not changed since it was locked" in section.text
    software = {row[0]: row[1:] for row in table_rows(section, "Software")}
    assert software["numpy"] == ["2.4.7", "2.4.6"]
    assert "wwc-eval verify DIR" in section.text
    coefficients = table_rows(section, "Coefficients of the whole model")
    assert [row[0] for row in coefficients] == [one.term for one in record.analyses[0].coefficients]
    fields = dict(table_rows(section, "Fields and values"))
    assert fields["outcomes › 1 › smallest_worthwhile"] == "−0.05"


def test_head_gives_registry_lock_and_warnings(rendered):
    (head,) = list(rendered("locked").page.root.all("header"))
    assert "OSF, https://osf.io/abcde, 15 January 2026" in head.text
    assert "20 January 2026, 09:30 UTC" in head.text
    assert "9f2c4b7a1d0e …" in head.text
    assert "One warning numpy is 2.4.7; the plan was locked under 2.4.6." in head.text


def test_what_varies_an_analysis_says_how_and_why(rendered):
    rows = table_rows(rendered("locked").page.section("results"), "Primary outcome: effects")
    heads = [row[0] for row in rows if len(row) > 5]
    assert "Unadjusted comparison Formula: in_care_12m ~ arm. Why: the plain difference between the arms" in heads


def test_warnings_of_an_estimate_stand_beside_it(rendered):
    assert (
        "Caution (One child a family): One child stands for each family."
        in rendered("locked").page.section("results").text
    )
    warned = analysis(estimates=(effect(-0.08, 0.02, warnings=("Only 4 clusters have the outcome.",)),))
    text = body_of(locked(analyses=(warned,))).section("headline").text
    assert "Before relying on this result Only 4 clusters have the outcome." in text
