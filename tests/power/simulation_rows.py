"""Rows of children that have given cell summaries, for comparison with the fits of row data."""

from __future__ import annotations

import numpy as np
import pandas as pd


def rows_of_means(means: np.ndarray, within: float, sizes: np.ndarray, columns: pd.DataFrame) -> pd.DataFrame:
    """Children of cells whose means and sum of squares within cells are those given."""
    rng = np.random.default_rng(5)
    cell = np.repeat(np.arange(len(sizes)), sizes.astype(int))
    noise = rng.normal(size=len(cell))
    noise -= (np.bincount(cell, noise) / np.bincount(cell))[cell]
    noise *= np.sqrt(within / (noise**2).sum())
    return columns.iloc[cell].reset_index(drop=True).assign(y=means[cell] + noise)


def rows_of_events(events: np.ndarray, sizes: np.ndarray, columns: pd.DataFrame) -> pd.DataFrame:
    """Children of cells with so many events."""
    cell = np.repeat(np.arange(len(sizes)), sizes.astype(int))
    place = np.concatenate([np.arange(n) for n in sizes.astype(int)])
    return columns.iloc[cell].reset_index(drop=True).assign(y=(place < events[cell]).astype(int))
