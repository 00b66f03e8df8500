"""Small-sample inference for the fixed effects of a linear mixed model.

- ``satterthwaite``: degrees of freedom from the exact Hessian of the criterion.
- ``kenward_roger``: adjusted covariance, degrees of freedom and scaled F tests.
- ``robust``: CR0 to CR3 at a chosen cluster level, Satterthwaite degrees of freedom, AHT tests.
- ``inference``: one object behind which all of them answer the same questions.
"""
