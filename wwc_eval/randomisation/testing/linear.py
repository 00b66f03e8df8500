"""Coefficients of least squares for many allocations at once, from sums by unit.

The coefficient of the arm in a regression is linear in the outcome and, for each allocation, needs only the
cross-products of arms, covariates and outcome. Rows of one unit and kind move together, so these are sums of one entry
a unit: thousands of allocations of thousands of children take a few matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.randomisation.scheme import Codes, Floats
from wwc_eval.randomisation.testing.rows import Exposure
from wwc_eval.randomisation.testing.sums import UnitSums, gathered

__all__ = ["LeastSquares", "basis"]

LEAST = 1e-9
"""Share of an arm's variation left by covariates below which its effect is not estimable."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LeastSquares:
    """The contrast of two arms in ``y ~ arms + Z``, for any allocation and several outcomes.

    Parameters
    ----------
    exposure : Exposure
        Arms of the rows under any allocation.
    units : int
        Units of the allocation.
    arms : int
        Number of arms; the first is the reference.
    Z : (n, q) array
        Intercept and covariates.
    contrast : (arms,) array
        Weights of the arms, adding up to zero.
    weights : (units, arms) array, optional
        Weight of a unit's rows in each arm, such as the inverse of its probability; ones where missing.
    """

    exposure: Exposure
    units: int
    arms: int
    Z: Floats
    contrast: Floats
    weights: Floats | None = None

    @property
    def _units(self) -> UnitSums:
        return UnitSums(exposure=self.exposure, units=self.units)

    def coefficients(self, Y: Floats, codes: Codes) -> Floats:
        """Contrast for outcomes (n, o) under allocations (m, units): (m, o); missing where not estimable."""
        return self._plain(Y, codes) if self.weights is None else self._weighted(Y, codes)

    # --- without weights the covariates are taken out once

    def _plain(self, Y: Floats, codes: Codes) -> Floats:
        Q = basis(self.Z)
        left = Y - Q @ (Q.T @ Y)
        r, q, o = self.arms - 1, Q.shape[1], Y.shape[1]
        parts = np.column_stack([np.ones(len(Y)), left, Q])
        sums = self._units.cells(parts)
        # for each unit, code and arm: rows, outcome left over, covariates
        table = np.stack([self._units.by_code(sums, arm) for arm in range(1, self.arms)], axis=2)
        totals = gathered(table.reshape(self.units, -1, r * parts.shape[1]), codes)
        totals = totals.reshape(len(codes), r, parts.shape[1])
        count, outcome, shadow = totals[..., 0], totals[..., 1 : 1 + o], totals[..., 1 + o :]
        middle = -shadow @ shadow.swapaxes(1, 2) if q else np.zeros((len(codes), r, r))
        places = np.arange(r)
        middle[:, places, places] += count
        return _solved(middle, count, outcome, self.contrast[1:])

    # --- with weights they change with the allocation

    def _weighted(self, Y: Floats, codes: Codes) -> Floats:
        assert self.weights is not None
        Q = basis(self.Z)
        q, o, r = Q.shape[1], Y.shape[1], self.arms - 1
        parts = np.column_stack([Q, Y])
        n_parts = parts.shape[1]
        products = self._units.cells((parts[:, :, None] * parts[:, None, :]).reshape(len(Y), -1))
        singles = self._units.cells(np.column_stack([np.ones(len(Y)), parts]))
        # cross-products of parts, then for each arm of its indicator with itself and the parts
        table = np.concatenate(
            [
                sum(
                    self._units.by_code(products, arm) * self.weights[:, None, arm, None]
                    for arm in range(self.arms)
                ),
                *(
                    self._units.by_code(singles, arm) * self.weights[:, None, arm, None]
                    for arm in range(1, self.arms)
                ),
            ],
            axis=2,
        )
        totals = gathered(table, codes)
        inner = totals[:, : n_parts**2].reshape(-1, n_parts, n_parts)
        outer = totals[:, n_parts**2 :].reshape(-1, r, 1 + n_parts)
        count = outer[..., 0]
        shadow, outcome = outer[..., 1 : 1 + q], outer[..., 1 + q :]
        covariates, moment = inner[:, :q, :q], inner[:, :q, q : q + o]
        solved = np.linalg.solve(covariates, np.concatenate([shadow.swapaxes(1, 2), moment], axis=2))
        middle = -shadow @ solved[..., :r]
        places = np.arange(r)
        middle[:, places, places] += count
        return _solved(middle, count, outcome - shadow @ solved[..., r:], self.contrast[1:])


def basis(Z: Floats) -> Floats:
    """Orthonormal basis of the columns of Z, which may depend on each other."""
    if not Z.shape[1]:
        return Z
    size = np.sqrt((Z**2).sum(axis=0))
    vectors, values, _ = np.linalg.svd(Z / np.where(size > 0, size, 1.0), full_matrices=False)
    return np.asarray(vectors[:, values > 1e-10 * values[0]])


def _solved(middle: Floats, count: Floats, outcome: Floats, contrast: Floats) -> Floats:
    """Contrast of the solutions; missing where an arm has no variation left."""
    left = np.diagonal(middle, axis1=1, axis2=2)
    fine: NDArray[np.bool_] = np.all(left > LEAST * np.maximum(count, 1e-300), axis=1)
    found = np.full((len(middle), outcome.shape[2]), np.nan)
    if middle.shape[1] > 1:
        size = np.sqrt(np.where(fine[:, None], left, 1.0))
        scaled = middle / (size[:, :, None] * size[:, None, :])
        fine &= np.linalg.eigvalsh(np.where(fine[:, None, None], scaled, np.eye(len(contrast))))[:, 0] > LEAST
    solved = np.linalg.solve(middle[fine], outcome[fine])
    found[fine] = np.einsum("r,mro->mo", contrast, solved)
    return found
