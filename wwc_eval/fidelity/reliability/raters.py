"""Raters one by one: how severe they are, and whether they drift."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, Place, check_number, did_you_mean
from wwc_eval.fidelity.reliability.errors import quantile_t
from wwc_eval.fidelity.reliability.rater_tables import RATER, RaterTable, numbers, table_of
from wwc_eval.fidelity.reliability.reading import Floats
from wwc_eval.inference.frames import to_pandas
from wwc_eval.table import Column

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["rater_drift", "rater_severity"]

_HOLM = "differs: Holm's adjusted p-value is below 1 - level."


def rater_severity(
    ratings: Any,
    *,
    score: str = "score",
    rater: str = "rater",
    subject: str = "case",
    within: str | None = None,
    level: float = 0.95,
) -> RaterTable:
    """How much lower or higher each rater scores than the average of these raters would, given who was rated.

    Parameters
    ----------
    ratings : DataFrame
        Long: one row a rating. Subjects need more than one rater, at least some of them; else severity cannot be told
        from who was rated, and that is said.
    score, rater, subject : str
        Columns.
    within : str, optional
        Column that subjects are nested in, such as the local authority: it gets a random effect of its own.
    level : float
        Coverage.

    Returns
    -------
    RaterTable
        ``rater, n, mean, severity, se, df, ci_low, ci_high, p_value, differs``: severity is positive where the rater
        scores low; ``differs`` goes by Holm's adjusted p-value, so that one rater in twenty is not flagged by chance.
        ``summary`` holds the variance of raters and its share, from a model with raters random.

    Raises
    ------
    DataError
        If a column is missing or scores are not numbers.
    DesignError
        If there is one rater only.

    Notes
    -----
    Formula: ``score = rater + subject + residual``, subjects random; severity is the mean of the rater effects less the
    rater's own, with Satterthwaite's degrees of freedom. Source: Kuznetsova, Brockhoff and Christensen (2017),
    doi:10.18637/jss.v082.i13.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(4)
    >>> case, rater = np.repeat(np.arange(60), 4), np.tile(np.arange(4), 60)
    >>> y = rng.normal(size=60)[case] - np.array([0.9, 0, 0, -0.9])[rater] + 0.4 * rng.normal(size=240)
    >>> found = rater_severity(pd.DataFrame({"case": case, "rater": rater, "score": y}))
    >>> [row["differs"] for row in found.rows]
    [True, False, False, True]
    """
    check_number("level", level, above=0, below=1)
    frame, lost = _long(ratings, [score, rater, subject, *([within] if within else [])])
    data, names = _coded(frame, {"y": score, "r": rater, "s": subject, **({"w": within} if within else {})})
    if len(names) < 2:
        raise DesignError(f"one {rater} only, so no one to compare with")
    pairs = data[["s", "r"]].drop_duplicates()
    repeated = bool(pairs["s"].duplicated().any())
    random = ("w",) * bool(within) + ("s",) * _repeats(data["s"])
    fit = _fit("y ~ r", random, data)
    each = _deviations(fit, [*(f"r[{code}]" for code in sorted(set(data["r"])))], level, sign=-1.0)
    counts, means = data["r"].value_counts(), data.groupby("r")["y"].mean()
    rows = [
        {"rater": names[k], "n": int(counts[code]), "mean": float(means[code]), **_named(each[k], "severity")}
        for k, code in enumerate(sorted(set(data["r"])))
    ]
    notes = [f"{lost:,} rows miss a value and are left out."] if lost else []
    if not repeated:
        notes.append(f"No {subject} has two raters: severity cannot be told from differences between those rated.")
    summary: dict[str, Any] = {"crossed": repeated}
    if repeated:
        spread = _fit("y ~ 1", (*random, "r"), data)
        parts = {g.name: float(c[0, 0]) for g, c in zip(spread.data.groupings, spread.covariances, strict=True)}
        share = parts["r"] / (sum(parts.values()) + float(spread.residual_variance))
        summary |= {"variance_raters": parts["r"], "share_raters": share}
        notes.append(f"Raters hold {100 * share:.1f}% of the variance.")
    notes.append(_HOLM)
    label = "severity (points below the average rater)"
    return table_of(
        rows, _SEVERITY, title="Severity of raters", notes=notes, shows=("severity", label), summary=summary
    )


def rater_drift(
    ratings: Any,
    *,
    score: str = "score",
    rater: str = "rater",
    subject: str = "case",
    time: str = "time",
    level: float = 0.95,
) -> RaterTable:
    """Whether raters change over time against each other, given who was rated.

    Parameters
    ----------
    ratings : DataFrame
        Long: one row a rating.
    score, rater, subject, time : str
        Columns; time is a number, such as weeks since training.
    level : float
        Coverage.

    Returns
    -------
    RaterTable
        ``rater, n, first, last, drift, se, df, ci_low, ci_high, p_value, differs``: drift is the rater's slope by time less
        the average slope of these raters; ``differs`` goes by Holm's adjusted p-value. ``summary`` holds the average
        slope, which is drift *or* a change in practice: only a gold standard tells which.

    Raises
    ------
    DataError
        If a column is missing, or time or scores are not numbers.
    DesignError
        If there is one rater or one time only, or a rater rated at one time only.

    Notes
    -----
    Formula: ``score = rater + slope_rater * time + subject + residual``, subjects random; Satterthwaite's degrees of
    freedom. Source: Kuznetsova, Brockhoff and Christensen (2017), doi:10.18637/jss.v082.i13.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(4)
    >>> case, rater = np.repeat(np.arange(80), 3), np.tile(np.arange(3), 80)
    >>> week = case // 8
    >>> y = rng.normal(size=80)[case] - 0.2 * week * (rater == 0) + 0.3 * rng.normal(size=240)
    >>> found = rater_drift(pd.DataFrame({"case": case, "rater": rater, "time": week, "score": y}))
    >>> found.rows[0]["drift"] < 0, found.rows[0]["differs"]
    (True, True)
    """
    check_number("level", level, above=0, below=1)
    frame, lost = _long(ratings, [score, rater, subject, time])
    if frame[time].dtype.kind not in "iuf":
        raise DataError(
            f"'{time}' is not numbers", place=Place(column=time), fix="give weeks or months since training"
        )
    data, names = _coded(frame, {"y": score, "r": rater, "s": subject})
    data["t"] = frame[time].to_numpy(dtype=float)
    if len(names) < 2 or float(np.ptp(data["t"])) == 0:
        raise DesignError("drift needs two raters and two times", fix="see rater_calibration for a gold standard")
    codes = sorted(set(data["r"]))
    spans = data.groupby("r")["t"].agg(["min", "max", "size"])
    for k, code in enumerate(codes):
        if spans["min"][code] == spans["max"][code]:
            raise DesignError(
                f"{rater} {names[k]!r} rated at one {time} only, so has no slope", fix="leave them out"
            )
    scale = float(data["t"].std())
    data["t"] = (data["t"] - data["t"].mean()) / scale
    fit = _fit("y ~ r * t", ("s",) * _repeats(data["s"]), data)
    each = _deviations(fit, [f"r[{code}]:t" for code in codes], level, scale=1.0 / scale)
    rows = [
        {
            "rater": names[k],
            "n": int(spans["size"][code]),
            "first": float(spans["min"][code]),
            "last": float(spans["max"][code]),
            **_named(each[k], "drift"),
        }
        for k, code in enumerate(codes)
    ]
    weights = np.array(
        [1.0 if term == "t" else 1.0 / len(codes) if term.endswith(":t") else 0.0 for term in fit.terms]
    )
    common = _contrast(fit, weights / scale, level)
    notes = [f"{lost:,} rows miss a value and are left out."] if lost else []
    notes.append(
        f"All raters together: {common['estimate']:.3f} ({common['ci_low']:.3f} to {common['ci_high']:.3f}) a unit of "
        f"{time}. That is drift or a change in practice: only a gold standard tells which."
    )
    notes.append(_HOLM)
    label = f"drift (points a unit of {time}, against the average rater)"
    return table_of(
        rows, _DRIFT, title="Drift of raters", notes=notes, shows=("drift", label), summary={"common": common}
    )


def _long(ratings: Any, names: list[str]) -> tuple[pd.DataFrame, int]:
    data = to_pandas(ratings)
    for name in names:
        if name not in data.columns:
            raise DataError(
                f"the ratings have no column '{name}'",
                place=Place(column=name),
                fix=did_you_mean(name, [str(column) for column in data.columns]),
            )
    whole = data[names].notna().all(axis=1)
    kept = data.loc[whole, names].reset_index(drop=True)
    if not len(kept):
        raise DataError(
            "no row has every value that is needed", fix="check " + ", ".join(f"'{name}'" for name in names)
        )
    return kept, int((~whole).sum())


def _coded(frame: pd.DataFrame, columns: dict[str, str]) -> tuple[pd.DataFrame, list[Any]]:
    """The score, facets as codes in order of appearance (those of raters as words), and the names of the raters."""
    import pandas as pd

    if frame[columns["y"]].dtype.kind not in "iufb":
        raise DataError(f"'{columns['y']}' is not numbers", place=Place(column=columns["y"]))
    coded: dict[str, Any] = {"y": frame[columns["y"]].to_numpy(dtype=float)}
    names: list[Any] = []
    for short, name in columns.items():
        if short == "y":
            continue
        codes, found = pd.factorize(frame[name])
        coded[short] = codes
        if short == "r":
            names, width = list(found), len(str(len(found)))
            coded[short] = [f"k{code:0{width}d}" for code in codes]
    return pd.DataFrame(coded), names


def _repeats(codes: pd.Series) -> bool:
    return bool(codes.nunique() < len(codes))


def _fit(fixed: str, random: tuple[str, ...], data: pd.DataFrame) -> Any:
    """Mixed model, or least squares where nothing is repeated."""
    if not random:
        from wwc_eval.inference.regression import regression

        return regression(fixed, data)
    from wwc_eval.multilevel import multilevel_model

    return multilevel_model(fixed + "".join(f" + (1 | {name})" for name in random), data)


def _contrast(fit: Any, weights: Floats, level: float) -> dict[str, float]:
    """A contrast of the coefficients with its Satterthwaite (or residual) degrees of freedom."""
    from scipy import special

    if hasattr(fit, "df_residual"):
        vcov, df, beta = fit.covariance.matrix, float(fit.df_residual), np.array(list(fit.coefficients.values()))
    else:
        vcov, df, beta = (
            fit.inference.vcov,
            float(fit.inference.reference.df(weights[None, :])[0]),
            fit.coefficients,
        )
    estimate, se = float(weights @ beta), math.sqrt(max(float(weights @ vcov @ weights), 0.0))
    reach = quantile_t(df, level) * se
    p = 2.0 * float(special.stdtr(df, -abs(estimate) / se)) if se > 0 else math.nan
    return {
        "estimate": estimate,
        "se": se,
        "df": df,
        "ci_low": estimate - reach,
        "ci_high": estimate + reach,
        "p_value": p,
    }


def _deviations(
    fit: Any, terms: list[str], level: float, *, sign: float = 1.0, scale: float = 1.0
) -> list[dict[str, Any]]:
    """Each rater's coefficient less the mean of all (the reference's is 0), with Holm's verdict."""
    from wwc_eval.inference.multiplicity import adjust_p

    places = [fit.terms.index(term) if term in fit.terms else None for term in terms]
    rows: list[dict[str, Any]] = []
    for own in places:
        weights = np.zeros(len(fit.terms))
        for place in places:
            if place is not None:
                weights[place] -= 1.0 / len(places)
        if own is not None:
            weights[own] += 1.0
        rows.append(dict(_contrast(fit, sign * scale * weights, level)))
    adjusted = adjust_p([row["p_value"] for row in rows])
    return [{**row, "differs": bool(p < 1.0 - level)} for row, p in zip(rows, adjusted, strict=True)]


def _named(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {name: row["estimate"], **{key: value for key, value in row.items() if key != "estimate"}}


_TESTED = (
    *numbers("ci_low", "ci_high"),
    Column(name="p_value", label="p", kind="p_value"),
    Column(name="differs"),
)
_SEVERITY = (*RATER, *numbers("mean", "severity", "se"), Column(name="df", kind="number", digits=1), *_TESTED)
_DRIFT = (
    *RATER,
    *numbers("first", "last"),
    Column(name="drift", kind="number", digits=3),
    Column(name="se", kind="number", digits=3),
    Column(name="df", kind="number", digits=1),
    Column(name="ci_low", kind="number", digits=3),
    Column(name="ci_high", kind="number", digits=3),
    *_TESTED[2:],
)
