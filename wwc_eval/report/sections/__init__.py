"""Sections of the report, found by name.

A module of this package is a section: ``ORDER`` (whole number), ``TITLE`` and ``build(record)``, which returns a
:class:`wwc_eval.report.blocks.Section` or None where there is nothing to show. A room adds a file here and edits
no other.
"""
