"""From a fit and contrasts of its coefficients to estimates with everything that a reader needs beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from wwc_eval.did.effects import Inference
from wwc_eval.did.guard import guard_warnings
from wwc_eval.did.robust import Robust
from wwc_eval.did.sample import Sample
from wwc_eval.errors import check_number
from wwc_eval.inference.families import Floats

__all__ = ["contrasted", "influence_of", "shared_fields"]


def shared_fields(
    sample: Sample,
    *,
    method: str,
    citation: str,
    n_clusters: int | None,
    scale: str = "coefficient",
    kind: str = "",
) -> dict[str, Any]:
    """Fields that all estimates of a result share; ``kind`` is the covariance."""
    warnings = guard_warnings(sample.panel)
    if _void(sample, kind):
        words = "does not identify the variance of an effect on one treated cluster: no error is given"
        warnings += (f"{kind} {words}.",)
    return {
        "method": method,
        "citation": citation,
        "units": str(sample.panel.columns["outcome"]) if scale == "coefficient" else "",
        "scale": scale,
        "n": sample.n_cells,
        "n_clusters": n_clusters,
        "warnings": warnings,
    }


def _void(sample: Sample, kind: str) -> bool:
    """Whether the one treated cluster is fitted by its own effect, so that nothing tells of its variance."""
    return kind in ("CR2", "CR3") and sample.treated_clusters == 1


def contrasted(
    sample: Sample, robust: Robust, contrasts: Floats, level: float, shared: dict[str, Any]
) -> Inference:
    """Contrasts (K, m) of the coefficients of a fit, without errors where the covariance has none to give."""
    check_number("level", level, above=0, below=1)
    df = [robust.df(contrasts[:, k]) for k in range(contrasts.shape[1])]
    return Inference(
        values=contrasts.T @ robust.fit.beta,
        vcov=contrasts.T @ robust.matrix @ contrasts * (np.nan if _void(sample, robust.kind) else 1.0),
        df=np.array(df),
        level=level,
        shared=shared,
    )


def influence_of(robust: Robust, contrasts: Floats) -> Floats | None:
    """What each cluster adds to contrasts (K, m), where errors are clustered."""
    return None if robust.influence is None else np.asarray(robust.influence @ contrasts)
