"""Verbs of ``wwc-eval``: one module a verb, each with ``command``; heavy imports wait until it is called."""
