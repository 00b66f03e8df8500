"""Known answers of the stream and of the schemes.

``python tests/randomisation/allocation_vectors.py`` writes tests/reference/allocation_vectors.json. It is written once for
an algorithm version and never again: a figure that changes is a new version. The words of the stream and the shuffles
come from ``stdlib``, which shares no code with the package.
"""

import hashlib
import hmac
import json
import unicodedata

import numpy as np
import pandas as pd
from allocation_cases import REFERENCE

import wwc_eval as we

FILE = REFERENCE / "allocation_vectors.json"
SEEDS = {
    "text": "2026-03-01 National Lottery 5 12 23 31 44 50",
    "accents": "Ynys Môn – tîm 3",
    "bytes": bytes(range(32)),
}
LOCAL_AUTHORITIES = ("Derby", "Kingston upon Hull", "Leeds", "Ynys Môn", "Zürich")


class Stdlib:
    """The paragraph of the documentation in standard-library Python."""

    def __init__(self, key, domain):
        self.key, self.domain = key, domain.encode()
        self.words = self._words()

    def _words(self):
        block = 0
        while True:
            digest = hmac.new(self.key, self.domain + b"\0" + block.to_bytes(8, "big"), hashlib.sha256).digest()
            yield from (int.from_bytes(digest[i : i + 8], "big") for i in range(0, 32, 8))
            block += 1

    def below(self, n):
        while True:
            word = next(self.words)
            if word < 2**64 - 2**64 % n:
                return word % n

    def shuffled(self, items):
        items = list(items)
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]
        return items


def key_of(seed):
    return seed if isinstance(seed, bytes) else unicodedata.normalize("NFC", seed).encode()


def unit_list():
    """23 teams in five authorities, names out of order and outside ASCII."""
    rng = np.random.default_rng(20260301)
    frame = pd.DataFrame(
        {
            "team": [f"Tîm {i}" if i % 5 == 0 else f"Team {i}" for i in range(23)],
            "local_authority": [LOCAL_AUTHORITIES[i % 5] for i in range(23)],
            "wave": [i % 2 + 1 for i in range(23)],
            "referred_on": pd.date_range("2025-01-06", periods=23, freq="9D")[::-1],
        }
    )
    return frame.iloc[rng.permutation(len(frame))]


METHODS = {
    "simple": (we.Simple(), {"control": 1, "programme": 2}),
    "complete": (we.Complete(), ("a", "b", "c")),
    "balanced": (we.Stratified(by="local_authority"), ("control", "programme")),
    "balanced three arms": (we.Stratified(by="local_authority"), {"a": 1, "b": 1, "c": 2}),
    "within stratum": (
        we.Stratified(by=["wave", "local_authority"], misfits="within_stratum"),
        ("control", "programme"),
    ),
    "global": (we.Stratified(by="local_authority", misfits="global"), {"control": 2, "programme": 1}),
    "permuted blocks": (we.PermutedBlocks(sizes=(2, 4), by="wave", order="referred_on"), ("control", "programme")),
    "stepped wedge": (
        we.SteppedWedgeSequences(sequences=[2, 3, 5, 6], by="wave", order=["2", "1"], capacity=[6, 6, 6, 5]),
        ("control", "programme"),
    ),
    "saturation": (we.Saturation(within="local_authority", shares=("0", "1/2")), ("control", "programme")),
}


def allocated(name, seed=SEEDS["text"], units=None):
    method, arms = METHODS[name]
    return we.randomise(unit_list() if units is None else units, unit="team", arms=arms, method=method, seed=seed)


def vectors():
    stream = {}
    for name, seed in SEEDS.items():
        one, two = Stdlib(key_of(seed), "wwc_eval/allocation/v1"), Stdlib(key_of(seed), "another domain")
        stream[name] = {
            "seed": seed if isinstance(seed, str) else seed.hex(),
            "words": [str(next(one.words)) for _ in range(9)],
            "then_below": [one.below(n) for n in (1, 2, 3, 10, 1000, 2**63 + 1, 2**64)],
            "then_shuffled": one.shuffled(range(20)),
            "another_domain": two.shuffled(range(10)),
        }
    allocations = {}
    for name in METHODS:
        found = allocated(name)
        allocations[name] = {
            "codes": "".join(map(str, found.codes.tolist())),
            "sha256": found.hash,
            "commitment": found.commitment,
            "n_permitted": str(found.n_permitted),
        }
    return {
        "algorithm": "wwc_eval/allocation/v1",
        "command": "python tests/randomisation/allocation_vectors.py",
        "seed_from": we.seed_from("ab" * 32, "5 12 23 31 44 50"),
        "stream": stream,
        "allocations": allocations,
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
