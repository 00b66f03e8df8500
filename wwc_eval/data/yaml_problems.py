"""What pydantic finds wrong in a YAML document, as problems placed by line and character, with a fix."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from wwc_eval.data.yaml_text import Parsed, Path
from wwc_eval.errors import Problem, did_you_mean, shown

__all__ = ["Placing", "answers_to", "field_problems"]

_CODES = {"extra_forbidden": "S01", "missing": "S02"}


@dataclass(frozen=True, kw_only=True)
class Placing:
    """Where faults are placed, and how a union of blocks is told apart.

    Parameters
    ----------
    parsed : Parsed
        The document with its positions.
    base : tuple
        Path of the block that was validated.
    root : type of BaseModel, optional
        Class of that block, for did-you-mean.
    tag : str
        Field by which the blocks of a union are told apart.
    choices : tuple of str
        What it may be.
    """

    parsed: Parsed
    base: Path = ()
    root: type[BaseModel] | None = None
    tag: str = "model"
    choices: tuple[str, ...] = ()


def field_problems(error: ValidationError, placing: Placing) -> list[Problem]:
    """Every field that is unknown, missing or of the wrong kind, in the order of the file."""
    found = [_problem(detail, placing) for detail in error.errors(include_url=False)]
    # a union of types reports one line for each member: keep one a place
    unique = {(problem.place.field, problem.code): problem for problem in reversed(found)}
    return sorted(unique.values(), key=lambda p: (p.place.line or 0, p.place.character or 0))


def _problem(detail: Any, placing: Placing) -> Problem:
    kind, tag = str(detail["type"]), placing.tag
    parsed, root = placing.parsed, placing.root
    where = _data_path(parsed.data, placing.base, detail["loc"])
    code = _CODES.get(kind, "S03")
    name = str(where[-1]) if where else ""
    message, fix, value = f"{_sentence(detail['msg'])}", None, None
    owner = _owner(root, where[:-1], parsed.data, tag) if root is not None else None
    if kind == "extra_forbidden":
        message = f"unknown field '{name}'"
        fix = did_you_mean(name, _field_names(owner)) if owner else None
        if detail["input"] is None and " " in name:
            fix = "put the text before it in quotes: inside { } a comma ends a value"
    elif kind == "missing":
        message = f"field '{name}' is missing"
        fix = _description(owner, name)
    elif kind in {"union_tag_invalid", "union_tag_not_found"}:
        given = detail["input"].get(tag) if isinstance(detail["input"], dict) else None
        code = "S02" if given is None else code
        message = f"field '{tag}' is missing" if given is None else f"{tag} '{given}' is not known"
        fix = did_you_mean(str(given), placing.choices) if given else f"choose one of {', '.join(placing.choices)}"
        where = (*where, tag)
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


def _owner(root: type[BaseModel], path: Path, data: Any, tag: str) -> type[BaseModel] | None:
    """Model class that stands at a path of the document; of several in a union the one that answers to the tag."""
    current: Any = root
    for part in path:
        data = _child(data, part)
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = {(info.alias or name): info.annotation for name, info in current.model_fields.items()}
            extra = typing.get_type_hints(current).get("__pydantic_extra__") if part not in fields else None
            current = fields[part] if part in fields else (typing.get_args(extra) or (None, None))[-1]
        else:
            current = _element(current)
        current = _unwrapped(current, tag, data.get(tag) if isinstance(data, dict) else None)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _element(kind: Any) -> Any:
    parts = typing.get_args(kind)
    return parts[-1] if parts else None


def _unwrapped(kind: Any, tag: str, given: Any = None) -> Any:
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        models = [part for part in typing.get_args(kind) if part is not type(None)]
        answering = [part for part in models if given is not None and given in answers_to(part, tag)]
        return _unwrapped((answering or models)[0], tag) if models else None
    return kind


def answers_to(kind: Any, tag: str = "model") -> tuple[Any, ...]:
    """Values of the tag that a class of blocks answers to."""
    fields = getattr(kind, "model_fields", {})
    return typing.get_args(fields[tag].annotation) if tag in fields else ()


def _field_names(owner: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in owner.model_fields.items()]


def _description(owner: type[BaseModel] | None, name: str) -> str | None:
    if owner is None or name not in owner.model_fields:
        return None
    words = owner.model_fields[name].description
    return f"add it ({words})" if words else "add it"
