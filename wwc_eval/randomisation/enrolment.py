"""Rolling enrolment by minimisation: one unit at a time, with a state that is saved in between."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.chain import canonical_json, write_atomically
from wwc_eval.errors import DesignError, LedgerError, shown
from wwc_eval.randomisation.arms import Arms, read_arms
from wwc_eval.randomisation.imbalance import imbalances
from wwc_eval.randomisation.scheme import scheme_from
from wwc_eval.randomisation.schemes.minimisation import Minimisation
from wwc_eval.randomisation.stream import ALGORITHM, Stream
from wwc_eval.randomisation.units import read_units

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Enrolment"]

FORMAT = "wwc_eval/enrolment/v1"


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """Units enrolled so far under minimisation. Every step gives a new state; earlier arms never change.

    The arms are those that ``randomise`` gives the whole list in order of arrival with the same seed, so the trial's
    receipt is made at the end (or at any time) from :attr:`units`.

    Parameters
    ----------
    method : Minimisation
        The scheme, without ``order``, ``sequence`` or ``before``: units arrive in the order in which they are enrolled.
    unit : str
        Column that identifies a unit.
    arms : Arms, sequence or mapping
        Arms and ratio.
    enrolled : sequence of (name, levels, arm)
        What was allocated so far: canonical name, level of each factor, index of the arm.

    Examples
    --------
    >>> import wwc_eval as we
    >>> enrolment = we.Enrolment(method=we.Minimisation(on="site"), unit="family", arms=("control", "programme"))
    >>> for family, site in (("F1", "N"), ("F2", "N"), ("F3", "S")):
    ...     enrolment, arm = enrolment.enrol({"family": family, "site": site}, seed="example")
    >>> len(enrolment.table), arm in ("control", "programme")
    (3, True)
    """

    method: Minimisation
    unit: str
    arms: Arms | Sequence[str] | Mapping[str, int]
    enrolled: tuple[tuple[str, tuple[str, ...], int], ...] = ()

    def __post_init__(self) -> None:
        """Check the scheme and the arms."""
        method = self.method
        if not isinstance(method, Minimisation) or method.order or method.sequence or method.before:
            raise DesignError(
                f"method == {shown(method)}, must be a Minimisation without order, sequence and before",
                fix='write method=we.Minimisation(on=["site", "age_band"])',
            )
        object.__setattr__(self, "arms", read_arms(self.arms))
        self.method.coin(self._arms)

    @property
    def _arms(self) -> Arms:
        assert isinstance(self.arms, Arms)
        return self.arms

    def enrol(self, unit: Mapping[str, Any], *, seed: str | bytes) -> tuple[Enrolment, str]:
        """Allocate the next unit.

        Parameters
        ----------
        unit : mapping
            Its name and factors, by column.
        seed : str or bytes
            The trial's seed, the same every time.

        Returns
        -------
        (Enrolment, str)
            The state after it, and its arm.

        Raises
        ------
        DataError
            If a factor is missing.
        DesignError
            If the unit is enrolled already.
        """
        import pandas as pd

        factors = tuple(self.method.on)
        row = read_units(pd.DataFrame([dict(unit)]), self.unit, factors)
        name, levels = row.keys[0], tuple(row.texts(factor)[0] for factor in factors)
        if any(name == earlier for earlier, _, _ in self.enrolled):
            raise DesignError(f"unit '{name}' is enrolled already", fix="look its arm up in table")
        coin = self.method.coin(self._arms)
        stream = Stream(seed, ALGORITHM)
        for _ in self.enrolled:
            stream.below(coin.denominator)
        counts = np.zeros((len(factors), self._arms.k), dtype=np.int64)
        for _, earlier, arm in self.enrolled:
            counts[[mine == theirs for mine, theirs in zip(levels, earlier, strict=True)], arm] += 1
        weights = np.array(self.method.whole_weights, dtype=np.int64)
        total = imbalances(counts, weights, self._arms.ratio, self.method.imbalance)
        ends = np.cumsum(coin.weights((total == total.min()).tolist()))
        arm = int((ends <= stream.below(coin.denominator)).sum())
        after = replace(self, enrolled=(*self.enrolled, (name, levels, arm)))
        return after, self._arms.names[arm]

    @property
    def units(self) -> pd.DataFrame:
        """Names and factors in order of arrival, as ``randomise`` takes them."""
        import pandas as pd

        rows = [[name, *levels] for name, levels, _ in self.enrolled]
        return pd.DataFrame(rows, columns=[self.unit, *self.method.on])

    @property
    def table(self) -> pd.DataFrame:
        """Names, factors and arms in order of arrival."""
        import pandas as pd

        names = self._arms.names
        got = pd.Categorical([names[arm] for _, _, arm in self.enrolled], categories=list(names), ordered=True)
        return self.units.assign(arm=got)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state, all at once or not at all; the seed is not in it."""
        content = {
            "format": FORMAT,
            "scheme": self.method.canonical(),
            "unit": self.unit,
            "arms": self._arms.canonical(),
            "enrolled": [[name, list(levels), arm] for name, levels, arm in self.enrolled],
        }
        write_atomically(path, canonical_json(content).encode("utf-8") + b"\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Enrolment:
        """Read a state.

        Raises
        ------
        LedgerError
            If the file is none.
        """
        try:
            content = json.loads(Path(path).read_bytes())
            known = content["format"] == FORMAT
            arms = dict(zip(content["arms"]["names"], content["arms"]["ratio"], strict=True))
            enrolled = tuple((name, tuple(levels), int(arm)) for name, levels, arm in content["enrolled"])
        except (OSError, ValueError, KeyError, TypeError):
            known = False
        if not known:
            raise LedgerError(
                f"{Path(path).name} is no saved enrolment", rule=f"format: {FORMAT}", fix="give its file"
            )
        method = scheme_from(content["scheme"])
        assert isinstance(method, Minimisation)
        return cls(method=method, unit=content["unit"], arms=arms, enrolled=enrolled)
