"""The README's Python example runs as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import wwc_eval

ROOT = Path(__file__).resolve().parent.parent


def examples() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, ["arm[conference]", "percentage points"]),
        (2, ["ferman_pinto", "indeterminate", "83 participants", "event 5"]),
        (1, ["343000", "percentage points", "rate ratio", "arm[social worker]"]),
    ],
)
def test_the_examples_run_as_printed(number, shown, monkeypatch, capsys):
    example = examples()[number]
    assert len(example.strip().splitlines()) <= 18
    monkeypatch.chdir(ROOT)
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    for words in shown:
        assert words in printed


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
