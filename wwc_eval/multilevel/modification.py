"""Effect of a variable in each group of another, and how much it differs between the groups, for every family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, did_you_mean
from wwc_eval.estimate import RATIO_SCALES, Estimate, Estimates
from wwc_eval.formula.columns import label_of
from wwc_eval.inference.averages import compared
from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.generalised.fit import GeneralisedFit
from wwc_eval.multilevel.generalised.marginal import SCALES, average_at, estimate_of
from wwc_eval.multilevel.generalised.predictions import require_fit
from wwc_eval.multilevel.linear import LinearFit
from wwc_eval.multilevel.marginal import SCALES as LINEAR_SCALES
from wwc_eval.multilevel.marginal import levels_of, setting

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.multilevel.fit import MultilevelFit

__all__ = ["effect_modification"]


def effect_modification(fit: MultilevelFit, variable: str, by: str, *, scale: str | None = None) -> Estimates:
    """Effect of a variable in each group of another column, and how much it differs between them.

    Both must be in the formula, with their interaction, for the difference to mean anything.

    Parameters
    ----------
    fit : MultilevelFit
        The model.
    variable, by : str
        Factors or 0/1 columns of the fixed part: whose effect, and between which groups.
    scale : str, optional
        As :meth:`marginal_effect` takes it; the family's own where it is missing. An odds ratio is of averaged risks.

    Returns
    -------
    Estimates
        First the difference of each later group from the first (term ``arm[b]: yes - no``; on a ratio scale the ratio
        of ratios, ``yes / no``), then the effect in each group (term ``arm[b] | group: yes``).

    Raises
    ------
    DesignError
        If a variable is not in the fixed part, or has no levels.

    Notes
    -----
    Formula: the contrast of :meth:`marginal_effect` averaged over the rows of each group, over the random effects too;
    differences with the fit's inference for that contrast (linear), or by the delta method from the joint gradient.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from wwc_eval.multilevel import multilevel_model
    >>> rng = np.random.default_rng(1)
    >>> team = np.repeat(np.arange(12), 20)
    >>> boy = np.tile([0, 1], 120)
    >>> y = 0.5 * (team % 2) * boy + 0.3 * rng.normal(size=12)[team] + rng.normal(size=240)
    >>> children = pd.DataFrame({"y": y, "arm": team % 2, "boy": boy, "team": team})
    >>> fit = multilevel_model("y ~ arm * boy + (1 | team)", children)
    >>> found = effect_modification(fit, "arm", "boy")
    >>> [row.term for row in found]
    ['arm: 1 - 0', 'arm | boy: 0', 'arm | boy: 1']
    >>> bool(np.isclose(found[0].estimate, fit.estimates["arm:boy"].estimate))
    True
    """
    known = sorted({name for term in fit.data.formula.fixed for name in term.columns})
    for name in (variable, by):
        if name not in known:
            raise DesignError(f"'{name}' is not in the fixed part", fix=did_you_mean(name, known))
    means = _means_of(fit, scale)
    frame = fit.data.source.iloc[fit.data.rows]
    levels, groups = _levels(fit, variable, frame), _levels(fit, by, frame)
    (reference, _), *others = levels
    marked = {label_of(group): (frame[by] == group).to_numpy(dtype=bool) for group, _ in groups}
    rows: list[Estimate] = []
    for value, name in others:
        parts = {}
        for group, mask in marked.items():
            base, other = (setting(frame, variable, each) for each in (reference, value))
            parts[group] = means.contrast(base, other, mask)
        rows += _rows(means, name, by, parts)
    return Estimates(rows, title=f"Effect of {variable} by {by}; {rows[0].method}")


def _levels(fit: Any, variable: str, frame: pd.DataFrame) -> list[tuple[Any, str]]:
    """Levels that occur, the reference first, with the names of the terms."""
    found = levels_of(fit, variable, frame)
    if found is None:
        raise DesignError(f"'{variable}' is numeric and has no levels", fix="cut the column into levels")
    return [(found[0], ""), *found[1]]


Part = tuple[float, Array]


@dataclass(frozen=True)
class _Linear:
    """Contrasts of a linear mixed model: a value is worked out from its weights."""

    fit: LinearFit
    scale: str

    def contrast(self, base: pd.DataFrame, other: pd.DataFrame, rows: Array) -> Part:
        """Difference between two settings averaged over the rows marked, with its weights."""
        matrix = self.fit.data.design.matrix
        weights = (matrix(other) - matrix(base))[rows].mean(axis=0)
        return float(weights @ self.fit.coefficients), weights

    def estimate(self, term: str, part: Part, words: str) -> Estimate:
        """Estimate of a contrast."""
        found = self.fit._estimate(term, part[1], scale=self.scale)
        return found.replace(method=f"{found.method}; {words}")


@dataclass(frozen=True)
class _Generalised:
    """Contrasts of a generalised mixed model, averaged over the random effects."""

    fit: GeneralisedFit
    scale: str

    def contrast(self, base: pd.DataFrame, other: pd.DataFrame, rows: Array) -> Part:
        """Contrast of two settings averaged over the rows marked, with its gradient."""
        return compared(self.scale, average_at(self.fit, base, rows), average_at(self.fit, other, rows))

    def estimate(self, term: str, part: Part, words: str) -> Estimate:
        """Estimate of a contrast."""
        words = f"{words}, averaged over the random effects (delta method)"
        level = self.fit.level
        return estimate_of(self.fit, term, *part, level=level, scale=self.scale, words=words, details={})


def _means_of(fit: MultilevelFit, scale: str | None) -> _Linear | _Generalised:
    if isinstance(fit, LinearFit):
        return _Linear(fit, check_choice("scale", scale or LINEAR_SCALES[0], LINEAR_SCALES))
    assert isinstance(fit, GeneralisedFit)
    require_fit(fit)
    allowed: Sequence[str] = SCALES["binomial" if fit.family == "binomial" else "counts"]
    return _Generalised(fit, check_choice("scale", scale or allowed[0], tuple(allowed)))


def _rows(means: _Linear | _Generalised, name: str, by: str, parts: Mapping[str, Part]) -> list[Estimate]:
    """Differences of the later groups from the first, then the effect in each."""
    (first, (base, base_gradient)), *others = parts.items()
    ratio = means.scale in RATIO_SCALES
    sign, what = ("/", "ratio") if ratio else ("-", "difference")
    between = [
        means.estimate(
            f"{name}: {group} {sign} {first}",
            (value / base if ratio else value - base, np.asarray(gradient - base_gradient)),
            f"{what} of contrasts between groups",
        )
        for group, (value, gradient) in others
    ]
    within = [
        means.estimate(f"{name} | {by}: {group}", part, f"contrast in {by}: {group}")
        for group, part in parts.items()
    ]
    return [*between, *within]
