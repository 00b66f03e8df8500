"""Randomisation tests: the effect compared with what the very scheme that allocated would have given.

- ``verb``: :func:`randomisation_test`; ``question``: what is asked, read and checked; ``results``: the estimate returned.
- ``rows``: rows of data to units of the allocation, and the treatment that each allocation gives them.
- ``reference``: the allocations compared with: all that are permitted, or draws of the scheme.
- ``linear``: differences in means, regressions and ranks of all allocations at once, from sums by unit.
- ``inversion``: intervals, exactly for linear statistics and by bisection for others.
- ``refits``: coefficients of any fit that has ``refit_many``.
"""

from wwc_eval.randomisation.testing.verb import randomisation_test

__all__ = ["randomisation_test"]
