"""Plans that ask for the effect among compliers."""

import pytest

import wwc_eval as we

ANALYSIS = """  - id: compliers
    outcome: in_care_12m
    model: complier_effect
    uptake: conference_held
    formula: in_care_12m ~ local_authority + age
    inference: {vcov: CR2, cluster: family_id}
"""


@pytest.fixture
def planned(project_with_data):
    """The sample trial with an effect among compliers beside its primary analysis."""

    def make(text=ANALYSIS):
        change = text.replace("  - id: compliers\n    outcome: in_care_12m\n", "")
        lines = [line.strip() for line in change.strip().splitlines()]
        entry = "  - {id: compliers, of: primary, change: {" + ", ".join(lines) + "}}\n"
        project_with_data.edit(("sensitivity:\n", f"sensitivity:\n{entry}"))
        project_with_data.write()
        return project_with_data.load()

    return make


def test_a_plan_finds_what_python_finds(planned):
    plan = planned()
    assert [problem for problem in plan.check() if problem.severity == "error"] == []
    results = plan.run(draft=True)
    found = results.analyses["compliers"]
    assert found.status == "ok", found.message
    data = we.read_table(
        plan.path.parent / plan.data["data"]["children"]["file"],
        columns={
            name: {key: value for key, value in column.items() if key not in {"label", "baseline"}}
            for name, column in plan.data["data"]["children"]["columns"].items()
        },
    )
    data = data.loc[(data["age"] < 18) & (data["consent_withdrawn"] != 1)]  # the plan's exclusions
    levels = {"arm": ["usual", "conference"]}
    direct = we.complier_effect(
        "in_care_12m ~ local_authority + age",
        data,
        uptake="conference_held",
        instrument="arm",
        cluster="family_id",
        vcov="CR2",
        levels=levels,
    )
    assert found.estimates[0].estimate == pytest.approx(direct.estimate, rel=1e-9)
    assert (found.estimates[0].ci_low, found.estimates[0].ci_high) == pytest.approx(
        (direct.ci_low, direct.ci_high)
    )
    assert found.estimates[0].scale == "risk_difference"
    assert "Cannot claim" in " ".join(found.notes)
    rows = found.supplements[0].table.to_dicts()
    assert rows[-1]["ci_low"] == pytest.approx(direct.anderson_rubin.pieces[-1][0])
    assert rows[1]["estimate"] == pytest.approx(direct.intention_to_treat.estimate)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("~ local_authority + age", "~ local_authority + conference_held", "is the uptake"),
        ("~ local_authority + age", "~ age + (1 | local_authority)", "no random effects"),
        ("{vcov: CR2, cluster: family_id}", "{vcov: CR2}", "needs a cluster"),
        ("in_care_12m ~ local", "days_in_care ~ local", "analysis is of in_care_12m"),
        ("uptake: conference_held", "uptake: conference", "not declared"),
    ],
)
def test_findings(planned, old, new, words):
    found = planned(ANALYSIS.replace(old, new)).check()
    assert any(words in problem.message for problem in found), found
