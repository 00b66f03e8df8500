"""Levels and power of analyses by simulation: writes tests/reference/power_simulated_analyses.json.

Run from the repository: ``python tests/power/simulation_study.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from wwc_eval.power import Binary, Level, SteppedWedge, Trial

RECORD = Path(__file__).parents[1] / "reference" / "power_simulated_analyses.json"
SEED, REPS = 20261126, 10_000
SHARES = (0.30, 0.25, 0.20, 0.15, 0.10)


def binary_wedge() -> SteppedWedge:
    """Five LAs over six periods, 27,000 children, 7% looked after; logit SD between LAs close to .2; two readiness strata."""
    sizes = np.round(np.outer(27_000 * np.array(SHARES), np.ones(6) / 6))
    risks = special.expit(special.logit(0.07) + np.linspace(0.0, 0.15, 6))
    return SteppedWedge.standard(
        clusters=5, steps=5, cell_size=sizes, outcome=Binary(control=0.07), control_by_period=risks, icc=0.00268,
        strata=("early", "early", "late", "late", "late"),
    )  # fmt: skip


def gaussian_wedge() -> SteppedWedge:
    """Twelve clusters over five periods of 50 children."""
    return SteppedWedge.standard(clusters=12, steps=4, cell_size=50, icc=0.05)


def two_level(clusters: int) -> Trial:
    """Clusters of 30 children, sizes varying with CV .5."""
    return Trial(levels=[Level("child", 30, size_cv=0.5), Level("team", clusters, icc=0.05)], assigned="team")


BINARY = ("mixed_model", "regression", "regression_cr2", "regression_cr3", "randomisation_test")
GAUSSIAN = ("hussey_hughes", "nested_exchangeable", "regression_cr2", "regression_cr3")
NESTED = ("mixed_model", "kenward_roger", "cluster_summaries", "regression_cr2", "regression_cr3")


def rates(simulation: Any) -> dict[str, Any]:
    """Rejections in all, and in the first 500 replicates."""
    found = {}
    for record in simulation.records:
        p = simulation.fits[record.analysis].p_value
        found[record.analysis] = {"rejects": record.power, "first_500": int((p[:500] <= 0.05 * (1 + 1e-12)).sum())}
        if record.analysis == "randomisation_test":
            found[record.analysis]["at_smallest_p"] = float((p <= 1 / 12 + 1e-9).mean())
    return found


def study(reps: int) -> dict[str, Any]:
    """Every setting of the study."""
    how: dict[str, Any] = {"rng": SEED, "reps": reps}
    binary, gaussian = binary_wedge(), gaussian_wedge()
    found: dict[str, Any] = {
        "binary_wedge": {
            f"{sd:.2f}": rates(binary.simulate(0, drift_sd=sd, analysis=BINARY, **how))
            for sd in (0.0, 0.1, 0.15, 0.2)
        },
        "gaussian_wedge": {
            f"{v:.4f}": rates(gaussian.simulate(0, drift_sd=v**0.5, analysis=GAUSSIAN, **how))
            for v in (0.0, 0.0025, 0.0125)
        },
        "two_level": {
            str(clusters): rates(two_level(clusters).simulate(0, analysis=NESTED, **how))
            for clusters in (8, 12, 20)
        },
        "wedge_power": {},
    }
    for clusters, effect in ((8, 0.3), (12, 0.25), (24, 0.18)):
        design = SteppedWedge.standard(clusters=clusters, steps=4, cell_size=30, icc=0.05, cac=0.8)
        simulated = design.simulate(effect, analysis=("mixed_model", "mixed_model_z", "regression_cr2"), **how)
        row: dict[str, Any] = {record.analysis: record.power for record in simulated.records}
        row["effect"] = effect
        for df in ("z", "satterthwaite", "clusters", "between_within"):
            row[df] = float(design.replace(df=df).power(effect))
        found["wedge_power"][str(clusters)] = row
    return found


if __name__ == "__main__":
    record = {"command": "python tests/power/simulation_study.py", "seed": SEED, "reps": REPS, **study(REPS)}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
