"""Krippendorff's alpha: ``1 - Do / De`` over the values that can be paired, with any of his metrics or with weights.

With ``n_c`` pairable values of category c, N of them in all, and ``d_i = sum over the pairs of subject i of
delta^2 / (r_i - 1)``: ``alpha = 1 - (N - 1) sum_i d_i / sum_ck n_c n_k delta_ck^2``. Metrics: nominal ``1[c != k]``;
interval ``(c - k)^2``; ratio ``((c - k) / (c + k))^2``; ordinal ``(R_c - R_k)^2`` with ``R`` the mid-rank of a category
among all pairable values, which is Krippendorff's ``(sum_{g=c..k} n_g - (n_c + n_k) / 2)^2``. Agreement weights w
give ``delta^2 = 1 - w`` (Gwet's form); the ordinal *weights* are not the ordinal *metric*. Source: Krippendorff (2004),
Content analysis, 2nd edition; Gwet (2014).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DataError, DesignError, shown
from wwc_eval.fidelity.reliability.chance import NO_PAIRS, ONE_RATER
from wwc_eval.fidelity.reliability.parts import Parts, share
from wwc_eval.fidelity.reliability.reading import Floats, Ratings

__all__ = ["METRICS", "alpha_metric", "alpha_weights"]

METRICS = ("nominal", "ordinal", "interval", "ratio")
CONSTANT = "every value that can be paired is the same, so no disagreement is expected and alpha is 0 / 0"
MOST_VALUES = 1_500
"""Distinct values beyond which a table of distances is too large."""


def alpha_metric(ratings: Ratings, metric: str) -> Parts:
    """Alpha with one of Krippendorff's metrics.

    Raises
    ------
    DesignError
        If the metric needs numbers or an order that the categories do not have.
    DataError
        If ratings of a ratio scale are negative, or there are too many distinct values.
    """
    if metric == "nominal":
        return alpha_weights(ratings, np.eye(ratings.q))
    if metric == "ordinal":
        if not ratings.ordered:
            raise DesignError(
                "metric == 'ordinal' needs categories in order, and these are words: "
                + ", ".join(shown(value) for value in ratings.categories[:6]),
                fix="declare them in order: categories=['poor', 'fair', 'good']",
            )
        return _ordinal(ratings)
    if ratings.numbers is None:
        raise DesignError(f"metric == '{metric}' needs numbers", fix="use metric='ordinal' or 'nominal'")
    if metric == "interval":
        return _interval(ratings, ratings.numbers)
    x = ratings.numbers
    if len(x) and float(x.min()) < 0:
        raise DataError(f"a rating is {x.min():g}", rule="a ratio scale has no negative values")
    total = np.add.outer(x, x)
    apart = np.subtract.outer(x, x) / np.where(total > 0, total, 1.0)
    return _fixed(ratings, apart**2)


def alpha_weights(ratings: Ratings, weights: Floats) -> Parts:
    """Alpha in Gwet's form: agreement weights, ``delta^2 = 1 - w``."""
    return _fixed(ratings, 1.0 - weights)


def _fixed(ratings: Ratings, delta: Floats) -> Parts:
    """Distances that do not depend on the data."""
    if ratings.q > MOST_VALUES:
        raise DataError(
            f"{ratings.q:,} distinct values need a table of {ratings.q**2:,} distances",
            fix="use metric='interval' or 'ordinal', or round the ratings",
        )
    counts, r, paired = _pairable(ratings)
    apart = np.einsum("ik,ik->i", counts @ delta, counts) / np.where(paired, r - 1.0, 1.0)

    def of_sums(sums: Floats) -> Floats:
        n = sums[..., 1:]
        return 1.0 - share((n.sum(axis=-1) - 1.0) * sums[..., 0], np.einsum("...k,...k->...", n @ delta, n))

    n = counts.sum(axis=0)
    expected = float(n @ delta @ n)
    return _parts(
        ratings,
        paired,
        apart,
        expected,
        slopes=(apart, 2.0 * counts @ (delta @ n), r),
        sums=lambda: np.column_stack([apart, counts]),
        of_sums=of_sums,
    )


def _interval(ratings: Ratings, x: Floats) -> Parts:
    """Squared differences: sums and sums of squares are enough, however many values there are."""
    codes, r = ratings.codes, np.count_nonzero(ratings.codes >= 0, axis=1).astype(float)
    scale = float(np.ptp(x)) if len(x) and np.ptp(x) > 0 else 1.0
    z = np.append((x - x.mean()) / scale if len(x) else x, 0.0)[codes]
    paired = r > 1
    r = np.where(paired, r, 0.0)
    one = np.where(paired, z.sum(axis=1), 0.0)
    two = np.where(paired, (z * z).sum(axis=1), 0.0)
    apart = 2.0 * np.maximum(r * two - one**2, 0.0) / np.where(paired, r - 1.0, 1.0)

    def of_sums(sums: Floats) -> Floats:
        do, n, first, second = (sums[..., k] for k in range(4))
        return 1.0 - share((n - 1.0) * do, 2.0 * (n * second - first**2))

    n, first, second = float(r.sum()), float(one.sum()), float(two.sum())
    expected = 2.0 * (n * second - first**2)
    slope = 2.0 * (r * second + n * two - 2.0 * first * one)
    return _parts(
        ratings,
        paired,
        apart,
        expected,
        slopes=(apart, slope, r),
        sums=lambda: np.column_stack([apart, r, one, two]),
        of_sums=of_sums,
    )


def _ordinal(ratings: Ratings) -> Parts:
    """Squared differences of mid-ranks, which move with the data; so do the influences."""
    counts, r, paired = _pairable(ratings)
    q, scale = ratings.q, max(float(counts.sum()), 1.0)
    over = np.where(paired, r - 1.0, 1.0)
    below = np.tril(np.ones((q, q)), -1) + 0.5 * np.eye(q)  # R = below n
    n = counts.sum(axis=0)
    rank = below @ n / scale
    one, two = counts @ rank, counts @ rank**2
    apart = 2.0 * np.maximum(r * two - one**2, 0.0) / over
    total = float(n.sum())
    first, second = float(n @ rank), float(n @ rank**2)
    expected = 2.0 * (total * second - first**2)
    # what a further value does to the ranks of the others
    pull_o = 4.0 * ((counts * ((r / over)[:, None] * rank - (one / over)[:, None])).sum(axis=0) @ below)
    pull_e = 4.0 * (n * (total * rank - first)) @ below
    slope_e = 2.0 * (r * second + total * two - 2.0 * first * one) + counts @ pull_e / scale
    slope_o = apart + counts @ pull_o / scale

    def sums() -> Floats:
        if ratings.q > 60:
            raise DesignError(
                f"resampling needs a table of {ratings.q}^2 pairs for each subject",
                fix="use errors='linearised', or merge categories",
            )
        pairs = np.einsum("ik,il->ikl", counts / over[:, None], counts)
        return np.concatenate([counts, pairs.reshape(len(counts), -1)], axis=1)

    def of_sums(sums: Floats) -> Floats:
        values, pairs = sums[..., :q], sums[..., q:].reshape(*sums.shape[:-1], q, q)
        ranks = values @ below.T
        alike = np.einsum("...k,...kl,...l->...", ranks, pairs, ranks)
        do = 2.0 * (np.einsum("...k,...kl->...", ranks**2, pairs) - alike)
        many = values.sum(axis=-1)
        spread = many * (values * ranks**2).sum(axis=-1) - (values * ranks).sum(axis=-1) ** 2
        return 1.0 - share((many - 1.0) * do, 2.0 * spread)

    return _parts(
        ratings,
        paired,
        apart,
        expected,
        slopes=(slope_o, slope_e, r),
        sums=sums,
        of_sums=of_sums,
    )


def _pairable(ratings: Ratings) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Counts and ratings of each subject, 0 where there is no pair; and whether there is one."""
    paired = ratings.r > 1
    if paired.all():
        return ratings.counts, ratings.r, paired
    return ratings.counts * paired[:, None], ratings.r * paired, paired


def _parts(
    ratings: Ratings,
    paired: NDArray[np.bool_],
    apart: Floats,
    expected: float,
    *,
    slopes: tuple[Floats, Floats, Floats],
    sums: Callable[[], Floats],
    of_sums: Callable[[Floats], Floats],
) -> Parts:
    """Value and influence, from the slopes of Do, De and N by the weight of each subject."""
    observed, n = float(apart.sum()), float(slopes[2].sum())
    reason = None
    if len(ratings.raters) < 2:
        reason = ONE_RATER
    elif not paired.any():
        reason = NO_PAIRS
    elif not expected > 1e-13 * n**2:
        reason = CONSTANT
    if reason is not None:
        empty = np.full(ratings.n, np.nan)
        return Parts(
            value=np.nan,
            observed=np.nan,
            expected=np.nan,
            influence=empty,
            published=empty,
            sums=sums,
            of_sums=of_sums,
            reason=reason,
        )
    ratio = observed / expected
    slope = -((n - 1.0) * (slopes[0] - ratio * slopes[1]) / expected + ratio * slopes[2])
    # alpha is not quite free of the size of the sample: its (N - 1) is taken as N here, as Gwet does
    free = -n * (slopes[0] / expected - ratio * (slopes[1] / expected - slopes[2] / n))
    count = float(np.count_nonzero(paired))
    # irrCAC centres numbers of ratings at the agreement that alpha corrects for its sample, not at the raw one
    uneven = np.where(paired, slopes[2] * count / n - 1.0, 0.0) * (observed / expected)
    return Parts(
        value=1.0 - (n - 1.0) * ratio,
        observed=1.0 - observed / n,
        expected=1.0 - expected / n**2,
        influence=ratings.n * slope - float(slope.sum()),
        published=count * free - uneven,
        sums=sums,
        of_sums=of_sums,
        m=int(count),
    )
