"""Tables of items, components, rules, raters and variances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.fidelity.scoring.composites import item_shares, met
from wwc_eval.fidelity.scoring.means import Mean, cluster_mean
from wwc_eval.fidelity.scoring.plain import means_of
from wwc_eval.fidelity.scoring.ratings import VALUE
from wwc_eval.fidelity.scoring.reliability import reliability_notes
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wwc_eval.fidelity.scoring.scores import FidelityScores

    Floats = NDArray[np.float64]

__all__ = [
    "component_table",
    "dimension_table",
    "item_table",
    "notes_of",
    "rater_table",
    "sensitivity_table",
    "sheet_table",
    "variance_table",
]


def _mean_columns(mean: Mean) -> dict[str, Any]:
    named = {
        "estimate": mean.estimate,
        "se": mean.se,
        "df": mean.df,
        "ci_low": mean.ci_low,
        "ci_high": mean.ci_high,
    }
    return {name: None if np.isnan(value) else value for name, value in named.items()}


def _mean_headings(scores: FidelityScores) -> list[Column]:
    return [
        Column(name="estimate", label="mean, % of maximum", kind="number", digits=1),
        Column(name="se", label="SE", kind="number", digits=1),
        Column(name="df", kind="number", digits=0),
        Column(name="ci_low", label=f"{100 * scores.level:g}% low", kind="number", digits=1),
        Column(name="ci_high", label="high", kind="number", digits=1),
    ]


def item_table(scores: FidelityScores) -> Table:
    """Items over all cases; see :attr:`FidelityScores.items`."""
    spec, ratings, cases = scores.spec, scores.ratings, scores.matrix.cases
    items = list(spec.document.items)
    shares = np.where(cases.valid, 100 * item_shares(items, cases.recorded), np.nan)
    fulfilled = met(items, np.where(cases.valid, cases.recorded, np.nan))
    cluster = scores.matrix.places.of_case[scores.units[-1]]
    rows: list[dict[str, Any]] = []
    for j, item in enumerate(items):
        mean = cluster_mean(shares[:, j], cluster, scores.level)
        criterion = fulfilled[:, j][~np.isnan(fulfilled[:, j])]
        rows.append(
            {
                "item": item.id,
                "component": item.component,
                "ratings": int(((ratings.item == j) & (ratings.kind == VALUE)).sum()),
                "cases": mean.n,
                **{name: int(ratings.codes[name][j]) for name in ("not_applicable", "not_recorded", "not_seen")},
                "not_applying": int((~cases.applies[:, j]).sum()),
                **_mean_columns(mean),
                "met": float(criterion.mean()) if len(criterion) else None,
                "status": mean.reason or "ok",
            }
        )
    columns = [Column(name="item"), Column(name="component")]
    counts = ("ratings", "cases", "not_applicable", "not_recorded", "not_seen", "not_applying")
    columns += [Column(name=name, kind="count") for name in counts]
    columns += [*_mean_headings(scores), Column(name="met", kind="percent", digits=0), Column(name="status")]
    notes = (
        "not_applicable, not_recorded and not_seen count codes in the ratings; not_applying counts cases without the item.",
        _clustered(scores),
    )
    return Table(rows, columns, title="Items", notes=notes)


def component_table(scores: FidelityScores) -> Table:
    """Components over all cases; see :attr:`FidelityScores.components`."""
    cluster = scores.matrix.places.of_case[scores.units[-1]]
    rows: list[dict[str, Any]] = []
    for c, component in enumerate(scores.spec.document.components):
        percent = scores.scored.percents[:, c]
        native = scores.scored.components[:, c]
        of = native if np.isnan(percent).all() else percent
        mean = cluster_mean(of, cluster, scores.level)
        rows.append(
            {
                "component": component.id,
                "dimension": component.dimension,
                "role": component.role,
                "weight": float(component.weight),
                "cases": mean.n,
                **_mean_columns(mean),
                "gates_closed": int(scores.scored.gated[:, c].sum()) if component.gate else None,
                "status": mean.reason or ("ok" if of is percent else "a ratio, in its own metric"),
            }
        )
    columns = [Column(name="component"), Column(name="dimension"), Column(name="role")]
    columns += [Column(name="weight", kind="number", digits=2), Column(name="cases", kind="count")]
    columns += [*_mean_headings(scores), Column(name="gates_closed", kind="count"), Column(name="status")]
    return Table(rows, columns, title="Components", notes=(_clustered(scores),))


def dimension_table(scores: FidelityScores) -> Table:
    """Dimensions over all cases; see :attr:`FidelityScores.dimensions`."""
    cluster = scores.matrix.places.of_case[scores.units[-1]]
    components = scores.spec.document.components
    rows: list[dict[str, Any]] = []
    for dimension in dict.fromkeys(component.dimension for component in components):
        places = [c for c, component in enumerate(components) if component.dimension == dimension]
        percents = scores.scored.percents[:, places]
        weights = np.array([float(components[c].weight) for c in places])
        weights = weights if weights.sum() > 0 else np.ones(len(places))
        used = (~np.isnan(percents) * weights).sum(axis=1)
        total = (np.nan_to_num(percents) * weights).sum(axis=1)
        score = np.divide(total, used, out=np.full(len(total), np.nan), where=used > 0)
        mean = cluster_mean(score, cluster, scores.level)
        listed = ", ".join(components[c].id for c in places)
        rows.append(
            {
                "dimension": dimension,
                "components": listed,
                "cases": mean.n,
                **_mean_columns(mean),
                "status": mean.reason or "ok",
            }
        )
    columns = [Column(name="dimension"), Column(name="components"), Column(name="cases", kind="count")]
    columns += [*_mean_headings(scores), Column(name="status")]
    note = "Weighted means of components that have a percentage; equal weights where all are 0."
    return Table(rows, columns, title="Dimensions", notes=(note, _clustered(scores)))


def _clustered(scores: FidelityScores) -> str:
    highest = scores.units[-1]
    count = len(scores.matrix.places.labels[highest])
    words = highest.replace("_", " ")
    return f"Intervals are cluster-robust over {count} units ({words}), Student's t with {max(count - 1, 0)} df."


def sensitivity_table(scores: FidelityScores) -> Table:
    """Composite of the highest units under each rule; see :attr:`FidelityScores.sensitivity`."""
    spec, places = scores.spec, scores.matrix.places
    unit = scores.units[-1]
    composite = spec.document.scoring.composite
    rules = list(dict.fromkeys((composite.rule, *composite.sensitivity))) if scores.scored.rules else []
    means = {
        rule: means_of(places.of_case[unit], scores.scored.rules[rule], len(places.labels[unit])) for rule in rules
    }
    rows: list[dict[str, Any]] = []
    for place, label in enumerate(places.labels[unit]):
        bands = {rule: _band_of(scores, means[rule][place]) for rule in rules}
        row: dict[str, Any] = {unit: label}
        for rule in rules:
            row[rule] = None if np.isnan(means[rule][place]) else float(means[rule][place])
            row[f"band_{rule}"] = bands[rule]
        row["changes"] = len(set(bands.values())) > 1
        rows.append(row)
    columns = [Column(name=unit)]
    for rule in rules:
        columns += [Column(name=rule, kind="number", digits=1), Column(name=f"band_{rule}", label="band")]
    columns.append(Column(name="changes", label="band changes"))
    changed = {rule: _cases_changed(scores, composite.rule, rule) for rule in rules[1:]}
    notes = [f"{count:,} cases change their band under the {rule} rule." for rule, count in changed.items()]
    head = "Means of cases as rated; bands by the score alone, without regard to errors and requirements."
    empty = "" if rules else "No composite is declared, so there are no rules to compare."
    return Table(
        rows, columns, title=f"Rules of the composite by {unit.replace('_', ' ')}", notes=(empty or head, *notes)
    )


def _band_of(scores: FidelityScores, value: float) -> str | None:
    if np.isnan(value):
        return None
    bands = scores.spec.document.spec.bands
    return [band.name for band in bands if band.min is not None and value >= band.min][-1]


def _cases_changed(scores: FidelityScores, first: str, second: str) -> int:
    pairs = zip(scores.scored.rules[first], scores.scored.rules[second], strict=True)
    return sum(_band_of(scores, a) != _band_of(scores, b) for a, b in pairs)


def sheet_table(scores: FidelityScores) -> Table:
    """What each rater saw of each case; see :attr:`FidelityScores.rating_sheets`."""
    matrix, of = scores.matrix, scores.measures[0]
    values = scores.values(of, sheets=True)
    rows: list[dict[str, Any]] = []
    for case, rater, value in zip(matrix.sheet_case, matrix.sheet_rater, values, strict=True):
        names = {unit: matrix.places.labels[unit][matrix.places.of_case[unit][case]] for unit in scores.units}
        judge = matrix.raters[rater] if rater >= 0 else None
        rows.append({**names, "rater": judge, "score": None if np.isnan(value) else float(value)})
    columns = [*(Column(name=unit) for unit in scores.units), Column(name="rater")]
    columns.append(Column(name="score", label=of, kind="number", digits=1))
    note = "One row for each rater of each case; what nobody judged is the same on every sheet of a case."
    return Table(rows, columns, title=f"Rating sheets: {of}", notes=(note,))


def rater_table(scores: FidelityScores) -> Table:
    """Severity of raters; see :attr:`FidelityScores.raters`."""
    of = scores.measures[0]
    model = scores.model(of)
    sheets = np.bincount(
        scores.matrix.sheet_rater[scores.matrix.sheet_rater >= 0], minlength=len(scores.matrix.raters)
    )
    told = len(model.rater_effect) == len(scores.matrix.raters) and "rater" in model.variances
    rows = [
        {
            "rater": name,
            "sheets": int(sheets[place]),
            "severity": -float(model.rater_effect[place]) if told else None,
            "se": float(model.rater_effect_se[place]) if told else None,
        }
        for place, name in enumerate(scores.matrix.raters)
    ]
    columns = [Column(name="rater"), Column(name="sheets", kind="count")]
    columns += [Column(name="severity", label=f"severity, points of {of}", kind="number", digits=1)]
    columns += [Column(name="se", label="SE of prediction", kind="number", digits=1)]
    notes = [note for note in model.notes if "rater" in note.lower()]
    if told and model.variances["rater"] == 0:
        notes.append("No variation between raters was found.")
    head = "Empirical Bayes: points below the average rater, so above 0 where the rater scores low. Scores of units are adjusted."
    return Table(rows, columns, title="Severity of raters", notes=(head, *notes))


def variance_table(scores: FidelityScores) -> Table:
    """Variance components; see :attr:`FidelityScores.variances`."""
    model = scores.model(scores.measures[0])
    total = sum(model.variances.values())
    names = [*reversed(scores.units), "rater", "residual"]
    rows = [
        {"source": name, "variance": model.variances[name], "share": model.variances[name] / total}
        for name in names
        if name in model.variances
    ]
    columns = [Column(name="source"), Column(name="variance", kind="number", digits=1)]
    columns.append(Column(name="share", kind="percent", digits=0))
    return Table(rows, columns, title=f"Where {scores.measures[0]} varies", notes=model.notes)


def notes_of(scores: FidelityScores) -> tuple[str, ...]:
    """What a reader must know; see :attr:`FidelityScores.notes`."""
    notes = list(scores.ratings.notes)
    spec, matrix = scores.spec, scores.matrix
    rated = set(scores.ratings.item.tolist())
    idle = [item.id for place, item in enumerate(spec.document.items) if place not in rated]
    if idle:
        notes.append(f"Never rated: {', '.join(idle)}.")
    if scores.measures:
        notes += list(scores.model(scores.measures[0]).notes)
    notes += reliability_notes(scores)
    arms = spec.document.differentiation
    if arms is not None:
        if matrix.arms is None:
            notes.append(f"There is no column '{arms.arm}': differentiation between arms cannot be told.")
        else:
            seen = {str(value) for value in matrix.arms}
            lacking = [arm for arm in arms.measured_in if arm not in seen]
            notes += [f"No case is in arm '{arm}', which was to be measured." for arm in lacking]
    return tuple(dict.fromkeys(notes))
