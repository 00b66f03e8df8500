"""Covariates of a panel as columns of a regression: numbers as they are, text as indicators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel_faults import listed
from wwc_eval.errors import DataError, DesignError, did_you_mean, shown

if TYPE_CHECKING:
    from wwc_eval.did.panel import Panel

__all__ = ["Covariates", "covariate_names", "known_columns", "levels_of", "read_covariates"]

Floats = NDArray[np.float64]
MOST_LEVELS = 60


@dataclass(frozen=True, kw_only=True)
class Covariates:
    """Covariates by cell.

    Parameters
    ----------
    names : tuple of str
        Columns of the data.
    columns : tuple of str
        Columns of the regression: the names, and ``name[level]`` for the levels of text after the first.
    values : ndarray, shape (n, T, p)
        Values with the intercept first; missing where a cell is.
    constant : bool
        Whether every covariate is constant over time in every unit.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    values: Floats
    constant: bool


def covariate_names(covariates: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names of covariates from one name or several, each once.

    Raises
    ------
    DesignError
        If they are no names, or one stands twice.
    """
    names = (covariates,) if isinstance(covariates, str) else tuple(covariates or ())
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise DesignError(
            f"covariates == {shown(covariates)}, must name columns, each once",
            fix='write covariates=["deprivation"]',
        )
    return names


def read_covariates(panel: Panel, names: tuple[str, ...]) -> Covariates:
    """Covariates of a panel by cell; those of repeated cross-sections are in ``cs_kinds``.

    Raises
    ------
    DataError
        If a column is not there, or text has a great many levels.
    DesignError
        For repeated cross-sections.
    """
    from pandas.api import types

    panel.need_units("a covariate by cell")
    known_columns(panel, names)
    layers, columns = [np.ones(panel.outcomes.shape)], ["intercept"]
    for name in names:
        if types.is_numeric_dtype(panel.source[name]):
            layers.append(panel.covariate(name))
            columns.append(name)
            continue
        levels, by_row = levels_of(panel, name)
        assert panel.rows is not None
        codes = np.where(panel.rows < 0, -1, by_row[np.maximum(panel.rows, 0)])
        for index, level in enumerate(levels[1:], start=1):
            layers.append(np.where(codes < 0, np.nan, codes == index))
            columns.append(f"{name}[{level}]")
    values = np.stack(layers, axis=2)
    first = values[:, :1]
    constant = bool(((values == first) | np.isnan(values)).all()) and not np.isnan(first).any()
    return Covariates(names=names, columns=tuple(columns), values=values, constant=constant)


def known_columns(panel: Panel, names: tuple[str, ...]) -> None:
    """Refuse covariates that name no column.

    Raises
    ------
    DataError
        With the name.
    """
    have = [str(column) for column in panel.source.columns]
    unknown = [name for name in names if name not in have]
    if unknown:
        raise DataError(f"covariates: the data have no column '{unknown[0]}'", fix=did_you_mean(unknown[0], have))


def levels_of(panel: Panel, name: str) -> tuple[list[str], NDArray[np.int64]]:
    """Levels of a text column in order, and the code of each row of the data; -1 where it is missing.

    Raises
    ------
    DataError
        If there are a great many levels.
    """
    import pandas as pd

    codes, distinct = pd.factorize(panel.source[name])
    texts = [str(value) for value in distinct]
    levels = sorted(set(texts))
    if len(levels) > MOST_LEVELS:
        raise DataError(
            f"covariate '{name}' is text with {len(levels):,} values: {listed(levels, 4)}",
            fix="give numbers, or join levels",
        )
    place = {level: index for index, level in enumerate(levels)}
    return levels, np.array([*(place[text] for text in texts), -1], dtype=np.int64)[codes]
