"""How each scheme draws, for ``verify.py``: Python's standard library alone.

Written apart from the package, from docs/methods/randomisation.md, so that each checks the other.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

ALGORITHM = "wwc_eval/allocation/v1"
WORDS = 1 << 64
NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
Columns = dict[str, list[str]]
Counts = tuple[int, ...]


class Wrong(Exception):  # noqa: N818
    """Something does not fit."""


class Stream:
    """HMAC-SHA256(seed, domain || 0x00 || counter as 8 bytes): four words of 64 bits a block, big endian."""

    def __init__(self, key: bytes, domain: str = ALGORITHM) -> None:
        self.key, self.prefix, self.counter = key, domain.encode() + b"\0", 0
        self.ready: list[int] = []

    def word(self) -> int:
        """The next 64 bits."""
        if not self.ready:
            block = hmac.new(self.key, self.prefix + self.counter.to_bytes(8, "big"), hashlib.sha256).digest()
            self.counter += 1
            self.ready = [int.from_bytes(block[i : i + 8], "big") for i in (24, 16, 8, 0)]
        return self.ready.pop()

    def below(self, n: int) -> int:
        """Words at or above the largest multiple of n are skipped; n above 2^64 takes several words a try."""
        words = 1 if n <= WORDS else -(-(n - 1).bit_length() // 64)
        limit = WORDS**words // n * n
        while True:
            number = 0
            for _ in range(words):
                number = number * WORDS + self.word()
            if number < limit:
                return number % n

    def shuffled(self, items: Sequence[Any]) -> list[Any]:
        """Fisher and Yates, from the last place down."""
        mixed = list(items)
        for i in range(len(mixed) - 1, 0, -1):
            j = self.below(i + 1)
            mixed[i], mixed[j] = mixed[j], mixed[i]
        return mixed


def as_number(text: str) -> str:
    """Whole numbers as digits, others as the shortest text that reads back the same."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    try:
        return str(int(text))
    except ValueError:
        return str(int(value)) if value.is_integer() else repr(value)


def strata_of(units: Columns, by: list[str], n: int) -> list[list[int]]:
    """Positions of the units of each stratum, strata in order of their texts."""
    keys = [tuple(units[name][i] for name in by) for i in range(n)]
    return [[i for i in range(n) if keys[i] == key] for key in sorted(set(keys))]


def leftover(chances: list[int], total: int, stream: Stream) -> list[int]:
    """Which arms get one unit more: systematic sampling, the arms with a chance in random order."""
    if not any(chances):
        return [0] * len(chances)
    order = [arm for arm, part in enumerate(chances) if part]
    if len({chances[arm] for arm in order}) == 1 or len(order) <= 7:
        order = stream.shuffled(order)
    start, extra, end = stream.below(total), [0] * len(chances), 0
    for arm in order:
        begin, end = end, end + chances[arm]
        extra[arm] = int(-(-(begin - start) // total) * total + start < end)
    return extra


def apportion(n: int, ratio: list[int], stream: Stream) -> list[int]:
    """Units of each arm among n."""
    total = sum(ratio)
    extra = leftover([n * part % total for part in ratio], total, stream)
    return [n * part // total + more for part, more in zip(ratio, extra, strict=False)]


def global_counts(sizes: list[int], ratio: list[int], stream: Stream) -> list[list[int]]:
    """Misfits of all strata allocated as one."""
    total = sum(ratio)
    counts = [[size // total * part for part in ratio] for size in sizes]
    left = [size % total for size in sizes]
    numbers = apportion(sum(left), ratio, stream)
    labels = iter(stream.shuffled([arm for arm, number in enumerate(numbers) for _ in range(number)]))
    for row, number in zip(counts, left, strict=False):
        for _ in range(number):
            row[next(labels)] += 1
    return counts


def balanced_counts(sizes: list[int], ratio: list[int], stream: Stream) -> list[list[int]]:
    """Misfits balanced: strata of one remainder together, their labels dealt in turn."""
    total, k = sum(ratio), len(ratio)
    counts = [[size * part // total for part in ratio] for size in sizes]
    types = []
    for remainder in sorted({size % total for size in sizes}):
        chances = [remainder * part % total for part in ratio]
        if any(chances):
            types.append(([s for s, size in enumerate(sizes) if size % total == remainder], chances))
    parts = [[len(members) * c % total for c in chances] for members, chances in types]
    if len(types) == 1:
        extra = [leftover(parts[0], total, stream)]
    else:
        extra = rounded(parts, total, stream) if types else []
    for (members, chances), more in zip(types, extra, strict=False):
        numbers = [len(members) * c // total + m for c, m in zip(chances, more, strict=False)]
        each = sum(chances) // total
        arms = stream.shuffled(range(k)) if 2 <= each <= k - 2 else range(k)
        labels = [arm for arm in arms for _ in range(numbers[arm])]
        order = stream.shuffled(members)
        for place, arm in enumerate(labels):
            counts[order[place % len(members)]][arm] += 1
    return counts


def rounded(parts: list[list[int]], total: int, stream: Stream) -> list[list[int]]:
    """Controlled rounding: move along cycles of cells that are not whole until all are."""
    table = [list(row) for row in parts] + [[-sum(column) % total for column in zip(*parts, strict=False)]]
    while True:
        open_cells = [(r, c) for r, row in enumerate(table) for c, cell in enumerate(row) if cell % total]
        if not open_cells:
            return [[cell // total for cell in row] for row in table[:-1]]
        path, axis = [open_cells[0]], 0
        while True:
            here = next(cell for cell in open_cells if cell != path[-1] and cell[axis] == path[-1][axis])
            axis = 1 - axis
            seen = next((i for i in range(len(path) - 1) if path[i][axis] == here[axis]), None)
            if seen is not None:
                break
            path.append(here)
        cells = [*path[seen + (path[seen + 1][axis] == path[seen][axis]) :], here]
        value = [table[r][c] for r, c in cells]
        up = min([total - v for v in value[::2]] + value[1::2])
        down = min(value[::2] + [total - v for v in value[1::2]])
        move = up if stream.below(up + down) < down else -down
        for index, (r, c) in enumerate(cells):
            table[r][c] += -move if index % 2 else move


def deal(members: list[list[int]], counts: list[list[int]], stream: Stream, n: int) -> list[int]:
    """Labels of each block in order of the arms, shuffled."""
    codes = [0] * n
    for block, numbers in zip(members, counts, strict=False):
        labels = stream.shuffled([arm for arm, number in enumerate(numbers) for _ in range(number)])
        for unit, arm in zip(block, labels, strict=False):
            codes[unit] = arm
    return codes


class Trial:
    """What a scheme reads."""

    def __init__(self, receipt: dict[str, Any], units: Columns, *, full: bool) -> None:
        self.scheme, self.derived = receipt["scheme"], receipt["derived"]
        self.ratio, self.n = receipt["arms"]["ratio"], receipt["units"]["n"]
        self.units, self.full = units, full
        self.keys = units[receipt["units"]["unit"]]
        self.notes: list[str] = []

    def ranked(self, column: str | None) -> list[int]:
        """Units by a column, by number where all texts are numbers; equal ones by name."""
        if column is None:
            return list(range(self.n))
        texts = self.units[column]
        places = sorted(set(texts))
        if all(NUMBER.fullmatch(text) for text in places):
            places.sort(key=Fraction)
        return sorted(range(self.n), key=lambda i: places.index(texts[i]))


def numbers_in(texts: list[str]) -> list[Fraction] | None:
    """Values of a column of numbers; true and false count as 1 and 0."""
    values = []
    for text in texts:
        if text in {"true", "false"}:
            values.append(Fraction(text == "true"))
            continue
        try:
            if as_number(text) != text:
                return None
        except ValueError:
            return None
        values.append(Fraction(text))
    return values


def simple(trial: Trial, stream: Stream) -> list[int]:
    """Every unit on its own."""
    arm_of = [arm for arm, part in enumerate(trial.ratio) for _ in range(part)]
    return [arm_of[stream.below(len(arm_of))] for _ in range(trial.n)]


def complete(trial: Trial, stream: Stream) -> list[int]:
    """All units in one block."""
    return deal([list(range(trial.n))], [apportion(trial.n, trial.ratio, stream)], stream, trial.n)


def stratified(trial: Trial, stream: Stream) -> list[int]:
    """One block a stratum, by the rule for misfits."""
    members = strata_of(trial.units, trial.scheme["by"], trial.n)
    sizes = [len(block) for block in members]
    misfits = trial.scheme["misfits"]
    if misfits == "within_stratum":
        counts = [apportion(size, trial.ratio, stream) for size in sizes]
    else:
        rule = balanced_counts if misfits == "balanced" else global_counts
        counts = rule(sizes, trial.ratio, stream)
    return deal(members, counts, stream, trial.n)


def permuted_blocks(trial: Trial, stream: Stream) -> list[int]:
    """Block after block in each stratum until it is full."""
    codes, total, sizes = [0] * trial.n, sum(trial.ratio), trial.scheme["sizes"]
    rank = {unit: place for place, unit in enumerate(trial.ranked(trial.scheme["order"]))}
    for members in strata_of(trial.units, trial.scheme["by"] or [], trial.n):
        sequence: list[int] = []
        while len(sequence) < len(members):
            size = sizes[stream.below(len(sizes)) if len(sizes) > 1 else 0]
            sequence += stream.shuffled(
                [a for a, part in enumerate(trial.ratio) for _ in range(part * size // total)]
            )
        for unit, arm in zip(sorted(members, key=rank.__getitem__), sequence, strict=False):
            codes[unit] = arm
    return codes


def stepped_wedge(trial: Trial, stream: Stream) -> list[int]:
    """Strata in declared order take consecutive places; each shuffles its own."""
    places = [s for s, number in enumerate(trial.scheme["capacity"]) for _ in range(number)]
    codes, by = [0] * trial.n, trial.scheme["by"]
    groups = [list(range(trial.n))]
    if by is not None:
        groups = [[i for i in range(trial.n) if trial.units[by][i] == value] for value in trial.scheme["order"]]
    for group in groups:
        mine, places = places[: len(group)], places[len(group) :]
        for unit, sequence in zip(group, stream.shuffled(mine), strict=False):
            codes[unit] = sequence
    return codes


def saturation(trial: Trial, stream: Stream) -> list[int]:
    """Clusters to shares, then units within clusters."""
    members = strata_of(trial.units, trial.scheme["within"], trial.n)
    shares = [Fraction(share) for share in trial.scheme["shares"]]
    numbers = apportion(len(members), trial.scheme["ratio"], stream)
    levels = stream.shuffled([level for level, number in enumerate(numbers) for _ in range(number)])
    ratios = [[s.denominator - s.numerator, s.numerator] for s in (shares[level] for level in levels)]
    counts = [apportion(len(block), ratio, stream) for block, ratio in zip(members, ratios, strict=False)]
    return deal(members, counts, stream, trial.n)


def matched_pairs(trial: Trial, stream: Stream) -> list[int]:
    """The receipt's blocks, each randomised."""
    blocks = trial.derived["blocks"]
    if sorted(unit for block in blocks for unit in block) != list(range(trial.n)):
        raise Wrong("the blocks in the receipt do not hold every unit once")
    trial.notes.append("the blocks of matched units are the receipt's; the package derives them again")
    return deal(blocks, balanced_counts([len(block) for block in blocks], trial.ratio, stream), stream, trial.n)


def minimisation(trial: Trial, stream: Stream) -> list[int]:
    """Unit by unit in order of arrival, by a biased coin."""
    scheme, ratio, k = trial.scheme, trial.ratio, len(trial.ratio)
    weights = [Fraction(repr(w)) for w in scheme["weights"] or [1.0] * len(scheme["on"])]
    whole = [int(w * math.lcm(*(w.denominator for w in weights))) for w in weights]
    floor = (1 - Fraction(repr(float(scheme["p_best"])))) / (sum(ratio) - min(ratio))
    spare = 1 - floor * sum(ratio)
    sums = {sum(some) for size in range(1, k + 1) for some in itertools.combinations(ratio, size)}
    denominator = math.lcm(floor.denominator, *((spare / each).denominator for each in sums))
    scale = [math.lcm(*ratio) // part for part in ratio]
    seen: Counter[tuple[Any, ...]] = Counter()
    for f, name in enumerate(scheme["on"]):
        for level, counts in scheme.get("before", {}).get(name, {}).items():
            seen.update({(f, level, a): count for a, count in enumerate(counts)})
    codes = [0] * trial.n
    place = {key: i for i, key in enumerate(trial.keys)}
    for unit in (place[key] for key in scheme["sequence"]):
        cells = [(f, trial.units[name][unit]) for f, name in enumerate(scheme["on"])]
        totals = []
        for arm in range(k):
            spreads = []
            for cell in cells:
                x = [(seen[(*cell, a)] + (a == arm)) * scale[a] for a in range(k)]
                spread = max(x) - min(x)
                if scheme["imbalance"] != "range":
                    spread = k * sum(v * v for v in x) - sum(x) ** 2
                    spread = math.isqrt(spread << 20) if scheme["imbalance"] == "sd" else spread
                spreads.append(spread)
            totals.append(sum(w * s for w, s in zip(whole, spreads, strict=False)))
        best = [total == min(totals) for total in totals]
        share = sum(part for part, is_best in zip(ratio, best, strict=False) if is_best)
        chances = [
            part * (floor + (spare / share if is_best else 0)) for part, is_best in zip(ratio, best, strict=False)
        ]
        number = stream.below(denominator)
        ends = list(itertools.accumulate(int(chance * denominator) for chance in chances))
        codes[unit] = next(arm for arm, end in enumerate(ends) if number < end)
        for cell in cells:
            seen[(*cell, codes[unit])] += 1
    return codes


SCHEMES: dict[str, Callable[[Trial, Stream], list[int]]] = {
    "simple": simple, "complete": complete, "stratified": stratified, "permuted_blocks": permuted_blocks,
    "stepped_wedge_sequences": stepped_wedge, "matched_pairs": matched_pairs, "minimisation": minimisation,
    "saturation": saturation,
}  # fmt: skip
