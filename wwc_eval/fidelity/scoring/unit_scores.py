"""From sheets and cases to units: the model of a measure, scores with their errors, bands, and what an evaluation takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import check_choice
from wwc_eval.fidelity.scoring import plain
from wwc_eval.fidelity.scoring.bands import Banding, Margin, band_units, known_if_constant, margins_of
from wwc_eval.fidelity.scoring.levels import Levels, fit_levels

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.fidelity.scoring.scores import FidelityScores

__all__ = ["banding_of", "exposure_of", "margin_of", "model_of"]


def model_of(scores: FidelityScores, of: str) -> Levels:
    """The multilevel model of a measure; see :meth:`FidelityScores.model`, which keeps it."""
    y = scores.values(of, sheets=True)
    fine = ~np.isnan(y)
    matrix, places = scores.matrix, scores.matrix.places
    units = {name: places.of_case[name][matrix.sheet_case[fine]] for name in places.names}
    sizes = {name: len(places.labels[name]) for name in places.names}
    sizes["rater"] = len(matrix.raters)
    random = scores.spec.document.scoring.raters == "random" and len(matrix.raters) > 0
    return fit_levels(y[fine], units, matrix.sheet_rater[fine] if random else None, sizes)


def margin_of(scores: FidelityScores, unit: str, of: str) -> Margin:
    """Scores of the units of one level with their errors; see :meth:`FidelityScores.margin`."""
    places = scores.matrix.places
    if unit != places.lowest and scores.spec.document.scoring.rollup.get(unit) == "mean":
        return plain.plain_margin(places, unit, scores.values(of))
    found = scores.model(of).scores[unit]
    estimate, se = found.estimate.copy(), found.se.copy()
    if unit == places.lowest:
        missing = np.isnan(scores.values(of))
        estimate[missing], se[missing] = np.nan, np.nan
        if found.reason:
            estimate = scores.values(of).copy()
    elif found.reason.startswith("one rating sheet"):
        estimate = plain.means_of(places.of_case[unit], scores.values(of), len(estimate))
    return Margin(estimate=estimate, se=se, df=np.full(len(se), found.df), reason=found.reason)


def banding_of(scores: FidelityScores, unit: str) -> Banding:
    """Bands of the units of one level; see :meth:`FidelityScores.banding`."""
    asked = {name for band in scores.spec.document.spec.bands for name in margins_of(band)}
    if "composite" in scores.measures:
        asked.add("composite")
    lowest = unit == scores.matrix.places.lowest
    names = [name for name in scores.measures if name in asked and not (lowest and name == "essentials")]
    return band_units(
        scores.spec,
        known_if_constant({name: scores.margin(unit, name) for name in names}),
        plain.correlations(scores, names, unit),
        ceiling=plain.band_ceiling(scores.spec, scores.scored) if lowest else None,
        essential=scores.scored.essentials if lowest else None,
    )


def exposure_of(scores: FidelityScores, unit: str | None) -> pd.DataFrame:
    """What enters the evaluation; see :meth:`FidelityScores.exposure`."""
    link, places = scores.spec.document.outcome_link, scores.matrix.places
    level = check_choice(
        "unit", unit or (link.cluster if link and link.cluster else scores.units[0]), scores.units
    )
    table = scores.by(level, link.exposure if link else scores.measures[0]).to_frame()
    kept = [level, *places.above(level)]
    found = table[[*kept, "estimate", "se"]].rename(columns={"estimate": "exposure"})
    if scores.matrix.arms is not None:
        codes, labels = places.of_case[level], places.labels[level]
        arms = {labels[code]: arm for code, arm in zip(codes[::-1], scores.matrix.arms[::-1], strict=True)}
        found.insert(len(kept), str(scores.spec.arm_column), [arms.get(label) for label in found[level]])
    return found
