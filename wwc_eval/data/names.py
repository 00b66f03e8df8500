"""Names of local authorities: when two spellings mean the same one. Names are compared, never changed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from wwc_eval.errors import did_you_mean

__all__ = ["local_authority_key", "meant_authority", "other_spellings"]

_PUNCTUATION = re.compile(r"[\W_]+")
_APOSTROPHES = re.compile(r"[.'’`]")
_LONDON = {"city of london", "london city of", "city of london corporation", "corporation of london"}
_STYLES = re.compile(
    r"\b(?:(?:london|royal|metropolitan) )*(?:borough|district|city|county) (?:of|council)\b"
    r"|\b(?:metropolitan )?(?:borough|district) council\b|\bunitary authority\b|\bcouncil\b|\bmbc\b|\bcounty\b"
    r"|\bcity and county of\b|(?<=\w )(?:city|borough)$"
)
_LINKS = {"and", "the", "upon", "on"}
_SAME = {"hull": "kingston hull"}


def local_authority_key(name: str) -> str:
    """Text that all usual spellings of one local authority share.

    Unicode form, case, spacing, hyphens, ``&``/``and``, ``upon``/``on``, ``City of``, ``London Borough of``,
    ``Council`` and the like make no difference. The key serves comparison only.

    Parameters
    ----------
    name : str
        Name as written.

    Returns
    -------
    str
        The key.

    Examples
    --------
    >>> local_authority_key("Bristol, City of") == local_authority_key("BRISTOL")
    True
    >>> local_authority_key("Newcastle-upon-Tyne") == local_authority_key("Newcastle upon Tyne")
    True
    >>> local_authority_key("Derby") == local_authority_key("Derbyshire")
    False
    """
    plain = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(character for character in plain if unicodedata.category(character) not in {"Mn", "Cf"})
    plain = _APOSTROPHES.sub("", plain.replace("&", " and "))
    plain = _PUNCTUATION.sub(" ", plain).strip()
    if plain in _LONDON:
        return "city of london"  # not the region "London"
    bare = _STYLES.sub(" ", plain)
    words = ["st" if word == "saint" else word for word in bare.split() if word not in _LINKS]
    key = " ".join(words) or plain
    return _SAME.get(key, key)


def other_spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Spellings that clash with a commoner spelling of the same local authority.

    Parameters
    ----------
    counts : mapping of str to int
        Each name as written, with its number of rows, in order of first appearance.

    Returns
    -------
    dict of str to str
        The rarer spelling and the commonest one (the earlier where they tie).

    Examples
    --------
    >>> other_spellings({"Stoke-on-Trent": 2, "Stoke on Trent": 1, "Derby": 4})
    {'Stoke on Trent': 'Stoke-on-Trent'}
    """
    groups: dict[str, list[str]] = {}
    for name in counts:
        groups.setdefault(local_authority_key(name), []).append(name)
    odd: dict[str, str] = {}
    for names in groups.values():
        usual = max(names, key=lambda name: counts[name])  # max keeps the first of equals
        odd |= {name: usual for name in names if name != usual}
    return odd


def meant_authority(name: str, known: Iterable[str]) -> str | None:
    """The known name that is the same local authority as ``name`` spelled otherwise, or None.

    Examples
    --------
    >>> meant_authority("Kingston-upon-Hull, City of", ["Kingston upon Hull", "Kingston upon Thames"])
    'Kingston upon Hull'
    """
    key = local_authority_key(name)
    return next((candidate for candidate in known if local_authority_key(candidate) == key), None)


def advise_authority(name: str, known: Iterable[str]) -> str:
    """Advice for a name that is not among the known ones."""
    listed = list(known)
    meant = meant_authority(name, listed)
    return f"write it as declared: '{meant}'" if meant is not None else did_you_mean(name, listed)
