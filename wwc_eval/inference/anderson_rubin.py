"""Anderson and Rubin's confidence set of an instrumental effect: right however weak the instrument is.

A value b belongs to the set where the instruments do not explain ``outcome - b * uptake``. With one instrument the set is an
interval, two rays, or the whole line; with several it may be empty, which speaks against the instruments. Source: Anderson
and Rubin (1949), doi:10.1214/aoms/1177730090; Fieller (1954), doi:10.1111/j.2517-6161.1954.tb00159.x.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wwc_eval.errors import check_number
from wwc_eval.inference.two_stage import ReducedForms

__all__ = ["ConfidenceSet", "anderson_rubin", "statistic_at"]

ANGLES = 1_024


@dataclass(frozen=True, kw_only=True)
class ConfidenceSet:
    """A set of values that a test does not reject: one or more pieces, perhaps unbounded, perhaps none.

    Parameters
    ----------
    pieces : tuple of pair of float
        Closed intervals in ascending order; ends may be infinite.
    level : float
        Coverage.
    """

    pieces: tuple[tuple[float, float], ...]
    level: float

    @property
    def kind(self) -> str:
        """``interval``, ``unbounded`` (one or more rays), ``everything``, ``empty``, or ``pieces``."""
        if not self.pieces:
            return "empty"
        if self.pieces == ((-math.inf, math.inf),):
            return "everything"
        if any(math.isinf(end) for piece in self.pieces for end in piece):
            return "unbounded"
        return "interval" if len(self.pieces) == 1 else "pieces"

    @property
    def bounded(self) -> bool:
        """Whether both ends are finite."""
        return self.kind in ("interval", "pieces")

    def __contains__(self, value: object) -> bool:
        """Whether a value belongs to the set."""
        number = check_number("value", value)
        return any(low <= number <= high for low, high in self.pieces)

    def words(self, show: Callable[[float], str] = "{:.3f}".format) -> str:
        """The set in words, its ends as ``show`` writes them."""
        if self.kind == "empty":
            return "empty: the instruments contradict each other, so no effect fits them all"
        if self.kind == "everything":
            return "the whole line: the data say nothing of the effect"

        def text(low: float, high: float) -> str:
            if math.isinf(low):
                return f"up to {show(high)}"
            return f"from {show(low)} upwards" if math.isinf(high) else f"{show(low)} to {show(high)}"

        listed = " and ".join(text(*piece) for piece in self.pieces)
        return listed + (
            " (unbounded: the instrument is too weak for an interval)" if self.kind == "unbounded" else ""
        )


def statistic_at(forms: ReducedForms, value: float) -> float:
    """F statistic of the hypothesis that the effect is ``value``."""
    effect, covariance = forms.at(value)
    return _statistic(forms, effect, covariance)


def anderson_rubin(forms: ReducedForms, level: float) -> ConfidenceSet:
    """The set of effects that the test does not reject."""
    from scipy import special

    q = len(forms.on_outcome)
    if not forms.usable:  # nothing can be rejected
        return ConfidenceSet(pieces=((-math.inf, math.inf),), level=level)
    critical = (
        float(special.fdtri(q, forms.df2, level))
        if math.isfinite(forms.df2)
        else float(special.chdtri(q, 1.0 - level)) / q
    )
    pieces = _one(forms, critical) if q == 1 else _several(forms, critical)
    return ConfidenceSet(pieces=pieces, level=level)


def _statistic(forms: ReducedForms, effect: np.ndarray, covariance: np.ndarray) -> float:
    try:
        solved = np.linalg.solve(covariance, effect)
    except np.linalg.LinAlgError:
        return math.inf
    return float(forms.scale * effect @ solved) / len(effect)


def _one(forms: ReducedForms, critical: float) -> tuple[tuple[float, float], ...]:
    """Roots of a quadratic in the effect: ``(g - b p)^2 <= c Var(g - b p)``."""
    c = critical / forms.scale
    g, p = float(forms.on_outcome[0]), float(forms.on_uptake[0])
    vg, vp, vgp = float(forms.outcome[0, 0]), float(forms.uptake[0, 0]), float(forms.both[0, 0])
    size = max(abs(g), math.sqrt(c * vg), 1e-300) / max(abs(p), math.sqrt(c * vp), 1e-300)
    # in units in which the three coefficients are of one size
    scale = max(p * p, c * vp, 1e-300)
    A = (p * p - c * vp) / scale
    B = -2.0 * (g * p - c * vgp) / (scale * size)
    C = (g * g - c * vg) / (scale * size**2)
    if abs(A) < 1e-14:
        if abs(B) < 1e-14:
            return ((-math.inf, math.inf),) if C <= 0 else ()
        root = -C / B * size
        return ((-math.inf, root),) if B > 0 else ((root, math.inf),)
    inside = B * B - 4.0 * A * C
    if inside <= 0:
        if A < 0:
            return ((-math.inf, math.inf),)
        middle = -B / (2.0 * A) * size
        return ((middle, middle),) if inside == 0 else ()
    half = -0.5 * (B + math.copysign(math.sqrt(inside), B))
    roots = sorted(((half / A) * size, (C / half) * size if half else 0.0))
    if A > 0:
        return ((roots[0], roots[1]),)
    return ((-math.inf, roots[0]), (roots[1], math.inf))


def _several(forms: ReducedForms, critical: float) -> tuple[tuple[float, float], ...]:
    """Signs along the line bent to a circle: ``b = s tan(angle)``, so that both infinities are one point."""
    from scipy import optimize

    top = math.sqrt(float(np.trace(forms.outcome)) + float(forms.on_outcome @ forms.on_outcome))
    bottom = math.sqrt(float(np.trace(forms.uptake)) + float(forms.on_uptake @ forms.on_uptake))
    s = top / bottom if bottom > 0 else 1.0

    def excess(angle: float) -> float:
        a, b = math.cos(angle), s * math.sin(angle)
        effect = a * forms.on_outcome - b * forms.on_uptake
        covariance = a * a * forms.outcome - 2.0 * a * b * forms.both + b * b * forms.uptake
        return _statistic(forms, effect, covariance) - critical

    angles = np.linspace(-math.pi / 2, math.pi / 2, ANGLES + 1)
    values = np.array([excess(angle) for angle in angles])
    # a valley between two points of the grid may dip below 0 unseen
    marks = list(zip(angles.tolist(), values.tolist(), strict=True))
    for k in range(ANGLES):
        before = values[k - 1] if k else values[-2]
        if 0 < values[k] <= min(before, values[k + 1]):
            low = angles[max(k - 1, 0)]
            found = optimize.minimize_scalar(
                excess, bounds=(low, angles[k + 1]), method="bounded", options={"xatol": 1e-12}
            )
            if found.fun < 0:
                marks.append((float(found.x), float(found.fun)))
    marks.sort()
    roots = []
    for (left, at_left), (right, at_right) in pairwise(marks):
        if (at_left <= 0) != (at_right <= 0):
            roots.append(float(optimize.brentq(excess, left, right, xtol=1e-14)))
    if not roots:
        return ((-math.inf, math.inf),) if marks[0][1] <= 0 else ()
    ends = [-math.inf, *(s * math.tan(root) for root in roots), math.inf]
    inside = marks[0][1] <= 0
    pieces = []
    for low, high in pairwise(ends):
        if inside:
            pieces.append((low, high))
        inside = not inside
    return tuple(pieces)
