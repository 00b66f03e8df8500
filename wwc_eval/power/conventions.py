"""Conventions by which power is computed; published figures follow at least six. Ours is ``exact``.

A convention says which distribution the statistic has, whether rejections in the wrong direction count, how the
minimum detectable effect is had and how sizes are rounded. What a design assumes (df, variances, cluster sizes) is
the design's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from wwc_eval.errors import check_choice
from wwc_eval.power.kernels import NORMAL, Array, critical, t_ncp, t_power

__all__ = ["CONVENTIONS", "Convention", "convention_of"]


@dataclass(frozen=True, kw_only=True)
class Convention:
    """How power, detectable effects and sizes are computed.

    Parameters
    ----------
    name, summary, source : str
        Name, one sentence, and who computes so.
    distribution : {"noncentral_t", "shifted_t", "normal"}
        Of the statistic under the alternative; ``shifted_t`` is a central t moved by the noncentrality.
    both : bool
        Whether two-sided power counts rejections in the wrong direction too.
    multiplier : bool
        Whether the detectable effect is (t1 + t2) times the standard error (Bloom) instead of the inverse of the power.
    search : {"smallest", "powerup", "crtsize"}
        How sizes are had: the smallest that reaches the power with arms in whole units, or as a program searches.
    extra_clusters : int
        Clusters added to each arm.
    """

    name: str
    summary: str
    source: str = ""
    distribution: Literal["noncentral_t", "shifted_t", "normal"] = "noncentral_t"
    both: bool = True
    multiplier: bool = False
    search: Literal["smallest", "powerup", "crtsize"] = "smallest"
    extra_clusters: int = 0

    def power(
        self, ncp: ArrayLike, df: ArrayLike, *, alpha: ArrayLike, sides: int, stretch: ArrayLike | None = None
    ) -> Array:
        """Power at a noncentrality (signed towards the alternative when ``sides`` is 1)."""
        if self.distribution == "shifted_t":
            bar = critical(df, alpha, sides) * (1.0 if stretch is None else np.asarray(stretch, float))
            shift = np.asarray(ncp, float) if sides == 1 else np.abs(np.asarray(ncp, float))
            power = _central(shift - bar, df)
            return power + _central(-shift - bar, df) if sides == 2 and self.both else power
        free = np.full_like(np.asarray(df, float), np.inf) if self.distribution == "normal" else df
        return t_power(ncp, free, alpha=alpha, sides=sides, both=self.both, stretch=stretch)

    def ncp(self, power: ArrayLike, df: ArrayLike, *, alpha: ArrayLike, sides: int) -> Array:
        """Noncentrality, or multiplier of the standard error, of the effect that is detected with a power."""
        if self.multiplier or self.distribution == "shifted_t":
            return critical(df, alpha, sides) + _quantile(np.asarray(power, float), df)
        free = np.full_like(np.asarray(df, float), np.inf) if self.distribution == "normal" else df
        return t_ncp(power, free, alpha=alpha, sides=sides, both=self.both)


def _central(t: Array, df: ArrayLike) -> Array:
    """P(T < t) of a central t or normal."""
    free = np.asarray(df, float)
    finite = np.where(free < NORMAL, free, 1.0)
    return np.asarray(np.where(free < NORMAL, special.stdtr(finite, t), special.ndtr(t)))


def _quantile(p: Array, df: ArrayLike) -> Array:
    free = np.asarray(df, float)
    finite = np.where(free < NORMAL, free, 1.0)
    return np.asarray(np.where(free < NORMAL, special.stdtrit(finite, p), special.ndtri(p)))


_ALL = (
    Convention(
        name="exact",
        summary="noncentral t, both tails; the detectable effect inverts the power; sizes never fall short",
        source="the default here",
    ),
    Convention(
        name="powerup",
        summary="noncentral t, both tails; detectable effect (t1 + t2) SE; sizes rounded to nearest",
        source="PowerUp! and PowerUpR, Dong and Maynard 2013 (doi:10.1080/19345747.2012.673143)",
        multiplier=True,
        search="powerup",
    ),
    Convention(
        name="bloom",
        summary="a central t shifted by effect / SE, upper tail; detectable effect (t1 + t2) SE",
        source="Bloom 1995 (doi:10.1177/0193841X9501900504)",
        distribution="shifted_t",
        both=False,
        multiplier=True,
    ),
    Convention(
        name="shifted_t",
        summary="a central t shifted by effect / SE, both tails",
        source="SteppedPower 0.3.4 with degrees of freedom",
        distribution="shifted_t",
    ),
    Convention(
        name="upper_tail",
        summary="noncentral t, the tail of the effect only",
        source="clusterPower 0.7.0 with tdist = TRUE; R's power.t.test with strict = FALSE",
        both=False,
    ),
    Convention(
        name="normal",
        summary="normal distribution, both tails",
        source="SteppedPower, swCRTdesign; most formulas with 1.96 and 0.84",
        distribution="normal",
    ),
    Convention(
        name="normal_upper",
        summary="normal distribution, the tail of the effect only: (1.96 + 0.84) SE",
        source="R's power.prop.test; pwr.2p.test; AEA registrations with 2.8 SE",
        distribution="normal",
        both=False,
    ),
    Convention(
        name="crtsize",
        summary="(t1 + t2) SE with t quantiles below 30 clusters an arm, searched to within one cluster; sizes only",
        source="CRTSize 1.2: n4means, n4props",
        distribution="normal",
        both=False,
        search="crtsize",
    ),
    Convention(
        name="hayes_bennett",
        summary="normal distribution, the tail of the effect only, one cluster more in each arm",
        source="Hayes and Bennett 1999 (doi:10.1093/ije/28.2.319)",
        distribution="normal",
        both=False,
        extra_clusters=1,
    ),
)

CONVENTIONS = MappingProxyType({each.name: each for each in _ALL})
"""Every convention by name."""


def convention_of(name: str | Convention) -> Convention:
    """The convention of a name, else an error that lists the names."""
    if isinstance(name, Convention):
        return name
    return CONVENTIONS[check_choice("convention", name, tuple(CONVENTIONS))]
