"""Every design of up to ten units, and studies of the draw: its exact law, enumerations, and a million draws.

``python tests/randomisation/allocation_study.py`` writes the record that ``test_allocation_study`` reads; with ``laws``,
``enumerations`` or ``draws`` it does that part alone.
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from allocation_cases import REFERENCE, bound_of, law_of_draw, law_of_enumeration, partitions, units_of
from scipy import stats

import wwc_eval as we
from wwc_eval.randomisation.arms import read_arms
from wwc_eval.randomisation.scheme import COUNTABLE
from wwc_eval.randomisation.schemes.staged import Staged
from wwc_eval.randomisation.stream import Stream
from wwc_eval.randomisation.units import read_units

RECORD = REFERENCE / "allocation_study.json"

TWO = ("control", "programme")
RATIOS = (TWO, {"a": 1, "b": 2}, {"a": 2, "b": 3}, ("a", "b", "c"), {"a": 1, "b": 1, "c": 2}, ("a", "b", "c", "d"))
MISFITS = ("balanced", "within_stratum", "global")


def stratified_designs():
    for arms, n in itertools.product(RATIOS, range(2, 11)):
        for sizes in partitions(n, len(arms)):
            for misfits in MISFITS:
                yield we.Stratified(by="stratum", misfits=misfits), sizes, arms


def other_designs():
    for arms, n in itertools.product(RATIOS, range(2, 11)):
        yield we.Complete(), (n,), arms
        yield we.Simple(), (n,), arms
    for n in range(2, 11):
        for sizes in partitions(n, 2):
            yield we.PermutedBlocks(sizes=2, by="stratum"), sizes, TWO
            yield we.PermutedBlocks(sizes=(2, 4), by="stratum", order="arrival"), sizes, TWO
        for arms in RATIOS[1:]:
            whole = sum(arms.values()) if isinstance(arms, dict) else len(arms)
            for sizes in partitions(n, whole):
                yield we.PermutedBlocks(sizes=whole, by="stratum"), sizes, arms
            yield we.PermutedBlocks(sizes=(whole, 2 * whole)), (n,), arms
    for n in range(2, 11):
        for sizes in partitions(n, 1):
            order = tuple(f"s{j}" for j in reversed(range(len(sizes))))
            yield we.SteppedWedgeSequences(sequences=range(2, n + 2), by="stratum", order=order), sizes, TWO
    for capacity in ((1, 2), (2, 2), (3, 3, 2), (2, 2, 2, 2), (4, 3, 3)):
        periods = range(2, len(capacity) + 2)
        n = sum(capacity)
        yield we.SteppedWedgeSequences(sequences=periods, capacity=capacity), (n,), TWO
        split = we.SteppedWedgeSequences(sequences=periods, capacity=capacity, by="stratum", order=("s0", "s1"))
        yield split, (n // 2, n - n // 2), TWO
    for sizes in itertools.chain.from_iterable(partitions(n, 2) for n in range(4, 11)):
        for shares in ((0, 0.5), (0, 1), (0.25, 0.75), (0, "1/3", "2/3")):
            if len(sizes) >= len(shares):
                yield we.Saturation(within="stratum", shares=shares), sizes, TWO
    yield we.Saturation(within="stratum", shares=(0.25, 0.75), ratio=(1, 2)), (4, 4), TWO
    for first, second in ((we.Complete(), we.Simple()), (we.PermutedBlocks(sizes=2), we.Complete())):
        yield Staged(stage="stage", stages=(first, second)), (4, 4), TWO


def bound(scheme, sizes, arms):
    try:
        if isinstance(scheme, Staged):
            return staged(scheme, sizes, arms)
        return bound_of(scheme, sizes, arms)
    except we.DesignError:
        return None


def staged(scheme, sizes, arms):
    frame = units_of(sizes).assign(stage=lambda f: (f["arrival"] % 2) + 1)
    return scheme.bind(read_units(frame, "unit", scheme.columns), read_arms(arms))


def check_law(each, most=10**9):
    """Hold the draw to the enumeration, the count, the probabilities and the pairs; False where the tree is larger."""
    drawn = law_of_draw(each, most)
    if drawn is None:
        return False
    listed = law_of_enumeration(each)
    assert set(drawn) == set(listed)
    assert len(listed) == each.count
    assert sum(drawn.values()) == 1
    for key, chance in drawn.items():
        assert listed[key] == pytest.approx(float(chance), rel=1e-12)
    assert each.uniform == (len(set(drawn.values())) == 1)
    rows = np.array(list(drawn), dtype=np.int8)
    weights = np.array([float(chance) for chance in drawn.values()])
    stacked = [weights @ (rows == arm) for arm in range(len(each.labels))]
    np.testing.assert_allclose(each.probabilities(), np.stack(stacked, axis=1), atol=1e-12)
    check_pairs(each, rows, weights, 1e-12)
    return True


def check_pairs(each, rows, weights, within):
    """Hold the chance that two units share an arm to these allocations.

    Where the package has no formula and there are too many to list it samples, and says so; six standard errors are
    passed by one entry in 500 million.
    """
    same = sum((rows == arm).T @ (weights[:, None] * (rows == arm)) for arm in range(len(each.labels)))
    try:
        pairs = each.pairs()
    except we.DesignError:
        assert each.count > COUNTABLE
        pairs = each.pairs(20_000, np.random.default_rng(each.count))
    np.testing.assert_allclose(pairs.same, same, atol=within if pairs.exact else 6 * pairs.standard_error)


def text(scheme, sizes, arms):
    kind = getattr(scheme, "misfits", scheme.kind)
    return f"{kind}-{'+'.join(map(str, sizes))}-{'.'.join(map(str, arms.values() if isinstance(arms, dict) else arms))}"


MILLION = (
    (we.Simple(), (6,), TWO),
    (we.Simple(), (5,), {"a": 1, "b": 2}),
    (we.Complete(), (6,), TWO),
    (we.Complete(), (7,), ("a", "b", "c")),
    (we.Stratified(by="stratum"), (5, 5), TWO),
    (we.Stratified(by="stratum"), (4, 4, 2), {"a": 2, "b": 1}),
    (we.Stratified(by="stratum", misfits="within_stratum"), (4, 3), {"a": 2, "b": 1}),
    (we.Stratified(by="stratum", misfits="global"), (5, 4), TWO),
    (we.PermutedBlocks(sizes=(2, 4)), (8,), TWO),
    (we.PermutedBlocks(sizes=(2, 4), by="stratum"), (5, 3), TWO),
    (we.SteppedWedgeSequences(sequences=[2, 3, 4, 5, 6], by="stratum", order=("s0", "s1")), (2, 3), TWO),
    (we.Saturation(within="stratum", shares=(0, 0.5)), (4, 3), TWO),
)


def chi_square(each, rows):
    """Chi-square of drawn allocations against the law of the scheme."""
    law = law_of_enumeration(each)
    place = {key: index for index, key in enumerate(law)}
    base = len(each.labels) ** np.arange(each.units.n, dtype=np.int64)
    values, counts = np.unique(rows @ base, return_counts=True)
    known = {int(np.dot(key, base)): place[key] for key in law}
    observed = np.zeros(len(law))
    observed[[known[value] for value in values.tolist()]] = (
        counts  # an allocation that is not permitted has no place
    )
    expected = len(rows) * np.array(list(law.values()))
    return float(((observed - expected) ** 2 / expected).sum()), len(law) - 1


def draws_of(each, number):
    """Draws of so many seeds."""
    return np.array([each.draw(Stream(f"draw {i}")) for i in range(number)], dtype=np.int64)


def study_draws(number):
    """Chi-square of draws from the stream under every scheme, with the 99% band."""
    found = []
    for case in MILLION:
        each = bound(*case)
        statistic, df = chi_square(each, draws_of(each, number))
        low, high = stats.chi2.ppf([0.005, 0.995], df)
        found.append(
            {"design": text(*case), "draws": number, "chi_square": statistic, "df": df, "low": low, "high": high}
        )
    return found


def study_laws(most):
    """Designs of up to ten units whose draw has exactly the law that is enumerated."""
    held, left, allocations = 0, 0, 0
    for case in itertools.chain(stratified_designs(), other_designs()):
        each = bound(*case)
        if each is None:
            continue
        if each.count <= most and check_law(each, most):
            held += 1
            allocations += each.count
        else:
            left += 1
    return {"designs": held, "allocations": allocations, "too_large": left, "largest_tree": most}


def study_enumerations(most):
    """Designs of up to ten units whose enumeration is complete and has the probabilities that are reported.

    The number of different rows is the count; probabilities and pairs by formula are those of the rows; and 200 draws
    are among them.
    """
    held, left, allocations = 0, 0, 0
    for case in itertools.chain(stratified_designs(), other_designs()):
        each = bound(*case)
        if each is None:
            continue
        if each.count > most:
            left += 1
            continue
        reference = each.enumerate(most)
        rows, weights, labels = reference.allocations, reference.weights, range(len(each.labels))
        keys = np.unique(rows @ (len(each.labels) ** np.arange(each.units.n, dtype=np.int64)))
        assert len(keys) == len(rows) == each.count
        assert abs(weights.sum() - 1) < 1e-10
        assert each.uniform == (np.ptp(weights) < 1e-9 * weights.max())
        stacked = np.stack([weights @ (rows == arm) for arm in labels], axis=1)
        np.testing.assert_allclose(each.probabilities(), stacked, atol=1e-10)
        check_pairs(each, rows, weights, 1e-10)
        drawn = draws_of(each, 200) @ (len(each.labels) ** np.arange(each.units.n, dtype=np.int64))
        assert np.isin(drawn, keys).all()
        held += 1
        allocations += each.count
    return {"designs": held, "allocations": allocations, "too_large": left, "largest": most}


if __name__ == "__main__":
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    record["command"] = "python tests/randomisation/allocation_study.py"
    studies = {
        "laws": lambda: study_laws(2_000),
        "enumerations": lambda: study_enumerations(4_000_000),
        "draws": lambda: study_draws(1_000_000),
    }
    for part in sys.argv[1:] or studies:
        record[part] = studies[part]()
    Path(RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
