"""Alpha, omega, item analysis, concordance: against R, recovery, clusters, and what has no value."""

import math

import numpy as np
import pandas as pd
import pytest
from reliability_cases import cases, table

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError


@pytest.mark.reference
def test_alpha_of_psych():
    expected = cases()["alpha_attitude"]["expected"]
    y = table("alpha_attitude")
    found = we.cronbach_alpha(y)
    assert found.estimate == pytest.approx(expected["raw_alpha"], abs=1e-12)
    assert found.se == pytest.approx(expected["ase"], abs=1e-12)
    assert [found.ci_low, found.ci_high] == pytest.approx([expected["feldt"][0], expected["feldt"][2]], abs=1e-11)
    assert found.details["average_correlation"] == pytest.approx(expected["average_r"], abs=1e-12)
    assert we.cronbach_alpha(y, standardised=True).estimate == pytest.approx(expected["std_alpha"], abs=1e-12)
    items = we.item_analysis(y)
    np.testing.assert_allclose(items.column("alpha_if_dropped"), expected["drop"], atol=1e-12)
    np.testing.assert_allclose(items.column("item_rest"), expected["r_drop"], atol=1e-12)


@pytest.mark.reference
def test_omega_of_factanal():
    expected = cases()["omega_onefactor_ml_attitude"]["expected"]
    found = we.mcdonald_omega(table("alpha_attitude"), standardised=True)
    assert found.estimate == pytest.approx(expected["omega_total"], abs=1e-5)
    np.testing.assert_allclose(found.details["loadings"], expected["loadings"], atol=1e-5)
    # factanal stops a little above the minimum: its uniquenesses are as near as its own tolerance takes them
    from wwc_eval.fidelity.reliability.factor import _ml

    R = np.corrcoef(table("alpha_attitude"), rowvar=False)
    ours, theirs = (_ml(np.array(each), R)[0] for each in (found.details["uniquenesses"], expected["uniqueness"]))
    assert ours <= theirs
    assert theirs - ours < 1e-9


@pytest.mark.parametrize("method", ["ml", "minres"])
def test_omega_of_a_matrix_that_has_one_factor(method):
    from wwc_eval.fidelity.reliability.factor import omega_of, one_factor

    loadings = np.array([0.8, 0.7, 0.6, 0.5])
    R = np.outer(loadings, loadings)
    np.fill_diagonal(R, 1.0)
    np.testing.assert_allclose(one_factor(R, method=method).loadings, loadings, atol=1e-5)
    sd = np.array([1.0, 2.0, 1.0, 3.0])
    common = float(sd @ loadings) ** 2
    value = common / (common + float(sd**2 @ (1 - loadings**2)))
    assert omega_of(R * np.outer(sd, sd), method=method)[0] == pytest.approx(value, abs=1e-5)
    assert one_factor(R, method=method).df == 2


@pytest.mark.reference
def test_kendall_stuart_maxwell_bhapkar_and_cantor():
    expected = cases()["kendall_anxiety"]["expected"]
    found = we.kendall_w(table("kendall_anxiety"))
    assert found.estimate == pytest.approx(expected["W_corrected"], abs=1e-12)
    assert found.statistic == pytest.approx(expected["chisq"], rel=1e-12)
    assert found.p_value == pytest.approx(expected["p"], rel=1e-11)
    plain = we.kendall_w(table("kendall_anxiety"), ties=False)
    assert plain.estimate == pytest.approx(expected["W_uncorrected"], abs=1e-12)
    vision = cases()["kappa_vision_squared"]
    tests = we.marginal_homogeneity(we.ratings_of_table(vision["input"]["table"]))
    assert tests.column("statistic") == pytest.approx(
        [vision["expected"]["stuart_maxwell"][0][0], vision["expected"]["bhapkar"]], abs=1e-9
    )
    asked = cases()["N_cohen_kappa"]["input"]
    size = we.kappa_sample_size(rate_1=asked["rate1"], rate_2=asked["rate2"], kappa=asked["k1"], null=asked["k0"])
    assert size == cases()["N_cohen_kappa"]["expected"]["n"]
    with pytest.raises(DesignError, match="at most"):
        we.kappa_sample_size(rate_1=0.1, rate_2=0.6, kappa=0.9)


@pytest.mark.simulation
def test_intervals_cover():
    rng = np.random.default_rng(4)
    repeats, hits = 160, dict.fromkeys(("feldt", "bonett", "clustered", "unclustered"), 0)
    la = np.repeat(np.arange(15), 12)
    share = 0.5  # of the trait between local authorities, and of each item's own local habit
    truth = 4 * 4 / (4 * 4 + 4 * 1.0)
    for _ in range(repeats):
        y = rng.normal(size=(60, 1)) + rng.normal(size=(60, 4))
        for name in ("feldt", "bonett"):
            found = we.cronbach_alpha(y, interval=name)
            hits[name] += found.ci_low <= truth <= found.ci_high
        trait = math.sqrt(share) * rng.normal(size=15)[la] + math.sqrt(1 - share) * rng.normal(size=180)
        y = trait[:, None] + 0.7 * rng.normal(size=(15, 4))[la] + math.sqrt(0.51) * rng.normal(size=(180, 4))
        for name, cluster in (("clustered", la), ("unclustered", None)):
            found = we.cronbach_alpha(y, cluster=cluster)
            hits[name] += found.ci_low <= truth <= found.ci_high
    assert 0.88 < hits["feldt"] / repeats < 0.985
    assert 0.88 < hits["bonett"] / repeats < 0.985
    assert hits["clustered"] / repeats > 0.87
    assert hits["unclustered"] / repeats < hits["clustered"] / repeats - 0.05


def test_items_of_real_mess():
    frame = pd.DataFrame(
        {
            "a": [1, 2, 3, 4, 5, 3, 2, None],
            "turned": [5, 4, 3, 2, 1, 3, 4, 3],
            "constant": [3.0] * 8,
            "c": [1, 2, 3, 5, 5, 3, 1, 2],
        }
    )
    found = we.item_analysis(frame, lowest=1, highest=5)
    rows = {row["item"]: row for row in found}
    assert rows["a"]["missing"] == pytest.approx(1 / 8)
    assert rows["constant"]["note"] == "constant"
    assert rows["turned"]["item_rest"] < 0
    assert any("turned" in note for note in found.notes)
    assert rows["c"]["ceiling"] == pytest.approx(2 / 8)
    nothing = we.item_analysis(pd.DataFrame({"a": [np.nan, np.nan], "b": [1.0, 2.0]}))
    assert nothing.column("note")[0] == "no answer"
    with pytest.raises(DataError):
        we.item_analysis(pd.DataFrame({"a": ["x", "y"]}))


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        (np.ones((10, 1)), "one item"),
        (np.full((10, 3), 2.0), "constant"),
        (np.ones((2, 3)), "respondents"),
        (np.column_stack([np.arange(9.0), -np.arange(9.0)]), "sum of the items is the same"),
        (np.full((9, 3), np.nan), "respondents"),
    ],
)
def test_no_value_without_a_reason(y, reason):
    for verb in (we.cronbach_alpha, we.mcdonald_omega):
        found = verb(y)
        assert math.isnan(found.estimate)
        assert reason in found.details["reason"]
        assert reason in str(found)


def test_missing_answers_are_counted_and_omega_needs_three_items():
    y = table("alpha_attitude")
    y[0, 0] = np.nan
    assert any("1 of 30" in warning for warning in we.cronbach_alpha(y).warnings)
    assert "two items" in we.mcdonald_omega(table("alpha_attitude")[:, :2]).details["reason"]
    noise = np.random.default_rng(1).normal(size=(30, 3))
    assert "copy" in we.mcdonald_omega(np.column_stack([noise, noise[:, 0]])).details["reason"]
    assert "constant" in we.mcdonald_omega(np.column_stack([noise, np.ones(30)])).details["reason"]
    assert "one rater" in we.kendall_w([[1.0], [2.0]]).details["reason"]
    assert "one rating" in we.kendall_w([[1.0, 2.0], [1.0, 2.0]]).details["reason"]
    assert we.marginal_homogeneity([[1, 1], [2, 2]]).notes[1].startswith("No test")
