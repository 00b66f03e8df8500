"""The allocation stream: random numbers whose definition is one paragraph, the same in every language and for ever.

Definition (algorithm ``wwc_eval/allocation/v1``). The key is the seed: its bytes, or the UTF-8 bytes of its text in
Unicode form NFC. Block i = 0, 1, 2, ... of the stream is HMAC-SHA256(key, domain || 0x00 || i as 8 bytes, big
endian); its 32 bytes are four words of 64 bits, big endian. A whole number below n is the next word w for which
w < 2^64 - (2^64 mod n), modulo n; words that fail are skipped. A list is shuffled by Fisher and Yates: for
i = length - 1 down to 1, items i and (a whole number below i + 1) change places.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import unicodedata
from collections.abc import Sequence
from typing import TypeVar

from wwc_eval.errors import DesignError, shown

__all__ = ["ALGORITHM", "Stream", "seed_bytes", "seed_commitment", "seed_from"]

ALGORITHM = "wwc_eval/allocation/v1"
"""Version of everything that decides an allocation, and the domain of the stream."""

_WORDS = 1 << 64
_AT_ONCE = 64
_T = TypeVar("_T")


class Stream:
    """A stream of random numbers that is a function of seed and domain alone.

    Parameters
    ----------
    seed : str or bytes
        Text is taken in Unicode form NFC as UTF-8; no seed is the default.
    domain : str
        What the numbers are for; streams of different domains have nothing in common.

    Raises
    ------
    DesignError
        If the seed is neither text nor bytes, or is empty.

    Notes
    -----
    HMAC: RFC 2104; SHA-256: FIPS 180-4; shuffle: Durstenfeld (1964), doi:10.1145/364520.364540.

    Examples
    --------
    >>> Stream(bytes(range(32)), "wwc/allocation/v1/stratum=A").shuffled(range(10))
    [8, 0, 9, 2, 1, 6, 4, 5, 3, 7]
    """

    def __init__(self, seed: str | bytes, domain: str = ALGORITHM) -> None:
        self._key = seed_bytes(seed)
        self._prefix = domain.encode("utf-8") + b"\0"
        self._counter = 0
        self._ready: list[int] = []

    def word(self) -> int:
        """The next 64 bits as a whole number."""
        if not self._ready:
            # twice as much as so far, so that short draws cost little and long ones few calls
            count = min(max(self._counter, 1), _AT_ONCE)
            blocks = range(self._counter, self._counter + count)
            self._counter += count
            raw = b"".join(hmac.digest(self._key, self._prefix + i.to_bytes(8, "big"), "sha256") for i in blocks)
            self._ready = list(struct.unpack(f">{4 * count}Q", raw))[::-1]
        return self._ready.pop()

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1, each equally likely.

        Raises
        ------
        DesignError
            If ``n`` is less than 1 or more than 2^64.
        """
        if not 1 <= n <= _WORDS:
            raise DesignError(f"n == {shown(n)}, must be between 1 and 2^64")
        limit = _WORDS - _WORDS % n
        while True:
            word = self.word()
            if word < limit:
                return word % n

    def below_large(self, n: int) -> int:
        """A whole number from 0 to n - 1 for ``n`` of any size.

        Numbers above 2^64 take as many words as hold n - 1, the first the most significant; a number of n or more
        is skipped whole.
        """
        if n <= _WORDS:
            return self.below(n)
        words = -(-(n - 1).bit_length() // 64)
        limit = _WORDS**words // n * n
        while True:
            number = 0
            for _ in range(words):
                number = number * _WORDS + self.word()
            if number < limit:
                return number % n

    def shuffled(self, items: Sequence[_T]) -> list[_T]:
        """A new list of the items in random order, each order equally likely."""
        mixed = list(items)
        word = self.word
        for i in range(len(mixed) - 1, 0, -1):
            n = i + 1
            number = word()
            # only a word above 2^64 - n can be one to skip
            while number >= _WORDS - n and number >= _WORDS - _WORDS % n:
                number = word()
            j = number % n
            mixed[i], mixed[j] = mixed[j], mixed[i]
        return mixed


def seed_bytes(seed: str | bytes) -> bytes:
    """The key of the stream: bytes as given, text in Unicode form NFC as UTF-8.

    Raises
    ------
    DesignError
        If the seed is neither text nor bytes, or is empty.
    """
    fix = 'choose one and keep it, such as seed="2026-03-01 National Lottery draw 3142: 5 12 23 31 44 50"'
    if isinstance(seed, (bytes, bytearray)):
        key = bytes(seed)
    elif isinstance(seed, str):
        key = unicodedata.normalize("NFC", seed).encode("utf-8")
    else:
        # the value is not shown: a seed belongs in no log
        kind = type(seed).__name__
        fix = "write a number as text, seed='20260301'" if isinstance(seed, int) else fix
        raise DesignError(f"seed is of type {kind}, must be text or bytes; none is the default", fix=fix)
    if not key:
        raise DesignError("seed is empty", rule="an allocation has a seed that somebody chose and kept", fix=fix)
    return key


def seed_from(lock_hash: str, public_value: str) -> str:
    r"""Seed from the hash of a locked plan and a public value named before it was known.

    Nobody can have chosen such a seed: the plan was locked before the value (a lottery draw, a closing price) was.

    Parameters
    ----------
    lock_hash : str
        SHA-256 of the locked plan, 64 hexadecimal digits.
    public_value : str
        The value, written as the plan says it will be.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    DesignError
        If the hash is none, or the value is empty.

    Notes
    -----
    Formula: SHA-256(lock hash in small letters || line feed || value in Unicode form NFC as UTF-8), which a shell
    reproduces by ``printf '%s\n%s' HASH VALUE | sha256sum``.

    Examples
    --------
    >>> seed_from("0" * 64, "5 12 23 31 44 50")[:16]
    '6c6539e63d4c7794'
    """
    text = lock_hash.lower() if isinstance(lock_hash, str) else ""
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise DesignError(
            f"lock_hash == {shown(lock_hash)}, must be 64 hexadecimal digits",
            fix="take it from the plan's lock file",
        )
    if not isinstance(public_value, str) or not public_value.strip():
        raise DesignError(
            f"public_value == {shown(public_value)}, must be text", fix="write the value as published"
        )
    value = unicodedata.normalize("NFC", public_value)
    return hashlib.sha256(f"{text}\n{value}".encode()).hexdigest()


def seed_commitment(seed: str | bytes, content: bytes) -> str:
    """What may be published before the draw: it binds seed, scheme and unit list, and tells none of them.

    Formula: SHA-256("wwc_eval/commitment/v1" || 0x00 || length of the seed as 8 bytes || seed || content), in
    hexadecimal. A seed that can be guessed can be found by trying: commit to a long random one.

    Parameters
    ----------
    seed : str or bytes
        The seed.
    content : bytes
        Canonical JSON of scheme, arms and unit list.
    """
    key = seed_bytes(seed)
    framed = b"wwc_eval/commitment/v1\0" + len(key).to_bytes(8, "big") + key
    return hashlib.sha256(framed + content).hexdigest()
