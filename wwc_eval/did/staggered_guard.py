"""What stands beside the errors of a drawn roll-out where fewer than five are treated: randomisation tests of the same effects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wwc_eval.did.few_counts import FEW, FEWER, treated_clusters
from wwc_eval.did.few_permutation import p_words
from wwc_eval.did.guard import CELL_DRAWS, aside, beside, reference_draws, seed_of
from wwc_eval.did.guard_cells import choices, shares
from wwc_eval.did.panel_faults import listed
from wwc_eval.did.staggered_fisher import Fisher, fisher
from wwc_eval.did.staggered_rollout import Rollout
from wwc_eval.did.staggered_targets import Cells, Targets
from wwc_eval.errors import DesignError
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats

__all__ = ["Beside", "beside_cells", "beside_targets"]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Randomisation tests of the targets that few are treated in.

    Parameters
    ----------
    p_values : dict
        By position of the target; missing where there is none.
    treated : ndarray, shape (m,)
        Units treated in each target.
    words : str
        What was reassigned.
    """

    p_values: dict[int, float]
    treated: Floats
    words: str

    def overall(self, estimate: Estimate) -> Estimate:
        """The overall effect with its test, and the sentence of the guard."""
        if 0 not in self.p_values:
            return estimate
        p = self.p_values[0]
        said = (
            f"{treated_clusters(int(self.treated[0]))}: conventional errors are far too small with so few; randomisation test "
            f"of this effect over its error, {self.words}: {p_words(p)}"
        )
        return beside(estimate.replace(warnings=(*estimate.warnings, said)), p, "in all")

    def note(self, terms: Sequence[str]) -> str:
        """Which rows few are treated in, where more are in all."""
        thin = [terms[k] for k in self.p_values if k]
        if not thin or 0 in self.p_values:
            return ""
        return (
            f"{FEWER.capitalize()} are behind {listed(list(dict.fromkeys(thin)), most=12)}: conventional errors there are too "
            "small; the p of a randomisation test stands beside them."
        )

    def rows(self, items: Sequence[Estimate], first: int, where: str) -> list[Estimate]:
        """Targets from one on, each with its test."""
        return [
            beside(item, self.p_values[k], where) if k in self.p_values else item
            for k, item in enumerate(items, start=first)
        ]


def beside_targets(rollout: Rollout, targets: Targets, adjustment: str, test: Fisher | None) -> Beside:
    """The test of each target that fewer than five are treated in: Fisher's, of the effect itself.

    That which was asked for, or one whose draws are seeded by the data: dates change hands among all units.

    Parameters
    ----------
    rollout, targets, adjustment
        As in :func:`~wwc_eval.did.staggered`.
    test : Fisher or None
        The test that was asked for, of all targets.
    """
    few = np.flatnonzero(targets.treated < FEW)
    if aside() or not few.size:
        return Beside(p_values={}, treated=targets.treated, words="")
    if test is None:
        panel = rollout.sample.panel
        draws = reference_draws(panel) if few[0] == 0 else CELL_DRAWS
        try:
            test = fisher(
                rollout, targets.theta[few], targets.zero[few], adjustment,
                draws=draws, rng=seed_of(panel), allocation=None,
            )  # fmt: skip
        except DesignError:
            return Beside(p_values=dict.fromkeys(few.tolist(), math.nan), treated=targets.treated, words="")
        found = test.p_values
    else:
        found = test.p_values[few]
    p_values = dict(zip(few.tolist(), found.tolist(), strict=True))
    return Beside(p_values=p_values, treated=targets.treated, words=test.reference.words)


def beside_cells(items: Sequence[Estimate], cells: Cells, beta: Floats) -> list[Estimate]:
    """Effects by cohort and period; with a permutation beside those on a cohort of fewer than five.

    The units of the cohort change places with those that they are compared with: ``|mean of Y_t - beta Y_base of so many less
    that of the rest|`` is compared with the actual one, beta held.

    Parameters
    ----------
    items : sequence of Estimate
        The effects.
    cells : Cells
        Cohorts and periods.
    beta : ndarray, shape (K,)
        Coefficient of the outcome before treatment in each.
    """
    rollout = cells.rollout
    thin = np.flatnonzero(rollout.sizes[cells.cohort] < FEW)
    if aside() or not thin.size:
        return list(items)
    together: dict[tuple[int, bytes], list[int]] = {}
    for k in thin.tolist():
        together.setdefault((int(cells.cohort[k]), (cells.shares[k] > 0).tobytes()), []).append(k)
    source = seed_of(rollout.sample.panel)
    found: dict[int, float] = {}
    for (cohort, compared), effects in together.items():
        mine = np.flatnonzero(rollout.member == cohort)
        rest = np.flatnonzero(np.frombuffer(compared, dtype=bool)[rollout.member])
        used = np.concatenate([mine, rest])
        outcomes = rollout.centred[used]
        adjusted = beta[effects] * np.where(cells.base[effects] >= 0, outcomes[:, cells.base[effects]], 0.0)
        values = outcomes[:, cells.column[effects]] - adjusted
        picks, exact = choices(len(mine), len(used), source)
        found |= dict(zip(effects, shares(values, np.ones(len(used)), picks, exact=exact), strict=True))
    where = "in this cohort and period"
    return [beside(item, found[k], where) if k in found else item for k, item in enumerate(items)]
