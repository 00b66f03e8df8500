"""What holds for every test: the order, no search for garbage among the tests, and the command to call."""

from __future__ import annotations

import gc
import os

import pytest
from forking import Forks, call_anew

LONG = ("test_notebooks.py", "test_cli.py")
"""Modules with tests of many seconds each: begun first, so that no worker ends on one while the other waits."""


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    # importing 200 modules makes millions of objects and hardly any garbage
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(scope="session")
def call():
    """Run wwc-eval in a process of its own, without waiting for the libraries each time."""
    if not hasattr(os, "fork"):
        yield call_anew
        return
    with Forks() as forks:
        yield forks.call
