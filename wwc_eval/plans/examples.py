"""Sample plans and data: beside the package in a checkout, inside it when installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import wwc_eval
from wwc_eval.errors import DataError, did_you_mean

__all__ = ["copy_example", "copy_sample", "example_names"]


def _root() -> Path:
    package = Path(wwc_eval.__file__).parent
    inside = package / "examples"
    return inside if inside.exists() else package.parent


def example_names() -> list[str]:
    """Names of the sample plans."""
    return sorted(path.stem for path in (_root() / "analysis_plans").glob("*.yaml"))


def copy_example(name: str, folder: Path) -> Path:
    """Copy a sample plan and what it reads into a folder; files already there are left alone.

    Parameters
    ----------
    name : str
        One of :func:`example_names`.
    folder : Path
        Gets ``analysis_plans/`` and ``sample_data/``.

    Returns
    -------
    Path
        The plan.
    """
    from wwc_eval.plans.plan import Plan

    root = _root()
    source = root / "analysis_plans" / f"{name}.yaml"
    if not source.exists():
        raise DataError(f"there is no sample plan '{name}'", fix=did_you_mean(name, example_names()))
    target = folder / "analysis_plans" / source.name
    _copy(source, target)
    document = Plan.load(source).facts.document
    read = [file.file for file in document.data.files.values()]
    if document.fidelity is not None:
        read.append(document.fidelity.specification)
    for file in read:
        _copy(source.parent / file, target.parent / file)
    return target


def copy_sample(name: str, folder: Path) -> Path:
    """Copy a file of the sample data into a folder; a file already there is left alone.

    Parameters
    ----------
    name : str
        Path below ``sample_data/``, such as ``"fidelity_ratings.csv"`` or ``"specifications/safety_planning.yaml"``.
    folder : Path
        Gets ``sample_data/``.

    Returns
    -------
    Path
        The copy.
    """
    source = _root() / "sample_data"
    known = [path.relative_to(source).as_posix() for path in source.rglob("*.*")]
    if name not in known:
        raise DataError(f"there is no sample file '{name}'", fix=did_you_mean(name, known))
    target = folder / "sample_data" / name
    _copy(source / name, target)
    return target


def _copy(source: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
