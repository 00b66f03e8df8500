"""Staged enrolment: each stage is allocated on its own, and no stage touches an earlier one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError
from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.dealing import products
from wwc_eval.randomisation.scheme import BoundScheme, Codes, Floats, Pairs, Reference, Scheme, scheme_from
from wwc_eval.randomisation.schemes.minimisation import BoundMinimisation, Minimisation
from wwc_eval.randomisation.stream import Stream
from wwc_eval.randomisation.units import Units, names_of

__all__ = ["BoundStaged", "Staged"]


@dataclass(frozen=True, kw_only=True)
class Staged(Scheme):
    """Units come in stages; each stage has a scheme of its own and its own draw.

    Parameters
    ----------
    stage : str
        Column of the unit list with the stage of each unit: 1, 2, ...
    stages : sequence of Scheme
        Scheme of each stage.
    """

    stage: str
    stages: Sequence[Scheme | Mapping[str, Any]]

    kind = "staged"

    def __post_init__(self) -> None:
        """Check the name; read schemes that come from a receipt."""
        names_of("stage", self.stage)
        read = tuple(each if isinstance(each, Scheme) else scheme_from(each) for each in self.stages)
        object.__setattr__(self, "stages", read)

    def canonical(self) -> dict[str, Any]:
        """The scheme for a receipt."""
        return {"kind": self.kind, "stage": self.stage, "stages": [each.canonical() for each in self.schemes]}

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """Scheme of each stage."""
        return tuple(self.stages)  # type: ignore[arg-type]

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Columns of the unit list that the schemes read."""
        return tuple(dict.fromkeys([self.stage, *(name for each in self.schemes for name in each.columns)]))

    def bind(self, units: Units, arms: Arms) -> BoundStaged:
        """The scheme for these units and arms.

        Raises
        ------
        DesignError
            If the stages of the units are not 1 to the number of schemes, or a stage cannot be met.
        """
        texts = units.texts(self.stage)
        wanted = [str(number) for number in range(1, len(self.schemes) + 1)]
        odd = sorted(set(texts) ^ set(wanted))
        if odd:
            raise DesignError(
                f"'{self.stage}' is not 1 to {len(wanted)}: '{odd[0]}'", fix="give each stage units and a scheme"
            )
        places = [np.array([i for i, text in enumerate(texts) if text == number]) for number in wanted]
        parts = [each.bind(units.take(place), arms) for each, place in zip(self.schemes, places, strict=True)]
        return BoundStaged.of(self, units, parts)


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundStaged(BoundScheme):
    """Stages one after another: independent draws, each with the law of its own scheme.

    Minimised stages that go on from one another are one part: what a later one may give depends on what an earlier one
    gave, so their law is that of one list in order of arrival.

    Stream: the parts in turn.

    Parameters
    ----------
    parts : tuple of BoundScheme
        The stages.
    places : tuple of arrays
        Positions of each part's units.
    numbers : tuple of tuple of int
        Stage of each unit of each part.
    """

    parts: tuple[BoundScheme, ...]
    places: tuple[NDArray[np.intp], ...]
    numbers: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls,
        scheme: Staged,
        units: Units,
        parts: Sequence[BoundScheme],
        numbers: Sequence[tuple[int, ...]] = (),
    ) -> BoundStaged:
        """Stages bound each on its own, put together.

        Raises
        ------
        DesignError
            If the stages allocate to different things.
        """
        if len({(part.labels, part.column) for part in parts}) > 1:
            raise DesignError("the stages have different arms or sequences", fix="give every stage the same arms")
        place = {key: position for position, key in enumerate(units.keys)}
        which = tuple(numbers) or tuple((number,) * part.units.n for number, part in enumerate(parts, start=1))
        stage = {
            key: number
            for part, listed in zip(parts, which, strict=True)
            for key, number in zip(part.units.keys, listed, strict=True)
        }
        merged: list[BoundScheme] = []
        for part in parts:
            last = merged[-1] if merged else None
            if isinstance(last, BoundMinimisation) and isinstance(part, BoundMinimisation) and _goes_on(part):
                both = units.take(np.array([place[key] for key in (*last.units.keys, *part.units.keys)]))
                merged[-1] = last.then(part, both)
            else:
                merged.append(part)
        return cls(
            scheme=scheme, units=units, arms=parts[0].arms, parts=tuple(merged),
            places=tuple(np.array([place[key] for key in part.units.keys], dtype=np.intp) for part in merged),
            numbers=tuple(tuple(stage[key] for key in part.units.keys) for part in merged),
        )  # fmt: skip

    @property
    def labels(self) -> tuple[Any, ...]:
        """What the indices mean, the same in every stage."""
        return self.parts[0].labels

    @property
    def column(self) -> str:
        """Name of the allocation's column."""
        return self.parts[0].column

    @property
    def strata(self) -> tuple[str, ...] | None:
        """Stratum of each unit within its stage; None where no stage has any."""
        if all(part.strata is None for part in self.parts):
            return None
        out = [""] * self.units.n
        for part, places in zip(self.parts, self.places, strict=True):
            for place, label in zip(places.tolist(), part.strata or [""] * len(places), strict=True):
                out[place] = label
        return tuple(out)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the stages warn of."""
        return tuple(dict.fromkeys(text for part in self.parts for text in part.warnings))

    def extra_columns(self, codes: Codes) -> dict[str, list[Any]]:
        """Stage of each unit, and what the stages add."""
        out: dict[str, list[Any]] = {"stage": [0] * self.units.n}
        for listed, part, places in zip(self.numbers, self.parts, self.places, strict=True):
            added = part.extra_columns(codes[places]) | {"stage": list(listed)}
            for name, values in added.items():
                column = out.setdefault(name, [None] * self.units.n)
                for place, value in zip(places.tolist(), values, strict=True):
                    column[place] = value
        return out

    @cached_property
    def count(self) -> int:
        """Number of permitted allocations: the product over stages."""
        return math.prod(part.count for part in self.parts)

    @property
    def uniform(self) -> bool:
        """Whether every stage's allocations are equally likely."""
        return all(part.uniform for part in self.parts)

    @property
    def mirrored(self) -> bool:
        """Whether every stage is."""
        return all(part.mirrored for part in self.parts)

    def _joined(self, arrays: Sequence[NDArray[Any]], axis: int = 0) -> NDArray[Any]:
        order = np.argsort(np.concatenate(self.places), kind="stable")
        return np.take(np.concatenate(arrays, axis=axis), order, axis=axis)

    def draw(self, stream: Stream) -> Codes:
        """One allocation from the stream."""
        return np.asarray(self._joined([part.draw(stream) for part in self.parts]), dtype=np.int8)

    def probabilities(self) -> Floats:
        """Probabilities of the stages."""
        return self._joined([part.probabilities() for part in self.parts])

    def sample(self, draws: int, rng: np.random.Generator) -> Codes:
        """Independent allocations."""
        return self._joined([part.sample(draws, rng) for part in self.parts], axis=1)

    def _enumerate(self) -> Reference:
        listed = [part.enumerate(max(part.count, 1)) for part in self.parts]
        weights = np.ones(1)
        for each in listed:
            weights = np.outer(weights, each.weights).ravel()
        return Reference(
            allocations=products(list(self.places), [each.allocations for each in listed]),
            probabilities=None if self.uniform else weights,
        )

    def pairs(self, draws: int | None = None, rng: np.random.Generator | None = None) -> Pairs:
        """Pairs of one stage by its scheme; units of different stages are independent."""
        parts = [part.pairs(draws, rng) for part in self.parts]
        chances = self.probabilities()
        same = chances @ chances.T
        for part, places in zip(parts, self.places, strict=True):
            same[np.ix_(places, places)] = part.same
        sampled = [part.draws for part in parts if part.draws is not None]
        return Pairs(same=same, draws=min(sampled) if sampled else None)

    def forecast(self, allocations: Codes) -> Floats | None:
        """Forecasts of the stages; None where no stage has any."""
        found = [
            part.forecast(allocations[:, places]) for part, places in zip(self.parts, self.places, strict=True)
        ]
        if any(each is None for each in found):
            return None
        return self._joined([each for each in found if each is not None], axis=1)


def _goes_on(part: BoundMinimisation) -> bool:
    return isinstance(part.scheme, Minimisation) and part.scheme.before is not None
