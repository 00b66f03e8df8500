"""Processor seconds of a piece of work, and whether a peer is there to compare with: shared by the benchmarks."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable

__all__ = ["best", "installed"]


def best(work: Callable[[], object], runs: int, *, warm_up: bool = False) -> float:
    """Least processor seconds of several runs, after a warm-up or not: other work on the machine does not count."""
    if warm_up:
        work()
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def installed(package: str) -> bool:
    """Whether a peer can be timed."""
    return importlib.util.find_spec(package) is not None
