"""What holds for every test: an order that keeps both workers busy, and no search for garbage among the tests."""

from __future__ import annotations

import gc

LONG = ("test_notebooks.py", "test_cli.py")
"""Modules with tests of many seconds each: begun first, so that no worker ends on one while the other waits."""


def pytest_configure():
    # importing 200 modules makes millions of objects and hardly any garbage
    gc.disable()


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish():
    gc.freeze()
    gc.enable()
