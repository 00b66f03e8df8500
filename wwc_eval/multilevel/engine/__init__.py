"""The numerical engine of the linear mixed model: arrays in, arrays out.

- ``structure``: grouping factors as arrays, nesting, what cannot be fitted.
- ``prepare``: weights, orthonormal bases, sorted rows, cross-products by group.
- ``fold``: nested factors: cross-products folded up the hierarchy, gradient by a reverse sweep.
- ``crossed``, ``pairs``: crossed factors: the largest eliminated exactly, the rest one dense block.
- ``expansion``: first and second derivatives of the folded matrix in the covariances, batched.
- ``covariance``: parameters of the covariance matrices, and coordinates of the face they lie on.
- ``criterion``: profiled REML criterion and ML deviance with gradient and Hessian.
- ``starts``: where the search starts.
- ``optimise``: descents, boundary probes, restarts, Newton's polish, and the record of it all.
- ``modes``: conditional modes of the random effects and their covariance.
- ``solve``: one fit from arrays.
- ``batch_point``, ``batch``: thousands of models with one random intercept at once, in vectors.
- ``batch_newton``: thousands of models with any nested random part at once.
"""
