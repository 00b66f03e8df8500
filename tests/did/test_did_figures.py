"""Every figure of other programs in the research copies is in a record that a test walks, or has a named reason.

The records are in tests/reference. What walks them: test_callaway_reference (did), test_did_regression_reference (fixest,
clubSandwich, didimputation, did2s, bacondecomp), test_staggered (staggered), test_synthetic (synthdid), test_honest_ports
(HonestDiD) and test_few_treated_prototype (sizes). Each goes through all keys of its record, so that a figure put there
is compared.
"""

import json
from collections import Counter
from pathlib import Path

import pytest
from did_figures import agree, leaves, written

pytestmark = pytest.mark.reference

FOLDER = Path(__file__).parents[1] / "reference"
SHARED = Path(__file__).parents[3] / "shared" / "reference"
RENAMED = {
    "boot": "bootstrap",
    "popwt": "weighted",
    "pop": "weighted",
    "event_study_ref_m1_no_never_in_dummies": "event_study",
    "synthdid_estimate": "synthdid",
    "sc_estimate": "sc",
    "did_estimate": "did",
    "est": "estimate",
    "zeta.omega": "zeta",
}
PROGRAMS = "the program and its version, not a figure"
SECONDS = "how long the other program took"
WORDS = "words about the figures"
HONEST = {"lb": 0, "ub": 1}


RECORDS = {
    "did_callaway.json": {"source", "castle", "la", "mpdta", "bootstrap"},
    "did_regression.json": {"source", "data", "commands", "castle", "la", "mpdta", "df_het"},
    "did_honest.json": {"source", "notes", "smoothness", "relative_magnitudes", "parallel_trends"},
    "did_few_treated_sizes.json": {"source", "reps", "sizes"},
    "did_staggered.json": {"source", "command", "data", "castle", "la", "mpdta"},
}
"""Records and their keys: words, or parts that a test goes through."""


def callaway(place):
    return "did_callaway.json", tuple(RENAMED.get(part, part) for part in place)


def regression(place):
    """Fixed effects and their kin; one estimator of the same file, for roll-outs in drawn order, has its own record."""
    if place[1] == "staggered":
        return "did_staggered.json", (place[0], place[-1])
    renamed = {key: RENAMED[key] for key in ("popwt", "pop", "event_study_ref_m1_no_never_in_dummies")}
    return "did_regression.json", tuple(renamed.get(part, part) for part in place)


def synthetic(place):
    if place[1] == "placebo_se_200":
        place = (place[0], "placebo")
    return "did_synthetic.json", ("california", *(RENAMED.get(part, part) for part in place))


def sizes(place):
    return "did_few_treated_sizes.json", ("sizes", *place)


def honest(place):
    """Two layouts of two ports; one of them printed its table."""
    kind = {"SD": "smoothness", "RM": "relative_magnitudes"}.get(place[0].rpartition("_")[2])
    port = place[0].partition("_")[0]
    if place[-1] == "seconds":
        return SECONDS
    if place[0] == "moderndid_orig":
        return "did_honest.json", ("parallel_trends", place[-1])
    if kind is None or place[-1] in ("method", "delta", "Delta", "value"):
        return WORDS
    if place[-1] in HONEST:
        return "did_honest.json", (kind, port, place[-2], HONEST[place[-1]])
    return "did_honest.json", (kind, "M", place[-2])


FILES = {
    "did_bjs_gardner_etwfe_bacon_poisson_r.json": regression,
    "did_cs_attgt_r_did.json": callaway,
    "did_cs_bootstrap_r_did.json": callaway,
    "did_honest_bc_python_peers.json": honest,
    "did_sim_few_treated_size.json": sizes,
    "did_synthdid_r.json": synthetic,
    "did_twfe_sunab_cr.json": regression,
}


def records():
    return {
        path.name: dict(leaves(json.loads(path.read_text(encoding="utf-8")))) for path in FOLDER.glob("did_*.json")
    }


@pytest.mark.skipif(not SHARED.exists(), reason="the figures of other programs are not in this copy")
def test_every_figure_is_in_a_record_or_has_a_reason():
    kept, found, lost = records(), Counter(), []
    assert {path.name for path in SHARED.glob("did_*.json")} == FILES.keys()
    for file, locate in FILES.items():
        for place, value in leaves(json.loads((SHARED / file).read_text(encoding="utf-8"))):
            if place[0] == "meta":
                target, fine = PROGRAMS, True
            else:
                target = locate(place)
                fine = isinstance(target, str) or kept[target[0]].get(target[1], ...) == value
            if not fine:
                lost.append(f"{file}: {written(place)} = {value!r}")
            found[target if isinstance(target, str) else target[0]] += isinstance(value, int | float)
    assert not lost, "\n".join(lost[:20])
    # the docs say these; numbers under the last three are draws, seed, events before and after, and seconds
    assert found == {
        "did_callaway.json": 41_983,
        "did_regression.json": 3_309,
        "did_synthetic.json": 180,
        "did_few_treated_sizes.json": 24,
        "did_honest.json": 17,
        "did_staggered.json": 9,
        PROGRAMS: 2,
        WORDS: 2,
        SECONDS: 5,
    }


@pytest.mark.skipif(not SHARED.exists(), reason="the figures of other programs are not in this copy")
def test_a_printed_table_says_what_its_record_says():
    table = json.loads((SHARED / "did_honest_bc_python_peers.json").read_text(encoding="utf-8"))[
        "moderndid_CLF_RM"
    ]
    numbers = [float(word) for word in table["value"].split() if word.replace(".", "").isdigit() and "." in word]
    record = json.loads((FOLDER / "did_honest.json").read_text(encoding="utf-8"))["relative_magnitudes"]
    assert numbers == [*record["moderndid"][0], *record["M"]]


def test_records_hold_nothing_that_no_test_walks():
    record = {name: json.loads((FOLDER / name).read_text(encoding="utf-8")) for name in RECORDS}
    for name, keys in RECORDS.items():
        assert record[name].keys() == keys, name
    walked = {"group", "t", "att", "se", "n", "agg_simple", "agg_group", "agg_calendar", "agg_dynamic"}
    for name in ("castle", "la", "mpdta"):
        for figures in record["did_callaway.json"][name].values():
            # the pre-test of R is walked for mpdta and la
            assert figures.keys() - {"W", "Wpval"} == walked | {"dynamic_balance1_min3"}
            assert name != "castle" or "W" not in figures


def test_the_walk_finds_what_is_off_missing_or_without_counterpart():
    theirs = {"att": [0.0, 2.0], "se": [None, 1.0], "names": ["D"]}

    def close(place):
        return 1e-12

    assert agree(theirs, theirs, close) == 3
    for ours in (
        {**theirs, "att": [0.0, 2.0 + 1e-11]},
        {**theirs, "att": [1e-300, 2.0]},
        {**theirs, "se": [0.1, 1.0]},
        {**theirs, "names": ["E"]},
        {**theirs, "att": [0.0]},
        {**theirs, "more": 1.0},
        {**theirs, "att": [0.0, float("nan")]},
    ):
        with pytest.raises(AssertionError):
            agree(ours, theirs, close)
