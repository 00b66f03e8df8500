"""One look for every Matplotlib figure, and files that come out the same each time.

Figures are made without pyplot, with Matplotlib's own defaults whatever the user's settings are.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

__all__ = ["FONTS", "INK", "NAVY", "OKABE_ITO", "QUIET", "as_bytes", "as_svg", "new_figure", "styled"]

INK = "#1b2733"
QUIET = "#4d5b68"
NAVY = "#0b3d62"
OKABE_ITO = {
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "black": "#000000",
}
"""Colours that readers with any colour vision tell apart (Okabe and Ito 2008)."""

FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"

DPI = 200
_LOOK: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "xtick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.usetex": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "wwc_eval",
    "path.simplify": False,
}


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's defaults with the report's look, for as long as the block lasts."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_LOOK)
        yield


def new_figure(width: float, height: float) -> MplFigure:
    """An empty figure of so many inches, drawn by Agg."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def as_bytes(figure: MplFigure, kind: Literal["png", "svg"]) -> bytes:
    """The figure as a file without dates or versions in it."""
    target = io.BytesIO()
    empty = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None, "Format": None, "Type": None}}
    figure.savefig(target, format=kind, dpi=DPI, metadata=empty[kind])
    return target.getvalue()


def as_svg(figure: MplFigure) -> str:
    """The figure as an SVG document, its text as text in the fonts of the page.

    DejaVu, by which it was laid out, is wider than these, so nothing collides.
    """
    drawn = as_bytes(figure, "svg").decode()
    # without the document type, which names an address
    return drawn[drawn.index("<svg") :].replace("'DejaVu Sans'", FONTS)
