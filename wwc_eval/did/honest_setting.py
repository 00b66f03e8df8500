"""What honest intervals read of an event study: which effects are known to be deviations, which are the target.

Deviations from parallel trends are a path ``delta`` over consecutive events that is zero at the reference. Before
treatment and its anticipation the estimates are that path; later ones hold effects too, which are left free. So the
reference may be any event before anticipation begins, and anticipated events count in neither target nor test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.event_path import EventPath
from wwc_eval.errors import DataError, DesignError, shown
from wwc_eval.inference.families import Floats

__all__ = ["WEIGHTS", "Setting", "few_words", "path_of", "setting"]

WEIGHTS = ("first", "average")
ROUNDING = 1e-12
"""Errors this small beside the largest effect are those of clusters that are fitted exactly."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """The path and the target in the form that both restrictions read.

    Parameters
    ----------
    grid : ndarray of int, shape (g,)
        Consecutive events, the reference among them.
    anchor : int
        Position in ``grid`` of the last event whose deviation is known (estimated, or the reference).
    beta, vcov : ndarrays, shapes (k,) and (k, k)
        Estimates at the events other than the reference, and their covariance.
    weights : ndarray, shape (k,)
        Weight of each event in the target; zero before treatment.
    full : ndarray, shape (g, k)
        Map from the estimates to the path over the grid, with zero at the reference.
    reference, anticipation : int
        As in :class:`EventPath`.
    """

    grid: NDArray[np.int64]
    anchor: int
    beta: Floats
    vcov: Floats
    weights: Floats
    full: Floats
    reference: int
    anticipation: int

    @property
    def estimate(self) -> float:
        """Target if trends were parallel."""
        return float(self.weights @ self.beta)

    @property
    def se(self) -> float:
        """Standard error of the target."""
        return float(np.sqrt(self.weights @ self.vcov @ self.weights))

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which estimates are deviations alone, shape (k,)."""
        events = np.delete(self.grid, int(self.reference - self.grid[0]))
        return np.asarray(events < -self.anticipation)

    @property
    def changes(self) -> Floats:
        """First differences of the path as a map of the estimates, shape (g - 1, k)."""
        return np.diff(self.full, axis=0)

    @property
    def reach(self) -> Floats:
        """Weight in the target of each change after the anchor, shape (g - 1 - anchor,)."""
        over = self.full @ self.weights
        return np.asarray(np.cumsum(over[self.anchor + 1 :][::-1])[::-1])


def path_of(result: Any) -> EventPath:
    """The path itself, or that of a result with effects by event.

    Raises
    ------
    DesignError
        A result without effects by event.
    """
    if isinstance(result, EventPath):
        return result
    path = getattr(result, "path", None)
    if isinstance(path, EventPath):
        return path
    raise DesignError(
        f"{type(result).__name__} has no effects by event",
        fix='give an event study, such as we.did.event_study(panel) or .aggregate("event"), or an EventPath',
    )


def few_words(result: Any) -> tuple[str, ...]:
    """What must be said where fewer than five clusters are treated: the covariance that is taken as known is too small.

    Parameters
    ----------
    result : EventPath or a result with ``.path`` and ``.panel``
        Nothing is known of the treated behind a path alone.
    """
    from wwc_eval.did.guard import guard_warnings

    panel = getattr(result, "panel", None)
    told = () if panel is None else guard_warnings(panel)
    return tuple(f"What stands here takes errors as known that are not. {words}" for words in told)


def setting(
    result: Any, weights: str | Mapping[int, float] | Any = "first", window: tuple[int, int] | None = None
) -> Setting:
    """Read a path: events kept, reference, and the weights of the target.

    Parameters
    ----------
    result : EventPath or a result with ``.path``
    weights : {"first", "average"}, mapping or array
        The first treated period, the mean of all, weights by event, or one weight for each event from 0 on.
    window : (first, last), optional
        Events used; all where missing.

    Raises
    ------
    DesignError
        No single reference, gaps between events, no event before treatment or none after.
    """
    path = path_of(result)
    if path.reference is None:
        raise DesignError(
            "the effects have no common reference event",
            rule="sensitivity to trends needs effects that are all relative to one event",
            fix='take we.did.event_study, sun_abraham, or callaway_santanna(panel, base="universal").aggregate("event")',
        )
    reference = int(path.reference)
    if reference >= -path.anticipation:
        raise DesignError(
            f"the reference event {reference} lies where an effect is allowed (anticipation of {path.anticipation})",
            fix=f"take event {-path.anticipation - 1} or an earlier one as reference",
        )
    keep = np.isfinite(path.estimates)
    if window is not None:
        keep &= (path.events >= window[0]) & (path.events <= window[1])
    events = path.events[keep]
    _check_events(events, reference, path.anticipation)
    grid = np.sort(np.append(events, reference))
    vcov = path.vcov[np.ix_(keep, keep)]
    rounding = (ROUNDING * float(np.abs(path.estimates[keep]).max())) ** 2
    if not np.isfinite(vcov).all() or (np.diag(vcov) <= rounding).any():
        raise DataError(
            "the covariance of the effects has missing or zero variances",
            fix="leave out such events with window=(first, last), or estimate with more units",
        )
    full = np.delete(np.eye(grid.size), int(reference - grid[0]), axis=1)
    return Setting(
        grid=grid,
        anchor=int((grid < -path.anticipation).sum()) - 1,
        beta=np.asarray(path.estimates[keep]),
        vcov=np.asarray((vcov + vcov.T) / 2.0),
        weights=_target(events, weights),
        full=full,
        reference=reference,
        anticipation=path.anticipation,
    )


def _check_events(events: NDArray[np.int64], reference: int, anticipation: int) -> None:
    """Consecutive events on both sides of treatment."""
    if not (events >= 0).any():
        raise DesignError("no effect at or after the first treated period", fix="widen the window")
    if not (events < -anticipation).any():
        raise DesignError(
            "no estimated event before treatment besides the reference",
            rule="deviations before treatment are what the sensitivity analysis is scaled by",
            fix="estimate at least one more event before treatment",
        )
    known = set(events.tolist()) | {reference}
    missing = sorted(set(range(min(known), max(known) + 1)) - known)
    if missing:
        raise DesignError(
            f"events {', '.join(map(str, missing[:8]))} have no estimate",
            rule="changes from one event to the next need consecutive events",
            fix="keep an unbroken run of events with window=(first, last)",
        )


def _target(events: NDArray[np.int64], weights: Any) -> Floats:
    """Weights by estimated event."""
    post = events[events >= 0]
    found = np.zeros(events.size)
    if isinstance(weights, str):
        if weights not in WEIGHTS:
            raise DesignError(
                f"weights == {shown(weights)}, must be 'first', 'average', or weights by event",
                fix='weights="average"',
            )
        found[events >= 0] = (post == post[0]) * 1.0 if weights == "first" else 1.0 / post.size
        return found
    if isinstance(weights, Mapping):
        odd = sorted(set(weights) - set(post.tolist()))
        if odd:
            raise DesignError(
                f"weights name event {odd[0]}, which is not an estimated treated event",
                fix=f"choose events {post[0]} to {post[-1]}",
            )
        values = np.array([float(weights.get(event, 0.0)) for event in post.tolist()])
    else:
        values = np.asarray(weights, dtype=float)
    if values.shape != (post.size,) or not np.isfinite(values).all() or not values.any():
        raise DesignError(
            f"weights == {shown(weights)}, must be {post.size} finite numbers, not all zero",
            fix=f"give one weight for each of the events {post[0]} to {post[-1]}",
        )
    found[events >= 0] = values
    return found
