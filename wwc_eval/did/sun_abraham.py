"""The interaction-weighted event study of Sun and Abraham."""

from __future__ import annotations

from collections.abc import Sequence

from wwc_eval.did.cohort_cells import cohort_cells
from wwc_eval.did.effects import DidResult
from wwc_eval.did.least_squares import fit_linear
from wwc_eval.did.panel import Panel
from wwc_eval.did.reporting import contrasted, influence_of, shared_fields
from wwc_eval.did.robust import robust_of
from wwc_eval.did.sample import sample_of

__all__ = ["sun_abraham"]

CITATION = "Sun and Abraham 2021, doi:10.1016/j.jeconom.2020.09.006"


def sun_abraham(
    panel: Panel,
    *,
    reference: int = -1,
    covariates: str | Sequence[str] | None = None,
    vcov: str = "CR1S",
    df: str | None = None,
    level: float = 0.95,
) -> DidResult:
    """Event study whose effects are averages of the cohorts' own effects, and of nothing else.

    Formula: two-way fixed effects with an indicator of every cohort and event but the reference; the effect at an
    event is the mean of the cohorts' coefficients, weighted by their cells at the event. The weights are taken as
    given in the errors, as the R package fixest does.

    Parameters
    ----------
    panel : Panel
        The panel. Without units never treated, the last cohort is the control and the periods from its start on
        are left out. Units treated in every period are left out.
    reference : int
        Event held at zero in every cohort.
    covariates : str or sequence of str, optional
        Columns that vary over time within units.
    vcov, df, level
        As in :func:`~wwc_eval.did.two_way_fixed_effects`.

    Returns
    -------
    DidResult
        ``estimates`` by event, ``by_cohort`` and ``cells``; ``overall`` is the mean over treated cells.

    Raises
    ------
    DesignError
        If a cohort is not seen at the reference event, or there is no control.

    References
    ----------
    Sun and Abraham 2021, doi:10.1016/j.jeconom.2020.09.006.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(la, t, la + t + 2.0 * (la < 3 and t > 2) + (la * t) % 3) for la in range(1, 9) for t in range(1, 6)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(start=lambda d: 3 * (d.la < 3))
    >>> sun_abraham(Panel(data, unit="la", period="year", outcome="rate", cohort="start")).estimates.terms
    ('event[-2]', 'event[0]', 'event[1]', 'event[2]')
    """
    sample = sample_of(panel, "sun_abraham", covariates=covariates, until_last=True)
    cells = cohort_cells(sample, reference=reference)
    data = sample.grouped()
    fit = fit_linear(data, sample.with_covariates(cells.of_groups(data)), (*cells.terms, *sample.names))
    robust = robust_of(fit, vcov, df)
    method = f"Interaction-weighted event study of Sun and Abraham, reference event {reference}; {robust.words}"
    shared = shared_fields(sample, method=method, citation=CITATION, n_clusters=robust.n_clusters)
    contrasts = cells.averages(len(fit.beta))
    found = contrasted(robust, contrasts, level, shared)
    return cells.result(found, reference=reference, influence=influence_of(robust, contrasts))
