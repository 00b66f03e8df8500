"""Reports of the records, rendered once for all tests that read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from report_pages import Page, read_page
from report_trials import RECORDS

from wwc_eval.report import RunRecord, render_report


@dataclass(frozen=True)
class Rendered:
    """A record, the folder of its report and the page as read."""

    record: RunRecord
    folder: Path
    html: str
    page: Page


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Rendered]:
    """The report of a record by its name."""
    done: dict[str, Rendered] = {}

    def render(name: str) -> Rendered:
        if name not in done:
            record = RECORDS[name]()
            path = render_report(record, tmp_path_factory.mktemp(name))
            text = path.read_text(encoding="utf-8")
            done[name] = Rendered(record=record, folder=path.parent, html=text, page=read_page(text))
        return done[name]

    return render
