"""The efficient estimator of Roth and Sant'Anna, for a roll-out whose order was drawn by lot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did.effects import DidResult, EffectEstimates, Inference
from wwc_eval.did.few_permutation import p_words
from wwc_eval.did.guard import guard_aside
from wwc_eval.did.panel import Panel
from wwc_eval.did.reporting import shared_fields
from wwc_eval.did.staggered_errors import FIXED, Solved, gains_of, solve, solve_cells
from wwc_eval.did.staggered_fisher import Fisher, fisher, need_few_cohorts
from wwc_eval.did.staggered_guard import beside_cells, beside_targets
from wwc_eval.did.staggered_rollout import Rollout, rollout_of
from wwc_eval.did.staggered_targets import ADJUSTMENTS, ESTIMANDS, Cells, Targets, cells_of, targets_of
from wwc_eval.errors import DesignError, check_choice, check_number, shown
from wwc_eval.inference.families import Floats

if TYPE_CHECKING:
    from wwc_eval.data.samples.draws import Seed

__all__ = ["staggered"]

CITATION = "Roth and Sant'Anna 2023, doi:10.1086/726581"
ERRORS = ("neyman", "adjusted")
DFS = ("satterthwaite", "normal")
DRAWS, FEWEST_DRAWS, FREE = 9_999, 19, 15
NAMES = {
    "efficient": "Efficient estimator of Roth and Sant'Anna for drawn timing",
    "callaway_santanna": "Callaway and Sant'Anna's estimator (beta = 1) for drawn timing, compared with those not treated yet",
    "sun_abraham": "Sun and Abraham's estimator (beta = 1) for drawn timing, compared with those treated last or never",
    "difference_in_means": "Difference in means (beta = 0) for drawn timing, compared with those not treated yet",
}
THIN = (
    "a cohort has hardly more units than there are periods before treatment: the adjusted error is far too small "
    "(errors='neyman' is not)"
)
FEW_UNITS = "beta* rests on few units, and its error on fewer: give draws= for the randomisation test, or name a beta with adjustment="
UNFAIR = (
    "before treatment those treated early and late differ by more than a draw would make them (X-hat, {}): where "
    "timing was not drawn this is no estimate of the effect, and callaway_santanna or imputation may be"
)
SURPRISE = 0.01
OUTSIDE = "{:,} units took no part in the lottery, which cannot vouch for comparisons with them: leave them out with panel.without"
NO_ERROR = "outcomes before treatment explain more than the whole variance, as in cohorts of few units: no adjusted error is given"


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """The options of a call, checked."""

    estimand: str
    adjustment: str
    errors: str
    df: str
    anticipation: int
    draws: int
    rng: Seed | None
    allocation: Any
    level: float
    tested: bool


def staggered(
    panel: Panel,
    *,
    estimand: str = "simple",
    adjustment: str = "efficient",
    errors: str = "neyman",
    df: str = "satterthwaite",
    anticipation: int = 0,
    draws: int | None = None,
    rng: Seed | None = None,
    allocation: Any = None,
    level: float = 0.95,
) -> DidResult:
    """Effect of a programme whose roll-out was drawn by lot, with the smallest variance that earlier outcomes allow.

    Where chance decides who begins when, those not treated yet are a fair comparison without parallel trends (where nobody is
    affected before its own start, nor by the start of another), and
    differences before treatment are chance alone: they are taken out as far as they foretell the differences after it.
    Formula: ``theta-hat = theta-hat_0 - beta X-hat``; theta-hat_0 averages ``mean(Y_t | g) - mean(Y_t | not treated at t)``
    over cohorts g and periods t, X-hat the same differences in the last period before g, and
    ``beta* = Var(X-hat)^-1 Cov(X-hat, theta-hat_0)``. Difference-in-differences takes beta = 1, right or wrong.

    Parameters
    ----------
    panel : Panel
        Units by period, each with an outcome in every period, counted once each. Left out, and said in ``notes``: units
        without an outcome in some period, units treated in every period, and units alone in a cohort, whose variance cannot
        be estimated. Without units never treated the last cohort is the comparison, and periods from its start on go.
    estimand : {"simple", "cohort", "calendar", "event"}
        Average that ``overall`` is: over treated cohorts and periods by units; over cohorts by units, each of its periods
        alike; over calendar periods; over events from treatment on.
    adjustment : {"efficient", "callaway_santanna", "sun_abraham", "difference_in_means"}
        beta: beta*; 1; 1 with those treated last or never as the only comparison; 0.
    errors : {"neyman", "adjusted"}
        Neyman's ``sum_g A_g S_g A_g' / N_g``, too large where effects differ between units; or, as R's ``staggered`` gives
        first, less what outcomes before treatment explain of such differences: far too small unless cohorts have many times
        more units than there are such periods. Both stand in ``details``; cells by cohort and period have Neyman's.
    df : {"satterthwaite", "normal"}
        Welch and Satterthwaite's from the cohorts' variances, or the normal distribution, as R's ``staggered``.
    anticipation : int
        Periods before treatment in which an effect is allowed: X-hat is taken before them, and units that are so near their
        own treatment are not compared with.
    draws : int, optional
        Permutations of the dates of treatment for Fisher's randomisation test, where there are too many to list: the estimate
        over Neyman's error is compared. No test without ``draws``, ``rng`` or ``allocation``; 9,999 where one of the others is
        given alone. With fewer than five treated, and in rows of fewer, it is made in any case, of draws seeded by the data,
        and is ``permutation_p``; of ``cells`` that of the cell's own difference, beta held.
    rng : int, Generator or SeedSequence, optional
        Needed where permutations are drawn.
    allocation : Allocation, optional
        The lottery that decided the roll-out: permutations are then those that it permitted.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DidResult
        ``estimates`` by event, or by ``cohort`` or ``period`` of these estimands; ``by_cohort``, ``cells``; ``path`` of
        events, without that of X-hat unless beta is 0. ``details`` of each: ``beta``, ``theta_zero``, ``x_hat`` with
        ``x_hat_se`` and ``x_hat_p`` (whether those drawn early differ before treatment from those drawn late), ``se_neyman``,
        ``se_adjusted``, and ``randomisation_p`` where it was asked for.

    Raises
    ------
    DesignError
        For cross-sections, weights, and clusters of several units, which make the draw another one; where fewer than two
        cohorts of two units are left; where ``rng`` is missing and permutations are drawn.

    References
    ----------
    Roth and Sant'Anna 2023, doi:10.1086/726581; Callaway and Sant'Anna 2021, doi:10.1016/j.jeconom.2020.12.001; Sun and
    Abraham 2021, doi:10.1016/j.jeconom.2020.09.006; Satterthwaite 1946, doi:10.2307/3002019.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(5)
    >>> start = rng.permutation(np.repeat([4, 6, 0], 20))
    >>> rows = [(la, t, 0.1 * la + rng.normal() - 2.0 * (0 < start[la] <= t)) for la in range(60) for t in range(1, 9)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(start=lambda d: start[d.la])
    >>> result = staggered(Panel(data, unit="la", period="year", outcome="rate", cohort="start"), draws=999, rng=1)
    >>> round(result.overall.estimate, 1), result.overall.details["randomisation_p"]
    (-1.7, 0.001)
    """
    asked = _asked(
        _Asked(
            estimand=estimand, adjustment=adjustment, errors=errors, df=df, anticipation=anticipation,
            draws=DRAWS if draws is None else draws, rng=rng, allocation=allocation, level=level,
            tested=draws is not None or rng is not None or allocation is not None,
        )
    )  # fmt: skip
    rollout = rollout_of(panel)
    if asked.tested:
        need_few_cohorts(rollout)
    cells = cells_of(rollout, adjustment, anticipation)
    targets = targets_of(cells, estimand)
    solved = solve(rollout, targets.theta, targets.zero, adjustment)
    test = None
    if asked.tested:
        test = fisher(
            rollout, targets.theta, targets.zero, adjustment, draws=asked.draws, rng=rng, allocation=allocation
        )
    return _result(asked, cells, targets, solved, test)


def _asked(asked: _Asked) -> _Asked:
    """The options, or an error."""
    check_choice("estimand", asked.estimand, ESTIMANDS)
    check_choice("adjustment", asked.adjustment, ADJUSTMENTS)
    check_choice("errors", asked.errors, ERRORS)
    check_choice("df", asked.df, DFS)
    check_number("level", asked.level, above=0, below=1)
    for name, value, least in (("anticipation", asked.anticipation, 0), ("draws", asked.draws, FEWEST_DRAWS)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise DesignError(f"{name} == {shown(value)}, must be a whole number of at least {least}")
    return asked


def _result(asked: _Asked, cells: Cells, targets: Targets, solved: Solved, test: Fisher | None) -> DidResult:
    """The result of estimates in order: overall, rows, cohorts."""
    rollout, joint = cells.rollout, targets.joint
    gains, thin = gains_of(rollout, targets, asked.anticipation)
    influence = solved.influence(rollout, joint)
    neyman = np.zeros_like(gains)
    neyman[:joint, :joint] = influence.T @ influence
    np.fill_diagonal(neyman, solved.variances)
    vcov = neyman if asked.errors == "neyman" else neyman - gains
    void = np.diag(vcov) <= 0 if asked.errors == "adjusted" else np.zeros(len(vcov), dtype=bool)
    vcov = np.where(void[:, None] | void, np.nan, vcov)
    details = [
        _details(solved, gains, k) | ({} if test is None else test.details(k)) for k in range(len(targets.keys))
    ]
    shared = _shared(asked, rollout, solved, _cautions(asked, rollout, details[0], test, thin=thin))
    found = Inference(
        values=solved.estimates,
        vcov=vcov,
        df=_df(asked, solved.df),
        level=asked.level,
        shared=shared,
        cautions={int(k): NO_ERROR for k in np.flatnonzero(void)},
    )
    terms = _terms(targets.keys)
    items = [found.one(k, terms[k], **details[k]) for k in range(len(terms))]
    few = beside_targets(rollout, targets, asked.adjustment, test)
    where = {"cohort": "in this cohort", "calendar": "in this period"}.get(asked.estimand, "at this event")
    rows = EffectEstimates(few.rows(items[1:joint], 1, where), targets.keys[1:joint], title=str(shared["method"]))
    events = [key["event"] for key in rows.keys if "event" in key]
    # where beta is not 1, effects are relative to no one event, which sensitivity to trends would need
    reference = -1 - asked.anticipation if FIXED.get(asked.adjustment) == 1.0 else None
    indices = list(range(1, joint))
    return DidResult(
        method=str(shared["method"]),
        overall=few.overall(
            items[0].replace(
                term="mean effect on the treated", details={**items[0].details, "weights": targets.words}
            )
        ),
        estimates=rows,
        path=found.path(indices, events, reference) if events else None,
        panel=rollout.sample.panel,
        cells=_cells_table(asked, cells, shared),
        by_cohort=EffectEstimates(few.rows(items[joint:], joint, "in this cohort"), targets.keys[joint:]),
        influence=influence if asked.errors == "neyman" else None,
        notes=_notes(cells, items[0].details, test, few.note(terms)),
        own_test=True,
    )


def _cautions(
    asked: _Asked, rollout: Rollout, overall: Mapping[str, Any], test: Fisher | None, *, thin: bool
) -> list[str]:
    """What must be said of all estimates."""
    said = [THIN] if thin and asked.errors == "adjusted" else []
    if asked.adjustment == "efficient" and len(rollout.member) - len(rollout.starts) < FREE:
        said.append(FEW_UNITS)
    if FIXED.get(asked.adjustment) != 1.0 and overall["x_hat_p"] < SURPRISE:
        said.append(UNFAIR.format(p_words(overall["x_hat_p"])))
    if test is not None and test.outside:
        said.append(OUTSIDE.format(test.outside))
    return said


def _shared(asked: _Asked, rollout: Rollout, solved: Solved, warnings: Sequence[str]) -> dict[str, Any]:
    """Fields that all estimates share."""
    beta = f", beta* = {solved.beta[0]:.2f}" if asked.adjustment == "efficient" else ""
    kind = "Neyman's conservative errors" if asked.errors == "neyman" else "errors adjusted by earlier outcomes"
    law = "Satterthwaite df" if asked.df == "satterthwaite" else "normal distribution"
    allowed = f", anticipation of {asked.anticipation}" if asked.anticipation else ""
    method = f"{NAMES[asked.adjustment]}{beta}{allowed}; {kind}, {law}"
    # the guard's permutation is of differences in differences, which these effects are not
    with guard_aside():
        shared = shared_fields(rollout.sample, method=method, citation=CITATION, n_clusters=len(rollout.member))
    return {**shared, "warnings": (*shared["warnings"], *warnings)}


def _df(asked: _Asked, found: Floats) -> Floats:
    return found if asked.df == "satterthwaite" else np.full(len(found), math.inf)


def _details(solved: Solved, gains: Floats, k: int) -> dict[str, Any]:
    """What the paper names, of one estimate."""
    from scipy.special import stdtr

    x_se = math.sqrt(max(float(solved.x_variance[k]), 0.0))
    left = float(solved.variances[k] - gains[k, k])
    return {
        "beta": float(solved.beta[k]),
        "theta_zero": float(solved.theta_zero[k]),
        "x_hat": float(solved.x_hat[k]),
        "x_hat_se": x_se,
        "x_hat_p": float(2.0 * stdtr(solved.x_df[k], -abs(solved.x_hat[k]) / x_se)) if x_se > 0 else math.nan,
        "se_neyman": math.sqrt(max(float(solved.variances[k]), 0.0)),
        "se_adjusted": math.sqrt(left) if left > 0 else math.nan,
    }


def _terms(keys: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names: ``event[2]``, ``cohort[2019]``, ``cohort[2019] period[2021]``."""
    return [" ".join(f"{name}[{key[name]}]" for name in key if name != "event" or len(key) == 1) for key in keys]


def _cells_table(asked: _Asked, cells: Cells, shared: Mapping[str, Any]) -> EffectEstimates:
    """Effects by cohort and period, with Neyman's errors."""
    values, variances, df, beta = solve_cells(cells, asked.adjustment)
    keys, law = cells.keys, _df(asked, df)
    terms, items = _terms(keys), []
    for cohort in np.unique(cells.cohort):
        # a cohort at a time: a covariance of all cells would be as large as it is empty
        here = np.flatnonzero(cells.cohort == cohort)
        found = Inference(
            values=values[here], vcov=np.diag(variances[here]), df=law[here], level=asked.level, shared=shared
        )
        items += [found.one(k, terms[place]) for k, place in enumerate(here.tolist())]
    return EffectEstimates(beside_cells(items, cells, beta), keys, title=str(shared["method"]))


def _notes(cells: Cells, details: Mapping[str, Any], test: Fisher | None, thin: str) -> tuple[str, ...]:
    """What was left out, how units differed before treatment, the randomisation test, and rows of few treated."""
    notes = [
        *cells.rollout.notes,
        "It rests on timing that was drawn by lot, or as good as; trends need not be parallel.",
    ]
    if cells.unadjusted:
        named = ", ".join(str(label) for label in cells.unadjusted[:3])
        notes.append(
            f"No period before the effect of cohort {named} may begin: not adjusted, or left out where beta is 1."
        )
    if math.isfinite(details["x_hat_p"]):
        notes.append(
            f"Before treatment those drawn early and late differ by {details['x_hat']:.3g} ({p_words(details['x_hat_p'])})."
        )
    if test is not None:
        notes.append(
            f"Fisher's randomisation test, estimate over Neyman's error, {test.reference.words}: "
            f"{p_words(details['randomisation_p'])}."
        )
        if test.reference.smallest > 0.05:
            notes.append(f"No result could reach p < 0.05: the smallest p is {test.reference.smallest:.3f}.")
    return (*notes, thin) if thin else tuple(notes)
