"""Panels and Callaway-Sant'Anna with 999 draws, from a panel and from a frame: processor seconds, best of 7.

The work is what a user reads: effects by cohort and period, events, the overall effect, errors and bands of the
bootstrap, and the permutation beside small cohorts. The peer is diff-diff, where it is installed. Then the efficient estimator
of drawn roll-outs (staggered), and with 9,999 permutations. One thread: run it with OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from processor_time import best, installed

import wwc_eval as we

DRAWS = 999
AIMS = {"150 x 40": 0.06, "10,000 x 20": 0.06, "100,000 x 10": 1.0}


def panel(n: int, periods: int, cohorts: int, seed: int, treated: int | None = None) -> pd.DataFrame:
    """Units by period, a share of them in cohorts."""
    rng = np.random.default_rng(seed)
    starts = np.linspace(3, periods - 1, cohorts).astype(int)
    first = np.r_[0, starts][rng.integers(0, cohorts + 1, n)]
    if treated is not None:
        first = np.zeros(n, dtype=int)
        first[rng.permutation(n)[:treated]] = starts[np.arange(treated) % cohorts]
    t = np.arange(1, periods + 1)
    on = (first[:, None] > 0) & (t >= first[:, None])
    y = rng.normal(size=(n, 1)) + 0.05 * t + 0.5 * on + rng.normal(size=(n, periods))
    return pd.DataFrame(
        {
            "la": np.repeat(np.arange(n), periods),
            "t": np.tile(t, n),
            "g": np.repeat(first, periods),
            "y": y.ravel(),
        }
    )


def read(data: pd.DataFrame) -> we.Panel:
    """The panel of a frame."""
    return we.Panel(data, unit="la", period="t", outcome="y", cohort="g")


def effects(source: we.Panel) -> object:
    """Everything that is printed, with the bootstrap's errors."""
    result = we.did.callaway_santanna(source).bootstrap(DRAWS, rng=1)
    event = result.aggregate("event")
    return result.estimates, event.estimates, event.overall, result.overall


def peer(data: pd.DataFrame) -> float | None:
    """diff-diff on the same frame, or None where it is not installed."""
    if not installed("diff_diff"):
        return None
    from diff_diff import CallawaySantAnna

    def work() -> object:
        estimator = CallawaySantAnna(n_bootstrap=DRAWS, seed=1)
        return estimator.fit(data, outcome="y", unit="la", time="t", first_treat="g", aggregate="all")

    return best(work, 2, warm_up=True)


if __name__ == "__main__":
    cases = {
        "150 x 40": panel(150, 40, 6, 3, treated=20),
        "10,000 x 20": panel(10_000, 20, 8, 1),
        "100,000 x 10": panel(100_000, 10, 5, 2),
    }
    print("units x periods   frame to panel   from panel   from frame      aim   diff-diff   ratio")
    for name, data in cases.items():
        source = read(data)
        reading, from_panel, from_frame = (
            best(work, 7, warm_up=True)
            for work in (
                lambda d=data: read(d),
                lambda s=source: effects(s),
                lambda d=data: effects(read(d)),
            )
        )
        other = peer(data)
        shown = "          -       -" if other is None else f"{other:9.3f} s {other / from_frame:6.1f}x"
        print(
            f"{name:>15}   {reading:12.3f} s {from_panel:10.3f} s {from_frame:10.3f} s {AIMS[name]:6.2f} s {shown}"
        )
    print(
        "\nstaggered: units x periods   from panel      aim   9,999 permutations   callaway_santanna / staggered"
    )
    for name, aim in (("150 x 40", 0.05), ("10,000 x 20", 0.3)):
        source = read(cases[name])
        plain = best(lambda s=source: we.did.staggered(s), 7, warm_up=True)  # type: ignore[misc]
        tested = best(lambda s=source: we.did.staggered(s, draws=9_999, rng=1), 1)  # type: ignore[misc]
        other = best(lambda s=source: we.did.callaway_santanna(s).aggregate("event").overall, 3)  # type: ignore[misc]
        print(f"{name:>26}   {plain:8.3f} s {aim:6.2f} s   {tested:16.2f} s   {other / plain:6.1f}x")
