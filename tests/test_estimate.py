"""Estimates: inference to the last digits, on the scale it is stated in, and the same wherever they travel."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wwc_eval.errors import DataError, DesignError
from wwc_eval.estimate import COLUMNS, PROPORTION_SCALES, RATIO_SCALES, SCALES, Estimate, Estimates
from wwc_eval.table import MISSING, Table

FINITE = st.floats(-1e6, 1e6)
SE = st.floats(1e-6, 1e6)
DF = st.one_of(st.just(math.inf), st.floats(1, 1e4))


def make(**changes):
    fields = {"term": "arm[programme]", "estimate": -0.08, "se": 0.03, **changes}
    return Estimate.from_normal(**fields)


def worker(item):
    """What a joblib worker may hand back."""
    if item == "error":
        raise DataError("wrong", fix="mend it")
    return make(details={"a": 1}), Estimates([make()], title="t"), Table([], [])


# --- inference


@pytest.mark.reference
@pytest.mark.parametrize("t", [1e-12, 0.3, 1.0, 1.96, 3.0, 8.0, 20.0, 37.0])
@pytest.mark.parametrize("df", [1, 2.5, 7, 30, 200, 12345.6, math.inf])
def test_p_values_equal_scipys_upper_tails(t, df):
    expected = 2 * (stats.norm.sf(t) if math.isinf(df) else stats.t.sf(t, df))
    for sign in (1, -1):
        found = make(estimate=sign * t, se=1.0, df=df)
        assert found.p_value == pytest.approx(expected, rel=1e-14, abs=0)
        assert found.p_value > 0
        assert found.statistic == sign * t


@pytest.mark.reference
@pytest.mark.parametrize("t", [0.5, 3.0, 1e3, 1e6, 1e9])
def test_far_tails_equal_closed_forms(t):
    """t with 1 df: p = 2 atan(1/t) / pi; with 2 df: p = 2 / (2 + t^2 + t sqrt(2 + t^2)). Not 1 - cdf, which is 0 here."""
    one, two = make(estimate=t, se=1.0, df=1), make(estimate=t, se=1.0, df=2)
    assert one.p_value == pytest.approx(2 * math.atan(1 / t) / math.pi, rel=1e-13, abs=0)
    assert two.p_value == pytest.approx(2 / (2 + t * t + t * math.sqrt(2 + t * t)), rel=1e-13, abs=0)


@pytest.mark.reference
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99, 0.999999])
@pytest.mark.parametrize("df", [1, 2.5, 7, 30, 200, 12345.6, math.inf])
def test_intervals_equal_scipys_quantiles(level, df):
    reach = stats.norm.isf((1 - level) / 2) if math.isinf(df) else stats.t.isf((1 - level) / 2, df)
    found = make(estimate=2.0, se=0.5, df=df, level=level)
    # (1 - level) / 2 and (1 + level) / 2 are rounded apart: that much and no more is allowed
    slack = 1e-13 + 4e-16 / (1 - level)
    assert found.ci_high - 2.0 == pytest.approx(0.5 * reach, rel=slack)
    assert 2.0 - found.ci_low == pytest.approx(0.5 * reach, rel=slack)


@pytest.mark.property
@given(FINITE, SE, DF, st.floats(0.01, 0.99))
def test_interval_and_test_agree(estimate, se, df, level):
    found = make(estimate=estimate, se=se, df=df, level=level)
    assert found.ci_low <= estimate <= found.ci_high
    assert 0 <= found.p_value <= 1
    excludes = not found.ci_low <= 0 <= found.ci_high
    if abs(found.p_value - (1 - level)) > 1e-9:
        assert excludes == (found.p_value < 1 - level)
    flipped = make(estimate=-estimate, se=se, df=df, level=level)
    assert (flipped.p_value, flipped.ci_low) == (found.p_value, -found.ci_high)


@pytest.mark.property
@given(st.sampled_from(sorted(RATIO_SCALES)), st.floats(0.01, 100), st.floats(0.01, 3), DF)
def test_ratios_are_symmetric_on_the_log_scale(scale, ratio, se, df):
    found = make(estimate=ratio, se=se, df=df, scale=scale)
    low, centre, high = (math.log(value) for value in (found.ci_low, ratio, found.ci_high))
    assert centre - low == pytest.approx(high - centre, rel=1e-9)
    assert found.statistic == pytest.approx(centre / se, abs=1e-12)
    inverse = make(estimate=1 / ratio, se=se, df=df, scale=scale)
    assert inverse.p_value == pytest.approx(found.p_value, rel=1e-9)
    assert inverse.ci_low == pytest.approx(1 / found.ci_high, rel=1e-12)


def test_the_null_may_be_elsewhere():
    assert make(estimate=0.5, se=0.1, null=0.5).p_value == 1
    assert make(estimate=2.0, se=0.1, scale="odds_ratio", null=2).statistic == 0
    assert make(estimate=1.0, se=0.1, scale="odds_ratio").statistic == 0
    for null in (0, -1, math.nan):
        with pytest.raises(DesignError, match="null == "):
            make(estimate=2.0, scale="odds_ratio", null=null)


@pytest.mark.parametrize(
    "changes",
    [
        {"se": 0.0}, {"se": -1.0}, {"se": math.nan}, {"df": 0}, {"df": -2}, {"df": math.nan}, {"estimate": math.nan},
        {"estimate": math.inf}, {"estimate": -math.inf}, {"estimate": 0.0, "scale": "risk_ratio"},
        {"estimate": -1.0, "scale": "odds_ratio"}, {"estimate": math.inf, "scale": "rate_ratio"},
    ],
)  # fmt: skip
def test_without_usable_error_there_is_no_inference(changes):
    found = make(**changes)
    assert all(math.isnan(getattr(found, name)) for name in ("statistic", "p_value", "ci_low", "ci_high"))
    assert found.shown_interval == MISSING
    assert "nan" not in str(found) + found.to_html() + found.to_latex()


def test_huge_ratios_do_not_overflow():
    found = make(estimate=2.0, se=1e4, scale="odds_ratio")
    assert (found.ci_low, found.ci_high) == (0.0, math.inf)
    assert found.shown_interval.endswith("to ∞")


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, math.nan, "0.95", None])
def test_levels_outside_0_and_1_are_refused(level):
    with pytest.raises((DesignError, TypeError)):
        make(level=level)
    with pytest.raises(DesignError, match="level == "):
        make().replace(level=level)


# --- the record


def test_numbers_become_plain():
    found = make(estimate=np.float64(1), se=np.float32(0.5), n=np.int64(7), n_clusters=np.int64(3), df=np.int64(5))
    assert [type(getattr(found, name)) for name in COLUMNS[1:]] == [float] * 7
    assert (type(found.n), type(found.n_clusters)) == (int, int)
    assert json.loads(json.dumps(found.to_dict(full=True)))["n"] == 7


def test_estimates_are_frozen():
    details = {"a": 1}
    found = make(details=details, warnings=["w"])
    details["a"] = 2
    assert found.details["a"] == 1
    assert found.warnings == ("w",)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.estimate = 0
    with pytest.raises(TypeError):
        found.details["a"] = 0
    found.to_dict(full=True)["details"]["a"] = 0
    assert found.details["a"] == 1
    assert make(warnings="one sentence").warnings == ("one sentence",)


def test_equal_estimates_are_equal_and_hash_alike():
    assert make(details={"a": 1}) == make(details={"a": 1})
    assert make() != make(details={"a": 1})
    assert len({make(details={"a": [1]}), make(details={"a": [1]})}) == 1


def test_replace_changes_known_fields_only():
    found = make()
    assert found.replace(units="days").units == "days"
    assert found.units == ""
    with pytest.raises(DataError, match=r"no field 'unit'\. Fix: did you mean 'units'\?"):
        found.replace(unit="days")


@pytest.mark.property
@given(FINITE, SE, DF, st.sampled_from(sorted(SCALES)), st.text())
def test_round_trips(estimate, se, df, scale, text):
    found = make(estimate=estimate, se=se, df=df, scale=scale, term=text, warnings=(text,), details={"k": [se]})
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found), copy.copy(found)):
        assert repr(again.to_dict(full=True)) == repr(found.to_dict(full=True))
        assert type(again.details) is type(found.details)
    read = json.loads(json.dumps(found.to_dicts()))
    assert repr(read) == repr(found.to_dicts())
    assert Estimates([found]).to_frame()["estimate"].iloc[0] == estimate


def test_results_and_errors_come_back_from_workers():
    one, several, table = joblib.Parallel(n_jobs=2)([joblib.delayed(worker)("results")] * 2)[0]
    assert one == make(details={"a": 1})
    assert (several.terms, several.title, len(table)) == (("arm[programme]",), "t", 0)
    with pytest.raises(DataError) as caught:
        joblib.Parallel(n_jobs=2)([joblib.delayed(worker)("error")] * 2)
    assert caught.value.problems[0].fix == "mend it"


# --- as shown


@pytest.mark.parametrize(
    ("changes", "shown", "interval", "units"),
    [
        (
            {"estimate": -0.08, "se": 0.03, "scale": "risk_difference"},
            "-8.0",
            "-13.9 to -2.1",
            "percentage points",
        ),
        ({"estimate": 1.23456, "se": 0.05}, "1.235", "1.137 to 1.333", "coefficient"),
        ({"estimate": 12345.6, "se": 480.0, "units": "days"}, "12,346", "11,405 to 13,286", "days"),
        ({"estimate": 0.8, "se": 0.1, "scale": "odds_ratio"}, "0.800", "0.658 to 0.973", "odds ratio"),
        ({"estimate": -0.0, "se": 1.0}, "0.0", "-2.0 to 2.0", "coefficient"),
        ({"estimate": 3.1e-9, "se": 2e-10}, "3.10e-09", "2.71e-09 to 3.49e-09", "coefficient"),
        ({"estimate": 1e20, "se": 1e19, "scale": "own"}, "1.0e+20", "8.0e+19 to 1.2e+20", "own"),
        ({"estimate": 1.5, "se": math.nan}, "1.500", MISSING, "coefficient"),
        ({"estimate": math.nan, "se": math.nan}, MISSING, MISSING, "coefficient"),
    ],
)
def test_shown(changes, shown, interval, units):
    found = make(**changes)
    assert (found.shown_estimate, found.shown_interval, found.shown_units) == (shown, interval, units)
    assert shown in str(found)
    assert interval in str(found)


def test_percentage_points_are_for_reading_only():
    found = make(scale="risk_difference")
    assert "risk_difference" in PROPORTION_SCALES
    assert found.to_dicts()[0]["estimate"] == -0.08
    assert found.to_frame()["ci_low"].iloc[0] == pytest.approx(-0.1388, abs=1e-4)


@pytest.mark.parametrize(
    ("se", "text"), [(0.1234, "0.123"), (0.0004, "0.00040"), (2.5e-9, "2.5e-09"), (12.5, "12.500")]
)
def test_the_error_of_a_ratio_is_of_its_log_and_never_shown_as_zero(se, text):
    found = str(make(estimate=0.8, se=se, scale="rate_ratio"))
    assert f" {text} " in found
    assert "(SE of the log)" in found


def test_what_stands_below_an_estimate():
    found = str(
        make(n=1200, n_clusters=42, warnings=("Few clusters.",), citation="doi:1", method="Least squares.")
    )
    assert found.splitlines()[0] == "Least squares."
    assert found.splitlines()[-3:] == ["n = 1,200, 42 clusters", "Few clusters.", "doi:1"]


# --- several


def test_estimates_by_term_and_position():
    several = Estimates([make(term="a"), make(term="b", estimate=1.0), make(term="b")])
    assert several["a"].term == "a"
    assert several[-1].estimate == several[np.int64(2)].estimate == -0.08
    assert [item.term for item in several] == list(several.terms) == ["a", "b", "b"]
    assert "a" in several
    assert "c" not in several
    assert len(several) == 3
    with pytest.raises(DataError, match=r"names 2 estimates\. Fix: take one by its position"):
        several["b"]
    with pytest.raises(DataError, match=r"not among the estimates\. Fix: did you mean 'age'"):
        Estimates([make(term="age")])["agee"]
    with pytest.raises(IndexError):
        several[3]
    with pytest.raises(TypeError):
        several[1.0]


def test_no_estimate_is_an_empty_table():
    empty = Estimates([])
    assert list(empty.to_frame().columns) == list(COLUMNS)
    assert len(empty.to_frame(full=True)) == 0
    assert empty.to_dicts() == []
    assert "estimate" in str(empty)
    assert "<tbody></tbody>" in empty.to_html()


def test_headings_name_the_interval_and_mixed_levels_do_not():
    assert "95% interval" in str(Estimates([make()]))
    assert "97.5% interval" in str(Estimates([make(level=0.975)]))
    mixed = str(Estimates([make(), make(level=0.9)]))
    assert "% interval" not in mixed
    assert "interval" in mixed


def test_warnings_and_notes_are_shown_once():
    several = Estimates([make(warnings=("w",)), make(warnings=("w", "v"))], notes=["n", "w"])
    assert str(several).splitlines()[-3:] == ["n", "w", "v"]


def test_a_full_frame_holds_every_field():
    frame = Estimates([make(n=5)]).to_frame(full=True)
    assert list(frame.columns) == [field.name for field in dataclasses.fields(Estimate)]
    assert frame["n"].tolist() == [5]


@pytest.mark.property
@given(
    st.one_of(FINITE, st.sampled_from([math.nan, math.inf, -math.inf])),
    st.floats(),
    DF,
    st.sampled_from(sorted(SCALES)),
)
def test_whatever_the_numbers_no_form_misleads(estimate, se, df, scale):
    found = make(estimate=estimate, se=se, df=df, scale=scale)
    for text in (str(found), found.to_html(), found.to_latex(), found.to_markdown()):
        cells = text.replace("&minus;", "-").lower()
        assert "nan" not in cells
        assert "inf " not in cells
        assert "***" not in text
