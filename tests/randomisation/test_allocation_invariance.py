"""The same allocation from any order of rows, any type of column, any kind of frame; and nothing from a bad list."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from allocation_vectors import METHODS, allocated, unit_list
from hypothesis import given, settings
from hypothesis import strategies as st

import wwc_eval as we
from wwc_eval.randomisation.units import read_units, sorted_texts

SEED = "a seed"


def teams(n=12, authorities=3):
    return pd.DataFrame(
        {"team": range(101, 101 + n), "la": [f"LA {i % authorities}" for i in range(n)], "size": range(n)}
    )


def arms_by_unit(allocation):
    table = allocation.table
    return dict(zip(table.iloc[:, 0].astype(str), table[allocation.bound.column].astype(str), strict=True))


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(sorted(METHODS)))
def test_order_of_rows_does_not_matter(random, name):
    frame = unit_list()
    order = list(range(len(frame)))
    random.shuffle(order)
    first, second = allocated(name), allocated(name, units=frame.iloc[order])
    pd.testing.assert_frame_equal(first.table, second.table)
    assert first.commitment == second.commitment


TYPES = {
    "int": lambda f: f,
    "str": lambda f: f.assign(team=f["team"].astype(str)),
    "object": lambda f: f.assign(team=f["team"].astype(object), la=f["la"].astype(object)),
    "float": lambda f: f.assign(team=f["team"].astype(float)),
    "small int": lambda f: f.assign(team=f["team"].astype("int16")),
    "nullable": lambda f: f.assign(team=f["team"].astype("Int64"), la=f["la"].astype("string")),
    "categorical": lambda f: f.assign(
        team=pd.Categorical(f["team"], categories=f["team"].tolist()[::-1]), la=f["la"].astype("category")
    ),
    "arrow": lambda f: f.convert_dtypes(dtype_backend="pyarrow"),
    "polars": pl.from_pandas,
    "polars categorical": lambda f: pl.from_pandas(f).with_columns(pl.col("la").cast(pl.Categorical)),
    "pyarrow": pa.Table.from_pandas,
    "index": lambda f: f.set_index(pd.Index(range(50, 50 + len(f)))),
    "columns": lambda f: f[["size", "la", "team"]],
}


@pytest.mark.parametrize("name", TYPES)
def test_types_and_frames_do_not_matter(name):
    method = we.Stratified(by="la")
    expected = we.randomise(teams(), unit="team", method=method, seed=SEED)
    found = we.randomise(TYPES[name](teams()), unit="team", method=method, seed=SEED)
    assert found.codes.tolist() == expected.codes.tolist()
    assert (found.hash, found.commitment) == (expected.hash, expected.commitment)
    assert found.receipt == expected.receipt


def test_an_order_of_arrival_is_by_number_whatever_its_type():
    method = we.PermutedBlocks(sizes=2, order="size")
    frame = teams()
    expected = we.randomise(frame, unit="team", method=method, seed=SEED)
    as_text = we.randomise(frame.assign(size=frame["size"].astype(str)), unit="team", method=method, seed=SEED)
    assert as_text.codes.tolist() == expected.codes.tolist()
    assert sorted_texts(["10", "9", "2.5", "-1"]) == ["-1", "2.5", "9", "10"]


def test_dates_are_dates_in_every_frame():
    frame = teams().assign(on=pd.date_range("2025-01-01", periods=12)[::-1])
    method = we.PermutedBlocks(sizes=(2, 4), order="on")
    expected = we.randomise(frame, unit="team", method=method, seed=SEED)
    for other in (
        pl.from_pandas(frame),
        frame.assign(on=frame["on"].dt.strftime("%Y-%m-%d")),
        frame.assign(on=frame["on"].dt.date),
    ):
        assert we.randomise(other, unit="team", method=method, seed=SEED).commitment == expected.commitment


def test_names_in_either_unicode_form_are_one_name():
    import unicodedata

    frame = pd.DataFrame({"la": ["Ynys Môn", "Zürich", "Derby", "Hull"]})
    other = frame.assign(la=[unicodedata.normalize("NFD", name) for name in frame["la"]])
    assert arms_by_unit(we.randomise(frame, unit="la", method=we.Complete(), seed=SEED)) == {
        unicodedata.normalize("NFC", name): arm
        for name, arm in arms_by_unit(we.randomise(other, unit="la", method=we.Complete(), seed=SEED)).items()
    }


def test_the_callers_frame_is_left_alone():
    frame = teams()
    before = frame.copy()
    allocation = we.randomise(frame, unit="team", method=we.Stratified(by="la"), seed=SEED)
    table = allocation.table
    table["arm"] = "programme"
    pd.testing.assert_frame_equal(frame, before)
    assert set(allocation.table["arm"]) == {"control", "programme"}
    with pytest.raises(ValueError, match="read-only"):
        allocation.codes[0] = 1


def test_seed_scheme_and_list_all_matter():
    base = we.randomise(teams(40), unit="team", method=we.Stratified(by="la"), seed=SEED)
    other = we.randomise(teams(40), unit="team", method=we.Stratified(by="la"), seed="a seed ")
    assert base.codes.tolist() != other.codes.tolist()
    assert base.commitment != other.commitment


REFUSED = {
    "a unit twice": (lambda f: f.assign(team=[101, *f["team"][:-1]]), {}, we.DataError, "rows 2, 3 are one unit"),
    "a unit twice in another form": (
        lambda f: f.assign(team=["101 ", *f["team"].astype(str)[1:]]),
        {},
        we.DataError,
        "blanks around it",
    ),
    "the float and the text of one unit": (
        lambda f: f.assign(team=pd.Series([101.0, "101", *range(103, 113)], dtype=object)),
        {},
        we.DataError,
        "are one unit",
    ),
    "a unit without a name": (lambda f: f.assign(team=[None, *f["team"][1:]]), {}, we.DataError, "missing"),
    "a digit lost": (lambda f: f.assign(team=[2.0**53 + 2, *f["team"][1:]]), {}, we.DataError, "lost digits"),
    "a list as a name": (
        lambda f: f.assign(team=[[1], *f["team"][1:]]),
        {},
        we.DataError,
        "neither text, number nor date",
    ),
    "an unknown stratum": (lambda f: f.assign(la=[None, *f["la"][1:]]), {}, we.DataError, "missing"),
    "a blank stratum": (lambda f: f.assign(la=[" ", *f["la"][1:]]), {}, we.DataError, "missing"),
    "a stratum of one": (
        lambda f: f.assign(la=["only", *f["la"][1:]]),
        {},
        we.DesignError,
        "stratum 'only' has 1 unit for 2 arms",
    ),
    "a ratio": (
        lambda f: f,
        {"arms": {"control": 1, "programme": 40}},
        we.DesignError,
        "cannot be met by 12 units",
    ),
    "no units": (lambda f: f.iloc[:0], {}, we.DataError, "no rows"),
    "unit column": (lambda f: f.rename(columns={"team": "Team"}), {}, we.DesignError, "did you mean 'Team'"),
    "stratum column": (
        lambda f: f.rename(columns={"la": "LA"}),
        {},
        we.DesignError,
        "no column 'la'.*did you mean 'LA'",
    ),
    "column twice": (lambda f: pd.concat([f, f[["la"]]], axis=1), {}, we.DesignError, "2 columns 'la'"),
    "one arm": (lambda f: f, {"arms": ("control",)}, we.DesignError, "different names"),
    "an arm twice": (lambda f: f, {"arms": ("a", "a")}, we.DesignError, "different names"),
    "text for arms": (lambda f: f, {"arms": "control"}, we.DesignError, "several names"),
    "a share of an arm": (lambda f: f, {"arms": {"a": 0.5, "b": 0.5}}, we.DesignError, "whole number above 0"),
    "no scheme": (lambda f: f, {"method": "stratified"}, we.DesignError, "must be a scheme"),
    "not a frame": (lambda f: "teams.csv", {}, we.DataError, "not a data frame"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_allocated_from_a_bad_list(name):
    change, arguments, kind, words = REFUSED[name]
    given = {"unit": "team", "method": we.Stratified(by="la"), "seed": SEED} | arguments
    with pytest.raises(kind, match=words) as caught:
        we.randomise(change(teams()), **given)
    assert all(problem.fix for problem in caught.value.problems)


def test_a_level_is_a_share():
    with pytest.raises(we.DesignError, match=r"alpha == 1\.5, must be < 1"):
        we.randomise(teams(), unit="team", method=we.Complete(), seed=SEED, alpha=1.5)


def test_every_fault_of_a_list_is_reported_at_once():
    frame = teams().assign(team=[None, *range(102, 113)], la=[None, None, *["LA 1"] * 10])
    with pytest.raises(we.DataError) as caught:
        we.randomise(frame, unit="team", method=we.Stratified(by="la"), seed=SEED)
    assert [(p.place.row, p.place.column) for p in caught.value.problems] == [(2, "team"), (2, "la"), (3, "la")]


SCHEMES = {
    "misfits": (lambda: we.Stratified(by="la", misfits="balance"), "did you mean 'balanced'"),
    "by nothing": (lambda: we.Stratified(by=[]), "names no column"),
    "by twice": (lambda: we.Stratified(by=["la", "la"]), "each once"),
    "sizes": (lambda: we.PermutedBlocks(sizes=(2, 2)), "different whole numbers"),
    "size of one": (lambda: we.PermutedBlocks(sizes=1), "above 1"),
    "sequences down": (lambda: we.SteppedWedgeSequences(sequences=[3, 2]), "ascending"),
    "sequences twice": (lambda: we.SteppedWedgeSequences(sequences=[2, 2]), "capacity="),
    "capacity": (lambda: we.SteppedWedgeSequences(sequences=[2, 3], capacity=[1]), "one for each"),
    "order alone": (lambda: we.SteppedWedgeSequences(sequences=[2, 3], order=["a"]), "without by"),
    "shares": (lambda: we.Saturation(within="la", shares=(0, 1.5)), "from 0 to 1"),
    "share in words": (lambda: we.Saturation(within="la", shares=("half", 1)), "from 0 to 1"),
    "ratio": (lambda: we.Saturation(within="la", shares=(0, 1), ratio=(1,)), "for each of the 2"),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_schemes_that_cannot_be(name):
    make, words = SCHEMES[name]
    with pytest.raises(we.DesignError, match=words):
        make()


UNMEETABLE = {
    "block size": (we.PermutedBlocks(sizes=(2, 4)), {"control": 1, "programme": 2}, "multiples of 3"),
    "places": (we.SteppedWedgeSequences(sequences=[2, 3]), ("control", "programme"), "12 units for 2 places"),
    "three arms of a wedge": (we.SteppedWedgeSequences(sequences=[2, 3], capacity=6), ("a", "b", "c"), "two arms"),
    "order unknown": (
        we.SteppedWedgeSequences(sequences=[2, 3], capacity=6, by="la"), ("control", "programme"), "give order=",
    ),
    "order short": (
        we.SteppedWedgeSequences(sequences=[2, 3], capacity=6, by="la", order=["LA 0", "LA 1"]),
        ("control", "programme"), "'LA 2' is not in order",
    ),
    "order of nobody": (
        we.SteppedWedgeSequences(sequences=[2, 3], capacity=6, by="la", order=["LA 0", "LA 1", "LA 2", "LA 9"]),
        ("control", "programme"), "no unit is in stratum 'LA 9'",
    ),
    "alike shares": (we.Saturation(within="la", shares=(0.3, 0.4)), ("control", "programme"), "under the share"),
    "few clusters": (we.Saturation(within="la", shares=(0, 0.25, 0.5, 1)), ("control", "programme"), "3 clusters cannot"),
    "few units": (we.Complete(), [f"arm {i}" for i in range(13)], "cannot be met by 12 units"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNMEETABLE)
def test_designs_that_cannot_be_met(name):
    method, arms, words = UNMEETABLE[name]
    with pytest.raises(we.DesignError, match=words) as caught:
        we.randomise(teams(), unit="team", arms=arms, method=method, seed=SEED)
    assert all(problem.fix for problem in caught.value.problems)


def test_order_of_strata_comes_from_categories_and_is_in_the_receipt():
    frame = pd.DataFrame({"la": list("abcde"), "ready": ["later", "later", "now", "now", "later"]})
    method = we.SteppedWedgeSequences(sequences=[2, 3, 4, 5, 6], by="ready")
    ordered = frame.assign(ready=pd.Categorical(frame["ready"], categories=["now", "later"], ordered=True))
    from_categories = we.randomise(ordered, unit="la", method=method, seed=SEED)
    told = we.SteppedWedgeSequences(sequences=[2, 3, 4, 5, 6], by="ready", order=["now", "later"])
    from_order = we.randomise(frame, unit="la", method=told, seed=SEED)
    assert from_categories.receipt == from_order.receipt
    assert from_categories.receipt["scheme"]["order"] == ["now", "later"]
    crossover = from_order.table.set_index("la")["crossover"]
    assert set(crossover[["c", "d"]]) == {2, 3}


def test_units_in_canonical_order_keep_where_they_came_from():
    units = read_units(teams().iloc[::-1], "team", ["la"])
    assert units.keys == tuple(str(i) for i in range(101, 113))
    assert units.origin.tolist() == list(range(11, -1, -1))
    assert units.numbers("size").tolist() == list(range(12))
    np.testing.assert_array_equal(units.take(np.array([3, 1])).numbers("size"), [1, 3])
