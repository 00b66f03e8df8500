"""Records of runs for the tests of the report: a family trial, and what may go wrong with one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wwc_eval.data.flow import Flow, FlowBox
from wwc_eval.estimate import Estimate
from wwc_eval.report.record import AnalysisResult, DataFile, RunRecord
from wwc_eval.table import Column, Table

ARMS = ("usual", "conference")
HASH = "9f2c4b7a1d0e8c35f6a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f70819203"
CR1 = "Logistic regression, effects averaged over the sample; errors clustered by family (CR1S), t with 1,428 degrees of freedom."
DELTA = "Liang, K.-Y. and Zeger, S. L. (1986). Longitudinal data analysis using generalized linear models. Biometrika 73, 13-22. https://doi.org/10.1093/biomet/73.1.13"
REFERENCES = {"arm": "usual", "sex": "female", "local_authority": "Barnsley"}
N = {
    "n": 2381,
    "n_clusters": 1429,
    "cluster": "family_id",
    "population": "intention_to_treat",
    "reference_levels": REFERENCES,
}


def effect(estimate: float, se: float, scale: str = "risk_difference", **rest: Any) -> Estimate:
    """An effect of the conference arm."""
    settings = {
        "term": "arm[conference]",
        "df": 1428.0,
        "n": 2381,
        "n_clusters": 1429,
        "method": CR1,
        "citation": DELTA,
    }
    return Estimate.from_normal(estimate=estimate, se=se, scale=scale, **{**settings, **rest})


NAN = {"estimate": math.nan, "se": math.nan}


def failed_effect(scale: str = "risk_difference") -> Estimate:
    """An effect that could not be estimated."""
    nan = math.nan
    return Estimate(
        term="arm[conference]",
        estimate=nan,
        se=nan,
        df=nan,
        statistic=nan,
        p_value=nan,
        ci_low=nan,
        ci_high=nan,
        scale=scale,
    )


BY_ARM = {
    "usual": {"n": 1188, "n_clusters": 712, "events": 533, "mean": 533 / 1188},
    "conference": {"n": 1193, "n_clusters": 717, "events": 431, "mean": 431 / 1193},
}
DAYS = {
    "usual": {"n": 1188, "n_clusters": 712, "mean": 96.42, "sd": 128.3},
    "conference": {"n": 1193, "n_clusters": 717, "mean": 78.15, "sd": 117.9},
}
PROCEEDINGS = {
    "usual": {"n": 1188, "n_clusters": 712, "events": 402},
    "conference": {"n": 1193, "n_clusters": 717, "events": 371},
}


def analysis(**fields: Any) -> AnalysisResult:
    """An analysis of the main outcome, with the fields given."""
    settings: dict[str, Any] = {
        "id": "primary",
        "title": "In care at 12 months, as randomised",
        "role": "primary",
        "outcome": "in_care_12m",
        "outcome_label": "in care at 12 months",
        "better": "lower",
        "model": "regression",
        "method": CR1,
        "formula": "in_care_12m ~ arm + local_authority + age + sex",
        "estimates": (effect(-0.0812, 0.0246), effect(0.7134, 0.1040, "odds_ratio")),
        "sample": {**N, "by_arm": BY_ARM, "dropped": {"in_care_12m": 96}},
    }
    return AnalysisResult(**{**settings, **fields})


def coefficients() -> tuple[Estimate, ...]:
    """The whole primary model."""
    areas = [f"local_authority[{name}]" for name in ("Bradford", "Camden", "Derbyshire", "Essex", "Gateshead")]
    terms = ["(Intercept)", "arm[conference]", *areas, "age", "sex[male]", "sex[not recorded]"]
    values = [-0.214, -0.338, 0.112, -0.251, 0.043, 0.187, -0.094, -0.0371, 0.0621, 0.148]
    return tuple(
        effect(value, 0.05 + abs(value) / 6, "log_odds", term=term, units="log odds")
        for term, value in zip(terms, values, strict=True)
    )


def variations() -> tuple[AnalysisResult, ...]:
    """What varies the primary analysis."""
    return (
        analysis(
            id="unadjusted", title="Unadjusted comparison", role="unadjusted", of="primary", formula="in_care_12m ~ arm",
            estimates=(effect(-0.0873, 0.0251), effect(0.6950, 0.1051, "odds_ratio")),
            changed={"formula": "in_care_12m ~ arm"}, notes=("Why: the plain difference between the arms",),
        ),
        analysis(
            id="complete_case", title="Complete cases", role="sensitivity", of="primary",
            estimates=(effect(-0.0791, 0.0259),), changed={"missing": {"method": "complete_case"}},
            sample={**N, "n": 2104, "by_arm": {}, "dropped": {"sex": 277}},
        ),
        analysis(
            id="per_family", title="One child a family", role="sensitivity", of="primary",
            estimates=(effect(-0.0694, 0.0309, warnings=("One child stands for each family.",)),), changed={"population": "first child referred of each family"},
            sample={**N, "n": 1429, "by_arm": {}},
        ),
        analysis(
            id="linear", title="Linear probability model", role="sensitivity", of="primary",
            estimates=(effect(-0.0820, 0.0249),), changed={"family": "gaussian"}, method="Linear regression with CR1S errors.",
        ),
    )  # fmt: skip


def secondaries() -> tuple[AnalysisResult, ...]:
    """Days in care and proceedings."""
    return (
        analysis(
            id="days", title="Days in care", role="secondary", outcome="days_in_care", outcome_label="days in care in the first year",
            formula="days_in_care ~ arm + local_authority + age",
            estimates=(effect(-17.62, 6.31, "mean_difference", units="days"), effect(0.8163, 0.0742, "rate_ratio")),
            sample={**N, "by_arm": DAYS }, method="Quasi-Poisson regression; errors clustered by family.",
            adjusted={"family": "secondary", "method": "holm", "p_value": 0.0106},
        ),
        analysis(
            id="proceedings", title="Care proceedings issued", role="secondary", outcome="proceedings",
            outcome_label="care proceedings issued within 12 months", formula="proceedings ~ arm + local_authority + age",
            estimates=(effect(-0.0274, 0.0232), effect(0.8820, 0.1052, "odds_ratio")),
            sample={**N, "by_arm": PROCEEDINGS, "dropped": {}},
            adjusted={"family": "secondary", "method": "holm", "p_value": 0.2378},
        ),
    )  # fmt: skip


def subgroups() -> tuple[AnalysisResult, ...]:
    """Infants by a condition, earlier plans by a 0/1 column: the interaction first, then the effect in each group."""
    return (
        analysis(
            id="infants", title="Infants", role="subgroup", of="primary", formula="in_care_12m ~ arm + local_authority + arm:`age < 1`",
            estimates=(
                effect(-0.0310, 0.0581, term="arm[conference]: yes - no"),
                effect(-0.0731, 0.0272, term="arm[conference] | age < 1: no"),
                effect(-0.1041, 0.0524, term="arm[conference] | age < 1: yes"),
            ),
            sample={**N, "reference_levels": {**REFERENCES, "age < 1": "no"}},
            notes=("Subgroups by: age < 1.", "Why: proceedings at birth follow another path"), changed={"by": "age < 1"},
        ),
        analysis(
            id="earlier_plan", title="Earlier child protection plan", role="subgroup", of="primary",
            formula="in_care_12m ~ arm + local_authority + arm:previous_plan",
            estimates=(
                effect(0.0452, 0.0489, term="arm[conference]: yes - no"),
                effect(-0.1084, 0.0361, term="arm[conference] | previous_plan: no"),
                effect(-0.0632, 0.0330, term="arm[conference] | previous_plan: yes"),
            ),
            sample={**N, "reference_levels": {**REFERENCES, "previous_plan": "no"}},
        ),
    )  # fmt: skip


def flow(arms: tuple[str, ...] = ARMS) -> Flow:
    """Participant flow with a suppressed reason."""
    boxes = [
        FlowBox(
            kind="received",
            label="Referred at the pre-proceedings stage",
            counts={"families": 1612, "children": 2688},
        ),
        FlowBox(
            kind="excluded",
            label="Not randomised",
            counts={"families": 112, "children": 184},
            reasons=(
                ("Not a child at referral", {"families": 31, "children": 31}),
                ("Proceedings already issued", {"families": 64, "children": 121}),
                ("Consent withdrawn before randomisation", {"families": 17, "children": 32}),
            ),
        ),
        FlowBox(kind="allocated", label="Randomised", counts={"families": 1500, "children": 2504}),
    ]
    for number, arm in enumerate(arms):
        boxes.append(
            FlowBox(
                kind="allocated",
                label="Allocated",
                arm=arm,
                counts={"families": 748 + 4 * number, "children": 1249 + 6 * number},
                reasons=(("Received the offer", {"families": 741}), ("Did not receive it", {"families": "<10"}))
                if number
                else (),
            )
        )
    for number, arm in enumerate(arms):
        boxes.append(
            FlowBox(
                kind="lost",
                label="Lost to follow-up",
                arm=arm,
                counts={"families": 36 - number, "children": 61 - number},
                reasons=(
                    ("Moved out of the local authority", {"families": 24, "children": 41}),
                    ("Record not found", {"families": 12 - number, "children": 20 - number}),
                ),
            )
        )
    for number, arm in enumerate(arms):
        boxes.append(
            FlowBox(
                kind="analysed",
                label="Analysed",
                arm=arm,
                counts={"families": 712 + 5 * number, "children": 1188 + 5 * number},
            )
        )
    return Flow(arms=arms, boxes=tuple(boxes), notes=("Counts below 10 are not shown.",))


def baseline(arms: tuple[str, ...] = ARMS) -> Table:
    """Baseline characteristics with one or more columns of standardised differences."""
    columns = [
        Column(name="variable", label="characteristic"),
        Column(name="level", label="level"),
        *(Column(name=arm, label=arm) for arm in arms),
        *(
            Column(name=f"std_difference_{arm}", label=f"standardised difference, {arm}", kind="number", digits=2)
            for arm in arms[1:]
        ),
    ]
    lines = [
        ("Age (years)", "mean (SD)", "7.4 (4.9)", "7.6 (5.0)", 0.038),
        ("Sex", "female", "566 (48.9%)", "581 (50.1%)", 0.024),
        ("Sex", "male", "592 (51.1%)", "579 (49.9%)", -0.024),
        ("Ethnicity", "white", "842 (74.3%)", "811 (71.6%)", -0.061),
        ("Ethnicity", "mixed", "118 (10.4%)", "131 (11.6%)", 0.037),
        ("Ethnicity", "asian", "71 (6.3%)", "84 (7.4%)", 0.045),
        ("Ethnicity", "black", "82 (7.2%)", "88 (7.8%)", 0.020),
        ("Ethnicity", "other", "20 (1.8%)", "<10", "not shown"),
        ("Known to services before", "yes", "701 (56.1%)", "755 (60.2%)", 0.118),
        ("Children in the family", "mean (SD)", "1.67 (0.91)", "1.66 (0.93)", -0.011),
    ]
    rows = []
    for variable, level, usual, offered, difference in lines:
        row: dict[str, Any] = {"variable": variable, "level": level, arms[0]: usual}
        for arm in arms[1:]:
            row |= {arm: offered, f"std_difference_{arm}": difference}
        rows.append(row)
    return Table(rows, columns, title="Baseline characteristics by arm", notes=["Children as randomised."])


def missingness() -> tuple[Table, ...]:
    """Missing values by variable and arm, and by local authority."""
    shares = [
        ("Sex", 0.061, 0.066),
        ("Ethnicity", 0.094, 0.099),
        ("In care at 12 months", 0.038, 0.039),
        ("Days in care", 0.038, 0.041),
        ("Age", 0.0, 0.0),
    ]
    by_arm = Table(
        [{"variable": name, "usual": usual, "conference": other} for name, usual, other in shares],
        [
            Column(name="variable"),
            *(Column(name=arm, label=f"{arm}, missing", kind="percent", digits=1) for arm in ARMS),
        ],
        title="Missing values by arm",
    )
    areas = [
        "Barnsley",
        "Bradford",
        "Camden",
        "Derbyshire",
        "Essex",
        "Gateshead",
        "Kingston upon Hull, City of",
        "Stoke-on-Trent",
    ]
    names = ("sex", "ethnicity", "in_care_12m", "days_in_care")
    rows = []
    for position, area in enumerate(areas):
        base = 0.013 * (position % 4)
        values: list[Any] = [base, 0.87 if area == "Essex" else 1.7 * base, "<10" if position == 2 else 0.04, 0.12]
        rows.append({"la": area, **dict(zip(names, values, strict=True))})
    by_area = Table(
        rows,
        [
            Column(name="la", label="local authority"),
            *(Column(name=name, kind="percent", digits=1) for name in names),
        ],
        title="Missing values by local authority",
        notes=["<10: fewer than 10 children."],
    )
    return by_arm, by_area


def plan() -> dict[str, Any]:
    """The plan of the family trial, as parsed."""
    return {
        "schema_version": 1,
        "id": "family-conferencing-2026",
        "title": "Family conferencing before care proceedings",
        "registry": {"name": "OSF", "url": "https://osf.io/abcde", "date": "2026-01-15"},
        "question": "Does offering a family conference before proceedings reduce the share of children in care a year later?",
        "estimand": {
            "population": "families at the pre-proceedings stage in 21 local authorities",
            "treatment": "offer of a family conference within 4 weeks",
            "comparator": "services as usual",
            "outcome": "in_care_12m",
            "summary": "risk_difference",
            "intercurrent": {"offer declined": "treatment policy", "family moves away": "treatment policy"},
        },
        "design": {
            "kind": "individual",
            "unit": "family",
            "within": "local_authority",
            "arms": {"usual": 1, "conference": 1},
            "assumptions": {
                "control_risk": 0.45,
                "families": 1500,
                "children_per_family": 1.65,
                "attrition": 0.05,
            },
            "target": {"alpha": 0.05, "sides": 2, "power": 0.8, "mdes": -0.072},
        },
        "randomisation": {
            "method": "permuted_blocks",
            "by": ["local_authority"],
            "sizes": [2, 4],
            "by_whom": "independent of the analyst",
        },
        "data": {
            "children": {"file": "../sample_data/family_conferencing_trial.csv", "key": ["child_id"]},
            "exclusions": [
                {"rule": "age >= 18", "reason": "not a child"},
                {"rule": "family_id in withdrawn", "reason": "consent withdrawn"},
            ],
        },
        "outcomes": [
            {
                "name": "in_care_12m",
                "role": "primary",
                "type": "binary",
                "better": "lower",
                "smallest_worthwhile": -0.05,
                "window": {"from": "randomisation", "months": 12},
            },
            {"name": "days_in_care", "role": "secondary", "type": "count", "better": "lower"},
            {"name": "proceedings", "role": "secondary", "type": "binary", "better": "lower"},
        ],
        "multiplicity": {"method": "holm", "families": {"secondary": ["days", "proceedings"]}},
    }


DEVIATION = {
    "id": "ethnicity_indicator",
    "of": None,
    "change": {},
    "field": "analyses.primary.missing.columns",
    "old": ["sex"],
    "new": ["sex", "ethnicity"],
    "who": "Trial statistician",
    "when": "2026-11-02",
    "knowledge": "masked data",
    "reason": "Ethnicity was missing for most children of one local authority.",
    "impact": "96 children are kept in the model who would have been dropped.",
}


def locked(**fields: Any) -> RunRecord:
    """A confirmatory run of the family trial."""
    settings: Mapping[str, Any] = {
        "plan": plan(),
        "plan_hash": HASH,
        "lock": {
            "locked_at": "2026-01-20T09:30:00Z",
            "level": "L0",
            "code_version": "0.1.0",
            "environment": {"wwc_eval": "0.1.0", "numpy": "2.4.6", "python": "3.11.7"},
        },
        "draft": False,
        "run_number": 1,
        "run_count": 1,
        "started_at": "2026-11-23T13:45:10Z",
        "arms": ARMS,
        "units": {"unit": "family", "units": "families", "row": "child", "rows": "children"},
        "flow": flow(),
        "baseline": baseline(),
        "missingness": missingness(),
        "analyses": (analysis(coefficients=coefficients()), *secondaries(), *variations(), *subgroups()),
        "deviations": (DEVIATION,),
        "files": (
            DataFile(
                name="children", file="family_conferencing_trial.csv", sha256=HASH[::-1], rows=2688, columns=14
            ),
        ),
        "environment": {"wwc_eval": "0.1.0", "numpy": "2.4.7", "pandas": "3.1.1", "python": "3.11.7"},
        "warnings": ("numpy is 2.4.7; the plan was locked under 2.4.6.",),
        "disclosure": {
            "threshold": 10,
            "profile": "dfe",
            "suppressed": 4,
            "rule": "Counts below 10, and those they could be worked out from, are not shown.",
        },
    }
    return RunRecord(**{**settings, **fields})


def draft() -> RunRecord:
    """The same without a lock."""
    return replace(locked(), draft=True, lock={}, run_number=0, run_count=0)
