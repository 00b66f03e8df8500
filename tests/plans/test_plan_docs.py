"""The page on plans names every field and every check, and its YAML is a plan's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import wwc_eval as we
from wwc_eval.plans.allocating import scheme_of
from wwc_eval.plans.checks import CHECKS, WAIVABLE
from wwc_eval.plans.document import Design, PlanFields, Randomisation, Wedge, Window
from wwc_eval.plans.power_fields import PlannedBaseline, PlannedLevel, PlannedOutcome, PlannedPower
from wwc_eval.plans.schema import PlanDocument
from wwc_eval.plans.vocabulary import analysis_classes
from wwc_eval.plans.yaml_text import parse_yaml

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "methods" / "plans.md").read_text(encoding="utf-8")
HERE = {"RegressionAnalysis", "MultilevelAnalysis", "RandomisationTestAnalysis"}
"""Analyses whose fields stand on this page; other rooms have pages of their own."""


def names(kind):
    return {info.alias or name for name, info in kind.model_fields.items()}


@pytest.mark.parametrize(
    "kind",
    [
        PlanFields,
        Design,
        Randomisation,
        Wedge,
        Window,
        PlannedPower,
        PlannedLevel,
        PlannedOutcome,
        PlannedBaseline,
    ],
)
def test_every_field_of_a_plan_is_named(kind):
    told = set(re.findall(r"`([a-z_0-9]+)`", PAGE)) | set(re.findall(r"^\s*([a-z_0-9]+):", PAGE, re.MULTILINE))
    assert names(kind) - told == set()


def test_every_field_of_an_analysis_is_named():
    told = set(re.findall(r"`([a-z_]+)`", PAGE))
    for kind in analysis_classes():
        if kind.__name__ in HERE:
            assert names(kind) - told == set(), kind


def test_checks_are_listed_as_they_are():
    listed = dict(re.findall(r"^\| (P\d\d) \|(.*)\|$", PAGE, re.MULTILINE))
    assert list(listed) == sorted(listed)
    assert set(listed) <= set(CHECKS)
    assert {code for code, text in listed.items() if "waivable" in text} == WAIVABLE & set(listed)


def test_the_yaml_of_the_page_is_read():
    wedge, trial, undrawn, randomisation, sensitivity = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    design = Design.model_validate(parse_yaml(wedge.encode(), "wedge.yaml").data["design"])
    assert design.wedge is not None
    assert [period.name for period in design.wedge.periods] == ["1", "2"]
    changes = PlanDocument.model_fields["sensitivity"].annotation
    entries = parse_yaml(sensitivity.encode(), "sensitivity.yaml").data["sensitivity"]
    assert [changes.__args__[0].model_validate(entry).id for entry in entries] == ["cr3", "mixed_model"]
    block = Randomisation.model_validate(
        parse_yaml(randomisation.encode(), "randomisation.yaml").data["randomisation"]
    )
    assert scheme_of(block) == we.Stratified(by=["local_authority"])
    for text in (trial, undrawn):
        assert Design.model_validate(parse_yaml(text.encode(), "power.yaml").data["design"]).power is not None
