"""Two-stage difference-in-differences: Gardner."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from wwc_eval.did.cohort_cells import cohort_cells
from wwc_eval.did.effects import DidResult, Inference
from wwc_eval.did.panel import Panel
from wwc_eval.did.reporting import shared_fields
from wwc_eval.did.sample import sample_of
from wwc_eval.did.untreated import Untreated, imputable

__all__ = ["two_stage"]

CITATION = "Gardner 2022, doi:10.48550/arXiv.2207.05943"


def two_stage(panel: Panel, covariates: str | Sequence[str] | None = None, *, level: float = 0.95) -> DidResult:
    """Effects as a regression, on treatment or events, of outcomes freed from effects fitted to untreated cells.

    The estimates from event 0 on are those of :func:`~wwc_eval.did.imputation`; the errors are those of the two
    regressions taken together (GMM), with each effect measured against the mean effect of its own row of the
    table, and so larger where effects differ between cohorts. Events before treatment are means of residuals of
    the first stage: all of them are shown, none is a reference, and they shrink towards zero because the same
    cells were fitted.

    Parameters
    ----------
    panel : Panel
        The panel. Units treated in every period, and treated cells in periods when all are treated, are left out.
    covariates : str or sequence of str, optional
        Columns that vary over time within units and that treatment does not change.
    level : float
        Coverage of the intervals (normal distribution; no small-sample factor, as in the R package did2s).

    Returns
    -------
    DidResult
        ``estimates`` by event, ``by_cohort`` and ``cells``; ``overall`` is the mean over treated cells.

    Raises
    ------
    DesignError
        If nothing can be imputed.

    References
    ----------
    Gardner 2022, doi:10.48550/arXiv.2207.05943; Butts and Gardner 2022, doi:10.32614/RJ-2022-048.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(la, t, la + t + 2.0 * (la < 3 and t > 2) + (la * t) % 3) for la in range(1, 9) for t in range(1, 6)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(start=lambda d: 3 * (d.la < 3))
    >>> result = two_stage(Panel(data, unit="la", period="year", outcome="rate", cohort="start"))
    >>> result.path.events.tolist()
    [-2, -1, 0, 1, 2]
    """
    sample = imputable(sample_of(panel, "two_stage", covariates=covariates))
    cells = cohort_cells(sample, reference=None, first=None)
    fitted = Untreated.of(sample)
    shares, gaps = fitted.shares(cells), fitted.gaps(cells)
    contrasts = cells.averages(len(cells.cohort))
    values = (shares * gaps).sum(axis=0) @ contrasts
    single = (fitted.first_stage(cells, shares) + shares * gaps) @ contrasts - (shares @ contrasts) * values
    influence = fitted.by_cluster(single)
    method = "Two-stage difference-in-differences of Gardner; GMM errors clustered, normal distribution"
    found = Inference(
        values=values,
        vcov=influence.T @ influence,
        df=np.full(len(values), math.inf),
        level=level,
        shared=shared_fields(sample, method=method, citation=CITATION, n_clusters=fitted.n_clusters),
    )
    return cells.result(found, reference=None, influence=influence)
