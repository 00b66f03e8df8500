"""The scheme that draws is the scheme that is described: laws by following every choice of the draw."""

import json

import numpy as np
import pytest
from allocation_cases import bound_of, law_of_enumeration
from allocation_study import MISFITS, RATIOS, TWO, bound, check_law, other_designs, stratified_designs, text
from scipy import stats

import wwc_eval as we
from wwc_eval.randomisation.scheme import scheme_from
from wwc_eval.randomisation.schemes.staged import Staged

FEW, TREE = 40, 250
"""Designs with more allocations, or more ways through the draw, are left to the slow study."""


def designs(source):
    found = [(each, text(*case)) for case in source() if (each := bound(*case)) and each.count <= FEW]
    return [pytest.param(each, id=name) for each, name in found]


@pytest.mark.parametrize("misfits", MISFITS)
def test_stratified_draws_have_the_law_that_is_enumerated(misfits):
    tried = 0
    for scheme, sizes, arms in stratified_designs():
        each = bound(scheme, sizes, arms) if scheme.misfits == misfits else None
        if each is not None and each.count <= FEW:
            tried += check_law(each, TREE)
    assert tried > 20


@pytest.mark.parametrize("each", designs(other_designs))
def test_draws_have_the_law_that_is_enumerated(each):
    assert check_law(each)


@pytest.mark.parametrize("arms", RATIOS, ids=str)
def test_balanced_misfits_keep_strata_and_arms_within_one_unit(arms):
    for scheme, sizes, ratio in stratified_designs():
        each = bound(scheme, sizes, ratio) if scheme.misfits == "balanced" and ratio == arms else None
        if each is None or each.count > FEW:
            continue
        rows = each.enumerate().allocations
        for members in [np.arange(each.units.n), *each.blocks.members]:
            counts = np.stack([(rows[:, members] == arm).sum(axis=1) for arm in range(each.arms.k)], axis=1)
            exact = len(members) * each.arms.shares
            assert (np.abs(counts - exact) < 1).all()


def test_global_misfits_keep_the_arms_within_one_unit_but_not_strata():
    each = bound_of(we.Stratified(by="stratum", misfits="global"), (5, 5), ("a", "b", "c"))
    rows = each.enumerate().allocations
    counts = np.stack([(rows == arm).sum(axis=1) for arm in range(3)], axis=1)
    assert (np.abs(counts - 10 / 3) < 1).all()
    within = np.stack([(rows[:, :5] == arm).sum(axis=1) for arm in range(3)], axis=1)
    assert within.max() == 3


@pytest.mark.parametrize("misfits", ["balanced", "within_stratum"])
def test_the_two_rules_differ_overall(misfits):
    each = bound_of(we.Stratified(by="stratum", misfits=misfits), (5, 5))
    totals = each.enumerate().allocations.sum(axis=1)
    assert set(totals.tolist()) == ({5} if misfits == "balanced" else {4, 5, 6})


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("scheme", "sizes", "arms"),
    [
        (we.Simple(), (5,), {"a": 1, "b": 2}),
        (we.Complete(), (7,), ("a", "b", "c")),
        (we.Stratified(by="stratum"), (5, 3), TWO),
        (we.Stratified(by="stratum"), (4, 4, 2), {"a": 2, "b": 1}),
        (we.Stratified(by="stratum", misfits="within_stratum"), (4, 3), {"a": 2, "b": 1}),
        (we.Stratified(by="stratum", misfits="global"), (5, 4), ("a", "b", "c")),
        (we.PermutedBlocks(sizes=(2, 4)), (8,), TWO),
        (we.SteppedWedgeSequences(sequences=[2, 3, 4, 5, 6], by="stratum", order=("s0", "s1")), (2, 3), TWO),
        (we.Saturation(within="stratum", shares=(0, 0.5)), (4, 3), TWO),
    ],
    ids=lambda value: getattr(value, "kind", str(value)),
)
def test_samples_follow_the_law(scheme, sizes, arms):
    each = bound_of(scheme, sizes, arms)
    draws = 60_000
    law = law_of_enumeration(each)
    rows, counts = np.unique(each.sample(draws, np.random.default_rng(3)), axis=0, return_counts=True)
    seen = dict(zip(map(tuple, rows.tolist()), counts.tolist(), strict=True))
    assert set(seen) <= set(law)
    expected = np.array([draws * chance for chance in law.values()])
    observed = np.array([seen.get(key, 0) for key in law])
    statistic = float(((observed - expected) ** 2 / expected).sum())
    low, high = stats.chi2.ppf([0.0005, 0.9995], len(law) - 1)
    assert low < statistic < high


@pytest.mark.parametrize(
    "scheme",
    [
        we.Simple(),
        we.Complete(),
        we.Stratified(by=["a", "b"], misfits="global"),
        we.PermutedBlocks(sizes=(6, 3), by="a", order="d"),
        we.SteppedWedgeSequences(sequences=[2, 4, 7], by="a", order=["x", "y"], capacity=[1, 2, 1]),
        we.Saturation(within="la", shares=(0, "1/3", 0.8), ratio=(2, 2, 4)),
        Staged(stage="stage", stages=(we.Complete(), we.Stratified(by="a"))),
    ],
    ids=lambda scheme: scheme.kind,
)
def test_a_scheme_comes_back_from_its_canonical_form(scheme):
    assert scheme_from(json.loads(json.dumps(scheme.canonical()))) == scheme


def test_an_unknown_scheme_is_refused():
    with pytest.raises(we.DesignError, match="did you mean 'stratified'"):
        scheme_from({"kind": "stratifed"})
    with pytest.raises(we.DesignError, match="no field 'on'"):
        scheme_from({"kind": "stratified", "by": "a", "on": "b"})
