"""Tables: full precision inside, and no reader misled by what is shown."""

from __future__ import annotations

import copy
import html
import json
import math
import pickle
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_eval.errors import DataError
from wwc_eval.table import (
    MISSING,
    Column,
    Table,
    format_count,
    format_number,
    format_p_value,
    format_percent,
    format_probability,
    format_ratio,
)

COLUMNS = (
    Column(name="term"),
    Column(name="estimate", kind="number", digits=2),
    Column(name="n", kind="count"),
    Column(name="share", kind="percent", digits=1),
    Column(name="p_value", label="p", kind="p_value"),
)
ROW = {"term": "arm[programme]", "estimate": -1.005, "n": 12345, "share": 0.1234, "p_value": 0.0004}
HOSTILE = [
    "<script>alert(1)</script>", "a & b", "50%", "$x_1^2$", "#{}~\\", "a|b", "`code`", "*bold*", '"quoted"', "'",
    "[x](javascript:alert(1))", "line\nbreak", "a\r\nb", "\x00\x1b[2J", "\u2028", "[6pt] cell", "* star", MISSING, "∞", "−3",
]  # fmt: skip


def table(*rows, **rest):
    return Table(rows or [ROW], COLUMNS, **rest)


# --- raw values


def test_raw_values_keep_full_precision():
    value = math.pi * 1e-7
    assert table({**ROW, "estimate": value}).to_dicts()[0]["estimate"] == value
    assert table({**ROW, "estimate": value}).to_frame()["estimate"].iloc[0] == value
    assert table({**ROW, "estimate": value}).column("estimate") == [value]


@pytest.mark.property
@given(st.lists(st.fixed_dictionaries({
    "term": st.text(), "estimate": st.floats(allow_nan=False), "n": st.integers(), "share": st.floats(0, 1),
    "p_value": st.floats(0, 1),
}), max_size=4))  # fmt: skip
def test_round_trips(rows):
    made = Table(rows, COLUMNS, title="t", notes=["n"])
    assert json.loads(json.dumps(made.to_dicts())) == rows
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert again.to_dicts() == rows
        assert (again.columns, again.title, again.notes) == (made.columns, "t", ("n",))
    assert str(made)
    assert made.to_html()
    assert made.to_latex()
    assert made.to_markdown()


def test_a_table_is_frozen_and_holds_copies():
    row = dict(ROW)
    made = table(row)
    row["n"] = 0
    assert made.to_dicts()[0]["n"] == 12345
    with pytest.raises(TypeError):
        made.rows[0]["n"] = 0
    with pytest.raises(TypeError):
        next(iter(made))["n"] = 0
    with pytest.raises(AttributeError):
        made.title = "x"
    made.to_dicts()[0]["n"] = 0
    assert made.to_dicts()[0]["n"] == 12345


def test_rows_that_do_not_fit_the_columns_are_refused():
    with pytest.raises(DataError, match=r"row 1 .*\['n'\]"):
        Table([{"a": 1}, {"a": 1, "n": 2}], [Column(name="a")], title="t")
    with pytest.raises(DataError, match="two columns of one name"):
        Table([], [Column(name="a"), Column(name="a")])


def test_an_unknown_column_gets_advice():
    with pytest.raises(DataError, match="did you mean 'estimate'"):
        table().column("estimat")


def test_an_empty_table_keeps_its_columns_in_every_form():
    empty = Table([], COLUMNS, title="nothing")
    assert len(empty) == 0
    assert list(empty.to_frame().columns) == [column.name for column in COLUMNS]
    assert empty.to_dicts() == []
    assert "share" in str(empty)
    assert empty.to_markdown().count("\n") == 3
    assert r"\midrule" in empty.to_latex()
    assert "<tbody></tbody>" in empty.to_html()
    assert str(Table([], [])) == "\n"


# --- numbers as shown


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1234.5678, 2, "1,234.57"), (-0.0, 2, "0.00"), (-0.004, 2, "0.00"), (-0.4, 0, "0"), (0.0, 0, "0"),
        (-1234.5, 1, "-1,234.5"), (math.nan, 2, MISSING), (math.inf, 2, "∞"), (-math.inf, 2, "-∞"),
        (999999999999999.0, 0, "999,999,999,999,999"), (1e300, 2, "1.00e+300"), (-2.5e20, 0, "-2.5e+20"),
        (5e-324, 3, "0.000"), (np.float64(0.5), 1, "0.5"),
    ],
)  # fmt: skip
def test_format_number(value, digits, text):
    assert format_number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (1250, "1,250"), (np.int64(1250), "1,250"), (2**53 + 1, "9,007,199,254,740,993"), (12.5, "12.5"),
        (1250.0, "1,250"), (-0.0, "0"), (-0.04, "0.0"), (math.nan, MISSING), (math.inf, "∞"), pytest.param(10**400, None, id="400 digits"),
    ],
)  # fmt: skip
def test_format_count(value, text):
    found = format_count(value)
    assert found == text if text is not None else found.replace(",", "") == str(value)


def test_probabilities_are_not_shown_as_certain_unless_they_are():
    shown = [format_probability(value) for value in (0.0, 0.004, 0.005, 0.5, 0.995, 0.996, 1.0, math.nan)]
    assert shown == ["0%", "< 1%", "< 1%", "50%", "> 99%", "> 99%", "100%", MISSING]
    column = Column(name="p", kind="probability")
    assert (column.show(0.001), column.numeric) == ("< 1%", True)


def test_ratios_are_shown_up_to_a_size_that_says_something():
    small, large = [format_ratio(value) for value in (0.0, 1e-300, 0.00099)], [1_000.1, 1e250, math.inf]
    assert small == ["< 0.001"] * 3
    assert [format_ratio(value) for value in large] == ["> 1,000"] * 3
    assert [format_ratio(value) for value in (0.001, 2.5, 1_000, math.nan)] == [
        "0.001", "2.500", "1,000.000", MISSING,
    ]  # fmt: skip
    table = Table([{"ratio": 1e250}], [Column(name="ratio", kind="ratio")])
    assert table.to_dicts() == [{"ratio": 1e250}]
    assert table._grid().numeric == (True,)
    assert "&gt; 1,000" in table.to_html()


@pytest.mark.parametrize("kind", ["text", "number", "percent"])
def test_truth_is_shown_as_yes_or_no(kind):
    import numpy as np

    column = Column(name="differs", kind=kind)
    assert [column.show(value) for value in (True, False, np.True_, np.False_)] == ["yes", "no", "yes", "no"]


def test_format_percent():
    assert format_percent(0.4512) == "45.1%"
    assert format_percent(-0.00001) == "0.0%"
    assert format_percent(math.nan) == MISSING
    assert format_percent(math.inf) == "∞%"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "< 0.001"), (5e-324, "< 0.001"), (0.000999, "< 0.001"), (0.001, "0.001"), (0.0496, "0.050"),
        (1.0, "1.000"), (math.nan, MISSING), (np.float64(3e-9), "< 0.001"),
    ],
)  # fmt: skip
def test_format_p_value(value, text):
    assert format_p_value(value) == text


@pytest.mark.property
@given(st.floats(0, 1))
def test_a_p_value_is_never_shown_as_zero_or_with_stars(p):
    shown = table({**ROW, "p_value": p})
    for text in (str(shown), shown.to_html(), shown.to_latex(), shown.to_markdown()):
        assert "0.000" not in text
        assert "0.0000" not in text
    assert "*" not in str(shown) + shown.to_html() + shown.to_latex()
    assert format_p_value(p) == "< 0.001" or float(format_p_value(p)) == pytest.approx(p, abs=5.1e-4)


@pytest.mark.property
@given(st.floats(-1e300, 1e300), st.integers(0, 6))
def test_a_number_as_shown_is_near_the_number(value, digits):
    shown = float(format_number(value, digits).replace(",", ""))
    assert shown == pytest.approx(value, rel=0.06, abs=0.51 * 10.0**-digits)
    assert not re.fullmatch(r"-[0.,]+", format_number(value, digits))


@pytest.mark.parametrize("kind", ["text", "number", "count", "percent", "p_value"])
@pytest.mark.parametrize("value", [None, math.nan, np.float32("nan"), np.float64("nan"), pd.NA, pd.NaT])
def test_what_is_missing_is_a_dash(kind, value):
    assert Column(name="x", kind=kind).show(value) == MISSING


@pytest.mark.parametrize("kind", ["number", "count", "percent", "p_value"])
def test_text_stands_for_itself_in_a_number_column(kind):
    assert Column(name="x", kind=kind).show("<10") == "<10"


def test_headings():
    assert Column(name="ci_low").heading == "ci low"
    assert Column(name="n", label="").heading == ""
    assert Column(name="n", kind="count").numeric
    assert not Column(name="n").numeric


# --- forms


class Reader(HTMLParser):
    """Collects tags and text."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.property
@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30)))
def test_hostile_text_is_text_in_html(text):
    made = Table([{"a": text}], [Column(name="a", label=text)], title=text, notes=[text])
    reader = Reader()
    reader.feed(made.to_html())
    assert set(reader.tags) <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    assert reader.tags.count("td") == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_in_latex(text):
    made = Table(
        [{"a": text, "b": 1}], [Column(name="a", label=text), Column(name="b", kind="count")], notes=[text]
    )
    latex = made.to_latex()
    assert len(latex.splitlines()) == 8
    for line in latex.splitlines()[2:5:2]:
        body = line.removesuffix(r" \\")
        bare = re.sub(r"\\[a-z]+\{\}|\\[&%$#_{}]|\$-\$|\$\\infty\$", "", body)
        assert bare.count("&") == 1
        assert not re.search(r"[%$#_~^\\]", bare)
        assert not body.startswith(("[", "*"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_in_markdown(text):
    lines = (
        Table([{"a": text}], [Column(name="a", label=text)], title=text, notes=[text]).to_markdown().splitlines()
    )
    assert len(lines) == 7
    for row in (lines[2], lines[4]):
        assert len(re.findall(r"(?<!\\)\|", row)) == 2
        assert "<" not in row
        assert "](" not in row.replace(r"\](", "")
        assert not re.search(r"(?<!\\)[`*]", row)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_stays_on_its_line_in_text(text):
    made = Table([{"a": text, "b": "end"}], [Column(name="a"), Column(name="b")])
    assert len(str(made).splitlines()) == 3


def test_minus_signs_in_html_stand_in_numbers_only():
    made = Table(
        [{"a": "-5", "b": "-13.9 to -2.1", "c": "2024-03-01"}],
        [Column(name="a"), Column(name="b", kind="number"), Column(name="c", kind="number")],
    )
    assert ">-5<" in made.to_html()
    assert ">&minus;13.9 to &minus;2.1<" in made.to_html()
    assert ">2024-03-01<" in made.to_html()


def test_text_form():
    assert str(table(title="Effects", notes=["One note."])).splitlines() == [
        "Effects",
        "term            estimate       n  share        p",
        "------------------------------------------------",
        "arm[programme]     -1.00  12,345  12.3%  < 0.001",
        "One note.",
    ]
    assert repr(table()) == str(table())
    assert table()._repr_html_() == table().to_html()
    assert html.escape("< 0.001") in table().to_html()
