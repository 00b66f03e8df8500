"""Stepped wedges: figures of SteppedPower, swCRTdesign and swdpwr, closed forms, invariances, allocations."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wwc_eval.errors import DesignError
from wwc_eval.power import Binary, Continuous, Rate
from wwc_eval.power.stepped_wedge import SteppedWedge
from wwc_eval.power.stepped_wedge_allocations import permitted, within_residual

RECORD = json.loads((Path(__file__).parents[1] / "reference" / "power_wedge.json").read_text())


def built(ours: dict) -> tuple[SteppedWedge, float, str]:
    """The design of a reference case in our terms."""
    given = {k: v for k, v in ours.items() if k not in {"constructor", "effect", "convention", "decimals", "note"}}
    if "sequences" in given:
        counts = given.pop("sequences")
        width = len(counts) + 1
        rows = (np.arange(width) >= np.arange(1, width)[:, None]).astype(float)
        given["treatment"] = np.repeat(rows, counts, axis=0)
    if ours["constructor"] == "from_variances":
        design = SteppedWedge.from_variances(**given)
    else:
        effect = given.pop("binary_effect", "risk_difference")
        outcome = (
            Continuous(sd=given.pop("sd"))
            if "sd" in given
            else Binary(control=given.pop("control"), effect=effect)
        )
        design = SteppedWedge(outcome=outcome, **given)
    return design, ours["effect"], ours.get("convention", "normal")


@pytest.mark.reference
@pytest.mark.parametrize("case", RECORD["cases"], ids=lambda case: case["id"])
def test_power_of_other_programs(case):
    design, effect, convention = built(case["ours"])
    power = float(design.power(effect, convention=convention))
    if "decimals" in case["ours"]:
        assert round(power, case["ours"]["decimals"]) == case["result"]["power"]
    else:
        assert power == pytest.approx(case["result"]["power"], abs=1e-9)


@pytest.mark.reference
def test_published_wedge_is_explained():
    published = RECORD["meta"]["published"]
    design = SteppedWedge.standard(
        clusters=published["clusters"],
        steps=published["steps"],
        cell_size=published["cell_size"],
        icc=published["icc"],
        outcome=Binary(control=published["control"], variance="null"),
    )
    assert round(float(design.mdes()), 4) == published["mdes"]
    for cac, mdes in published["with_cac"].items():
        assert float(design.replace(cac=float(cac)).mdes()) == pytest.approx(mdes, abs=5e-6)


def test_hussey_and_hughes_closed_form():
    design = SteppedWedge.standard(clusters=12, steps=4, cell_size=25, outcome=Continuous(sd=2.0), icc=0.08)
    X, (clusters, periods) = design.treatment, design.treatment.shape
    tau2, sigma2 = 0.08 * 4.0, 0.92 * 4.0 / 25
    U, W = X.sum(), (X.sum(axis=0) ** 2).sum()
    V = (X.sum(axis=1) ** 2).sum()
    top = clusters * sigma2 * (sigma2 + periods * tau2)
    bottom = (clusters * U - W) * sigma2 + (U**2 + clusters * periods * U - periods * W - clusters * V) * tau2
    assert float(design.power(0.5).se) == pytest.approx(math.sqrt(top / bottom), rel=1e-12)


def dense_se(design: SteppedWedge) -> float:
    """Standard error from the rows of children, one by one."""
    icc, cac, iac, sd = design.icc, design.cac, design.iac, design.outcome.sd
    rows = [
        (k, t, i)
        for k in range(design.clusters)
        for t in range(design.periods)
        for i in range(int(design.sizes[k, t]))
    ]
    a = np.array(rows)
    k, t, i = a.T
    V = np.equal.outer(k, k) * icc * np.where(np.equal.outer(t, t), 1.0, cac)
    V = V + np.equal.outer(k, k) * np.equal.outer(i, i) * (1 - icc) * np.where(np.equal.outer(t, t), 1.0, iac)
    X = np.column_stack([design.treatment[k, t], np.eye(design.periods)[t]])
    return float(sd * np.sqrt(np.linalg.inv(X.T @ np.linalg.solve(V, X))[0, 0]))


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(
    icc=st.floats(0.0, 0.4),
    cac=st.floats(0.3, 1.0),
    iac=st.sampled_from([0.0, 0.3, 0.7]),
    size=st.integers(1, 5),
    gap=st.booleans(),
)
def test_cell_means_are_sufficient(icc, cac, iac, size, gap):
    design = SteppedWedge.standard(
        clusters=4,
        steps=2,
        periods_per_step=2,
        transition=int(gap),
        cell_size=size,
        icc=icc,
        cac=cac,
        iac=iac,
        outcome=Continuous(sd=1.7),
    )
    assert float(design.power(0.4).se) == pytest.approx(dense_se(design), rel=1e-9)


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(
    power=st.floats(0.2, 0.97),
    icc=st.floats(0.001, 0.2),
    cac=st.floats(0.2, 1.0),
    kind=st.sampled_from(["continuous", "binary", "null", "odds_ratio", "risk_ratio", "rate", "log_rate"]),
    df=st.sampled_from(["z", "clusters", "between_within", 7.5]),
)
def test_mdes_inverts_power(power, icc, cac, kind, df):
    outcome = {
        "continuous": Continuous(sd=3.0),
        "binary": Binary(control=0.2),
        "null": Binary(control=0.2, variance="null"),
        "odds_ratio": Binary(control=0.2, effect="odds_ratio"),
        "risk_ratio": Binary(control=0.2, effect="risk_ratio"),
        "rate": Rate(control=0.4, exposure=2.0),
        "log_rate": Rate(control=0.4, exposure=2.0, test="log"),
    }[kind]
    design = SteppedWedge.standard(clusters=12, steps=3, cell_size=400, icc=icc, cac=cac, outcome=outcome, df=df)
    found = design.mdes(power, unreachable="nan")
    for effect in (float(found.fall), float(found.rise)):
        if not math.isnan(effect):
            assert float(design.power(effect)) == pytest.approx(power, abs=1e-10)


@pytest.mark.property
def test_arrays_broadcast_and_order_of_clusters_does_not_matter():
    design = SteppedWedge.standard(clusters=9, steps=3, cell_size=np.array([10, 20, 15, 30]), icc=0.05, cac=0.8)
    several = design.replace(icc=np.array([0.01, 0.05, 0.1])).power(np.array([[0.2], [0.3]]))
    assert several.shape == (2, 3)
    assert several.value[1, 1] == pytest.approx(float(design.power(0.3)), abs=1e-14)
    order = np.random.default_rng(1).permutation(9)
    turned = design.replace(treatment=design.treatment[order])
    assert float(turned.power(0.3)) == pytest.approx(float(design.power(0.3)), abs=1e-12)
    assert float(design.mdes()) > float(design.replace(cac=1.0).mdes())


def test_decay_of_one_and_zero_are_the_structures_without_it():
    design = SteppedWedge.standard(clusters=8, steps=4, cell_size=20, icc=0.1)
    assert float(design.replace(decay=1.0).power(0.3)) == pytest.approx(float(design.power(0.3)), abs=1e-12)
    none = float(design.replace(cac=0.0).power(0.3))
    assert float(design.replace(decay=0.0).power(0.3)) == pytest.approx(none, abs=1e-12)


def test_exposure_time_costs_power_and_agrees_where_there_is_one_time():
    design = SteppedWedge.standard(clusters=12, steps=3, cell_size=30, icc=0.05)
    assert float(design.replace(effect_over_time="average").power(0.3)) < float(design.power(0.3))
    single = SteppedWedge.crossover(clusters=6, cell_size=30, icc=0.05)
    assert set(np.unique(single.exposure_time())) == {0.0, 1.0, 2.0}
    parallel = SteppedWedge.parallel(clusters=10, baseline=1, cell_size=30, icc=0.05)
    assert float(parallel.replace(effect_over_time="average").power(0.3)) == pytest.approx(
        float(parallel.power(0.3))
    )


def test_cluster_crossover_closed_form():
    design = SteppedWedge.crossover(clusters=12, cell_size=40, outcome=Continuous(sd=2.0), icc=0.06, cac=0.7)
    # each cluster's difference between its periods: 2 (cluster-period + residual / n); 12 clusters, effect = half the contrast
    cell = 4.0 * (0.06 * 0.3 + 0.94 / 40)
    assert float(design.power(0.5).se) == pytest.approx(math.sqrt(2 * cell / 12), rel=1e-12)


def test_satterthwaite_df_of_a_parallel_trial_is_clusters_less_two():
    design = SteppedWedge.parallel(clusters=14, cell_size=30, icc=0.05, df="satterthwaite")
    assert float(design.power(0.3).df) == pytest.approx(12.0, abs=1e-8)


def test_satterthwaite_df_with_one_child_in_a_cell():
    design = SteppedWedge.standard(clusters=8, steps=4, cell_size=1, icc=0.05, cac=0.8, df="satterthwaite")
    # children and cells have one variance then
    assert float(design.power(0.5).df) > 6.0


@pytest.mark.parametrize(
    ("clusters", "steps", "strata", "count", "least"),
    [
        (5, 5, None, 120, 1 / 120),
        (5, 5, [0, 0, 1, 1, 1], 12, 1 / 12),
        (4, 4, [0, 0, 1, 1], 4, 1 / 4),
        (6, 3, None, 90, 1 / 90),
    ],
)
def test_permitted_allocations(clusters, steps, strata, count, least):
    design = SteppedWedge.standard(clusters=clusters, steps=steps, cell_size=100, icc=0.01, strata=strata)
    rows = permitted(design)
    assert design.n_permitted == count == len(rows) == len({each.tobytes() for each in rows})
    np.testing.assert_array_equal(rows[0], design.treatment)
    assert design.smallest_p == pytest.approx(least)
    assert sum("can never reject at 5%" in note for note in design.power(0.3).warnings) == (least > 0.05)


def test_mirror_images_double_the_smallest_p():
    design = SteppedWedge.crossover(clusters=6, cell_size=20, icc=0.05)
    assert design.n_permitted == math.comb(6, 3)
    assert design.smallest_p == pytest.approx(2 / 20)
    every = {tuple(each) for each in itertools.permutations([1, 1, 1, 0, 0, 0])}
    assert {tuple(each[:, 0]) for each in permitted(design)} == every


def test_residual_gives_the_coefficient_of_the_regression():
    rng = np.random.default_rng(3)
    design = SteppedWedge.standard(clusters=6, steps=3, cell_size=rng.integers(5, 40, (6, 4)), icc=0.05)
    y, n, T = rng.normal(size=(6, 4)), design.sizes, design.treatment
    k, t = np.divmod(np.arange(24), 4)
    X = np.column_stack([T.ravel(), np.eye(6)[k], np.eye(4)[t][:, 1:]])
    root = np.sqrt(n.ravel())
    wanted = np.linalg.lstsq(X * root[:, None], y.ravel() * root, rcond=None)[0][0]
    h = within_residual(T[None], n)[0]
    assert h @ y.ravel() / (h @ T.ravel()) == pytest.approx(wanted, rel=1e-10)


def test_required_sizes_are_minimal():
    design = SteppedWedge.standard(clusters=4, steps=4, cell_size=50, icc=0.03, cac=0.8, df="clusters")
    found = design.required("clusters", 0.2)
    assert int(found) % 4 == 0
    assert found.power >= 0.8 > found.short
    repeated = design.replace(treatment=np.repeat(design.treatment, int(found) // 4, axis=0))
    assert float(repeated.power(0.2)) == pytest.approx(found.power, abs=1e-12)
    cells = design.replace(df="z").required("cell_size", 0.4)
    assert cells.power >= 0.8 > cells.short
    with pytest.raises(DesignError, match="no cell size reaches"):
        design.replace(df="z").required("cell_size", 0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"icc": 1.2}, "icc == 1.2, must be < 1"),
        ({"cac": -0.1}, "cac == -0.1"),
        ({"cac": 0.8, "decay": 0.9}, "both cac and decay"),
        ({"cell_size": 0}, "cell_size == 0 in a cell"),
        ({"cell_size": [1, 2]}, "cell_size has shape"),
        ({"treatment": np.ones((3, 3))}, "same in every cell"),
        ({"treatment": [[0, 1], [0, 1]]}, "cannot be told apart"),
        ({"treatment": [[0, 2], [0, 1]]}, "between 0 and 1"),
        ({"strata": [1, 2]}, "strata has 2 labels"),
        ({"df": "wald"}, "df == 'wald'"),
        ({"df": "between_within", "treatment": [[0, 0, 1], [0, 1, 1]]}, "degrees of freedom"),
        ({"control_by_period": [0.1, 0.2]}, "continuous outcome needs none"),
    ],
)
def test_nonsense_is_refused(changes, message):
    base = {"treatment": np.array([[0, 1, 1], [0, 0, 1], [0, 1, 1], [0, 0, 1.0]]), "cell_size": 10, "icc": 0.05}
    with pytest.raises(DesignError, match=message):
        SteppedWedge(**(base | changes))


def test_diagram():
    design = SteppedWedge.standard(clusters=4, steps=2, periods_per_step=2, transition=1, cell_size=25, icc=0.05)
    dates = ["2024-04-01", "2024-07-01", "2024-10-01", "2025-01-01", "2025-04-01", "2025-10-01"]
    ax = design.plot(dates=dates, labels=["Leeds", "Hull", "York", "Kent"])
    assert len(ax.patches) == 20
    widths = [patch.get_width() for patch in ax.patches[:5]]
    assert widths == [91, 92, 92, 90, 183]
    assert "start of period" in ax.get_xlabel()
    with pytest.raises(DesignError, match="6 dates"):
        design.plot(dates=dates[:-1])
