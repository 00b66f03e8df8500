"""Triple difference: eligible and other units of the same areas, treated and untreated areas, before and after."""

from __future__ import annotations

import numpy as np

from wwc_eval.did.cohort_cells import cohort_cells
from wwc_eval.did.effects import DidResult
from wwc_eval.did.least_squares import Grouped, fit_linear
from wwc_eval.did.panel import Panel
from wwc_eval.did.reporting import contrasted, influence_of, shared_fields
from wwc_eval.did.robust import robust_of
from wwc_eval.did.sample import Sample, sample_of
from wwc_eval.errors import DesignError

__all__ = ["triple_difference"]

CITATION = "Olden and Moen 2022, doi:10.1093/ectj/utac010"


def triple_difference(
    panel: Panel,
    eligible: str,
    *,
    reference: int = -1,
    vcov: str = "CR1S",
    df: str | None = None,
    level: float = 0.95,
) -> DidResult:
    """Effect on eligible units, net of what happened to the other units of the same areas.

    Formula: ``y_it = unit_i + period_t(eligible_i) + period_t(start_i) + sum of effect_ge eligible_i [start_i = g,
    event = e] + e_it``: the event study of Sun and Abraham among eligible units less that among the others, cohort by
    cohort. Trends of eligible and other units may differ, and so may trends of cohorts; what must be the same is how
    the first differ between cohorts.

    Parameters
    ----------
    panel : Panel
        Units are parts of areas, such as age groups of local authorities, some eligible and some not; ``cohort`` is
        that of the area for both. Give the area as ``cluster``. Without areas never treated, the last cohort is the
        control.
    eligible : str
        Column of 0 and 1, constant within a unit: whether treatment could act on it.
    reference : int
        Event held at zero.
    vcov, df, level
        As in :func:`~wwc_eval.did.two_way_fixed_effects`.

    Returns
    -------
    DidResult
        ``estimates`` by event, ``by_cohort`` and ``cells``; ``overall`` is the mean over treated eligible cells. With fewer
        than five treated clusters without errors: no permutation of this effect stands beside them.

    Raises
    ------
    DesignError
        If ``eligible`` is not 0 or 1, varies within a unit, or a cohort lacks one of the two.

    References
    ----------
    Gruber 1994, American Economic Review 84; Olden and Moen 2022, doi:10.1093/ectj/utac010.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(f"{la}-{young}", la, young, t, la + t * (1 + young) + 2.0 * (la < 3 and t > 2 and young) + (la * t) % 3)
    ...         for la in range(1, 9) for young in (0, 1) for t in range(1, 6)]
    >>> data = pd.DataFrame(rows, columns=["group", "la", "young", "year", "rate"]).assign(start=lambda d: 3 * (d.la < 3))
    >>> panel = Panel(data, unit="group", period="year", outcome="rate", cohort="start", cluster="la")
    >>> round(triple_difference(panel, "young").overall.estimate, 6)
    2.0
    """
    sample = sample_of(panel, "triple_difference", until_last=True)
    inside = _eligible(panel, eligible)[sample.rows]
    _check_groups(sample, inside, eligible)
    own = sample.replace(weights=np.where(inside[:, None], sample.weights, 0.0))
    cells = cohort_cells(own, reference=reference)
    every = cohort_cells(sample, reference=reference)
    data = Grouped.of(
        sample.outcomes,
        sample.weights,
        sample.clusters.astype(np.intp),
        (2 * sample.adopted + inside).astype(np.intp),
    )
    within = inside[data.first].astype(float)[:, None, None]
    trends = np.broadcast_to(
        np.eye(sample.n_periods)[:, 1:], (len(data.first), sample.n_periods, sample.n_periods - 1)
    )
    tables = np.concatenate([cells.of_groups(data) * within, every.of_groups(data), trends * within], axis=2)
    names = [f"{term} eligible" for term in cells.terms] + list(every.terms)
    names += [f"eligible in {sample.label(column)}" for column in range(1, sample.n_periods)]
    robust = robust_of(fit_linear(data, tables, names), vcov, df)
    method = f"Triple difference, eligible: {eligible}, reference event {reference}; {robust.words}"
    shared = shared_fields(sample, method=method, citation=CITATION, n_clusters=robust.n_clusters)
    contrasts = cells.averages(len(names))
    found = contrasted(robust, contrasts, level, shared)
    # permuting who was treated when judges the plain difference, not that of eligible units less others
    return cells.result(found, reference=reference, influence=influence_of(robust, contrasts), permuted=False)


def _eligible(panel: Panel, name: str) -> np.ndarray:
    values = panel.covariate(name)
    seen = np.isfinite(values)
    first = values[np.arange(len(values)), seen.argmax(axis=1)]
    if not np.isin(values[seen], (0.0, 1.0)).all():
        bad = values[seen][~np.isin(values[seen], (0.0, 1.0))][0]
        raise DesignError(
            f"column '{name}' has {bad:g}, must be 0 or 1", fix="give 1 for eligible units, 0 for others"
        )
    changes = (seen & (values != first[:, None])).any(axis=1)
    if changes.any():
        raise DesignError(
            f"column '{name}' changes within unit {panel.units[changes][0]}",
            rule="eligibility is fixed, or treatment would decide who is compared",
            fix="use eligibility before treatment",
        )
    return np.asarray(first == 1.0)


def _check_groups(sample: Sample, inside: np.ndarray, name: str) -> None:
    for start in np.unique(sample.adopted):
        here = sample.adopted == start
        who = "the controls" if start == sample.n_periods else f"the cohort of {sample.label(int(start))}"
        for value, missing in ((1, inside[here].any()), (0, (~inside[here]).any())):
            if not missing:
                raise DesignError(
                    f"{who} have no unit with {name} == {value}",
                    rule="each cohort, and the controls, need eligible and other units",
                    fix="give cohort= of the area to both kinds of units, or leave the cohort out",
                )
