"""Verification in Python's standard library alone: three files that import nothing of the package."""
