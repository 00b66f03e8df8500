"""Random numbers for the sample data, made from uniform numbers by formulas of our own.

NumPy keeps the stream of its uniform numbers but may change how it makes others of them, so everything here is
an inverse distribution function of a uniform number. That is what lets the committed files be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Draws", "Seed", "generator"]

Seed = int | np.random.Generator | np.random.SeedSequence
SMALLEST = 2.0**-54


def generator(rng: Seed) -> np.random.Generator:
    """Generator of an ``rng`` argument; there is no default seed.

    Raises
    ------
    DesignError
        If ``rng`` is neither a whole number nor a Generator nor a SeedSequence.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    whole = isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0
    if not (whole or isinstance(rng, np.random.SeedSequence)):
        raise DesignError(
            f"rng == {shown(rng)}, must be a whole number >= 0, a numpy Generator or a SeedSequence",
            fix="give a seed, such as rng=1",
        )
    return np.random.Generator(np.random.PCG64(rng))


class Draws:
    """Uniform numbers of one generator, and what is made of them."""

    def __init__(self, rng: Seed) -> None:
        self._rng = generator(rng)

    def uniform(self, *shape: int) -> Floats:
        """Uniform numbers strictly between 0 and 1."""
        return np.maximum(self._rng.random(shape), SMALLEST)

    def normal(self, *shape: int) -> Floats:
        """Standard normal numbers."""
        from scipy import special

        made: Floats = special.ndtri(self.uniform(*shape))
        return made

    def whole(self, low: int, high: int, *shape: int) -> Ints:
        """Whole numbers from ``low`` to ``high``, both included, equally likely."""
        return low + np.floor(self.uniform(*shape) * (high - low + 1)).astype(np.int64)

    def happens(self, probability: float | Floats, *shape: int) -> NDArray[np.bool_]:
        """Whether each event of a given probability happens."""
        return self.uniform(*shape) < probability

    def code(self, probabilities: Sequence[float], *shape: int) -> Ints:
        """Codes 0, 1, ... of categories with the given shares."""
        steps = np.cumsum(np.asarray(probabilities, dtype=float))
        codes: Ints = np.searchsorted(steps / steps[-1], self.uniform(*shape), side="right")
        return codes

    def order(self, n: int) -> Ints:
        """A random order of n things."""
        return np.argsort(self.uniform(n), kind="stable")

    def poisson(self, mean: Floats) -> Ints:
        """Poisson counts with the given means."""
        return poisson_quantile(self.uniform(*mean.shape), mean)

    def binomial(self, trials: Ints, probability: Floats) -> Ints:
        """Binomial counts by the normal approximation, for hundreds of trials and more."""
        spread = np.sqrt(trials * probability * (1 - probability))
        raw = np.rint(trials * probability + spread * self.normal(*trials.shape))
        return np.clip(raw, 0, trials).astype(np.int64)


def poisson_quantile(share: Floats, mean: Floats) -> Ints:
    """Smallest count whose Poisson distribution function reaches ``share``."""
    from scipy import special

    count = np.ceil(special.pdtrik(share, mean))
    below = np.maximum(count - 1, 0)
    # pdtrik is continuous, so its ceiling may stand one too high
    reached: Any = special.pdtr(below, mean) >= share
    whole: Ints = np.where(reached, below, count).astype(np.int64)
    return whole
