"""The fitted multilevel model, for every family: what does not depend on how it was fitted.

:class:`MultilevelFit` holds the data and asks its family's subclass for coefficients, covariances of the random
effects and inference; tables, joint tests and plots are made here.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, did_you_mean
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.wald import WaldTest, upper_tail
from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.optimiser import Optimiser
from wwc_eval.multilevel.reading import ModelData
from wwc_eval.multilevel.small_sample.inference import Inference
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["MultilevelFit"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MultilevelFit(Rendered):
    """A fitted multilevel model. Look at ``status`` before the numbers.

    Parameters
    ----------
    data : ModelData
        Formula, design and groups.
    level : float
        Coverage of intervals.
    """

    data: ModelData
    level: float

    # --- what a family says

    @property
    @abstractmethod
    def family(self) -> str:
        """Name of the outcome family."""

    @property
    @abstractmethod
    def method(self) -> str:
        """How it was fitted: ``reml``, ``ml``, ``laplace`` or ``agq``."""

    @property
    @abstractmethod
    def coefficients(self) -> Array:
        """Fixed effects (p,), in formula order, on the scale of the link."""

    @property
    @abstractmethod
    def covariances(self) -> tuple[Array, ...]:
        """Covariance of the random effects of each grouping factor, in the order of ``data.groupings``."""

    @property
    @abstractmethod
    def residual_variance(self) -> float | None:
        """Residual variance, or None where the family has none."""

    @property
    @abstractmethod
    def inference(self) -> Inference:
        """Covariance of the fixed effects with its reference distribution."""

    @property
    @abstractmethod
    def criterion(self) -> float:
        """What was minimised: lme4's REML criterion, or a deviance (minus twice the log-likelihood)."""

    @property
    @abstractmethod
    def status(self) -> str:
        """``ok``, ``boundary``, ``dropped_columns``, ``separated`` or ``failed``."""

    @property
    @abstractmethod
    def message(self) -> str:
        """The status in a sentence."""

    @property
    @abstractmethod
    def optimiser(self) -> Optimiser:
        """Record of the search."""

    @property
    @abstractmethod
    def _words(self) -> str:
        """The model in words, such as ``Linear mixed model (REML)``."""

    @property
    @abstractmethod
    def _coefficient_scale(self) -> str:
        """Scale of the fixed effects."""

    # --- sample

    @property
    def formula(self) -> str:
        """Canonical text of the formula."""
        return self.data.formula.text

    @property
    def n(self) -> int:
        """Rows used."""
        return self.data.n

    @property
    def groups(self) -> dict[str, int]:
        """Number of groups of each grouping factor."""
        return {grouping.name: grouping.n_groups for grouping in self.data.groupings}

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the fixed effects."""
        return self.data.terms

    @property
    def n_clusters(self) -> int:
        """Clusters behind the inference: those of robust errors, else groups of the smallest factor."""
        clusters = self.inference.clusters
        if clusters is not None:
            return len(np.unique(clusters.codes))
        return min(self.groups.values())

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood at the fit; restricted for REML."""
        return -0.5 * self.criterion

    # --- estimates

    @cached_property
    def estimates(self) -> Estimates:
        """Fixed effects in formula order, on the scale of the link."""
        contrasts = np.eye(len(self.terms))
        rows = [self._estimate(term, contrast) for term, contrast in zip(self.terms, contrasts, strict=True)]
        return Estimates(rows, title=self._title_text(), notes=self._note_texts())

    @property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the fixed effects under the chosen inference, with terms as labels."""
        import pandas as pd

        return pd.DataFrame(self.inference.vcov, index=list(self.terms), columns=list(self.terms))

    def contrast(self, weights: dict[str, float], *, term: str | None = None) -> Estimate:
        """Weighted sum of fixed effects with the fit's inference.

        Parameters
        ----------
        weights : dict
            Weight of each term named, such as ``{"arm[b]": 1, "arm[a]": -1}``.
        term : str, optional
            Name of the result.

        Raises
        ------
        DesignError
            If the model has no such term.
        """
        vector = np.zeros(len(self.terms))
        for name, weight in weights.items():
            if name not in self.terms:
                raise DesignError(f"the model has no term '{name}'", fix=did_you_mean(name, self.terms))
            vector[self.terms.index(name)] = weight
        return self._estimate(term or _sum_text(weights), vector)

    def _estimate(self, term: str, contrast: Array, **changes: Any) -> Estimate:
        """Estimate of one contrast of the fixed effects; missing values where the fit failed."""
        if self.status == "failed":
            return Estimate(
                term=term,
                estimate=math.nan,
                se=math.nan,
                df=math.nan,
                statistic=math.nan,
                p_value=math.nan,
                ci_low=math.nan,
                ci_high=math.nan,
                level=self.level,
                scale=self._coefficient_scale,
                method=f"{self._words}; no inference",
                n=self.n,
                warnings=(self.message,),
            )
        inference = self.inference
        value = float(contrast @ self.coefficients)
        variance = float(contrast @ inference.vcov @ contrast)
        se = math.sqrt(variance) if variance >= 0 else math.nan
        df = float(inference.reference.df(contrast[None])[0]) if se > 0 else math.nan
        rest: dict[str, Any] = {
            "scale": self._coefficient_scale,
            "units": "",
            "method": f"{self._words}; {inference.words}",
            "warnings": inference.warnings(df),
            **changes,
        }
        return Estimate.from_normal(
            term=term,
            estimate=value,
            se=se,
            df=df,
            level=self.level,
            n=self.n,
            n_clusters=self.n_clusters,
            citation=inference.citation,
            **rest,
        )

    def test(self, terms: str | Sequence[str]) -> WaldTest:
        """Joint test that coefficients are all zero, with the fit's inference.

        Satterthwaite: Fai and Cornelius' F; Kenward-Roger: their scaled F; robust: the approximate Hotelling
        (AHT) test of Tipton and Pustejovsky (2015, doi:10.3102/1076998615606099); Wald: chi-squared.

        Parameters
        ----------
        terms : str or sequence of str
            Names of coefficients (``"arm[programme]"``) or of terms of the formula (``"arm:sex"``), which stand
            for all their coefficients.

        Returns
        -------
        WaldTest

        Raises
        ------
        DesignError
            If the model has no such term, or their covariance is singular.
        """
        places = self.places_of([terms] if isinstance(terms, str) else list(terms))
        contrasts = np.eye(len(self.terms))[places]
        gap = contrasts @ self.coefficients
        vcov = self.inference.vcov
        middle = contrasts @ vcov @ contrasts.T
        size = np.sqrt(np.diag(middle))
        spectrum = np.linalg.eigvalsh(middle / np.outer(size, size))
        if not np.all(np.isfinite(spectrum)) or spectrum[0] < 1e-12:
            raise DesignError(
                "the tested coefficients have a singular covariance",
                fix="test fewer terms at once, or cluster at a lower level",
            )
        joint = self.inference.reference.joint(contrasts, vcov)
        quadratic = float(gap @ np.linalg.solve(middle, gap))
        statistic = joint.scale * quadratic / len(places)
        return WaldTest(
            terms=tuple(self.terms[place] for place in places),
            statistic=statistic,
            df_numerator=float(len(places)),
            df_denominator=joint.df,
            p_value=upper_tail(statistic, float(len(places)), joint.df),
            method=f"{joint.words} with {self.inference.words}",
        )

    def places_of(self, names: Sequence[str]) -> list[int]:
        """Positions of the coefficients that names of coefficients, or of terms of the formula, stand for.

        Raises
        ------
        DesignError
            If the model has no such term, or none is named.
        """
        fixed = {term.text: position for position, term in enumerate(self.data.formula.fixed)}
        found: list[int] = []
        for name in names:
            if name in self.terms:
                found.append(self.terms.index(name))
                continue
            inside = [k for k, owner in enumerate(self.data.design.assign) if owner == fixed.get(name)]
            if name not in fixed or not inside:
                raise DesignError(
                    f"the model has no term '{name}'", fix=did_you_mean(name, dict.fromkeys([*fixed, *self.terms]))
                )
            found += inside
        if not found:
            raise DesignError("no term is named", fix="name at least one term of the formula")
        return sorted(set(found))

    # --- variances

    @cached_property
    def variance_components(self) -> Table:
        """Variances, standard deviations and correlations of the random effects; the residual last."""
        rows: list[dict[str, Any]] = []
        for grouping, covariance in zip(self.data.groupings, self.covariances, strict=True):
            size = np.sqrt(np.diag(covariance))
            for block in grouping.blocks:
                for place, i in enumerate(block):
                    rows.append(_component(grouping.name, grouping.columns[i], covariance[i, i], size[i]))
                    for j in block[:place]:
                        names = (grouping.columns[j], grouping.columns[i])
                        rows.append(_pair(grouping.name, names, covariance[i, j], size[i] * size[j]))
        if self.residual_variance is not None:
            rows.append(_component("Residual", "", self.residual_variance, math.sqrt(self.residual_variance)))
        columns = [
            Column(name="group"),
            Column(name="term_1", label="term"),
            Column(name="term_2", label="with"),
            Column(name="variance", label="variance or covariance", kind="number", digits=4),
            Column(name="sd", label="SD", kind="number", digits=4),
            Column(name="correlation", kind="number"),
        ]
        return Table(rows, columns, title="Variance components")

    # --- how it is shown

    def plot(self, ax: Axes | None = None) -> Axes:
        """Fixed effects with their intervals (without the intercept)."""
        from wwc_eval.multilevel.plots import plot_estimates

        return plot_estimates(self, ax)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Fixed effects as rows of raw values."""
        return self.estimates.to_dicts()

    def _grid(self) -> Grid:
        return self.estimates._grid()

    def _title(self) -> str:
        return self.estimates._title()

    def _notes(self) -> tuple[str, ...]:
        return self.estimates._notes()

    def _title_text(self) -> str:
        words = "no inference" if self.status == "failed" else self.inference.words
        return f"{self._words}: {self.formula}; {words}"

    def _note_texts(self) -> list[str]:
        listed = ", ".join(f"{count:,} {name}" for name, count in self.groups.items())
        notes = [f"n = {self.n:,} rows in groups: {listed}.", *self.data.design.notes]
        if self.status != "ok":
            notes.append(f"Status {self.status}. {self.message}")
        return notes

    def __repr__(self) -> str:
        """Fixed effects as a table."""
        return str(self)


def _sum_text(weights: dict[str, float]) -> str:
    """A weighted sum in words, such as ``arm[b] - 0.5 arm[a]``."""
    parts = []
    for name, weight in weights.items():
        sign = "- " if weight < 0 else "+ "
        parts.append(f"{sign}{name}" if abs(weight) == 1 else f"{sign}{abs(weight):g} {name}")
    return " ".join(parts).removeprefix("+ ")


def _component(group: str, term: str, variance: float, sd: float) -> dict[str, Any]:
    return {
        "group": group,
        "term_1": term,
        "term_2": "",
        "variance": float(variance),
        "sd": float(sd),
        "correlation": math.nan,
    }


def _pair(group: str, names: tuple[str, str], covariance: float, size: float) -> dict[str, Any]:
    return {
        "group": group,
        "term_1": names[0],
        "term_2": names[1],
        "variance": float(covariance),
        "sd": math.nan,
        "correlation": float(covariance / size) if size > 0 else math.nan,
    }
