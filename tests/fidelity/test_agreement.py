"""Agreement: against R and publications by name, against definitions, invariances, clusters, and what has no value."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reliability_cases import cases, messy, table

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.fidelity.reliability.coefficients import COEFFICIENTS, parts_of
from wwc_eval.fidelity.reliability.reading import read_ratings

NAMES = {
    "AC": "ac2",
    "fleiss": "fleiss_kappa",
    "krippen": "krippendorff_alpha",
    "conger": "conger_kappa",
    "bp": "brennan_prediger",
    "pa": "percent_agreement",
    "kappa": "cohen_kappa",
    "scott": "fleiss_kappa",
}
METRICS = ("nominal", "ordinal", "interval", "ratio")
MANY = [name for name in COEFFICIENTS if name != "cohen_kappa"]


# --- published figures and other programs


@pytest.mark.reference
@pytest.mark.parametrize(
    ("case", "weights"),
    [
        ("gwet_cac_raw4raters_unweighted", "identity"),
        ("gwet_cac_raw4raters_linear", "linear"),
        ("gwet_cac_raw4raters_ordinal", "ordinal"),
        ("gwet_cac_raw5obser", "identity"),
    ],
)
@pytest.mark.parametrize("name", ["AC", "fleiss", "krippen", "conger", "bp", "pa"])
def test_gwet_handbook_with_missing_ratings(case, weights, name):
    expected = cases()[case]["expected"][name]
    found = we.agreement(table(case), NAMES[name], weights=weights)
    assert found.estimate == pytest.approx(expected["coeff"], abs=1e-5)  # irrCAC prints five decimals
    assert found.se == pytest.approx(expected["se"], abs=1e-5)
    assert found.p_value == pytest.approx(expected["p"], rel=1e-9)  # in full: holds coefficient and error to 1e-9
    low, high = (float(each) for each in expected["ci"].strip("()").split(","))
    assert [round(found.ci_low, 3), round(found.ci_high, 3)] == [low, high]
    assert found.details["chance_agreement"] == pytest.approx(expected["pe"], abs=1e-11)
    if name != "krippen":  # irrCAC adds alpha's correction for the sample to its observed agreement
        assert found.details["observed_agreement"] == pytest.approx(expected["pa"], abs=1e-11)


@pytest.mark.reference
@pytest.mark.parametrize("weights", ["identity", "linear", "quadratic"])
@pytest.mark.parametrize("name", ["kappa", "scott", "AC", "bp", "krippen", "pa"])
def test_gwet_tables_of_two_raters(weights, name):
    case = cases()["gwet_table_cont3x3abstractors"]
    ratings = we.ratings_of_table(case["input"])
    n = len(ratings)
    found = we.agreement(ratings, NAMES[name], weights=weights)
    expected = case["expected"][weights][name]
    assert found.estimate == pytest.approx(expected["coeff.val"], abs=1e-11)
    # irrCAC's functions for tables divide by n where those for ratings divide by n - 1
    assert found.se * math.sqrt((n - 1) / n) == pytest.approx(expected["coeff.se"], abs=1e-11)


@pytest.mark.reference
def test_fleiss_1971():
    case = cases()["fleiss_1971_diagnoses"]
    ratings = np.array(case["input"]["ratings"])
    for name, key in (
        ("fleiss_kappa", "fleiss_kappa"),
        ("conger_kappa", "conger_exact"),
        ("light_kappa", "light"),
    ):
        assert we.agreement(ratings, name).estimate == pytest.approx(case["expected"][key], abs=1e-12)
    assert round(we.agreement(ratings, "fleiss_kappa").estimate, 2) == case["published"]["fleiss_kappa"]


@pytest.mark.reference
def test_cohen_1960_and_1968():
    case = cases()["cohen_1968_weighted"]
    counts = np.array(case["input"]["table"]) * case["input"]["n"]
    ratings = we.ratings_of_table(np.round(counts))
    plain = we.agreement(ratings, "cohen_kappa")
    weighted = we.agreement(ratings, "cohen_kappa", weights=case["input"]["disagreement_weights"])
    assert plain.estimate == pytest.approx(case["expected"]["kappa"], abs=1e-12)
    assert weighted.estimate == pytest.approx(case["expected"]["weighted"], abs=1e-12)
    assert [round(plain.estimate, 3), round(weighted.estimate, 3)] == [0.492, 0.348]
    # Fleiss, Cohen and Everitt 1969, who divide by n
    assert plain.se**2 * 199 / 200 == pytest.approx(case["expected"]["var_kappa"], abs=1e-14)


@pytest.mark.reference
def test_the_variance_of_weighted_kappa_that_psych_prints_is_no_variance_of_it():
    """Four routes to the variance for Cohen's table of 1968 agree; the figure of psych 2.2.9 is 26 times as large."""
    case = cases()["cohen_1968_weighted"]
    n, p = case["input"]["n"], np.array(case["input"]["table"])
    p, cost = p / p.sum(), np.array(case["input"]["disagreement_weights"], dtype=float)

    def kappa(cells):
        cells = cells / cells.sum(axis=(-2, -1), keepdims=True)
        chance = cells.sum(axis=-1)[..., :, None] * cells.sum(axis=-2)[..., None, :]
        return 1.0 - (cells * cost).sum(axis=(-2, -1)) / (chance * cost).sum(axis=(-2, -1))

    # 1: the multinomial delta method, by central differences of the nine cells
    step = 1e-6
    moved = step * np.eye(9).reshape(9, 3, 3)
    slope = (kappa(p + moved) - kappa(p - moved)) / (2 * step)
    cells = p.ravel()
    delta = float(slope @ (np.diag(cells) - np.outer(cells, cells)) @ slope) / n
    # 2: each subject left out in turn, of a hundred such samples, so that terms of the second order are small
    counts = np.round(p * n)
    left = kappa(100 * counts - np.eye(9).reshape(9, 3, 3))
    times = (100 * counts).ravel()
    middle = float(left @ times / times.sum())
    jackknife = 100 * (1 - 1 / times.sum()) * float((left - middle) ** 2 @ times)
    # 3: drawn tables of that size
    drawn = np.random.default_rng(1).multinomial(100 * n, cells, 100_000).reshape(-1, 3, 3)
    monte_carlo = 100 * float(kappa(drawn.astype(float)).var())
    # 4: Fleiss, Cohen and Everitt's formula (1969), with weights of agreement
    rows, columns, weights = p.sum(axis=1), p.sum(axis=0), 1.0 - cost / cost.max()
    po, pe = float((weights * p).sum()), float(rows @ weights @ columns)
    margins = (weights @ columns)[:, None] + (rows @ weights)[None, :]
    published = (p * (weights * (1 - pe) - margins * (1 - po)) ** 2).sum() - (po * pe - 2 * pe + po) ** 2
    published /= n * (1 - pe) ** 4
    assert delta == pytest.approx(published, rel=1e-8)
    assert jackknife == pytest.approx(published, rel=1e-3)
    assert monte_carlo == pytest.approx(published, rel=0.02)
    # ours is that formula, but for n - 1
    found = we.agreement(we.ratings_of_table(counts), "cohen_kappa", weights=cost)
    assert found.se**2 * (n - 1) / n == pytest.approx(published, rel=1e-10)
    # psych's figure to the last digit: weights of disagreement in the place of those of agreement, and, for the mean weight that
    # rater 1 gives a category of rater 2, the category's own share for rater 1 times its row of weights
    po, pe = float((cost * p).sum()), float(rows @ cost @ columns)
    margins = (cost @ columns)[:, None] + (rows * cost.sum(axis=1))[None, :]
    wrong = (p * (cost * (1 - pe) - margins * (1 - po)) ** 2).sum() - (po * pe - 2 * pe + po) ** 2
    wrong /= n * (1 - pe) ** 4
    assert wrong == pytest.approx(case["expected"]["var_weighted"], rel=1e-10)
    assert case["expected"]["var_weighted"] > 26 * published


@pytest.mark.reference
@pytest.mark.parametrize("metric", METRICS)
def test_krippendorff_2011(metric):
    found = we.agreement(table("krippendorff_2011"), metric=metric)
    assert round(found.estimate, 3) == cases()["krippendorff_2011"]["published"][metric]


@pytest.mark.reference
def test_kappas_of_irr():
    for case, weights in (("kappa2_anxiety_unweighted", "identity"), ("kappa2_anxiety_squared", "quadratic")):
        found = we.agreement(table(case), "cohen_kappa", weights=weights)
        assert found.estimate == pytest.approx(cases()[case]["expected"]["kappa"], abs=1e-12)
    vision = cases()["kappa_vision_squared"]
    ratings = we.ratings_of_table(vision["input"]["table"])
    for weights, key in (("identity", "unweighted"), ("linear", "equal"), ("quadratic", "squared")):
        found = we.agreement(ratings, "cohen_kappa", weights=weights)
        assert found.estimate == pytest.approx(vision["expected"][key], abs=1e-12)


@pytest.mark.reference
def test_brennan_and_prediger_1981():
    # with q categories chance is 1 / q: their free-marginal kappa is (q pa - 1) / (q - 1)
    x, _ = messy(3)
    pa = we.agreement(x, "percent_agreement").estimate
    assert we.agreement(x, "brennan_prediger").estimate == pytest.approx((5 * pa - 1) / 4, abs=1e-14)


def test_the_ordinal_metric_is_not_the_ordinal_weights():
    x = table("krippendorff_2011")
    metric = we.agreement(x, metric="ordinal").estimate
    weights = we.agreement(x, "krippendorff_alpha", weights="ordinal").estimate
    assert abs(metric - weights) > 0.01


# --- definitions


def alpha_by_pairs(x, delta):
    """Krippendorff's alpha from its definition, pair by pair."""
    units = [row[~np.isnan(row)] for row in x]
    units = [unit for unit in units if len(unit) > 1]
    values = np.concatenate(units)
    observed = sum(
        delta(a, b) / (len(unit) - 1)
        for unit in units
        for i, a in enumerate(unit)
        for j, b in enumerate(unit)
        if i != j
    )
    expected = sum(delta(a, b) for i, a in enumerate(values) for j, b in enumerate(values) if i != j)
    return 1 - (len(values) - 1) * observed / expected


@pytest.mark.property
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), raters=st.integers(2, 5), missing=st.sampled_from([0.0, 0.2, 0.5]))
def test_alpha_is_what_its_definition_says(seed, raters, missing):
    x, _ = messy(seed, n=25, raters=raters, missing=missing)
    x += 1.0
    values = x[(~np.isnan(x)).sum(axis=1) > 1]
    values = values[~np.isnan(values)]
    if len(np.unique(values)) < 2:
        return
    rank = {v: (values < v).sum() + (values == v).sum() / 2 for v in np.unique(values)}
    for metric, delta in (
        ("nominal", lambda a, b: float(a != b)),
        ("interval", lambda a, b: (a - b) ** 2),
        ("ratio", lambda a, b: ((a - b) / (a + b)) ** 2),
        ("ordinal", lambda a, b: (rank[a] - rank[b]) ** 2),
    ):
        assert we.agreement(x, metric=metric).estimate == pytest.approx(alpha_by_pairs(x, delta), abs=1e-10)


@pytest.mark.property
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in MANY if name != "krippendorff_alpha"]
    + [("ac2", {"weights": "quadratic"}), ("conger_kappa", {"weights": "linear"})]
    + [("krippendorff_alpha", {"weights": "ordinal"})]
    + [("krippendorff_alpha", {"metric": metric}) for metric in METRICS],
)
def test_influences_are_derivatives_and_sums_give_the_value(name, options, missing):
    ratings = read_ratings(messy(11, n=50, missing=missing)[0])
    parts = parts_of(ratings, name, **options)
    each = parts.sums()
    total = each.sum(axis=0)
    assert parts.of_sums(total) == pytest.approx(parts.value, abs=1e-12)
    step = 1e-6
    slope = np.array(
        [(parts.of_sums(total + step * s) - parts.of_sums(total - step * s)) / (2 * step) for s in each]
    )
    np.testing.assert_allclose(parts.influence, ratings.n * slope - slope.sum(), atol=2e-6)
    assert abs(parts.published.sum()) < 1e-10


# --- what must not matter


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(MANY))
def test_order_of_subjects_and_raters_and_names_do_not_matter(seed, name):
    rng = np.random.default_rng(seed)
    x, la = messy(seed, clusters=6)
    first = we.agreement(x, name, cluster=la)
    rows, columns = rng.permutation(len(x)), rng.permutation(x.shape[1])
    second = we.agreement(x[rows][:, columns], name, cluster=la[rows])
    assert second.estimate == pytest.approx(first.estimate, abs=1e-12)
    assert second.se == pytest.approx(first.se, abs=1e-12)
    words = pd.DataFrame(x).map(lambda v: None if math.isnan(v) else "abcde"[int(v)])
    assert we.agreement(words, name, cluster=la).estimate == pytest.approx(first.estimate, abs=1e-12)


@pytest.mark.property
def test_units_of_the_scale_do_not_matter_to_interval_alpha():
    x, la = messy(5, clusters=6)
    first = we.agreement(x, metric="interval", cluster=la)
    second = we.agreement(1e6 + 0.01 * x, metric="interval", cluster=la)
    assert [second.estimate, second.se] == pytest.approx([first.estimate, first.se], abs=1e-9)
    continuous = np.random.default_rng(1).normal(size=(500, 3))  # 1,500 distinct values need no table
    assert -0.2 < we.agreement(continuous, metric="interval").estimate < 0.2


def test_frames_of_any_kind_give_the_same_numbers():
    x, la = messy(7, clusters=5)
    frame = pd.DataFrame(x, columns=list("abcd")).assign(la=la)
    before = frame.copy()
    first = we.agreement(frame, "ac1", cluster="la")
    assert first.estimate == we.agreement(pl.from_pandas(frame), "ac1", cluster="la").estimate
    assert first.estimate == we.agreement(frame.drop(columns="la").astype("Int64"), "ac1", cluster=la).estimate
    kinds = frame.drop(columns="la").astype(pd.CategoricalDtype([0.0, 1.0, 2.0, 3.0, 4.0], ordered=True))
    assert first.estimate == we.agreement(kinds, "ac1", cluster=la).estimate
    pd.testing.assert_frame_equal(frame, before)


# --- clusters


def test_one_subject_a_cluster_is_no_clustering():
    x, _ = messy(9, missing=0.0)
    for name in MANY:
        plain = we.agreement(x, name, errors="jackknife")
        clustered = we.agreement(x, name, cluster=np.arange(len(x)), errors="jackknife")
        assert clustered.se == pytest.approx(plain.se, rel=1e-12)
        assert clustered.df == plain.df


@pytest.mark.parametrize("name", MANY)
def test_the_jackknife_is_that_of_refits(name):
    x, la = messy(13, clusters=7)
    found = we.agreement(x, name, cluster=la, errors="jackknife", categories=[0, 1, 2, 3, 4])
    left = [we.agreement(x[la != k], name, categories=[0, 1, 2, 3, 4]).estimate for k in range(7)]
    assert found.se == pytest.approx(math.sqrt(6 / 7 * ((left - np.mean(left)) ** 2).sum()), rel=1e-9)
    linearised = we.agreement(x, name, cluster=la)
    assert linearised.se == pytest.approx(found.se, rel=0.25)
    assert linearised.df == 6
    for each in (found, linearised):  # t(6) on the scale of the logarithm of disagreement
        reach = 2.4469118511449692 * each.se / (1 - each.estimate)
        ends = [math.log((1 - end) / (1 - each.estimate)) for end in (each.ci_low, each.ci_high)]
        assert ends == pytest.approx([reach, -reach], rel=1e-9)


def test_the_bootstrap_draws_whole_clusters():
    x, la = messy(15, n=120, clusters=20)
    found = we.agreement(x, "ac2", weights="quadratic", cluster=la, errors="bootstrap", rng=1)
    again = we.agreement(x, "ac2", weights="quadratic", cluster=la, errors="bootstrap", rng=1)
    assert found.ci_low == again.ci_low
    assert len(found.details["replicates"]) == 2_000
    assert found.se == pytest.approx(we.agreement(x, "ac2", weights="quadratic", cluster=la).se, rel=0.2)
    with pytest.raises(DesignError, match="rng"):
        we.agreement(x, "ac2", cluster=la, errors="bootstrap")


# --- no value without a reason


@pytest.mark.parametrize("name", list(COEFFICIENTS))
@pytest.mark.parametrize(
    ("x", "reason"),
    [
        ([[2, 2], [2, 2], [2, 2]], "every"),
        ([[1, np.nan], [2, np.nan], [np.nan, 1]], "two ratings"),
        ([[np.nan, np.nan]], "no subject"),
    ],
)
def test_degenerate_ratings_have_a_value_or_a_reason(name, x, reason):
    found = we.agreement(np.array(x, dtype=float), name)
    if math.isnan(found.estimate):
        assert reason in found.details["reason"]
        assert any(found.details["reason"] in warning for warning in found.warnings)
    else:
        assert name == "percent_agreement"
    assert str(found)


@pytest.mark.parametrize("name", list(COEFFICIENTS))
def test_one_rater_is_named(name):
    found = we.agreement(pd.DataFrame({"Ann": [1, 2, 3]}), name)
    assert math.isnan(found.estimate)
    assert "one rater" in found.details["reason"]


def test_constant_ratings_have_a_value_where_categories_are_declared():
    x = np.full((5, 3), 2.0)
    for name in ("brennan_prediger", "ac1", "ac2"):
        found = we.agreement(x, name, categories=[1, 2, 3])
        assert found.estimate == 1.0
        assert math.isnan(found.ci_low)
        assert "error is 0" in found.details["reason"]
    assert "categories=" in we.agreement(x, "ac1").warnings[0]
    assert math.isnan(we.agreement(x, "fleiss_kappa", categories=[1, 2, 3]).estimate)


def test_empty_subjects_are_counted_and_one_cluster_is_named():
    x, _ = messy(21)
    with_empty = np.vstack([x, np.full((2, 4), np.nan)])
    found = we.agreement(with_empty, "ac1")
    assert found.estimate == we.agreement(x, "ac1").estimate
    assert found.details["n_without_rating"] == 2 + int(np.isnan(x).all(axis=1).sum())
    single = we.agreement(x, "ac1", cluster=np.zeros(len(x)))
    assert math.isnan(single.se)
    assert "one cluster" in single.details["reason"]


def test_refusals_say_where_and_why():
    frame = pd.DataFrame({"Ann": [1, 2, 9], "Ben": [1, 2, 2], "la": ["a", None, "b"]})
    with pytest.raises(DataError, match=r"row 4, column 'Ann'.*9"):
        we.agreement(frame[["Ann", "Ben"]], "ac1", categories=[1, 2, 3])
    with pytest.raises(DataError, match="no 'la'"):
        we.agreement(frame, "ac1", cluster="la")
    with pytest.raises(DataError, match="did you mean 'la'"):
        we.agreement(frame, "ac1", cluster="las")
    with pytest.raises(DataError, match="finite"):
        we.agreement(np.array([[1.0, np.inf], [1, 2]]), "ac1")
    words = pd.DataFrame({"Ann": ["poor", "good"], "Ben": ["fair", "good"]})
    with pytest.raises(DesignError, match="in order"):
        we.agreement(words, "ac2", weights="linear")
    with pytest.raises(DesignError, match="order"):
        we.agreement(words, metric="ordinal")
    with pytest.raises(DesignError, match="ac2"):
        we.agreement(frame[["Ann", "Ben"]], "ac1", weights="linear")
    with pytest.raises(DesignError, match="conger"):
        we.agreement(messy(1)[0], "cohen_kappa")
    with pytest.raises(DesignError, match="not both"):
        we.agreement(messy(1)[0], metric="nominal", weights="linear")
    with pytest.raises(DesignError, match="must be one of"):
        we.agreement(messy(1)[0], "kapa")
    with pytest.raises(DataError, match="square"):
        we.ratings_of_table([[1, 2, 3], [1, 2, 3]])


def test_raters_of_one_name_words_dates_and_empty_frames():
    words = pd.DataFrame([["x", "y"], ["x", "x"], ["y", "y"]], columns=["Ann", "Ann"])
    numbers = pd.DataFrame([[1, 2], [1, 1], [2, 2]])
    assert we.agreement(words, "fleiss_kappa").estimate == we.agreement(numbers, "fleiss_kappa").estimate
    assert "no subject" in we.agreement(numbers.iloc[:0], "ac1").details["reason"]
    with pytest.raises(DataError, match="no rater"):
        we.agreement(numbers[[]], "ac1")
    with pytest.raises(DesignError, match="numbers and words"):
        we.agreement(pd.DataFrame({"Ann": [1, "x"], "Ben": [1, 2]}), "ac1")


@pytest.mark.simulation
def test_with_a_fifth_rated_twice_gwets_error_is_too_large_and_this_is_said():
    """500 cases of which 100 have two raters: the error of all cases against how much the coefficient varies."""
    rng = np.random.default_rng(3)
    options = {"coefficient": "ac2", "weights": "quadratic", "categories": [1, 2, 3, 4, 5]}
    found = []
    for _ in range(150):
        seen = rng.normal(size=(500, 1)) + 0.7 * rng.normal(size=(500, 2))
        cases = pd.DataFrame(np.digitize(seen, [-1.2, -0.4, 0.4, 1.2]) + 1.0, columns=["a", "b"])
        cases.loc[rng.random(500) > 0.2, "b"] = np.nan
        every, paired = we.agreement(cases, **options), we.agreement(cases.dropna(), **options)
        jackknife = we.agreement(cases, errors="jackknife", **options)
        found.append((every.estimate, every.se, paired.se, jackknife.se))
    assert any("have one rating" in text for text in every.warnings)
    assert not paired.warnings
    assert not any("have one rating" in text for text in jackknife.warnings)
    values, errors, of_pairs, left_out = np.array(found).T
    spread = values.std(ddof=1)
    assert errors.mean() > 1.4 * spread
    # the standard deviation of 150 values is known to about 6%
    assert of_pairs.mean() == pytest.approx(spread, rel=0.2)
    assert left_out.mean() == pytest.approx(spread, rel=0.2)
