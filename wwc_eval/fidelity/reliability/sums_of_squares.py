"""Mean squares of a subjects x raters table, complete or not, from sums that add up over subjects.

Complete: the usual analysis of variance. With missing cells: Henderson's method III (fitting constants): the subjects
given the raters, the raters given the subjects, the residual, each equated to its expectation. On a complete table both
give the same. Everything is a function of the sums of :class:`Centred`, so a cluster can be left out by subtraction.

Source: Henderson (1953), doi:10.2307/3001853; Searle, Casella and McCulloch (1992), Variance components, chapter 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wwc_eval.fidelity.reliability.reading import Floats

__all__ = ["Centred", "Squares", "squares"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Centred:
    """Ratings less their mean, with holes as zeros, ready to be summed.

    A row of sums holds: subjects, ratings, ``sum y^2``, ``sum T_i^2 / r_i``, ``sum T_i``, ``sum r_i^2``, then for each
    rater ratings, sum of ratings, ``sum_i m_ij T_i / r_i``, and the (R, R) table ``sum_i m_ij m_ik / r_i``. Subjects without a
    rating add nothing.

    Parameters
    ----------
    filled : ndarray, shape (n, R)
        Ratings less the mean of all; 0 where there is none.
    present : ndarray of bool, shape (n, R), optional
        Where there is a rating; None where there is one everywhere.
    r : ndarray, shape (n,)
        Ratings of each subject.
    flat : bool
        Whether all ratings are one.
    """

    filled: Floats
    present: NDArray[np.bool_] | None
    r: Floats
    flat: bool

    @classmethod
    def of(cls, y: Floats) -> Centred:
        """From ratings (n, R) with NaN where there is none; raters without any are left out."""
        n, R = y.shape
        missing = np.isnan(y)
        if not missing.any():
            filled = y - y.mean() if y.size else y
            return cls(filled=filled, present=None, r=np.full(n, float(R)), flat=_flat(filled, y))
        present = ~missing
        seen = present.any(axis=0)
        if not seen.all():
            y, present, missing = y[:, seen], present[:, seen], missing[:, seen]
        r = _row_sums(present)
        filled = np.where(missing, 0.0, y)
        count = float(r.sum())
        # sums of squares keep their digits around 0
        filled -= float(filled.sum()) / count if count else 0.0
        filled *= present
        return cls(filled=filled, present=present, r=r, flat=_flat(filled, y))

    @property
    def raters(self) -> int:
        """Raters with a rating."""
        return int(self.filled.shape[1])

    @cached_property
    def n(self) -> int:
        """Subjects with a rating."""
        return int(np.count_nonzero(self.r)) if self.raters else 0

    @property
    def n_empty(self) -> int:
        """Subjects without."""
        return len(self.r) - self.n

    def totals(self) -> Floats:
        """Sums (d,) of all subjects, without the contributions of each."""
        y, R, n = self.filled, self.raters, len(self.r)
        square, total = _square(y), y @ np.ones(R)
        per = np.ones(n) @ y
        if self.present is None:
            head = [n, n * R, square, total @ total / R, total.sum(), n * R * R]
            flat = np.full(R, total.sum() / R)
            return np.concatenate([head, np.full(R, float(n)), per, flat, np.full(R * R, n / R)])
        root = 1.0 / np.sqrt(np.maximum(self.r, 1.0))
        share = total * root
        # shares of a subject's rating to the power of a half, so that one product gives the table
        weighted = self.present * root[:, None]
        head = [self.n, self.r.sum(), square, share @ share, total.sum(), self.r @ self.r]
        counts = np.count_nonzero(self.present, axis=0)
        return np.concatenate([head, counts, per, share @ weighted, (weighted.T @ weighted).ravel()])

    def contributions(self) -> Floats:
        """What each subject adds (n, d)."""
        y, R, r = self.filled, self.raters, self.r
        m = np.ones_like(y) if self.present is None else self.present.astype(float)
        total, over = y.sum(axis=1), 1.0 / np.maximum(r, 1.0)
        head = [np.minimum(r, 1.0), r, (y**2).sum(axis=1), total**2 * over, total, r**2]
        table = (m[:, :, None] * (m * over[:, None])[:, None, :]).reshape(len(y), R * R)
        return np.column_stack([*head, m, y, m * (total * over)[:, None], table])


def _row_sums(present: NDArray[np.bool_]) -> Floats:
    """Ratings of each subject; whole numbers of one byte are added up in a tenth of the time."""
    small = np.uint8 if present.shape[1] < 256 else np.intp
    return np.asarray(present.view(np.uint8).sum(axis=1, dtype=small), dtype=float)


def _square(y: Floats) -> float:
    """Sum of squares."""
    flat = y.ravel(order="K")
    return float(flat @ flat)


def _flat(filled: Floats, y: Floats) -> bool:
    """Whether all ratings are one; looked at closely only where next to nothing is left of them."""
    if not y.size:
        return True
    first = y[0, 0] if not np.isnan(y[0, 0]) else 0.0
    if _square(filled) > 1e-16 * y.size * (first * first + 1.0):
        return False
    return bool(np.isnan(y).all()) or float(np.nanmax(y)) == float(np.nanmin(y))


@dataclass(frozen=True, kw_only=True)
class Squares:
    """Mean squares with what they expect; every field may hold one value a set of sums.

    Parameters
    ----------
    subjects : ndarray
        Subjects.
    one_way, within : ndarray
        Mean squares between and within subjects.
    k_one_way : ndarray
        Multiplier of the subject variance in the first: ratings a subject, adjusted for their spread.
    df_one_way, df_within : ndarray
        Their degrees of freedom.
    between, raters, residual : ndarray
        Mean squares of subjects given raters, raters given subjects, and the residual.
    k_between, n_raters : ndarray
        Multipliers of the subject variance in the first, and of the rater variance in the second: ratings a subject, and
        subjects a rater, as far as they tell subjects and raters apart.
    df_between, df_raters, df_residual : ndarray
        Degrees of freedom.
    parts : ndarray
        Sets of raters without a subject in common: 1 where the design is connected.
    """

    subjects: Floats
    one_way: Floats
    within: Floats
    k_one_way: Floats
    df_one_way: Floats
    df_within: Floats
    between: Floats
    raters: Floats
    residual: Floats
    k_between: Floats
    n_raters: Floats
    df_between: Floats
    df_raters: Floats
    df_residual: Floats
    parts: Floats


def squares(sums: Floats, R: int) -> Squares:
    """Mean squares of any sums (..., d) of a table of R raters (see :class:`Centred`)."""
    n, N, yy, tt, total, rr = (sums[..., k] for k in range(6))
    rest = sums[..., 6:]
    m, per, cross = rest[..., :R], rest[..., R : 2 * R], rest[..., 2 * R : 3 * R]
    table = rest[..., 3 * R :].reshape(*sums.shape[:-1], R, R)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total**2 / N
        ss_subjects, ss_within = tt - mean, yy - tt
        df_one, df_within = n - 1.0, N - n
        k_one = (N - rr / N) / df_one
        # raters given subjects: the normal equations with the subjects swept out
        swept = -table
        swept[..., np.arange(R), np.arange(R)] += m
        right = per - cross
        values, vectors = np.linalg.eigh(swept)
        alive = values > 1e-9 * np.maximum(values[..., -1:], 1e-300)
        turned = np.einsum("...kj,...k->...j", vectors, right)
        ss_raters = np.where(alive, turned**2 / np.where(alive, values, 1.0), 0.0).sum(axis=-1)
        df_raters = alive.sum(axis=-1).astype(float)
        present = (m > 0).sum(axis=-1)
        parts = present - df_raters
        ss_residual = np.maximum(ss_within - ss_raters, 0.0)
        df_residual = df_within - df_raters
        # subjects given raters: everything but raters alone and residual
        level = np.where(m > 0, per**2 / np.where(m > 0, m, 1.0), 0.0).sum(axis=-1)
        ss_between = (tt + ss_raters) - level
        df_between = n - parts
        # E(SS subjects | raters) = (N - sum_j sum_i m_ij / m_j) sigma_s^2 + ...; each rater's share of a subject is 1 / m_j
        k_between = (N - present) / df_between
        n_raters = np.einsum("...jj->...", swept) / df_raters
        return Squares(
            subjects=n,
            one_way=ss_subjects / df_one,
            within=ss_within / df_within,
            k_one_way=k_one,
            df_one_way=df_one,
            df_within=df_within,
            between=ss_between / df_between,
            raters=ss_raters / df_raters,
            residual=ss_residual / df_residual,
            k_between=k_between,
            n_raters=n_raters,
            df_between=df_between,
            df_raters=df_raters,
            df_residual=df_residual,
            parts=parts,
        )
