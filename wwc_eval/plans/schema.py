"""From plain data to a validated plan document, with every fault placed in the file."""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError, create_model

from wwc_eval.errors import PlanError, Problem, did_you_mean, shown
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
        raise PlanError(problems=_problems(error, parsed, (), PlanDocument)) from None


def validate_analysis(data: dict[str, Any], parsed: Parsed, path: Path) -> AnalysisFields:
    """Validate one analysis, such as one with a change applied; faults are placed below ``path``."""
    try:
        return analysis_adapter().validate_python(data)
    except ValidationError as error:
        raise PlanError(problems=_problems(error, parsed, path, None)) from None


_CODES = {"extra_forbidden": "S01", "missing": "S02"}


def _problems(error: ValidationError, parsed: Parsed, base: Path, root: type[BaseModel] | None) -> list[Problem]:
    found = [_problem(detail, parsed, base, root) for detail in error.errors(include_url=False)]
    # a union of types reports one line for each member: keep one a place
    unique = {(problem.place.field, problem.code): problem for problem in reversed(found)}
    return sorted(unique.values(), key=lambda p: (p.place.line or 0, p.place.character or 0))


def _problem(detail: Any, parsed: Parsed, base: Path, root: type[BaseModel] | None) -> Problem:
    kind = str(detail["type"])
    where = _data_path(parsed.data, base, detail["loc"])
    code = _CODES.get(kind, "S03")
    name = str(where[-1]) if where else ""
    message, fix, value = f"{_sentence(detail['msg'])}", None, None
    owner = _owner(root, where[:-1], parsed.data) if root is not None else None
    if kind == "extra_forbidden":
        message = f"unknown field '{name}'"
        fix = did_you_mean(name, _field_names(owner)) if owner else None
        if detail["input"] is None and " " in name:
            fix = "put the text before it in quotes: inside { } a comma ends a value"
    elif kind == "missing":
        message = f"field '{name}' is missing"
        fix = _description(owner, name)
    elif kind in {"union_tag_invalid", "union_tag_not_found"}:
        models = _models()
        given = detail["input"].get("model") if isinstance(detail["input"], dict) else None
        code = "S02" if given is None else code
        message = "field 'model' is missing" if given is None else f"model '{given}' is not known"
        fix = did_you_mean(str(given), models) if given else f"choose one of {', '.join(models)}"
        where = (*where, "model")
    else:
        message = f"{name}: {message}" if name else message
        value = shown(detail["input"])
        fix = _fix_of_value(kind, detail["input"])
    place = parsed.place(where, key=kind == "extra_forbidden")
    return Problem(code=code, message=message, place=place, value=value, fix=fix)


def _fix_of_value(kind: str, given: Any) -> str | None:
    if given is None:
        return "give it a value, or remove the field"
    return "put it in quotes" if kind == "string_type" and not isinstance(given, (dict, list)) else None


def _data_path(data: Any, base: Path, location: tuple[int | str, ...]) -> Path:
    """Path in the data: pydantic's location less the names of types and union members that it mixes in."""
    path: list[int | str] = list(base)
    at = data
    for part in base:
        at = _child(at, part)
    for index, part in enumerate(location):
        last = index == len(location) - 1
        child = _child(at, part)
        if child is not _NOTHING:
            at = child
        elif not (isinstance(at, dict) and last and isinstance(part, str) and part.isidentifier()):
            continue
        path.append(part)
    return tuple(path)


_NOTHING = object()


def _child(at: Any, part: int | str) -> Any:
    if isinstance(at, dict):
        return at.get(part, _NOTHING)
    return at[int(part)] if isinstance(at, list) and isinstance(part, int) and part < len(at) else _NOTHING


def _sentence(text: str) -> str:
    text = text.removeprefix("Value error, ").removeprefix("Input should be ")
    return (
        text
        if text.startswith(("the ", "a ")) and "valid" not in text
        else f"must be {text}"
        if text[:1].islower()
        else text
    )


def _models() -> list[str]:
    return [name for kind in analysis_classes() for name in _answers_to(kind)]


def _owner(root: type[BaseModel], path: Path, data: Any) -> type[BaseModel] | None:
    """Model class that stands at a path of the document; of several analyses the one that answers to ``model``."""
    current: Any = root
    for part in path:
        data = _child(data, part)
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = {(info.alias or name): info.annotation for name, info in current.model_fields.items()}
            extra = typing.get_type_hints(current).get("__pydantic_extra__") if part not in fields else None
            current = fields[part] if part in fields else (typing.get_args(extra) or (None, None))[-1]
        else:
            current = _element(current)
        current = _unwrapped(current, data.get("model") if isinstance(data, dict) else None)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _element(kind: Any) -> Any:
    parts = typing.get_args(kind)
    return parts[-1] if parts else None


def _unwrapped(kind: Any, model: Any = None) -> Any:
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        models = [part for part in typing.get_args(kind) if part is not type(None)]
        answering = [part for part in models if model is not None and model in _answers_to(part)]
        return _unwrapped((answering or models)[0]) if models else None
    return kind


def _answers_to(kind: Any) -> tuple[Any, ...]:
    """Names of models that a class of analyses answers to."""
    fields = getattr(kind, "model_fields", {})
    return typing.get_args(fields["model"].annotation) if "model" in fields else ()


def _field_names(owner: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in owner.model_fields.items()]


def _description(owner: type[BaseModel] | None, name: str) -> str | None:
    if owner is None or name not in owner.model_fields:
        return None
    words = owner.model_fields[name].description
    return f"add it ({words})" if words else "add it"
