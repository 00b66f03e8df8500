"""The verb ``regression``: check what is asked, read the design, fit, and return a :class:`RegressionFit`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DataError, DesignError, Place, Problem, check_choice, check_number, shown
from wwc_eval.formula import Design, Formula, parse_formula
from wwc_eval.formula.terms import Variable
from wwc_eval.inference.clusters import Clusters
from wwc_eval.inference.covariance import VCOV_KINDS
from wwc_eval.inference.families import FAMILIES, Family, Floats
from wwc_eval.inference.fit import RegressionFit
from wwc_eval.inference.fitted import fit_arrays
from wwc_eval.inference.frames import to_pandas

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["regression"]

SHOWN_ROWS = 20
_COUNTS = ("poisson", "quasipoisson")


def regression(
    formula: str | Formula,
    data: Any,
    *,
    family: str = "gaussian",
    exposure: str | Sequence[float] | None = None,
    weights: str | Sequence[float] | None = None,
    vcov: str = "classical",
    cluster: str | Sequence[Any] | None = None,
    df: str | None = None,
    levels: Mapping[str, Sequence[Any]] | None = None,
    level: float = 0.95,
) -> RegressionFit:
    """Fit a linear, logistic, Poisson or quasi-Poisson regression with the inference of your choice.

    Parameters
    ----------
    formula : str or Formula
        Such as ``"in_care ~ arm + age + local_authority"``, or ``"successes / trials ~ arm"`` for a binomial.
    data : DataFrame
        One row per unit; pandas, or anything narwhals reads (polars, pyarrow). Not changed.
    family : {"gaussian", "binomial", "poisson", "quasipoisson"}
        Outcome family with its canonical link. A gaussian family on a 0/1 outcome is a linear probability
        model.
    exposure : str or array, optional
        Time or population at risk, above 0 (Poisson families); its logarithm is an offset.
    weights : str or array, optional
        Precision weights above 0, as in R's ``lm`` and ``glm``: the variance of a row is inversely
        proportional to its weight. A weight of 2 gives the coefficients, not the errors, of two such rows.
    vcov : {"classical", "HC0", "HC1", "HC2", "HC3", "CR0", "CR1", "CR1S", "CR2", "CR3"}
        Errors. CR1 multiplies CR0 by G/(G-1) for G clusters, CR1S that by (n-1)/(n-p).
    cluster : str or array, optional
        Clusters: needed by the CR kinds, refused by the others.
    df : {"clusters", "satterthwaite"}, optional
        Degrees of freedom of the CR kinds: clusters - 1 for CR0, CR1, CR1S and Satterthwaite for CR2, CR3
        where nothing is said. Elsewhere n - p (classical gaussian and quasi-Poisson, HC gaussian), else
        normal.
    levels : mapping, optional
        Declared levels of factors in order, the reference first.
    level : float
        Coverage of the intervals.

    Returns
    -------
    RegressionFit
        Look at ``status`` before the numbers.

    Raises
    ------
    FormulaError
        If the formula does not parse or does not fit the data.
    DataError
        If outcome, exposure or weights hold values that cannot be; every offending row is named.
    DesignError
        If options do not go together, or there are too few rows or clusters.

    Notes
    -----
    Formula: maximum likelihood; ``(X'WX)^-1 X'W A e e' A' W X (X'WX)^-1`` for robust errors. Sources:
    McCullagh and Nelder 1989; Liang and Zeger 1986 (doi:10.1093/biomet/73.1.13); MacKinnon and White 1985
    (doi:10.1016/0304-4076(85)90158-7); Pustejovsky and Tipton 2018 (doi:10.1080/07350015.2016.1247004).

    Examples
    --------
    >>> import pandas as pd
    >>> data = pd.DataFrame({"y": [3.0, 4, 6, 7, 5, 9], "arm": ["usual"] * 3 + ["programme"] * 3})
    >>> fit = regression("y ~ arm", data, vcov="HC2", levels={"arm": ["usual", "programme"]})
    >>> print(round(fit.estimates["arm[programme]"].estimate, 3), fit.status)
    2.667 ok
    """
    kind = FAMILIES[check_choice("family", family, tuple(FAMILIES))]
    check_choice("vcov", vcov, VCOV_KINDS)
    check_number("level", level, above=0, below=1)
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    _check_options(parsed, kind, exposure=exposure)
    frame, names = _with_columns(to_pandas(data), {"exposure": exposure, "weights": weights, "cluster": cluster})
    design = parsed.design(frame, levels=_relevant(levels, parsed), keep=tuple(names.values()))
    numbers = {role: _numbers(design, names[role], role) for role in ("exposure", "weights") if role in names}
    _check_outcome(design, kind, exposed="exposure" in names)
    _check_size(design)
    columns = sorted({name for term in parsed.fixed for name in term.columns})
    fitted = fit_arrays(
        design,
        kind,
        frame.iloc[design.rows][columns].copy(),
        weights=numbers.get("weights"),
        exposure=numbers.get("exposure"),
        exposure_column=exposure if isinstance(exposure, str) else None,
    )
    clusters = None
    if "cluster" in names:
        clusters = Clusters.from_values(names["cluster"], design.kept[names["cluster"]])
    return RegressionFit.from_fitted(fitted, source=frame, vcov=vcov, clusters=clusters, df=df, level=level)


def _check_options(formula: Formula, family: Family, *, exposure: object) -> None:
    """Refuse options that do not go together."""
    if formula.random:
        listed = ", ".join(term.text for term in formula.random)
        raise DesignError(
            f"a regression has no random part, and the formula has {listed}",
            fix="use multilevel_model, or leave the random part out and cluster the errors",
        )
    if formula.response is None:
        raise DesignError(f"'{formula.text}' has no outcome", fix="write it left of '~'")
    if formula.response.trials is not None and family.name != "binomial":
        raise DesignError(
            f"'{formula.response.text}' is a share, and family == '{family.name}'",
            fix="use family='binomial', or a count with exposure= for a rate",
        )
    if family.name != "gaussian" and not isinstance(formula.response.value, Variable):
        raise DesignError(
            f"family == '{family.name}' takes the outcome as it is, not '{formula.response.value.text}'",
            fix=f"write '{formula.response.columns[0]}' left of '~'; the link does the transforming",
        )
    if exposure is not None and family.name not in _COUNTS:
        raise DesignError(
            f"exposure goes with a count, and family == '{family.name}'",
            fix="use family='poisson' or 'quasipoisson', or leave out exposure",
        )


def _with_columns(frame: pd.DataFrame, given: Mapping[str, Any]) -> tuple[pd.DataFrame, dict[str, str]]:
    """The frame with arrays added as columns, and the column of each role."""
    names: dict[str, str] = {}
    added: dict[str, Any] = {}
    for role, value in given.items():
        if value is None:
            continue
        if isinstance(value, str):
            names[role] = value
            continue
        array = np.asarray(value)
        if array.shape != (len(frame),):
            raise DataError(
                f"{role} has shape {array.shape}, must be one value for each of the {len(frame):,} rows",
                fix=f"give the name of a column, or an array in the order of the data: {role}='...'",
            )
        names[role] = f"({role})"
        added[names[role]] = array
    return frame.assign(**added), names


def _relevant(levels: Mapping[str, Sequence[Any]] | None, formula: Formula) -> dict[str, Sequence[Any]]:
    """Declared levels of the columns that the formula names: a plan declares levels for all its columns."""
    return {name: listed for name, listed in (levels or {}).items() if name in formula.columns}


def _numbers(design: Design, name: str, role: str) -> Floats:
    """Values of exposure or weights, all above 0."""
    kept = design.kept[name]
    if kept.dtype.kind not in "iuf":  # text that looks like numbers is still text
        raise DataError(
            f"{role} '{name}' holds {shown(kept[0])}, not numbers",
            place=Place(column=name),
            fix="declare the column as a number when it is read",
        )
    values = np.asarray(kept, dtype=float)
    _refuse_rows(
        design,
        ~((values > 0) & np.isfinite(values)),
        values,
        name,
        message=f"{role} must be above 0",
        fix="correct or exclude these rows",
    )
    return values


def _check_outcome(design: Design, family: Family, *, exposed: bool) -> None:
    """Refuse outcomes that the family cannot have."""
    name = design.formula.text.split(" ~ ", 1)[0]
    y = design.y
    if family.name == "binomial" and design.trials is None:
        _refuse_rows(
            design,
            ~((y == 0) | (y == 1)),
            y,
            name,
            message="a binomial outcome must be 0 or 1",
            fix="code the outcome 0/1, write 'successes / trials ~ ...', or use family='gaussian'",
        )
    if family.name in _COUNTS:
        _refuse_rows(
            design, y < 0, y, name, message="a count cannot be negative", fix="correct or exclude these rows"
        )
    share = y if design.trials is None else y / design.trials
    informative = design.trials is not None and 0 < share[0] < 1
    if float(np.ptp(share)) == 0.0 and not informative and not (exposed and share[0] > 0):
        raise DataError(
            f"the outcome '{name}' is {share[0]:g} in all {len(y):,} rows used",
            place=Place(column=name),
            rule="an outcome must vary",
            fix="check the outcome and the exclusions; with no event at all, report the counts",
        )


def _refuse_rows(
    design: Design, bad: NDArray[np.bool_], values: Floats, column: str, *, message: str, fix: str
) -> None:
    """One problem for each offending row, rows counted as a spreadsheet does."""
    where = np.flatnonzero(bad)
    if not len(where):
        return
    problems = [
        Problem(
            message=message,
            place=Place(row=int(design.rows[i]) + 2, column=column),
            value=f"{values[i]:g}",
            fix=fix,
        )
        for i in where[:SHOWN_ROWS]
    ]
    if len(where) > SHOWN_ROWS:
        problems.append(
            Problem(message=f"{message}: so in {len(where):,} rows in all", place=Place(column=column), fix=fix)
        )
    raise DataError(problems=problems)


def _check_size(design: Design) -> None:
    """Refuse more coefficients than rows, and formulas of which nothing is left."""
    n, p = design.X.shape
    if n <= p:
        raise DesignError(
            f"{n:,} rows for {p:,} coefficients, needs more rows than coefficients",
            fix="leave terms out, or check why rows are missing",
        )
    if design.formula.fixed and set(design.assign) <= {-1}:
        raise _nothing_left(design.formula.fixed, design)


def _nothing_left(terms: Iterable[Any], design: Design) -> DesignError:
    listed = "; ".join(f"{alias.term}: {alias.combination}" for alias in design.aliased)
    names = ", ".join(f"'{term.text}'" for term in terms)
    return DesignError(
        f"{names} does not vary in the rows used, so there is nothing to compare ({listed})",
        fix="check the arms of the rows that are left after exclusions and missing values",
    )
