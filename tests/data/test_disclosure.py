"""Disclosure control: a reader with every shown number, the labels and a solver works out no hidden count."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from wwc_eval.data.attack import Attack, CellSystem
from wwc_eval.data.counts import Cell, Counts, protect
from wwc_eval.data.disclosure import DisclosureRule, safe_count, suppress_counts
from wwc_eval.data.protection import _search, protect_cells
from wwc_eval.errors import DataError, DisclosureError

RULE = DisclosureRule()
STRICT = DisclosureRule(profile="strict")


def two_way(matrix) -> Counts:
    """Cells, totals of rows and columns and the total of all, as a published table has them."""
    matrix = np.asarray(matrix)
    r, c = matrix.shape
    cells = [Cell(key=(i, j), value=int(matrix[i, j])) for i in range(r) for j in range(c)]
    cells += [Cell(key=(i, "all"), value=int(matrix[i].sum()), weight=3.0) for i in range(r)]
    cells += [Cell(key=("all", j), value=int(matrix[:, j].sum()), weight=3.0) for j in range(c)]
    cells += [Cell(key=("all", "all"), value=int(matrix.sum()), weight=3.0)]
    sums = [((i, "all"), [(i, j) for j in range(c)]) for i in range(r)]
    sums += [(("all", j), [(i, j) for i in range(r)]) for j in range(c)]
    sums += [(("all", "all"), [(i, "all") for i in range(r)]), (("all", "all"), [("all", j) for j in range(c)])]
    return Counts(cells, sums)


def nested(cube) -> Counts:
    """A hierarchy: authorities in regions in the country, by category; every level published."""
    cube = np.asarray(cube)
    regions, places, kinds = cube.shape
    full = np.concatenate([cube, cube.sum(axis=2, keepdims=True)], axis=2)
    cells, sums = [], []
    for k in range(kinds + 1):
        cells += [Cell(key=(r, p, k), value=int(full[r, p, k])) for r in range(regions) for p in range(places)]
        cells += [Cell(key=(r, k), value=int(full[r, :, k].sum()), weight=2.0) for r in range(regions)]
        cells += [Cell(key=(k,), value=int(full[..., k].sum()), weight=3.0)]
        sums += [((r, k), [(r, p, k) for p in range(places)]) for r in range(regions)]
        sums += [((k,), [(r, k) for r in range(regions)])]
    for key in [*itertools.product(range(regions), range(places)), *((r,) for r in range(regions)), ()]:
        sums.append(((*key, kinds), [(*key, k) for k in range(kinds)]))
    return Counts(cells, sums)


def bounds_of(counts: Counts, shown: dict, rule: DisclosureRule) -> dict:
    """What a reader knows of each count from its label: ``<10`` is 1 to 9, ``c`` beside it is not small."""
    told = rule.small_label in shown.values()
    known = {}
    for cell in counts.cells:
        text = shown[cell.key]
        if not cell.shown:
            known[cell.key] = (0, math.inf)
        elif text == rule.small_label:
            known[cell.key] = (0 if rule.hides_zero else 1, rule.threshold - 1)
        elif text == rule.hidden_label:
            known[cell.key] = (rule.threshold if told else 0, math.inf)
        else:
            known[cell.key] = (text, text)
    return known


def attack(counts: Counts, shown: dict, rule: DisclosureRule) -> dict:
    """Bounds of every hidden count by an attacker written apart from the package."""
    keys = [cell.key for cell in counts.cells]
    place = {key: i for i, key in enumerate(keys)}
    rows = np.zeros((len(counts.sums), len(keys)))
    for i, (total, parts) in enumerate(counts.sums):
        rows[i, place[total]] += 1
        for key in parts:
            rows[i, place[key]] -= 1
    known = bounds_of(counts, shown, rule)
    limits = [known[key] for key in keys]
    found = {}
    for key in keys:
        if isinstance(shown[key], str):
            ends = []
            for sign in (1, -1):
                objective = np.zeros(len(keys))
                objective[place[key]] = sign
                solved = optimize.linprog(objective, A_eq=rows, b_eq=np.zeros(len(rows)), bounds=limits)
                ends.append(math.inf if solved.status == 3 else sign * solved.fun)
            found[key] = (
                math.ceil(ends[0] - 1e-6),
                ends[1] if math.isinf(ends[1]) else math.floor(ends[1] + 1e-6),
            )
    return found


def shown_of(counts: Counts, rule: DisclosureRule) -> dict:
    protected = protect(rule, counts)
    return {cell.key: protected[cell.key] for cell in counts.cells}


def random_table(seed: int, rows: int, columns: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mean = rng.choice([6.0, 15.0, 40.0, 120.0])
    return rng.poisson(rng.gamma(1.2, mean / 1.2, (rows, columns)))


@pytest.mark.parametrize("seed", range(40))
def test_an_attacker_recovers_nothing_from_a_two_way_table(seed):
    counts = two_way(random_table(seed, *[(3, 4), (5, 5), (8, 3), (2, 2)][seed % 4]))
    rule = (RULE, STRICT, DisclosureRule(threshold=5), DisclosureRule(threshold=6))[seed // 10]
    shown = shown_of(counts, rule)
    values = {cell.key: cell.value for cell in counts.cells}
    for key, (low, high) in attack(counts, shown, rule).items():
        assert low <= values[key] <= high
        assert high - low >= 1
        if rule.is_small(values[key]):
            assert high - low >= rule.width - 1
    assert not [key for key, value in shown.items() if isinstance(value, int) and rule.is_small(value)]


@pytest.mark.parametrize("seed", range(12))
def test_an_attacker_recovers_nothing_from_a_hierarchy(seed):
    rng = np.random.default_rng(1000 + seed)
    counts = nested(rng.poisson(rng.gamma(1.0, rng.choice([10, 30, 80]), (3, 4, 2))))
    shown = shown_of(counts, RULE)
    found = attack(counts, shown, RULE)
    assert found
    for low, high in found.values():
        assert high - low >= 1


def test_the_attacker_is_able_without_complementary_suppression():
    recovered = hidden = 0
    for seed in range(20):
        counts = two_way(random_table(seed, 6, 4))
        shown = {cell.key: safe_count(cell.value, RULE) for cell in counts.cells}
        found = attack(counts, shown, RULE)
        hidden += len(found)
        recovered += sum(low == high for low, high in found.values())
    assert recovered / hidden > 0.3


def completions(shown: dict, rule: DisclosureRule, counts: Counts, most: int) -> dict:
    """Every 2 x 3 table of whole numbers up to ``most`` that fits what is shown: the values of each count."""
    known = bounds_of(counts, shown, rule)
    rows = []
    for i in range(2):
        ranges = [np.arange(known[i, j][0], min(known[i, j][1], most) + 1) for j in range(3)]
        every = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
        total = every.sum(axis=1)
        rows.append(every[(total >= known[i, "all"][0]) & (total <= known[i, "all"][1])])
    pairs = np.stack(np.broadcast_arrays(rows[0][:, None], rows[1][None]), axis=2).reshape(-1, 2, 3)
    tables = {(i, j): pairs[:, i, j] for i in range(2) for j in range(3)}
    tables |= {(i, "all"): pairs[:, i].sum(axis=1) for i in range(2)}
    tables |= {("all", j): pairs[:, :, j].sum(axis=1) for j in range(3)}
    tables["all", "all"] = pairs.sum(axis=(1, 2))
    fits = np.logical_and.reduce([(known[key][0] <= v) & (v <= known[key][1]) for key, v in tables.items()])
    return {key: np.unique(values[fits]) for key, values in tables.items()}


@pytest.mark.property
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=2, max_size=2))
def test_brute_force_confirms_that_every_hidden_count_has_several_values(matrix):
    rule = DisclosureRule(threshold=4)
    counts = two_way(matrix)
    shown = shown_of(counts, rule)
    hidden = [key for key, value in shown.items() if isinstance(value, str)]
    if not hidden:
        return
    values = {cell.key: cell.value for cell in counts.cells}
    found = completions(shown, rule, counts, most=10)
    for key in hidden:
        assert values[key] in found[key]
        assert len(found[key]) >= (
            rule.width if rule.is_small(values[key]) and rule.small_label in shown.values() else 2
        )


@pytest.mark.property
@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(2, 12))
def test_one_list_of_counts_with_its_total(values, threshold):
    rule = DisclosureRule(threshold=threshold)
    try:
        table = suppress_counts(values, rule)
    except DisclosureError:
        pytest.fail("a list with a total that may be hidden can always be protected")
    for value, shown in zip(values, table.rows[0], strict=True):
        assert isinstance(shown, str) or shown == value
        assert isinstance(shown, str) or not rule.is_small(value)
    for low, high in table.protected.intervals().values():
        assert high - low >= 1


def test_hidden_parts_of_a_shown_total_reach_the_threshold():
    table = suppress_counts([3, 4, 93, 200], RULE, known_totals=True)
    assert table.row_totals == (300,)
    # 3 + 4 = 7 would itself be a small count
    assert table.rows == (("<10", "<10", "c", 200),)


def test_what_is_hidden_costs_little():
    table = suppress_counts([[3, 40, 57, 900], [60, 70, 80, 900], [90, 55, 35, 900]], RULE)
    texts = [value for row in table.rows for value in row if isinstance(value, str)]
    assert texts.count("<10") == 1
    assert len(texts) == 4
    assert all(isinstance(value, int) for value in (*table.row_totals, *table.column_totals, table.total))
    assert table.n_hidden == 4


def test_a_table_without_small_counts_is_shown_whole():
    table = suppress_counts([[30, 40], [50, 60]], RULE)
    assert table.rows == ((30, 40), (50, 60))
    assert (table.row_totals, table.column_totals, table.total) == ((70, 110), (80, 100), 180)
    assert table.protected.notes == ()


def test_totals_that_are_not_shown_protect_by_themselves():
    table = suppress_counts([[3, 40], [50, 60]], RULE, row_totals=False, column_totals=False)
    assert table.rows == (("<10", 40), (50, 60))
    assert table.row_totals is None
    assert table.total is None


def test_a_label_that_would_give_a_count_away_is_not_used():
    # "<10" and "c" with a total of 11 would be 1 and 10
    table = suppress_counts([1, 10], RULE, known_totals=True)
    assert table.rows == (("c", "c"),)
    shown = suppress_counts([1, 30], RULE, known_totals=True)
    assert shown.rows == (("<10", "c"),)


def test_those_without_the_event_are_protected_though_not_printed():
    counts = Counts(
        [
            Cell(key="n", value=120, fixed=True),
            Cell(key="events", value=117),
            Cell(key="others", value=3, shown=False),
        ],
        [("n", ["events", "others"])],
    )
    assert protect(RULE, counts)["events"] == "c"


def test_tables_with_the_same_count_are_protected_together():
    one = two_way([[3, 50], [60, 70]])
    other = Counts(
        [Cell(key=(0, 1), value=50), Cell(key="girls", value=20), Cell(key="boys", value=30)],
        [((0, 1), ["girls", "boys"])],
    )
    protected = protect(RULE, one, other)
    assert protected[0, 0] == "<10"
    if protected.is_hidden((0, 1)):
        assert protected.is_hidden("girls") or protected.is_hidden("boys")


def test_a_count_that_follows_whatever_is_hidden_is_an_error():
    counts = Counts(
        [Cell(key="n", value=100, fixed=True), Cell(key="a", value=3), Cell(key="b", value=97, fixed=True)],
        [("n", ["a", "b"])],
    )
    with pytest.raises(DisclosureError, match="follows from counts"):
        protect(RULE, counts, exposed="error")
    protected = protect(RULE, counts)
    assert protected.exposed == ("a",)
    assert isinstance(protected["a"], str)
    assert "check them before release" in protected.notes[-1]


def test_sizes_of_groups_are_protected_among_themselves():
    cells = [Cell(key="n", value=300, size=True)]
    cells += [Cell(key=name, value=value, size=True) for name, value in (("A", 6), ("B", 94), ("C", 200))]
    cells += [Cell(key=f"missing {name}", value=v) for name, v in (("A", 2), ("B", 20), ("C", 30))]
    cells += [Cell(key=f"present {name}", value=v, shown=False) for name, v in (("A", 4), ("B", 74), ("C", 170))]
    sums = [("n", ["A", "B", "C"]), *((name, [f"missing {name}", f"present {name}"]) for name in "ABC")]
    protected = protect(RULE, Counts(cells, sums))
    assert [protected[name] for name in "ABC"] == ["<10", "c", 200]
    assert protected["missing A"] in ("<10", "c")
    assert protected["missing C"] == 30


@pytest.mark.parametrize(
    ("cells", "sums", "message"),
    [
        ([("a", 1), ("a", 2)], [], "stands twice"),
        ([("a", -1)], [], "must be 0 or more"),
        ([("a", 1)], [("b", ["a"])], "unknown count"),
        ([("a", 1), ("b", 2)], [("b", ["a"])], "add up to 1, not to 2"),
    ],
)
def test_counts_that_cannot_be_are_refused(cells, sums, message):
    with pytest.raises(DataError, match=message):
        Counts([Cell(key=key, value=value) for key, value in cells], sums)


def test_one_key_has_one_value():
    one, other = Counts([Cell(key="n", value=100)]), Counts([Cell(key="n", value=101)])
    with pytest.raises(DataError, match="100 in one table and 101 in another"):
        one.join(other)
    with pytest.raises(DataError, match="no count"):
        protect(RULE, one)["m"]


def _system(matrix) -> CellSystem:
    counts = two_way(matrix)
    keys = [cell.key for cell in counts.cells]
    values = np.array([cell.value for cell in counts.cells], dtype=float)
    rows = np.zeros((len(counts.sums), len(keys)))
    for i, (total, parts) in enumerate(counts.sums):
        rows[i, keys.index(total)] += 1
        for key in parts:
            rows[i, keys.index(key)] -= 1
    small = (values > 0) & (values < 10)
    return CellSystem(
        values=values,
        equations=rows,
        sensitive=small,
        hideable=values >= 10,
        unseen=np.zeros(len(values), dtype=bool),
        low=np.where(small, 1.0, 10.0),
        high=np.where(small, 9.0, np.inf),
        cost=np.log2(2 + values) * np.array([cell.weight for cell in counts.cells]),
        width=4.0,
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_greedy_way_protects_as_well_and_hides_no_less(seed):
    system = _system(random_table(seed, 6, 5))
    exact, greedy = protect_cells(system), protect_cells(system, nodes=0)
    assert greedy.method == "greedy"
    for protection in (exact, greedy):
        view = Attack(system, protection.hidden)
        for index in np.flatnonzero(system.sensitive):
            low, high = view.interval(int(index))
            assert high - low >= min(4.0, protection.attainable[index]) - 1e-6
    assert system.cost[exact.hidden].sum() <= system.cost[greedy.hidden].sum() * 1.001


def test_the_same_table_is_always_hidden_in_the_same_way():
    matrix = random_table(3, 6, 4)
    assert suppress_counts(matrix, RULE).rows == suppress_counts(matrix.copy(), RULE).rows


def test_the_search_ends_with_everything_hidden_at_the_worst(monkeypatch):
    monkeypatch.setattr("wwc_eval.data.protection.ROUNDS", 1)
    for seed in range(6):
        system = _system(random_table(300 + seed, 5, 4))
        protection = _search(system, nodes=0)  # what is remembered was found with all rounds
        view = Attack(system, protection.hidden)
        for index in np.flatnonzero(system.sensitive):
            low, high = view.interval(int(index))
            assert high - low >= min(4.0, protection.attainable[index]) - 1e-6
