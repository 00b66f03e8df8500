"""Words, contrasts and tables by themselves."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from report_records import REFERENCES, analysis, effect, failed_effect, locked, plan
from report_trials import troubled

from wwc_eval.report.contrasts import contrast, is_interaction
from wwc_eval.report.reading import (
    arm_outcomes,
    effect_sentence,
    no_effect_sentence,
    raw_sentence,
    smallest_worthwhile,
    worthwhile_sentence,
)
from wwc_eval.report.tables import table_block
from wwc_eval.report.words import (
    day,
    interval_text,
    measure_words,
    minus,
    p_text,
    rate_words,
    value_text,
)
from wwc_eval.table import Column, Table


@pytest.mark.parametrize(
    ("estimate", "se", "expected"),
    [
        (-0.08, 0.02, "8.0 percentage points lower in the conference arm than in the usual arm (95% interval: 11.9 lower to 4.1 lower), the better direction for children."),
        (0.08, 0.02, "8.0 percentage points higher in the conference arm than in the usual arm (95% interval: 4.1 higher to 11.9 higher), the worse direction for children."),
        (-0.02, 0.02, "2.0 percentage points lower in the conference arm than in the usual arm (95% interval: 5.9 lower to 1.9 higher)."),
        (0.0, 0.02, "the same in the conference arm as in the usual arm (95% interval: 3.9 lower to 3.9 higher)."),
    ],
)  # fmt: skip
def test_effect_sentence_gives_size_and_direction(estimate, se, expected):
    one = effect(estimate, se)
    sentence = effect_sentence(one, better="lower", arm="conference", reference="usual")
    assert sentence == f"Analysed as planned, the outcome is {expected}"


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (effect(-0.08, 0.02), "the outcome is 8.0 percentage points lower in the practice arm than if it had moved as in the usual arm (95% interval: 11.9 lower to 4.1 lower), the better direction for children."),
        (effect(0.0, 0.02), "the outcome is the same in the practice arm as if it had moved as in the usual arm (95% interval: 3.9 lower to 3.9 higher)."),
        (effect(0.71, 0.1, "rate_ratio"), "the rate ratio is 0.710 for the practice arm against what it would be had it moved as in the usual arm (95% interval 0.584 to 0.864); 1 means no difference."),
    ],
)  # fmt: skip
def test_effect_sentence_of_changes_is_against_the_trend_not_the_level(one, expected):
    sentence = effect_sentence(one, better="lower", arm="practice", reference="usual", changes=True)
    assert sentence == f"Analysed as planned, {expected}"
    drawn = effect_sentence(one, better="lower", arm="practice", reference="usual", changes=True, drawn=True)
    assert drawn == sentence.replace("if it had moved as in the usual arm", "if it had not begun").replace(
        "had it moved as in the usual arm", "had it not begun"
    )


def test_effect_sentence_of_a_ratio_names_its_null():
    sentence = effect_sentence(
        effect(0.71, 0.1, "odds_ratio"), better="lower", arm="conference", reference="usual"
    )
    assert sentence == (
        "Analysed as planned, the odds ratio is 0.710 for the conference arm against the usual arm "
        "(95% interval 0.584 to 0.864); 1 means no difference."
    )


def test_effect_without_estimate_has_no_sentence():
    assert effect_sentence(failed_effect(), better="lower", arm="a", reference="b") == ""


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (effect(-0.08, 0.02), "The interval excludes no difference (p < 0.001)."),
        (effect(-0.02, 0.02), "The interval includes no difference, so this analysis does not rule out that there is no effect (p = 0.317)."),
        (effect(0.7, 0.1, "odds_ratio"), "The interval excludes 1 (p < 0.001)."),
        (effect(0.9, 0.1, "odds_ratio"), "The interval includes 1, so this analysis does not rule out that there is no effect (p = 0.292)."),
        (effect(-0.02, math.nan), "There is no interval to say whether no difference can be ruled out."),
    ],
)  # fmt: skip
def test_what_the_interval_says_of_no_effect(one, words):
    assert no_effect_sentence(one) == words


@pytest.mark.parametrize(
    ("estimate", "se", "limit", "start"),
    [
        (-0.10, 0.02, -0.05, "Every value in the interval is at least as large as"),
        (-0.01, 0.01, -0.05, "Every value in the interval falls short of"),
        (-0.06, 0.02, -0.05, "The interval includes effects that reach"),
        (0.10, 0.02, 0.05, "Every value in the interval is at least as large as"),
        (0.01, 0.01, 0.05, "Every value in the interval falls short of"),
        (-0.10, 0.02, 0.05, "Every value in the interval falls short of"),
        (-0.06, math.nan, -0.05, "Without an interval the result cannot be set against"),
    ],
)
def test_interval_against_the_smallest_worthwhile_effect(estimate, se, limit, start):
    assert worthwhile_sentence(effect(estimate, se), limit).startswith(start)


def test_smallest_worthwhile_effect_is_compared_on_its_own_scale_only():
    record = locked()
    difference, ratio = analysis(), analysis(estimates=(effect(0.7, 0.1, "odds_ratio"),))
    assert smallest_worthwhile(record, difference) == -0.05
    assert smallest_worthwhile(record, ratio) is None
    written = plan()
    written["outcomes"][0]["smallest_worthwhile"] = 0.8
    written["estimand"]["summary"] = "odds_ratio"
    assert smallest_worthwhile(replace(record, plan=written), ratio) == 0.8
    written["outcomes"][0]["smallest_worthwhile"] = True
    assert smallest_worthwhile(replace(record, plan=written), difference) is None


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.361, 0.449], ["36 of every 100", "45 of every 100"]),
        ([0.451, 0.449], ["451 of every 1,000", "449 of every 1,000"]),
        ([0.012, 0.019], ["12 of every 1,000", "19 of every 1,000"]),
        ([0.4, 0.4], ["40 of every 100", "40 of every 100"]),
        ([0.0, 0.25], ["0 of every 100", "25 of every 100"]),
        ([0.0003, 0.0009], ["3 of every 10,000", "9 of every 10,000"]),
    ],
)
def test_shares_of_every_hundred_or_more(shares, expected):
    assert rate_words(shares, "children") == [f"{words} children" for words in expected]


def test_means_are_said_with_their_units():
    record = locked()
    days = next(result for result in record.analyses if result.id == "days")
    assert raw_sentence(record, days) == (
        "Days in care in the first year: 78.2 days on average for each child in the conference arm, "
        "against 96.4 days on average for each child in the usual arm."
    )


@pytest.mark.parametrize(
    ("term", "words", "interaction"),
    [
        ("arm[conference]", "conference against usual", False),
        ("arm[conference] | age < 1: yes", "age < 1: yes", False),
        ("arm[conference]:sex[male]", "sex: male against female", True),
        ("arm[a:b]", "a:b against usual", False),
        ("arm[conference]:age", "age", True),
        ("treat", "treat", False),
    ],
)
def test_terms_in_words(term, words, interaction):
    one = effect(-0.05, 0.02, term=term)
    assert contrast(one, analysis(estimates=(one,))) == words
    assert is_interaction(one) is interaction


def test_contrast_of_a_numeric_arm_comes_from_its_details():
    one = effect(-0.05, 0.02, term="treat", details={"reference": 0, "level": 1})
    assert contrast(one, analysis(estimates=(one,))) == "1 against 0"


def test_several_arms_are_named_in_subgroups():
    one, two = (effect(-0.05, 0.02, term=f"arm[{arm}] | sex: male") for arm in ("a", "b"))
    result = analysis(estimates=(one, two), sample={"reference_levels": REFERENCES})
    assert [contrast(each, result) for each in (one, two)] == [
        "sex: male, a against usual",
        "sex: male, b against usual",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1.5", "−1.5"),
        ("a-1", "a-1"),
        ("2026-01-15", "2026-01-15"),
        ("(-3 to -1)", "(−3 to −1)"),
        ("0-17", "0-17"),
        ("-∞ to -.5", "−∞ to −.5"),
    ],
)
def test_minus_signs_and_hyphens(text, expected):
    assert minus(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, ""), (math.nan, ""), (0.04, "p = 0.040"), (1e-9, "p < 0.001"), (1, "p = 1.000")],
)
def test_p_values_in_words(value, expected):
    assert p_text(value) == expected


def test_absurd_ratios_are_cut_in_words():
    (wide,) = next(result for result in troubled().analyses if result.id == "separated").estimates
    assert value_text(wide, wide.estimate) == "> 1,000,000"
    assert interval_text(wide) == "0 to ∞"


@pytest.mark.parametrize("text", ["not a date", "2026-13-45", ""])
def test_a_date_that_is_none_stays_as_it_is(text):
    assert day(text) == text


GROUPS = tuple(
    effect(-0.05, 0.02, term=f"arm[conference] | ethnicity: {level}") for level in ("white - british", "mixed")
)


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("arm[conference]: mixed - white - british", "ethnicity: mixed against white - british"),
        ("arm[conference]: mixed / white - british", "ethnicity: mixed against white - british"),
    ],
)
def test_differences_between_groups_name_both(term, expected):
    one = effect(-0.01, 0.02, term=term)
    assert is_interaction(one)
    assert contrast(one, analysis(role="subgroup", estimates=(one, *GROUPS))) == expected


def test_measures_go_by_the_units_that_tell_them_apart():
    cases = [
        (effect(-0.1, 0.1), ("Risk difference", "percentage points")),
        (effect(0.7, 0.1, "odds_ratio"), ("Odds ratio", "")),
        (effect(0.7, 0.1, "odds_ratio", units="conditional odds ratio"), ("Conditional odds ratio", "")),
        (effect(0.7, 0.1, "rate_ratio", units="ratio of rate ratios"), ("Ratio of rate ratios", "")),
        (effect(3.0, 1.0, "mean_difference", units="days"), ("Difference in means", "days")),
        (effect(3.0, 1.0, "mean_difference", units="difference in means"), ("Difference in means", "")),
        (effect(0.3, 0.1, "hedges_g", units="standard deviations"), ("Hedges' g", "standard deviations")),
    ]
    for one, expected in cases:
        assert measure_words(one) == expected


def test_means_of_all_arms_have_the_same_decimals():
    arms = {"usual": {"n": 9, "mean": 104.61, "sd": 129.3}, "conference": {"n": 9, "mean": 91.06, "sd": 122.02}}
    assert arm_outcomes(analysis(sample={"by_arm": arms}), ("usual", "conference")) == {
        "usual": "104.6 (SD 129.3)",
        "conference": "91.1 (SD 122.0)",
    }


def test_a_blank_head_of_a_row_continues_the_one_above():
    rows = [
        {"characteristic": "sex", "level": "female", "usual": "566 (48.9%)", "smd": 0.024},
        {"characteristic": "", "level": "male", "usual": "592 (51.1%)", "smd": ""},
        {"characteristic": "", "level": "missing", "usual": "<10", "smd": ""},
        {"characteristic": "age", "level": "mean (SD)", "usual": "7.4 (4.9)", "smd": 0.2},
    ]
    columns = [
        Column(name="characteristic"),
        Column(name="level"),
        Column(name="usual", kind="count"),
        Column(name="smd", kind="number", digits=2),
    ]
    block = table_block(Table(rows, columns, title="Baseline"))
    assert [row[0].text for row in block.rows] == ["Sex", "male", "missing", "Age"]
    assert [row[0].rows for row in block.rows if row[0].header] == [3, 1]


@pytest.mark.parametrize(
    ("kind", "value", "shade"),
    [
        ("percent", 0.0, 0), ("percent", 0.019, 0), ("percent", 0.02, 1), ("percent", 0.93, 5), ("percent", "<10", None),
        ("count", "195 (93.8%)", 5), ("count", "21 (1.7%)", 0), ("count", "0", 0), ("count", "<10", None), ("count", 208, None),
    ],
)  # fmt: skip
def test_shares_missing_are_shaded_and_hidden_ones_are_not(kind, value, shade):
    table = Table([{"la": "Aldercombe", "x": value}], [Column(name="la"), Column(name="x", kind=kind)])
    assert table_block(table, heat=True).rows[0][1].shade == shade
    assert table_block(table).rows[0][1].shade is None
