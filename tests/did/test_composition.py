"""Effects on who is seen: the estimator run by hand, reassignment by hand, changes that are there and that are not."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from section_composition_study import RECORD, children, study
from section_data import section_children

import wwc_eval as we
from wwc_eval.did.composition_permutation import Lottery
from wwc_eval.errors import DataError, DesignError

COVARIATES = ("age", "need", "x")


def sections(data=None, **options):
    data = section_children() if data is None else data
    options = {"cluster": "area", **options}
    return we.Panel(data, unit=None, period="year", outcome="y", cohort="start", **options)


def gappy():
    data = section_children()
    data.loc[data.index % 40 == 0, "x"] = np.nan
    return data


# --- the estimator by hand


def by_hand(data, column, asked, **options):
    """The overall effect of callaway_santanna with a covariate as outcome."""
    options = {"cluster": "area", **options}
    panel = we.Panel(data.assign(z=column), unit=None, period="year", outcome="z", cohort="start", **options)
    return we.did.callaway_santanna(panel, **asked).overall


@pytest.mark.reference
@pytest.mark.parametrize("asked", [{}, {"control": "not_yet"}, {"anticipation": 1}])
@pytest.mark.parametrize("options", [{}, {"weights": "w"}, {"cluster": None}])
def test_effects_are_those_of_the_estimator_with_the_covariate_as_outcome(asked, options):
    data = gappy()
    found = we.did.composition(sections(data, **options), COVARIATES, draws=99, rng=1, **asked)
    rows = found.to_dicts()
    assert [(row["covariate"], row["level"]) for row in rows] == [
        ("age", ""), ("need", "N1"), ("need", "N2"), ("need", "N3"), ("x", ""), ("x", "(missing)"),
    ]  # fmt: skip
    used = data.dropna(subset="x")
    columns = [used["age"], *(used["need"] == level for level in ("N1", "N2", "N3")), used["x"]]
    every = [(used, column.astype(float)) for column in columns] + [(data, data["x"].isna().astype(float))]
    for row, item, (frame, column) in zip(rows, found.estimates, every, strict=True):
        one = by_hand(frame, column, asked, **options)
        assert item.estimate == pytest.approx(one.estimate, rel=1e-10, abs=1e-13)
        for name in ("se", "ci_low", "ci_high", "p_value"):
            assert row[name] == pytest.approx(getattr(one, name), rel=1e-9)
        assert (item.n, item.n_clusters) == (one.n, one.n_clusters)
        free = frame[(frame["start"] == 0) | (frame["year"] < frame["start"])]
        w = free["w"] if "weights" in options else np.ones(len(free))
        mean = np.average(column[free.index], weights=w)
        sd = math.sqrt(np.average((column[free.index] - mean) ** 2, weights=w))
        assert row["standardised"] == pytest.approx(item.estimate / sd, rel=1e-9)


@pytest.mark.reference
def test_the_number_of_rows_is_the_estimator_on_logarithms_of_counts():
    data = section_children()
    found = we.did.composition(sections(), "age", draws=99, rng=1)
    counts = data.groupby(["area", "year", "start"], as_index=False).size().assign(z=lambda d: np.log(d["size"]))
    panel = we.Panel(counts, unit="area", period="year", outcome="z", cohort="start")
    one = we.did.callaway_santanna(panel).overall
    assert found.volume.estimate == pytest.approx(math.exp(one.estimate), rel=1e-12)
    assert found.volume.se == pytest.approx(one.se, rel=1e-10)
    assert found.volume.ci_low == pytest.approx(math.exp(one.ci_low), rel=1e-10)
    thin = data[~((data["area"] == "A03") & (data["year"] == 2020))]
    told = we.did.composition(sections(thin), "age", draws=99, rng=1)
    assert "1 area and period has no row" in " ".join(told.notes)
    assert math.isfinite(told.volume.details["permutation_p"])


# --- permutation


@pytest.mark.parametrize("control", ["never", "not_yet"])
@pytest.mark.parametrize("weights", [None, "w"])
def test_what_is_permuted_is_the_effect_itself(control, weights):
    data = section_children()
    panel = sections(data.assign(y=data["age"]), weights=weights)
    result = we.did.callaway_santanna(panel, control=control)
    lottery = Lottery.of(panel, result.group_times, 20, seed=4)
    found = lottery.reassign(panel.outcomes[None], panel.cells.weights)
    assert found.observed[0] == pytest.approx(result.overall.estimate, rel=1e-11)
    label = {0: 0, **{k + 1: 2018 + int(one) for k, one in enumerate(lottery.statistic.dates)}}
    for k in range(6):
        starts = dict(zip(panel.units, (label[int(code)] for code in found.reference.codes[k]), strict=True))
        moved = data.assign(start=data["area"].map(starts))
        treated = (moved["year"] >= data["start"]) & (data["start"] > 0)
        for frame, value in (
            (moved.assign(y=data["age"]), found.effects[k, 0]),
            (moved.assign(y=1.0 * treated), found.moves[k]),
        ):
            one = we.did.callaway_santanna(sections(frame, weights=weights), control=control).overall
            assert value == pytest.approx(one.estimate, rel=1e-9, abs=1e-12)


def test_the_joint_test_is_of_the_largest_effect_over_its_spread():
    data = section_children().assign(one=2.5)
    panel = sections(data)
    found = we.did.composition(panel, ["age", "one", "x"], draws=499, rng=5)
    results = [found["age"], found["x"]]
    assert found.joint.tested == 2
    seed = int(np.random.default_rng(5).integers(2**63 - 1))
    lottery = Lottery.of(results[0].panel, results[0].group_times, 499, seed=seed)
    made = lottery.reassign(np.stack([one.panel.outcomes for one in results]), results[0].panel.cells.weights)
    spread = made.effects.std(axis=0)
    over = np.abs(made.observed) / spread
    largest = (np.abs(made.effects) / spread).max(axis=1)
    rows = {row["covariate"]: row for row in found.to_dicts()}
    for place, name in enumerate(("age", "x")):
        assert rows[name]["adjusted_p"] == pytest.approx((1 + (largest >= over[place]).sum()) / 500)
        alone = (1 + (np.abs(made.effects[:, place]) >= abs(made.observed[place])).sum()) / 500
        assert rows[name]["permutation_p"] == pytest.approx(alone)
        assert rows[name]["adjusted_p"] >= alone
    assert found.joint.p_value == min(rows[name]["adjusted_p"] for name in ("age", "x"))
    assert found.joint.largest == ("age", "x")[int(over.argmax())]
    # what does not vary has no effect and is not tested
    assert rows["one"]["estimate"] == pytest.approx(0.0, abs=1e-12)
    assert math.isnan(rows["one"]["adjusted_p"])
    assert math.isnan(rows["one"]["standardised"])


def test_with_few_treated_inference_is_the_permutations():
    data = section_children()
    few = data[(data["start"] == 0) | data["area"].isin(["A00", "A02"])]
    found = we.did.composition(sections(few), ["age", "need"])
    assert found.joint.exact
    assert found.joint.reassignments == math.comb(16, 2)
    for item in (*found.estimates, found.volume):
        assert math.isnan(item.se)
        assert item.p_value == item.details["permutation_p"]
        assert item.ci_low < item.estimate < item.ci_high
        assert "permutations of treatment over 16 clusters" in item.method
    assert "2 treated clusters: errors are far too small" in " ".join(found.notes)
    # an effect in the interval's end is on the edge of rejection: p of the covariate less that effect
    age = found.estimates[0]
    treated = (few["year"] >= few["start"]) & (few["start"] > 0)
    for end, inside in ((age.ci_low, 1e-6), (age.ci_high, -1e-6)):
        for shift, rejected in ((inside, False), (-inside, True)):
            moved = few.assign(age=few["age"] - (end + shift) * treated)
            p = we.did.composition(sections(moved), "age").estimates[0].p_value
            assert (p <= 0.05) == rejected
    mixed = few.assign(start=np.where((few["area"] == "A00") & (few.index % 2 == 0), 0, few["start"]))
    none = we.did.composition(sections(mixed), "age")
    assert none.joint is None
    assert math.isnan(none.estimates[0].ci_low)
    assert "none are given" in " ".join(none.notes)


def test_the_lottery_of_the_roll_out_is_what_is_permuted():
    data = section_children()
    areas = pd.DataFrame({"area": sorted(set(data["area"]))[:12]})
    drawn = we.randomise(areas, unit="area", method=we.Complete(), arms=("wait", "start"), seed="a draw in public")
    starts = {
        area: 2021 * (arm == "start") for area, arm in zip(drawn.table["area"], drawn.table["arm"], strict=True)
    }
    some = data[data["area"].isin(starts)].assign(start=lambda d: d["area"].map(starts))
    found = we.did.composition(sections(some), ["age", "need"], allocation=drawn)
    assert (found.joint.exact, found.joint.reassignments) == (True, math.comb(12, 6))
    assert "that the roll-out lottery permitted" in found.sentences()[0]
    plain = we.did.composition(sections(some), ["age", "need"])
    # a complete randomisation is any permutation, listed in another order
    for one, other in zip(found.to_dicts(), plain.to_dicts(), strict=True):
        assert one["permutation_p"] == pytest.approx(other["permutation_p"], rel=1e-9)
        assert one["adjusted_p"] == pytest.approx(other["adjusted_p"], rel=1e-9)
    with pytest.raises(DesignError, match="not in the panel"):
        we.did.composition(sections(some[some["area"] != "A03"]), "age", allocation=drawn)


# --- the same, however the data come


def test_order_of_rows_kind_of_frame_and_units_leave_no_trace():
    data = gappy()
    mixed = data.sample(frac=1, random_state=3)
    texts = {
        hashlib.sha256(
            json.dumps(we.did.composition(sections(frame, weights="w"), COVARIATES, draws=199).to_dicts()).encode()
        ).hexdigest()
        for frame in (data, mixed, pl.from_pandas(data))
    }
    assert len(texts) == 1
    scaled = we.did.composition(sections(data.assign(age=12 * data["age"] + 3)), "age", draws=199, rng=1)
    plain = we.did.composition(sections(data), "age", draws=199, rng=1)
    for name in ("standardised", "p_value", "permutation_p"):
        assert scaled.to_dicts()[0][name] == pytest.approx(plain.to_dicts()[0][name], rel=1e-8)


def test_it_reads_and_draws():
    found = we.did.composition(sections(gappy()), COVARIATES, draws=199, rng=1)
    text = str(found)
    for words in (
        "in SDs",
        "(missing)",
        "All 5 at once: p",
        "Number of rows by area and period",
        "Sant'Anna and Xu 2023",
    ):
        assert words in text
    assert list(found.to_frame().columns[:3]) == ["covariate", "level", "term"]
    assert found["need[N2]"].panel.measure == "need[N2]"
    ax = found.plot()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [item.term for item in found.estimates]
    assert "SDs" in ax.get_xlabel()
    alone = we.did.composition(sections(cluster=None), "age")
    assert (alone.joint, alone.volume) == (None, None)
    assert "give cluster=" in alone.notes[0]


def test_what_cannot_be_asked_is_refused():
    panel = sections()
    units = we.Panel(
        section_children().drop_duplicates(["area", "year"]),
        unit="area",
        period="year",
        outcome="y",
        cohort="start",
    )
    for given, names, words in (
        (units, "age", "children seen once"),
        (panel, [], "no covariate is named"),
        (panel, "area", "a column of the panel itself"),
        (panel, "y", "a column of the panel itself"),
    ):
        with pytest.raises(DesignError, match=words):
            we.did.composition(given, names)
    with pytest.raises(DataError, match="no column 'agee'"):
        we.did.composition(panel, "agee")
    with pytest.raises(DesignError, match="draws"):
        we.did.composition(panel, "age", draws=5)
    with pytest.raises(DesignError, match=r"no row .need\[N\]"):
        we.did.composition(panel, "need", draws=99, rng=1)["need[N]"]
    with pytest.raises(DesignError, match="no row has every covariate"):
        we.did.composition(sections(section_children().assign(x=np.nan)), ["x", "age"])


# --- what is there, and what is not


@pytest.mark.simulation
def test_a_change_of_who_is_seen_is_found():
    data = children(40, 8, np.random.default_rng(2), shift=0.5, growth=0.3)
    found = we.did.composition(
        we.Panel(data, unit=None, period="year", outcome="y", cohort="start", cluster="area"),
        ["a", "b", "c", "kind"],
    )
    rows = {(row["covariate"], row["level"]): row for row in found.to_dicts()}
    assert rows["a", ""]["ci_low"] < 0.5 < rows["a", ""]["ci_high"]
    assert rows["a", ""]["adjusted_p"] < 0.01
    assert min(rows[name, ""]["adjusted_p"] for name in ("b", "c")) > 0.05
    assert (found.joint.largest, found.joint.p_value < 0.01) == ("a", True)
    assert found.volume.ci_low < math.exp(0.3) < found.volume.ci_high
    assert found.volume.details["permutation_p"] < 0.05


@pytest.mark.simulation
def test_where_nobody_changes_the_joint_test_holds_its_level():
    record = json.loads(RECORD.read_text())
    for row in record["rows"]:
        error = math.sqrt(0.05 * 0.95 / record["reps"])
        assert abs(row["joint"] - 0.05) < 4 * error
        assert abs(row["permutation"] - 0.05) < 4 * error
        assert row["wald"] > 0.09
        assert row["found"] > 0.3 or row["treated"] < 5
    page = (Path(__file__).parents[2] / "docs" / "methods" / "did.md").read_text(encoding="utf-8")
    for row in record["rows"]:
        shown = " | ".join(f"{100 * row[name]:.1f}" for name in ("joint", "permutation", "wald", "found"))
        assert f"| {row['areas']} | {row['treated']} | {shown} |" in page
    fresh = study(20, 1, 25, seed=8)
    assert fresh["joint"] < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 25)


def test_the_overall_row_is_what_is_moved_most():
    found = we.did.composition(sections(gappy()), COVARIATES, draws=99, rng=1)
    sizes = [abs(item.details["standardised"]) for item in found.estimates]
    assert found.overall is found.estimates.items[int(np.nanargmax(sizes))]
