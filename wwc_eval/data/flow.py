"""Participant flow: who was randomised, excluded with which reason, lost and analysed, by arm (CONSORT)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Flow", "FlowBox"]


@dataclass(frozen=True, kw_only=True)
class FlowBox:
    """One box of the diagram.

    Parameters
    ----------
    kind : {"received", "excluded", "allocated", "lost", "analysed"}
        Stage. ``received`` and ``excluded`` span the arms unless ``arm`` is given.
    label : str
        Words at the head of the box.
    counts : mapping
        Words of a unit (``families``, ``children``) to a count, or to a string where it is suppressed.
    arm : str, optional
        Arm that the box belongs to; None when it spans all.
    reasons : tuple of (str, mapping)
        Lines under the head: a reason and its counts.
    """

    kind: str
    label: str
    counts: Mapping[str, int | str]
    arm: str | None = None
    reasons: tuple[tuple[str, Mapping[str, int | str]], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Boxes of a participant flow from top to bottom, and the arms in declared order."""

    arms: tuple[str, ...]
    boxes: tuple[FlowBox, ...]
    notes: tuple[str, ...] = field(default=())

    def of(self, kind: str, arm: str | None = None) -> FlowBox | None:
        """The box of a stage and arm, or None."""
        return next((box for box in self.boxes if box.kind == kind and box.arm == arm), None)
