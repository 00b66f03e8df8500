"""Regression estimators on a million balanced rows (100,000 units x 10 periods), beside linearmodels' PanelOLS.

One thread: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1. Processor times are of the whole call on a ready panel (best of 5); the
panel itself is read once. PanelOLS gets a ready, sorted frame and its errors are clustered by unit.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from processor_time import best

import wwc_eval as we

UNITS, PERIODS, COHORTS = 100_000, 10, 5
TARGETS = {"two_way_fixed_effects": 0.1, "event_study": 0.15}


def authorities(seed: int = 2) -> pd.DataFrame:
    """Units of five cohorts and of none, with an effect of a half."""
    rng = np.random.default_rng(seed)
    starts = np.r_[0, np.linspace(3, PERIODS - 1, COHORTS).astype(int)]
    start = starts[rng.integers(0, COHORTS + 1, UNITS)]
    t = np.arange(1, PERIODS + 1)
    on = (start[:, None] > 0) & (t >= start[:, None])
    y = rng.normal(size=(UNITS, 1)) + 0.05 * t + 0.5 * on + rng.normal(size=(UNITS, PERIODS))
    return pd.DataFrame(
        {
            "unit": np.repeat(np.arange(UNITS), PERIODS),
            "period": np.tile(t, UNITS),
            "start": np.repeat(start, PERIODS),
            "y": y.ravel(),
            "on": on.ravel().astype(float),
        }
    )


def peer(data: pd.DataFrame) -> tuple[float, float, float]:
    """Seconds, estimate and error of PanelOLS."""
    from linearmodels.panel import PanelOLS

    frame = data.set_index(["unit", "period"])
    model = PanelOLS(frame["y"], frame[["on"]], entity_effects=True, time_effects=True)
    seconds = best(lambda: model.fit(cov_type="clustered", cluster_entity=True), 1)
    fit = model.fit(cov_type="clustered", cluster_entity=True)
    return seconds, float(fit.params["on"]), float(fit.std_errors["on"])


if __name__ == "__main__":
    data = authorities()
    begin = time.process_time()
    panel = we.Panel(data, unit="unit", period="period", outcome="y", cohort="start")
    print(f"panel of {len(data):,} rows read in {time.process_time() - begin:.2f} s")
    seconds, estimate, error = peer(data)
    print(f"PanelOLS                   {seconds:7.3f} s   {estimate:.6f} ({error:.6f})")
    names = ("two_way_fixed_effects", "event_study", "sun_abraham", "extended_twfe", "imputation", "two_stage")
    for name in (*names, "stacked", "bacon_decomposition"):
        verb = getattr(we.did, name)
        spent = best(lambda verb=verb: verb(panel), 5)  # type: ignore[misc]
        one = verb(panel).overall
        target = f"   target {TARGETS[name]} s" if name in TARGETS else ""
        line = f"{name:26} {spent:7.3f} s   {one.estimate:.6f} ({one.se:.6f})   {seconds / spent:6.1f} x PanelOLS"
        print(line + target)
