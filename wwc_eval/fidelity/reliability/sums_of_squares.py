"""Mean squares of a subjects x raters table, complete or not, from sums that add up over subjects.

Complete: the usual analysis of variance. With missing cells: Henderson's method III (fitting constants): the subjects
given the raters, the raters given the subjects, the residual, each equated to its expectation. On a complete table both
give the same. Everything is a function of the sums in :class:`Layout`, so a cluster can be left out by subtraction.

Source: Henderson (1953), doi:10.2307/3001853; Searle, Casella and McCulloch (1992), Variance components, chapter 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.fidelity.reliability.reading import Floats

__all__ = ["Layout", "Squares", "squares"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the sums of a table of R raters stand in a row of sums.

    Parameters
    ----------
    R : int
        Raters.

    A row holds: subjects, ratings, ``sum y^2``, ``sum T_i^2 / r_i``, ``sum T_i``, ``sum r_i^2``, then for each
    rater ratings, sum of ratings, ``sum_i m_ij T_i / r_i``, and the (R, R) table ``sum_i m_ij m_ik / r_i``.
    """

    R: int

    def of(self, y: Floats, *, complete: bool = False) -> Floats:
        """Contributions (n, d) of subjects whose ratings are ``y`` (n, R), NaN where missing."""
        R = self.R
        if complete:
            total = y.sum(axis=1)
            r = np.full(len(y), float(R))
            m, filled = np.ones_like(y), y
        else:
            m = (~np.isnan(y)).astype(float)
            filled = np.where(m > 0, y, 0.0)
            r, total = m.sum(axis=1), filled.sum(axis=1)
        head = [np.ones(len(y)), r, (filled**2).sum(axis=1), total**2 / r, total, r**2]
        table = (m[:, :, None] * m[:, None, :] / r[:, None, None]).reshape(len(y), R * R)
        return np.column_stack([*head, m, filled, m * (total / r)[:, None], table])

    def totals(self, y: Floats) -> Floats:
        """Sums (d,) of all subjects, without the contributions of each."""
        R = self.R
        missing = np.isnan(y)
        if not missing.any():
            n, total = len(y), y.sum(axis=1)
            per = y.sum(axis=0)
            head = [n, n * R, float(np.einsum("ij,ij->", y, y)), total @ total / R, total.sum(), n * R * R]
            flat = np.full(R, total.sum() / R)
            return np.concatenate([head, np.full(R, float(n)), per, flat, np.full(R * R, n / R)])
        m = (~missing).astype(float)
        filled = np.where(missing, 0.0, y)
        r, total = m @ np.ones(R), filled @ np.ones(R)
        over = 1.0 / r
        share = total * over
        weighted = m * over[:, None]
        head = [len(y), r.sum(), float(np.einsum("ij,ij->", filled, filled)), share @ total, total.sum(), r @ r]  # fmt: skip
        return np.concatenate([head, m.sum(axis=0), filled.sum(axis=0), share @ m, (weighted.T @ m).ravel()])


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
    """Mean squares of any sums (..., d) of a table of R raters (see :class:`Layout`)."""
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
