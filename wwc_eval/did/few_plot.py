"""The effect among those of all reassignments of treatment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.did.few_permutation import p_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.did.few_table import FewTreated

__all__ = ["plot_reassigned"]


def plot_reassigned(result: FewTreated, ax: Axes | None = None) -> Axes:
    """Histogram of the statistic under all reassignments with the actual one; else intervals by method."""
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.8, 3.8), layout="constrained").subplots()
    values = result.values[np.isfinite(result.values)]
    if not values.size:
        return _by_method(result, ax)
    studentised = "permutation" not in result.methods
    test = result["studentised_permutation" if studentised else "permutation"]
    ax.hist(values, bins=min(80, max(10, values.size // 12)), color="#9db7d1")
    ax.axvline(test.statistic, color="#D55E00", linewidth=2.0)
    ax.axvline(-test.statistic, color="#D55E00", linewidth=1.2, linestyle=":")
    label = "effect over its error" if studentised else "effect"
    ax.set_xlabel(f"{label} on {result.panel.measure} had others been treated (line: actual)")
    ax.set_ylabel("reassignments")
    ax.set_title(p_words(test.p_value), loc="left", fontsize=10)
    return ax


def _by_method(result: FewTreated, ax: Axes) -> Axes:
    places = np.arange(len(result.methods))[::-1]
    for place, item in zip(places.tolist(), result.estimates, strict=True):
        if np.isfinite([item.ci_low, item.ci_high]).all():
            ax.hlines(place, item.ci_low, item.ci_high, color="#0072B2", linewidth=1.6)
        ax.plot([item.estimate], [place], "o", color="#0072B2")
    ax.axvline(0.0, color="0.6", linewidth=0.8)
    ax.set_yticks(places, list(result.methods))
    ax.set_xlabel(f"effect on {result.panel.measure} ({100 * result.overall.level:g}% interval)")
    return ax
