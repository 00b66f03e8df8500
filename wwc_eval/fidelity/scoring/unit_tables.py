"""Tables of the units of one level: scores, bands, and what would change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.fidelity.scoring.bands import INSUFFICIENT, Banding, Margin, insufficiencies
from wwc_eval.fidelity.scoring.plain import counts_of, means_of, rater_counts
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wwc_eval.fidelity.scoring.scores import FidelityScores

    Floats = NDArray[np.float64]

__all__ = ["band_only_table", "band_table", "statuses", "unit_table"]


def unit_table(scores: FidelityScores, unit: str, of: str) -> Table:
    """Scores of units; see :meth:`FidelityScores.by`."""
    places = scores.matrix.places
    codes, labels = places.of_case[unit], places.labels[unit]
    values = scores.values(of)
    margin = scores.margin(unit, of)
    low, high = margin.interval(scores.level)
    bottom, top = _limits(scores, of)
    status = statuses(scores, unit, values, margin)
    observed = means_of(codes, values, len(labels))
    cases, raters = counts_of(codes, values, len(labels)), rater_counts(scores, unit)
    rows: list[dict[str, Any]] = []
    for place, label in enumerate(labels):
        rows.append(
            {
                unit: label,
                **{above: names[place] for above, names in places.parents(unit).items()},
                "cases": int(cases[place]),
                "raters": int(raters[place]),
                "score": _plain(observed[place]),
                "estimate": _plain(margin.estimate[place]),
                "se": _plain(margin.se[place]),
                "df": _plain(margin.df[place]) if np.isfinite(margin.se[place]) else None,
                "ci_low": _plain(np.maximum(low[place], bottom)),
                "ci_high": _plain(np.minimum(high[place], top)),
                "status": status[place],
            }
        )
    if unit == places.lowest:
        _case_columns(scores, rows)
    if of == "composite":
        _band_columns(scores, rows, scores.banding(unit), status)
    rows += [_empty_row(rows, unit, label) for label in places.empty[unit]]
    percent = of not in {"composite", "essentials"}
    what = {"composite": "Composite", "essentials": "Cases that meet every essential item"}.get(of, of)
    return Table(
        rows,
        _columns(scores, unit, rows, of),
        title=f"{what} by {unit.replace('_', ' ')}",
        notes=_notes(scores, of, percent),
    )


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _limits(scores: FidelityScores, of: str) -> tuple[float, float]:
    if of == "composite":
        return scores.spec.read.score_range
    if of == "essentials":
        return 0.0, 1.0
    return scores.spec.read.range_of(scores.spec.read.components[of])


def _case_columns(scores: FidelityScores, rows: list[dict[str, Any]]) -> None:
    spec = scores.spec
    ids = [component.id for component in spec.document.components]
    for place, row in enumerate(rows):
        del row["cases"]
        row["items"] = _plain(scores.scored.share[place])
        met = scores.scored.essentials[place]
        row["essentials"] = None if np.isnan(met) else "met" if met else "not met"
        closed = [name for name, shut in zip(ids, scores.scored.gated[place], strict=True) if shut]
        row["gate"] = ", ".join(closed)


def _band_columns(scores: FidelityScores, rows: list[dict[str, Any]], banding: Banding, status: list[str]) -> None:
    for place, row in enumerate(rows):
        insufficient = status[place].startswith(INSUFFICIENT)
        row["band"] = INSUFFICIENT if insufficient else banding.band[place] or None
        row["point_band"] = banding.point[place] or None
        row["at_least"] = None if insufficient else banding.at_least[place] or None
        for k, name in enumerate(scores.spec.bands):
            row[f"p_{name}"] = _plain(banding.probability[place, k])


def _empty_row(rows: list[dict[str, Any]], unit: str, label: str) -> dict[str, Any]:
    made: dict[str, Any] = dict.fromkeys(rows[0]) if rows else {}
    return {**made, unit: label, "status": "no ratings", **({"cases": 0} if "cases" in made else {}), "raters": 0}


def statuses(scores: FidelityScores, unit: str, values: Floats, margin: Margin) -> list[str]:
    """What each unit lacks, and why; ``ok`` where nothing."""
    places = scores.matrix.places
    codes, labels = places.of_case[unit], places.labels[unit]
    counted = values.copy()
    needs = scores.spec.document.spec.sufficiency
    lowest = needs.get(places.lowest)
    thin = np.zeros(len(labels), dtype=bool)
    if unit in needs:
        counted[scores.scored.share < needs[unit].items] = np.nan
    if lowest is not None and unit == places.lowest:
        thin = scores.scored.share < lowest.items
    counts = counts_of(codes, counted, len(labels))
    lacking = insufficiencies(
        scores.spec, unit, counts.tolist(), rater_counts(scores, unit).tolist(), thin.tolist()
    )
    found: list[str] = []
    own = scores.scored.reasons
    for place in range(len(labels)):
        if np.isnan(margin.estimate[place]):
            reason = own[place] if unit == places.lowest and own[place] else "no case has a score"
            found.append(reason)
        elif lacking[place]:
            found.append(f"{INSUFFICIENT}: {lacking[place]}")
        elif np.isnan(margin.se[place]):
            found.append(f"no interval: {margin.reason or 'one lower unit'}")
        else:
            found.append("ok")
    return found


def _columns(scores: FidelityScores, unit: str, rows: list[dict[str, Any]], of: str) -> list[Column]:
    digits = 3 if of == "essentials" else 1
    if of in scores.spec.read.components and scores.spec.read.components[of].metric == "native":
        digits = 2
    kinds: dict[str, Any] = {
        "cases": {"kind": "count"},
        "raters": {"kind": "count"},
        "score": {"kind": "number", "digits": digits, "label": "score as rated"},
        "estimate": {"kind": "number", "digits": digits},
        "se": {"kind": "number", "digits": digits, "label": "SE"},
        "df": {"kind": "number", "digits": 0},
        "ci_low": {"kind": "number", "digits": digits, "label": f"{100 * scores.level:g}% low"},
        "ci_high": {"kind": "number", "digits": digits, "label": "high"},
        "items": {"kind": "percent", "digits": 0, "label": "items with a value"},
    }
    kinds |= {f"p_{name}": {"kind": "probability", "label": f"P({name})"} for name in scores.spec.bands}
    names = list(rows[0]) if rows else [unit]
    names = [*(name for name in names if name != "status"), *(["status"] if "status" in names else [])]
    return [Column(name=name, **kinds.get(name, {})) for name in names]


def _notes(scores: FidelityScores, of: str, component: bool) -> tuple[str, ...]:
    spec = scores.spec
    low, high = spec.read.score_range
    metric = f"from {low:g} to {high:g}"
    if of == "essentials":
        metric = "a share of cases"
    elif component:
        native = spec.read.components[of].metric == "native"
        metric = "in the items' own values" if native else "percent of maximum possible"
    return (
        (
            f"Scores are {metric}. Estimates are shrunk (empirical Bayes) and adjusted for the severity of raters where the "
            "roll-up says so; intervals are of the true score."
        ),
        f"Specification {spec.id} {spec.version}, SHA-256 {spec.hash[:16]}...",
        *scores.notes,
    )


def band_only_table(scores: FidelityScores, unit: str) -> Table:
    """Bands of units where there is no composite: they rest on components alone."""
    places, spec = scores.matrix.places, scores.spec
    codes, labels = places.of_case[unit], places.labels[unit]
    names = [component.id for component in spec.document.components]
    first = scores.values(names[0])
    banding = scores.banding(unit)
    margins = {name: scores.margin(unit, name) for name in names}
    status = statuses(scores, unit, first, margins[names[0]])
    rows: list[dict[str, Any]] = []
    for place, label in enumerate(labels):
        rows.append(
            {
                unit: label,
                **{above: found[place] for above, found in places.parents(unit).items()},
                "cases": int((codes == place).sum()),
                "raters": int(rater_counts(scores, unit)[place]),
                **{name: _plain(margins[name].estimate[place]) for name in names},
                "status": status[place],
            }
        )
    _band_columns(scores, rows, banding, status)
    columns = _columns(scores, unit, rows, "composite")
    shown = [Column(name=c.name, kind="number", digits=2) if c.name in names else c for c in columns]
    note = "No composite is declared: bands rest on components, whose scores are in their own metric."
    return Table(
        rows,
        shown,
        title=f"Bands by {unit.replace('_', ' ')}",
        notes=(note, *_notes(scores, "composite", False)[1:]),
    )


def band_table(scores: FidelityScores) -> Table:
    """Bands of all units above the lowest; see :attr:`FidelityScores.bands`."""
    rows: list[dict[str, Any]] = []
    for unit in reversed(scores.units[1:] or scores.units):
        margin = None if "composite" not in scores.measures else scores.margin(unit)
        of = scores.measures[0]
        own = margin or scores.margin(unit, of)
        banding = scores.banding(unit)
        status = statuses(scores, unit, scores.values(of), own)
        for place, label in enumerate(scores.matrix.places.labels[unit]):
            row: dict[str, Any] = {
                "level": unit,
                "unit": label,
                "estimate": None if margin is None else _plain(margin.estimate[place]),
                "needs": banding.needs[place] or None,
                "status": status[place],
            }
            rows.append(row)
        _band_columns(scores, rows[-len(own.estimate) :], banding, status)
    columns = [Column(name="level"), Column(name="unit"), Column(name="estimate", kind="number", digits=1)]
    columns += [Column(name="band"), Column(name="point_band"), Column(name="at_least")]
    columns += [Column(name=f"p_{name}", label=f"P({name})", kind="probability") for name in scores.spec.bands]
    columns += [Column(name="needs", label="what the next band needs"), Column(name="status")]
    confidence = scores.spec.document.spec.band_confidence
    notes = (
        (
            f"A band is stated where its probability is at least {confidence:g}; else the unit is indeterminate. "
            "point_band is the band of the estimate alone."
        ),
        f"Specification {scores.spec.id} {scores.spec.version}, SHA-256 {scores.spec.hash[:16]}...",
    )
    return Table(rows, columns, title="Bands, and what would change them", notes=notes)
