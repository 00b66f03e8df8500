"""Waves of scores that are put side by side: whether a measure means the same in all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DesignError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wwc_eval.fidelity.scoring.scores import FidelityScores
    from wwc_eval.fidelity.specification.specification import FidelitySpecification

__all__ = ["check_alike", "definition"]

COSMETIC = {"label", "source"}
"""Fields that say nothing of how a thing is judged or counted."""
BESIDE = {"weight", "role", "gate"}
"""Fields of a component that matter to the composite alone."""


def check_alike(scores: FidelityScores, earlier: Sequence[FidelityScores], of: str) -> None:
    """Refuse waves in which a measure is not defined alike.

    Waves scored under one specification (one hash) are. Under two, such as two versions, a measure is alike where everything that
    it rests on is the same in both: the texts, scales and weights of its items and how they are put together.

    Raises
    ------
    DesignError
        If specifications are of different practices, or what the measure rests on differs: both versions are named, and the
        measures that may be compared.
    """
    spec = scores.spec
    for each in earlier:
        other = each.spec
        if other.hash == spec.hash:
            continue
        if other.id != spec.id:
            raise DesignError(
                f"waves are scored under '{other.id}' and '{spec.id}', which are two practices",
                fix="compare waves of one practice",
            )
        if of in each.measures and definition(other, of) == definition(spec, of):
            continue
        bridges = [
            name
            for name in scores.measures
            if name in each.measures and definition(other, name) == definition(spec, name)
        ]
        alike = f", or watch what is alike in both: {', '.join(bridges)}" if bridges else ""
        raise DesignError(
            f"waves are scored under versions {other.version} and {spec.version} of '{spec.id}', in which '{of}' is not "
            f"the same: {_difference(other, spec, of)}",
            rule="change over time is of one measure",
            fix=f"score all waves under one version{alike}",
        )


def definition(spec: FidelitySpecification, of: str) -> dict[str, Any]:
    """All that a measure rests on: its components and items by name, and how values, codes and respondents count."""
    document = spec.document
    whole = of in {"composite", "essentials"}
    components = [each for each in document.components if whole or each.id == of]
    named = {each.id for each in components}
    items = [each for each in document.items if each.component in named and (of != "essentials" or each.essential)]
    left = COSMETIC if whole else COSMETIC | BESIDE
    found: dict[str, Any] = {f"item '{each.id}'": each.model_dump(mode="json", exclude=COSMETIC) for each in items}
    if of != "essentials":
        found |= {f"component '{each.id}'": each.model_dump(mode="json", exclude=left) for each in components}
    found["missing codes"] = document.spec.missing.model_dump(mode="json")
    found["respondents"] = dict(document.spec.respondents)
    if of == "composite":
        found["the rule of the composite"] = document.scoring.composite.model_dump(
            mode="json", exclude={"sensitivity"}
        )
    return found


def _difference(other: FidelitySpecification, spec: FidelitySpecification, of: str) -> str:
    """What differs between two definitions, in words."""
    before, after = definition(other, of), definition(spec, of)
    added, gone = [name for name in after if name not in before], [name for name in before if name not in after]
    changed = [name for name in after if name in before and after[name] != before[name]]
    told = [
        f"{', '.join(names)} {word}"
        for names, word in ((changed, "changed"), (added, "added"), (gone, "left out"))
        if names
    ]
    return "; ".join(told)
