"""Coefficients of reliability from ratings: of items, of composites, of how items hang together, of unit scores."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import WwcError
from wwc_eval.fidelity.scoring.composites import item_shares
from wwc_eval.fidelity.scoring.ratings import VALUE
from wwc_eval.fidelity.scoring.ratings_checks import blank_in

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from wwc_eval.estimate import Estimate
    from wwc_eval.fidelity.scoring.scores import FidelityScores
    from wwc_eval.fidelity.specification.document import Item

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Coefficient", "coefficients", "raters_by_case", "without"]

SINGLE, AVERAGE = "icc_single", "icc_average"
DEPENDABILITY = "dependability_"
WEIGHTED = ("ac2", "krippendorff_alpha")
"""Coefficients that are weighted where the specification says nothing."""


@dataclass(frozen=True, kw_only=True)
class Coefficient:
    """One coefficient of one thing.

    Parameters
    ----------
    name : str
        As in ``reliability.minimum``.
    of : str
        Item, ``composite``, a component, ``items`` (of the scale), or a unit.
    detail : str
        What exactly was compared.
    n, raters : int, optional
        Cases (units) and raters behind it.
    estimate, low, high : float
        Value and interval; NaN where ``reason`` says why.
    reason : str
        Why there is no value, or no interval.
    """

    name: str
    of: str
    detail: str = ""
    n: int | None = None
    raters: int | None = None
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    reason: str = ""


def coefficients(scores: FidelityScores, name: str) -> list[Coefficient]:
    """A coefficient of everything that it can be computed of: see :attr:`FidelityScores.reliability`."""
    if name.startswith(DEPENDABILITY):
        from wwc_eval.fidelity.scoring.dependability import dependability

        unit = name.removeprefix(DEPENDABILITY)
        return [dependability(scores, unit, Coefficient(name=name, of=of)) for of in _wholes(scores)]
    if name in {"alpha", "omega"}:
        return [_consistency(scores, name)]
    if name in {SINGLE, AVERAGE} or name.startswith("ICC("):
        return [_intraclass(scores, name, of) for of in _wholes(scores)]
    nothing = f"raters judge no item of the {scores.units[0]}"
    return list(_items(scores, name)) or [Coefficient(name=name, of="items", detail="", n=0, reason=nothing)]


def raters_by_case(scores: FidelityScores) -> Ints:
    """How many raters judged each case."""
    matrix = scores.matrix
    return np.bincount(matrix.sheet_case[matrix.sheet_rater >= 0], minlength=len(matrix.cases.recorded))


def nested(scores: FidelityScores) -> bool:
    """Whether every rater judges in one highest unit only, with two such units or more."""
    homes = raters_homes(scores)
    return len(scores.matrix.places.labels[scores.units[-1]]) > 1 and bool(len(homes)) and bool((homes == 1).all())


def raters_homes(scores: FidelityScores) -> Ints:
    """Number of highest units in which each rater judged."""
    matrix = scores.matrix
    seen = matrix.sheet_rater >= 0
    if not seen.any():
        return np.zeros(0, dtype=np.int64)
    unit = matrix.places.of_case[scores.units[-1]][matrix.sheet_case[seen]]
    pairs = np.unique(np.column_stack([matrix.sheet_rater[seen], unit]), axis=0)
    return np.bincount(pairs[:, 0], minlength=len(matrix.raters))


def _wholes(scores: FidelityScores) -> list[str]:
    """The composite; components where there is none."""
    if "composite" in scores.measures:
        return ["composite"]
    return [component.id for component in scores.spec.document.components]


def _clusters(scores: FidelityScores, cases: Ints) -> Ints | None:
    highest = scores.units[-1]
    return None if highest == scores.units[0] else scores.matrix.places.of_case[highest][cases]


def _items(scores: FidelityScores, name: str) -> Iterator[Coefficient]:
    """Agreement of raters on every item that they judge from the lowest unit's file, recording or session."""
    from wwc_eval.fidelity.reliability import agreement

    plan = scores.spec.document.reliability
    long = _judgements(scores)
    declared = plan.weights if plan is not None else None
    weights = "identity" if name == "ac1" else declared or ("quadratic" if name in WEIGHTED else "identity")
    for place, item in enumerate(scores.spec.document.items):
        if not (
            scores.spec.judged(item.id) and scores.spec.unit_place(item.id, dict(scores.ratings.columns)) == 0
        ):
            continue
        cases, table = _wide(long.loc[long["item"] == place])
        found = Coefficient(
            name=name, of=item.id, detail=f"{weights} weights", n=len(cases), raters=table.shape[1]
        )
        if not len(cases):
            yield without(found, "no case has two raters of it")
            continue
        try:
            value = agreement(
                table,
                name,
                weights=weights,
                categories=_categories(item),
                cluster=_clusters(scores, cases),
                level=scores.level,
            )
        except WwcError as error:
            yield without(found, error.problems[0].message)
            continue
        yield _from(found, value)


def _judgements(scores: FidelityScores) -> pd.DataFrame:
    """One row for each rater, case and item: the first judgement by date; values as they count."""
    import pandas as pd

    ratings, places = scores.ratings, scores.matrix.places
    frame = ratings.frame
    if "rater" not in frame.columns:
        return pd.DataFrame({name: [] for name in ("case", "rater", "item", "value")})
    column = frame[ratings.columns[places.lowest]]
    kept = ratings.applies & (ratings.kind == VALUE) & ~blank_in(column) & ~blank_in(frame["rater"])
    found = pd.DataFrame(
        {
            "case": pd.Index(places.labels[places.lowest]).get_indexer(column[kept].astype(object).map(str)),
            "rater": frame.loc[kept, "rater"].astype(object).map(str).to_numpy(),
            "item": ratings.item[kept],
            "value": ratings.numbers[kept],
        }
    )
    if "date" in frame.columns:
        found = found.iloc[np.argsort(frame.loc[kept, "date"].to_numpy(), kind="stable")]
    return found.drop_duplicates(["case", "rater", "item"])


def _wide(long: pd.DataFrame) -> tuple[Ints, pd.DataFrame]:
    """Cases that two raters or more judged, and the table cases x raters."""
    counts = long.groupby("case")["value"].transform("size")
    table = long.loc[counts >= 2].pivot_table(index="case", columns="rater", values="value")
    return table.index.to_numpy(dtype=np.int64), table


def _categories(item: Item) -> list[float] | None:
    """All values that a judge could have given, where they are few and known."""
    scale: Any = item.scale
    if scale.type not in {"ordinal", "likert", "binary"}:
        return None
    return [float(value) for value in range(int(scale.low), int(scale.high) + 1)]


def _intraclass(scores: FidelityScores, name: str, of: str) -> Coefficient:
    """Of what raters made of the same case, as composites of their rating sheets."""
    import pandas as pd

    from wwc_eval.fidelity.reliability import intraclass_correlation

    matrix, values = scores.matrix, scores.values(of, sheets=True)
    kept = (matrix.sheet_rater >= 0) & ~np.isnan(values)
    sheets = pd.DataFrame(
        {
            "case": matrix.sheet_case[kept],
            "rater": np.array(matrix.raters, dtype=object)[matrix.sheet_rater[kept]] if kept.any() else [],
            "value": values[kept],
        }
    )
    cases, table = _wide(sheets)
    plan = scores.spec.document.reliability
    apart = plan.assignment == "nested" if plan is not None and plan.assignment else nested(scores)
    kind = {SINGLE: "ICC(1,1)" if apart else "ICC(2,1)", AVERAGE: "ICC(1,k)" if apart else "ICC(2,k)"}.get(
        name, name
    )
    k = int(np.median(table.notna().sum(axis=1))) if len(cases) else 0
    detail = kind.replace("k)", f"{k})") + " of rating sheets"
    found = Coefficient(name=name, of=of, detail=detail, n=len(cases), raters=table.shape[1])
    if not len(cases):
        return without(found, "no case has two raters")
    averaged = {"k": k} if "k" in kind else {}
    clusters: Any = _clusters(scores, cases)
    try:
        return _from(found, intraclass_correlation(table, kind, cluster=clusters, level=scores.level, **averaged))
    except WwcError as error:
        return without(found, error.problems[0].message)


def _consistency(scores: FidelityScores, name: str) -> Coefficient:
    """Of the items of the composite (of all, where weights are 0), in percent of maximum, over cases that have them all."""
    from wwc_eval.fidelity.reliability import cronbach_alpha, mcdonald_omega

    spec, cases = scores.spec, scores.matrix.cases
    weighty = {component.id for component in spec.document.components if component.weight > 0}
    items = list(spec.document.items)
    chosen = [j for j, item in enumerate(items) if item.component in weighty or not weighty]
    shares = np.where(cases.valid, 100 * item_shares(items, cases.recorded), np.nan)[:, chosen]
    whole = np.flatnonzero(~np.isnan(shares).any(axis=1))
    detail = f"{len(chosen)} items, over cases that have them all"
    found = Coefficient(name=name, of="items", detail=detail, n=len(whole))
    verb: Any = cronbach_alpha if name == "alpha" else mcdonald_omega
    try:
        return _from(found, verb(shares[whole], cluster=_clusters(scores, whole), level=scores.level))
    except WwcError as error:
        return without(found, error.problems[0].message)


def _from(found: Coefficient, value: Estimate) -> Coefficient:
    reason = value.details.get("reason", "")
    if not reason and math.isfinite(value.estimate) and not math.isfinite(value.ci_low):
        reason = "no interval"
    return Coefficient(
        **{**vars(found), "estimate": value.estimate, "low": value.ci_low, "high": value.ci_high, "reason": reason}
    )


def without(found: Coefficient, reason: str) -> Coefficient:
    """No value, and why."""
    return Coefficient(**{**vars(found), "reason": reason})
