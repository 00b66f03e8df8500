"""What designs refuse, what they carry, and the parts that have no peer to be compared with."""

import math

import numpy as np
import pytest

import wwc_eval as we
from wwc_eval.errors import DesignError
from wwc_eval.power import (
    Baseline,
    Belief,
    Binary,
    Continuous,
    Level,
    Rate,
    TimeToEvent,
    TreatedGroups,
    Trial,
    icc_priors,
)
from wwc_eval.power.arms import dunnett_critical

TEAMS = Trial(
    levels=[Level("child", 60), Level("team", 48, icc=0.05)], assigned="team", outcome=Binary(control=0.22)
)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Level("team", 48, icc=1.2), "icc of level 'team' == 1.2, must be < 1"),
        (lambda: Level("team", 0), "n of level 'team' == 0, must be > 0"),
        (lambda: Level("team", [4, -1]), "n of level 'team' == -1, must be > 0"),
        (lambda: Level("team", 9, icc="much"), "must be a number"),
        (lambda: Level("team", 9, covariates=0.5), "whole number"),
        (lambda: Level("team", 9, icc=0.1, k=0.2), "both icc and k"),
        (lambda: Level("team", 9, attrition=1), "attrition of level 'team' == 1, must be < 1"),
        (lambda: TEAMS.replace(allocation=0), "allocation == 0, must be > 0"),
        (lambda: TEAMS.replace(allocation=1), "allocation == 1, must be < 1"),
        (lambda: TEAMS.replace(assigned="tean"), "did you mean 'team'"),
        (lambda: TEAMS.replace(alocation=0.4), "no field 'alocation'.*did you mean 'allocation'"),
        (lambda: TEAMS.with_level("team", icx=0.1), "no field 'icx'"),
        (lambda: TEAMS.with_level("teem", icc=0.1), "did you mean 'team'"),
        (lambda: TEAMS.with_level("team", n=2), "0 degrees of freedom, must be >= 1"),
        (lambda: TEAMS.with_level("team", covariates=46), "0 degrees of freedom"),
        (
            lambda: Trial(levels=[Level("a", 9), Level("b", 9, icc=0.6), Level("c", 9, icc=0.5)], assigned="c"),
            "sum to 1.1, must be <= 1",
        ),
        (lambda: Trial(levels=[Level("a", 9, icc=0.1)], assigned="a"), "lowest and has icc"),
        (lambda: Trial(levels=[Level("a", 9), Level("a", 9)], assigned="a"), "share a name"),
        (lambda: Trial(levels=[Level(str(i), 9) for i in range(5)], assigned="1"), "at most 4"),
        (lambda: Trial(levels=[], assigned="a"), "list of Level"),
        (lambda: TEAMS.replace(dilution=0.6, crossover=0.4), "sum to 1 or more"),
        (lambda: TEAMS.replace(size_method="tailor"), "did you mean 'taylor'"),
        (lambda: TEAMS.replace(outcome="binary"), "must be an outcome"),
        (lambda: TEAMS.replace(baseline=Baseline(correlation={"chld": 0.4})), "did you mean 'child'"),
        (
            lambda: TEAMS.replace(outcome=Rate(control=1), groups=TreatedGroups(name="g", n=5, icc=0.1)),
            "difference",
        ),
        (lambda: TEAMS.with_level("team", icc=0.0, k=2.2), "sum to 1.37, must be <= 1"),
        (lambda: Trial(levels=[Level("a", 9), Level("b", 9, k=0.2)], assigned="b"), "k needs the mean"),
        (lambda: Binary(control=22), "control == 22, must be < 1"),
        (lambda: Binary(control=0.2, variance="unpoled"), "did you mean 'unpooled'"),
        (lambda: TEAMS.power(-0.22), "effect == -0.22, must be > -0.22 and < 0.78"),
        (lambda: TEAMS.power(0.9), "must be > -0.22 and < 0.78"),
        (lambda: TEAMS.power(-0.1, alpha=0), "alpha == 0, must be > 0"),
        (lambda: TEAMS.power(-0.1, sides=3), "sides == 3, must be 1 or 2"),
        (lambda: TEAMS.power(-0.1, convention="powerap"), "did you mean 'powerup'"),
        (lambda: TEAMS.mdes(0.04), "must be > alpha"),
        (lambda: TEAMS.with_level("team", n=6).mdes(direction="fall"), "out of reach.*'fall'"),
        (lambda: TEAMS.required("child", -0.04), "out of reach.*it tends to 0.3298"),
        (lambda: TEAMS.required("team", 0), "is no effect"),
        (lambda: TEAMS.required("school", -0.1), "no level 'school'"),
        (lambda: TEAMS.arms((0.5, 0.3, 0.3)), "sum to 1.1, must be 1"),
        (lambda: TEAMS.arms((0.5, 0.25, 0.25)).comparisons((-0.1, -0.1), adjust="holm"), "give rng"),
        (lambda: TEAMS.arms((0.5, 0.25, 0.25)).comparisons((-0.1,)), "1 effects for 2 arms"),
        (lambda: TEAMS.non_inferiority(0.0), "is no effect"),
        (lambda: TEAMS.non_inferiority(0.05).power(0.06), "truly be inferior"),
        (lambda: TEAMS.moderator("team", heterogeneity=0.2), "below level 'team'"),
        (lambda: TEAMS.assurance(-0.1, {"team.ic": Belief.beta(0.05, 0.02)}, rng=1), "did you mean 'team.icc'"),
        (lambda: TEAMS.assurance(-0.1, {}, rng=1), "nothing is uncertain"),
        (
            lambda: TEAMS.assurance(Belief.normal(-0.2, 0.1), {}, rng=1),
            "impossible: effects lie between -0.22 and 0.78",
        ),
        (lambda: TEAMS.mdes_table({}), "nothing varies"),
        (lambda: TEAMS.curve("team.n", [2, 20], effect=-0.1), "0 degrees of freedom"),
        (TEAMS.stages, "only the protocol"),
        (lambda: Belief.beta(0.05, 0.5), "must be <"),
    ],
)
def test_nonsense_is_refused_with_its_limit(make, text):
    with pytest.raises(DesignError, match=text):
        make()


def test_the_ten_lines():
    assert we.Trial is Trial
    mdes = TEAMS.mdes(power=0.80)
    assert mdes.fall < 0 < mdes.rise
    assert float(mdes) == mdes.rise == max(-mdes.fall, mdes.rise)
    assert "percentage points" in str(mdes)
    assert "Convention: exact." in mdes.to_markdown()
    size = TEAMS.required("team", -0.08)
    assert int(size) == 49
    assert range(49)[:size][-1] == 48
    assert (size.arms[0], size.arms[1]) == (24, 25)


def test_icc_and_k_say_the_same():
    p, icc = 0.22, 0.05
    k = math.sqrt(icc * (1 - p) / p)
    by_k = TEAMS.with_level("team", icc=0.0, k=k)
    null = {"outcome": Binary(control=p, variance="null")}
    assert float(by_k.replace(**null).power(-0.08)) == pytest.approx(
        float(TEAMS.replace(**null).power(-0.08)), abs=1e-12
    )
    rate = Rate(control=0.1, exposure=2.0)
    square = 0.03 / 0.97 / (0.1 * 2.0)
    two = [
        Trial(levels=[Level("a", 40), Level("b", 20, **each)], assigned="b", outcome=rate)
        for each in ({"icc": 0.03}, {"k": math.sqrt(square)})
    ]
    assert float(two[0].power(0.7)) == pytest.approx(float(two[1].power(0.7)), abs=1e-12)


def test_attrition_is_fewer_units_and_dilution_a_smaller_effect():
    lost = TEAMS.with_level("child", attrition=0.25)
    assert float(lost.power(-0.08)) == pytest.approx(
        float(TEAMS.with_level("child", n=45).power(-0.08)), abs=1e-14
    )
    score = TEAMS.replace(outcome=Continuous())
    weak = score.replace(dilution=0.2, crossover=0.1)
    assert float(weak.power(0.3)) == pytest.approx(float(score.power(0.21)), abs=1e-12)
    assert float(weak.mdes()) == pytest.approx(float(score.mdes()) / 0.7)


def test_ancova_gains_what_the_correlation_of_means_says():
    score = TEAMS.replace(outcome=Continuous())
    used = score.replace(baseline=Baseline(correlation={"child": 0.5, "team": 0.8}))
    r = (60 * 0.05 * 0.8 + 0.95 * 0.5) / (60 * 0.05 + 0.95)
    assert used.power(0.2).se == pytest.approx(score.power(0.2).se * math.sqrt(1 - r * r))
    assert "covariates' slopes" in "".join(used.with_level("team", n=10, covariates=1).power(0.2).warnings)


def test_size_methods_are_told_apart():
    uneven = TEAMS.replace(outcome=Continuous()).with_level("child", size_cv=0.6)
    powers = {
        m: float(uneven.replace(size_method=m).power(0.25))
        for m in ("taylor", "eldridge", "unweighted", "ignored")
    }
    assert powers["eldridge"] < powers["taylor"] < powers["ignored"]
    assert powers["unweighted"] < powers["ignored"]
    assert len(set(powers.values())) == 4


def test_events_needed():
    # Schoenfeld: (1.96 + 0.8416)^2 / (P (1 - P) log(HR)^2) events
    trial = Trial(levels=[Level("child", 100)], assigned="child", outcome=TimeToEvent(control=0.6))
    found = trial.required("child", 0.7, convention="normal_upper")
    treated = 1 - 0.4**0.7
    events = found.fraction * (0.6 + treated) / 2
    assert events == pytest.approx(
        4 * (1.959963984540054 + 0.8416212335729143) ** 2 / math.log(0.7) ** 2, rel=1e-9
    )


def test_arms_agree_with_two_arms_and_dunnett_with_its_tables():
    two = TEAMS.arms((0.5, 0.5)).comparisons((-0.08,))
    assert two.column("power")[0] == pytest.approx(float(TEAMS.power(-0.08)), abs=1e-12)
    # Dunnett 1964, two-sided 5%: 3 arms against control, 20 df; 2 arms, 60 df; 5 arms, infinite df
    for df, arms, table in ((20, 3, 2.54), (60, 2, 2.27), (math.inf, 5, 2.51)):
        assert dunnett_critical(df, np.full(arms, math.sqrt(0.5)), 0.05) == pytest.approx(table, abs=0.006)


def test_multiplicity_orders_power():
    three = (
        TEAMS.replace(outcome=Continuous())
        .with_level("team", n=60)
        .arms({"c": 0.4, "x": 0.3, "y": 0.3}.values(), names=("c", "x", "y"))
    )
    power = {
        a: three.comparisons({"x": 0.25, "y": 0.25}, adjust=a, rng=1).column("power")[0]
        for a in ("none", "bonferroni", "holm", "dunnett")
    }
    assert power["bonferroni"] < power["dunnett"] < power["none"]
    assert power["bonferroni"] < power["holm"] < power["none"]
    pairs = three.comparisons((0.25, 0.1), against="pairwise", adjust="holm", rng=2)
    assert [row["comparison"] for row in pairs] == ["x - c", "y - c", "y - x"]
    assert pairs.column("effect") == pytest.approx([0.25, 0.1, -0.15])
    assert "Power of any" in str(pairs)
    # simulated without adjustment equals the formula
    shown = three.comparisons((0.25, 0.1), adjust="bonferroni", rng=3)
    assert "all of them" in str(shown)


def test_non_inferiority_is_a_shifted_one_sided_test():
    score = Trial(levels=[Level("child", 200)], assigned="child")
    found = score.non_inferiority(-0.4)
    assert float(found.power()) == pytest.approx(float(score.power(0.4, alpha=0.025, sides=1)), abs=1e-14)
    assert float(found.power(0.1)) > float(found.power())
    size = found.required("child")
    assert size.power >= 0.8 > size.short


@pytest.mark.simulation
def test_assurance_is_the_mean_of_power():
    belief = Belief.beta(0.05, 0.03)
    found = TEAMS.assurance(-0.08, {"team.icc": belief}, rng=1)
    points = (np.arange(20_000) + 0.5) / 20_000
    power = np.asarray(TEAMS.with_level("team", icc=belief.quantile(points)).power(-0.08))
    assert float(found) == pytest.approx(power.mean(), abs=5 * found.mc_se + 1e-6)
    assert found.short == pytest.approx((power < 0.8).mean(), abs=5 * found.short_mc_se + 1e-4)
    assert found.mc_se < 1e-3
    assert float(TEAMS.assurance(-0.08, {"team.icc": belief}, rng=1)) == float(found)
    assert "k 0.3" in str(found) or "k 0.4" in str(found)
    assert found.plot().get_xlabel() == "power (%)"
    several = TEAMS.assurance(
        Belief.normal(-0.08, 0.03), {"team.icc": belief, "child.attrition": Belief.beta(0.1, 0.05)}, rng=2
    )
    assert float(several) < float(found)
    assert several.short_mc_se < 0.01


def test_pilot_belief_is_the_exact_interval():
    # Searle's interval of icc 0.05 from 8 clusters of 15, tests of pilots: ends where F quantiles say
    from scipy.stats import f

    belief = Belief.pilot_icc(0.05, clusters=8, size=15)
    ratio = (1 + 14 * 0.05) / 0.95
    for p in (0.5, 0.9, 0.975):
        q = ratio / f.ppf(1 - p, 7, 112)
        assert float(belief.quantile(np.asarray(p))) == pytest.approx(max((q - 1) / (q + 14), 0))


def test_stages_count_whole_units():
    stages = TEAMS.stages(randomisation={"team.n": 45, "child.n": 51}, analysis={"child.attrition": 0.13})
    rows = {row["what"]: row for row in stages.to_dicts()}
    for stage, children in (
        ("protocol", 60 * 48),
        ("randomisation", 51 * 45),
        ("analysis", round(51 * 45 * 0.87)),
    ):
        units = {arm: rows[f"teams: {arm}"][stage] for arm in ("programme", "control", "total")}
        assert all(value == int(value) for value in units.values())
        assert units["programme"] + units["control"] == units["total"]
        assert 0 <= units["control"] - units["programme"] <= 1
        assert rows["children: total"][stage] == children
        assert rows["children: programme"][stage] + rows["children: control"][stage] == children
    assert "22.5" not in str(stages)


def test_tables_curves_and_stages_agree_with_the_design(tmp_path):
    table = TEAMS.mdes_table({"team.icc": [0.01, 0.05], "child.r2": [0.0, 0.3], "team.n": [40, 48]})
    assert len(table) == 8
    row = next(r for r in table if (r["team.icc"], r["child.r2"], r["team.n"]) == (0.05, 0.0, 48))
    assert row["mdes"] == pytest.approx(float(TEAMS.mdes()))
    curve = TEAMS.curve("team.n", [24, 48], effect=-0.08, band=("team.icc", 0.01, 0.1))
    assert curve.power[1] == pytest.approx(float(TEAMS.power(-0.08)))
    assert np.all(curve.low < curve.power)
    assert np.all(curve.high > curve.power)
    plane = TEAMS.contour(("team.n", [24, 48]), ("team.icc", [0.05, 0.1]))
    assert plane.z[0, 1] == pytest.approx(float(TEAMS.mdes()))
    stages = TEAMS.stages(randomisation={"team.n": 46}, analysis={"child.attrition": 0.1, "team.icc": 0.02})
    rows = {r["what"]: r for r in stages.to_dicts()}
    assert rows["children: total"] == {
        "what": "children: total",
        "protocol": 2880,
        "randomisation": 2760,
        "analysis": pytest.approx(2484),
    }
    assert rows["MDES"]["protocol"] == pytest.approx(float(TEAMS.mdes()))
    small = TEAMS.mdes_table({"team.n": [6, 48]})  # with 6 teams no fall is detected
    assert np.isnan(small.column("fall")[0])
    assert small.column("fall")[1] == pytest.approx(TEAMS.mdes().fall)
    assert "No possible effect" in str(small)
    assert np.isnan(TEAMS.contour(("team.n", [6, 48]), ("team.icc", [0.05, 0.1])).z[0, 0])
    for shown in (curve, plane, stages, table):
        assert "nan" not in shown.to_html()
    for at, picture in enumerate((curve, plane, TEAMS.curve("effect", [-0.1, 0.0, 0.1]))):
        axes = picture.plot()
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        axes.figure.savefig(tmp_path / f"{at}.png")


def test_every_published_figure_has_a_source():
    for row in icc_priors():
        assert any(word in row["source"] for word in ("doi:", "Department for Education", "GitHub", "PMC"))
        assert row["value"] is None or 0 < row["value"] < 1
