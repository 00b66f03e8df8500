"""Designs of the reference cases, as the trials that they are."""

import json
from pathlib import Path

from wwc_eval.power import Baseline, Binary, Continuous, Level, Rate, TreatedGroups, Trial

RECORD = json.loads((Path(__file__).parents[1] / "reference" / "power_nested.json").read_text(encoding="utf-8"))
CASES = {case["id"]: case for case in RECORD["cases"]}
PUBLISHED = {case["id"]: case for case in RECORD["published"]}
NAMES = ("child", "class", "school", "area")
SIZES = ("n", "J", "K", "L")
# design of PowerUpR: levels, position of the assigned level, effects of blocks
MAIN = {
    "ira": (1, 0, "random"),
    "bira2": (2, 0, "random"),
    "bira2c1": (2, 0, "constant"),
    "bira2f1": (2, 0, "fixed"),
    "cra2": (2, 1, "random"),
    "bira3": (3, 0, "random"),
    "bcra3r2": (3, 1, "random"),
    "bcra3f2": (3, 1, "fixed"),
    "cra3": (3, 2, "random"),
    "bira4": (4, 0, "random"),
    "bcra4r2": (4, 1, "random"),
    "bcra4r3": (4, 2, "random"),
    "bcra4f3": (4, 2, "fixed"),
    "cra4": (4, 3, "random"),
}


def main_effect(case):
    """Trial of one of PowerUpR's main-effect designs; a size that is sought is any number."""
    given = case["inputs"]
    depth, at, blocks = MAIN[case["design"]]
    levels = [
        Level(
            NAMES[i],
            given.get(SIZES[i], 20),
            icc=given.get(f"rho{i + 1}", 0) if i else 0,
            r2=given.get(f"r2{i + 1}", 0),
            covariates=given.get(f"g{i + 1}", 0),
            effect_heterogeneity=given.get(f"omega{i + 1}", 0),
            effect_r2=given.get(f"r2t{i + 1}", 0),
            reliability=given.get(f"rel{i + 1}", 1),
        )
        for i in range(depth)
    ]
    return Trial(levels=levels, assigned=NAMES[at], allocation=given.get("p", 0.5), block_effects=blocks)


def partially_nested(case):
    """Trial of one of PowerUpR's partially nested designs: its shares are of the treated arm's variance."""
    given, design = case["inputs"], case["design"]
    rest = 1 - given["rho_ic"]
    r2 = given.get("r21", 0)
    groups = TreatedGroups(name="group", n=given["ic_size"], icc=given["rho_ic"], variance="added", r2=r2)
    child = Level("child", given.get("n", 100), r2=r2)
    if design == "ira_pn":
        return Trial(levels=[child], assigned="child", groups=groups)
    if design == "cra2_pn":
        school = Level("school", given["J"], icc=given["rho2_trt"] / rest, r2=r2)
        return Trial(levels=[child, school], assigned="school", groups=groups)
    if design == "bira2_pn":
        block = Level(
            "school", given.get("J", 30), icc=given["rho2_trt"] / rest, effect_heterogeneity=given["omega2"]
        )
        return Trial(levels=[child, block], assigned="child", groups=groups, df="two_arm")
    school = Level("school", given["J"], icc=given["rho2_trt"] / rest)
    area = Level("area", given["K"], icc=given["rho3_trt"] / rest, effect_heterogeneity=given["omega3"])
    return Trial(levels=[child, school, area], assigned="school", groups=groups)


def clusters(outcome, *, n=30, per_arm=20, size_cv=0.0, baseline=None, **level):
    """Cluster trial of 20 clusters of 30 in each arm, as the cases of clusterPower have."""
    return Trial(
        levels=[Level("child", n, size_cv=size_cv), Level("team", 2 * per_arm, **(level or {"icc": 0.05}))],
        assigned="team",
        outcome=outcome,
        size_method="eldridge",
        baseline=baseline,
    )


CHANGE = Baseline(correlation={"child": 0.4, "team": 0.5}, method="change")
GROUPS = TreatedGroups(name="group", n=10, icc=0.1)
# case: (trial, effect, convention)
POWER = {
    "other-029": (clusters(Binary(control=0.3)), -0.1, "upper_tail"),
    "other-030": (clusters(Binary(control=0.3), size_cv=0.6), -0.1, "upper_tail"),
    "other-031": (clusters(Binary(control=0.3, variance="pooled")), -0.1, "normal_upper"),
    "other-034": (clusters(Rate(control=0.2), n=100, k=0.25), 0.7, "hayes_bennett"),
    "other-037": (clusters(Continuous()), 0.3, "upper_tail"),
    "other-039": (clusters(Continuous(), size_cv=0.6), 0.3, "upper_tail"),
    "other-040": (clusters(Continuous(), baseline=CHANGE), 0.3, "upper_tail"),
    # the risk 0.3 is that of both arms together
    "other-041": (clusters(Binary(control=0.25, variance="pooled"), baseline=CHANGE), 0.1, "upper_tail"),
    "other-043": (Trial(levels=[Level("child", 160)], assigned="child", groups=GROUPS), 0.5, "normal_upper"),
    "other-044": (
        Trial(
            levels=[Level("child", 376)],
            assigned="child",
            allocation=230 / 376,
            outcome=Binary(control=0.596),
            groups=GROUPS,
        ),
        0.397 - 0.596,
        "normal_upper",
    ),
    "other-045": (Trial(levels=[Level("child", 128)], assigned="child"), 0.5, "exact"),
}
