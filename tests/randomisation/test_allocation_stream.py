"""The stream is the paragraph that defines it, everywhere and for ever."""

import json
import os
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from allocation_vectors import FILE, METHODS, SEEDS, Stdlib, allocated, key_of
from hypothesis import given, settings
from hypothesis import strategies as st

import wwc_eval as we
from wwc_eval.randomisation.stream import ALGORITHM, Stream, seed_commitment

VECTORS = json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.reference
@pytest.mark.parametrize("name", SEEDS)
def test_known_answers_of_the_stream(name):
    known = VECTORS["stream"][name]
    stream = Stream(SEEDS[name])
    assert [str(stream.word()) for _ in range(9)] == known["words"]
    assert [stream.below(n) for n in (1, 2, 3, 10, 1000, 2**63 + 1, 2**64)] == known["then_below"]
    assert stream.shuffled(range(20)) == known["then_shuffled"]
    assert Stream(SEEDS[name], "another domain").shuffled(range(10)) == known["another_domain"]


@pytest.mark.reference
def test_known_answer_of_the_prototype():
    """The figure that the definition was first published with."""
    stream = Stream(bytes(range(32)), "wwc/allocation/v1/stratum=A")
    assert stream.shuffled(range(10)) == [8, 0, 9, 2, 1, 6, 4, 5, 3, 7]


@pytest.mark.reference
def test_hmac_of_the_standard():
    """RFC 4231, case 2: the primitive below the stream."""
    import hmac

    digest = hmac.digest(b"Jefe", b"what do ya want for nothing?", "sha256").hex()
    assert digest == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


@pytest.mark.reference
@pytest.mark.parametrize("name", METHODS)
def test_known_answers_of_the_schemes(name):
    known, found = VECTORS["allocations"][name], allocated(name)
    assert "".join(map(str, found.codes.tolist())) == known["codes"]
    assert (found.hash, found.commitment) == (known["sha256"], known["commitment"])
    assert str(found.n_permitted) == known["n_permitted"]
    assert found.algorithm == VECTORS["algorithm"] == ALGORITHM


@pytest.mark.parametrize("hash_seed", ["424242"])
def test_another_process_with_another_hash_seed(hash_seed):
    here = Path(__file__).parent
    script = "import json, allocation_vectors as v; print(json.dumps(v.vectors(), ensure_ascii=True))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])]),
        },
        capture_output=True,
        text=True,
        check=True,
        cwd=here,
    )
    assert json.loads(done.stdout) == VECTORS


@pytest.mark.property
@settings(max_examples=40, deadline=None)
@given(
    st.one_of(st.binary(min_size=1), st.text(st.characters(codec="utf-8"), min_size=1)),
    st.text(max_size=20),
    st.data(),
)
def test_the_stream_is_its_definition_in_standard_library_python(seed, domain, data):
    if "\0" in domain or not domain.isascii():
        domain = "d"
    ours, plain = Stream(seed, domain), Stdlib(key_of(seed), domain)
    for _ in range(data.draw(st.integers(1, 12))):
        n = data.draw(st.one_of(st.integers(1, 50), st.integers(1, 2**64)))
        assert ours.below(n) == plain.below(n)
        length = data.draw(st.integers(0, 40))
        assert ours.shuffled(range(length)) == plain.shuffled(range(length))


class Words(Stream):
    """A stream of given words."""

    def __init__(self, words):
        super().__init__("any")
        self._ready = list(words)[::-1]


@pytest.mark.parametrize("n", [3, 10, 2**63 + 1])
def test_words_at_the_upper_end_are_skipped(n):
    limit = 2**64 - 2**64 % n
    assert Words([2**64 - 1, limit, limit - 1]).below(n) == (limit - 1) % n


def test_shuffles_skip_words_as_bounded_numbers_do():
    # below 3 the word 2^64 - 1 is skipped; below 2 none is
    words = [2**64 - 1, 5, 2**64 - 1]
    assert Words(words).shuffled("abc") == Words([5, 2**64 - 1]).shuffled("abc")


def test_large_numbers_take_several_words():
    n = 3 * 2**64 + 1
    assert Words([1, 7]).below_large(n) == 2**64 + 7
    seen = {Stream(f"seed {i}").below_large(n) for i in range(200)}
    assert max(seen) < n
    assert max(seen) > 2 * 2**64


@pytest.mark.simulation
def test_every_order_of_four_is_equally_likely():
    draws = 24_000
    counts = Counter(tuple(Stream(f"seed {i}").shuffled(range(4))) for i in range(draws))
    statistic = sum((count - draws / 24) ** 2 / (draws / 24) for count in counts.values())
    assert len(counts) == 24
    assert 9.26 < statistic < 44.18  # 99% of chi-square with 23 degrees of freedom


def test_seeds_in_either_unicode_form_are_one_seed():
    composed = unicodedata.normalize("NFC", "Ynys Môn")
    assert Stream(composed).word() == Stream(unicodedata.normalize("NFD", composed)).word()
    assert Stream(composed).word() == Stream(composed.encode()).word()


@pytest.mark.parametrize("seed", [None, 1, 20260301, 1.5, "", b"", ["a"]])
def test_there_is_no_default_seed(seed):
    import pandas as pd

    teams = pd.DataFrame({"team": ["a", "b"]})
    with pytest.raises(we.DesignError, match="seed is") as caught:
        we.randomise(teams, unit="team", method=we.Complete(), seed=seed)
    assert "seed=" in str(caught.value)


def test_the_value_of_a_seed_is_in_no_error():
    with pytest.raises(we.DesignError) as caught:
        Stream(987654321)
    assert "987654321" not in str(caught.value)


def test_a_seed_from_a_lock_and_a_public_value():
    lock = "ab" * 32
    assert we.seed_from(lock, "5 12 23 31 44 50") == VECTORS["seed_from"]
    assert we.seed_from(lock.upper(), "5 12 23 31 44 50") == VECTORS["seed_from"]
    assert we.seed_from(lock, "5 12 23 31 44 51") != VECTORS["seed_from"]
    for wrong in ("", "ab", "g" * 64, 7, None):
        with pytest.raises(we.DesignError, match="64 hexadecimal digits"):
            we.seed_from(wrong, "5")
    with pytest.raises(we.DesignError, match="must be text"):
        we.seed_from(lock, " ")


def test_a_commitment_binds_seed_and_content():
    base = seed_commitment("seed", b"content")
    assert len(base) == 64
    assert len({base, seed_commitment("seed ", b"content"), seed_commitment("seed", b"content ")}) == 3
    # moving a character from seed to content is another commitment
    assert seed_commitment("ab", b"c") != seed_commitment("a", b"bc")
