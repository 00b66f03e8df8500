"""Few treated are told alike, whichever verb tells of them: fewer than five, in the same words."""

import re
from pathlib import Path

import pytest
from hostile_panels import frame, panel

import wwc_eval as we
from wwc_eval.did.few_counts import FEW, FEWER, treated_clusters

SOURCE = Path(we.__file__).parent / "did"


def test_the_number_and_its_words_are_written_once():
    assert (FEW, FEWER) == (5, "fewer than 5 treated")
    assert [treated_clusters(count) for count in (0, 1, 4)] == [
        "0 treated clusters",
        "1 treated cluster",
        "4 treated clusters",
    ]
    spelt = re.compile(r"^FEW = \d|\"1 treated cluster\"|\"[Ff]ewer than (5|\{FEW\}) treated", re.MULTILINE)
    told = {file.name for file in SOURCE.glob("*.py") if spelt.search(file.read_text(encoding="utf-8"))}
    assert told == {"few_counts.py"}


@pytest.mark.parametrize("count", [1, 4, 5])
def test_every_verb_draws_the_line_at_the_same_number(count):
    data = frame(n=24, cohorts={4: count})
    read = panel(data)
    told = {
        "two-way": str(we.did.two_way_fixed_effects(read)),
        "Callaway and Sant'Anna": str(we.did.callaway_santanna(read).aggregate("simple")),
        "few treated": str(we.did.few_treated(read, methods=("CR1S",))),
        "honest": str(we.did.honest(we.did.sun_abraham(read))),
    }
    if count > 1:
        told["dose"] = str(we.did.dose(read, "size"))
        told["left out"] = str(we.did.leave_one_out(panel(frame(n=24, cohorts={4: count + 1}))))
    for name, text in told.items():
        assert (f"{treated_clusters(count)}: " in text or f"with {treated_clusters(count)}" in text) is (
            count < FEW
        ), name
