"""How large a pilot: the field's rules of thumb side by side, with what each is for."""

from __future__ import annotations

import math
from typing import Any

from scipy import special

from wwc_eval.errors import DesignError, check_number
from wwc_eval.table import Column, Table

__all__ = ["WHITEHEAD", "pilot_sizes", "problem_size", "share_of_main"]

# participants an arm of the pilot, for main trials of 90% and 80% power, by the main trial's standardised effect
WHITEHEAD = {
    0.9: ((0.1, 75), (0.3, 25), (0.7, 15), (math.inf, 10)),
    0.8: ((0.1, 50), (0.3, 20), (0.7, 10), (math.inf, 10)),
}


def problem_size(share: float, confidence: float = 0.95) -> int:
    """Participants needed to see at least once, with the confidence, a problem that a share of them has.

    Formula: ln(1 - confidence) / ln(1 - share), rounded up. Source: Viechtbauer and others 2015,
    doi:10.1016/j.jclinepi.2015.04.014.

    Examples
    --------
    >>> problem_size(0.05)
    59
    """
    p = check_number("share", share, above=0, below=1)
    sure = check_number("confidence", confidence, above=0, below=1)
    return math.ceil(math.log1p(-sure) / math.log1p(-p))


def share_of_main(*, power: float = 0.8, alpha: float = 0.05, confidence: float = 0.8) -> float:
    """Pilot as a share of the main trial, so that a one-sided interval about no effect would exclude the effect sought.

    Formula: z(confidence)^2 / (z(1 - alpha / 2) + z(power))^2. Source: Cocks and Torgerson 2013,
    doi:10.1016/j.jclinepi.2012.09.002.

    Examples
    --------
    >>> round(share_of_main(), 3)
    0.09
    """
    target = check_number("power", power, above=0, below=1)
    error = check_number("alpha", alpha, above=0, below=1)
    sure = check_number("confidence", confidence, above=0.5, below=1)
    z = [float(special.ndtri(each)) for each in (sure, 1.0 - error / 2.0, target)]
    return (z[0] / (z[1] + z[2])) ** 2


def pilot_sizes(
    *,
    effect: float | None = None,
    main_trial: int | None = None,
    power: float = 0.9,
    problem_share: float = 0.05,
    clustered: bool = False,
) -> Table:
    """Sizes of a pilot by each rule, with what the rule is for and whether it fits.

    Parameters
    ----------
    effect : float, optional
        Standardised effect that the main trial looks for (SD units); needed for Whitehead's sizes.
    main_trial : int, optional
        Participants of the main trial; needed for Cocks and Torgerson's share.
    power : {0.8, 0.9}
        Power of the main trial.
    problem_share : float
        Share of participants who would meet a problem that the pilot should not miss.
    clustered : bool
        Whether the main trial is randomised by cluster: rules for an SD then say little, and the table says so.

    Returns
    -------
    Table
        ``rule, for_what, n, source, fits``; ``n`` in all.

    Examples
    --------
    >>> table = pilot_sizes(effect=0.25, main_trial=680)
    >>> {row["rule"]: row["n"] for row in table.to_dicts()}["Cocks and Torgerson"]
    46
    """
    target = check_number("power", power, above=0, below=1)
    if target not in WHITEHEAD:
        raise DesignError(f"power == {target:g}, must be 0.8 or 0.9", fix="use 0.8 or 0.9")
    sd = "estimates an SD, not one between clusters" if clustered else "for the SD of a continuous outcome"
    rows = _whatever_the_trial(sd, problem_share, clustered=clustered)
    if effect is not None:
        size = abs(check_number("effect", effect))
        an_arm = next(n for limit, n in WHITEHEAD[target] if size < limit)
        rows.append(
            {
                "rule": "Whitehead",
                "for_what": f"SD, for a main trial of {100 * target:g}% power and effect {size:g}",
                "n": 2 * an_arm,
                "source": "doi:10.1177/0962280215588241",
                "fits": sd,
            }
        )
    if main_trial is not None:
        whole = check_number("main_trial", main_trial, at_least=2)
        an_alpha = share_of_main(power=target)
        share = share_of_main()
        rows.append(
            {
                "rule": "Cocks and Torgerson",
                "for_what": f"to rule out a hopeless programme: {100 * (an_alpha if target == 0.9 else share):.0f}% of the main trial",
                "n": math.ceil(whole * (an_alpha if target == 0.9 else share)),
                "source": "doi:10.1016/j.jclinepi.2012.09.002",
                "fits": "for promise, without a test of effect",
            }
        )
    columns = [
        Column(name="rule"),
        Column(name="for_what", label="for what"),
        Column(name="n", label="participants in all", kind="count"),
        Column(name="fits", label="advice"),
        Column(name="source"),
    ]
    notes = [
        "Criteria that decide on progression have exact sizes of their own: see ProgressionCriterion.sample_size()."
    ]
    if clustered:
        notes.append(
            "An ICC from a pilot of a few clusters is nearly uninformative whatever its size: pool it with published ones, and "
            "average power over what stays uncertain."
        )
    return Table(rows, columns, title="Sizes of a pilot by rule of thumb", notes=notes)


def _whatever_the_trial(sd: str, problem_share: float, *, clustered: bool) -> list[dict[str, Any]]:
    """Rules that ask nothing of the main trial; ``sd`` is the advice on those for an SD."""
    check_number("problem_share", problem_share, above=0, below=1)
    return [
        {"rule": "Julious", "for_what": "SD, at least", "n": 24, "source": "doi:10.1002/pst.185", "fits": sd},
        {
            "rule": "Teare",
            "for_what": "SD, with little loss of the main trial's power",
            "n": 70,
            "source": "doi:10.1186/1745-6215-15-264",
            "fits": sd,
        },
        {
            "rule": "Teare, shares",
            "for_what": "a rate of consent, events or loss",
            "n": 120,
            "source": "doi:10.1186/1745-6215-15-264",
            "fits": "for a share" + (", independent participants" if clustered else ""),
        },
        {
            "rule": "Viechtbauer",
            "for_what": f"to see once a problem that {100 * problem_share:g}% have",
            "n": problem_size(problem_share),
            "source": "doi:10.1016/j.jclinepi.2015.04.014",
            "fits": "for feasibility",
        },
    ]
