"""The path of effects by time since treatment, in the form that sensitivity analyses read.

Every estimator that gives effects by event time hands one on: the honest intervals, the power of a pre-trend
test and the plot of an event study need estimates, their joint covariance and the event that was held at zero,
and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.errors import DataError

__all__ = ["EventPath"]


@dataclass(frozen=True, kw_only=True)
class EventPath:
    """Effects by periods since treatment, with their joint covariance.

    Parameters
    ----------
    events : array of int, shape (k,)
        Periods since the first treated period (0 is the first treated one), increasing; the reference is not
        among them.
    estimates : array, shape (k,)
        Effect at each event, in the outcome's units.
    vcov : array, shape (k, k)
        Covariance of the estimates.
    reference : int, optional
        Event whose effect is zero by construction; ``None`` where there is no single one (varying base periods).
    df : float
        Degrees of freedom of the reference distribution; infinity for the normal.
    anticipation : int
        Periods before treatment in which an effect is allowed; events below ``-anticipation`` are pre-treatment.
    units : str
        Units of the outcome.

    Raises
    ------
    DataError
        Shapes that do not agree, or events that do not increase.

    Examples
    --------
    >>> path = EventPath(events=[-2, 0, 1], estimates=[0.1, 1.0, 1.2], vcov=np.eye(3) * 0.04, reference=-1)
    >>> path.se.round(2).tolist()
    [0.2, 0.2, 0.2]
    """

    events: np.ndarray
    estimates: np.ndarray
    vcov: np.ndarray
    reference: int | None = -1
    df: float = np.inf
    anticipation: int = 0
    units: str = ""

    def __post_init__(self) -> None:
        """Check the shapes and freeze the arrays."""
        events = np.array(self.events, dtype=np.int64)
        estimates = np.array(self.estimates, dtype=float)
        vcov = np.array(self.vcov, dtype=float)
        k = events.size
        if estimates.shape != (k,) or vcov.shape != (k, k):
            raise DataError(
                f"the path has {k} events, {estimates.size} estimates and a {vcov.shape} covariance",
                fix="give one estimate an event and a square covariance of the same order",
            )
        if (np.diff(events) <= 0).any():
            raise DataError(
                "the events of a path must increase", fix="sort events, estimates and covariance alike"
            )
        for array, name in ((events, "events"), (estimates, "estimates"), (vcov, "vcov")):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def se(self) -> np.ndarray:
        """Standard errors, shape (k,)."""
        return np.sqrt(np.diag(self.vcov))

    @property
    def pre(self) -> np.ndarray:
        """Which events lie before treatment and its anticipation, shape (k,)."""
        return self.events < -self.anticipation

    @property
    def post(self) -> np.ndarray:
        """Which events lie at or after the first treated period, shape (k,)."""
        return self.events >= 0
