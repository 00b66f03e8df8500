"""What a fit says of itself: its status, the sentence behind it, and its warnings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wwc_eval.inference.fitted import Fitted

if TYPE_CHECKING:
    from wwc_eval.inference.covariance import Covariance

__all__ = ["NOT_ESTIMABLE", "NO_VARIANCE", "fit_warnings", "message_of", "notes_of", "status_of"]

OVERDISPERSED = 1.5
NOT_ESTIMABLE = "Not estimable: the outcome is predicted perfectly in some rows, so the estimate is infinite"

NO_VARIANCE = "No standard error: effects of the clusters themselves do not vary between clusters"
PERFECT = 1e-24


def status_of(fitted: Fitted) -> str:
    """``ok``, ``dropped_columns``, ``separated`` or ``failed``."""
    if fitted.separation is not None:
        return "separated"
    if not fitted.converged:
        return "failed"
    return "dropped_columns" if fitted.design.aliased else "ok"


def message_of(fitted: Fitted) -> str:
    """The status in a sentence."""
    status = status_of(fitted)
    if status == "failed":
        return (
            "The fit did not converge and nothing is estimated. "
            "Scale or centre large covariates, or leave terms out."
        )
    if status == "separated":
        return _separation(fitted)
    if status == "dropped_columns":
        listed = "; ".join(str(alias) for alias in fitted.design.aliased)
        return f"Left out, for earlier columns determine it: {listed}."
    if fitted.family.name == "gaussian":
        return "Least squares solved exactly."
    steps = fitted.solution.iterations if fitted.solution else 0
    return f"Converged in {steps} Newton steps."


def _separation(fitted: Fitted) -> str:
    lost = [name for name, fine in zip(fitted.design.terms, fitted.estimable, strict=True) if not fine]
    rows, n = int((~fitted.rows).sum()), len(fitted.y)
    if not fitted.converged or len(lost) == len(fitted.design.terms):
        return (
            f"The columns predict the outcome perfectly ({rows:,} of {n:,} rows), so no coefficient is "
            "finite. Leave terms out, or report the counts."
        )
    names = ", ".join(f"'{name}'" for name in lost)
    verb = "has" if len(lost) == 1 else "have"
    return (
        f"The outcome is predicted perfectly in {rows:,} of {n:,} rows, so {names} {verb} no finite estimate; "
        "the other coefficients are those of the remaining rows, which is their limit. "
        "Merge small categories, leave the term out, or report the counts."
    )


def fit_warnings(fitted: Fitted, kind: str) -> tuple[str, ...]:
    """Warnings for every estimate: rows at their limit, and a variance that classical errors do not know of."""
    if fitted.separation is not None:
        rows = int((~fitted.rows).sum())
        return (f"The outcome is predicted perfectly in {rows:,} rows; they are taken at their limit",)
    dispersion = fitted.solution.kernel.dispersion if fitted.solution else math.nan
    if fitted.family.name == "gaussian" and dispersion <= PERFECT * float(fitted.y @ fitted.y) / len(fitted.y):
        return ("The columns fit the outcome exactly: errors are rounding alone",)
    counts = fitted.family.name == "poisson" or (fitted.family.name == "binomial" and fitted.trials is not None)
    if not counts or kind != "classical" or not dispersion > OVERDISPERSED:
        return ()
    way = "family='quasipoisson' or robust errors" if fitted.family.name == "poisson" else "robust errors"
    said = f"The outcome varies {dispersion:.1f} times as much as a {fitted.family.name} model says"
    return (f"{said}: classical errors are too small; use {way}",)


def notes_of(fitted: Fitted, covariance: Covariance | None) -> list[str]:
    """Sentences below a table of coefficients."""
    sample = f"n = {len(fitted.y):,} rows"
    if covariance is not None and covariance.n_clusters:
        sample += f" in {covariance.n_clusters:,} clusters ({covariance.cluster})"
    notes = [f"{sample}.", *fitted.design.notes]
    status = status_of(fitted)
    if status in ("separated", "failed"):
        notes.append(f"{status.capitalize()}. {message_of(fitted)}")
    if fitted.family.name != "gaussian" and fitted.solution is not None:
        dispersion = fitted.solution.kernel.dispersion
        if math.isfinite(dispersion):
            notes.append(f"Pearson dispersion {dispersion:.2f}.")
    return notes
