"""The README's Python example runs as printed."""

from __future__ import annotations

import re
from pathlib import Path

import wwc_eval

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_runs_as_printed(monkeypatch, capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    assert len(example.strip().splitlines()) <= 11
    monkeypatch.chdir(ROOT)
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "arm[conference]" in printed
    assert "percentage points" in printed


def test_links_of_the_documents_lead_somewhere():
    for document in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_public_names_load():
    for name in wwc_eval.__all__:
        assert getattr(wwc_eval, name) is not None
    assert set(wwc_eval.__all__) <= set(dir(wwc_eval))
