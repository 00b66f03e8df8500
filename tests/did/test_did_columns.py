"""Labels and columns as a stranger writes them, for panels and for matching."""

import numpy as np
import pandas as pd
import pytest
from hostile_panels import frame, panel

import wwc_eval as we
from wwc_eval.errors import DataError

# --- labels and columns


def refused(data=None, **options):
    with pytest.raises(DataError) as caught:
        panel(data, **options)
    return caught.value.problems


@pytest.mark.parametrize("mark", ["-", "/", "\u2013"])
def test_years_of_two_figures_are_read_with_any_dash(mark):
    data = frame()
    data["year"] = [f"{year}{mark}{(year + 1) % 100:02d}" for year in data["year"]]
    assert panel(data).adopted.tolist() == panel().adopted.tolist()


def test_a_blank_unit_is_missing():
    data = frame()
    data.loc[[3, 4], "la"] = " "
    found = refused(data)
    assert [problem.place.row for problem in found] == [5, 6]
    assert {problem.message for problem in found} == {"the unit is missing"}


@pytest.mark.parametrize("role", ["unit", "period", "cohort", "exposure", "cluster"])
def test_one_column_is_not_the_outcome_and_something_else(role):
    found = refused(outcome="size", **{role: "size"})
    assert any(f"outcome and {role} are both 'size'" in problem.message for problem in found)


def test_weights_that_are_all_zero_are_the_fault_of_the_weights():
    found = refused(frame().assign(w=0.0), weights="w")
    assert "every weight is 0" in found[0].message


def test_treatment_in_words_is_told_how_to_be_written():
    data = frame().assign(on=lambda d: np.where(d["joined"] > 0, "yes", "no"))
    assert "1 for treated" in refused(data, cohort=None, treated="on")[0].fix


# --- matching


def test_a_treated_authority_keeps_a_control_where_there_are_too_few_for_all():
    data = pd.DataFrame({"la": list("ABCDE"), "t": [1, 1, 0, 0, 0], "x": [0.0, 10.0, 0.1, 0.2, 0.3]})
    found = we.mahalanobis_matching(data, treatment="t", covariates=["x"], ratio=3, unit="la")
    assert found.n_matched == {"treated": 2, "control": 3}
    # C and D stand for A, and E, nearest to it of all, for B
    assert found.weights.tolist() == pytest.approx([1.0, 1.0, 0.75, 0.75, 1.5])


def test_matching_refuses_what_is_infinite_or_twice():
    data = pd.DataFrame({"la": [1, 1, 2, 3], "t": [1, 0, 0, 1], "x": [1.0, np.inf, 2.0, 3.0]})
    with pytest.raises(DataError, match="'x' is infinite in 1 row"):
        we.coarsened_exact_matching(data, treatment="t", on={"x": 2})
    with pytest.raises(DataError, match="la 1 stands in several rows"):
        we.mahalanobis_matching(data.assign(x=[1.0, 2.0, 3.0, 4.0]), treatment="t", covariates=["x"], unit="la")
