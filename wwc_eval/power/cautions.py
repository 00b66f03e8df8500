"""What a reader must know before trusting a figure: where formulas are known to err."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wwc_eval.power.checks import Number
    from wwc_eval.power.trial import Trial

__all__ = ["cautions"]


def cautions(trial: Trial, effect: Number) -> tuple[str, ...]:
    """Sentences about approximations of a trial's formulas that may err by more than two percentage points."""
    del trial, effect
    return ()
