"""Raters against a gold standard: bias, spread, slope and agreement beyond chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, Place, check_number, did_you_mean
from wwc_eval.fidelity.reliability.coefficients import agreement
from wwc_eval.fidelity.reliability.errors import quantile_t
from wwc_eval.fidelity.reliability.rater_tables import RATER, RaterTable, numbers, table_of
from wwc_eval.fidelity.reliability.reading import Floats, read_numbers
from wwc_eval.inference.frames import to_pandas
from wwc_eval.table import Column

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["rater_calibration"]


def rater_calibration(
    ratings: Any,
    gold: str,
    *,
    categories: Sequence[Any] | None = None,
    weights: str = "quadratic",
    cluster: str | None = None,
    at_least: float | None = None,
    level: float = 0.95,
) -> RaterTable:
    """Each rater against a gold standard: bias, spread, slope and agreement beyond chance.

    Parameters
    ----------
    ratings : DataFrame of numbers, subjects x raters
        With a column for the gold standard. Missing cells are allowed.
    gold : str
        Column of the gold standard (an expert's or a consensus rating).
    categories : sequence, optional
        All categories of the scale in order.
    weights : {"identity", "linear", "quadratic", "ordinal"}
        Of the kappa with the gold standard.
    cluster : str, optional
        Column of the cluster of each subject; errors of bias and kappa are then clustered.
    at_least : float, optional
        Kappa that a rater must reach; ``passes`` is whether the *lower limit* of its interval does.
    level : float
        Coverage.

    Returns
    -------
    RaterTable
        ``rater, n, bias, se, ci_low, ci_high, sd_difference, slope, exact, within_one, kappa, kappa_low, kappa_high,
        passes, note``. Bias is rater minus gold; ``within_one`` is the share at most one category away; the slope is that
        of the rater on the gold standard, below 1 where the ends of the scale are avoided.

    Raises
    ------
    DataError
        If there is no such column, or ratings are not numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> seen = pd.DataFrame({"expert": [1, 2, 3, 4, 5, 3, 2, 4], "Ann": [1, 2, 3, 4, 5, 3, 3, 4], "Ben": [2, 3, 4, 5, 5, 4, 3, 5]})
    >>> [round(row["bias"], 3) for row in rater_calibration(seen, "expert").rows]
    [0.125, 0.875]
    """
    check_number("level", level, above=0, below=1)
    frame = to_pandas(ratings)
    for name in (gold, *([cluster] if cluster else [])):
        if name not in frame.columns:
            raise DataError(
                f"the ratings have no column '{name}'",
                place=Place(column=name),
                fix=did_you_mean(name, [str(column) for column in frame.columns]),
            )
    raters = [column for column in frame.columns if column not in (gold, cluster)]
    if not raters:
        raise DataError("no rater stands beside the gold standard")
    scale = _scale(frame, raters, gold, categories)
    rows = [
        _calibrated(frame, name, gold, scale, weights=weights, cluster=cluster, at_least=at_least, level=level)
        for name in raters
    ]
    notes = [f"Bias: rater less '{gold}'. Kappa: Cohen's with {weights} weights."]
    if at_least is not None:
        notes.append(f"Passes: the lower limit of kappa is at least {at_least:g}.")
    label = f"bias (points above '{gold}')"
    return table_of(
        rows, _CALIBRATION, title=f"Raters against '{gold}'", notes=notes, shows=("bias", label), summary={}
    )


def _scale(frame: pd.DataFrame, raters: list[str], gold: str, categories: Sequence[Any] | None) -> list[float]:
    y, _, _, _ = read_numbers(frame[[*raters, gold]])
    if categories is not None:
        return [check_number("category", value) for value in categories]
    return [float(value) for value in np.unique(y[~np.isnan(y)])]


def _calibrated(
    frame: pd.DataFrame,
    name: str,
    gold: str,
    scale: list[float],
    *,
    weights: str,
    cluster: str | None,
    at_least: float | None,
    level: float,
) -> dict[str, Any]:
    both = frame[[name, gold]].notna().all(axis=1).to_numpy()
    x, g = (frame.loc[both, column].to_numpy(dtype=float) for column in (name, gold))
    groups = None if cluster is None else frame.loc[both, cluster].to_numpy()
    nan = math.nan
    found: dict[str, Any] = dict.fromkeys([column.name for column in _CALIBRATION], nan)
    found |= {"rater": str(name), "n": len(x), "passes": None, "note": ""}
    if not len(x):
        found["note"] = f"nothing rated that '{gold}' rates"
        return found
    difference = x - g
    places = np.searchsorted(scale, x) - np.searchsorted(scale, g)
    found |= {
        "bias": float(difference.mean()),
        "exact": float((places == 0).mean()),
        "within_one": float((np.abs(places) <= 1).mean()),
    }
    se, df = _mean_error(difference, groups)
    if df >= 1:
        reach = quantile_t(df, level) * se
        found |= {"se": se, "ci_low": found["bias"] - reach, "ci_high": found["bias"] + reach}
        found["sd_difference"] = float(difference.std(ddof=1)) if len(x) > 1 else nan
    if np.ptp(g) > 0:
        found["slope"] = float(np.cov(g, x)[0, 1] / g.var(ddof=1))
    kappa = agreement(
        frame.loc[both, [name, gold, *([cluster] if cluster else [])]],
        "cohen_kappa",
        weights=weights,
        categories=scale,
        cluster=cluster,
        level=level,
    )
    found |= {"kappa": kappa.estimate, "kappa_low": kappa.ci_low, "kappa_high": kappa.ci_high}
    found["note"] = "; ".join(w.rstrip(".") for w in kappa.warnings if w.startswith("No "))
    if at_least is not None and math.isfinite(kappa.ci_low):
        found["passes"] = bool(kappa.ci_low >= at_least)
    return found


def _mean_error(values: Floats, groups: Any) -> tuple[float, float]:
    """Standard error of a mean and its degrees of freedom; by clusters of their sums where there are any."""
    n = len(values)
    if groups is None:
        return (float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan), n - 1.0
    codes = np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(codes, weights=values - values.mean())
    K = len(sums)
    return (math.sqrt(K / (K - 1.0) * float((sums**2).sum())) / n if K > 1 else math.nan), K - 1.0


_CALIBRATION = (
    *RATER,
    *numbers("bias", "se", "ci_low", "ci_high", "sd_difference", "slope"),
    Column(name="exact", kind="percent", digits=0),
    Column(name="within_one", kind="percent", digits=0),
    *numbers("kappa", "kappa_low", "kappa_high"),
    Column(name="passes"),
    Column(name="note"),
)
