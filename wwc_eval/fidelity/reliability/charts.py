"""Axes of decision studies and of raters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wwc_eval.errors import DesignError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.fidelity.reliability.d_study import DStudy
    from wwc_eval.fidelity.reliability.rater_tables import RaterTable

__all__ = ["plot_d_study", "plot_raters"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, which readers with any colour vision tell apart."""
QUIET = "#4d5b68"


def _axes(ax: Axes | None, height: float = 4.0) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(6.4, height), layout="constrained").subplots()


def plot_d_study(result: DStudy, ax: Axes | None = None) -> Axes:
    """Dependability by the size of the first facet that varies."""
    varying = [name for name in result.asked if len({row[name] for row in result.rows}) > 1]
    if not varying:
        raise DesignError(
            "one design only, so there is nothing to plot", fix="give sizes: d_study(rater=[1, 2, 4])"
        )
    axes = _axes(ax)
    first, others = varying[0], varying[1:]
    lines: dict[tuple[int, ...], list[dict[str, float]]] = {}
    for row in result.rows:
        lines.setdefault(tuple(row[name] for name in others), []).append(row)
    for k, (sizes, rows) in enumerate(lines.items()):
        rows = sorted(rows, key=lambda row: row[first])  # noqa: PLW2901
        x, y = [row[first] for row in rows], [row["dependability"] for row in rows]
        label = ", ".join(
            f"{size} {name}{'s' if size > 1 else ''}" for size, name in zip(sizes, others, strict=True)
        )
        colour = COLOURS[k % len(COLOURS)]
        axes.plot(x, y, "o-", color=colour, markersize=4, label=label or None)
        if len(lines) == 1:
            low, high = ([row[f"dependability_{end}"] for row in rows] for end in ("low", "high"))
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.axhline(0.8, color=QUIET, linewidth=0.8, linestyle="--")
    axes.set_xlabel(f"number of {first}s")
    axes.set_ylabel(f"dependability of the score of a {result.measured}")
    axes.set_ylim(0, 1)
    if others:
        axes.legend(frameon=False)
    return axes


def plot_raters(result: RaterTable, ax: Axes | None = None) -> Axes:
    """Each rater's figure with its interval, in order."""
    rows = sorted(result.rows, key=lambda row: row[result.value])
    axes = _axes(ax, 0.8 + 0.28 * max(len(rows), 4))
    for k, row in enumerate(rows):
        axes.hlines(k, row["ci_low"], row["ci_high"], color=QUIET, linewidth=1.4)
        axes.plot([row[result.value]], [k], "o", color=COLOURS[0], markersize=5)
    axes.axvline(0.0, color=QUIET, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [str(row["rater"]) for row in rows])
    axes.set_xlabel(result.label)
    return axes
