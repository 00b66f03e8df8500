"""What fidelity has to do with outcomes, and what each analysis can and cannot claim.

- ``strength``: differentiation of the arms and achieved relative strength (both arms measured).
- ``dose``: outcomes against fidelity as it was observed, with its warning.
- ``principal``: effects on those who would have had high, or low, fidelity.
- ``moderation``: whether the effect of the arm varies with fidelity.
- ``link``: the result that all of them return. Complier effects live in ``wwc_eval.inference.compliance``.
"""

from __future__ import annotations

import importlib
from typing import Any

# public name -> module that holds it
_HOMES = {
    "OutcomeLink": "wwc_eval.fidelity.outcomes.link",
    "dose_response": "wwc_eval.fidelity.outcomes.dose",
    "fidelity_moderation": "wwc_eval.fidelity.outcomes.moderation",
    "principal_score_effects": "wwc_eval.fidelity.outcomes.principal",
    "relative_strength": "wwc_eval.fidelity.outcomes.strength",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'wwc_eval.fidelity.outcomes' has no attribute '{name}'")
