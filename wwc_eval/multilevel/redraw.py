"""The same model for clusters drawn with replacement, as a whole new fit: one drawn twice is two clusters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.formula.terms import Call
from wwc_eval.inference.clusters import Clusters
from wwc_eval.inference.resampling import copies
from wwc_eval.multilevel.engine.structure import Array, Index, nests
from wwc_eval.multilevel.reading import ModelData

if TYPE_CHECKING:
    from wwc_eval.multilevel.generalised.fit import GeneralisedFit
    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["copied_data", "redrawn_generalised", "redrawn_linear"]


def redrawn_linear(fit: LinearFit, counts: Array, clusters: Clusters) -> LinearFit:
    """A linear mixed model of the rows of clusters that were drawn.

    Parameters
    ----------
    fit : LinearFit
        The model.
    counts : ndarray, shape (G,)
        How often each cluster was drawn.
    clusters : Clusters
        Cluster of each row used; clusters hold whole groups of every factor.

    Raises
    ------
    DesignError
        If clusters cut through groups, or random slopes are centred or scaled by the rows.
    """
    from wwc_eval.multilevel.core import LinearCore
    from wwc_eval.multilevel.model import solution_of

    data = copied_data(fit.data, *_drawn(fit.data, counts, clusters), clusters.name)
    core = LinearCore(solution_of(data, reml=fit.method == "reml"))
    return replace(fit, data=data, core=core, inference_kind="wald", clusters=None)


def redrawn_generalised(fit: GeneralisedFit, counts: Array, clusters: Clusters) -> GeneralisedFit:
    """A generalised mixed model of the rows of clusters that were drawn; see :func:`redrawn_linear`."""
    from wwc_eval.multilevel.generalised.solve import solve

    rows, copy = _drawn(fit.data, counts, clusters)
    data = copied_data(fit.data, rows, copy, clusters.name)
    sample = fit.core.sample
    again = replace(
        sample,
        y=sample.y[rows],
        trials=sample.trials[rows],
        exposure=sample.exposure[rows],
        weights=sample.weights[rows],
        X=sample.X[rows],
        groupings=data.groupings,
    )
    return replace(fit, data=data, core=solve(again, fit.core.points))


def copied_data(data: ModelData, rows: Index, copy: Index, cluster: str) -> ModelData:
    """Rows of a model, copied; groups of different copies are different groups.

    Parameters
    ----------
    data : ModelData
        The model's rows.
    rows, copy : ndarrays of int
        Positions of the rows taken, and the copy that each belongs to.
    cluster : str
        Column of the clusters, which in the copied source tells the copies apart.
    """
    groupings = []
    for grouping in data.groupings:
        used, codes = np.unique(copy * grouping.n_groups + grouping.codes[rows], return_inverse=True)
        labels = tuple(str(value) for value in used)
        groupings.append(replace(grouping, codes=codes.astype(np.intp), labels=labels, Z=grouping.Z[rows]))

    def of(values: Array | None) -> Array | None:
        return None if values is None else values[rows]

    design = data.design
    source = data.source.iloc[data.rows[rows]].reset_index(drop=True)
    if cluster in source.columns and cluster not in {name for term in data.formula.fixed for name in term.columns}:
        source = source.assign(**{cluster: copy})
    again = replace(
        design,
        X=design.X[rows],
        outcome=of(design.outcome),
        trials=of(design.trials),
        rows=np.arange(len(rows)),
        dropped={},
    )
    return replace(
        data,
        design=again,
        groupings=tuple(groupings),
        source=source,
        weights=of(data.weights),
        exposure=of(data.exposure),
    )


def _drawn(data: ModelData, counts: Array, clusters: Clusters) -> tuple[Index, Index]:
    for grouping in data.groupings:
        if not nests(grouping.codes, clusters.codes, grouping.n_groups):
            raise DesignError(
                f"groups of '{grouping.name}' lie in several clusters of '{clusters.name}'",
                fix="draw clusters that hold whole groups of every factor, or use draw='parametric'",
            )
    centred = [
        part.text
        for term in data.formula.random
        for slope in term.slopes
        for part in slope.factors
        if isinstance(part, Call) and part.function in ("centre", "scale", "poly")
    ]
    if centred:
        raise DesignError(
            f"the random slope of {centred[0]} is centred by the rows, which a draw would change",
            fix="use draw='parametric', or make the column in the data",
        )
    return copies(counts, clusters.codes)
