"""Disclosure control: time to protect tables with their totals, in milliseconds (median and slowest of 30 tables)."""

from __future__ import annotations

import statistics
import time

import numpy as np

from wwc_eval.data.disclosure import DisclosureRule, suppress_counts


def times_ms(rows: int, columns: int, mean: float, tables: int = 30) -> tuple[list[float], float]:
    """Times, and the mean number of cells hidden beside the small ones."""
    rng = np.random.default_rng(1)
    times, extra = [], []
    for _ in range(tables):
        matrix = rng.poisson(rng.gamma(1.5, mean / 1.5, (rows, columns)))
        start = time.perf_counter()
        table = suppress_counts(matrix, DisclosureRule())
        times.append(1e3 * (time.perf_counter() - start))
        extra.append(table.n_hidden - table.protected.n_small)
    return times, statistics.mean(extra)


if __name__ == "__main__":
    times_ms(3, 3, 20, tables=2)
    print("table     mean count   median      slowest   hidden beside the small")
    for rows, columns in ((5, 4), (21, 6), (60, 6)):
        for mean in (15, 40, 100):
            times, extra = times_ms(rows, columns, mean)
            print(
                f"{rows:3d} x {columns}   {mean:8d}   {statistics.median(times):7.0f} ms {max(times):8.0f} ms {extra:8.1f}"
            )
