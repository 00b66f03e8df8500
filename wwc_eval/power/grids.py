"""Tables and curves over what a design leaves open: ICC, R^2, numbers of clusters, their size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.power.assurance import changed
from wwc_eval.power.conventions import Convention
from wwc_eval.power.kernels import Array
from wwc_eval.power.outcomes import Outcome
from wwc_eval.power.solving import Direction
from wwc_eval.power.trial import Trial
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PowerContour", "PowerCurve", "mdes_table", "power_contour", "power_curve"]


def mdes_table(
    design: Trial,
    vary: Mapping[str, Sequence[float]],
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    sides: int = 2,
    convention: str | Convention = "exact",
) -> Table:
    """Minimum detectable effect over every combination of some values.

    Parameters
    ----------
    design : Trial
        The design; what varies replaces its own values.
    vary : mapping of str to sequence of float
        Values by name: ``"team.icc"``, ``"child.r2"``, ``"team.n"``, ``"outcome.control"``, as in
        :func:`wwc_eval.power.assurance.assurance`.
    power, alpha, sides, convention
        As in :meth:`wwc_eval.power.Trial.mdes`.

    Returns
    -------
    Table
        One row a combination: the values, df, mdes, fall, rise.

    Examples
    --------
    >>> from wwc_eval.power import Level
    >>> design = Trial(levels=[Level("child", 20), Level("team", 40, icc=0.05)], assigned="team")
    >>> table = mdes_table(design, {"team.icc": [0.01, 0.05], "team.n": [20, 40]})
    >>> [round(row["mdes"], 3) for row in table]
    [0.323, 0.222, 0.414, 0.284]
    """
    if not vary:
        raise DesignError("nothing varies: the table would hold one figure", fix="vary={'team.icc': [0.01, 0.05]}")
    mesh = np.meshgrid(*(np.asarray(values, float) for values in vary.values()), indexing="ij")
    flat = {name: each.ravel() for name, each in zip(vary, mesh, strict=True)}
    held = changed(design, flat)
    with np.errstate(all="ignore"):
        found = held.mdes(power, alpha=alpha, sides=sides, convention=convention, unreachable="nan")
    size = len(mesh[0].ravel())
    parts = {"df": found.df, "mdes": found.value, "fall": found.fall, "rise": found.rise}
    columns = {**flat, **{name: np.broadcast_to(np.asarray(each, float), (size,)) for name, each in parts.items()}}
    rows = [{name: float(values[i]) for name, values in columns.items()} for i in range(size)]
    shown = [
        Column(name=name, label=name.replace(".", " "), kind="number", digits=_digits(flat[name])) for name in flat
    ]
    units = design.outcome.words()
    shown.append(Column(name="df", kind="number", digits=1))
    shown += [Column(name=name, label=f"{label} ({units})", kind="number", digits=4) for name, label in _EFFECTS]
    notes = [f"Power {100 * power:g}%, alpha {alpha:g}, {sides}-sided; convention: {found.convention}."]
    if np.any(np.isnan(np.asarray(found.value))):
        notes.append("No possible effect has that power where the table has a dash.")
    return Table(
        rows, shown, title=f"Minimum detectable effects; {design.describe()}", notes=[*notes, *found.warnings]
    )


_EFFECTS = (("mdes", "MDES"), ("fall", "fall"), ("rise", "rise"))


def _digits(values: Array) -> int:
    """Decimals that tell the values apart."""
    for digits in range(6):
        if np.allclose(values, np.round(values, digits), rtol=0, atol=1e-9):
            return digits
    return 6


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PowerCurve(Rendered):
    """Power along one number of a design, with a band for another that is uncertain.

    Parameters
    ----------
    over, x : str, ndarray
        Name of the number, and its values.
    power : ndarray
        Power at them.
    low, high : ndarray or None
        Power at the two ends of the band.
    band : str
        What the band is.
    target, effect, design, convention
        Line to reach; the effect (NaN where it is what varies); the design; name of the convention.
    """

    over: str
    x: Array
    power: Array
    low: Array | None
    high: Array | None
    band: str
    target: float
    effect: float
    outcome: Outcome
    design: str
    convention: str

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of the number, power, low, high."""
        low = self.power if self.low is None else self.low
        high = self.power if self.high is None else self.high
        return [
            {self.over: float(x), "power": float(p), "low": float(a), "high": float(b)}
            for x, p, a, b in zip(self.x, self.power, low, high, strict=True)
        ]

    def _grid(self) -> Grid:
        columns = [
            Column(name=self.over, label=self.over.replace(".", " "), kind="number", digits=_digits(self.x))
        ]
        columns += [Column(name=name, kind="percent", digits=1) for name in ("power", "low", "high")]
        return Table(self.to_dicts(), columns)._grid()

    def _title(self) -> str:
        return self.design

    def _notes(self) -> tuple[str, ...]:
        return (*((f"Band: {self.band}.",) if self.band else ()), f"Convention: {self.convention}.")

    def plot(self, ax: Axes | None = None) -> Axes:
        """The curve, its band and the target."""
        from wwc_eval.power.charts import plot_curve

        return plot_curve(self, ax)


def power_curve(
    design: Trial,
    over: str,
    values: Sequence[float],
    *,
    effect: float | None = None,
    band: tuple[str, float, float] | None = None,
    target: float = 0.8,
    alpha: float = 0.05,
    sides: int = 2,
    convention: str | Convention = "exact",
) -> PowerCurve:
    """Power along one number of a design: ``"effect"``, ``"team.n"``, ``"team.icc"``, ...

    Parameters
    ----------
    design : Trial
        The design.
    over, values : str, sequence of float
        What varies and its values; effects that are none (0, or a ratio of 1) have power alpha.
    effect : float, optional
        The effect, where it is not what varies.
    band : (str, float, float), optional
        Another number and the two values of it that bound the band, such as ``("team.icc", 0.01, 0.1)``.
    target : float
        Power to be reached, drawn as a line.
    alpha, sides, convention
        As in :meth:`wwc_eval.power.Trial.power`.

    Examples
    --------
    >>> from wwc_eval.power import Level
    >>> design = Trial(levels=[Level("child", 20), Level("team", 40, icc=0.05)], assigned="team")
    >>> curve = power_curve(design, "team.n", [20, 40, 60], effect=0.25, band=("team.icc", 0.02, 0.1))
    >>> [round(float(p), 3) for p in curve.power]
    [0.396, 0.694, 0.862]
    """
    x = np.asarray(values, float)
    if over != "effect" and effect is None:
        raise DesignError("the effect is missing", fix="effect=..., or over='effect'")
    given: dict[str, Any] = {"alpha": alpha, "sides": sides, "convention": convention}

    def along(**more: Array) -> Array:
        held = changed(design, more)
        if over == "effect":
            return np.asarray(held.power(x, **given).value) + np.zeros(x.shape)
        found = changed(held, {over: x}).power(effect if effect is not None else np.nan, **given)
        return np.asarray(found.value) + np.zeros(x.shape)

    ends = [along(**{band[0]: np.asarray(float(end))}) for end in band[1:]] if band else [None, None]
    return PowerCurve(
        over=over,
        x=x,
        power=along(),
        low=ends[1],
        high=ends[0],
        band=f"{band[0].replace('.', ' ')} from {band[1]:g} to {band[2]:g}" if band else "",
        target=target,
        effect=float("nan") if effect is None else effect,
        outcome=design.outcome,
        design=design.describe(),
        convention=convention if isinstance(convention, str) else convention.name,
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PowerContour(Rendered):
    """Power or detectable effect over a plane of two numbers of a design.

    Parameters
    ----------
    x_name, y_name : str
        The two numbers.
    x, y : ndarray
        Their values.
    z : ndarray
        Power or detectable effect, y by x.
    quantity : {"power", "mdes"}
        What it is.
    """

    x_name: str
    y_name: str
    x: Array
    y: Array
    z: Array
    quantity: Literal["power", "mdes"]
    outcome: Outcome
    design: str
    convention: str

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a point."""
        return [
            {self.x_name: float(a), self.y_name: float(b), self.quantity: float(self.z[j, i])}
            for j, b in enumerate(self.y)
            for i, a in enumerate(self.x)
        ]

    def _grid(self) -> Grid:
        columns = [
            Column(name=self.y_name, label=self.y_name.replace(".", " "), kind="number", digits=_digits(self.y))
        ]
        kind: Literal["percent", "number"] = "percent" if self.quantity == "power" else "number"
        names = [f"{value:g}" for value in self.x]
        head = self.x_name.replace(".", " ")
        columns += [
            Column(name=n, label=f"{head} {n}", kind=kind, digits=1 if kind == "percent" else 4) for n in names
        ]
        rows = [
            {self.y_name: float(b), **dict(zip(names, self.z[j].tolist(), strict=True))}
            for j, b in enumerate(self.y)
        ]
        return Table(rows, columns)._grid()

    def _title(self) -> str:
        return f"{'Power' if self.quantity == 'power' else 'Minimum detectable effect'}; {self.design}"

    def _notes(self) -> tuple[str, ...]:
        return (f"Convention: {self.convention}.",)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Contours with their values written in."""
        from wwc_eval.power.charts import plot_contour

        return plot_contour(self, ax)


def power_contour(
    design: Trial,
    x: tuple[str, Sequence[float]],
    y: tuple[str, Sequence[float]],
    *,
    effect: float | None = None,
    power: float = 0.8,
    direction: Direction = "either",
    alpha: float = 0.05,
    sides: int = 2,
    convention: str | Convention = "exact",
) -> PowerContour:
    """Power (where an effect is given) or detectable effect over a plane, such as teams by ICC.

    Examples
    --------
    >>> from wwc_eval.power import Level
    >>> design = Trial(levels=[Level("child", 20), Level("team", 40, icc=0.05)], assigned="team")
    >>> plane = power_contour(design, ("team.n", [20, 40]), ("team.icc", [0.01, 0.05]), effect=0.25)
    >>> plane.z.round(3).tolist()
    [[0.583, 0.885], [0.396, 0.694]]
    """
    across, up = np.asarray(x[1], float), np.asarray(y[1], float)
    held = changed(design, {x[0]: across[None, :], y[0]: up[:, None]})
    given: dict[str, Any] = {"alpha": alpha, "sides": sides, "convention": convention}
    quantity: Literal["power", "mdes"] = "mdes" if effect is None else "power"
    if effect is None:
        found = np.asarray(held.mdes(power, direction=direction, unreachable="nan", **given).value)
    else:
        found = np.asarray(held.power(effect, **given).value)
    return PowerContour(
        x_name=x[0],
        y_name=y[0],
        x=across,
        y=up,
        z=found + np.zeros((len(up), len(across))),
        quantity=quantity,
        outcome=design.outcome,
        design=design.describe(),
        convention=convention if isinstance(convention, str) else convention.name,
    )
