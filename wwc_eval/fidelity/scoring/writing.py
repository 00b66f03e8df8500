"""Fidelity scores as files: tables at full precision, and figures."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wwc_eval.errors import DataError, WwcError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.fidelity.scoring.scores import FidelityScores
    from wwc_eval.table import Rendered

__all__ = ["write_scores"]


def write_scores(scores: FidelityScores, folder: Path) -> list[Path]:
    """Write tables as CSV and figures as PNG into a folder, which is made if it is missing.

    Raises
    ------
    DataError
        If the folder cannot be made or written to.
    """
    tables: dict[str, Rendered] = {
        "items": scores.items,
        "components": scores.components,
        "bands": scores.bands,
        "sensitivity": scores.sensitivity,
        "raters": scores.raters,
        "variances": scores.variances,
        **{f"scores_{unit}": scores.by(unit) for unit in scores.units},
    }
    if scores.spec.document.reliability is not None:
        tables["reliability"], tables["item_reliability"] = scores.reliability, scores.item_reliability
    if scores.spec.document.differentiation is not None:
        with suppress(WwcError):  # one arm, or none: the notes of the scores say so
            tables["differentiation"] = scores.differentiation().estimates
    figures: dict[str, Axes] = {}
    with suppress(DataError):  # no component is a percentage, or none has a score
        figures["heatmap"] = scores.plot_heatmap()
    if "composite" in scores.measures:
        try:
            tables["league"], tables["funnel"] = scores.league().table, scores.funnel().table
            figures["funnel"] = scores.funnel().plot()
        except DataError:
            pass  # one unit, or nothing varies: the tables of scores say so
        if scores.matrix.dates is not None:
            with suppress(DataError):  # too few dates to watch
                tables["alerts"] = scores.over_time().alerts
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written: list[Path] = []
        for name, table in tables.items():
            written.append(folder / f"{name}.csv")
            table.to_frame().to_csv(written[-1], index=False, lineterminator="\n")
        for name, axes in figures.items():
            written.append(folder / f"{name}.png")
            axes.figure.savefig(written[-1], dpi=150, metadata={"Software": ""})  # type: ignore[union-attr]
    except OSError as error:
        raise DataError(
            f"cannot write into '{folder.name}': {error.strerror}", fix="name a folder that can be written to"
        ) from error
    return written
