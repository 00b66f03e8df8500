"""``python -m wwc_eval``: the same as the command ``wwc-eval``."""

from __future__ import annotations

from wwc_eval.cli import main

if __name__ == "__main__":
    main()
