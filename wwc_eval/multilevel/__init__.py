"""Multilevel outcome models: linear and generalised mixed models with the inference that trials need.

Shared by every family:

- ``model``: the verb :func:`multilevel_model`; ``FITTERS`` names what fits each family.
- ``reading``: formula and data to :class:`ModelData` (design, grouping factors, weights, exposure).
- ``fit``: :class:`MultilevelFit`, tables and joint tests; a family's subclass gives coefficients, covariances and
  inference.
- ``optimiser``: the printable record of a search.
- ``plots``: axes of estimates, random effects, quantiles and residuals.

Linear models:

- ``linear``: :class:`LinearFit`, the doors to everything below.
- ``engine/``: arrays in, arrays out (see its own map): nested and crossed factors, exact derivatives, the search,
  conditional modes, batches.
- ``small_sample/``: Satterthwaite, Kenward-Roger, CR0 to CR3 with AHT tests.
- ``advice``: which of them is advised for this number of clusters, and why.
- ``random_effects``, ``profiles`` (with ``charts``), ``icc``, ``effect_size`` (with ``eef``, the sector's own
  formulas), ``marginal``, ``diagnostics``.
- ``refit``: :func:`refit_many`, thousands of outcomes or allocations through the same fold.

Generalised models: ``generalised/``.
"""

from wwc_eval.multilevel.advice import Advice
from wwc_eval.multilevel.fit import MultilevelFit
from wwc_eval.multilevel.linear import LinearFit
from wwc_eval.multilevel.model import multilevel_model
from wwc_eval.multilevel.optimiser import Optimiser, Parameter
from wwc_eval.multilevel.reading import ModelData
from wwc_eval.multilevel.refit import refit_many

__all__ = [
    "Advice",
    "LinearFit",
    "ModelData",
    "MultilevelFit",
    "Optimiser",
    "Parameter",
    "multilevel_model",
    "refit_many",
]
