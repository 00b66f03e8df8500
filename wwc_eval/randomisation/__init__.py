"""Randomisation: schemes that allocate, and an allocation that anybody can derive again.

- ``stream``: the random numbers, defined in one paragraph; ``seed_from`` a plan's lock and a public value.
- ``units``, ``arms``: what is allocated, in an order that depends on names alone, and to what.
- ``scheme``: the protocol; ``schemes/``: one file each. The bound scheme that draws is the one that counts, enumerates
  and samples.
- ``blocks`` with ``dealing``, ``laws``, ``rounding``, ``balanced``, ``misfits``, ``controlled``: blocks of units, and what
  is left over where the ratio does not fit.
- ``constraint`` with ``covariates``, ``exact_scores``, ``count_tables``, ``halves``, ``accepted``: allocations chosen for balance.
- ``matching``, ``grouping``: pairs and blocks of units that are alike; ``imbalance``, ``enrolment``: minimisation.
- ``receipt``, ``ledger``, ``verification``, ``masking``, ``unit_files``: the record; ``standalone``: its verification without the package.
- ``randomising``: the verb :func:`randomise`; ``allocation``: :class:`Allocation`.
"""

from wwc_eval.randomisation.allocation import Allocation
from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.enrolment import Enrolment
from wwc_eval.randomisation.ledger import Ledger
from wwc_eval.randomisation.masking import MaskedAllocation, SealedKey, mask_arms
from wwc_eval.randomisation.randomising import randomise
from wwc_eval.randomisation.receipt import read_receipt, write_receipt
from wwc_eval.randomisation.scheme import BoundScheme, Scheme, scheme_from
from wwc_eval.randomisation.schemes.complete import Complete
from wwc_eval.randomisation.schemes.constrained import Constrained
from wwc_eval.randomisation.schemes.matched import MatchedPairs
from wwc_eval.randomisation.schemes.minimisation import Minimisation
from wwc_eval.randomisation.schemes.permuted_blocks import PermutedBlocks
from wwc_eval.randomisation.schemes.rerandomised import Rerandomised
from wwc_eval.randomisation.schemes.saturation import Saturation
from wwc_eval.randomisation.schemes.simple import Simple
from wwc_eval.randomisation.schemes.stepped_wedge import SteppedWedgeSequences
from wwc_eval.randomisation.schemes.stratified import Stratified
from wwc_eval.randomisation.stream import ALGORITHM, Stream, seed_from
from wwc_eval.randomisation.verification import Verification, verify_allocation

__all__ = [
    "ALGORITHM",
    "Allocation",
    "Arms",
    "BoundScheme",
    "Complete",
    "Constrained",
    "Enrolment",
    "Ledger",
    "MaskedAllocation",
    "MatchedPairs",
    "Minimisation",
    "PermutedBlocks",
    "Rerandomised",
    "Saturation",
    "Scheme",
    "SealedKey",
    "Simple",
    "SteppedWedgeSequences",
    "Stratified",
    "Stream",
    "Verification",
    "mask_arms",
    "randomise",
    "read_receipt",
    "scheme_from",
    "seed_from",
    "verify_allocation",
    "write_receipt",
]
