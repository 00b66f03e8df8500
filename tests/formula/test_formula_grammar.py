"""What the grammar of formulas reads, how it writes it back, and where its errors point."""

from __future__ import annotations

import pickle

import pytest

from wwc_eval.errors import FormulaError
from wwc_eval.formula import Call, Formula, Power, Term, Variable, parse_formula, quote_name

CANONICAL = [
    ("y~a", "y ~ a"),
    ("  y\n ~ \t a + b ", "y ~ a + b"),
    ("y ~ 1", "y ~ 1"),
    ("y ~ 1 + a", "y ~ a"),
    ("y ~ a + 1", "y ~ a"),
    ("y ~ 0 + a", "y ~ 0 + a"),
    ("y ~ a - 1", "y ~ 0 + a"),
    ("y ~ -1 + a", "y ~ 0 + a"),
    ("y ~ 0 + a + 1", "y ~ a"),
    ("y ~ + a", "y ~ a"),
    ("y ~ a:b + a + b", "y ~ a + b + a:b"),
    ("y ~ b + a:b + a", "y ~ b + a + a:b"),
    ("y ~ a*b", "y ~ a + b + a:b"),
    ("y ~ a*b*c", "y ~ a + b + c + a:b + a:c + b:c + a:b:c"),
    ("y ~ (a + b + c)^2", "y ~ a + b + c + a:b + a:c + b:c"),
    ("y ~ (a + b + c)^3", "y ~ a + b + c + a:b + a:c + b:c + a:b:c"),
    ("y ~ (a + b)^1", "y ~ a + b"),
    ("y ~ (a + b):c", "y ~ a:c + b:c"),
    ("y ~ (a + b)*c", "y ~ a + b + c + a:c + b:c"),
    ("y ~ a:(b + c)", "y ~ a:b + a:c"),
    ("y ~ a*b - b", "y ~ a + a:b"),
    ("y ~ a*b*c - a:b:c", "y ~ a + b + c + a:b + a:c + b:c"),
    ("y ~ (a + b + c)^2 - c:b", "y ~ a + b + c + a:b + a:c"),
    ("y ~ (a*b - b)", "y ~ a + a:b"),
    ("y ~ a + b - (a)", "y ~ b"),
    ("y ~ a + a", "y ~ a"),
    ("y ~ a:b + b:a", "y ~ a:b"),
    ("y ~ a:a", "y ~ a"),
    ("y ~ a*a", "y ~ a"),
    ("y ~ ((a))", "y ~ a"),
    ("y ~ x^2", "y ~ x^2"),
    ("y ~ x^1", "y ~ x"),
    ("y ~ x + x^2", "y ~ x + x^2"),
    ("y ~ x^2:a", "y ~ x^2:a"),
    ("y ~ centre(x)^2", "y ~ centre(x)^2"),
    ("y ~ log( x )+sqrt(x)", "y ~ log(x) + sqrt(x)"),
    ("y ~ centre(log(x))", "y ~ centre(log(x))"),
    ("y ~ scale(x^2)", "y ~ scale(x^2)"),
    ("y ~ poly(x,2)", "y ~ poly(x, 2)"),
    ("y ~ poly(log(x), 3):a", "y ~ poly(log(x), 3):a"),
    ("y ~ factor(year)", "y ~ factor(year)"),
    ("y ~ log", "y ~ log"),
    ("y ~ `looked after`", "y ~ `looked after`"),
    ("y ~ `a`", "y ~ a"),
    ("`my y` ~ centre(`my x`)", "`my y` ~ centre(`my x`)"),
    ("y ~ `1`", "y ~ `1`"),
    ("log(y) ~ a", "log(y) ~ a"),
    ("sqrt(y)~a", "sqrt(y) ~ a"),
    ("y^2 ~ a", "y^2 ~ a"),
    ("s/n ~ a", "s / n ~ a"),
    ("y ~ (1|g)", "y ~ 1 + (1 | g)"),
    ("y ~ a + (x|g)", "y ~ a + (1 + x | g)"),
    ("y ~ a + (1+x|g)", "y ~ a + (1 + x | g)"),
    ("y ~ a + (0+x|g)", "y ~ a + (0 + x | g)"),
    ("y ~ a + (x - 1|g)", "y ~ a + (0 + x | g)"),
    ("y ~ a + (-1 + x|g)", "y ~ a + (0 + x | g)"),
    ("y ~ a + (1 + x||g)", "y ~ a + (1 + x || g)"),
    ("y ~ a + (1||g)", "y ~ a + (1 | g)"),
    ("y ~ (1|g) + a", "y ~ a + (1 | g)"),
    ("y ~ a + (1|la/team)", "y ~ a + (1 | la/team)"),
    ("y ~ a + (1|la/team/worker)", "y ~ a + (1 | la/team/worker)"),
    ("y ~ a + (1|la:team)", "y ~ a + (1 | la:team)"),
    ("y ~ a + (1|la:year/team)", "y ~ a + (1 | la:year/team)"),
    ("y ~ a + (1|la/team:year)", "y ~ a + (1 | la/team:year)"),
    ("y ~ a + (1|la) + (1|la)", "y ~ a + (1 | la)"),
    ("y ~ a + (1|g) + (0 + x|g)", "y ~ a + (1 | g) + (0 + x | g)"),
    ("y ~ a + (1|la) + (1|school)", "y ~ a + (1 | la) + (1 | school)"),
    ("y ~ a + (a*x | g)", "y ~ a + (1 + a + x + a:x | g)"),
    ("y ~ a + (1 | `my la`/team)", "y ~ a + (1 | `my la`/team)"),
]


@pytest.mark.parametrize(("text", "canonical"), CANONICAL)
def test_canonical_text(text, canonical):
    formula = parse_formula(text)
    assert formula.text == canonical
    assert str(formula) == canonical
    again = parse_formula(formula.text)
    assert again == formula
    assert again.text == canonical


def test_parts_of_the_example():
    formula = parse_formula("y ~ arm + centre(age) + poly(x, 2) + a:b + (1 + z | la/team)")
    assert formula.response.text == "y"
    assert formula.response.kind == "column"
    assert formula.intercept
    assert [term.text for term in formula.fixed] == ["arm", "centre(age)", "poly(x, 2)", "a:b"]
    assert formula.fixed[1].factors == (Call("centre", Variable("age")),)
    assert formula.fixed[2].factors[0].degree == 2
    assert formula.fixed[3].factors == (Variable("a"), Variable("b"))
    (random,) = formula.random
    assert random.intercept
    assert random.correlated
    assert [term.text for term in random.slopes] == ["z"]
    assert random.groups == ("la", "la:team")
    assert random.group_columns == (("la",), ("la", "team"))
    assert [one.text for one in random.expand()] == ["(1 + z | la)", "(1 + z | la:team)"]
    assert formula.columns == {"y", "arm", "age", "x", "a", "b", "z", "la", "team"}


def test_power_of_a_column_is_not_a_crossing():
    squared = parse_formula("y ~ x^2").fixed[0]
    assert squared.factors == (Power(Variable("x"), 2),)
    assert [term.text for term in parse_formula("y ~ (x + z)^2").fixed] == ["x", "z", "x:z"]


def test_successes_and_trials():
    response = parse_formula("cases / children ~ arm").response
    assert response.kind == "successes_trials"
    assert response.columns == ("cases", "children")


def test_terms_compare_without_order():
    assert Term((Variable("a"), Variable("b"))) == Term((Variable("b"), Variable("a")))
    assert hash(Term((Variable("a"), Variable("b")))) == hash(Term((Variable("b"), Variable("a"))))


def test_one_sided():
    assert parse_formula("~ arm + x", response=False).text == "~ arm + x"
    assert parse_formula("arm + x", response=False).text == "~ arm + x"
    assert parse_formula("~ arm", response=False).response is None
    for text in ("y ~ arm", "~ ~ arm"):
        with pytest.raises(FormulaError):
            parse_formula(text, response=False)
    with pytest.raises(FormulaError, match="no response at character 1"):
        parse_formula("~ arm")


ERRORS = [
    ("y", 2, "has no '~'"),
    ("y ~", 4, "ends where"),
    ("y ~ a +", 8, "ends where"),
    ("y ~ a b", 7, "not expected"),
    ("y ~ a ~ b", 7, "second '~'"),
    ("y + z ~ a", 3, "one column"),
    ("y ~ a/b", 6, "a \\+ a:b"),
    ("y ~ a | g", 7, "brackets of its own"),
    ("y ~ log(x + 1)", 11, "make any other column"),
    ("y ~ log(x", 10, "close log"),
    ("y ~ (a + b", 11, "close the bracket"),
    ("y ~ a)", 6, "not expected"),
    ("y ~ x**2", 6, "write \\^"),
    ("y ~ (x)^2", 8, "without brackets"),
    ("y ~ x^0", 7, "1 to 10"),
    ("y ~ x^2.5", 7, "whole number"),
    ("y ~ x^-1", 7, "exponent"),
    ("y ~ x^2^2", 8, "once"),
    ("y ~ poly(x)", 11, "degree"),
    ("y ~ poly(x, 0)", 13, "degree"),
    ("y ~ poly(x, 11)", 13, "degree"),
    ("y ~ poly(x, 2, 3)", 14, "stands inside"),
    ("y ~ poly(x, 2)^2", 15, "power"),
    ("y ~ factor(a)^2", 14, "power"),
    ("y ~ log(factor(a))", 9, "inside log"),
    ("y ~ factor(log(a))", 12, "as it is"),
    ("y ~ center(x)", 5, "centre"),
    ("y ~ cnetre(x)", 5, "did you mean 'centre'"),
    ("y ~ offset(x)", 5, "exposure"),
    ("cbind(s, f) ~ x", 1, "successes / trials"),
    ("y ~ `log`(x)", 5, "backquotes"),
    ("y ~ 2*x", 5, "arithmetic"),
    ("y ~ 1:x", 6, "product"),
    ("y ~ (1 + x)*a", 6, "outermost"),
    ("y ~ x - 0", 9, "no meaning"),
    ("y ~ a - b", 9, "no term 'b'"),
    ("y ~ a - b:c", 9, "no term 'b:c'"),
    ("y ~ (0|g)", 6, "no effect"),
    ("y ~ (|g)", 6, "not expected"),
    ("y ~ (1|g", 9, "close the random"),
    ("y ~ (1|)", 8, "group"),
    ("y ~ (1|g+h)", 9, "crossed groups"),
    ("y ~ (1|(g/h))", 8, "without brackets"),
    ("y ~ (1|factor(g))", 8, "without a function"),
    ("y ~ (1|g/g)", 10, "twice"),
    ("y ~ (1|g|h)", 9, "close the random"),
    ("y ~ a - (1|g)", 9, "leave it out"),
    ("y ~ a*(1|g)", 7, "join it by"),
    ("y ~ (1 + (1|g) | h)", 10, "inside another"),
    ("log(s) / n ~ x", 1, "columns of counts"),
    ("n / n ~ x", 1, "same column"),
    ("poly(y, 2) ~ x", 1, "response"),
    ("y ~ 007", 5, "starts with 0"),
    ("y ~ 1e5", 5, "arithmetic"),
    ("y ~ 1x", 5, "runs into"),
    ("y ~ a.b", 6, "dot"),
    ("y ~ _a", 5, "starts with a letter"),
    ("y ~ a – 1", 7, "EN DASH"),
    ("y ~ `a", 5, "not closed"),
    ("y ~ ``", 5, "empty"),
    ("y ~ 'a'", 5, "backquotes"),
    ("y = a", 3, "write ~"),
]


@pytest.mark.parametrize(("text", "character", "advice"), ERRORS)
def test_errors_point_at_the_character_and_help(text, character, advice):
    with pytest.raises(FormulaError, match=advice) as caught:
        parse_formula(text)
    (problem,) = caught.value.problems
    assert problem.place.character == character
    assert f"at character {character} " in problem.message


@pytest.mark.parametrize("text", ["y ~ 0", "y ~ a - a - 1", "y ~ 0 + (1 | g)"])
def test_nothing_left(text):
    with pytest.raises(FormulaError, match="neither an intercept nor a term"):
        parse_formula(text)


@pytest.mark.parametrize(
    "text",
    ["y ~ (1 | g) + (x | g)", "y ~ (1 | a/b) + (1 | a)", "y ~ (x | g) + (0 + x | g)", "y ~ (1|a:b) + (x|b:a)"],
)
def test_an_effect_varies_once_by_a_group(text):
    with pytest.raises(FormulaError, match="in two random parts"):
        parse_formula(text)


@pytest.mark.parametrize("text", ["y ~ y", "y ~ log(y)", "log(y) ~ a:y", "y ~ a + (y | g)", "y ~ a + (1 | y)"])
def test_the_response_explains_nothing(text):
    with pytest.raises(FormulaError, match="response column 'y' is on the right"):
        parse_formula(text)


def test_trials_may_explain():
    assert parse_formula("s / n ~ n").columns == {"s", "n"}


@pytest.mark.parametrize("value", [None, 3, b"y ~ a", ["y ~ a"], ""])
def test_only_text_is_read(value):
    with pytest.raises(FormulaError):
        parse_formula(value)


def test_add_and_remove_terms():
    formula = parse_formula("y ~ arm + age + (1 | la)")
    more = formula.with_terms("arm:flag", "flag")
    assert more.text == "y ~ arm + age + flag + arm:flag + (1 | la)"
    assert formula.with_terms("age").text == formula.text
    assert formula.with_terms(Term((Variable("sex"),))).text == "y ~ arm + age + sex + (1 | la)"
    assert more.without_terms("flag:arm").without_terms("flag") == formula
    assert [term.text for term in more.terms_of("arm")] == ["arm", "arm:flag"]
    with pytest.raises(FormulaError, match="did you mean 'age'"):
        formula.without_terms("agee")
    with pytest.raises(FormulaError, match="outermost"):
        formula.with_terms("1")
    with pytest.raises(FormulaError, match="random part"):
        formula.with_terms("(1 | g)")
    with pytest.raises(FormulaError, match="right side too"):
        formula.with_terms("y")
    with pytest.raises(FormulaError, match="no term left"):
        parse_formula("y ~ 0 + a").without_terms("a")


def test_replace_random():
    formula = parse_formula("y ~ arm + (1 | la/team)")
    assert formula.without_random().text == "y ~ arm"
    assert formula.replace_random(None) == formula.without_random()
    assert formula.replace_random("(1 | school) + (1 | la)").text == "y ~ arm + (1 | school) + (1 | la)"
    assert formula.without_random().replace_random(formula.random) == formula
    with pytest.raises(FormulaError, match="in two random parts"):
        formula.replace_random("(1 | la) + (x | la)")
    with pytest.raises(FormulaError, match="random part"):
        formula.replace_random("la")


def test_with_response():
    formula = parse_formula("y ~ arm")
    assert formula.with_response("log(z)").text == "log(z) ~ arm"
    assert formula.with_response(None).text == "~ arm"
    with pytest.raises(FormulaError):
        formula.with_response("arm")
    with pytest.raises(FormulaError):
        formula.with_response("z ~ x")


def test_formula_is_frozen_hashable_and_pickles():
    formula = parse_formula("y ~ arm*x + (1 | la)")
    assert pickle.loads(pickle.dumps(formula)) == formula
    assert len({formula, parse_formula(formula.text)}) == 1
    with pytest.raises(AttributeError):
        formula.intercept = False
    assert isinstance(formula, Formula)


def test_quote_name():
    assert quote_name("age_2") == "age_2"
    assert quote_name("2nd") == "`2nd`"
    assert quote_name("tŷ") == "`tŷ`"
    for name in ("a`b", "", " ", "a\nb", "a\x00"):
        with pytest.raises(FormulaError):
            quote_name(name)


def test_large_but_sane_formulas_are_read_fast():
    wide = "y ~ " + " + ".join(f"x{i}" for i in range(800))
    assert len(parse_formula(wide).fixed) == 800
    crossed = "y ~ (" + " + ".join(f"x{i}" for i in range(40)) + ")^2"
    assert len(parse_formula(crossed).fixed) == 40 + 40 * 39 // 2


@pytest.mark.parametrize(
    "text",
    [
        "y ~ (" + " + ".join(f"x{i}" for i in range(60)) + ")^2",
        "y ~ " + "*".join(f"x{i}" for i in range(40)),
        "y ~ " + ":".join(f"x{i}" for i in range(7)),
        "y ~ (a + b + c + d + e + f + g)^7",
    ],
)
def test_explosions_are_refused(text):
    with pytest.raises(FormulaError, match=r"expands to more|joins more"):
        parse_formula(text)
