"""How few treated are few, and how they are counted in words: the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from wwc_eval.did.panel import Panel

__all__ = ["FEW", "FEWER", "joiners", "treated_clusters"]

FEW = 5
"""Fewer treated clusters than these, and conventional errors are too small to be shown alone."""
FEWER = f"fewer than {FEW} treated"


def treated_clusters(count: int) -> str:
    """A number of treated clusters in words.

    Examples
    --------
    >>> treated_clusters(1), treated_clusters(4), treated_clusters(1_200)
    ('1 treated cluster', '4 treated clusters', '1,200 treated clusters')
    """
    return "1 treated cluster" if count == 1 else f"{count:,} treated clusters"


def joiners(panel: Panel) -> NDArray[np.bool_]:
    """Units that become treated and are seen before and after it, shape (n,): an effect is seen on no others.

    Parameters
    ----------
    panel : Panel
        The panel.
    """
    seen, treated = panel.observed, panel.treated
    return np.asarray((seen & treated).any(axis=1) & (seen & ~treated).any(axis=1))
