"""Conditional modes of the random effects, and predictions with and without them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from wwc_eval.errors import DataError, Place, Problem, shown
from wwc_eval.formula.columns import label_of
from wwc_eval.inference.frames import to_pandas
from wwc_eval.multilevel.engine.structure import Array, Index
from wwc_eval.multilevel.reading import ModelData
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["group_codes", "predict", "random_effects", "varying_columns"]

SHOWN_GROUPS = 10


def random_effects(fit: LinearFit, group: str | None = None) -> Table:
    """Table of conditional modes; see :meth:`LinearFit.random_effects`.

    Formula: ``E(b | y) = Sigma Z' V^-1 (y - X beta)``; sd from ``Var(b | y, beta)``; se from
    ``Var(b_hat - b)``. Source: Robinson (1991), doi:10.1214/ss/1177011926.
    """
    names = [fit.data.grouping(group).name] if group is not None else list(fit.groups)
    reach = float(special.ndtri(0.5 + 0.5 * fit.level))
    rows: list[dict[str, Any]] = []
    for name in names:
        grouping, modes = fit.data.grouping(name), fit.core.modes[name]
        for place, label in enumerate(grouping.labels):
            for k, term in enumerate(grouping.columns):
                estimate = float(modes.mean[place, k])
                se = float(np.sqrt(max(modes.prediction[place, k, k], 0.0)))
                rows.append(
                    {
                        "group": name,
                        "level": label,
                        "term": term,
                        "estimate": estimate,
                        "sd": float(np.sqrt(max(modes.conditional[place, k, k], 0.0))),
                        "se": se,
                        "ci_low": estimate - reach * se,
                        "ci_high": estimate + reach * se,
                    }
                )
    columns = [
        Column(name="group"),
        Column(name="level"),
        Column(name="term"),
        Column(name="estimate", kind="number"),
        Column(name="sd", label="conditional SD", kind="number"),
        Column(name="se", label="SE of prediction", kind="number"),
        Column(name="ci_low", label="low", kind="number"),
        Column(name="ci_high", label="high", kind="number"),
    ]
    note = "Empirical Bayes estimates, shrunk towards zero; intervals take the variances as known."
    return Table(rows, columns, title="Random effects", notes=(note,))


def predict(fit: LinearFit, data: Any = None, *, random: bool = True) -> Array:
    """Expected outcomes; see :meth:`LinearFit.predict`."""
    model = fit.data
    if data is None:
        found = model.design.X @ fit.coefficients
        if random:
            for grouping in model.groupings:
                effects = fit.core.modes[grouping.name].mean[grouping.codes]
                found = found + np.einsum("nq,nq->n", grouping.Z, effects)
        return np.asarray(found)
    frame = to_pandas(data)
    found = model.design.matrix(frame) @ fit.coefficients
    if random:
        columns = varying_columns(model, frame)
        for grouping in model.groupings:
            effects = fit.core.modes[grouping.name].mean[group_codes(model, grouping.name, frame)]
            found = found + np.einsum("nq,nq->n", columns[grouping.name], effects)
    return np.asarray(found)


def varying_columns(model: ModelData, frame: pd.DataFrame) -> dict[str, Array]:
    """Columns that vary over each grouping factor, for other rows than those fitted."""
    found: dict[str, list[Array]] = {}
    for columns in model.design.random_columns:
        term = columns.term
        if term.slopes:
            # the slopes as a fixed part of their own, which keeps constants and levels
            own = replace(model.formula, response=None, intercept=term.intercept, fixed=term.slopes, random=())
            levels = {name: listed for name, listed in model.design.levels.items() if name in own.columns}
            design = own.design(model.source.iloc[model.rows], levels=levels)
            names = list(design.terms)
            Z = design.matrix(frame)[:, [names.index(name) for name in columns.names]]
        else:
            Z = np.ones((len(frame), 1))
        for name in term.groups:
            found.setdefault(name, []).append(Z)
    return {name: np.column_stack(parts) for name, parts in found.items()}


def group_codes(model: ModelData, name: str, frame: pd.DataFrame) -> Index:
    """Group of each row of other data.

    Raises
    ------
    DataError
        If the data lack a grouping column, or rows belong to groups that the model has not seen.
    """
    parts = next(
        names
        for term in model.formula.random
        for group, names in zip(term.groups, term.group_columns, strict=True)
        if group == name
    )
    for part in parts:
        if part not in frame.columns:
            raise DataError(
                f"the data have no grouping column '{part}'",
                place=Place(column=part),
                fix="add it, or predict with random=False",
            )
    known = {label: code for code, label in enumerate(model.grouping(name).labels)}
    labels = [
        ":".join(label_of(value) for value in row) for row in frame[list(parts)].itertuples(index=False, name=None)
    ]
    codes = np.array([known.get(label, -1) for label in labels], dtype=np.intp)
    unseen = dict.fromkeys(label for label, code in zip(labels, codes, strict=True) if code < 0)
    if unseen:
        raise DataError(
            problems=[
                Problem(
                    message=f"group {shown(label)} of '{name}' was not in the data that were fitted",
                    place=Place(column=parts[-1], row=labels.index(label) + 2),
                    fix="predict with random=False, which gives a group of average effects",
                )
                for label in list(unseen)[:SHOWN_GROUPS]
            ]
        )
    return codes
