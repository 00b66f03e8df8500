"""Specifications and ratings as they come: faults that would pass in silence, and bands where nothing varies."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from fidelity_faults import named

import wwc_eval as we
from wwc_eval.commands.fidelity import command
from wwc_eval.errors import DataError, DesignError
from wwc_eval.fidelity.scoring.levels import fit_levels
from wwc_eval.fidelity.scoring.writing import write_scores

FOLDER = Path(__file__).parents[2] / "sample_data"
TEXT = (FOLDER / "specifications/safety_planning.yaml").read_text(encoding="utf-8")
CASES = 12

ANSWERED = {"listened_to": "parent", "visits": "record", "group_supervision": "worker"}


@cache
def specification() -> we.FidelitySpecification:
    return we.FidelitySpecification.parse(TEXT.encode("utf-8"))


@pytest.fixture
def spec() -> we.FidelitySpecification:
    return specification()


def rated(value=None, **changes) -> pd.DataFrame:
    """Twelve cases of four workers in two teams and one authority, two raters each."""
    rows = [
        {
            "case": f"C{case}",
            "worker": f"W{case % 4}",
            "team": f"T{case % 2}",
            "local_authority": "Ashby",
            "arm": "intervention",
            "child_age": 7,
            "item": item.id,
            "rater": rater,
            "respondent": ANSWERED.get(item.id, "auditor"),
            "date": "2025-05-31",
            "value": str(1 + (case + at) % int(item.scale.high)) if value is None else str(value),
        }
        for case in range(CASES)
        for at, item in enumerate(specification().document.items)
        for rater in ("A", "B")
        if item.unit is None
    ]
    return pd.DataFrame(rows).assign(**changes)


def with_cell(column: str, value: object, row: int = 3) -> pd.DataFrame:
    frame = rated().astype({column: object})
    frame.iloc[row, frame.columns.get_loc(column)] = value
    return frame


@pytest.mark.parametrize(
    ("old", "new", "code", "word"),
    [
        ("units: [case, worker, team,", "units: [case, worker, band,", "F03", "'band' is a column"),
        ("units: [case, worker,", "units: [case, rater,", "F03", "'rater' is a column"),
        ("{id: dose,", "{id: essentials,", "F01", "share of cases that meet"),
        ("[weighted_mean, geometric, minimum]", "[minimum, minimum]", "F01", "'minimum' is named twice"),
        ("{essentials: true, cases: 0.5,", "{cases: 0.5,", "F18", "names a share of cases"),
        ("codes: {NA:", 'codes: {" NA":', "F13", "begins or ends with a blank"),
        ("{arm: arm,", "{arm: value,", "F05", "holds ratings"),
        ("{arm: arm,", "{arm: team,", "F05", "holds units"),
    ],
)
def test_what_would_do_nothing_or_overwrite_a_column_is_a_fault(old, new, code, word):
    text = TEXT.replace(old, new, 1).encode("utf-8")
    found = named(DesignError, lambda: we.FidelitySpecification.parse(text), code, word)
    line = TEXT[: TEXT.index(old)].count("\n") + 1
    assert [problem.place.line for problem in found] == [line]


@pytest.mark.parametrize(
    ("column", "value", "code", "word"),
    [
        ("date", "2025-05-31garbage", "R11", "the date is not read"),
        ("date", "2025-05-31T25", "R11", "the date is not read"),
        ("date", "1899-12-30", "R15", "before 1990-01-01"),
        ("date", "2099-01-01", "R15", "in the future"),
        ("arm", "comparison", "R13", "case C0 is in more than one arm"),
        ("rater", " B", "R14", "'B' and ' B' are the same but for case or blanks"),
        ("rater", "b", "R14", "'B' and 'b' are the same but for case or blanks"),
        ("item", None, "R05", "no item is given"),
        ("value", [4], "R06", "neither a number nor a code"),
        ("child_age", "seven", "R12", "child_age is no number"),
    ],
)
def test_a_messy_cell_is_named_with_its_row(spec, column, value, code, word):
    found = named(DataError, lambda: spec.score(with_cell(column, value)), code, word)
    assert [(problem.place.row, problem.place.column) for problem in found] == [(5, column)]


def test_a_date_may_have_a_time_of_day(spec):
    assert len(spec.score(with_cell("date", "2025-05-31 09:30:00")).values("composite")) == CASES


def test_today_may_be_tomorrow_elsewhere(spec):
    tomorrow = pd.Timestamp.now().normalize() + pd.Timedelta(days=1)
    assert len(spec.score(rated(date=tomorrow)).values("composite")) == CASES
    assert len(spec.score(rated(date=pd.Timestamp("2025-05-31", tz="Europe/London"))).values("composite")) == CASES
    with pytest.raises(DataError, match="R15"):
        spec.score(rated(date=tomorrow + pd.Timedelta(days=1)))


def later_version(*changes):
    """Version 1.1.0 of the specification, with changes of its text."""
    text = TEXT.replace('version: "1.0.0"', 'version: "1.1.0"', 1)
    for old, new in changes:
        assert text.count(old) >= 1
        text = text.replace(old, new, 1)
    return we.FidelitySpecification.parse(text.encode("utf-8"))


def test_ratings_made_under_another_version_are_refused(spec):
    frame = rated(specification_version="1.0.0")
    assert len(spec.score(frame).values("composite")) == CASES
    assert len(spec.score(rated(specification_version=None)).values("composite")) == CASES
    frame.loc[7:9, "specification_version"] = "1.1.0"
    (found,) = named(DataError, lambda: spec.score(frame), "R16", "3 ratings made under version 1.1.0")
    assert (found.place.row, found.place.column) == (9, "specification_version")
    assert "safety_planning 1.0.0" in found.message


def test_waves_under_two_versions_join_only_what_both_define_alike(spec):
    first, second = rated(), rated(date="2025-05-31")
    quarter = first["case"].str[1:].astype(int) // 2 % 4
    first["date"] = quarter.map({0: "2024-02-01", 1: "2024-05-01", 2: "2024-08-01", 3: "2024-11-01"})
    # another text of one item of planning
    item = next(item for item in spec.document.items if item.component == "planning")
    changed = later_version((item.text, item.text + " (in full)"))
    before, after = spec.score(first), changed.score(second)
    for of in ("planning", "composite"):
        with pytest.raises(DesignError, match=r"versions 1\.0\.0 and 1\.1\.0") as caught:
            after.over_time(of=of, earlier=[before])
        (problem,) = caught.value.problems
        assert f"item '{item.id}' changed" in problem.message
        assert "assessment" in str(problem.fix)
        assert "planning" not in str(problem.fix).split("both:")[1]
    joined = after.over_time("team", of="assessment", earlier=[before])
    alone = spec.score(pd.concat([first, second.assign(case=second["case"] + "b")])).over_time(
        "team", of="assessment"
    )
    assert len(joined.rows) == 10
    assert [row["mean"] for row in joined.rows] == pytest.approx([row["mean"] for row in alone.rows])
    # labels are not what is measured; weights are, of the composite
    relabelled = later_version(("practice: ", "practice: New words for "))
    assert relabelled.score(second).over_time("team", earlier=[before]).rows
    lighter = later_version(
        ("weight: 0.30", "weight: 0.25"),
        ("essential, weight: 0.25, aggregate: geo", "essential, weight: 0.30, aggregate: geo"),
    )
    assert lighter.score(second).over_time("team", of="planning", earlier=[before]).rows
    with pytest.raises(DesignError, match="component 'assessment', component 'planning' changed"):
        lighter.score(second).over_time("team", earlier=[before])
    with pytest.raises(DesignError, match="two practices"):
        later_version(("id: safety_planning", "id: other")).score(second).over_time("team", earlier=[before])


def test_a_whole_authority_spelt_in_two_ways_is_not_two_authorities(spec):
    frame = rated()
    frame["local_authority"] = frame["team"].map({"T0": "Ashby", "T1": "ashby "})
    with pytest.raises(DataError, match="R14: local_authority 'Ashby' and 'ashby ' are the same"):
        spec.score(frame)


def test_ratings_of_several_raters_without_their_names_ask_for_the_names(spec):
    frame = rated().drop(columns="rater")
    with pytest.raises(DataError, match="there is no column 'rater'") as caught:
        spec.score(frame)
    # eleven items of twelve cases, each rated by two: what is not listed is counted
    most = pd.concat([frame, frame], ignore_index=True)
    with pytest.raises(DataError) as caught:
        spec.score(most)
    assert any("so are 196 rows more, which are not listed" in each.message for each in caught.value.problems)


def test_advice_on_an_item_lists_items_in_the_order_of_the_specification(spec):
    with pytest.raises(DataError) as caught:
        spec.score(with_cell("item", "zzz"))
    assert str(caught.value.problems[0].fix).startswith("choose one of 'harm_statement', 'worry_statement'")


def test_who_rates_their_own_practice_is_said(spec):
    frame = rated()
    frame = frame[frame["rater"] == "A"].assign(rater=frame["worker"])
    notes = spec.score(frame).notes
    assert any("same name as the worker that is rated" in note for note in notes)
    assert not any("same name" in note for note in spec.score(rated()).notes)


def test_essentials_that_nobody_meets_keep_units_out_of_the_high_band_only(spec):
    # harm_statement, an essential item, is absent in every case, and all else is at its best
    best = {item.id: str(int(item.scale.high)) for item in spec.document.items}
    best |= {"harm_statement": "1", "promises_only": "0"}
    frame = rated()
    frame["value"] = frame["item"].map(best)
    # scores differ a little between cases, so that the composite has an error
    some = (frame["item"] == "network_met") & frame["case"].isin(["C1", "C5", "C6"])
    frame.loc[some, "value"] = "3"
    team = spec.score(frame).by("team").to_frame()
    assert (team["estimate"] > 65).all()
    assert team["band"].tolist() == ["adequate", "adequate"]
    assert (team["p_high"] == 0).all()
    assert (team["p_adequate"] > 0.8).all()


def test_the_command_shows_the_whole_hash_that_a_plan_names(spec):
    found = CliRunner().invoke(command, [str(FOLDER / "specifications/safety_planning.yaml")])
    assert found.exit_code == 0
    assert f"sha256: {spec.hash}" in found.output


def test_what_no_rater_judges_is_known_of_each_case_and_modelled_once():
    rng = np.random.default_rng(8)
    worker = np.repeat(np.arange(20), 6)
    case = 20.0 * rng.normal(size=20)[worker] + 10.0 * rng.normal(size=120)
    twice = np.concatenate([np.arange(120), np.arange(60)])
    units = {"case": twice, "worker": worker[twice]}
    found = fit_levels(case[twice], units, twice % 5)
    alone = fit_levels(case, {"case": np.arange(120), "worker": worker}, None)
    assert found.variances == alone.variances
    assert found.variances["worker"] > 150
    np.testing.assert_array_equal(found.scores["case"].estimate, case)
    np.testing.assert_array_equal(found.scores["case"].se, 0.0)
    np.testing.assert_allclose(found.scores["worker"].se, alone.scores["worker"].se)
    assert found.notes[0].startswith("The score is the same on every sheet of a case")


def test_one_case_is_written_without_what_it_cannot_show(spec, tmp_path):
    frame = rated()
    written = {path.name for path in write_scores(spec.score(frame[frame["case"] == "C0"]), tmp_path)}
    assert {"items.csv", "scores_case.csv", "heatmap.png"} <= written
    assert "alerts.csv" not in written
