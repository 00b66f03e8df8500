"""Classical, heteroskedasticity-robust and cluster-robust inference behind one object."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError, check_choice
from wwc_eval.inference.cluster_robust import CR_KINDS, ClusterLayout, ClusterRobust, cluster_robust
from wwc_eval.inference.families import Floats
from wwc_eval.inference.glm import Kernel

__all__ = ["DF_RULES", "FEW_CLUSTERS", "FEW_PER_ARM", "VCOV_KINDS", "Covariance", "make_covariance"]

HC_KINDS = ("HC0", "HC1", "HC2", "HC3")
VCOV_KINDS = ("classical", *HC_KINDS, *CR_KINDS)
"""Names of the covariances, the same everywhere in the package."""

DF_RULES = ("clusters", "satterthwaite")
FEW_CLUSTERS = 40
FEW_PER_ARM = 10
LOW_DF = 4.0
VANISHED = 1e-20

_CITATIONS = {
    "classical": "",
    "HC0": "White 1980, doi:10.2307/1912934",
    "HC1": "MacKinnon and White 1985, doi:10.1016/0304-4076(85)90158-7",
    "HC2": "MacKinnon and White 1985, doi:10.1016/0304-4076(85)90158-7",
    "HC3": "MacKinnon and White 1985, doi:10.1016/0304-4076(85)90158-7",
    "CR0": "Liang and Zeger 1986, doi:10.1093/biomet/73.1.13",
    "CR1": "Liang and Zeger 1986, doi:10.1093/biomet/73.1.13",
    "CR1S": "Liang and Zeger 1986, doi:10.1093/biomet/73.1.13",
    "CR2": "Pustejovsky and Tipton 2018, doi:10.1080/07350015.2016.1247004",
    "CR3": "Pustejovsky and Tipton 2018, doi:10.1080/07350015.2016.1247004",
}


@dataclass(frozen=True, kw_only=True)
class Covariance:
    """Covariance of the coefficients with its degrees of freedom.

    Parameters
    ----------
    kind : str
        One of :data:`VCOV_KINDS`.
    matrix : ndarray, shape (p, p)
        The covariance.
    constant_df : float
        Degrees of freedom of every contrast (infinity: normal), unless they are Satterthwaite's.
    robust : ClusterRobust, optional
        The clustered pieces.
    satterthwaite : bool
        Whether each contrast has its own Satterthwaite degrees of freedom.
    cluster : str, optional
        Name of the cluster column.
    warnings : tuple of str
        What holds for every coefficient.
    """

    kind: str
    matrix: Floats
    constant_df: float
    robust: ClusterRobust | None = None
    satterthwaite: bool = False
    cluster: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def n_clusters(self) -> int | None:
        """Number of clusters, where errors are clustered."""
        return self.robust.layout.n_clusters if self.robust else None

    @property
    def citation(self) -> str:
        """The paper behind it."""
        return _CITATIONS[self.kind]

    @property
    def words(self) -> str:
        """The inference in words."""
        if self.robust is not None:
            reference = "Satterthwaite degrees of freedom" if self.satterthwaite else self._reference()
            return f"errors clustered by {self.cluster} ({self.kind}), {reference}"
        errors = "classical errors" if self.kind == "classical" else f"robust errors ({self.kind})"
        return f"{errors}, {self._reference()}"

    def _reference(self) -> str:
        if math.isinf(self.constant_df):
            return "normal distribution"
        return f"t with {self.constant_df:,.0f} df"

    def df(self, contrast: Floats) -> float:
        """Degrees of freedom of one contrast of the coefficients."""
        if self.satterthwaite and self.robust is not None:
            return self.robust.satterthwaite(contrast) if np.any(contrast) else math.nan
        return self.constant_df

    def variance(self, contrast: Floats) -> float:
        """Variance of one contrast; NaN where clusters fit it exactly, so that only rounding is left."""
        found = float(contrast @ self.matrix @ contrast)
        if self.robust is not None:
            kernel = self.robust.kernel
            direction = kernel.to_q(contrast)
            if found <= VANISHED * kernel.dispersion * float(direction @ direction):
                return math.nan
        return max(found, 0.0)

    def contrast_warnings(self, df: float, fewest: int | None) -> tuple[str, ...]:
        """Warnings for one estimate, given its df and the clusters on the smaller side of its comparison."""
        if self.robust is None:
            return self.warnings
        found = list(self.warnings)
        if self.satterthwaite and df < LOW_DF:
            found.append(
                "Satterthwaite degrees of freedom below 4: the p-value is only roughly right; "
                "prefer a randomisation test"
            )
        if not self.satterthwaite and fewest is not None and fewest < FEW_PER_ARM:
            found.append(
                f"Fewer than {FEW_PER_ARM} clusters on one side of a comparison: {self.kind} errors with "
                "clusters - 1 df are too small; use CR2"
            )
        return tuple(found)


def make_covariance(
    kernel: Kernel,
    kind: str,
    *,
    codes: NDArray[np.intp] | None = None,
    cluster: str | None = None,
    df: str | None = None,
) -> Covariance:
    """Covariance of the coefficients of a fit.

    Parameters
    ----------
    kernel : Kernel
        The fit.
    kind : str
        One of :data:`VCOV_KINDS`.
    codes : ndarray of int, shape (n,), optional
        Cluster of each row; needed by the clustered kinds and refused by the others.
    cluster : str, optional
        Name of the cluster column, for words and errors.
    df : {"clusters", "satterthwaite"}, optional
        Degrees of freedom of a clustered kind. By default clusters - 1 for CR0, CR1 and CR1S, Satterthwaite
        for CR2 and CR3.

    Returns
    -------
    Covariance

    Raises
    ------
    DesignError
        If kind, clusters and df do not go together, or there are fewer than two clusters.
    """
    check_choice("vcov", kind, VCOV_KINDS)
    if df is not None:
        check_choice("df", df, DF_RULES)
    if kind not in CR_KINDS:
        if codes is not None:
            raise DesignError(
                f"vcov == '{kind}' makes no use of cluster '{cluster}'",
                fix="use vcov='CR1' or 'CR2' for clustered errors, or leave out cluster",
            )
        if df is not None:
            raise DesignError(f"df == '{df}' needs clustered errors", fix="use vcov='CR1', or leave out df")
        return _unclustered(kernel, kind)
    if codes is None:
        raise DesignError(f"vcov == '{kind}' needs clusters", fix="name the column: cluster='family_id'")
    layout = ClusterLayout.from_codes(codes)
    _check_clusters(kernel, kind, layout, cluster)
    robust = cluster_robust(kernel, layout, kind)
    satterthwaite = df == "satterthwaite" or (df is None and kind in ("CR2", "CR3"))
    return Covariance(
        kind=kind,
        matrix=robust.vcov,
        constant_df=layout.n_clusters - 1.0,
        robust=robust,
        satterthwaite=satterthwaite,
        cluster=cluster,
        warnings=_few_clusters(kind, layout.n_clusters, satterthwaite=satterthwaite),
    )


def _check_clusters(kernel: Kernel, kind: str, layout: ClusterLayout, cluster: str | None) -> None:
    if layout.n_clusters < 2:
        raise DesignError(
            f"cluster '{cluster}' has {layout.n_clusters} value in the rows used, must have at least 2",
            fix="cluster at the level that was randomised, or use vcov='HC2'",
        )
    if kind == "CR1S" and kernel.n <= kernel.p:
        raise DesignError(f"vcov == 'CR1S' with {kernel.n} rows and {kernel.p} columns, needs more rows")


def _few_clusters(kind: str, n_clusters: int, *, satterthwaite: bool) -> tuple[str, ...]:
    if satterthwaite or n_clusters >= FEW_CLUSTERS or kind in ("CR2", "CR3"):
        return ()
    said = f"{n_clusters} clusters: below about {FEW_CLUSTERS}, {kind} errors with clusters - 1 df are too small"
    return (f"{said}; use vcov='CR2' with Satterthwaite df",)


def _unclustered(kernel: Kernel, kind: str) -> Covariance:
    residual_df = float(kernel.n - kernel.p)
    if kind == "classical":
        df = residual_df if kernel.estimated_dispersion else math.inf
        matrix = kernel.classical_scale * kernel.outer(np.eye(kernel.p))
        return Covariance(kind=kind, matrix=matrix, constant_df=df)
    square = kernel.residual**2
    warnings: tuple[str, ...] = ()
    if kind in ("HC2", "HC3"):
        gap = 1.0 - np.einsum("ij,ij->i", kernel.Q, kernel.Q)
        alone = gap < 1e-10
        if alone.any():
            # such a row fits itself: its residual is zero and tells nothing of its variance
            warnings = (
                f"{int(alone.sum())} rows are fitted by a column of their own; {kind} takes their variance as 0",
            )
        power = 1.0 if kind == "HC2" else 2.0
        square = np.where(alone, 0.0, square / np.where(alone, 1.0, gap) ** power)
    middle = (kernel.Q * square[:, None]).T @ kernel.Q
    if kind == "HC1":
        middle = middle * (kernel.n / residual_df if residual_df > 0 else math.nan)
    df = residual_df if kernel.gaussian else math.inf
    return Covariance(kind=kind, matrix=kernel.outer(middle), constant_df=df, warnings=warnings)
