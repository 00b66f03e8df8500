"""What the numbers were made with: Python, platform, package versions and the package's own source."""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib import metadata
from pathlib import Path

import wwc_eval

__all__ = ["code_version", "environment", "environment_changes"]

PACKAGES = ("numpy", "scipy", "pandas", "statsmodels", "linearmodels", "pandera", "matplotlib", "pydantic")


def environment() -> dict[str, str]:
    """Versions that the figures depend on, by name."""
    python = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    return python | {name: _installed(name) for name in PACKAGES}


@functools.cache
def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


@functools.cache
def code_version() -> dict[str, str]:
    """Version of wwc_eval and SHA-256 over its source files (relative names and contents, sorted)."""
    root = Path(wwc_eval.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        content = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + hashlib.sha256(content).digest())
    return {"version": wwc_eval.__version__, "source_sha256": digest.hexdigest()}


def environment_changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What differs between two environments, as sentences."""
    return [
        f"{name} was {before.get(name, 'absent')}, is {after.get(name, 'absent')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
