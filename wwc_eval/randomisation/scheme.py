"""The protocol of allocation schemes: a frozen scheme is bound to units and arms, and the bound scheme does the rest.

To add a scheme, write one file in ``schemes/`` with

- a frozen, keyword-only dataclass that derives from :class:`Scheme`, has a ``kind``, names the ``columns`` that it
  reads and binds itself: ``bind(units, arms)`` checks that the design can be met and returns
- a frozen dataclass that derives from :class:`BoundScheme`: ``draw`` takes every random number from the stream;
  ``count``, ``probabilities``, ``sample`` and ``_enumerate`` describe the law of that very draw.

The base class derives the rest (uniformity, pairs, smallest p-value) by enumeration where the permitted allocations
are few; override what a formula gives faster. Nothing else needs to know of the new scheme: ``scheme_from`` finds it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError, did_you_mean

if TYPE_CHECKING:
    from wwc_eval.randomisation.arms import Arms
    from wwc_eval.randomisation.stream import Stream
    from wwc_eval.randomisation.units import Units

__all__ = ["COUNTABLE", "BoundScheme", "Pairs", "Reference", "Scheme", "scheme_from"]

Codes = NDArray[np.int8]
Floats = NDArray[np.float64]

COUNTABLE = 200_000
"""Most allocations that are enumerated without being asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """Permitted allocations with their probabilities.

    Parameters
    ----------
    allocations : (m, n) array of int8
        Index of the arm (or sequence) of each unit, units in canonical order.
    probabilities : (m,) array, optional
        Probability of each, adding up to 1; None where all are equal.
    """

    allocations: Codes
    probabilities: Floats | None = None

    @property
    def weights(self) -> Floats:
        """Probability of each allocation, equal ones written out."""
        m = len(self.allocations)
        return np.full(m, 1.0 / m) if self.probabilities is None else self.probabilities


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Probability that two units share an arm.

    Parameters
    ----------
    same : (n, n) array
        Probabilities; 1 on the diagonal.
    draws : int, optional
        Allocations sampled; None where the probabilities are exact.
    """

    same: Floats
    draws: int | None = None

    @property
    def exact(self) -> bool:
        """Whether the probabilities are exact."""
        return self.draws is None

    @property
    def standard_error(self) -> float:
        """Largest Monte Carlo standard error of an entry: 0 where exact, else sqrt(p (1 - p) / draws)."""
        if self.draws is None:
            return 0.0
        return float(np.sqrt((self.same * (1.0 - self.same)).max() / self.draws))


@dataclass(frozen=True, kw_only=True)
class Scheme(ABC):
    """How units are allocated: frozen data, without units, arms or seed."""

    kind: ClassVar[str]
    """Name in receipts and plans."""

    columns: ClassVar[tuple[str, ...]] = ()
    """Columns of the unit list that the scheme reads; a property where a field names them."""

    @abstractmethod
    def bind(self, units: Units, arms: Arms) -> BoundScheme:
        """The scheme for these units and arms.

        Raises
        ------
        DesignError
            If the design cannot be met; nothing has been drawn then.
        """

    def canonical(self) -> dict[str, Any]:
        """The scheme for a receipt: ``kind`` and every field, as JSON has them."""
        return {"kind": self.kind} | {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundScheme(ABC):
    """A scheme bound to units and arms: the one code path that draws, counts, enumerates and samples.

    Parameters
    ----------
    scheme : Scheme
        The scheme, every choice that depended on the units (such as an order of strata) filled in.
    units : Units
        Units in canonical order; every array below follows it.
    arms : Arms
        Arms and ratio.
    """

    scheme: Scheme
    units: Units
    arms: Arms

    @property
    def labels(self) -> tuple[Any, ...]:
        """What the indices in an allocation mean: the arms; for a stepped wedge the sequences."""
        return self.arms.names

    @property
    def column(self) -> str:
        """Name of the allocation's column in tables: ``arm`` or ``sequence``."""
        return "arm"

    @property
    def strata(self) -> tuple[str, ...] | None:
        """Stratum of each unit for tables; None without strata."""
        return None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Plain sentences about what this scheme permits for these units; none for most schemes."""
        return ()

    @property
    def derived(self) -> dict[str, Any]:
        """What follows from units and scheme alone and costs work to derive (a cut-off, blocks), for the receipt."""
        return {}

    def extra_columns(self, codes: Codes) -> dict[str, list[Any]]:
        """Further columns of the allocation's table, such as the period of crossover."""
        del codes
        return {}

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of permitted allocations: those with a probability above 0, as an exact integer."""

    @property
    @abstractmethod
    def uniform(self) -> bool:
        """Whether all permitted allocations are equally likely."""

    @abstractmethod
    def draw(self, stream: Stream) -> Codes:
        """One allocation; every random number comes from the stream."""

    @abstractmethod
    def probabilities(self) -> Floats:
        """Exact probability of each arm for each unit, shape (n, k)."""

    @abstractmethod
    def sample(self, draws: int, rng: np.random.Generator) -> Codes:
        """Independent allocations of the same law, shape (draws, n)."""

    @abstractmethod
    def _enumerate(self) -> Reference:
        """All permitted allocations, each once; called only where they are few enough."""

    def enumerate(self, limit: int = COUNTABLE) -> Reference:
        """All permitted allocations with their probabilities.

        Raises
        ------
        DesignError
            If there are more than ``limit``.
        """
        if self.count > limit:
            raise DesignError(
                f"the scheme permits more than {limit:,} allocations, too many to list",
                fix="draw from them: give draws= and rng=",
            )
        return self._enumerate()

    def pairs(self, draws: int | None = None, rng: np.random.Generator | None = None) -> Pairs:
        """Probability that two units share an arm: exact where countable, else sampled.

        Raises
        ------
        DesignError
            If exact probabilities were asked for (``draws=None``) and there are too many allocations to count.
        """
        if draws is not None and rng is not None:
            return Pairs(same=_coincidence(self.sample(draws, rng), np.full(draws, 1.0 / draws)), draws=draws)
        reference = self.enumerate()
        return Pairs(same=_coincidence(reference.allocations, reference.weights))

    @property
    def mirrored(self) -> bool:
        """Whether exchanging two arms in a permitted allocation gives a permitted one.

        Its statistic has then the opposite sign, so a two-sided test counts both.
        """
        return self.arms.k == 2 and self.arms.equal

    def smallest_p_value(self) -> float:
        """Smallest p-value that a two-sided randomisation test can give, mirror images counted."""
        from wwc_eval.randomisation.smallest import smallest_p_value

        return smallest_p_value(self)

    def forecast(self, allocations: Codes) -> Floats | None:
        """Probability of each arm for each unit given the units before it, shape (m, n, k).

        None where units are allocated all at once, so that there is nothing to foresee.
        """
        del allocations
        return None


def _coincidence(allocations: Codes, weights: Floats) -> Floats:
    n = allocations.shape[1]
    same = np.zeros((n, n))
    step = max(1, 2**24 // max(n, 1))
    for arm in range(int(allocations.max(initial=0)) + 1):
        for start in range(0, len(allocations), step):
            here = (allocations[start : start + step] == arm).astype(float)
            same += here.T @ (here * weights[start : start + step, None])
    np.fill_diagonal(same, 1.0)
    return np.minimum(same, 1.0)


def scheme_from(canonical: Mapping[str, Any]) -> Scheme:
    """The scheme that a receipt describes.

    Raises
    ------
    DesignError
        If there is no such scheme, or it has other fields.
    """
    import importlib
    import pkgutil

    from wwc_eval.randomisation import schemes

    for module in pkgutil.iter_modules(schemes.__path__):
        importlib.import_module(f"{schemes.__name__}.{module.name}")
    known = {kind.kind: kind for kind in _subclasses(Scheme) if hasattr(kind, "kind")}  # type: ignore[type-abstract]
    kind = str(canonical.get("kind", ""))
    if kind not in known:
        raise DesignError(f"there is no scheme of kind '{kind}'", fix=did_you_mean(kind, sorted(known)))
    given = {name: value for name, value in canonical.items() if name != "kind"}
    unknown = sorted(set(given) - {each.name for each in fields(known[kind])})
    if unknown:
        raise DesignError(f"a scheme of kind '{kind}' has no field '{unknown[0]}'")
    return known[kind](**given)


def _subclasses(base: type[Scheme]) -> list[type[Scheme]]:
    found = list(base.__subclasses__())
    return found + [deeper for kind in found for deeper in _subclasses(kind)]


def _plain(value: Any) -> Any:
    """A field as JSON has it: tuples become lists, NumPy numbers plain ones."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
