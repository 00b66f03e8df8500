"""Labels of axes that fit beside their axes."""

from __future__ import annotations

import textwrap

__all__ = ["axis_label"]

WIDTH = 44
"""Characters of a label as long as the height of a figure of the room."""


def axis_label(words: str) -> str:
    """Words as lines that are no longer than the axis that they stand beside; names of columns stay whole.

    Examples
    --------
    >>> axis_label("effect on cla_starts per 10,000 child_population (95% interval)").splitlines()
    ['effect on cla_starts per 10,000', 'child_population (95% interval)']
    """
    lines = len(textwrap.wrap(words, WIDTH, break_long_words=False, break_on_hyphens=False))
    # as many lines as are needed, of about one length
    even = WIDTH if lines < 2 else min(WIDTH, len(words) // lines + 8)
    return textwrap.fill(words, even, break_long_words=False, break_on_hyphens=False)
