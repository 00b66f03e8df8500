"""Funnel plots: units against their size, with limits that allow for over-dispersion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wwc_eval.errors import DataError, check_choice, check_number
from wwc_eval.fidelity.scoring.plain import counts_of, means_of
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from wwc_eval.fidelity.scoring.scores import FidelityScores

    Floats = NDArray[np.float64]

__all__ = ["Funnel", "funnel", "funnel_of"]

LIMITS = (0.95, 0.998)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Funnel(Rendered):
    """Units with limits around a target.

    Parameters
    ----------
    labels : tuple of str
        Units.
    n : array
        Size of each: what the horizontal axis shows.
    value : array
        Value of each; a proportion is 0 to 1.
    error : array
        Standard error of each under the target, on the scale of the limits (arcsine for proportions).
    target : float
        Value around which limits are drawn.
    overdispersion : str
        ``additive``, ``multiplicative`` or ``none``.
    phi : float
        Ratio of the variance found to that expected from sampling alone, after winsorising.
    tau2 : float
        Variance between units, of the additive form.
    kind : str
        ``mean`` or ``proportion``.
    name : str
        What the value is.
    """

    labels: tuple[str, ...]
    n: Floats
    value: Floats
    error: Floats
    target: float
    overdispersion: str
    phi: float
    tau2: float
    kind: str
    name: str

    def spread(self, error: Floats) -> Floats:
        """Standard deviation of a unit whose sampling error is given, on the scale of the limits."""
        if self.overdispersion == "multiplicative":
            return error * math.sqrt(max(self.phi, 1.0))
        return np.sqrt(error**2 + self.tau2) if self.overdispersion == "additive" else error

    def limits(self, error: Floats, coverage: float) -> tuple[Floats, Floats]:
        """Lower and upper limit for units of a given sampling error."""
        from scipy import special

        reach = float(special.ndtri(0.5 + coverage / 2)) * self.spread(error)
        centre = _to_scale(np.array(self.target), self.kind)
        return _from_scale(centre - reach, self.kind), _from_scale(centre + reach, self.kind)

    @property
    def z(self) -> Floats:
        """Distance of each unit from the target in standard deviations that allow for over-dispersion."""
        distance = _to_scale(self.value, self.kind) - _to_scale(np.array(self.target), self.kind)
        found: Floats = distance / self.spread(self.error)
        return found

    @property
    def table(self) -> Table:
        """Units with their limits and where they lie."""
        from scipy import special

        limits = {coverage: self.limits(self.error, coverage) for coverage in LIMITS}
        rows: list[dict[str, Any]] = []
        for place, label in enumerate(self.labels):
            z = float(self.z[place])
            row: dict[str, Any] = {"unit": label, "n": float(self.n[place]), "value": float(self.value[place])}
            for coverage, (low, high) in limits.items():
                row[f"low_{100 * coverage:g}"], row[f"high_{100 * coverage:g}"] = (
                    float(low[place]),
                    float(high[place]),
                )
            row["z"], row["p_value"] = z, float(2 * special.ndtr(-abs(z)))
            row["place"] = _place(z)
            rows.append(row)
        digits = 3 if self.kind == "proportion" else 1
        columns = [Column(name="unit"), Column(name="n", kind="count")]
        names = ["value", *(name for name in (rows[0] if rows else {}) if name.startswith(("low_", "high_")))]
        columns += [Column(name=name, kind="number", digits=digits) for name in names]
        columns += [Column(name="z", kind="number", digits=2), Column(name="p_value", label="p", kind="p_value")]
        columns += [Column(name="place", label="where it lies")]
        return Table(rows, columns, title=f"Funnel: {self.name}", notes=self._words())

    def _words(self) -> tuple[str, ...]:
        shown = f"{self.target:.3f}" if self.kind == "proportion" else f"{self.target:.1f}"
        how = {
            "additive": f"over-dispersion is additive, SD between units {math.sqrt(self.tau2):.3g}",
            "multiplicative": f"limits are wider by the square root of phi = {max(self.phi, 1.0):.2f}",
            "none": "sampling alone",
        }[self.overdispersion]
        return (f"Limits around {shown}: {how}; phi = {self.phi:.2f} after winsorising (Spiegelhalter 2005).",)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Values against sizes with the limits; units outside the 99.8% limits are named."""
        from wwc_eval.fidelity.charting import BLUE, GREY, RED, new_axes

        axes = new_axes(ax, 6.5, 4.2)
        grid = np.linspace(max(1.0, 0.6 * float(self.n.min())), 1.08 * float(self.n.max()), 200)
        error = np.median(self.error * np.sqrt(self.n)) / np.sqrt(grid)
        for coverage, style in zip(LIMITS, ("--", "-"), strict=True):
            low, high = self.limits(error, coverage)
            axes.plot(grid, low, style, color=GREY, linewidth=1, label=f"{100 * coverage:g}% limits")
            axes.plot(grid, high, style, color=GREY, linewidth=1)
        axes.axhline(self.target, color=GREY, linewidth=0.8)
        outside = np.array([_place(float(z)).startswith(("high", "low")) for z in self.z])
        axes.plot(self.n[~outside], self.value[~outside], "o", color=BLUE, markersize=5)
        axes.plot(self.n[outside], self.value[outside], "D", color=RED, markersize=6)
        for place in np.flatnonzero(outside):
            axes.annotate(
                self.labels[place],
                (self.n[place], self.value[place]),
                xytext=(5, 4),
                textcoords="offset points",
                fontsize=8,
            )
        axes.set_xlabel("cases")
        axes.set_ylabel(self.name)
        axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
        return axes

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of the units."""
        return self.table.to_dicts()

    def _grid(self) -> Grid:
        return self.table._grid()

    def _title(self) -> str:
        return self.table.title

    def _notes(self) -> tuple[str, ...]:
        return tuple(self.table.notes)


def _place(z: float) -> str:
    from scipy import special

    sure, alert = (float(special.ndtri(0.5 + coverage / 2)) for coverage in reversed(LIMITS))
    if abs(z) <= alert:
        return "within"
    side = "above" if z > 0 else "below"
    return f"{'high' if z > 0 else 'low'}: {side} 99.8%" if abs(z) > sure else f"{side} 95%"


def _to_scale(value: Floats, kind: str) -> Floats:
    return np.arcsin(np.sqrt(value)) if kind == "proportion" else value


def _from_scale(value: Floats, kind: str) -> Floats:
    return np.sin(np.clip(value, 0.0, np.pi / 2)) ** 2 if kind == "proportion" else value


def funnel(
    values: Sequence[float] | Floats,
    n: Sequence[float] | Floats,
    labels: Sequence[str],
    *,
    sd: float | None = None,
    target: float | None = None,
    overdispersion: Literal["additive", "multiplicative", "none"] = "additive",
    winsorise: float = 0.1,
    name: str = "value",
) -> Funnel:
    """Funnel of means, or of proportions where no ``sd`` is given.

    Parameters
    ----------
    values : array
        Mean of each unit, or a proportion (0 to 1).
    n : array
        Cases of each unit.
    labels : sequence of str
        Names of the units.
    sd : float, optional
        Standard deviation of a case within units; values are proportions where it is missing.
    target : float, optional
        Value around which limits are drawn; the mean over all cases where missing.
    overdispersion : {"additive", "multiplicative", "none"}
        How limits allow for units that differ by more than chance.
    winsorise : float
        Share of the units at either end that are drawn in before the dispersion is estimated.
    name : str
        What the value is.

    Returns
    -------
    Funnel

    Raises
    ------
    DataError
        If lengths differ, there are fewer than two units, a size is not above 0 or a proportion lies outside 0 to 1.

    Notes
    -----
    ``z = (y - target) / s``; phi is the mean of the squared winsorised z. Multiplicative: ``s sqrt(phi)``. Additive:
    ``sqrt(s^2 + tau2)``, ``tau2 = (K phi - (K - 1)) / (sum w - sum w^2 / sum w)``, ``w = 1 / s^2``; none below 0.
    Proportions on the arcsine scale, ``s = 1 / (2 sqrt n)``. Source: Spiegelhalter 2005, doi:10.1002/sim.1970.

    Examples
    --------
    >>> shares = [0.50, 0.52, 0.48, 0.51, 0.90]
    >>> found = funnel(shares, [200] * 5, list("ABCDE"), target=0.5, overdispersion="none")
    >>> [(row["unit"], row["place"]) for row in found.to_dicts() if row["place"] != "within"]
    [('E', 'high: above 99.8%')]
    """
    check_choice("overdispersion", overdispersion, ("additive", "multiplicative", "none"))
    check_number("winsorise", winsorise, at_least=0, below=0.5)
    y, size = np.asarray(values, dtype=float), np.asarray(n, dtype=float)
    if not len(y) == len(size) == len(labels) or len(y) < 2:
        raise DataError(
            f"{len(y)} values, {len(size)} sizes, {len(labels)} labels: two units at least, one of each"
        )
    kind = "mean" if sd is not None else "proportion"
    if not (np.isfinite(y).all() and (size > 0).all()):
        raise DataError("a value is missing, or a size is not above 0", fix="leave the unit out")
    if kind == "proportion" and not ((y >= 0) & (y <= 1)).all():
        raise DataError(f"a proportion is {y[(y < 0) | (y > 1)][0]:g}", rule="0 to 1", fix="give sd for means")
    scale = 0.5 if sd is None else check_number("sd", sd, above=0)
    error = scale / np.sqrt(size)
    centre = float(size @ y / size.sum()) if target is None else check_number("target", target)
    z = (_to_scale(y, kind) - _to_scale(np.array(centre), kind)) / error
    low, high = np.quantile(z, [winsorise, 1 - winsorise])
    phi = float((np.clip(z, low, high) ** 2).mean())
    w, k = 1 / error**2, len(y)
    spread = float(w.sum() - (w @ w) / w.sum())
    tau2 = max(0.0, (k * phi - (k - 1)) / spread) if overdispersion == "additive" else 0.0
    return Funnel(
        labels=tuple(str(label) for label in labels),
        n=size,
        value=y,
        error=error,
        target=centre,
        overdispersion=overdispersion,
        phi=phi,
        tau2=tau2,
        kind=kind,
        name=name,
    )


def funnel_of(scores: FidelityScores, unit: str, of: str) -> Funnel:
    """Funnel of the units of fidelity scores; see :meth:`FidelityScores.funnel`."""
    places = scores.matrix.places
    codes, labels, values = places.of_case[unit], places.labels[unit], scores.values(of)
    mean, count = means_of(codes, values, len(labels)), counts_of(codes, values, len(labels))
    kept = count > 0
    names = [label for label, ok in zip(labels, kept, strict=True) if ok]
    what = f"mean {of}" if of != "essentials" else "share of cases that meet the essentials"
    title = f"{what} by {unit.replace('_', ' ')}"
    if of == "essentials":
        return funnel(mean[kept], count[kept].astype(float), names, name=title)
    left = values - mean[codes]
    freedom = int((~np.isnan(left)).sum() - kept.sum())
    if freedom < 1 or float(np.nansum(left**2)) == 0:
        raise DataError(f"scores do not vary within units of '{unit}': no limits", fix="choose a higher unit")
    sd = math.sqrt(float(np.nansum(left**2)) / freedom)
    return funnel(mean[kept], count[kept].astype(float), names, sd=sd, name=title)
