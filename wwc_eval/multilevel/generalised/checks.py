"""Doors of a generalised mixed model to what checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.multilevel.engine.structure import Array
    from wwc_eval.multilevel.generalised.fit import GeneralisedFit
    from wwc_eval.table import Table

__all__ = ["GeneralisedChecks"]


class GeneralisedChecks:
    """Methods of :class:`GeneralisedFit` that look at what the model assumes."""

    def residuals(self, kind: str = "pearson", *, rng: Any = None) -> Array:
        """Residuals (n,) given the random effects: ``pearson``, or randomised ``quantile`` ones (with ``rng``)."""
        from wwc_eval.multilevel.generalised.diagnostics import residuals

        return residuals(cast("GeneralisedFit", self), kind, rng=rng)

    def diagnostics(self, *, rng: Any = None) -> Table:
        """Random effects, and quantile residuals with ``rng``, against what the model assumes of them."""
        from wwc_eval.multilevel.generalised.diagnostics import diagnostics

        return diagnostics(cast("GeneralisedFit", self), rng=rng)

    def calibration(self, bins: int = 10) -> Table:
        """Observed and expected outcomes in groups of rows of like prediction."""
        from wwc_eval.multilevel.generalised.diagnostics import calibration

        return calibration(cast("GeneralisedFit", self), bins)

    def variance_explained(self) -> Table:
        """Marginal and conditional share of variance explained on the scale of the link (Nakagawa and others 2017)."""
        from wwc_eval.multilevel.generalised.diagnostics import variance_explained

        return variance_explained(cast("GeneralisedFit", self))

    def vif(self) -> Table:
        """Variance inflation factors of the fixed effects."""
        from wwc_eval.multilevel.diagnostics import vif

        return vif(cast("GeneralisedFit", self))

    def plot_qq(self, of: str | None = None, ax: Axes | None = None, *, rng: Any = None) -> Axes:
        """Normal Q-Q plot of the random effects of a factor (the first), or of quantile ``residuals`` with ``rng``."""
        from wwc_eval.multilevel.generalised.diagnostics import residuals, standardised_effects
        from wwc_eval.multilevel.plots import draw_qq

        fit = cast("GeneralisedFit", self)
        if of == "residuals":
            return draw_qq({"residuals": residuals(fit, "quantile", rng=rng)}, "quantile residuals", ax)
        grouping = fit.data.groupings[0] if of is None else fit.data.grouping(of)
        values = standardised_effects(fit, grouping.name)
        series = {term: values[:, k] for k, term in enumerate(grouping.columns)}
        return draw_qq(series, f"standardised effect of {grouping.name}", ax)

    def plot_residuals(self, ax: Axes | None = None) -> Axes:
        """Mean Pearson residual in groups of rows of like prediction, with the band where 95% of them should lie."""
        from wwc_eval.multilevel.plots import draw_binned

        fit = cast("GeneralisedFit", self)
        return draw_binned(fit.predict(), self.residuals(), ax)
