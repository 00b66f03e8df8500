"""The hash of a parsed plan, and the first place where two plans differ."""

from __future__ import annotations

import hashlib
from typing import Any

from wwc_eval.data.chain import canonical_json
from wwc_eval.plans.yaml_text import Path, path_text

__all__ = ["canonical_json", "first_difference", "sha256_of"]


def sha256_of(data: Any) -> str:
    """SHA-256, in hexadecimal, of the canonical JSON in UTF-8."""
    return hashlib.sha256(canonical_json(data).encode("utf-8")).hexdigest()


def first_difference(old: Any, new: Any, path: Path = ()) -> tuple[str, Any, Any] | None:
    """First place where two documents differ: field path, old value, new value; None when equal.

    Examples
    --------
    >>> first_difference({"a": [1, 2]}, {"a": [1, 3]})
    ('a[1]', 2, 3)
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if key not in old or key not in new:
                return path_text((*path, key)), old.get(key, "(absent)"), new.get(key, "(absent)")
            found = first_difference(old[key], new[key], (*path, key))
            if found:
                return found
        return None
    if isinstance(old, list) and isinstance(new, list):
        for index, (left, right) in enumerate(zip(old, new, strict=False)):
            found = first_difference(left, right, (*path, index))
            if found:
                return found
        if len(old) != len(new):
            shorter = min(len(old), len(new))
            left = old[shorter] if shorter < len(old) else "(absent)"
            right = new[shorter] if shorter < len(new) else "(absent)"
            return path_text((*path, shorter)), left, right
        return None
    return None if canonical_json(old) == canonical_json(new) else (path_text(path) or "(document)", old, new)
