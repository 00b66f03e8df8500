"""Randomisation: schemes that allocate, and an allocation that anybody can derive again.

- ``stream``: the random numbers, defined in one paragraph; ``seed_from`` a plan's lock and a public value.
- ``units``, ``arms``: what is allocated, in an order that depends on names alone, and to what.
- ``scheme``: the protocol; ``schemes/``: one file each. The bound scheme that draws is the one that counts, enumerates
  and samples.
- ``blocks`` with ``dealing``, ``laws``, ``rounding``, ``balanced``, ``misfits``, ``controlled``: blocks of units, and what
  is left over where the ratio does not fit.
- ``randomising``: the verb :func:`randomise`; ``allocation``: :class:`Allocation`.
"""

from wwc_eval.randomisation.allocation import Allocation
from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.randomising import randomise
from wwc_eval.randomisation.scheme import BoundScheme, Scheme, scheme_from
from wwc_eval.randomisation.schemes.complete import Complete
from wwc_eval.randomisation.schemes.simple import Simple
from wwc_eval.randomisation.schemes.stratified import Stratified
from wwc_eval.randomisation.stream import ALGORITHM, Stream, seed_from

__all__ = [
    "ALGORITHM",
    "Allocation",
    "Arms",
    "BoundScheme",
    "Complete",
    "Scheme",
    "Simple",
    "Stratified",
    "Stream",
    "randomise",
    "scheme_from",
    "seed_from",
]
