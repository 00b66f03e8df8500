"""What a plan may ask of each room, found by name: one module a room, each with ``ANALYSES``.

A module ``vocabulary/<room>.py`` defines ``ANALYSES``, a tuple of :class:`AnalysisFields` subclasses whose field
``model`` is a ``Literal`` with the names they answer to. Nothing else needs to be told of a new room.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Annotated, Any, Union, get_args

from pydantic import Field, TypeAdapter

from wwc_eval.plans.vocabulary.base import AnalysisFields

__all__ = ["analysis_adapter", "analysis_classes", "analysis_type", "fields_of"]


@functools.cache
def analysis_classes() -> tuple[type[AnalysisFields], ...]:
    """Analysis classes of every room, in the order of the rooms' names."""
    found: list[type[AnalysisFields]] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda item: item.name):
        if module.name != "base":
            room = importlib.import_module(f"{__name__}.{module.name}")
            found.extend(room.ANALYSES)
    return tuple(found)


def fields_of(model: str) -> frozenset[str]:
    """Names of the fields of the analyses that answer to a model; none where no room does."""
    return frozenset(
        name
        for kind in analysis_classes()
        if model in get_args(kind.model_fields["model"].annotation)
        for name in kind.model_fields
    )


def analysis_type() -> Any:
    """Type of one entry of ``analyses:``, told apart by its field ``model``."""
    classes = analysis_classes()
    if len(classes) == 1:
        return classes[0]
    return Annotated[Union[classes], Field(discriminator="model")]  # noqa: UP007


@functools.cache
def analysis_adapter() -> TypeAdapter[AnalysisFields]:
    """Validator of one entry of ``analyses:``."""
    return TypeAdapter(analysis_type())
