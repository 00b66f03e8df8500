"""Intraclass correlations of a subjects x raters frame: six kinds, missing cells, clusters."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.fidelity.reliability.errors import Error, error_of
from wwc_eval.fidelity.reliability.icc_limits import KINDS, Kind, limits, standard_error, value_of
from wwc_eval.fidelity.reliability.parts import Parts, by_group
from wwc_eval.fidelity.reliability.reading import Floats, Ints, read_numbers
from wwc_eval.fidelity.reliability.sums_of_squares import Centred, Squares, squares

__all__ = ["intraclass_correlation", "intraclass_correlations"]

CITATION = "Shrout and Fleiss 1979, doi:10.1037/0033-2909.86.2.420"
_CITATIONS = {
    "shrout_fleiss": CITATION,
    "irr": "Gamer, Lemon, Fellows and Singh, R package irr, after McGraw and Wong 1996, doi:10.1037/1082-989X.1.1.30",
}
FEW_CLUSTERS = 12


def intraclass_correlation(
    ratings: Any,
    kind: str = "ICC(2,1)",
    *,
    cluster: str | Sequence[Any] | None = None,
    k: int | None = None,
    interval: str = "shrout_fleiss",
    errors: str | None = None,
    reps: int = 2_000,
    rng: Any = None,
    level: float = 0.95,
) -> Estimate:
    """Intraclass correlation of raters, with an exact or a clustered interval.

    Parameters
    ----------
    ratings : DataFrame or array of numbers, subjects x raters
        One row a subject, one column a rater. Missing cells are allowed: raters may be only partially crossed with
        subjects.
    kind : {"ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)"}
        1: other raters for every subject. 2: the same raters, a sample of raters (absolute agreement). 3: the same
        raters, no others of interest (consistency). ``1`` a single rating, ``k`` the mean of k.
    cluster : str or sequence, optional
        Cluster of each subject: a column of the frame, or one value a subject. The interval is then by leaving out each
        cluster in turn, t(K - 1) on the scale of ``log F``.
    k : int, optional
        Ratings averaged by the kinds with k; the number of raters where it is missing.
    interval : {"shrout_fleiss", "irr"}
        Limits of ICC(2,k): Spearman-Brown of those of ICC(2,1), or those that the R package irr gives.
    errors : {"exact", "jackknife", "bootstrap"}, optional
        Exact (F) without clusters, jackknife with them, where nothing is said; the last two on the scale of ``log F``.
    reps, rng
        Replicates and source of randomness of the bootstrap.
    level : float
        Coverage.

    Returns
    -------
    Estimate
        ``statistic`` is F and ``p_value`` its upper tail, against no differences between subjects; ``details`` hold the
        mean squares, the components of variance and, where there is no value, the ``reason``.

    Raises
    ------
    DataError
        If a rating is not a finite number.
    DesignError
        If options do not go together.

    Notes
    -----
    Formula: with mean squares of subjects B, raters C, residual E, and W within subjects, k raters and n subjects:
    ``(B - W) / (B + (k - 1) W)``, ``(B - E) / (B + (k - 1) E + k (C - E) / n)``, ``(B - E) / (B + (k - 1) E)``. With
    missing cells the components of variance come from Henderson's method III (fitting constants), which is the same on
    a complete table; the F interval then is approximate, with the multipliers of the expected mean squares in the
    place of k and n. Source: Shrout and Fleiss (1979), doi:10.1037/0033-2909.86.2.420; Henderson (1953),
    doi:10.2307/3001853.

    Examples
    --------
    >>> import pandas as pd
    >>> judged = pd.DataFrame(
    ...     [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
    ...     columns=["J1", "J2", "J3", "J4"],
    ... )
    >>> intraclass_correlation(judged, kind="ICC(2,1)").shown_interval
    '0.02 to 0.76'
    """
    chosen = KINDS[check_choice("kind", re.sub(r"\s", "", str(kind)), tuple(KINDS))]
    return _correlations(
        ratings, [chosen], cluster=cluster, k=k, interval=interval, errors=errors, reps=reps, rng=rng, level=level
    )[0]


def intraclass_correlations(
    ratings: Any, *, cluster: str | Sequence[Any] | None = None, **options: Any
) -> Estimates:
    """All six intraclass correlations of one table; see :func:`intraclass_correlation`.

    Examples
    --------
    >>> found = intraclass_correlations([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6]])
    >>> [row.term for row in found][:3]
    ['ICC(1,1)', 'ICC(2,1)', 'ICC(3,1)']
    """
    given: dict[str, Any] = {
        "k": None, "interval": "shrout_fleiss", "errors": None, "reps": 2_000, "rng": None, "level": 0.95,
        **options,
    }  # fmt: skip
    return Estimates(_correlations(ratings, list(KINDS.values()), cluster=cluster, **given))


def _correlations(
    ratings: Any,
    kinds: list[Kind],
    *,
    cluster: str | Sequence[Any] | None,
    k: int | None,
    interval: str,
    errors: str | None,
    reps: int,
    rng: Any,
    level: float,
) -> list[Estimate]:
    check_number("level", level, above=0, below=1)
    check_choice("interval", interval, tuple(_CITATIONS))
    how = errors or ("exact" if cluster is None else "jackknife")
    check_choice("errors", how, ("exact", "jackknife", "bootstrap"))
    if how == "exact" and cluster is not None:
        raise DesignError(
            "exact intervals take subjects as independent, and a cluster is given",
            fix="leave out errors, or use errors='jackknife'",
        )
    y, _, clusters, name = read_numbers(ratings, cluster=cluster)
    table = Centred.of(y)
    if clusters is not None:
        clusters = np.unique(clusters[table.r > 0], return_inverse=True)[1]
    average = max(table.raters, 1) if k is None else int(check_number("k", k, at_least=1))
    sums = table.totals() if table.n else np.zeros(10)
    found = squares(sums, max(table.raters, 1) if table.n else 1)
    components = _components(found)
    notes = _notes(table, float(found.parts))
    grouped = _grouped(table, clusters) if how != "exact" and table.n else None
    made = []
    for chosen in kinds:
        reason = _reason(table, found, chosen)
        if reason is not None:
            made.append(_without(chosen, table.n, reason, level=level, notes=notes, clusters=clusters))
            continue
        error = None
        if grouped is not None:
            error = _resampled(
                chosen,
                table.raters,
                grouped,
                sums,
                average=average,
                by=(clusters is not None, name),
                how=how,
                level=level,
                reps=reps,
                rng=rng,
            )
        made.append(
            _estimate(
                chosen,
                table,
                found,
                components=components,
                average=average,
                interval=interval,
                level=level,
                notes=notes,
                clusters=clusters,
                error=error,
            )
        )
    return made


def _reason(table: Centred, found: Squares, kind: Kind) -> str | None:
    """Why there is no value, in words; None where there is one."""
    if not table.n:
        return "no subject has any rating"
    if table.raters < 2:
        return "one rater only, so nothing shows how raters differ"
    if found.subjects < 2:
        return "one subject only, so subjects cannot differ"
    left = found.df_within if kind.model == 1 else found.df_residual
    if not left > 0:
        return (
            "no subject has two ratings"
            if found.df_within <= 0
            else "no degrees of freedom are left for the residual"
        )
    if kind.model == 2 and not found.df_raters > 0:
        return "no two raters rated one subject"
    if not found.df_between > 0:
        return "subjects cannot be told from raters"
    if table.flat:
        return "every rating is the same, so there is no variance to share out"
    return None


def _notes(table: Centred, parts: float) -> tuple[str, ...]:
    notes, empty = [], table.n_empty
    if empty:
        notes.append(f"{empty:,} subject{'s have' if empty > 1 else ' has'} no rating and {'are' if empty > 1 else 'is'} left out.")  # fmt: skip
    if table.present is not None:
        notes.append("Ratings are missing: components of variance by Henderson's method III (fitting constants).")
    if parts > 1 and table.raters > 1:
        notes.append(
            f"The raters fall into {parts:.0f} sets without a subject in common: kinds 2 and 3 compare subjects and "
            "raters within these sets only."
        )
    return tuple(notes)


def _without(
    kind: Kind, n: int, reason: str, *, level: float, notes: tuple[str, ...], clusters: Ints | None
) -> Estimate:
    nan = math.nan
    return Estimate(
        term=kind.name,
        estimate=nan,
        se=nan,
        df=nan,
        statistic=nan,
        p_value=nan,
        ci_low=nan,
        ci_high=nan,
        level=level,
        scale="agreement",
        method=f"{kind.name}: no value",
        n=n,
        n_clusters=None if clusters is None else int(clusters.max(initial=-1)) + 1,
        warnings=(f"No value: {reason}.", *notes),
        citation=CITATION,
        details={"reason": reason},
    )


def _grouped(table: Centred, clusters: Ints | None) -> Floats:
    """Sums (K, d) of each cluster, or contributions (n, d) of each subject."""
    parts = table.contributions()
    if table.n_empty:
        parts = parts[table.r > 0]
    return parts if clusters is None else by_group(parts, clusters, int(clusters.max()) + 1)


def _resampled(
    kind: Kind,
    R: int,
    grouped: Floats,
    sums: Floats,
    *,
    average: int,
    by: tuple[bool, str | None],
    how: str,
    level: float,
    reps: int,
    rng: Any,
) -> Error:
    """Error on the scale of ``log F``."""

    def of_sums(each: Floats) -> Floats:
        found = squares(each, R)
        with np.errstate(divide="ignore", invalid="ignore"):
            single = value_of(kind, found, 1)
            # log((1 + (k - 1) rho) / (1 - rho)) is log F on a balanced table: its spread hardly depends on rho
            return np.log((1.0 + (average - 1.0) * single) / (1.0 - single))

    blank = np.zeros(len(grouped))
    parts = Parts(
        value=float(of_sums(sums)),
        observed=math.nan,
        expected=math.nan,
        influence=blank,
        published=blank,
        sums=lambda: grouped,
        of_sums=of_sums,
        m=len(grouped),
    )
    codes = np.arange(len(grouped)) if by[0] else None
    return error_of(parts, kind=how, clusters=codes, cluster=by[1], level=level, reps=reps, rng=rng)


def _estimate(
    kind: Kind,
    table: Centred,
    found: Squares,
    *,
    components: dict[str, float],
    average: int,
    interval: str,
    level: float,
    notes: tuple[str, ...],
    clusters: Ints | None,
    error: Error | None,
) -> Estimate:
    from scipy import special

    complete = table.present is None

    top, bottom, df1, df2 = kind.test(found)
    F = top / bottom if bottom > 0 else math.inf
    times = average if kind.average else 1
    value = float(value_of(kind, found, times))
    details: dict[str, Any] = {
        "F": F,
        "df1": df1,
        "df2": df2,
        "k": times,
        **components,
        "complete": complete,
    }
    extra: tuple[str, ...] = ()
    if error is None:
        low, high = limits(kind, found, times, level, interval)
        se = standard_error(kind, found, times)
        words = "exact F interval" if complete and kind.model != 2 else "F interval"
        words += " (Satterthwaite)" if kind.model == 2 else ""
        words += "" if complete else ", approximate for missing cells"
        df = df2
    else:
        low, high, se, words, extra, reason = _from_error(error, average, times)
        df = error.df
        if reason is not None:
            details["reason"] = reason
            extra += (f"No interval: {reason}.",)
        if error.replicates is not None:
            details["replicates"] = _from_log(error.replicates, average, times)
        if clusters is not None and clusters.max() + 1 < FEW_CLUSTERS:
            extra = (*extra, f"{clusters.max() + 1} clusters: the interval covers somewhat less than it says.")
    if kind.model == 2 and details["variance_raters"] < 0:
        extra = (*extra, "The component of the raters is negative and enters as it is; ICC(3,.) does without it.")
    return Estimate(
        term=kind.name,
        estimate=value,
        se=se,
        df=df,
        statistic=F,
        p_value=float(special.fdtrc(df1, df2, F)) if math.isfinite(F) else 0.0,
        ci_low=low,
        ci_high=high,
        level=level,
        scale="agreement",
        method=f"{kind.words}; {words}",
        n=table.n,
        n_clusters=None if clusters is None else int(clusters.max()) + 1,
        warnings=(*notes, *extra),
        citation=_CITATIONS[interval],
        details=details,
    )


def _from_log(z: Floats, average: int, times: int) -> Floats:
    """The correlation of the mean of ``times`` ratings from its ``log F``."""
    single = np.expm1(z) / (np.exp(z) + average - 1.0)
    return np.asarray(times * single / (1.0 + (times - 1.0) * single))


def _from_error(
    error: Error, average: int, times: int
) -> tuple[float, float, float, str, tuple[str, ...], str | None]:
    """Limits and error of the correlation from those of its ``log F``."""
    if error.reason is not None:
        return error.low, error.high, error.se, error.words, error.notes, error.reason
    middle = 0.5 * (error.low + error.high)
    low, high, down, up = (
        float(_from_log(np.array(z), average, times))
        for z in (error.low, error.high, middle - 1e-6, middle + 1e-6)
    )
    return low, high, error.se * (up - down) / 2e-6, error.words + " on the scale of log F", error.notes, None


def _components(found: Squares) -> dict[str, float]:
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = float(found.residual)
        return {
            "ms_subjects": float(found.one_way),
            "ms_within": float(found.within),
            "ms_subjects_given_raters": float(found.between),
            "ms_raters": float(found.raters),
            "ms_residual": residual,
            "variance_subjects": float((found.between - residual) / found.k_between),
            "variance_raters": float((found.raters - residual) / found.n_raters),
            "variance_residual": residual,
        }
