"""Practice scored against a specification of high-quality practice: how reliably, and how it bears on outcomes.

Names load on first use: a method is one file, and one line here.
"""

from __future__ import annotations

import importlib
from typing import Any

# public name -> module that holds it
_HOMES = {
    "agreement": "wwc_eval.fidelity.reliability",
    "intraclass_correlation": "wwc_eval.fidelity.reliability",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'wwc_eval.fidelity' has no attribute '{name}'")
