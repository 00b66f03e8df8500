"""Matched pairs: optimal, the same everywhere, and each block randomised on its own."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, milp
from scipy.spatial.distance import pdist, squareform

import wwc_eval as we
from wwc_eval.errors import DesignError
from wwc_eval.randomisation.grouping import group_units
from wwc_eval.randomisation.matching import match_pairs


def cheapest(distances):
    """Smallest total distance by dynamic programming over subsets."""
    n = len(distances)

    @cache
    def rest(taken):
        if taken == (1 << n) - 1:
            return 0
        i = next(k for k in range(n) if not taken >> k & 1)
        return min(
            int(distances[i, j]) + rest(taken | 1 << i | 1 << j) for j in range(i + 1, n) if not taken >> j & 1
        )

    return rest(0)


def total(distances, pairs):
    return sum(int(distances[i, j]) for i, j in pairs)


@pytest.mark.property
@settings(max_examples=150, deadline=None)
@given(st.integers(1, 5), st.sampled_from([1, 2, 5, 50, 10**8]), st.booleans(), st.integers(0, 10**9))
def test_pairs_are_optimal(half, largest, geometric, seed):
    rng = np.random.default_rng(seed)
    n = 2 * half
    points = rng.integers(0, largest + 1, (n, 2))
    distances = np.abs(points[:, None] - points[None]).sum(axis=2)
    if not geometric:
        distances = np.triu(rng.integers(0, largest + 1, (n, n)), 1)
        distances = distances + distances.T
    pairs = match_pairs(distances)
    assert sorted(itertools.chain(*pairs)) == list(range(n))
    assert total(distances, pairs) == cheapest(distances)


@pytest.mark.parametrize("n", [24, 40])
def test_pairs_equal_an_integer_programme(n):
    rng = np.random.default_rng(n)
    points = np.concatenate([rng.normal(size=(n - n // 3, 3)), rng.normal(3, 0.2, (n // 3, 3))])
    distances = np.round(1e4 * squareform(pdist(points))).astype(np.int64)
    edges = list(itertools.combinations(range(n), 2))
    incidence = np.zeros((n, len(edges)))
    for column, (i, j) in enumerate(edges):
        incidence[[i, j], column] = 1
    cost = np.array([distances[edge] for edge in edges], dtype=float)
    solved = milp(cost, constraints=LinearConstraint(incidence, 1, 1), integrality=np.ones(len(edges)))
    assert total(distances, match_pairs(distances)) == round(solved.fun)


def test_the_unit_left_over_is_chosen_best():
    rng = np.random.default_rng(3)
    distances = np.round(1e4 * squareform(pdist(rng.normal(size=(9, 2))))).astype(np.int64)
    pairs, left = group_units(distances, 2)
    best = min(
        cheapest(distances[np.ix_(kept, kept)])
        for kept in ([i for i in range(9) if i != gone] for gone in range(9))
    )
    assert total(distances, pairs) == best
    assert len(left) == 1


@pytest.mark.parametrize(("n", "size"), [(9, 3), (11, 3), (12, 4), (14, 5)])
def test_no_exchange_improves_larger_blocks(n, size):
    rng = np.random.default_rng(n)
    distances = np.round(1e4 * squareform(pdist(rng.normal(size=(n, 2))))).astype(np.int64)
    blocks, left = group_units(distances, size)
    assert sorted([*itertools.chain(*blocks), *left]) == list(range(n))
    assert len(left) == n % size

    def cost(blocks):
        return sum(int(distances[i, j]) for block in blocks for i, j in itertools.combinations(block, 2))

    here = cost(blocks)
    groups = [*blocks, left] if left else blocks
    for (a, first), (b, second) in itertools.combinations(enumerate(groups), 2):
        for i, j in itertools.product(first, second):
            turned = [list(block) for block in groups]
            turned[a][first.index(i)], turned[b][second.index(j)] = j, i
            assert cost(turned[: len(blocks)]) >= here


def schools(n, seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "school": [f"s{i:03d}" for i in range(n)],
            "la": rng.choice(["N", "S"], n),
            "pupils": rng.integers(100, 900, n),
            "meals": rng.random(n).round(3),
            "phase": rng.choice(["primary", "secondary"], n),
        }
    )


def test_distances_are_mahalanobis():
    frame = schools(20)
    allocation = we.randomise(
        frame, unit="school", method=we.MatchedPairs(on=["pupils", "meals", "phase"]), seed="s"
    )
    x = np.column_stack([frame["pupils"], frame["meals"], frame["phase"] == "secondary"]).astype(float)
    expected = squareform(pdist(x, "mahalanobis", VI=np.linalg.inv(np.cov(x.T))))
    assert np.allclose(allocation.bound.distances / 2**16, expected, atol=2e-4)
    pairs = [tuple(frame["school"].tolist().index(name) for name in pair) for pair in allocation.bound.groups]
    assert allocation.bound.total_distance == pytest.approx(sum(expected[pair] for pair in pairs), abs=1e-3)


def test_one_of_each_pair_in_each_arm():
    allocation = we.randomise(
        schools(30), unit="school", method=we.MatchedPairs(on="pupils", by="phase"), seed="s"
    )
    table = allocation.table
    sizes = table.groupby("stratum").size()
    whole = table[table["stratum"].map(sizes) == 2]
    assert (whole.groupby("stratum")["arm"].nunique() == 2).all()
    odd = schools(30)["phase"].value_counts() % 2
    assert (sizes == 1).sum() == odd.sum()
    assert abs(table["arm"].value_counts().diff().iloc[-1]) <= 1
    # strata are named after the columns of by
    assert table["stratum"].str.match(r"(primary|secondary), (pair \d+|left over)").all()
    assert allocation.probabilities.tolist() == [[0.5, 0.5]] * 30
    assert allocation.n_permitted == len(allocation.reference_set())


@pytest.mark.parametrize(("arms", "size"), [(("a", "b", "c"), 3), ({"a": 1, "b": 2}, 3), ({"a": 2, "b": 2}, 2)])
def test_blocks_have_as_many_units_as_the_ratio_adds_up_to(arms, size):
    allocation = we.randomise(schools(18), unit="school", arms=arms, method=we.MatchedPairs(on="pupils"), seed="s")
    assert {len(group) for group in allocation.bound.groups} == {size}
    counts = allocation.table["arm"].value_counts(sort=False).tolist()
    assert counts == [18 * part // sum(allocation.arms.ratio) for part in allocation.arms.ratio]


def test_what_is_refused():
    with pytest.raises(DesignError, match="no multiple of 2"):
        we.randomise(schools(7), unit="school", method=we.MatchedPairs(on="pupils", leftover="refuse"), seed="s")
    with pytest.raises(DesignError, match="leftover"):
        we.MatchedPairs(on="pupils", leftover="drop")
    with pytest.raises(DesignError, match="determined by"):
        we.randomise(
            schools(8).assign(twice=lambda d: d["pupils"] * 2), unit="school",
            method=we.MatchedPairs(on=["pupils", "twice"]), seed="s",
        )  # fmt: skip
    with pytest.raises(DesignError, match="cannot fill a block"):
        we.randomise(
            schools(2), unit="school", arms=("a", "b", "c"), method=we.MatchedPairs(on="pupils"), seed="s"
        )


def test_rows_and_types_do_not_matter():
    frame = schools(21)
    method = we.MatchedPairs(on=["pupils", "meals", "phase"])
    first = we.randomise(frame, unit="school", method=method, seed="s")
    changed = frame.sample(frac=1, random_state=4).astype({"pupils": float, "phase": "category"})
    assert we.randomise(changed, unit="school", method=method, seed="s").receipt == first.receipt
