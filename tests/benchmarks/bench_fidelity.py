"""Agreement and intraclass correlations of 10,000 cases x 5 raters with 15% missing, whole call (best of 15, one thread).

Peers as measured on complete ratings of this size: krippendorff 18 ms, irrCAC 30 ms a coefficient, pingouin 14 s.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

import wwc_eval as we
from wwc_eval.fidelity.reliability.coefficients import COEFFICIENTS

CASES = 10_000
PEERS = {"krippendorff_alpha": 18.0, "icc": 14_000.0}
IRRCAC = 30.0


def ratings(seed: int = 1) -> tuple[pd.DataFrame, np.ndarray]:
    """Ratings 1 to 5 with holes, and the local authority of each case."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(CASES, 1)) + 0.6 * rng.normal(size=(CASES, 5)) + 0.3 * rng.normal(size=5)
    x = np.searchsorted([-1.2, -0.4, 0.4, 1.2], y) + 1.0
    x[rng.random(x.shape) < 0.15] = np.nan
    return pd.DataFrame(x, columns=[f"rater_{k}" for k in range(5)]), np.repeat(np.arange(20), CASES // 20)


def best_ms(work: Callable[[], object], times: int = 15) -> float:
    """Shortest of some runs after a warm-up."""
    work()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return 1e3 * min(found)


if __name__ == "__main__":
    x, la = ratings()
    two = x.iloc[:, :2]
    print(
        "coefficient                     linearised  clustered  jackknife  2,000 cluster bootstraps   irrCAC / linearised"
    )
    options = [(name, {} if name == "ac1" else {"weights": "quadratic"}) for name in COEFFICIENTS]
    options += [
        ("krippendorff_alpha", {"metric": metric}) for metric in ("nominal", "ordinal", "interval", "ratio")
    ]
    for name, more in options:
        data = two if name == "cohen_kappa" else x
        plain = best_ms(lambda d=data, n=name, m=more: we.agreement(d, n, **m))
        by = best_ms(lambda d=data, n=name, m=more: we.agreement(d, n, cluster=la, **m))
        jack = best_ms(lambda d=data, n=name, m=more: we.agreement(d, n, cluster=la, errors="jackknife", **m), 5)
        boot = best_ms(
            lambda d=data, n=name, m=more: we.agreement(d, n, cluster=la, errors="bootstrap", rng=1, **m), 3
        )
        label = name + (f" ({more['metric']})" if "metric" in more else "")
        peer = PEERS.get(name, IRRCAC)
        print(f"{label:30s} {plain:8.1f} ms {by:8.1f} {jack:10.1f} {boot:22.1f} ms {peer / plain:18.1f}")
    full = x.fillna(3.0)
    for label, data in (("complete", full), ("15% missing", x)):
        six = best_ms(lambda d=data: we.intraclass_correlations(d))
        by = best_ms(lambda d=data: we.intraclass_correlations(d, cluster=la), 5)
        boot = best_ms(lambda d=data: we.intraclass_correlation(d, cluster=la, errors="bootstrap", rng=1), 3)
        print(
            f"six ICCs, {label:12s} {six:6.2f} ms; clustered {by:6.1f}; 2,000 bootstraps of one {boot:6.1f}; pingouin / ours {PEERS['icc'] / six:,.0f}"
        )
