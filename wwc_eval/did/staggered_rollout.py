"""The units of a staggered roll-out that its estimator uses: complete, in cohorts of two and more, counted once each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.masks import whole_again
from wwc_eval.did.panel import Panel
from wwc_eval.did.sample import Sample, need_panel, sample_of
from wwc_eval.errors import DesignError
from wwc_eval.inference.families import Floats

__all__ = ["Rollout", "rollout_of"]

Ints = NDArray[np.int64]
NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Outcomes by cohort, in the paper's terms: G cohorts of N_g units over T periods.

    Parameters
    ----------
    sample : Sample
        Cells in use: every unit has all of them.
    starts : ndarray, shape (G,)
        Regular index of each cohort's first treated period, ascending; the last cohort is the one never treated
        (infinity), or that which is treated last and serves as comparison.
    member : ndarray of int, shape (n,)
        Cohort of each unit.
    notes : tuple of str
        What was left out, and why.
    left_out : tuple of str
        Names of the units left out.
    """

    sample: Sample
    starts: Floats
    member: NDArray[np.intp]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]

    @cached_property
    def sizes(self) -> Floats:
        """N_g: units of each cohort, shape (G,)."""
        return np.bincount(self.member, minlength=len(self.starts)).astype(np.float64)

    @cached_property
    def times(self) -> Ints:
        """Regular index of the periods, shape (T,)."""
        return self.sample.times

    @cached_property
    def centred(self) -> Floats:
        """Outcomes less the mean of their period, shape (n, T): no contrast between cohorts is changed by it."""
        outcomes = self.sample.outcomes
        return np.asarray(outcomes - outcomes.mean(axis=0))

    @cached_property
    def means(self) -> Floats:
        """Mean of each cohort in each period, periods centred, shape (G, T)."""
        return np.stack([self.centred[self.member == g].mean(axis=0) for g in range(len(self.starts))])

    @cached_property
    def deviations(self) -> tuple[Floats, ...]:
        """Outcomes less the mean of their cohort and period, one array (N_g, T) a cohort."""
        return tuple(self.centred[self.member == g] - self.means[g] for g in range(len(self.starts)))

    @cached_property
    def covariances(self) -> Floats:
        """S_g: covariance of the outcomes of each cohort over units, shape (G, T, T)."""
        return np.stack([part.T @ part / (len(part) - 1.0) for part in self.deviations])

    def label(self, cohort: int) -> Any:
        """Label of a treated cohort's first period."""
        return self.sample.label(self.column(cohort))

    def column(self, cohort: int) -> int:
        """Position among the periods kept of a treated cohort's first period."""
        return int(self.sample.cohorts[cohort])

    def base(self, cohort: int, anticipation: int) -> int | None:
        """Position of the last period before a cohort's effect may begin, None where there is none."""
        before = np.flatnonzero(self.times < self.starts[cohort] - anticipation)
        return int(before[-1]) if before.size else None


def rollout_of(panel: Panel) -> Rollout:
    """What the efficient estimator uses of a panel.

    Raises
    ------
    DesignError
        For cross-sections, clusters of several units and weights; and where no cohort of two units is left to be compared.
    """
    what = "staggered"
    need_panel(panel, what)
    panel.need_units(what)
    if panel.n_clusters < panel.n_units:
        raise DesignError(
            f"the panel has {panel.n_units:,} units in {panel.n_clusters:,} clusters, and staggered takes units that were drawn "
            "one by one",
            rule="the errors are those of the draw, so what was drawn is the unit",
            fix="make the panel of cluster means: one row a cluster and period, without cluster=",
        )
    if panel.cell_weights is not None or float(np.ptp(panel.weights)) > 0:
        raise DesignError(
            "the panel has weights, and staggered counts every unit once",
            rule="the errors are those of the draw, in which each unit had one ticket",
            fix="leave weights= out of the panel; callaway_santanna and imputation take weights",
        )
    notes: list[str] = []
    everyone = {str(unit) for unit in panel.units}
    if panel.exposures is not None:
        notes.append("Each unit's rate counts once, whatever its exposure.")
    always = panel.adopted == 0
    if always.any():
        panel = _without(panel, always, notes, "treated in every period left out: no period before treatment")
    gaps = np.asarray(~panel.observed.all(axis=1))
    if gaps.all():
        raise DesignError(
            "no unit has an outcome in every period, as staggered needs",
            fix=_whole(panel),
        )
    if gaps.any():
        whole = _without(panel, gaps, notes, "without an outcome in some period left out")
        if not (whole.adopted < whole.n_periods).any() and (panel.adopted < panel.n_periods).any():
            raise DesignError(
                "no treated unit has an outcome in every period, as staggered needs",
                fix=_whole(panel),
            )
        panel = whole
    panel = _without_singles(panel, notes)
    sample = sample_of(panel, what, until_last=True)
    first = panel.times[np.minimum(panel.adopted, panel.n_periods - 1)]
    start = np.where(panel.adopted < panel.n_periods, first, np.inf)[sample.rows]
    starts, member = np.unique(start, return_inverse=True)
    return Rollout(
        sample=sample,
        starts=starts,
        member=member.reshape(-1),
        notes=(*notes, *sample.notes),
        left_out=tuple(sorted(everyone - {str(unit) for unit in panel.units})),
    )


def _without(panel: Panel, which: NDArray[np.bool_], notes: list[str], why: str) -> Panel:
    """The panel without some units, which the notes name."""
    count = int(which.sum())
    names = [str(unit) for unit in panel.units[which][:NAMED]] + (["..."] if count > NAMED else [])
    notes.append(f"{count:,} unit{'s' * (count > 1)} ({', '.join(names)}) {why}.")
    return panel.without(panel.units[which].tolist()) if count < panel.n_units else _nothing_left()


def _whole(panel: Panel) -> str:
    """How to have units with every cell."""
    usual = "take out periods with gaps: mask_periods, panel.between(...)"
    if whole_again(panel, usual) == usual:
        return usual
    return "take the panel before mask_periods, and staggered(panel, anticipation=k)"


def _nothing_left() -> Panel:
    raise DesignError(
        "no unit is left that staggered could compare",
        fix="look at panel.timing(); it needs units seen before treatment, in cohorts of two and more",
    )


def _without_singles(panel: Panel, notes: list[str]) -> Panel:
    """The panel without cohorts of one unit, whose variance cannot be estimated."""
    counts = np.bincount(panel.adopted, minlength=panel.n_periods + 1)
    single = counts[panel.adopted] == 1
    if not single.any():
        return panel
    joins = panel.adopted < panel.n_periods
    cohorts = np.unique(panel.adopted[~single])
    if joins.any() and (len(cohorts) < 2 or not (joins & ~single).any()):
        raise DesignError(
            "cohorts of one unit have no variance, and no two larger ones are left to compare",
            rule="the efficient estimator weighs each cohort by its variance over units",
            fix="judge the roll-out by its permutations: we.did.few_treated(panel, methods=('permutation',), allocation=...)",
        )
    return _without(panel, single, notes, "alone in a cohort left out: one unit has no variance")
