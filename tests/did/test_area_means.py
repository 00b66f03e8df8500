"""Means of areas of children seen once: first principles, and the study of few treated on them with its record."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import section_size_study as study
from section_data import section_children

import wwc_eval as we
from wwc_eval.errors import DesignError

RECORD = json.loads(study.RECORD.read_text())


def sections(data=None, **options):
    data = section_children() if data is None else data
    return we.Panel(data, unit=None, period="year", outcome="y", cohort="start", **options)


@pytest.mark.parametrize("slopes", ["all", "never"])
def test_means_of_areas_are_those_of_a_regression_within_them(slopes):
    data = section_children()
    data.loc[data.index % 50 == 0, "x"] = np.nan
    panel = sections(data, cluster="area", weights="w")
    found = we.did.area_means(panel, ["age", "need", "x"], keep="female", weighted=True, slopes=slopes)
    used = data.dropna(subset="x")
    x = np.column_stack([used["age"], used["x"], used["need"] == "N2", used["need"] == "N3"]).astype(float)
    x -= np.average(x, axis=0, weights=used["w"])
    behind = (used["start"] == 0).to_numpy() if slopes == "never" else np.ones(len(used), dtype=bool)
    for t, year in enumerate(range(2018, 2024)):
        own = (used["year"] == year).to_numpy()
        fit = own & behind
        whole = np.column_stack([pd.get_dummies(used["area"][fit]).to_numpy(float), x[fit]])
        root = np.sqrt(used["w"][fit].to_numpy())
        b = np.linalg.lstsq(whole * root[:, None], used["y"][fit].to_numpy() * root, rcond=None)[0][-4:]
        rest = used[own].assign(part=used["w"][own] * (used["y"][own] - x[own] @ b)).groupby("area")[["part", "w"]]
        levels = rest.sum().eval("part / w")
        np.testing.assert_allclose(found.outcomes[:, t], levels, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.weights, used.groupby("area")["w"].sum(), rtol=1e-12)
    assert found.adopted.tolist() == panel.adopted.tolist()
    assert found.frame["rows"].sum() == len(used) == found.frame["rows"].astype(int).sum()
    female = used.assign(part=used["w"] * used["female"]).groupby(["area", "year"])[["part", "w"]].sum()
    np.testing.assert_allclose(found.covariate("female").ravel(), female["part"] / female["w"], rtol=1e-12)
    plain = we.did.area_means(sections(cluster="area"))
    np.testing.assert_allclose(plain.outcomes, sections(cluster="area").outcomes, rtol=1e-13)
    assert "80 rows without a covariate" in found.findings[0].message
    mixed = section_children()
    mixed.loc[(mixed["area"] == "A00") & (mixed.index % 2 == 0), "start"] = 0
    both = we.did.area_means(sections(mixed, cluster="area"), "age")
    assert (both.n_units, both.n_clusters) == (25, 24)
    with pytest.raises(DesignError, match="children seen once with their areas"):
        we.did.area_means(sections())
    with pytest.raises(DesignError, match="within the never treated areas of 2018"):
        we.did.area_means(sections(cluster="area"), ["start"])


def test_own_slopes_are_those_of_a_regression_with_slopes_by_area_and_period():
    data = section_children()
    data.loc[data.index % 50 == 0, "x"] = np.nan
    found = we.did.area_means(sections(data, cluster="area", weights="w"), ["age", "x"], slopes="own")
    used = data.dropna(subset="x")
    x = used[["age", "x"]].to_numpy(float, copy=True)
    x -= np.average(x, axis=0, weights=used["w"])
    place = [pd.get_dummies(used[name]).to_numpy(float) for name in ("area", "year")]
    cells = pd.get_dummies(used["area"] + used["year"].astype(str)).to_numpy(float)
    slopes = np.hstack([x[:, [k]] * part for k in (0, 1) for part in (place[0], place[1][:, 1:])])
    free = ((used["start"] == 0) | (used["year"] < used["start"])).to_numpy()
    root = np.sqrt(used["w"].to_numpy())
    whole = np.hstack([cells, slopes]) * root[:, None]
    fit = np.linalg.lstsq(whole[free], (used["y"] * root).to_numpy()[free], rcond=None)[0]
    rest = used["y"] - slopes @ fit[cells.shape[1] :]
    sums = used.assign(part=used["w"] * rest).groupby(["area", "year"])[["part", "w"]].sum()
    np.testing.assert_allclose(found.outcomes, sums.eval("part / w").to_numpy().reshape(24, 6), rtol=0, atol=1e-9)
    few = data[~((data["area"] == "A03") & (data["need"] != "N1"))]
    with pytest.raises(DesignError, match="untreated children of A03"):
        we.did.area_means(sections(few, cluster="area"), ["need"], slopes="own")
    joined = sections(data[data["start"] > 0], cluster="area")
    with pytest.raises(DesignError, match="no untreated child is seen in 2022 and 2023"):
        we.did.area_means(joined, "age", slopes="own")


def test_whose_slopes_adjust_the_means_is_said():
    data = section_children()
    panel = sections(data, cluster="area")
    told = {s: we.did.area_means(panel, "age", slopes=s).findings[0].message for s in (None, *study.SLOPES)}
    assert told[None] == told["never"] != told["all"]
    assert told["never"].endswith("adjusted for age by slopes of never treated areas")
    assert told["all"].endswith("by slopes of all areas")
    assert told["own"].endswith("by slopes of each area, which move with those of untreated areas")
    joined = sections(data[data["start"] > 0], cluster="area")
    assert "by slopes of all areas" in we.did.area_means(joined, "age").findings[0].message
    with pytest.raises(DesignError, match="no area is never treated"):
        we.did.area_means(joined, "age", slopes="never")
    with pytest.raises(DesignError, match="slopes"):
        we.did.area_means(panel, "age", slopes="treated")
    # a kind of child that only treated areas have cannot be adjusted for by the others
    rare = data.assign(need=np.where((data["start"] > 0) & (data.index % 9 == 0), "N9", data["need"]))
    with pytest.raises(DesignError, match='or write slopes="all"'):
        we.did.area_means(sections(rare, cluster="area"), ["need"])
    assert (
        "all areas"
        in we.did.area_means(sections(rare, cluster="area"), ["need"], slopes="all").findings[0].message
    )


@pytest.mark.simulation
def test_few_treated_areas_are_permuted_on_adjusted_means():
    # composition differs between areas and over time; slopes are within areas, so that the adjusted means do not follow it
    rng = np.random.default_rng(12)
    hits, estimates = [], {"v": [], None: []}
    for _ in range(40):
        area = rng.integers(0, 30, 3_000)
        year = rng.integers(0, 4, 3_000)
        v = rng.normal(rng.normal(0, 0.5, (30, 4))[area, year], 1.0)
        y = 2 * v + 0.5 * v * year + rng.normal(0, 0.2, 30)[area] + rng.normal(size=3_000)
        data = pd.DataFrame({"area": area, "year": 2020 + year, "start": 2022 * (area < 2), "v": v, "y": y})
        for covariate, values in estimates.items():
            means = we.did.area_means(sections(data, cluster="area"), covariate)
            found = we.did.few_treated(means, methods=("permutation",), draws=199, rng=1).estimates[0]
            values.append(found.estimate)
            if covariate:
                hits.append(found.p_value <= 0.05)
    assert np.mean(hits) < 0.2
    assert abs(np.mean(estimates["v"])) < 4 * np.std(estimates["v"]) / np.sqrt(40)
    assert np.std(estimates["v"]) < 0.3 * np.std(estimates[None])


# --- the study


def noise(size, reps):
    return math.sqrt(max(size, 0.005) * (1 - size) / reps)


@pytest.mark.simulation
def test_permutation_on_own_slopes_covers_the_effect_whatever_children_are_seen():
    for name in study.SETTINGS:
        for n in study.AREAS:
            found, reps = study.pooled(RECORD, setting=name, areas=n)
            slack = 2 * noise(0.05, reps)
            assert 0.04 - slack <= found["own"]["permutation"] <= 0.06 + slack, (name, n)
            if name != "drifting, slopes differ":
                assert 0.04 - slack <= found["never"]["permutation"] <= 0.06 + slack, (name, n)
            else:
                # others' slopes do not fit treated areas whose children become others
                assert min(found["never"]["permutation"], found["never"]["ferman_pinto"]) > 0.08
                assert found["own"]["sd"] < 0.9 * found["never"]["sd"]


@pytest.mark.simulation
def test_slopes_of_all_areas_take_in_an_effect_that_depends_on_the_covariate():
    for n in study.AREAS:
        found, reps = study.pooled(RECORD, setting="effects differ", areas=n, treated=5)
        for slopes in ("never", "own"):
            assert abs(found[slopes]["bias"]) < 4 * found[slopes]["sd"] / math.sqrt(reps)
        # minus share of the treated, times slope of the effect, times distance of their children from the others
        expected = -(5 / n) * 0.3 * 0.5
        assert found["all"]["bias"] == pytest.approx(expected, abs=4 * found["all"]["sd"] / math.sqrt(reps))


def test_the_page_shows_the_record():
    page = (Path(__file__).parents[2] / "docs" / "methods" / "did.md").read_text(encoding="utf-8")
    assert "\n".join(study.table(RECORD)) in page


@pytest.mark.simulation
def test_a_sample_of_the_study_agrees_with_its_record():
    for name, n, n1, rho in (("drifting", 60, 2, 0.6), ("effects differ", 20, 5, 0.0)):
        past, _ = study.pooled(RECORD, setting=name, areas=n, treated=n1, rho=rho)
        fresh = study.study(name, n, n1, rho, 500, seed=77)
        for slopes in study.SLOPES:
            old, new = past[slopes], fresh[slopes]
            assert abs(new["bias"] - old["bias"]) < 4 * old["sd"] / math.sqrt(500)
            for method in study.METHODS:
                assert abs(new[method] - old[method]) < 4 * noise(old[method], 500) + 0.002, (slopes, method)


def written_out(parts, n1, rng):
    """Children whose means, squares and slopes are those of one trial, a covariate and an outcome each."""
    rows = []
    count, v, spread, y, slope = (part[0] for part in parts)
    for area in range(count.shape[0]):
        for year in range(count.shape[1]):
            m = int(count[area, year])
            x, rest = rng.standard_normal((2, m))
            x = x - x.mean()
            x *= np.sqrt(spread[area, year] / (x @ x))
            rest = rest - rest.mean()
            rest -= x * (x @ rest) / (x @ x)
            own = pd.DataFrame({"v": v[area, year] + x, "y": y[area, year] + slope[area, year] * x + rest})
            rows.append(own.assign(area=area, year=year, start=study.START if area < n1 else 0))
    return pd.concat(rows)


@pytest.mark.parametrize("n1", [1, 3])
def test_the_reduction_of_the_study_is_what_the_product_finds(n1):
    rng = np.random.default_rng(n1)
    parts = study.cells(study.SETTINGS["effects differ"], 14, n1, 0.6, 1, rng=rng)
    data = written_out(parts, n1, rng)
    panel = we.Panel(data, unit=None, period="year", outcome="y", cohort="start", cluster="area")
    for slopes in study.SLOPES:
        areas = we.did.area_means(panel, "v", slopes=slopes)
        means = study.adjusted(parts, n1, slopes)
        np.testing.assert_allclose(areas.outcomes, means[0], rtol=0, atol=1e-11)
        few = we.did.few_treated(areas, methods=study.METHODS, draws=4_999, rng=1, population="rows")
        q = study.change(means)
        mine = study.p_values(q, parts[0][:, :, 0], n1, 4_999, rng)
        effect = q[0, :n1].mean() - q[0, n1:].mean()
        assert few.overall.estimate == pytest.approx(effect, rel=1e-10)
        for method in study.METHODS:
            value = float(mine[method][0])
            if n1 == 1 and method in ("permutation", "conley_taber"):
                assert few[method].p_value == pytest.approx(value, rel=1e-9)
            else:
                assert abs(few[method].p_value - value) < 4.5 * math.sqrt(2) * noise(value, 4_999), method
    assert (
        we.did.area_means(panel, "v").outcomes.tobytes()
        == we.did.area_means(panel, "v", slopes="never").outcomes.tobytes()
    )
