"""The result of a regression: frozen, with inference that can be changed without a refit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import ConvergenceError, DesignError, check_number
from wwc_eval.estimate import SCALES, Estimate, Estimates
from wwc_eval.inference.clusters import Clusters, read_clusters
from wwc_eval.inference.covariance import Covariance, make_covariance
from wwc_eval.inference.families import Floats
from wwc_eval.inference.fitted import Fitted
from wwc_eval.inference.frames import to_pandas
from wwc_eval.inference.reported import RegressionReports
from wwc_eval.inference.wald import WaldTest, columns_of, wald_test
from wwc_eval.inference.wording import NO_VARIANCE, NOT_ESTIMABLE, fit_warnings, message_of, notes_of, status_of
from wwc_eval.table import Grid, Rendered

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Design

__all__ = ["RegressionFit"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RegressionFit(RegressionReports, Rendered):
    """A fitted regression. Made by :func:`wwc_eval.regression`.

    Parameters
    ----------
    level : float
        Coverage of the intervals.
    inference : str
        Name of the covariance, such as ``"CR1"``.
    covariance : Covariance, optional
        Covariance of the estimated coefficients; None where there is no fit.
    fitted : Fitted
        The fit on arrays, with its data.
    source : pandas.DataFrame
        The data as given.
    clusters : Clusters, optional
        Clusters of the rows used, kept also while the errors make no use of them.
    """

    level: float
    inference: str
    covariance: Covariance | None
    fitted: Fitted = field(repr=False)
    source: pd.DataFrame = field(repr=False)
    clusters: Clusters | None = field(repr=False)

    @classmethod
    def from_fitted(
        cls,
        fitted: Fitted,
        *,
        source: pd.DataFrame,
        vcov: str,
        clusters: Clusters | None,
        df: str | None,
        level: float,
    ) -> RegressionFit:
        """Fit with its inference; ``clusters`` are those of the rows used."""
        covariance = None
        if fitted.converged and fitted.solution is not None:
            covariance = make_covariance(
                fitted.solution.kernel,
                vcov,
                codes=None if clusters is None else clusters.codes[fitted.rows],
                cluster=None if clusters is None else clusters.name,
                df=df,
            )
        return cls(
            level=level, inference=vcov, covariance=covariance, fitted=fitted, source=source, clusters=clusters
        )

    # --- what was fitted

    @property
    def design_info(self) -> Design:
        """Response, matrix, levels and rows used."""
        return self.fitted.design

    @property
    def formula(self) -> str:
        """Canonical text of the formula."""
        return self.fitted.design.formula.text

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.fitted.family.name

    @property
    def outcome(self) -> str:
        """Text of the outcome."""
        response = self.fitted.design.formula.response
        return response.text if response else ""

    @property
    def n(self) -> int:
        """Rows used."""
        return len(self.fitted.y)

    @property
    def n_clusters(self) -> int | None:
        """Clusters behind the errors, where they are clustered."""
        return self.covariance.n_clusters if self.covariance else None

    @property
    def cluster(self) -> str | None:
        """Column of the clusters, where errors are clustered."""
        return self.covariance.cluster if self.covariance else None

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return self.fitted.design.terms

    @property
    def dropped(self) -> Mapping[str, int]:
        """Rows missing by column."""
        return MappingProxyType(dict(self.fitted.design.dropped))

    @property
    def aliased(self) -> tuple[Any, ...]:
        """Columns left out because earlier ones determine them (``.term``, ``.combination``)."""
        return tuple(self.fitted.design.aliased)

    @property
    def reference_levels(self) -> Mapping[str, Any]:
        """Reference level of each factor."""
        return MappingProxyType(dict(self.fitted.design.reference_levels))

    @property
    def df_residual(self) -> int:
        """Rows minus coefficients, of those that inform the fit."""
        return int(self.fitted.rows.sum()) - len(self.fitted.columns)

    @property
    def dispersion(self) -> float:
        """Pearson chi-squared over residual df: residual variance (gaussian) or overdispersion (else)."""
        return self.fitted.solution.kernel.dispersion if self.fitted.solution else math.nan

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood as R's ``logLik``; NaN for quasi-Poisson."""
        return self.fitted.solution.log_likelihood if self.fitted.solution else math.nan

    @property
    def coefficients(self) -> Mapping[str, float]:
        """Coefficient of each term; NaN where not estimable."""
        return MappingProxyType(dict(zip(self.terms, self.fitted.coefficients.tolist(), strict=True)))

    @property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the coefficients, named on both sides; NaN where not estimable."""
        import pandas as pd

        p = len(self.terms)
        full = np.full((p, p), np.nan)
        if self.covariance is not None:
            full[np.ix_(self.fitted.columns, self.fitted.columns)] = self.covariance.matrix
            full[~self.fitted.estimable, :] = np.nan
            full[:, ~self.fitted.estimable] = np.nan
        return pd.DataFrame(full, index=list(self.terms), columns=list(self.terms))

    # --- how it went

    @property
    def status(self) -> str:
        """``ok``, ``dropped_columns``, ``separated`` or ``failed``."""
        return status_of(self.fitted)

    @property
    def message(self) -> str:
        """The status in a sentence."""
        return message_of(self.fitted)

    # --- estimates

    @cached_property
    def estimates(self) -> Estimates:
        """Coefficients in formula order, on the scale of the link."""
        return Estimates(
            self._coefficient_rows(ratio=False),
            title=self._title_text(),
            notes=notes_of(self.fitted, self.covariance),
        )

    def ratios(self) -> Estimates:
        """Conditional odds ratios or rate ratios: exponentiated coefficients, without the intercept.

        These compare two rows that differ in one column alone. A *marginal* odds ratio, averaged over the
        sample, is ``marginal_effect(variable, scale="odds_ratio")``.

        Raises
        ------
        DesignError
            For a gaussian family, whose coefficients are differences.
        """
        if self.fitted.family.ratio_scale is None:
            raise DesignError(
                "coefficients of a gaussian family are differences, not logarithms of ratios",
                fix="read .estimates, or use family='binomial' or 'poisson'",
            )
        title = f"Conditional {SCALES[self.fitted.family.ratio_scale]}s. {self._title_text()}"
        return Estimates(
            self._coefficient_rows(ratio=True), title=title, notes=notes_of(self.fitted, self.covariance)
        )

    def ratio(self, term: str) -> Estimate:
        """Conditional odds ratio or rate ratio of one term."""
        return self.ratios()[term]

    def _coefficient_rows(self, *, ratio: bool) -> list[Estimate]:
        family = self.fitted.family
        scale = (family.ratio_scale or "") if ratio else family.coefficient_scale
        place = {int(column): index for index, column in enumerate(self.fitted.columns)}
        rows = []
        for index, (term, value) in enumerate(self.coefficients.items()):
            if ratio and term == "(Intercept)":
                continue
            contrast = np.zeros(len(self.fitted.columns))
            if index in place:
                contrast[place[index]] = 1.0
            estimate = math.exp(value) if ratio and value < 700 else value
            column = self.fitted.design.X[:, index]
            fewest = None if self.clusters is None else self.clusters.fewest_sides(column)
            rows.append(self.estimate_of(term, estimate, contrast, scale=scale, fewest=fewest))
        return rows

    def estimate_of(
        self,
        term: str,
        estimate: float,
        gradient: Floats,
        *,
        scale: str,
        level: float | None = None,
        fewest: int | None = None,
        method: str = "",
        **rest: Any,
    ) -> Estimate:
        """Estimate whose variance follows from a gradient in the fitted coefficients (the delta method)."""
        se = df = math.nan
        warnings: tuple[str, ...] = ()
        if math.isnan(estimate):
            warnings = (NOT_ESTIMABLE if self.fitted.separation else "Not estimable",)
        elif self.covariance is not None:
            se = math.sqrt(self.covariance.variance(gradient))
            df = self.covariance.df(gradient)
            warnings = (
                *((NO_VARIANCE,) if math.isnan(se) else ()),
                *self.covariance.contrast_warnings(df, fewest),
                *fit_warnings(self.fitted, self.inference),
            )
        inference = self.covariance.words if self.covariance else "nothing estimated"
        found = Estimate.from_normal(
            term=term,
            estimate=estimate,
            se=se,
            df=df,
            level=self.level if level is None else check_number("level", level, above=0, below=1),
            scale=scale,
            units="percentage points" if scale == "risk_difference" else SCALES.get(scale, scale),
            method=f"{self.fitted.family.words}{method}; {inference}",
            n=self.n,
            n_clusters=self.n_clusters,
            warnings=warnings,
            citation=self.covariance.citation if self.covariance else "",
            **rest,
        )
        return found if math.isfinite(se) else found.replace(ci_low=math.nan, ci_high=math.nan)

    # --- other questions to the same fit

    def with_inference(
        self,
        vcov: str,
        *,
        cluster: str | Sequence[Any] | None = None,
        df: str | None = None,
        level: float | None = None,
    ) -> RegressionFit:
        """The same fit with other errors; nothing is fitted again.

        Parameters
        ----------
        vcov, cluster, df, level
            As in :func:`wwc_eval.regression`. Without ``cluster`` a clustered kind keeps the clusters that
            the fit already has.

        Raises
        ------
        DataError
            If a row used has no cluster: that would change the sample.
        """
        clusters = None
        if cluster is not None:
            clusters = read_clusters(self.source, self.fitted.design.rows, cluster)
        elif vcov.startswith("CR"):
            clusters = self.clusters
        fresh = RegressionFit.from_fitted(
            self.fitted,
            source=self.source,
            vcov=vcov,
            clusters=clusters,
            df=df,
            level=self.level if level is None else check_number("level", level, above=0, below=1),
        )
        return replace(fresh, clusters=clusters or self.clusters)

    def refit_many(self, outcomes: Any = None, arms: Any = None, **options: Any) -> pd.DataFrame:
        """Fits to many outcomes or allocations; see :func:`wwc_eval.inference.refit.refit_regression`."""
        from wwc_eval.inference.refit import refit_regression

        return refit_regression(self, outcomes, arms, **options)

    def wald_test(self, terms: str | Sequence[str]) -> WaldTest:
        """Joint test that coefficients are zero.

        Parameters
        ----------
        terms : str or sequence of str
            Names of coefficients (``"arm[programme]"``) or of terms of the formula (``"arm:sex"``,
            ``"local_authority"``), which stand for all their coefficients.

        Returns
        -------
        WaldTest
            F test; chi-squared where inference is normal; the AHT test of Pustejovsky and Tipton (2018)
            under Satterthwaite df.
        """
        covariance = self.need_covariance()
        indices = columns_of(self.fitted.design, [terms] if isinstance(terms, str) else list(terms))
        names = [self.terms[index] for index in indices]
        lost = [name for name, index in zip(names, indices, strict=True) if not self.fitted.estimable[index]]
        if lost:
            raise DesignError(f"'{lost[0]}': {NOT_ESTIMABLE}", fix="test other terms")
        positions = np.searchsorted(self.fitted.columns, indices)
        contrasts = np.eye(len(self.fitted.columns))[:, positions]
        beta = self.fitted.coefficients[self.fitted.columns]
        return wald_test(np.nan_to_num(beta), covariance, contrasts, names)

    def predict(self, data: Any = None) -> Floats:
        """Expected outcome of each row: mean, probability, or count (rate where no exposure is known).

        Parameters
        ----------
        data : DataFrame, optional
            Rows to predict for; the rows used where it is missing. A fit with an exposure column predicts
            counts for data that have this column, else rates per unit of exposure.

        Returns
        -------
        ndarray, shape (len(data),)
        """
        self.need_covariance()
        design, fitted = self.fitted.design, self.fitted
        if data is None:
            mean = fitted.moments(design.X).mean
            return mean if fitted.exposure is None else np.asarray(mean * fitted.exposure)
        frame = to_pandas(data)
        mean = fitted.moments(design.matrix(frame)).mean
        if fitted.exposure_column not in frame.columns:
            return mean
        return np.asarray(mean * np.asarray(frame[fitted.exposure_column], dtype=float))

    def need_covariance(self) -> Covariance:
        """The covariance, or an error that says why there is none."""
        if self.covariance is None:
            raise ConvergenceError(self.message, fix="change the model before asking for more")
        return self.covariance

    # --- how it is shown

    def to_dicts(self) -> list[dict[str, Any]]:
        """Coefficients as rows of raw values."""
        return self.estimates.to_dicts()

    def to_frame(self, *, full: bool = False) -> pd.DataFrame:
        """Coefficients as a data frame."""
        return self.estimates.to_frame(full=full)

    def _grid(self) -> Grid:
        return self.estimates._grid()

    def _title(self) -> str:
        return self.estimates._title()

    def _notes(self) -> tuple[str, ...]:
        return self.estimates._notes()

    def _title_text(self) -> str:
        inference = self.covariance.words if self.covariance else "nothing estimated"
        return f"{self.fitted.family.words}: {self.formula}; {inference}"

    def __repr__(self) -> str:
        """Coefficients as a table."""
        return str(self)
