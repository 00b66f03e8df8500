"""How much rates differ between clusters: k with an interval, and what a pilot says of it for the main trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from wwc_eval.errors import DesignError, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.inference.count_variation import MOST, Counts, variation_of

if TYPE_CHECKING:
    from wwc_eval.power import Belief

__all__ = ["Counts", "rate_variation", "variation_belief"]


def rate_variation(events: ArrayLike, exposure: ArrayLike, *, level: float = 0.95, term: str = "k") -> Estimate:
    """Coefficient of variation k of the true rates of clusters, with an interval.

    Parameters
    ----------
    events, exposure : array_like, shape (clusters,)
        Events of each cluster, and the exposure (child-years, site-months) that they came from.
    level : float
        Coverage.

    Returns
    -------
    Estimate
        ``ci_low`` is 0 where clusters may differ by chance alone. ``details`` hold the heterogeneity statistic ``Q``, its
        ``df`` and p-value; where there is no interval, the ``reason``, which is a warning too.

    Raises
    ------
    DataError
        If counts are not whole or exposures not above 0.

    Notes
    -----
    Formula: k solves ``Q(k) = sum (x - r t)^2 / (r t + k^2 r^2 t^2) = clusters - 1`` with r weighted by the inverse
    variances; with equal exposures t it is Hayes and Moulton's ``sqrt(s^2 - r / t) / r``. The limits are the k at
    which a Q as large (as small) as that seen has a chance of (1 - level) / 2 if rates of clusters are gamma distributed
    and counts Poisson. Given their total such counts are Dirichlet-multinomial where exposures are equal; Q is then as
    the beta distribution on its range with the exact mean and variance, and is taken so where exposures differ. Clusters that differ
    less than chance would have them are taken as differing just so, for an interval of nothing but 0 would claim
    too much. Sources: Hayes and Moulton 2017, doi:10.4324/9781315370286; Mosimann 1962,
    doi:10.1093/biomet/49.1-2.65; on inverting Q, Viechtbauer 2007, doi:10.1002/sim.2514.

    Examples
    --------
    >>> found = rate_variation([14, 31, 9, 22, 40, 18, 25, 12, 30], [10] * 9)
    >>> round(found.estimate, 2), round(found.ci_low, 2), round(found.ci_high, 2)
    (0.4, 0.22, 1.06)
    """
    check_number("level", level, above=0, below=1)
    return variation_of(Counts.of(events, exposure), level=level, term=term)


def variation_belief(events: ArrayLike, exposure: ArrayLike) -> Belief:
    """What the pilot says of k, for ``Trial.assurance``: its limits at every confidence.

    Raises
    ------
    DesignError
        If the pilot has no interval of k.

    Examples
    --------
    >>> belief = variation_belief([14, 31, 9, 22, 40, 18, 25, 12, 30], [10] * 9)
    >>> [round(float(q), 2) for q in belief.quantile(np.array([0.025, 0.5, 0.975]))]
    [0.22, 0.43, 1.06]
    """
    from wwc_eval.power import Belief

    counts = Counts.of(events, exposure)
    if counts.reason is not None:
        raise DesignError(
            f"the pilot says nothing of k: {counts.reason}",
            fix="give a belief from published ones: uncertain={'team.k': Belief.lognormal(0.1, 0.4)}",
        )
    at = np.concatenate([[0.0], np.geomspace(1e-3, MOST, 2_000)])
    return Belief.points(np.maximum.accumulate(counts.under(at)), at)
