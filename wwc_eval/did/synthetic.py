"""Synthetic difference-in-differences and synthetic control: untreated authorities weighted to resemble the treated ones.

Judged by placebos: each untreated unit (or group of as many as are treated) takes the place of the treated ones in turn.
With one treated local authority that is every placebo there is, so p-value and interval are exact figures without draws.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from wwc_eval.did.guard import guarded
from wwc_eval.did.masks import whole_again
from wwc_eval.did.panel import Panel
from wwc_eval.did.sample import need_panel
from wwc_eval.did.synthetic_blocks import (
    Block,
    Recipe,
    fit_block,
    jackknife_se,
    n_placebos,
    placebo_groups,
    recipe_of,
)
from wwc_eval.did.synthetic_inference import judge_jackknife, judge_placebos
from wwc_eval.did.synthetic_result import (
    Setup,
    SyntheticResult,
    placebo_table,
    series_table,
    time_weights,
    unit_weights,
)
from wwc_eval.errors import DesignError, check_choice, check_number

__all__ = ["INFERENCE", "STOPPING", "SyntheticResult", "synthetic_control", "synthetic_did"]

INFERENCE = ("placebo", "jackknife")
STOPPING = ("exact", "synthdid")
MOST_PLACEBOS = 5_000
CITED_DID = "Arkhangelsky, Athey, Hirshberg, Imbens and Wager 2021, doi:10.1257/aer.20190159"
CITED_CONTROL = "Abadie, Diamond and Hainmueller 2010, doi:10.1198/jasa.2009.ap08746"


def synthetic_did(
    panel: Panel,
    *,
    inference: str = "placebo",
    stopping: str = "exact",
    draws: int = 999,
    rng: Any = None,
    level: float = 0.95,
) -> SyntheticResult:
    """Synthetic difference-in-differences: units and periods weighted so that trends before treatment agree.

    Parameters
    ----------
    panel : Panel
        Balanced, with never-treated units. Unit weights of the panel weigh the treated units.
    inference : {"placebo", "jackknife"}
        Placebos among the never treated; or leaving out one unit at a time, for many treated units.
    stopping : {"exact", "synthdid"}
        Weights at the exact solution of their quadratic programme; or where R's synthdid 0.0.9 stops its Frank-Wolfe steps,
        to repeat its figures.
    draws : int
        Placebo groups drawn where there are more than 5,000; ``rng`` is needed then.
    rng : int, Generator or SeedSequence, optional
        Source of randomness for such draws.
    level : float
        Coverage.

    Returns
    -------
    SyntheticResult

    Raises
    ------
    DesignError
        Missing cells, no never-treated unit, fewer than two periods before a cohort's treatment, too few controls for
        placebos, or a jackknife with one treated unit in a cohort.

    Notes
    -----
    Formula: ``(mean post - lambda pre)`` of the treated mean less that of ``omega`` controls. omega minimises
    ``mean_t (omega0 + sum_i omega_i Y_it - Ybar_t)^2 + zeta^2 |omega|^2`` on the simplex over periods before treatment, with
    ``zeta = (N1 T1)^(1/4) sigma`` and sigma the standard deviation of the controls' changes before treatment; lambda
    likewise over controls with ``zeta = 1e-6 sigma``. Cohorts are estimated one by one against the never treated and averaged
    by treated unit-periods (Clarke, Pailanir, Athey and Imbens 2024, doi:10.1177/1536867X241297914). Placebo: penalties are kept, treated
    units left out; p = (1 + #{|placebo| >= |estimate|}) / (1 + placebos), the interval holds the effects that this test does
    not reject, the standard error is the placebos' standard deviation. It rests on treated units
    being, without an effect, as good as drawn from all; as in R, a placebo has the fewer controls by those that it treats. Jackknife: fixed weights, normal interval. Source: Arkhangelsky et al. 2021, doi:10.1257/aer.20190159.

    Examples
    --------
    >>> import numpy as np, pandas as pd, wwc_eval as we
    >>> rng = np.random.default_rng(1)
    >>> rows = [(f"LA{i:02}", 2010 + t, 50 + i + t * (i % 3) + rng.normal() - 6 * (i == 4 and t >= 8), 2018 * (i == 4))
    ...         for i in range(24) for t in range(10)]
    >>> panel = we.did.Panel(pd.DataFrame(rows, columns=["la", "year", "rate", "joined"]), unit="la", period="year",
    ...                      outcome="rate", cohort="joined")
    >>> found = we.did.synthetic_did(panel)
    >>> bool(-9 < found.overall.estimate < -3), round(found.overall.p_value, 3), len(found.placebos)
    (True, 0.042, 24)
    """
    need_panel(panel, "synthetic_did")
    check_choice("inference", inference, INFERENCE)
    return _synthetic(
        panel, synthetic_did=True, inference=inference, stopping=stopping, draws=draws, rng=rng, level=level
    )


def synthetic_control(
    panel: Panel,
    *,
    stopping: str = "exact",
    worst_fit: float | None = None,
    draws: int = 999,
    rng: Any = None,
    level: float = 0.95,
) -> SyntheticResult:
    """Synthetic control: the weighted average of untreated units that tracks the treated one before treatment.

    Parameters
    ----------
    panel : Panel
        Balanced, with never-treated units and one cohort. Several treated units are averaged.
    stopping : {"exact", "synthdid"}
        As in :func:`synthetic_did`.
    worst_fit : float, optional
        Placebos whose root mean squared gap before treatment is more than this many times the treated one's are left out of
        the p-value, as is common (5 or 20).
    draws, rng, level
        As in :func:`synthetic_did`.

    Returns
    -------
    SyntheticResult

    Raises
    ------
    DesignError
        As :func:`synthetic_did`; and for more than one cohort.

    Notes
    -----
    Weights: least squares on the simplex of every outcome before treatment, each period alike, without intercept or further
    predictors (and a penalty of 1e-6 standard deviations of a change, to make them unique). Inference: the ratio of root
    mean squared gaps after and before treatment, ranked among placebos; p = rank / (1 + placebos). The interval holds the
    constant effects that this test does not reject (Firpo and Possebom 2018, doi:10.1515/jci-2016-0026); it is empty, and shown as missing,
    where no constant effect fits. Source: Abadie, Diamond and Hainmueller 2010, doi:10.1198/jasa.2009.ap08746; Abadie
    2021, doi:10.1257/jel.20191450.

    Examples
    --------
    >>> import numpy as np, pandas as pd, wwc_eval as we
    >>> rng = np.random.default_rng(1)
    >>> rows = [(f"LA{i:02}", 2010 + t, 50 + i + t * (i % 3) + rng.normal() - 6 * (i == 4 and t >= 8), 2018 * (i == 4))
    ...         for i in range(24) for t in range(10)]
    >>> panel = we.did.Panel(pd.DataFrame(rows, columns=["la", "year", "rate", "joined"]), unit="la", period="year",
    ...                      outcome="rate", cohort="joined")
    >>> found = we.did.synthetic_control(panel)
    >>> round(sum(found.weights.column("weight")), 6), found.placebos.column("unit")[0]
    (1.0, 'LA04')
    """
    need_panel(panel, "synthetic_control")
    if worst_fit is not None:
        check_number("worst_fit", worst_fit, at_least=1)
    cohorts = [k for k in panel.cohorts if k < panel.n_periods]
    if len(cohorts) > 1:
        raise DesignError(
            f"{len(cohorts)} cohorts, and synthetic control has one",
            fix="keep one with panel.without(units of the others), or use we.did.synthetic_did(panel)",
        )
    return _synthetic(
        panel,
        synthetic_did=False,
        inference="placebo",
        stopping=stopping,
        draws=draws,
        rng=rng,
        level=level,
        worst_fit=worst_fit,
    )


def _setup(panel: Panel) -> Setup:
    """Read and check the panel."""
    panel.need_units("synthetic control")
    if not panel.balanced:
        lost = panel.units[np.isnan(panel.outcomes).any(axis=1)]
        listed = ", ".join(map(str, lost[:6])) + ("" if len(lost) <= 6 else f" and {len(lost) - 6} more")
        raise DesignError(
            f"{len(lost)} units have periods without an outcome: {listed}",
            rule="the weights need every unit in every period",
            fix=whole_again(
                panel, "panel.without(units), or panel.between(first, last) for the periods that all have"
            ),
        )
    never = panel.adopted == panel.n_periods
    cohorts = [int(k) for k in panel.cohorts if k < panel.n_periods]
    if not cohorts:
        raise DesignError("no unit is treated within the panel", fix="give cohort= or treated=")
    if never.sum() < 2:
        raise DesignError(
            f"{int(never.sum())} never-treated units, needs at least 2", fix="add untreated authorities"
        )
    if cohorts[0] < 2:
        raise DesignError(
            f"the first cohort has {cohorts[0]} periods before treatment, needs at least 2",
            fix="leave out units treated from the start, or add earlier periods",
        )
    masks = [panel.adopted == k for k in cohorts]
    return Setup(
        controls=panel.outcomes[never],
        names=panel.units[never].tolist(),
        treated=[panel.outcomes[mask] for mask in masks],
        members=[panel.units[mask].tolist() for mask in masks],
        weights=[panel.weights[mask] for mask in masks],
        before=cohorts,
    )


def _synthetic(
    panel: Panel,
    *,
    synthetic_did: bool,
    inference: str,
    stopping: str,
    draws: int,
    rng: Any,
    level: float,
    worst_fit: float | None = None,
) -> SyntheticResult:
    check_choice("stopping", stopping, STOPPING)
    level = check_number("level", level, above=0, below=1)
    at = _setup(panel)
    periods = panel.n_periods
    recipes = [
        recipe_of(at.controls, k, len(rows) * (periods - k), synthetic_did=synthetic_did, stopping=stopping)
        for k, rows in zip(at.before, at.treated, strict=True)
    ]
    blocks = [
        fit_block(at.controls, np.average(rows, axis=0, weights=w), k, recipe)
        for rows, w, k, recipe in zip(at.treated, at.weights, at.before, recipes, strict=True)
    ]
    shares = np.array([size * (periods - k) for size, k in zip(at.sizes, at.before, strict=True)], dtype=float)
    common: dict[str, Any] = {
        "times": panel.times,
        "name": "Synthetic difference-in-differences" if synthetic_did else "Synthetic control",
        "shared": {
            "units": panel.measure,
            "n": panel.outcomes.size,
            "n_clusters": panel.n_units,
            "citation": CITED_DID if synthetic_did else CITED_CONTROL,
            "scale": "mean_difference",
            "level": level,
        },
    }
    notes = ["Weights are those at which R's synthdid stops, short of the least objective."]
    notes = notes if stopping == "synthdid" else []
    groups: list[list[list[int]]] = []
    placebos: list[list[Block]] = []
    if inference == "jackknife":
        judged = judge_jackknife(blocks, shares, se=_jackknife(at, blocks), **common)
        judged = replace(judged, overall=guarded(judged.overall, panel))
    else:
        groups, said = _groups(at, draws, rng)
        notes.append(said)
        placebos = [_placebo(at, group, recipes) for group in groups]
        judged = judge_placebos(
            blocks, placebos, shares, by_ratio=not synthetic_did, worst_fit=worst_fit, **common
        )
    return SyntheticResult(
        method=judged.overall.method,
        overall=judged.overall,
        estimates=judged.estimates,
        weights=unit_weights(panel, at, blocks),
        time_weights=time_weights(panel, at, blocks, synthetic_did=synthetic_did),
        placebos=placebo_table(at, blocks, placebos, groups, shares),
        series=series_table(panel, at, blocks),
        objectives=tuple(block.objectives for block in blocks),
        panel=panel,
        notes=(*notes, *judged.notes),
        placebo_gaps=judged.placebo_gaps,
    )


def _placebo(at: Setup, group: list[list[int]], recipes: list[Recipe]) -> list[Block]:
    """Blocks of controls that stand in for the treated, against the other controls."""
    rest = np.delete(at.controls, [k for part in group for k in part], axis=0)
    return [
        fit_block(rest, at.controls[members].mean(axis=0), before, recipe)
        for members, before, recipe in zip(group, at.before, recipes, strict=True)
    ]


def _jackknife(at: Setup, blocks: list[Block]) -> float:
    if min(at.sizes) < 2:
        raise DesignError(
            "a cohort has one treated unit, and leaving it out leaves none",
            fix='inference="placebo"',
        )
    return jackknife_se(blocks, at.controls, at.treated, at.weights)


def _groups(at: Setup, draws: int, rng: Any) -> tuple[list[list[list[int]]], str]:
    """Placebo groups, and what to say of them."""
    total, count = sum(at.sizes), len(at.controls)
    if count - total < 2:
        raise DesignError(
            f"{count} never-treated units cannot stand in for {total} treated ones and leave two controls",
            fix='add untreated authorities, or inference="jackknife"',
        )
    possible = n_placebos(at.sizes, count)
    if possible <= MOST_PLACEBOS:
        said = f"All {possible:,} placebos among {count:,} never-treated units: no draws."
    else:
        if rng is None:
            raise DesignError(
                f"{possible:,} placebo groups are too many to take all, and rng is missing",
                fix="rng=1, say, to draw them",
            )
        check_number("draws", draws, at_least=19)
        shown = f"{possible:,}" if possible < 10**9 else f"{possible:.1e}"
        said = f"{draws:,} placebo groups drawn of {shown}."
    return list(placebo_groups(at.sizes, count, MOST_PLACEBOS, draws, rng)), said
