"""Difference-in-differences held to computations that share no code with it, on panels that are not tidy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we


def noise_panel(n, *, one_sided=0, missing=0.0, seed=3, periods=12, adopted=6):
    """White noise; unit 0 joins. The last units are seen on one side of the date alone."""
    rng = np.random.default_rng(seed)
    rows = [
        (unit, t)
        for unit in range(n + one_sided)
        for t in range(periods)
        if unit < n or (t < adopted) == (unit % 2 == 0)
    ]
    frame = pd.DataFrame(rows, columns=["la", "year"])
    frame["rate"] = rng.normal(size=len(frame))
    frame["joined"] = np.where(frame["la"] == 0, adopted, 0)
    frame["children"] = 1_000.0 + frame["la"]
    kept = (rng.random(len(frame)) >= missing) | (frame["la"] == 0)
    return we.Panel(frame[kept], unit="la", period="year", outcome="rate", cohort="joined")


def widths(panel):
    found = we.did.few_treated(
        panel, methods=("permutation", "conley_taber", "ferman_pinto"), draws=999, rng=1, population="children"
    )
    return {name: found[name].ci_high - found[name].ci_low for name in found.methods}


@pytest.mark.property
@pytest.mark.parametrize("one_sided", [0, 200])
def test_residuals_of_units_seen_on_one_side_of_the_date_do_not_narrow_intervals(one_sided):
    panel = noise_panel(200, one_sided=one_sided)
    found = widths(panel)
    # twice 1.96 times the error of a mean of six less a mean of six
    expected = 2 * 1.96 * np.sqrt(2 / 6)
    for method, width in found.items():
        assert width == pytest.approx(expected, rel=0.15), method
    used = we.did.few_treated(panel, methods=("conley_taber",)).overall.details["controls"]
    assert used == 199


@pytest.mark.property
def test_missing_cells_do_not_narrow_intervals_by_resampled_residuals():
    found = widths(noise_panel(250, missing=0.4))
    for method in ("conley_taber", "ferman_pinto"):
        assert found[method] == pytest.approx(found["permutation"], rel=0.12), method


@pytest.mark.property
@pytest.mark.parametrize("weighted", [False, True])
def test_conley_taber_errors_are_those_of_each_unit_put_in_place_of_the_treated(weighted):
    """One treated: control j has the within coefficient of its residuals on treatment less period effects.

    It counts as the treated unit's own does: by the share of treatment that its profile makes.
    """
    rng = np.random.default_rng(8)
    panel = noise_panel(50, missing=0.2)
    rows = [(u, t) for u in range(50) for t in range(12) if np.isfinite(panel.outcomes[u, t])]
    frame = pd.DataFrame(rows, columns=["la", "year"])
    frame["rate"] = [panel.outcomes[u, t] for u, t in rows]
    frame["w"] = frame["la"].map(dict(enumerate(rng.uniform(0.5, 3, 50)))) if weighted else 1.0
    frame["joined"] = np.where(frame["la"] == 0, 6, 0)
    found = we.did.few_treated(
        we.Panel(frame, unit="la", period="year", outcome="rate", cohort="joined", weights="w"),
        methods=("conley_taber",), level=0.8,
    ).overall  # fmt: skip
    # dummy variables, weighted
    d = ((frame["la"] == 0) & (frame["year"] >= 6)).to_numpy(float)
    units = np.eye(50)[frame["la"]]
    periods = np.eye(12)[frame["year"]]
    root = np.sqrt(frame["w"].to_numpy())[:, None]
    both = np.column_stack([units, periods])
    inverse = np.linalg.pinv(both * root)
    y = frame["rate"].to_numpy()
    joint = np.linalg.lstsq(np.column_stack([d, both]) * root, y * root[:, 0], rcond=None)[0]
    residual = y - np.column_stack([d, both]) @ joint
    effects = inverse @ (d * root[:, 0])
    profile = (np.arange(12) >= 6) - effects[50:]
    left = (d - both @ effects) * frame["w"].to_numpy()
    own = left[:12] @ profile / (left @ d)
    errors = []
    for unit in range(1, 50):
        mine = (frame["la"] == unit).to_numpy()
        x, w = profile[frame["year"][mine]], frame["w"].to_numpy()[mine]
        x = x - np.average(x, weights=w)
        errors.append(own * (w * x) @ residual[mine] / ((w * x) @ x))
    errors = np.sort(errors)
    k = int(np.floor(0.1 * 49 + 1e-9))
    assert found.estimate == pytest.approx(joint[0], rel=1e-10)
    assert found.ci_low == pytest.approx(joint[0] - errors[48 - k], rel=1e-9)
    assert found.ci_high == pytest.approx(joint[0] - errors[k], rel=1e-9)


@pytest.mark.property
@pytest.mark.parametrize(("n", "joined"), [(60, 1), (60, 2), (9, 1), (9, 2)])
def test_wild_bootstrap_intervals_move_with_the_effect_and_agree_with_p(n, joined):
    """The one treated leaves no residual: limits lie hundreds of errors away, where they were once called infinite."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame([(unit, t) for unit in range(n) for t in range(8)], columns=["la", "year"])
    noise = rng.normal(size=len(frame))
    frame["joined"] = np.where(frame["la"] < joined, 4, 0)
    after = (frame["joined"] > 0) & (frame["year"] >= 4)
    ends = {}
    for effect in (0.0, 2_000.0):
        panel = we.Panel(
            frame.assign(rate=noise + effect * after), unit="la", period="year", outcome="rate", cohort="joined"
        )
        found = we.did.few_treated(panel, methods=("wild_bootstrap",), draws=999, rng=2).overall
        assert (found.p_value <= 0.05) == (found.ci_low > 0 or found.ci_high < 0)
        ends[effect] = np.array([found.ci_low, found.ci_high])
    assert np.isfinite(ends[0.0]).all()
    assert ends[2_000.0] - 2_000.0 == pytest.approx(ends[0.0], rel=1e-5)


@pytest.mark.property
def test_wild_bootstrap_intervals_are_unbounded_where_no_p_can_be_small():
    frame = pd.DataFrame([(unit, t) for unit in range(5) for t in range(6)], columns=["la", "year"])
    frame["rate"] = np.random.default_rng(1).normal(size=len(frame))
    frame["joined"] = np.where(frame["la"] < 2, 3, 0)
    panel = we.Panel(frame, unit="la", period="year", outcome="rate", cohort="joined")
    # five clusters: no p below 2 / 32
    found = we.did.few_treated(panel, methods=("wild_bootstrap",)).overall
    assert (found.ci_low, found.ci_high) == (-np.inf, np.inf)
    loose = we.did.few_treated(panel, methods=("wild_bootstrap",), level=0.9).overall
    assert np.isfinite([loose.ci_low, loose.ci_high]).all()


def test_one_very_wide_interval_does_not_flatten_the_figure_of_a_comparison():
    frame = pd.DataFrame([(unit, t) for unit in range(40) for t in range(8)], columns=["la", "year"])
    frame["rate"] = np.random.default_rng(6).normal(size=len(frame))
    frame["joined"] = np.where(frame["la"] == 0, 4, 0)
    panel = we.Panel(frame, unit="la", period="year", outcome="rate", cohort="joined")
    found = we.did.compare(panel, rng=1, draws=199, sensitivity=False)
    wild = found["wild_bootstrap"]
    rest = [item for item in found.estimates if item is not wild]
    width = max(item.ci_high - item.ci_low for item in rest)
    low, high = found.plot().get_xlim()
    assert wild.ci_high - wild.ci_low > 10 * width
    assert high - low < 2 * width


def few_joined(joined=3, n=40):
    rng = np.random.default_rng(12)
    frame = pd.DataFrame([(f"Île {unit:02}", t) for unit in range(n) for t in range(8)], columns=["la", "year"])
    unit = frame["la"].str[-2:].astype(int)
    frame["rate"] = 50 + unit + rng.normal(size=len(frame))
    frame["joined"] = np.where(unit < joined, 4, 0)
    frame["fidelity"] = np.where(unit < joined, 0.3 + 0.1 * unit, 0.0)
    return we.Panel(frame, unit="la", period="year", outcome="rate", cohort="joined")


@pytest.mark.parametrize("name", ["bacon", "dose", "jackknife", "few_treated"])
def test_no_conventional_error_of_three_treated_is_printed_without_a_permutation(name):
    panel = few_joined()
    verbs = {
        "bacon": we.did.bacon_decomposition,
        "dose": lambda p: we.did.dose(p, "fidelity"),
        "jackknife": lambda p: we.did.synthetic_did(p, inference="jackknife"),
        "few_treated": lambda p: we.did.few_treated(p, methods=("CR1S", "CR2")),
    }
    printed = str(verbs[name](panel))
    p = we.did.two_way_fixed_effects(panel).overall.details["permutation_p"]
    assert f"permutation of the two-way effect over clusters: p = {p:.3f}" in printed
    assert "permutation" not in str(verbs[name](few_joined(6)))


def test_doses_of_few_treated_have_no_error_of_the_slope():
    found = we.did.dose(few_joined(), "fidelity")
    assert found.overall.se > 0
    assert np.isnan(found.slope.se)
    assert np.isnan(found.by_dose.column("ci_low")).all()
    assert "none is given" in str(found)
    assert len(found.plot().collections) == 0
    many = we.did.dose(few_joined(6), "fidelity", groups=2)
    assert many.slope.se > 0
    assert many.overall.warnings == ()
    # three units a group: each beside the permutation of its own effect
    p_values = [row.details["permutation_p"] for row in many.by_group]
    assert len(set(p_values)) == 2
    assert all(0 < p <= 1 for p in p_values)


@pytest.mark.property
def test_weights_of_regression_to_the_mean_are_so_many_units():
    rng = np.random.default_rng(21)
    frame = pd.DataFrame([(f"u{unit:02}", t) for unit in range(30) for t in range(9)], columns=["la", "year"])
    unit = frame["la"].str[1:].astype(int)
    frame["rate"] = rng.normal(size=len(frame)).cumsum() * 0.2 + rng.normal(size=len(frame))
    frame["joined"] = np.where(unit < 4, 5, np.where(unit < 7, 6, 0))
    frame["w"] = unit.map(dict(enumerate(rng.integers(1, 4, 30).tolist())))
    copies = pd.concat([frame.assign(la=frame["la"] + f"/{k}")[frame["w"] > k] for k in range(3)])
    given = {"unit": "la", "period": "year", "outcome": "rate", "cohort": "joined"}
    weighted = we.did.regression_to_mean(we.Panel(frame, weights="w", **given), draws=99, rng=1)
    repeated = we.did.regression_to_mean(we.Panel(copies, **given), draws=99, rng=1)
    plain = we.did.regression_to_mean(we.Panel(frame, **given), draws=99, rng=1)
    for name in ("overall", "reversion"):
        mine, other = getattr(weighted, name).estimate, getattr(repeated, name).estimate
        assert mine == pytest.approx(other, rel=1e-10), name
        assert mine != pytest.approx(getattr(plain, name).estimate, rel=1e-3), name


@pytest.mark.parametrize(
    "verb",
    [
        we.did.event_study,
        we.did.sun_abraham,
        we.did.stacked,
        lambda panel, reference: we.did.extended_twfe(panel, control="never", reference=reference),
    ],
)
def test_a_reference_at_which_units_are_treated_is_said(verb):
    panel = few_joined(8)
    after, before = verb(panel, reference=1), verb(panel, reference=-1)
    assert "Units are treated at event 1, the reference" in str(after)
    assert "the reference:" not in str(before)


def test_an_authority_without_a_population_is_named():
    frame = pd.DataFrame([(f"Bryn {unit}", t) for unit in range(20) for t in range(6)], columns=["la", "year"])
    frame["rate"] = np.random.default_rng(2).normal(size=len(frame))
    frame["joined"] = np.where(frame["la"] == "Bryn 3", 3, 0)
    frame["children"] = np.where(frame["la"] == "Bryn 7", np.nan, 1_000.0)
    panel = we.Panel(frame, unit="la", period="year", outcome="rate", cohort="joined")
    with pytest.raises(we.DataError, match="the population of Bryn 7 is nan"):
        we.did.few_treated(panel, methods=("ferman_pinto",), rng=1, population="children")


@pytest.mark.parametrize("covid", [[2020], []])
def test_the_reference_of_a_universal_base_is_the_last_period_that_there_is(covid):
    rng = np.random.default_rng(7)
    frame = pd.DataFrame([(unit, t) for unit in range(40) for t in range(2014, 2026)], columns=["la", "year"])
    frame["rate"] = rng.normal(size=len(frame))
    frame["joined"] = np.where(frame["la"] < 8, 2021, np.where(frame["la"] < 16, 2023, 0))
    panel = we.Panel(frame, unit="la", period="year", outcome="rate", cohort="joined")
    one = panel.without(list(range(8, 16)))
    if covid:
        panel, one = we.did.mask_periods(panel, covid), we.did.mask_periods(one, covid)
    both, alone = (we.did.callaway_santanna(each, base="universal").aggregate("event") for each in (panel, one))
    assert alone.path.reference == (-2 if covid else -1)
    assert alone.path.reference not in alone.path.events
    assert both.path.reference == (None if covid else -1)
    if covid:
        assert "base at different events (-2, -1)" in str(both)
        with pytest.raises(we.DesignError, match="no common reference event"):
            we.did.honest(both)
    else:
        assert "different events" not in str(both)
