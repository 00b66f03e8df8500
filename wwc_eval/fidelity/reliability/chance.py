"""Chance-corrected agreement of any number of raters with missing ratings: ``(pa - pe) / (1 - pe)``.

``pa`` is the average over the subjects with two ratings or more of the (weighted) share of pairs that agree. ``pe``
says what chance is:

- percent agreement: 0.
- Brennan and Prediger: every category alike, ``sum w / q^2``.
- Gwet (AC1, AC2): ``sum w / (q (q - 1)) * sum pi (1 - pi)``.
- Fleiss (with two raters Scott's pi): ``pi' w pi``.
- Conger (with two raters Cohen's kappa): the average over pairs of raters of ``p_g' w p_h``.

``pi`` averages each subject's shares of categories, ``p_g`` are those of rater g. Source: Gwet (2014), Handbook of
inter-rater reliability, 4th edition; Conger (1980), doi:10.1037/0033-2909.88.2.322.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wwc_eval.fidelity.reliability.parts import Parts, share
from wwc_eval.fidelity.reliability.reading import Floats, Ratings

__all__ = ["pair_agreement", "pooled_chance", "rater_chance"]

CONSTANT = "every rating is the same, so chance alone would give full agreement and the coefficient is 0 / 0"
NO_PAIRS = "no subject has two ratings, so nothing can agree"
ONE_RATER = "one rater only, so nothing can agree"


def pair_agreement(ratings: Ratings, weights: Floats) -> tuple[Floats, Floats]:
    """Share of each subject's pairs of ratings that agree (n,), 0 without a pair; and whether there is one (n,)."""
    counts, r = ratings.counts, ratings.r
    own = counts @ np.diag(weights)
    pairs = r * (r - 1.0)
    agree = np.einsum("ik,ik->i", counts @ weights, counts) - own
    return agree / np.where(pairs > 0, pairs, 1.0), (pairs > 0).astype(float)


def pooled_chance(ratings: Ratings, kind: str, weights: Floats) -> Parts:
    """Percent agreement, Brennan-Prediger, Gwet's AC and Fleiss' kappa: chance from the categories pooled over raters."""
    agree, paired = pair_agreement(ratings, weights)
    shares = ratings.counts / ratings.r[:, None]
    chance, slope = _pooled(kind, weights)

    def of_sums(sums: Floats) -> Floats:
        twice, total, once, rest = sums[..., 0], sums[..., 1], sums[..., 2], sums[..., 3:]
        pe = chance(share(rest, once[..., None]))
        return share(share(total, twice) - pe, 1.0 - pe)

    def sums() -> Floats:
        return np.column_stack([paired, agree, np.ones(ratings.n), shares])

    pi = shares.mean(axis=0)
    moved = (shares - pi) @ slope(pi)
    return _parts(ratings, agree, paired, float(chance(pi)), moved, sums=sums, of_sums=of_sums)


def _pooled(kind: str, weights: Floats) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    """Chance agreement as a function of the shares of categories (..., q), and its gradient."""
    q, total = len(weights), float(weights.sum())
    if kind == "percent_agreement":
        return (lambda pi: np.zeros(pi.shape[:-1])), np.zeros_like
    if kind == "brennan_prediger":
        return (lambda pi: np.full(pi.shape[:-1], total / q**2)), np.zeros_like
    if kind == "fleiss_kappa":
        return (lambda pi: np.einsum("...k,...k->...", pi @ weights, pi)), (lambda pi: 2.0 * weights @ pi)
    scale = total / (q * (q - 1.0)) if q > 1 else 1.0
    if q == 1:  # one category and none declared beside it: chance cannot do otherwise
        return (lambda pi: np.ones(pi.shape[:-1])), np.zeros_like
    return (lambda pi: scale * (pi * (1.0 - pi)).sum(axis=-1)), (lambda pi: scale * (1.0 - 2.0 * pi))


def rater_chance(ratings: Ratings, weights: Floats) -> Parts:
    """Conger's kappa, which is Cohen's with two raters: chance from the categories of each rater."""
    codes, q = ratings.codes, ratings.q
    agree, paired = pair_agreement(ratings, weights)
    active = (codes >= 0).any(axis=0)
    if not active.all():
        codes = codes[:, active]
    R = codes.shape[1]

    def of_sums(sums: Floats) -> Floats:
        twice, total = sums[..., 0], sums[..., 1]
        table = sums[..., 2:].reshape(*sums.shape[:-1], R, q)
        rated = table.sum(axis=-1)
        p = np.where(rated[..., None] > 0, table / np.where(rated > 0, rated, 1.0)[..., None], 0.0)
        raters = (rated > 0).sum(axis=-1)
        pooled = p.sum(axis=-2)
        both = np.einsum("...k,...k->...", pooled @ weights, pooled)
        own = np.einsum("...gk,...gk->...", p @ weights, p)
        pe = share(both - own, raters * (raters - 1.0))
        return share(share(total, twice) - pe, 1.0 - pe)

    def sums() -> Floats:
        hot = (codes[:, :, None] == np.arange(q)).reshape(ratings.n, R * q)
        return np.column_stack([paired, agree, hot])

    flat = (codes + np.arange(R) * (q + 1) + 1).ravel()
    table = np.bincount(flat, minlength=R * (q + 1)).reshape(R, q + 1)[:, 1:].astype(float)
    rated = table.sum(axis=1)
    p = table / rated[:, None]
    pooled = p.sum(axis=0)
    if R > 1:
        pe = float(pooled @ weights @ pooled - np.einsum("gk,kl,gl->", p, weights, p)) / (R * (R - 1.0))
        slopes = 2.0 * (pooled - p) @ weights / (R * (R - 1.0))
        centred = (slopes - np.einsum("gk,gk->g", slopes, p)[:, None]) * (ratings.n / rated)[:, None]
        lookup = np.concatenate([np.zeros((R, 1)), centred], axis=1)  # nothing for a missing rating
        moved = lookup.ravel()[flat].reshape(codes.shape).sum(axis=1)
    else:
        pe, moved = 1.0, np.zeros(ratings.n)
    return _parts(ratings, agree, paired, pe, moved, sums=sums, of_sums=of_sums)


def _parts(
    ratings: Ratings,
    agree: Floats,
    paired: Floats,
    pe: float,
    moved: Floats,
    *,
    sums: Callable[[], Floats],
    of_sums: Callable[[Floats], Floats],
) -> Parts:
    """Value and influences, from the influence ``moved`` (n,) of each subject on chance agreement."""
    n, twice = ratings.n, float(paired.sum())
    nothing = np.full(n, np.nan)
    reason = None
    if len(ratings.raters) < 2:
        reason = ONE_RATER
    elif twice == 0:
        reason = NO_PAIRS
    elif not 1.0 - pe > 1e-13:
        reason = CONSTANT
    pa = float(agree.sum()) / twice if twice else np.nan
    if reason is not None:
        return Parts(
            value=np.nan,
            observed=pa,
            expected=pe,
            influence=nothing,
            published=nothing,
            sums=sums,
            of_sums=of_sums,
            reason=reason,
            m=n,
        )
    value = (pa - pe) / (1.0 - pe)
    factor = paired * (n / twice) / (1.0 - pe)
    chance = moved * ((1.0 - value) / (1.0 - pe))
    return Parts(
        value=value,
        observed=pa,
        expected=pe,
        influence=factor * (agree - pa) - chance,
        published=factor * (agree - pe) - value - chance,
        sums=sums,
        of_sums=of_sums,
        m=n,
    )
