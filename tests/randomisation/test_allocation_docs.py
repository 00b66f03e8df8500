"""Docstrings of the core of the room show only what is true."""

import doctest
import importlib

import pytest

MODULES = (
    "allocation", "arms", "misfits", "randomising", "rendering", "rounding", "stream", "units", "schemes.complete",
    "schemes.permuted_blocks", "schemes.saturation", "schemes.simple", "schemes.stepped_wedge", "schemes.stratified",
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_run(name):
    failed, tried = doctest.testmod(importlib.import_module(f"wwc_eval.randomisation.{name}"))
    assert failed == 0
    assert tried > 0
