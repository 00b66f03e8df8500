"""Practice scored against a specification: from ratings to items, components, cases and every unit above.

- ``ratings``: what was recorded, checked (``ratings_checks``) and put on the scales of the specification.
- ``matrix``: cases and rating sheets by items. ``composites``: items to components, composite, gates.
- ``levels``: units and raters as random effects (through :mod:`wwc_eval.multilevel`), and what follows for each unit.
- ``means``: cluster-robust intervals of plain means.
- ``bands``: probabilities of bands (``joint``), and what would change them.
- ``scores``: :class:`FidelityScores`; ``unit_tables``, ``charts``: its tables and axes.
"""
