"""Pre-registered analysis plans: load, check, lock, run, verify.

``yaml_text`` reads strict YAML; ``document`` names the fields and ``schema`` validates them; ``facts`` says what
follows from them; ``checks`` holds the semantic checks; ``vocabulary`` what each room may be asked; ``locking``,
``run_log`` and ``verifying`` what can be proved; ``assembly`` brings the data, ``running`` the analyses and
``outputs`` the files.
"""

from __future__ import annotations

from wwc_eval.plans.plan import Plan

__all__ = ["Plan"]
