"""Specifications of high-quality practice: YAML 1.2, checked, versioned and hashed.

- ``document``: the fields; ``scales``: the kinds of scale.
- ``checks``: what the fields must say together (``checks_items``, ``checks_bands``).
- ``specification``: :class:`FidelitySpecification`.
"""
