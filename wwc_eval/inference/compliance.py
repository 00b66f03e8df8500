"""The verb ``complier_effect``: the effect of taking up on those whom the allocation moved to take up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, FormulaError, Place, check_number, did_you_mean, shown
from wwc_eval.estimate import Estimate
from wwc_eval.formula import Design, parse_formula
from wwc_eval.inference.anderson_rubin import ConfidenceSet, anderson_rubin, statistic_at
from wwc_eval.inference.clusters import Clusters
from wwc_eval.inference.covariance import make_covariance
from wwc_eval.inference.families import Floats
from wwc_eval.inference.frames import to_pandas
from wwc_eval.inference.two_stage import FirstStage, ReducedForms, reduced_forms, stage_two

__all__ = ["ComplierEffect", "complier_effect"]

CITATION = (
    "Angrist, Imbens and Rubin 1996, doi:10.1080/01621459.1996.10476902; "
    "Anderson and Rubin 1949, doi:10.1214/aoms/1177730090"
)
STRONG = 10.0
CLAIMS = (
    "Can claim: the average effect of {uptake} among those whom {instrument} moved to take up more (compliers), if {instrument} "
    "was allocated at random, changes the outcome only through {uptake}, and moves nobody to take up less. "
    "Cannot claim: the effect on everyone, on those who would have taken up anyway or never, or that more {uptake} would have "
    "helped those who took up little."
)
DOSE = (
    " {uptake} is a dose: the figure is a weighted average over people and over steps of the dose, per unit, with the most "
    "weight where {instrument} moved it most; it is no dose-response curve."
)


@dataclass(frozen=True, kw_only=True, repr=False)
class ComplierEffect(Estimate):
    """A complier average causal effect with the tests that tell what it is worth.

    An :class:`Estimate` (two-stage least squares with the errors asked for) that also holds:

    Parameters
    ----------
    anderson_rubin : ConfidenceSet
        Set of effects that stays right with a weak instrument; it may be unbounded or empty, and says so.
    anderson_rubin_p : float
        P-value of no effect by the same test, which is that of the reduced form.
    first_stage : FirstStage
        Effect of the instruments on uptake with the F test.
    intention_to_treat : Estimate, optional
        Effect of the instrument on the outcome (one instrument).
    claims : str
        What the analysis can and cannot claim.
    """

    anderson_rubin: ConfidenceSet = field(default=ConfidenceSet(pieces=(), level=0.95))
    anderson_rubin_p: float = math.nan
    first_stage: FirstStage | None = None
    intention_to_treat: Estimate | None = None
    claims: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Read-only mappings do not pickle; effects must (joblib workers)."""
        state = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return _rebuild, ({**state, "details": dict(self.details)},)

    def _notes(self) -> tuple[str, ...]:
        first = self.first_stage
        lines = [f"{100 * self.level:g}% Anderson-Rubin set: {self.anderson_rubin.words(self._show)}."]
        if first is not None:
            exact = "everyone took up what was allocated" if math.isinf(first.F) else ""
            lines.append(f"First stage: {exact or f'F({first.df1:g}, {first.df2:.1f}) = {first.F:.1f}'}.")
        return (*super()._notes(), *lines, self.claims)


def complier_effect(
    formula: str,
    data: Any,
    *,
    uptake: str,
    instrument: str | Sequence[str],
    cluster: str | None = None,
    vcov: str | None = None,
    df: str | None = None,
    robust: str | None = None,
    levels: Mapping[str, Sequence[Any]] | None = None,
    level: float = 0.95,
) -> ComplierEffect:
    """Complier average causal effect: what uptake does to those whom the allocation moved to take up.

    Parameters
    ----------
    formula : str
        Outcome and covariates, without uptake and instrument: ``"days_in_care ~ age + baseline"`` or ``"y ~ 1"``.
    data : DataFrame
        One row a unit; rows with a missing value are left out. Not changed.
    uptake : str
        Column of what was taken up: 0/1 (attended), a share, a dose, or a fidelity score measured in *both* arms.
    instrument : str or sequence of str
        What was allocated: the arm (0/1, or two levels of which the first is the reference), or several columns.
    cluster : str, optional
        Column of what was allocated together, such as the local authority.
    vcov : str, optional
        Errors of the two-stage least squares: any of the package's. CR1S with clusters and HC1 without, where nothing is
        said; these are those of R's ivreg with ``vcovCL`` and ``vcovHC`` (HC1), and of linearmodels.
    df : {"clusters", "satterthwaite"}, optional
        Degrees of freedom of clustered errors.
    robust : str, optional
        Errors of the Anderson-Rubin set and the first stage: CR2 with Satterthwaite's degrees of freedom with clusters,
        HC2 without, where nothing is said.
    levels : mapping, optional
        Declared levels of factors in order, the reference first.
    level : float
        Coverage.

    Returns
    -------
    ComplierEffect
        An :class:`Estimate` with ``anderson_rubin``, ``first_stage``, ``intention_to_treat`` and ``claims``.

    Raises
    ------
    FormulaError
        If the formula does not parse, already holds uptake or instrument, or its outcome is ``successes / trials``.
    DataError
        If uptake is not numbers, or does not vary.
    DesignError
        If the instruments do not vary given the covariates, or do not move uptake at all, or options do not go together.

    Notes
    -----
    Formula: ``b = (D' M D)^-1 D' M y`` with M the projection on the instruments given covariates; with one instrument it is
    the effect on the outcome divided by the effect on uptake. The Anderson-Rubin set holds every b for which the
    instruments do not explain ``y - b D``. Sources: Angrist, Imbens and Rubin (1996),
    doi:10.1080/01621459.1996.10476902; Anderson and Rubin (1949), doi:10.1214/aoms/1177730090; small-sample errors:
    Pustejovsky and Tipton (2018), doi:10.1080/07350015.2016.1247004.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(2)
    >>> arm = np.repeat([0, 1], 200)
    >>> keen = rng.random(400) < 0.6
    >>> trial = pd.DataFrame({"arm": arm, "attended": (arm * keen).astype(int)})
    >>> trial["score"] = 1.5 * trial["attended"] + 0.5 * keen + rng.normal(size=400)
    >>> found = complier_effect("score ~ 1", trial, uptake="attended", instrument="arm")
    >>> found.anderson_rubin.kind, bool(found.ci_low < 1.5 < found.ci_high)
    ('interval', True)
    """
    check_number("level", level, above=0, below=1)
    instruments = [instrument] if isinstance(instrument, str) else list(instrument)
    names = _Names(uptake=uptake, instruments=tuple(instruments), cluster=cluster)
    design, X, Z, labels = _read(formula, data, names, levels)
    if design.trials is not None:
        raise DesignError(
            "the outcome is 'successes / trials', and two-stage least squares compares means of rows",
            fix="make the share a column of its own, or give one row a participant",
        )
    y, D = design.y, _uptake(design, uptake)
    _check_numbers(X, D, Z, names)
    codes = None if cluster is None else Clusters.from_values(cluster, design.kept[cluster]).codes
    kind = vcov or ("HC1" if cluster is None else "CR1S")
    forms = reduced_forms(
        y, X, D, Z, kind=robust or ("HC2" if cluster is None else "CR2"), codes=codes, cluster=cluster
    )
    beta, over = _linear_model(y, X, D, Z, codes)
    found = make_covariance(stage_two(beta, y, X, D, Z), kind, codes=codes, cluster=cluster, df=df)
    contrast = np.zeros(len(beta))
    contrast[-1] = 1.0
    return _result(
        names,
        beta,
        forms,
        error=(math.sqrt(found.variance(contrast)), found.df(contrast)),
        level=level,
        arrays=(y, D, Z),
        said=(found.words, found.warnings, found.n_clusters),
        over=over,
        labels=labels,
    )


@dataclass(frozen=True, kw_only=True)
class _Names:
    """Columns by role."""

    uptake: str
    instruments: tuple[str, ...]
    cluster: str | None


def _read(
    formula: str, data: Any, names: _Names, levels: Mapping[str, Sequence[Any]] | None
) -> tuple[Design, Floats, Floats, tuple[str, ...]]:
    """Design of the rows used, covariates and instruments, and names of the latter's columns."""
    frame = to_pandas(data)
    plain = parse_formula(formula)
    if plain.random:
        raise FormulaError("a complier effect has no random part", fix="leave it out and give cluster=")
    if plain.response is None:
        raise FormulaError(f"'{plain.text}' has no outcome", fix="write it left of '~'")
    if not plain.intercept:
        raise FormulaError(f"'{plain.text}' has no intercept", fix="leave out '- 1' or '0'")
    for name in (names.uptake, *names.instruments, *([names.cluster] if names.cluster else [])):
        if name not in frame.columns:
            raise DataError(
                f"the data have no column '{name}'",
                place=Place(column=name),
                fix=did_you_mean(name, [str(column) for column in frame.columns]),
            )
    if names.uptake in names.instruments:
        raise DesignError(f"'{names.uptake}' is both uptake and instrument")
    for name in (names.uptake, *names.instruments):
        if name in plain.columns:
            raise FormulaError(
                f"'{name}' stands in the formula and is {'uptake' if name == names.uptake else 'instrument'} besides",
                fix="the formula holds outcome and covariates only",
            )
    whole = parse_formula(plain.text + "".join(f" + {name}" for name in names.instruments))
    own = {term.text for term in parse_formula("~ " + " + ".join(names.instruments), response=False).fixed}
    keep = tuple(dict.fromkeys([names.uptake, *([names.cluster] if names.cluster else [])]))
    design = whole.design(
        frame, levels={name: each for name, each in (levels or {}).items() if name in whole.columns}, keep=keep
    )
    mine = np.array([place >= 0 and whole.fixed[place].text in own for place in design.assign], dtype=bool)
    if design.n_dropped and not len(design.y):
        raise DataError("no row has every value that is needed")
    if not mine.any():
        raise DesignError(
            f"{' and '.join(names.instruments)} does not vary given the covariates",
            fix="check the arms of the rows that are left, and covariates that determine the arm",
        )
    labels = tuple(term for term, own_column in zip(design.terms, mine, strict=True) if own_column)
    return design, design.X[:, ~mine], design.X[:, mine], labels


def _uptake(design: Design, name: str) -> Floats:
    kept = design.kept[name]
    if kept.dtype.kind not in "iufb":
        raise DataError(
            f"uptake '{name}' holds {shown(kept[0])}, not numbers",
            place=Place(column=name),
            fix="code it 0/1, as a share, or as a score",
        )
    return np.asarray(kept, dtype=float)


def _check_numbers(X: Floats, D: Floats, Z: Floats, names: _Names) -> None:
    n, p = X.shape
    if n <= p + Z.shape[1]:
        raise DesignError(f"{n:,} rows for {p + Z.shape[1]} columns, needs more rows", fix="leave covariates out")
    if float(np.ptp(D)) == 0.0:
        raise DataError(
            f"uptake '{names.uptake}' is {D[0]:g} in all {n:,} rows used",
            place=Place(column=names.uptake),
            rule="uptake must vary",
        )
    left = D - X @ np.linalg.lstsq(X, D, rcond=None)[0]
    swept = Z - X @ np.linalg.lstsq(X, Z, rcond=None)[0]
    if not float(left @ left) > 1e-20 * float(D @ D):
        raise DesignError(f"the covariates determine '{names.uptake}'", fix="leave out the covariate that does")
    moved = swept.T @ left
    size = np.sqrt((swept**2).sum(axis=0) * float(left @ left))
    if np.all(np.abs(moved) <= 1e-12 * size):
        raise DesignError(
            f"{' and '.join(names.instruments)} does not move '{names.uptake}' at all: no one complied",
            rule="the effect is a ratio to the effect on uptake, which is 0",
            fix="report the intention-to-treat effect",
        )


def _linear_model(y: Floats, X: Floats, D: Floats, Z: Floats, codes: Any) -> tuple[Floats, dict[str, float]]:
    """Coefficients by linearmodels, uptake last; with more instruments than one the test of over-identification."""
    from linearmodels.iv import IV2SLS

    options: dict[str, Any] = {"cov_type": "robust", "debiased": True}
    if codes is not None:
        options = {"cov_type": "clustered", "clusters": codes, "debiased": True}
    fit: Any = IV2SLS(y, X, D, Z).fit(**options)
    over = {}
    if Z.shape[1] > 1:
        test = fit.wooldridge_overid
        over = {"statistic": float(test.stat), "df": float(test.df), "p_value": float(test.pval)}
    return np.asarray(fit.params, dtype=float), over


def _result(
    names: _Names,
    beta: Floats,
    forms: ReducedForms,
    *,
    error: tuple[float, float],
    level: float,
    arrays: tuple[Floats, Floats, Floats],
    said: tuple[str, tuple[str, ...], int | None],
    over: dict[str, float],
    labels: tuple[str, ...],
) -> ComplierEffect:
    from scipy import special

    y, D, Z = arrays
    words, warned, clusters = said
    se, df = error
    first, found = forms.first, anderson_rubin(forms, level)
    warnings = [*warned, *_doubts(first.F, found)]
    binary = bool(np.all((D == 0) | (D == 1)))
    share = bool(np.all((y == 0) | (y == 1)))
    instrument = " and ".join(names.instruments)
    claims = (CLAIMS + ("" if binary else DOSE)).format(uptake=names.uptake, instrument=instrument)
    scale = "risk_difference" if share else "mean_difference"
    if not (se > 0 and df > 0):
        warnings.append("No interval: the clusters leave no variance or no degrees of freedom for it.")
    F = statistic_at(forms, 0.0)
    base = Estimate.from_normal(
        term=names.uptake,
        estimate=float(beta[-1]),
        se=se,
        df=df,
        level=level,
        scale=scale if binary else "slope",
        method=f"Complier average causal effect: two-stage least squares, instrument {instrument}; {words}",
        n=len(y),
        n_clusters=clusters,
        warnings=tuple(warnings),
        citation=CITATION,
        details={
            "first_stage_F": first.F,
            "first_stage": dict(zip(labels, first.coefficients.tolist(), strict=True)),
            "partial_r2": first.partial_r2,
            "anderson_rubin": found.pieces,
            "anderson_rubin_kind": found.kind,
            **({"overidentification": over} if over else {}),
        },
    )
    state = {name: getattr(base, name) for name in base.__dataclass_fields__}
    return ComplierEffect(
        **state,
        anderson_rubin=found,
        anderson_rubin_p=float(special.fdtrc(len(forms.on_outcome), forms.df2, F)) if forms.usable else math.nan,
        first_stage=first,
        intention_to_treat=_intention_to_treat(forms, base, labels[0], scale) if Z.shape[1] == 1 else None,
        claims=claims,
    )


def _doubts(F: float, found: ConfidenceSet) -> list[str]:
    """What a weak instrument, or a set without an end, leaves in doubt."""
    doubts = []
    if F < STRONG:
        doubts.append(
            f"Weak instrument (first-stage F = {F:.1f}): trust the Anderson-Rubin set, not the interval."
        )
    if found.kind == "empty":
        doubts.append("The Anderson-Rubin set is empty: no effect fits all instruments.")
    elif not found.bounded:
        doubts.append("The Anderson-Rubin set has no end: the instrument is too weak for an interval.")
    return doubts


def _intention_to_treat(forms: ReducedForms, base: Estimate, term: str, scale: str) -> Estimate:
    """Effect of the allocation on the outcome, of the same rows as ``base``."""
    return Estimate.from_normal(
        term=term,
        estimate=float(forms.on_outcome[0]),
        se=math.sqrt(float(forms.outcome[0, 0])),
        df=forms.df2,
        level=base.level,
        scale=scale,
        method=f"Intention to treat: least squares; {forms.words}",
        n=base.n,
        n_clusters=base.n_clusters,
    )


def _rebuild(state: dict[str, Any]) -> ComplierEffect:
    return ComplierEffect(**state)
