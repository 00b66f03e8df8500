"""Codes for "never" in the column of cohorts, and labels that are no periods, as a reader is told of them."""

import numpy as np
import pandas as pd
import pytest
from small_panel import frame, panel, said

import wwc_eval as we
from wwc_eval.did.panel_cohorts import looks_like_a_code
from wwc_eval.errors import DataError

NAMES = tuple(f"LA {k:02d}" for k in range(12))


def coded(code, years=tuple(range(2012, 2020)), kind=int):
    """Three authorities join in 2016; the others have a code where the cohort should be empty."""
    data = frame(units=NAMES, years=years, first=dict.fromkeys(NAMES[:3], 2016))
    return data.assign(joined=[kind(code if one == 0 else one) for one in data["joined"]])


def asked(found):
    return [one for one in found.findings if "mean never treated?" in one.message]


@pytest.mark.parametrize("code", [-1, -9, -99, -999, 99, 999, 9999, 99999, -8, 8888])
def test_codes_for_never_are_asked_about_and_the_fix_is_named(code):
    found = panel(coded(code))
    (finding,) = asked(found)
    taken = "treated in every period" if code < 1000 else "not treated in any period"
    assert finding.message.startswith(f"does {code} in 'joined' mean never treated?")
    assert f"taken as {taken}: LA 03, LA 04" in finding.message
    assert f"replace({code}, 0)" in finding.fix
    assert finding.severity == "warning"
    # the panel prints it, and nothing else says that these joined early or late
    assert finding.message in str(found)
    assert "joined before" not in said(found)
    assert "after the last period" not in said(found)
    # what it proposes takes the question away
    data = coded(code)
    cleaned = panel(data.assign(joined=data["joined"].replace(code, 0)))
    assert not asked(cleaned)
    assert cleaned.adopted.tolist() == [4] * 3 + [8] * 9


def test_codes_in_text_and_beside_financial_years_are_asked_about_too():
    assert asked(panel(coded(-9, kind=str)))
    data = coded(9999).assign(year=lambda d: [f"{year}-{(year + 1) % 100:02d}" for year in d["year"]])
    assert asked(panel(data))
    both = coded(-1)
    both.loc[both["la"] == "LA 11", "joined"] = 9999
    assert len(asked(panel(both))) == 2


def test_starts_a_little_before_or_after_the_panel_are_no_codes():
    data = coded(2011)
    found = panel(data)
    assert not asked(found)
    assert "joined before the first period: always treated" in said(found)
    late = panel(coded(2021))
    assert not asked(late)
    assert "join after the last period" in said(late)
    # 99 is the period after the 98th, and -1 an ordinary place among periods around 0
    assert not looks_like_a_code(99, 1, 98)
    assert not looks_like_a_code(-1, -4, 4)
    assert not looks_like_a_code(-9, -8, 8)
    assert looks_like_a_code(-99, -8, 8)
    assert not looks_like_a_code(-2, 2012, 2019)
    assert not looks_like_a_code(2016.5, 2012, 2019)


def test_codes_of_children_seen_once_are_asked_about_by_rows():
    rng = np.random.default_rng(2)
    data = pd.concat([coded(-1)] * 5, ignore_index=True).assign(y=lambda d: rng.normal(size=len(d)))
    found = we.Panel(data, unit=None, period="year", outcome="y", cohort="joined", cluster="la")
    (finding,) = asked(found)
    assert finding.message.endswith("taken as treated in every period: 360 rows")
    early = coded(2010).assign(y=1.0)
    early["y"] = rng.normal(size=len(early))
    told = said(we.Panel(early, unit=None, period="year", outcome="y", cohort="joined", cluster="la"))
    assert "72 rows joined before the first period: always treated" in told


def test_unreadable_periods_are_told_once_a_label_with_counts_and_first_rows():
    data = coded(0).astype({"year": object})
    data.loc[data["year"] == 2013, "year"] = "spring 2013"
    data.loc[data.index[[6, 90]], "year"] = "?"
    with pytest.raises(DataError) as error:
        panel(data)
    problems = error.value.problems
    assert len(problems) == 2
    assert [problem.place.row for problem in problems] == [3, 8]
    assert [problem.value for problem in problems] == ["'spring 2013'", "'?'"]
    assert problems[0].message.endswith("; 12 rows have it: 3, 11, 19, 27, 35 and 7 more")
    assert problems[1].message.endswith("; 2 rows have it: 8 and 92")
    once = coded(0).astype({"year": object})
    once.loc[5, "year"] = "?"
    with pytest.raises(DataError) as error:
        panel(once)
    assert "rows have it" not in str(error.value)
    assert "row 7, column 'year': the period cannot be read" in str(error.value)


def test_unreadable_cohorts_are_told_once_a_label_and_many_labels_are_counted():
    data = coded(0).astype({"joined": object})
    data.loc[data["la"].isin(NAMES[:3]), "joined"] = "from April 2016"
    with pytest.raises(DataError) as error:
        panel(data)
    (problem,) = error.value.problems
    assert "the cohort cannot be read as a period" in problem.message
    assert "24 rows have it: 2, 3, 4, 5, 6 and 19 more" in problem.message
    assert "never treated: missing, 0 or infinity" in problem.rule
    many = pd.DataFrame({"la": "Kent", "year": [f"day {k}" for k in range(400)], "rate": 1.0, "joined": 0})
    with pytest.raises(DataError) as error:
        panel(many)
    assert len(error.value.problems) == 51
    assert "350 more labels have the same fault" in error.value.problems[-1].message
