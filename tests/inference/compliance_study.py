"""Coverage of Anderson-Rubin sets and of two-stage intervals by strength of the instrument: ``python compliance_study.py``.

Local authorities are allocated; fidelity moves with the arm by ``strength`` and is confounded with the outcome.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from wwc_eval.inference.anderson_rubin import anderson_rubin
from wwc_eval.inference.covariance import make_covariance
from wwc_eval.inference.two_stage import reduced_forms, stage_two

EFFECT = 0.5
CASES = ((30, 0.0), (30, 0.2), (30, 0.5), (30, 2.0), (40, 0.2), (12, 0.5), (12, 2.0))


def draw(rng: np.random.Generator, K: int, strength: float, m: int = 20):
    """Outcome, covariates, fidelity, arm and cluster of K local authorities of about m cases."""
    sizes = rng.integers(m // 2, m + m // 2 + 1, K)
    la = np.repeat(np.arange(K), sizes)
    arm = rng.permutation(np.arange(K) % 2)[la].astype(float)
    shared = rng.normal(0, 0.6, K)[la] + rng.normal(size=len(la))
    fidelity = strength * arm + 0.7 * shared + rng.normal(0, 0.6, K)[la] + 0.7 * rng.normal(size=len(la))
    y = EFFECT * fidelity + shared + rng.normal(0, 0.4, K)[la] + rng.normal(size=len(la))
    return y, np.ones((len(la), 1)), fidelity, arm[:, None], la


def coverage(K: int, strength: float, *, repeats: int, seed: int, two_stage: bool = True) -> dict:
    """Shares of sets and intervals that hold the effect, with the median first-stage F."""
    from scipy import special

    rng = np.random.default_rng(seed)
    found = {"anderson_rubin": 0, "unbounded": 0}
    if two_stage:
        found |= {"two_stage_CR1S": 0, "two_stage_CR2": 0}
    strengths = []
    for _ in range(repeats):
        y, X, D, Z, la = draw(rng, K, strength)
        forms = reduced_forms(y, X, D, Z, kind="CR2", codes=la, cluster="la")
        region = anderson_rubin(forms, 0.95)
        found["anderson_rubin"] += EFFECT in region
        found["unbounded"] += not region.bounded
        strengths.append(forms.first.F)
        if not two_stage:
            continue
        beta = np.array([0.0, forms.on_outcome[0] / forms.on_uptake[0]])
        beta[0] = float((y - beta[1] * D).mean())
        kernel = stage_two(beta, y, X, D, Z)
        for kind in ("CR1S", "CR2"):
            covariance = make_covariance(kernel, kind, codes=la, cluster="la")
            contrast = np.array([0.0, 1.0])
            reach = special.stdtrit(covariance.df(contrast), 0.975) * np.sqrt(covariance.variance(contrast))
            found[f"two_stage_{kind}"] += bool(abs(beta[1] - EFFECT) <= reach)
    return {
        "clusters": K,
        "strength": strength,
        "median_F": float(np.median(strengths)),
        **{name: each / repeats for name, each in found.items()},
    }


if __name__ == "__main__":
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    record = {"source": "tests/inference/compliance_study.py", "repeats": repeats, "seed": 2026, "level": 0.95}
    record["cases"] = []
    for K, strength in CASES:
        record["cases"].append(coverage(K, strength, repeats=repeats, seed=2026))
        print(record["cases"][-1], flush=True)
    out = Path(__file__).resolve().parents[1] / "reference" / "compliance_coverage.json"
    out.write_text(json.dumps(record, indent=1) + "\n")
