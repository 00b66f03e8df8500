"""The Word export: the same contents, well formed, the same each time."""

from __future__ import annotations

import sys
import zipfile
from xml.etree import ElementTree as ET

import pytest
from report_records import locked
from report_trials import HOSTILE, RECORDS

from wwc_eval.errors import DesignError
from wwc_eval.report.word import write_word

docx = pytest.importorskip("docx")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The Word file of a record by its name."""
    done = {}

    def write(name):
        if name not in done:
            done[name] = write_word(RECORDS[name](), tmp_path_factory.mktemp(name) / "report.docx")
        return done[name]

    return write


def texts(path):
    document = docx.Document(str(path))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return document, " ".join([paragraph.text for paragraph in document.paragraphs] + cells)


@pytest.mark.parametrize("name", ["locked", "draft", "many_arms", "troubled", "hostile"])
def test_every_part_is_well_formed(written, name):
    path = written(name)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for member in archive.namelist():
            if member.endswith((".xml", ".rels")):
                ET.fromstring(archive.read(member))


def test_headline_tables_and_figures_are_there(written):
    document, text = texts(written("locked"))
    assert "36 of every 100 children in the conference arm" in text
    assert "−12.9 to −3.3" in text
    assert "Difference between groups (interaction)" in text
    assert len(document.inline_shapes) == 5
    assert all(shape._inline.docPr.get("descr") for shape in document.inline_shapes)
    assert document.core_properties.title == "Family conferencing before care proceedings"
    assert "DRAFT" not in text
    assert not document.sections[0].header.paragraphs[0].text


def test_a_draft_says_so_on_every_page(written):
    document, text = texts(written("draft"))
    assert "DRAFT. This run was made before its analysis plan was locked." in text
    assert document.sections[0].header.paragraphs[0].text == "DRAFT: not confirmatory"


def test_hostile_texts_are_texts(written):
    _, text = texts(written("hostile"))
    assert HOSTILE[:60] in text
    assert "\x00" not in text


def test_the_same_record_gives_the_same_file(written, tmp_path):
    assert write_word(locked(), tmp_path / "again.docx").read_bytes() == written("locked").read_bytes()


def test_without_python_docx_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "docx", None)
    with pytest.raises(DesignError, match=r"wwc-eval\[word\]"):
        write_word(locked(), tmp_path / "report.docx")
