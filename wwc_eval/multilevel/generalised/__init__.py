"""Generalised linear mixed models: binomial, Poisson and negative binomial outcomes by Laplace and quadrature.

- ``outcomes``: distributions as functions of the linear predictor, with the derivatives that are needed.
- ``layout``: rows, cells (combinations of groups) and groups.
- ``elimination``: solving with the Hessian of the random effects, nested and crossed.
- ``laplace``: the Laplace approximation with its exact gradient; ``quadrature``: adaptive Gauss-Hermite.
- ``prepare``: rows collapsed to covariate patterns, bases of the search, the way back.
- ``starting``: the model without random effects, separation.
- ``descent``: descents, boundary probes, Newton's polish, the Hessian behind standard errors; ``search``: starts.
- ``solve``: one fit from arrays, separation included.
- ``model``: what is asked, checked; ``fit``: the result; ``predictions``, ``marginal``, ``heterogeneity``: what is
  reported from it; ``advice``: what is put beside it when groups are few.
"""

from wwc_eval.multilevel.generalised.fit import GeneralisedFit
from wwc_eval.multilevel.generalised.model import GENERALISED_FAMILIES, fit_generalised

__all__ = ["GENERALISED_FAMILIES", "GeneralisedFit", "fit_generalised"]
