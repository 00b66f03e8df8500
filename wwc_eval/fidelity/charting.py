"""The look of the room's charts: axes without pyplot, colours that readers with any colour vision tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BLUE", "GREY", "ORANGE", "RED", "new_axes"]

BLUE = "#0072B2"
ORANGE = "#E69F00"
RED = "#D55E00"
GREY = "#4d5b68"


def new_axes(ax: Axes | None, width: float, height: float, **options: Any) -> Axes:
    """The axes given, or new ones of so many inches."""
    if ax is not None:
        return ax
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    made: Axes = figure.add_subplot(**options)
    return made
