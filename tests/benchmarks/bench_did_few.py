"""Speeds of inference with few treated, of matching and of the comparison (single thread)."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "did"))

from did_data import la_panel
from few_panels import la_frame, panel_of

import wwc_eval as we
from wwc_eval.did.few_statistic import Statistic
from wwc_eval.did.few_wild import effect_fit, panel_moments
from wwc_eval.inference.wild import draw_weights, wild_test


def best(make, times=5):
    found = []
    for _ in range(times):
        start = time.perf_counter()
        make()
        found.append(time.perf_counter() - start)
    return min(found)


def peer():
    """Wild bootstrap of pyfixest on the same panel, where it is installed with what it needs."""
    try:
        from pyfixest.estimation import feols
    except ImportError:
        return None
    data = la_frame(n=12, T=20, treated=((0, 10), (1, 10), (2, 10), (3, 10)))
    data["d"] = ((data["cohort"] > 0) & (data["year"] >= data["cohort"])).astype(float)
    data["code"] = data["la"].str[1:].astype(int)
    fit = feols("rate ~ d + C(code) + C(year)", data, vcov={"CRV1": "code"})
    return best(lambda: fit.wildboottest(param="d", reps=9_999, cluster="code", seed=1), 3)


def main():
    twelve = panel_of(la_frame(n=12, T=20, treated=((0, 10), (1, 10), (2, 10), (3, 10))))
    moments = panel_moments(*effect_fit(Statistic.of(twelve, "two_way_fixed_effects")))
    for kind in ("webb", "rademacher"):
        spent = best(
            lambda k=kind: wild_test(moments, 0.0, draw_weights(k, 12, 9_999, np.random.default_rng(1)), 0.95)
        )
        other = peer() if kind == "webb" else None
        beside = "" if other is None else f", pyfixest {other:.3f} s ({other / spent:.0f} times)"
        print(f"wild bootstrap, 12 clusters, {kind}, p and interval: {spent:.4f} s (aim 0.02){beside}")
    data = la_panel()
    panel = we.Panel(data, unit="la", period="t", outcome="y", cohort="g")
    for method in (
        "permutation",
        "studentised_permutation",
        "wild_bootstrap",
        "conley_taber",
        "ferman_pinto",
        "CR2",
    ):
        spent = best(lambda m=method: we.did.few_treated(panel, methods=(m,), rng=1, population="pop"), 3)
        print(f"{method}, 150 x 40, 9,999 draws: {spent:.3f} s")
    print(f"compare, 150 x 40: {best(lambda: we.did.compare(panel, rng=1, population='pop'), 3):.2f} s (aim 1.5)")
    rng = np.random.default_rng(1)
    children = pd.DataFrame({"age": rng.integers(0, 18, 100_000), "rate": rng.normal(60, 12, 100_000)})
    children["joined"] = (rng.random(100_000) < 0.2).astype(int)
    spent = best(
        lambda: we.coarsened_exact_matching(children, treatment="joined", on={"age": [1, 5, 10, 16], "rate": 20}),
        3,
    )
    print(f"coarsened exact matching of 100,000 children: {spent:.3f} s")
    las = data.groupby("la", as_index=False).agg(y=("y", "mean"), pop=("pop", "first"), joined=("d", "max"))
    spent = best(lambda: we.mahalanobis_matching(las, treatment="joined", covariates=["y", "pop"], ratio=3), 3)
    print(f"optimal Mahalanobis matching of 150 authorities: {spent:.3f} s")


if __name__ == "__main__":
    main()
