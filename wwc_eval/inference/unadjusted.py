"""The comparison of arms without covariates, by the same fit and the same errors as the adjusted one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.formula import quote_name
from wwc_eval.inference.fit import RegressionFit
from wwc_eval.inference.frames import to_pandas
from wwc_eval.inference.regression import regression
from wwc_eval.table import Grid, Rendered

__all__ = ["UnadjustedComparison", "unadjusted_comparison"]


@dataclass(frozen=True, kw_only=True, eq=False)
class UnadjustedComparison(Rendered):
    """Means, risks or rates by arm and their contrasts.

    Parameters
    ----------
    estimates : Estimates
        Contrast of each arm with the reference.
    by_arm : Estimates
        Mean, risk or rate of each arm.
    fit : RegressionFit
        The regression on arm alone.
    """

    estimates: Estimates
    by_arm: Estimates
    fit: RegressionFit = field(repr=False)

    def to_dicts(self) -> list[dict[str, Any]]:
        """By-arm rows, then the contrasts."""
        return [*self.by_arm.to_dicts(), *self.estimates.to_dicts()]

    def _grid(self) -> Grid:
        return Estimates([*self.by_arm, *self.estimates])._grid()

    def _title(self) -> str:
        return f"Unadjusted comparison of {self.fit.outcome}"

    def _notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.estimates._notes(), *self.fit._notes())))


def unadjusted_comparison(
    outcome: str,
    arm: str,
    data: Any,
    *,
    family: str = "gaussian",
    scale: str | None = None,
    exposure: str | Sequence[float] | None = None,
    weights: str | Sequence[float] | None = None,
    vcov: str = "classical",
    cluster: str | Sequence[Any] | None = None,
    df: str | None = None,
    levels: Mapping[str, Sequence[Any]] | None = None,
    level: float = 0.95,
) -> UnadjustedComparison:
    """Difference in means, risks or rates between arms, without covariates.

    Parameters
    ----------
    outcome : str
        Outcome column, or ``"successes / trials"``.
    arm : str
        Column of the arms.
    data : DataFrame
        One row per unit.
    scale : str, optional
        Scale of the contrast as in :func:`marginal_effect`: the family's own where it is missing.
    family, exposure, weights, vcov, cluster, df, levels, level
        As in :func:`regression`.

    Returns
    -------
    UnadjustedComparison
        ``estimates`` (contrasts with the reference arm), ``by_arm`` and ``fit``.

    Raises
    ------
    DesignError
        If there is one arm only.

    Examples
    --------
    >>> import pandas as pd
    >>> data = pd.DataFrame({"y": [0, 1, 0, 1, 1, 1, 0, 1], "arm": ["usual"] * 4 + ["offer"] * 4})
    >>> result = unadjusted_comparison("y", "arm", data, family="binomial", levels={"arm": ["usual", "offer"]})
    >>> [round(row.estimate, 3) for row in result.by_arm], round(result.estimates[0].estimate, 3)
    ([0.5, 0.75], 0.25)
    """
    frame = to_pandas(data)
    left = quote_name(outcome) if outcome in frame.columns else outcome
    fit = regression(
        f"{left} ~ {quote_name(arm)}",
        frame,
        family=family,
        exposure=exposure,
        weights=weights,
        vcov=vcov,
        cluster=cluster,
        df=df,
        levels=levels,
        level=level,
    )
    by_arm = fit.adjusted_means(arm)
    plain = [
        row.replace(method=row.method.replace(", adjusted mean over the sample", ", mean by arm"))
        for row in by_arm
    ]
    effect = fit.marginal_effect(arm, scale=scale)
    contrasts = Estimates([effect] if isinstance(effect, Estimate) else effect, title=f"Unadjusted: {fit.formula}")
    return UnadjustedComparison(
        estimates=contrasts, by_arm=Estimates(plain, title=f"{fit.outcome} by {arm}"), fit=fit
    )
