"""Conditional modes of the random effects and predictions of a generalised linear mixed model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import special

from wwc_eval.errors import ConvergenceError, DataError, Place, check_choice
from wwc_eval.inference.frames import to_pandas
from wwc_eval.multilevel import random_effects as linear
from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.generalised.outcomes import LARGEST_ETA

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.multilevel.generalised.fit import GeneralisedFit
    from wwc_eval.table import Table

__all__ = ["linear_predictor", "predict", "random_effects", "require_fit"]


def require_fit(fit: GeneralisedFit) -> None:
    """Refuse to report from a fit that has no optimum.

    Raises
    ------
    ConvergenceError
        If the search found none, or separation left nothing to fit.
    """
    if fit.core.trouble:
        raise ConvergenceError(fit.message, fix="change the model, or report the counts")


def random_effects(fit: GeneralisedFit, group: str | None = None) -> Table:
    """Table of conditional modes; see :meth:`GeneralisedFit.random_effects`.

    Formula: the mode of ``p(y | b) p(b)``; sd from the inverse of the Hessian there; se adds ``J V J'`` with J the
    derivative of the mode by all estimated parameters and V their covariance.
    Source: Kass and Steffey (1989), doi:10.1080/01621459.1989.10478825.
    """
    require_fit(fit)
    table = linear.random_effects(cast("Any", fit), group)
    note = "Conditional modes on the scale of the link, shrunk towards zero; intervals know that all parameters are estimated."
    return replace(table, notes=(note,))


def linear_predictor(fit: GeneralisedFit, X: Array) -> tuple[Array, Array]:
    """Linear predictor of the fixed part, NaN where undetermined, and +1 or -1 where separation decides a row."""
    core = fit.core
    eta = X[:, core.columns] @ core.inner_beta
    sign = np.zeros(len(X))
    if core.separation is not None:
        sign = core.separation.decided(X)
        eta[(sign == 0) & core.separation.undetermined(X)] = np.nan
    return eta, sign


def predict(fit: GeneralisedFit, data: Any, *, random: bool, scale: str) -> Array:
    """Expected outcomes; see :meth:`GeneralisedFit.predict`."""
    require_fit(fit)
    check_choice("scale", scale, ("response", "link"))
    model = fit.data
    frame = None if data is None else to_pandas(data)
    X = model.design.X if frame is None else model.design.matrix(frame)
    eta, sign = linear_predictor(fit, X)
    if random:
        columns = None if frame is None else linear.varying_columns(model, frame)
        for grouping in model.groupings:
            codes = grouping.codes if frame is None else linear.group_codes(model, grouping.name, frame)
            Z = grouping.Z if columns is None else columns[grouping.name]
            # groups in which separation decided every row inform nothing: their effects are the average, zero
            effects = np.nan_to_num(fit.core.modes[grouping.name].mean)
            eta = eta + np.einsum("nq,nq->n", Z, effects[codes])
    eta = np.where(sign == 0, eta, np.where(sign > 0, np.inf, -np.inf))
    if scale == "link":
        return np.asarray(eta)
    if fit.family == "binomial":
        return np.asarray(special.expit(eta))
    return np.asarray(np.exp(np.minimum(eta, LARGEST_ETA)) * _exposure(fit, frame))


def _exposure(fit: GeneralisedFit, frame: pd.DataFrame | None) -> Array | float:
    """Exposure of the rows predicted; 1 where the model has none."""
    if fit.data.exposure is None:
        return 1.0
    if frame is None:
        return fit.data.exposure
    name = fit.data.roles["exposure"]
    if name not in frame.columns:
        raise DataError(
            f"the model has an exposure, '{name}', and the data have no such column",
            place=Place(column=name),
            fix="add the column, with 1 for the rate per unit of exposure",
        )
    return frame[name].to_numpy(dtype=float)
