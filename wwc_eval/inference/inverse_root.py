"""Inverse square root of a diagonal matrix minus one of low rank, applied to a few vectors.

CR2 needs ``G^(-1/2) Q`` for every cluster, where ``G = D (I - Q Q') D`` has as many rows as the cluster. An
eigendecomposition of a cluster of thousands of children is out of reach; but ``G^(-1/2)`` is an integral of
resolvents, each of them a low-rank problem by Woodbury's identity, and the quadrature of Hale, Higham and
Trefethen (2008, SIAM J. Numer. Anal. 46, doi:10.1137/070700607) converges geometrically.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from wwc_eval.inference.families import Floats

__all__ = ["inverse_root_applied"]

TARGET = 1e-14
CHECK = 1e-10
TAIL = 33.0
CHUNK = 2_000_000


def inverse_root_applied(d: Floats, Q: Floats, null: Floats) -> Floats:
    """``G^(+1/2) Q`` with ``G = D (I - Q Q') D``, the pseudo-inverse of the root.

    Parameters
    ----------
    d : ndarray, shape (m,)
        Diagonal of D, positive.
    Q : ndarray, shape (m, p)
        Columns with ``Q'Q <= I``.
    null : ndarray, shape (m, k)
        Orthonormal basis of the null space of ``I - Q Q'``; k may be 0.

    Returns
    -------
    ndarray, shape (m, p)

    Examples
    --------
    >>> import numpy as np
    >>> d, Q = np.array([1.0, 2.0]), np.array([[0.6], [0.0]])
    >>> inverse_root_applied(d, Q, np.empty((2, 0))).round(6)
    array([[0.75],
           [0.  ]])
    """
    p, k = Q.shape[1], null.shape[1]
    top = float(np.max(d) ** 2)
    right = Q
    core = -np.eye(p + k)
    low_rank = d[:, None] * Q
    if k:
        # lift the null space to the top of the spectrum and keep the right-hand side out of it
        lifted, _ = np.linalg.qr(null / d[:, None])
        right = Q - lifted @ (lifted.T @ Q)
        core[p:, p:] = np.eye(k)
        low_rank = np.hstack([low_rank, math.sqrt(top) * lifted])
    leverage = np.linalg.eigvalsh(Q.T @ Q)
    inner = leverage[: p - k] if k else leverage
    slack = 1.0 - float(inner.max(initial=0.0))
    bottom = float(np.min(d) ** 2) * max(slack, 1e-12)
    shifts, masses = _nodes(bottom, top)
    total = np.zeros_like(right)
    step = max(1, CHUNK // low_rank.size)
    for first in range(0, len(shifts), step):
        part = slice(first, first + step)
        inverse = 1.0 / (d**2 + shifts[part, None])
        total += _resolvents(inverse, masses[part], low_rank, core, right)
    return total


def _resolvents(inverse: Floats, masses: Floats, low_rank: Floats, core: Floats, right: Floats) -> Floats:
    """Weighted sum of ``(E + low_rank core low_rank')^-1 right`` over diagonal matrices E, given inverted."""
    scaled = inverse[:, :, None] * low_rank
    capacity = core + low_rank.T @ scaled
    answer = np.linalg.solve(capacity, np.swapaxes(scaled, 1, 2) @ right)
    plain = (masses @ inverse)[:, None] * right
    return np.asarray(plain - np.tensordot(scaled * masses[:, None, None], answer, axes=([0, 2], [0, 1])))


def _nodes(bottom: float, top: float) -> tuple[Floats, Floats]:
    """Shifts and masses with ``x^(-1/2) = sum masses / (x + shifts)`` for x between bottom and top."""
    # the elliptic functions take 1 - ratio: use the ratio which that rounded number stands for
    ratio = 1.0 - (1.0 - min(max(bottom / top, 1e-15), 0.999))
    count = math.ceil((math.log(1.0 / ratio) + 3.0) * -math.log(TARGET) / (2.0 * math.pi**2)) + 2
    period = float(special.ellipkm1(ratio))
    sn, cn, dn, _ = special.ellipj((np.arange(count) + 0.5) * period / count, 1.0 - ratio)
    shifts = ratio * top * (sn / cn) ** 2
    masses = 2.0 * period * math.sqrt(ratio * top) / (math.pi * count) * dn / cn**2
    probe = np.geomspace(ratio * top, top, 17)
    error = np.abs((masses / (probe[:, None] + shifts)).sum(axis=1) * np.sqrt(probe) - 1.0)
    if np.all(np.isfinite(error)) and error.max() < CHECK:
        return np.asarray(shifts, dtype=float), np.asarray(masses, dtype=float)
    # elliptic functions lose their digits when the spectrum is very wide; the plain rule does not
    width = math.pi**2 / TAIL
    low, high = 0.5 * math.log(bottom) - TAIL, 0.5 * math.log(top) + TAIL
    root = np.exp(np.arange(low, high, width))
    return np.asarray(root**2, dtype=float), np.asarray(2.0 / math.pi * width * root, dtype=float)
