"""How sure the rank of a unit is: its whole distribution, exactly, for independent normal posteriors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["rank_probabilities"]

NODES, MANY, NODES_OF_MANY, REACH = 160, 60, 64, 6.5


def rank_probabilities(mean: Floats, se: Floats) -> Floats:
    """Probability of every rank of every unit; rank 1 has the highest score.

    Given a unit's own score the others exceed it independently, so its rank is one plus a Poisson-binomial number;
    that is averaged over its own score by Gauss-Legendre quadrature.

    Parameters
    ----------
    mean, se : array
        Posterior mean and standard deviation of each unit.

    Returns
    -------
    array, units x ranks

    Examples
    --------
    >>> import numpy as np
    >>> rank_probabilities(np.array([1.0, 0.0]), np.array([1.0, 1.0])).round(3).tolist()
    [[0.76, 0.24], [0.24, 0.76]]
    """
    from scipy import special

    k = len(mean)
    count = NODES if k <= MANY else NODES_OF_MANY
    nodes, weights = np.polynomial.legendre.leggauss(count)
    nodes = REACH * nodes
    weights = weights * np.exp(-0.5 * nodes**2)
    weights = weights / weights.sum()
    found = np.zeros((k, k))
    for unit in range(k):
        own = mean[unit] + se[unit] * nodes
        others = np.delete(np.arange(k), unit)
        above = special.ndtr((mean[others][:, None] - own[None, :]) / np.maximum(se[others], 1e-300)[:, None])
        law = np.zeros((k, count))
        law[0] = 1.0
        for m, p in enumerate(above, start=1):
            law[1 : m + 1] = law[1 : m + 1] * (1 - p) + law[:m] * p
            law[0] *= 1 - p
        found[unit] = law @ weights
    return found
