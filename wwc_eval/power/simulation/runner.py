"""Chunks of replicates, in parallel, with the same numbers whatever the number of workers, resumable from a directory.

Chunk k draws from the k-th child of one seed sequence, so its numbers depend on the seed and on k alone.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from wwc_eval.errors import DesignError, check_number, shown
from wwc_eval.power.simulation.fits import ReplicateFits

__all__ = ["CHUNK", "Simulator", "run_chunks", "seed_of"]

CHUNK = 500
"""Replicates in a chunk; fixed, since the numbers drawn depend on it."""
RECORD = "study.json"


class Simulator(Protocol):
    """What can be simulated: it must pickle, and draw only from the generator it is given."""

    def chunk(self, rng: np.random.Generator, reps: int) -> dict[str, ReplicateFits]:
        """Fits of so many replicates for each analysis."""


def seed_of(rng: Any) -> np.random.SeedSequence:
    """A seed sequence from an int, a Generator or a SeedSequence.

    Raises
    ------
    DesignError
        If nothing is given: a simulation never has a default seed.
    """
    if isinstance(rng, np.random.SeedSequence):
        return np.random.SeedSequence(entropy=rng.entropy, spawn_key=rng.spawn_key, pool_size=rng.pool_size)
    if isinstance(rng, np.random.Generator):
        return np.random.SeedSequence([int(each) for each in rng.integers(0, 2**32, 4)])
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0:
        return np.random.SeedSequence(int(rng))
    raise DesignError(f"rng == {shown(rng)}, must be an int, a Generator or a SeedSequence", fix="rng=1, say")


def run_chunks(
    simulator: Simulator,
    reps: int,
    rng: Any,
    *,
    n_jobs: int | None = 1,
    progress: bool = False,
    directory: str | os.PathLike[str] | None = None,
) -> dict[str, ReplicateFits]:
    """Simulate replicates chunk by chunk.

    Parameters
    ----------
    simulator : Simulator
        What is simulated.
    reps : int
        Replicates.
    rng : int, Generator or SeedSequence
        Source of randomness.
    n_jobs : int, optional
        Workers, as in joblib; -1 for all cores, or for all workers of a dask cluster within
        ``joblib.parallel_config(backend="dask")``.
    progress : bool
        Whether to show a progress bar.
    directory : path, optional
        Where finished chunks are kept. A later call of the same study takes them from there, and may ask for more
        replicates.

    Raises
    ------
    DesignError
        If the directory holds the chunks of another study.
    """
    import joblib

    count = int(check_number("reps", reps, at_least=1))
    seed = seed_of(rng)
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    home = None if directory is None else _opened(Path(directory), simulator, seed)
    paths = [None if home is None else home / f"chunk_{k:06d}.npz" for k in range(len(sizes))]
    jobs = (
        joblib.delayed(_one)(simulator, seed.entropy, (*seed.spawn_key, k), size, path)
        for k, (size, path) in enumerate(zip(sizes, paths, strict=True))
    )
    if n_jobs == 1:
        done: Any = (call(*arguments, **named) for call, arguments, named in jobs)
    else:
        done = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    if progress:
        from tqdm.auto import tqdm

        done = tqdm(done, total=len(sizes), unit="chunk", desc=f"{count:,} replicates")
    parts = list(done)
    return {name: ReplicateFits.joined([part[name] for part in parts]) for name in parts[0]}


def _one(
    simulator: Simulator, entropy: Any, key: tuple[int, ...], reps: int, path: Path | None
) -> dict[str, ReplicateFits]:
    """One chunk, from its file where it is finished."""
    if path is not None and path.exists():
        found = _loaded(path)
        if found and len(next(iter(found.values()))) == reps:
            return found
    rng = np.random.default_rng(np.random.SeedSequence(entropy=entropy, spawn_key=key))
    made = simulator.chunk(rng, reps)
    if path is not None:
        _saved(path, made)
    return made


# --- finished chunks


def _opened(home: Path, simulator: Simulator, seed: np.random.SeedSequence) -> Path:
    """The directory of a study, whose record must be of this study."""
    import joblib

    from wwc_eval import __version__

    home.mkdir(parents=True, exist_ok=True)
    record = {
        "study": joblib.hash(simulator),
        "entropy": str(seed.entropy),
        "spawn_key": list(seed.spawn_key),
        "chunk": CHUNK,
        "wwc_eval": __version__,
    }
    path = home / RECORD
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept != record:
            differing = sorted(name for name in record if kept.get(name) != record[name])
            raise DesignError(
                f"directory '{home.name}' holds chunks of another study: {', '.join(differing)} differ",
                fix="give another directory, or the same design, effect, analyses and seed",
            )
    else:
        path.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return home


def _saved(path: Path, made: dict[str, ReplicateFits]) -> None:
    """Write a chunk whole or not at all."""
    arrays = {f"{name}|{f.name}": getattr(fits, f.name) for name, fits in made.items() for f in fields(fits)}
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "wb") as target:
        np.savez(target, **arrays)
    Path(name).replace(path)


def _loaded(path: Path) -> dict[str, ReplicateFits]:
    with np.load(path, allow_pickle=False) as kept:
        names = list(dict.fromkeys(key.split("|")[0] for key in kept.files))
        return {n: ReplicateFits(**{f.name: kept[f"{n}|{f.name}"] for f in fields(ReplicateFits)}) for n in names}
