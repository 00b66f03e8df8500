"""Is cluster size informative? Then the average over participants and the average over clusters are two effects.

Two answers side by side, both from regressions of the rows without random effects, whose estimates aim at either average
whatever the outcomes' correlation (independence estimating equations): coefficients of log size, and the two averages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError, WwcError, check_number
from wwc_eval.estimate import RATIO_SCALES, Estimate, Estimates
from wwc_eval.formula import Formula, quote_name
from wwc_eval.inference.averages import compared
from wwc_eval.inference.families import Floats
from wwc_eval.inference.marginal import averages_of, check_scale
from wwc_eval.inference.regression import regression
from wwc_eval.inference.wald import WaldTest
from wwc_eval.table import Grid, Rendered

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.inference.fit import RegressionFit

__all__ = ["ClusterSizeCheck", "cluster_size_check", "of_regression"]

CITATION = "Kahan, Li, Copas and Harhay 2023, doi:10.1093/ije/dyac131"
SIZE = "log_cluster_size"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ClusterSizeCheck(Rendered):
    """Whether outcome or effect depend on cluster size, and the two effects that follow.

    Parameters
    ----------
    coefficients : Estimates
        Coefficients of log size (centred over participants) and of its products with the variable: CR2, Satterthwaite.
    test : WaldTest or None
        Joint test that all of them are zero; None where there is but one coefficient to test.
    estimates : Estimates
        For each contrast the participant average, the cluster average and their difference (ratio, on ratio scales).
    sizes : mapping
        Number of clusters, smallest, median and largest size, and the coefficient of variation of sizes.
    cluster : str
        What the clusters are.
    notes : tuple of str
        What was done, and what could not be.
    """

    coefficients: Estimates
    test: WaldTest | None
    estimates: Estimates
    sizes: Mapping[str, float]
    cluster: str
    notes: tuple[str, ...]

    @property
    def differences(self) -> Estimates:
        """Cluster average against participant average, for each contrast."""
        return Estimates([row for row in self.estimates if row.details.get("compares")])

    def to_dicts(self) -> list[dict[str, Any]]:
        """Averages and their differences, then the coefficients of size."""
        return [*self.estimates.to_dicts(), *self.coefficients.to_dicts()]

    def _grid(self) -> Grid:
        return Estimates([*self.estimates, *self.coefficients])._grid()

    def _title(self) -> str:
        return f"Cluster size and {self.cluster}: participant-average and cluster-average effects"

    def _notes(self) -> tuple[str, ...]:
        return (*self.notes, CITATION)

    def __repr__(self) -> str:
        """The figures as a table."""
        return str(self)


def cluster_size_check(
    formula: Formula,
    frame: pd.DataFrame,
    variable: str,
    *,
    codes: NDArray[np.intp],
    cluster: str,
    family: str,
    exposure: Floats | None = None,
    weights: Floats | None = None,
    levels: Mapping[str, Sequence[Any]] | None = None,
    scale: str | None = None,
    level: float = 0.95,
) -> ClusterSizeCheck:
    """Check whether outcome or effect depend on the size of clusters.

    Parameters
    ----------
    formula : Formula
        Fixed part, without a random part.
    frame : DataFrame
        The rows used.
    variable : str
        Factor or 0/1 column whose effect it is.
    codes : ndarray of int, shape (n,)
        Cluster of each row.
    cluster : str
        What the clusters are.
    family : str
        Family of :func:`wwc_eval.regression`.
    exposure, weights : ndarrays, shape (n,), optional
        Exposure and precision weights.
    levels, scale, level
        As in :func:`wwc_eval.inference.marginal_effect`.

    Returns
    -------
    ClusterSizeCheck

    Raises
    ------
    DesignError
        If there are fewer than three clusters, all are of one size, or the variable is numeric.

    Notes
    -----
    Formula: the regression with ``log n_j`` and its product with the variable; the regression weighted by 1 and by
    ``1 / n_j`` with n_j the participants (for rates the exposure) of cluster j, each standardised over participants and over clusters. The error of
    the difference comes from both fits' CR2 contributions of each cluster, ``sum_j (a'u_j - b'v_j)^2``, with the smaller
    of their Satterthwaite degrees of freedom. Sources: Kahan, Li, Copas and Harhay 2023, doi:10.1093/ije/dyac131; Williamson,
    Datta and Satten 2003, doi:10.1111/1541-0420.00005.

    Examples
    --------
    >>> import numpy as np, pandas as pd, wwc_eval as we
    >>> rng = np.random.default_rng(1)
    >>> team = np.repeat(np.arange(12), rng.integers(4, 30, 12))
    >>> children = pd.DataFrame({"y": rng.normal(size=len(team)) + (team % 2), "arm": team % 2, "team": team})
    >>> fit = we.regression("y ~ arm", children, vcov="CR2", cluster="team")
    >>> check = fit.cluster_size_check("arm")
    >>> [row.details.get("average", "difference") for row in check.estimates]
    ['participants', 'clusters', 'difference']
    """
    check_number("level", level, above=0, below=1)
    sizes = _sizes(formula, frame, codes, exposure, cluster)
    shared: dict[str, Any] = {
        "cluster": codes,
        "family": family,
        "exposure": exposure,
        "vcov": "CR2",
        "levels": levels,
        "level": level,
    }
    centred = np.log(sizes) - float(np.log(sizes) @ sizes / sizes.sum())
    coefficients, test, notes = _coefficients(
        formula, frame, variable, centred[codes], {**shared, "weights": weights}
    )
    over = (1.0 if weights is None else weights) / sizes[codes] * float(sizes.mean())
    pair = []
    for weight in (weights, over):
        own: dict[str, Any] = {} if weight is None else {"weights": weight}
        pair.append(regression(formula, frame, **shared, **own))
    spread = _spread(sizes)
    listed = (
        f"{len(sizes):,} clusters of {spread['smallest']:g} to {spread['largest']:g} {_counted(exposure)} (median "
        f"{spread['median']:g}, coefficient of variation {spread['variation']:.2f})."
    )
    return ClusterSizeCheck(
        coefficients=coefficients,
        test=test,
        estimates=Estimates(_averages(pair, variable, scale, level, cluster)),
        sizes=spread,
        cluster=cluster,
        notes=(listed, *notes, *([] if test is None else [_tested(test)])),
    )


def _sizes(
    formula: Formula, frame: pd.DataFrame, codes: NDArray[np.intp], exposure: Floats | None, cluster: str
) -> Floats:
    """Size of each cluster: its participants, for rates its exposure, as in the averages."""
    people = _people(formula, frame) * (1.0 if exposure is None else exposure)
    sizes = np.asarray(np.bincount(codes, weights=people), dtype=float)
    if len(sizes) < 3:
        raise DesignError(f"{len(sizes)} clusters of '{cluster}', needs at least 3", fix="name smaller clusters")
    if float(np.ptp(sizes)) == 0.0:
        raise DesignError(
            f"all {len(sizes)} clusters of '{cluster}' have {sizes[0]:g} {_counted(exposure)}, so size tells nothing",
            fix="the two averages are one; report the effect",
        )
    return sizes


def _counted(exposure: Floats | None) -> str:
    return "participants" if exposure is None else "units of exposure"


def _spread(sizes: Floats) -> dict[str, float]:
    return {
        "clusters": float(len(sizes)),
        "smallest": float(sizes.min()),
        "median": float(np.median(sizes)),
        "largest": float(sizes.max()),
        "variation": float(sizes.std(ddof=1) / sizes.mean()),
    }


def of_regression(
    fit: RegressionFit,
    variable: str,
    *,
    cluster: str | None = None,
    scale: str | None = None,
    level: float | None = None,
) -> ClusterSizeCheck:
    """The check for a regression; see :func:`cluster_size_check`."""
    from wwc_eval.inference.marginal import check_variable, clusters_of

    check_variable(fit, variable)
    clusters = clusters_of(fit, cluster)
    fitted = fit.fitted
    return cluster_size_check(
        fitted.design.formula,
        fit.source.iloc[fitted.design.rows],
        variable,
        codes=clusters.codes,
        cluster=clusters.name,
        family=fit.family,
        exposure=fitted.exposure,
        weights=fitted.weights,
        levels=fitted.design.levels,
        scale=scale,
        level=fit.level if level is None else level,
    )


def _people(formula: Formula, frame: pd.DataFrame) -> Floats:
    """Participants of each row."""
    response = formula.response
    trials = response.trials if response is not None else None
    if trials is None:
        return np.ones(len(frame))
    return formula.design(frame).trials  # type: ignore[return-value]


def _coefficients(
    formula: Formula, frame: pd.DataFrame, variable: str, log_size: Floats, options: Mapping[str, Any]
) -> tuple[Estimates, WaldTest | None, list[str]]:
    """Coefficients of log size and its products with the variable."""
    name = SIZE if SIZE not in frame.columns else f"{SIZE} (of this check)"
    grown = frame.assign(**{name: log_size})
    size, own = quote_name(name), quote_name(variable)
    fit = regression(formula.with_terms(size, f"{own}:{size}"), grown, **options)
    wanted = [term for term in fit.terms if quote_name(name) in term or name in term]
    notes = []
    if not any(":" not in term for term in wanted):
        notes.append(
            "Other columns settle the size of a cluster, so only its product with the variable is judged."
        )
    items = [fit.estimates[term] for term in wanted]
    test = None
    if len(wanted) > 1:
        try:
            test = fit.wald_test(wanted)
        except WwcError as error:
            notes.append(f"No joint test: {error}")
    return Estimates(items, title=f"Log cluster size in {fit.formula}"), test, notes


def _tested(test: WaldTest) -> str:
    from wwc_eval.table import format_p_value

    shown = format_p_value(test.p_value)
    p = f"p {shown}" if shown.startswith("<") else f"p = {shown}"
    return (
        f"Joint test of all coefficients of size: F = {test.statistic:.2f}, {p}. A large p-value with few clusters is "
        "not evidence that size does not matter; look at the two averages."
    )


def _averages(
    pair: Sequence[RegressionFit], variable: str, scale: str | None, level: float, cluster: str
) -> list[Estimate]:
    """Both averages of each contrast and their difference."""
    whom = ("participants", "clusters")
    chosen = check_scale(pair[0], scale)
    means = [averages_of(fit, variable, average=average) for fit, average in zip(pair, whom, strict=True)]
    rows = []
    for k in range(1, len(means[0])):
        parts = [compared(chosen, each[0], each[k]) for each in means]
        both = []
        for fit, average, (value, gradient) in zip(pair, whom, parts, strict=True):
            words = "participant-average" if average == "participants" else f"cluster-average ({cluster})"
            both.append(
                fit.estimate_of(
                    f"{means[0][k].term}, average over {average}",
                    value,
                    gradient,
                    scale=chosen,
                    level=level,
                    method=f", {words} effect (delta method)",
                    details={"average": average},
                )
            )
        rows += [*both, _difference(pair, both, [gradient for _, gradient in parts], means[0][k].term)]
    return rows


def _difference(
    pair: Sequence[RegressionFit], both: Sequence[Estimate], gradients: Sequence[Floats], term: str
) -> Estimate:
    """Cluster average less participant average; on ratio scales their ratio."""
    participants, clusters = both
    ratio = participants.scale in RATIO_SCALES
    value = clusters.estimate / participants.estimate if ratio else clusters.estimate - participants.estimate
    pieces = []
    for fit, gradient in zip(pair, gradients, strict=True):
        robust = fit.need_covariance().robust
        assert robust is not None
        pieces.append(robust.scores @ gradient if len(robust.scores) == both[0].n_clusters else None)
    apart = None if pieces[0] is None or pieces[1] is None else pieces[1] - pieces[0]
    se = math.nan if apart is None else math.sqrt(float(apart @ apart))
    return Estimate.from_normal(
        term=f"{term}, clusters {'/' if ratio else '-'} participants",
        estimate=value,
        se=se if math.isfinite(value) else math.nan,
        df=min(participants.df, clusters.df),
        level=participants.level,
        scale=participants.scale,
        units=participants.units,
        method="Cluster-average against participant-average effect, CR2 of both fits together, smaller Satterthwaite df",
        n=participants.n,
        n_clusters=participants.n_clusters,
        citation=CITATION,
        details={"compares": ("clusters", "participants")},
    )
