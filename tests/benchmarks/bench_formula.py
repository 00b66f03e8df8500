"""Formulas: time to make a design matrix for 280,000 children, beside formulaic's, in milliseconds (best of 5)."""

from __future__ import annotations

import time
from collections.abc import Callable

import formulaic
import numpy as np
import pandas as pd

from wwc_eval.formula import parse_condition, parse_formula

ROWS = 280_000


def children(seed: int = 1) -> pd.DataFrame:
    """A frame of the size of a national return: text, categories and numbers, nothing missing."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "y": rng.integers(0, 2, ROWS),
            "arm": pd.Categorical(rng.choice(["usual", "programme"], ROWS), categories=["usual", "programme"]),
            "age": rng.integers(0, 18, ROWS),
            "sex": rng.choice(["female", "male"], ROWS),
            "ethnicity": rng.choice(["white", "mixed", "asian", "black", "other"], ROWS),
            "need": rng.normal(size=ROWS),
            "la": rng.choice([f"LA {i:03d}" for i in range(25)], ROWS),
            "la_arm": rng.integers(0, 2, ROWS),
        }
    )


def best_ms(work: Callable[[], object]) -> float:
    """Shortest of five runs after a warm-up."""
    work()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


if __name__ == "__main__":
    data = children()
    holes = data.assign(age=data["age"].where(np.arange(ROWS) % 50 > 0))
    determined = data.assign(la_arm=(data["la"] < "LA 012").astype(int))
    ours = parse_formula("y ~ arm + centre(age) + sex + ethnicity + poly(need, 2)")
    mine = best_ms(lambda: ours.design(data))
    other = best_ms(
        lambda: formulaic.model_matrix("y ~ arm + center(age) + sex + ethnicity + poly(need, 2)", data)
    )
    print(f"10 columns                 {mine:7.1f} ms, formulaic {other:7.1f} ms, ratio {other / mine:.1f}")
    print(f"10 columns, 2% missing     {best_ms(lambda: ours.design(holes)):7.1f} ms")
    wide = parse_formula("y ~ la_arm + la + arm")
    print(f"27 columns                 {best_ms(lambda: wide.design(data)):7.1f} ms")
    print(f"27 columns, one aliased    {best_ms(lambda: wide.design(determined)):7.1f} ms")
    condition = parse_condition("age >= 4 and la in ['LA 001', 'LA 002'] and sex is not missing")
    print(f"a condition of three parts {best_ms(lambda: condition.evaluate(data)):7.1f} ms")
