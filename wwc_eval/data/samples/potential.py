"""Potential outcomes of the children of the sample trial, and the constants that plant the effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.data.samples.draws import Draws
from wwc_eval.data.samples.population import Children, Families, Setting
from wwc_eval.errors import DesignError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Outcomes", "solve_risks"]

HELD_IF_USUAL = 0.02
YEAR = 365
NEED_PULL = np.array([0.10, -0.10, 0.05, 0.05, -0.15])
NEWTON_STEPS = 60


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Everything that decides a child's outcomes under either arm.

    ``reach`` is the child's latent liability without a conference and ``tau`` what holding one adds;
    ``takes_up`` and ``slips_in`` say whether a family holds one if offered and if not.
    """

    family: Ints
    score: Floats
    tau: float
    liability: Floats
    held_if_offered: Floats
    takes_up: Bools
    slips_in: Bools
    entry: Floats
    episode: Floats
    issued: Floats

    @classmethod
    def draw(cls, draws: Draws, setting: Setting, family: Families, child: Children) -> Outcomes:
        """Draw what is random of the outcomes and solve for the constants."""
        from scipy import special

        of = child.family
        score = _predictor(family, child)
        held_if_offered = special.ndtr(1.15 - 0.15 * family.severity)
        eligible = child.eligible(family)
        constant, tau = solve_risks(
            score[eligible], held_if_offered[of][eligible], risk=setting.control_risk, effect=setting.effect
        )
        rho = setting.latent_correlation
        shared, own = draws.normal(family.n)[of], draws.normal(child.n)
        return cls(
            family=of,
            score=score + constant,
            tau=tau,
            liability=score + constant + np.sqrt(rho) * shared + np.sqrt(1 - rho) * own,
            held_if_offered=held_if_offered,
            takes_up=draws.happens(held_if_offered, family.n),
            slips_in=draws.happens(HELD_IF_USUAL, family.n),
            entry=draws.uniform(family.n)[of],
            episode=draws.uniform(family.n)[of],
            issued=draws.uniform(family.n)[of],
        )

    def held(self, conference: Bools) -> Bools:
        """Whether each family holds a conference, given who is offered one."""
        return np.where(conference, self.takes_up, self.slips_in)

    def compliance(self) -> Floats:
        """By family, the chance of holding a conference because of the offer."""
        return self.held_if_offered - HELD_IF_USUAL

    def gain_if_held(self) -> Floats:
        """By child, what holding a conference does to the risk."""
        from scipy import special

        gain: Floats = special.ndtr(self.score + self.tau) - special.ndtr(self.score)
        return gain

    def risk(self, offered: bool) -> Floats:
        """By child, the risk of being in care at 12 months if every family were, or were not, offered one."""
        from scipy import special

        held = self.held_if_offered[self.family] if offered else HELD_IF_USUAL
        risk: Floats = special.ndtr(self.score) + held * self.gain_if_held()
        return risk

    def observe(self, held: Bools) -> tuple[Bools, Ints, Bools]:
        """In care at 12 months, days in care within the year and proceedings issued, by child."""
        in_care = self.liability + self.tau * held[self.family] > 0
        until_end = YEAR - np.floor(YEAR * self.entry**1.5).astype(np.int64)
        returned = np.floor(5 + 200 * self.entry).astype(np.int64)
        days = np.where(in_care, until_end, np.where(self.episode < 0.10, returned, 0))
        proceedings = self.issued < np.where(in_care, 0.76, 0.11)
        return in_care, days, proceedings


def _predictor(family: Families, child: Children) -> Floats:
    """Linear predictor of being in care (probit), before the constant: half of it known from the covariates."""
    of = child.family
    seen = 0.028 * (family.score - 17) + 0.30 * family.previous_plan + NEED_PULL[family.need] + family.pull
    # an infant is likelier to be in care; beyond that the risk falls with age
    by_age = 0.30 * (child.age < 1) - 0.018 * (child.age - 7)
    whole: Floats = seen[of] + by_age + 0.08 * child.disability
    return whole


def solve_risks(score: Floats, held_if_offered: Floats, *, risk: float, effect: float) -> tuple[float, float]:
    """Constant and effect of a held conference that give the stated average risk and average effect.

    Newton's method on two equations: mean of ``Phi(s) + q * g`` is ``risk`` and mean of ``(p - q) * g`` is
    ``effect``, with ``s = score + constant``, ``g = Phi(s + tau) - Phi(s)``, p and q the chances of holding a
    conference if offered and if not.

    Raises
    ------
    DesignError
        If no effect of holding a conference is large enough.
    """
    from scipy import special

    comply = held_if_offered - HELD_IF_USUAL
    most = max(risk - HELD_IF_USUAL, 0.0) if effect < 0 else 1 - risk
    if abs(effect) >= most * float(comply.mean()):
        raise DesignError(
            f"effect == {effect}, too large for a risk of {risk} when {comply.mean():.0%} take the offer up",
            fix="give an effect nearer 0",
        )
    constant, tau = float(special.ndtri(risk)), 0.0
    for _ in range(NEWTON_STEPS):
        without, with_it = score + constant, score + constant + tau
        gain = special.ndtr(with_it) - special.ndtr(without)
        miss = np.array(
            [
                np.mean(special.ndtr(without) + HELD_IF_USUAL * gain) - risk,
                np.mean(comply * gain) - effect,
            ]
        )
        slope, slope_with = _density(without), _density(with_it)
        jacobian = np.array(
            [
                [np.mean(slope + HELD_IF_USUAL * (slope_with - slope)), HELD_IF_USUAL * np.mean(slope_with)],
                [np.mean(comply * (slope_with - slope)), np.mean(comply * slope_with)],
            ]
        )
        step = np.linalg.solve(jacobian, miss)
        constant, tau = constant - float(np.clip(step[0], -1, 1)), tau - float(np.clip(step[1], -1, 1))
        if np.max(np.abs(miss)) < 1e-13:
            break
    else:
        raise DesignError(f"no constants give risk {risk} and effect {effect}", fix="give an effect nearer 0")
    return constant, tau


def _density(value: Floats) -> Floats:
    density: Floats = np.exp(-0.5 * value**2) / np.sqrt(2 * np.pi)
    return density
