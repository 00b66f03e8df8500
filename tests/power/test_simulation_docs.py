"""The pages on stepped wedges and simulation: examples run, tables are the record."""

from __future__ import annotations

import doctest
import importlib
import json
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from formula_tables import analysed, events, exact, working
from simulation_tables import tables

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "methods" / f"power_{name}.md" for name in ("stepped_wedge", "simulation")]
MODULES = (
    "wwc_eval.power.design_effects",
    "wwc_eval.power.simulation.cox_fits",
    "wwc_eval.power.simulation.event_trial",
    "wwc_eval.power.panel",
    "wwc_eval.power.stepped_wedge",
    "wwc_eval.power.simulation.cell_glm",
    "wwc_eval.power.simulation.three_level",
    "wwc_eval.power.simulation.two_level",
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_print_what_the_page_says(page):
    text = page.read_text(encoding="utf-8")
    names: dict = {}
    examples = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert len(examples) == text.count("```python")
    for code, printed in examples:
        out = StringIO()
        with redirect_stdout(out):
            exec(compile(code, page.name, "exec"), names)
        assert out.getvalue() == printed


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_run(name):
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried > 0
    assert failed == 0


def test_tables_are_the_record():
    record = json.loads((ROOT / "tests" / "reference" / "power_simulated_analyses.json").read_text())
    text = PAGES[1].read_text(encoding="utf-8")
    for table in tables(record):
        assert table in text


def test_tables_of_formulas_are_the_records():
    home = ROOT / "tests" / "reference"
    wedge = json.loads((home / "power_wedge_formulas.json").read_text(encoding="utf-8"))
    text = PAGES[0].read_text(encoding="utf-8")
    for table in (exact(wedge), analysed(wedge), working(wedge)):
        assert table in text
    times = json.loads((home / "power_events.json").read_text(encoding="utf-8"))
    assert events(times) in (ROOT / "docs" / "methods" / "power.md").read_text(encoding="utf-8")
