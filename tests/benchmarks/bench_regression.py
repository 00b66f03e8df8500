"""Regression of 27,000 children on 25 columns, whole call, beside statsmodels on a ready matrix (best of 5)."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import statsmodels.api as sm

import wwc_eval as we

ROWS = 27_000
FORMULA = "outcome ~ arm + local_authority + age + need + prior"


def children(seed: int = 1) -> pd.DataFrame:
    """Children of families in 21 local authorities."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "outcome": rng.integers(0, 2, ROWS),
            "arm": rng.choice(["usual", "programme"], ROWS),
            "local_authority": rng.choice([f"LA {i:02d}" for i in range(21)], ROWS),
            "age": rng.integers(0, 18, ROWS),
            "need": rng.normal(size=ROWS),
            "prior": rng.normal(size=ROWS),
            "family_id": rng.integers(0, 16_000, ROWS),
        }
    )


def best_ms(work: Callable[[], object]) -> float:
    """Shortest of five runs after a warm-up."""
    work()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def peer(data: pd.DataFrame, X: np.ndarray, family: str, vcov: str) -> object:
    """The nearest thing in statsmodels."""
    groups = pd.factorize(data["family_id"])[0]
    options = {"cov_type": "cluster", "cov_kwds": {"groups": groups}} if vcov == "CR1" else {}
    options = {"cov_type": "HC2"} if vcov == "HC2" else options
    if family == "gaussian":
        return sm.OLS(data["outcome"], X).fit(**options).bse
    return sm.GLM(data["outcome"], X, family=sm.families.Binomial()).fit(**options).bse


if __name__ == "__main__":
    data = children()
    X = we.regression(FORMULA, data).design_info.X
    print("family    errors     whole call   with estimates   statsmodels, matrix given   ratio")
    for family, vcov, cluster in (
        ("gaussian", "classical", None),
        ("gaussian", "HC2", None),
        ("gaussian", "CR1", "family_id"),
        ("gaussian", "CR2", "family_id"),
        ("binomial", "classical", None),
        ("binomial", "CR1", "family_id"),
        ("binomial", "CR2", "family_id"),
        ("binomial", "CR2", "local_authority"),
        ("binomial", "CR3", "local_authority"),
    ):

        def fit(family: str = family, vcov: str = vcov, cluster: str | None = cluster) -> object:
            return we.regression(FORMULA, data, family=family, vcov=vcov, cluster=cluster)

        ours, all_of_it = best_ms(fit), best_ms(lambda: fit().estimates)
        line = f"{family:9s} {vcov:9s} {ours:8.0f} ms {all_of_it:13.0f} ms"
        if vcov in ("classical", "HC2", "CR1"):
            theirs = best_ms(lambda: peer(data, X, family, vcov))  # noqa: B023
            line += f" {theirs:20.0f} ms {theirs / all_of_it:14.1f}"
        print(line)
    fitted = we.regression(FORMULA, data, family="binomial", vcov="CR1", cluster="family_id")
    print(f"marginal effect of arm: {best_ms(lambda: fitted.marginal_effect('arm')):.0f} ms")
