"""From plain data to a validated plan document, with every fault placed in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError, create_model

from wwc_eval.data.yaml_problems import Placing, answers_to, field_problems
from wwc_eval.errors import PlanError
from wwc_eval.plans.document import PlanFields
from wwc_eval.plans.vocabulary import analysis_adapter, analysis_classes, analysis_type
from wwc_eval.plans.vocabulary.base import AnalysisFields
from wwc_eval.plans.yaml_text import Parsed, Path

__all__ = ["PlanDocument", "json_schema", "validate_analysis", "validate_document"]

if TYPE_CHECKING:

    class PlanDocument(PlanFields):
        """A whole plan, as validated."""

        analyses: list[AnalysisFields]

else:
    PlanDocument = create_model(
        "PlanDocument",
        __base__=PlanFields,
        __doc__="A whole plan, as validated.",
        analyses=(list[analysis_type()], Field(min_length=1, description="Planned analyses")),
    )


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a plan, for editors that complete and check YAML.

    Examples
    --------
    >>> json_schema()["title"]
    'wwc_eval analysis plan'
    """
    schema = PlanDocument.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "wwc_eval analysis plan",
    }


def validate_document(parsed: Parsed) -> PlanDocument:
    """Validate plain data as a plan.

    Raises
    ------
    PlanError
        With every field that is unknown, missing or of the wrong kind, each placed by line and character.
    """
    try:
        return PlanDocument.model_validate(parsed.data)
    except ValidationError as error:
        placing = Placing(parsed=parsed, root=PlanDocument, choices=_models())
        raise PlanError(problems=field_problems(error, placing)) from None


def validate_analysis(data: dict[str, Any], parsed: Parsed, path: Path) -> AnalysisFields:
    """Validate one analysis, such as one with a change applied; faults are placed below ``path``."""
    try:
        return analysis_adapter().validate_python(data)
    except ValidationError as error:
        placing = Placing(parsed=parsed, base=path, choices=_models())
        raise PlanError(problems=field_problems(error, placing)) from None


def _models() -> tuple[str, ...]:
    return tuple(name for kind in analysis_classes() for name in answers_to(kind))
