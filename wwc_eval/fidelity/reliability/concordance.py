"""Kendall's W, tests that raters use categories alike, and the size of a study of kappa."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.fidelity.reliability.reading import Floats, read_numbers, read_ratings
from wwc_eval.table import Column, Table

__all__ = ["kappa_sample_size", "kendall_w", "marginal_homogeneity"]


def kendall_w(ratings: Any, *, ties: bool = True) -> Estimate:
    """Kendall's coefficient of concordance: whether raters put subjects in one order.

    Parameters
    ----------
    ratings : DataFrame or array of numbers, subjects x raters
        Subjects that any rater has not rated are left out, and counted.
    ties : bool
        Whether W is corrected for ties.

    Returns
    -------
    Estimate
        ``statistic`` is chi-squared ``r (n - 1) W`` with ``df = n - 1``. It has no standard error.

    Notes
    -----
    Formula: ``W = 12 S / (r^2 (n^3 - n) - r sum(t^3 - t))``, S the squared deviations of the sums of ranks. Source:
    Kendall and Babington Smith (1939), doi:10.1214/aoms/1177732186.

    Examples
    --------
    >>> round(kendall_w([[1, 2], [2, 1], [3, 3], [4, 4]]).estimate, 2)
    0.9
    """
    from scipy import special, stats

    y, _, _, _ = read_numbers(ratings)
    whole = ~np.isnan(y).any(axis=1)
    lost, y = int((~whole).sum()), y[whole]
    n, r = y.shape
    notes = [f"{lost:,} subjects are not rated by every rater and are left out."] if lost else []
    reason = None
    if r < 2:
        reason = "one rater only"
    elif n < 2:
        reason = f"{n} subjects rated by every rater"
    value = statistic = p = math.nan
    if reason is None:
        ranks = np.column_stack([stats.rankdata(column) for column in y.T])
        sums = ranks.sum(axis=1)
        spread = float(((sums - sums.mean()) ** 2).sum())
        tied = (
            sum(float((t**3 - t).sum()) for t in (np.unique(c, return_counts=True)[1] for c in y.T))
            if ties
            else 0.0
        )
        bottom = r**2 * (n**3 - n) - r * tied
        if bottom <= 0:
            reason = "every rater gives all subjects one rating"
        else:
            value = 12.0 * spread / bottom
            statistic = r * (n - 1.0) * value
            p = float(special.chdtrc(n - 1.0, statistic))
    return Estimate(
        term="Kendall's W",
        estimate=value,
        se=math.nan,
        df=n - 1.0,
        statistic=statistic,
        p_value=p,
        ci_low=math.nan,
        ci_high=math.nan,
        scale="agreement",
        method="Kendall's W "
        + ("corrected for ties" if ties else "without correction for ties")
        + "; chi-squared test",
        n=n,
        warnings=tuple(([f"No value: {reason}."] if reason else []) + notes),
        citation="Kendall and Babington Smith 1939, doi:10.1214/aoms/1177732186",
        details={"raters": r, **({"reason": reason} if reason else {"no_interval": "W has no standard error"})},
    )


def marginal_homogeneity(ratings: Any, *, categories: Any = None) -> Table:
    """Tests that two raters use the categories equally often: Stuart-Maxwell and Bhapkar.

    Parameters
    ----------
    ratings : DataFrame or array, subjects x 2 raters
        Subjects with one rating only are left out.
    categories : sequence, optional
        The categories in order; those that occur where it is missing. Categories that neither uses are left out.

    Returns
    -------
    Table
        ``test, statistic, df, p_value`` (chi-squared).

    Raises
    ------
    DesignError
        If there are not two raters.

    Notes
    -----
    Formula: with d the differences of the margins, ``d' V^-1 d`` with V their covariance under the null hypothesis
    (Stuart-Maxwell); Bhapkar's is ``X / (1 - X / n)`` of it. Source: Stuart (1955), doi:10.1093/biomet/42.3-4.412;
    Bhapkar (1966), doi:10.1080/01621459.1966.10502021.

    Examples
    --------
    >>> marginal_homogeneity([[1, 1], [1, 2], [2, 2], [1, 2], [2, 1], [1, 2]]).column("df")
    [1, 1]
    """
    from scipy import special

    table = read_ratings(ratings, categories=categories)
    if len(table.raters) != 2:
        raise DesignError(f"{len(table.raters)} raters, must be 2", fix="give two columns at a time")
    both = (table.codes >= 0).all(axis=1)
    q = table.q
    cells = table.codes[both]
    counts = np.bincount(cells[:, 0] * q + cells[:, 1], minlength=q * q).reshape(q, q).astype(float)
    used = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
    counts = counts[used][:, used]
    n = float(counts.sum())
    d = counts.sum(axis=1) - counts.sum(axis=0)
    V = -(counts + counts.T)
    np.fill_diagonal(V, counts.sum(axis=1) + counts.sum(axis=0) - 2.0 * np.diag(counts))
    df = int(np.linalg.matrix_rank(V)) if n else 0
    stuart = float(d @ np.linalg.pinv(V) @ d) if df else math.nan
    bhapkar = stuart / (1.0 - stuart / n) if df and stuart < n else math.inf if df else math.nan
    rows = [
        {"test": name, "statistic": each, "df": df, "p_value": float(special.chdtrc(df, each)) if df else math.nan}
        for name, each in (("Stuart-Maxwell", stuart), ("Bhapkar", bhapkar))
    ]
    notes = [f"{n:,.0f} subjects rated by both."]
    if not df:
        notes.append("No test: the raters never differ.")
    columns = (
        Column(name="test"),
        Column(name="statistic", label="chi-squared", kind="number", digits=2),
        Column(name="df", kind="count"),
        Column(name="p_value", label="p", kind="p_value"),
    )
    return Table(
        rows, columns, title=f"Do {table.raters[0]} and {table.raters[1]} use the categories alike?", notes=notes
    )


def kappa_sample_size(
    *,
    rate_1: float,
    rate_2: float,
    kappa: float,
    null: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
    two_sided: bool = False,
) -> int:
    """Subjects needed to show that Cohen's kappa of two raters of a binary item is above a value.

    Parameters
    ----------
    rate_1, rate_2 : float
        Share of subjects that each rater calls positive.
    kappa, null : float
        Kappa expected, and that of the null hypothesis.
    alpha, power : float
        Level (one-sided unless ``two_sided``) and power of the test.

    Returns
    -------
    int

    Raises
    ------
    DesignError
        If these margins cannot have such a kappa.

    Notes
    -----
    Formula: ``n = ((z_a sqrt(Q0) + z_b sqrt(Q1)) / (kappa - null))^2`` with Q the large-sample variance of Fleiss, Cohen
    and Everitt (1969) given the margins. Source: Cantor (1996), doi:10.1037/1082-989X.1.2.150.

    Examples
    --------
    >>> kappa_sample_size(rate_1=0.4, rate_2=0.3, kappa=0.7, null=0.5)
    107
    """
    from scipy import special

    for name, each in (("rate_1", rate_1), ("rate_2", rate_2), ("alpha", alpha), ("power", power)):
        check_number(name, each, above=0, below=1)
    if kappa == null:
        raise DesignError("kappa and null are equal, so nothing tells them apart")
    spread = []
    for name, each in (("null", null), ("kappa", kappa)):
        check_number(name, each, above=-1, at_most=1)
        spread.append(math.sqrt(_unit_variance(rate_1, rate_2, each, name)))
    z = float(special.ndtri(1.0 - (alpha / 2.0 if two_sided else alpha)))
    size = ((z * spread[0] + float(special.ndtri(power)) * spread[1]) / (kappa - null)) ** 2
    return math.ceil(size - 1e-9)


def _unit_variance(p: float, q: float, kappa: float, name: str) -> float:
    """Variance of kappa times n for given margins."""
    pe = p * q + (1.0 - p) * (1.0 - q)
    both = (kappa * (1.0 - pe) + pe - 1.0 + p + q) / 2.0
    table: Floats = np.array([[both, p - both], [q - both, 1.0 - p - q + both]])
    if np.any(table < -1e-12):
        top = (1.0 - abs(p - q) - pe) / (1.0 - pe)
        raise DesignError(
            f"{name} == {kappa:g} cannot be had with rates {p:g} and {q:g}",
            rule=f"kappa is at most {top:.3f} with these margins",
        )
    pa = pe + kappa * (1.0 - pe)
    rows, columns = np.array([p, 1 - p]), np.array([q, 1 - q])
    own = sum(table[i, i] * ((1 - pe) - (rows[i] + columns[i]) * (1 - pa)) ** 2 for i in range(2))
    cross = (1 - pa) ** 2 * sum(table[i, j] * (columns[i] + rows[j]) ** 2 for i, j in ((0, 1), (1, 0)))
    return float((own + cross - (pa * pe - 2.0 * pe + pa) ** 2) / (1 - pe) ** 4)
