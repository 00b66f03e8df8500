"""Units beside each other: shrunk leagues with the uncertainty of ranks, funnels, and change over time.

- ``league``: :func:`league`, ``random_effects``: empirical Bayes from estimates with variances; ``ranks``: exact ranks.
- ``funnel``: :func:`funnel`, limits that allow for over-dispersion.
- ``change``: :func:`changes`, EWMA and CUSUM with alerts.
"""
