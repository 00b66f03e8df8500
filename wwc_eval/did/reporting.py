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


SOME, MOSTLY = 1e-6, 0.5
"""Share of a contrast fitted exactly that is said, and that leaves no error to give."""


def shared_fields(
    sample: Sample, *, method: str, citation: str, n_clusters: int | None, scale: str = "coefficient"
) -> dict[str, Any]:
    """Fields that all estimates of a result share."""
    return {
        "method": method,
        "citation": citation,
        "units": sample.panel.measure if scale == "coefficient" else "",
        "scale": scale,
        "n": sample.n_cells,
        "n_clusters": n_clusters,
        "warnings": guard_warnings(sample.panel),
    }


def contrasted(robust: Robust, contrasts: Floats, level: float, shared: dict[str, Any]) -> Inference:
    """Contrasts (K, m) of the coefficients of a fit, without errors where CR2 or CR3 has none to give."""
    check_number("level", level, above=0, below=1)
    columns = range(contrasts.shape[1])
    vcov = contrasts.T @ robust.matrix @ contrasts
    exact = np.array([robust.exact_share(contrasts[:, k]) for k in columns])
    void = exact > MOSTLY
    start = f"{robust.kind} takes nothing for clusters that are fitted exactly, such as the only one of its cohort"
    cautions = {
        k: f"{start}: " + ("no error is given." if void[k] else f"they are {100 * exact[k]:.0f}% of the variance.")
        for k in columns
        if exact[k] > SOME
    }
    return Inference(
        values=contrasts.T @ robust.fit.beta,
        vcov=np.where(void[:, None] | void, np.nan, vcov),
        df=np.array([robust.df(contrasts[:, k]) for k in columns]),
        level=level,
        shared=shared,
        cautions=cautions,
    )


def influence_of(robust: Robust, contrasts: Floats) -> Floats | None:
    """What each cluster adds to contrasts (K, m), where errors are clustered."""
    return None if robust.influence is None else np.asarray(robust.influence @ contrasts)
