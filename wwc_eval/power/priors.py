"""Published between-cluster variation that the sector can plan with: few figures, each with its source."""

from __future__ import annotations

from typing import Any

from wwc_eval.power.beliefs import Belief
from wwc_eval.table import Column, Table

__all__ = ["icc_priors", "primary_care_belief"]

_DFE = (
    "Department for Education statistics by local authority, years ending 31 March to 2025 (Local Authority Interactive "
    "Tool); SD between authorities of the log rate less its year's mean"
)
_ROWS: tuple[dict[str, Any], ...] = (
    {
        "cluster": "local authority",
        "outcome": "looked after within 18 months of first referral, ages 12 to 17",
        "measure": "icc",
        "value": 0.00268,
        "low": None,
        "high": None,
        "source": "planning value of the No Wrong Door trial, foundations-pm/sfpc at c5c6ad8 (GitHub)",
    },
    {
        "cluster": "local authority",
        "outcome": "children looked after, rate",
        "measure": "k",
        "value": 0.3993,
        "low": None,
        "high": None,
        "source": f"{_DFE}, 145 authorities",
    },
    {
        "cluster": "local authority",
        "outcome": "children starting to be looked after, rate",
        "measure": "k",
        "value": 0.3211,
        "low": None,
        "high": None,
        "source": f"{_DFE}, 145 authorities",
    },
    {
        "cluster": "school",
        "outcome": "Section 47 enquiries, rate",
        "measure": "k",
        "value": 0.417,
        "low": None,
        "high": None,
        "source": "upper bound, chance in counts included: implied by the interval of Social Workers in Schools (PMC9182565)",
    },
    {
        "cluster": "school",
        "outcome": "social and emotional functioning, reported by pupils or parents",
        "measure": "icc",
        "value": None,
        "low": 0.0,
        "high": 0.04,
        "source": "most of the school ICCs (529 in five UK trials) lie below the high end: Parker and others 2025 (doi:10.1186/s12874-025-02574-6)",
    },
    {
        "cluster": "school",
        "outcome": "social and emotional functioning, reported by teachers; school climate",
        "measure": "icc",
        "value": None,
        "low": 0.0,
        "high": 0.1,
        "source": "the largest at the high end: Parker and others 2025 (doi:10.1186/s12874-025-02574-6)",
    },
    {
        "cluster": "general practice",
        "outcome": "maternal and child health and use of services",
        "measure": "icc",
        "value": None,
        "low": 0.0,
        "high": 0.09,
        "source": "range over outcomes in six practices, most below 0.04: Reading, Harvey and Mclean 2000 (doi:10.1136/adc.82.1.79)",
    },
    {
        "cluster": "general practice",
        "outcome": "1,039 variables of 31 studies",
        "measure": "icc",
        "value": 0.010,
        "low": 0.0,
        "high": 0.032,
        "source": "median and interquartile range: Adams and others 2004 (doi:10.1016/j.jclinepi.2003.12.013)",
    },
)


def icc_priors() -> Table:
    """Published ICCs and k that trials of children's services can plan with.

    Returns
    -------
    Table
        cluster, outcome, measure ("icc" or "k"), value (where one was published), low, high, source. None of them is of social work teams: there is
        no published figure that we know of, which is a reason to plan with a belief and not with a number.

    Examples
    --------
    >>> sorted({row["measure"] for row in icc_priors()})
    ['icc', 'k']
    """
    columns = [
        Column(name="cluster"),
        Column(name="outcome"),
        Column(name="measure"),
        Column(name="value", kind="number", digits=4),
        Column(name="low", kind="number", digits=3),
        Column(name="high", kind="number", digits=3),
        Column(name="source"),
    ]
    return Table(_ROWS, columns, title="Published variation between clusters")


def primary_care_belief() -> Belief:
    """Belief of an ICC with the median and upper quartile of 1,039 ICCs in primary care (Adams and others 2004).

    Lognormal with median 0.010 and upper quartile 0.032: the lower quartile, 0 there, is 0.003 here.
    """
    import math

    spread = math.log(0.032 / 0.010) / 0.6744897501960817
    return Belief(kind="lognormal", first=0.010, second=spread)
