"""How much an effect differs between groups, by marginal contrasts of one regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DesignError
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.averages import DIFFERENCES, compared
from wwc_eval.inference.families import Floats
from wwc_eval.inference.marginal import check_scale, check_variable, label, level_averages, levels_of

if TYPE_CHECKING:
    from wwc_eval.inference.fit import RegressionFit

__all__ = ["effect_modification"]


def effect_modification(
    fit: RegressionFit, variable: str, by: str, *, scale: str | None = None, level: float | None = None
) -> Estimates:
    """Effect of a variable in each group of another, and how much it differs between the groups.

    Both must be in the formula, with their interaction, for the difference to mean anything: without it a
    difference in risks still varies with the covariates, a coefficient does not.

    Parameters
    ----------
    fit : RegressionFit
        The fit.
    variable, by : str
        Factor or 0/1 columns of the formula: whose effect, and between which groups.
    scale, level
        As in :func:`marginal_effect`.

    Returns
    -------
    Estimates
        First the difference of each later group from the first (term ``arm[b]: yes - no``; on a ratio scale the
        ratio of ratios, ``yes / no``), then the effect in each group (term ``arm[b] | group: yes``).

    Raises
    ------
    DesignError
        If there are fewer than two groups, or a variable is not in the formula.

    Notes
    -----
    Formula: the contrast of :func:`marginal_effect` averaged over the rows of each group; differences by the delta
    method from the joint gradient.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 5, 2, 4, 9, 8], "arm": list("aabb" * 2), "sex": ["f"] * 4 + ["m"] * 4})
    >>> fit = we.regression("y ~ arm * sex", data)
    >>> for row in effect_modification(fit, "arm", "sex"):
    ...     print(row.term, round(row.estimate, 6))
    arm[b]: m - f 2.5
    arm[b] | sex: f 3.0
    arm[b] | sex: m 5.5
    """
    for name in (variable, by):
        check_variable(fit, name)
    levels, groups = levels_of(fit, variable), levels_of(fit, by)
    if levels is None or groups is None:
        numeric = variable if levels is None else by
        raise DesignError(f"'{numeric}' is numeric and has no levels", fix="cut the column into levels")
    chosen = check_scale(fit, scale)
    values = [levels[0], *levels[1]]
    averages = {
        group: level_averages(fit, variable, values, where={by: group}) for group in (groups[0], *groups[1])
    }
    rows: list[Estimate] = []
    for place, value in enumerate(levels[1], start=1):
        term = f"{variable}[{label(value)}]" if variable in fit.fitted.design.levels else variable
        parts = {group: compared(chosen, means[0], means[place]) for group, means in averages.items()}
        rows += _differences(fit, term, parts, chosen, level)
        rows += [
            fit.estimate_of(
                f"{term} | {by}: {label(group)}",
                estimate,
                gradient,
                scale=chosen,
                level=level,
                method=f", contrast averaged over {by}: {label(group)} (delta method)",
            )
            for group, (estimate, gradient) in parts.items()
        ]
    return Estimates(rows, title=f"Effect of {variable} by {by}; {rows[0].method}")


def _differences(
    fit: RegressionFit, term: str, parts: Mapping[Any, tuple[float, Floats]], scale: str, level: float | None
) -> list[Estimate]:
    """Difference (ratio) of the effect in each later group from that in the first."""
    (first, (base, base_gradient)), *others = parts.items()
    ratio = scale not in DIFFERENCES
    return [
        fit.estimate_of(
            f"{term}: {label(group)} {'/' if ratio else '-'} {label(first)}",
            estimate / base if ratio else estimate - base,
            gradient - base_gradient,
            scale=scale,
            level=level,
            method=f", {'ratio' if ratio else 'difference'} of contrasts between groups (delta method)",
        )
        for group, (estimate, gradient) in others
    ]
