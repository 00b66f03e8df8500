"""Strict YAML: what is refused, where, and that nothing is guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_eval.errors import PlanError
from wwc_eval.plans.canonical import canonical_json, first_difference, sha256_of
from wwc_eval.plans.yaml_text import parse_yaml, path_text

REFUSED = {
    "alias": (b"a: &x 1\nb: *x\n", "Y06", 1, 4),
    "anchor": (b"a: &x 1\n", "Y06", 1, 4),
    "merge": (b"a: {b: 1}\n<<: {c: 1}\n", "Y06", 2, 1),
    "python tag": (b"a: !!python/object/apply:os.system [ls]\n", "Y07", 1, 4),
    "own tag": (b"a: !secret x\n", "Y07", 1, 4),
    "str tag": (b"a: !!str 5\n", "Y07", 1, 4),
    "tag on key": (b"!!str a: 5\n", "Y07", 1, 1),
    "anchor on key": (b"&k a: 5\n", "Y06", 1, 1),
    "duplicate": (b"a: 1\nb: 2\na: 3\n", "Y09", 3, 1),
    "duplicate nested": (b"x:\n  a: 1\n  'a': 3\n", "Y09", 3, 3),
    "duplicate flow": (b"x: {a: 1, a: 2}\n", "Y09", 1, 11),
    "two documents": (b"a: 1\n---\nb: 2\n", "Y04", 2, 1),
    "leading zero": (b"a: 010\n", "Y12", 1, 4),
    "leading zero negative": (b"a: -007\n", "Y12", 1, 4),
    "hexadecimal": (b"a: 0x1F\n", "Y12", 1, 4),
    "octal": (b"a: 0o17\n", "Y12", 1, 4),
    "underscores": (b"a: 1_000\n", "Y12", 1, 4),
    "nan": (b"a: .nan\n", "Y12", 1, 4),
    "infinity": (b"a: -.inf\n", "Y12", 1, 4),
    "overflow": (b"a: 1e999\n", "Y12", 1, 4),
    "huge integer": (b"a: " + b"9" * 400 + b"\n", "Y12", 1, 4),
    "number as key": (b"1: a\n", "Y10", 1, 1),
    "boolean as key": (b"true: a\n", "Y10", 1, 1),
    "null as key": (b"~: a\n", "Y10", 1, 1),
    "empty key": (b'"": a\n', "Y10", 1, 1),
    "list as key": (b"? [a, b]\n: 1\n", "Y10", 1, 3),
    "mapping as key": (b"? {a: b}\n: 1\n", "Y10", 1, 3),
    "tab": (b"a:\n\tb: 1\n", "Y05", 2, 1),
    "unclosed bracket": (b"a: [1, 2\nb: 3\n", "Y05", 2, 2),
    "unclosed quote": (b"a: 'x\nb: 1\n", "Y05", 3, 1),
    "bad indent": (b"a: 1\n b: 2\n", "Y05", 2, 3),
    "reserved": (b"a: @x\n", "Y05", 1, 4),
    "control character": (b"a: \x07\n", "Y05", 1, 1),
    "NUL": (b"a: x\x00y\n", "Y05", 1, 1),
    "empty": (b"", "Y03", 1, 1),
    "blank": (b"\n \n", "Y03", 1, 1),
    "comments only": (b"# nothing\n", "Y03", 1, 1),
    "a list": (b"- a\n- b\n", "Y03", 1, 1),
    "a word": (b"plan\n", "Y03", 1, 1),
    "latin-1": (b"a: caf\xe9\n", "Y02", 1, 7),
    "utf-16": ("a: 1\n".encode("utf-16"), "Y02", 1, 1),
    "utf-16 big endian": (b"\xfe\xff\x00a", "Y02", 1, 1),
    "not NFC": ("a: cafe\u0301\n".encode(), "Y11", 1, 4),
    "key not NFC": ("cafe\u0301: 1\n".encode(), "Y11", 1, 1),
    "deep flow": (b"a: " + b"[" * 5000 + b"]" * 5000, "Y08", 1, None),
    "deep unclosed": (b"[" * 100_000, "Y08", 1, None),
    "deep mapping": (b"{a: " * 200 + b"1" + b"}" * 200, "Y08", 1, None),
    "too large": (b"a: " + b"x" * 1_000_001, "Y01", 1, 1),
    "billion laughs": (
        b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
        "Y06",
        1,
        4,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_place(case):
    content, code, line, character = REFUSED[case]
    with pytest.raises(PlanError) as caught:
        parse_yaml(content, "plan.yaml")
    first = caught.value.problems[0]
    assert first.code == code
    assert first.place.line == line
    assert character is None or first.place.character == character
    assert str(first).startswith(f"plan.yaml:{line}:")


def test_every_problem_at_once():
    with pytest.raises(PlanError) as caught:
        parse_yaml(b"a: &x 1\nb: 010\nc: .nan\na: 2\n", "p.yaml")
    assert [problem.code for problem in caught.value.problems] == ["Y06", "Y12", "Y12", "Y09"]


def test_yaml_1_2_scalars():
    text = b"""
    no: no
    yes: yes
    date: 2026-01-15
    time: 12:30:45
    version: 1.10.0
    bool: true
    int: -5
    float: 1e3
    null1: ~
    null2:
    quoted: "5"
    single: '0010'
    exponent_text: 1e
    plus: +3
    """
    assert parse_yaml(text, "p").data == {
        "no": "no",
        "yes": "yes",
        "date": "2026-01-15",
        "time": "12:30:45",
        "version": "1.10.0",
        "bool": True,
        "int": -5,
        "float": 1000.0,
        "null1": None,
        "null2": None,
        "quoted": "5",
        "single": "0010",
        "exponent_text": "1e",
        "plus": 3,
    }


def test_byte_order_mark_and_windows_line_ends_are_read():
    assert parse_yaml(b"\xef\xbb\xbfa: 1\r\nb: [x, y]\r\n", "p").data == {"a": 1, "b": ["x", "y"]}


def test_positions_of_values_and_keys():
    parsed = parse_yaml(b"a:\n  - {b: 1}\n  - c: 'two'\n", "p.yaml")
    assert parsed.values[("a", 1, "c")] == (3, 8)
    assert parsed.keys[("a", 1, "c")] == (3, 5)
    assert parsed.quoted == frozenset({("a", 1, "c")})
    place = parsed.place(("a", 1, "missing"))
    assert (place.line, place.character, place.field) == (3, 5, "a[1].missing")
    assert parsed.place(("a", 1, "c"), offset=2).character == 11  # past the quote
    assert path_text(("a", 1, "c")) == "a[1].c"


@pytest.mark.property
@given(st.binary(max_size=200))
def test_any_bytes_give_data_or_a_plan_error(content):
    try:
        assert isinstance(parse_yaml(content, "p").data, dict)
    except PlanError as error:
        assert error.problems


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.property
@given(plain, plain)
def test_hash_and_first_difference_agree(left, right):
    same = canonical_json(left) == canonical_json(right)
    assert (sha256_of(left) == sha256_of(right)) is same
    assert (first_difference(left, right) is None) is same


def test_first_difference_names_the_field():
    old = {"a": {"b": [1, {"c": 5}]}, "d": 1}
    assert first_difference(old, {"a": {"b": [1, {"c": "5"}]}, "d": 1}) == ("a.b[1].c", 5, "5")
    assert first_difference(old, {"a": {"b": [1]}, "d": 1}) == ("a.b[1]", {"c": 5}, "(absent)")
    assert first_difference(old, {**old, "e": None}) == ("e", "(absent)", None)
    assert first_difference({"a": True}, {"a": 1}) == ("a", True, 1)
    assert first_difference({"a": 0.0}, {"a": -0.0}) is not None
