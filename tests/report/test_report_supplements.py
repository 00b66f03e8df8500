"""What models show beyond their effects: rendered for any analysis, without a word in the report about its room."""

from __future__ import annotations

import math

import pytest
from report_pages import read_page
from report_records import analysis, locked

from wwc_eval.report import Supplement, render_html
from wwc_eval.report.sections import supplements
from wwc_eval.table import Column, Table

COLUMNS = [Column(name="group"), Column(name="df", kind="number"), Column(name="share", kind="number", digits=3)]


def icc(share=0.041, *, title="Intraclass correlation"):
    rows = [{"group": "la", "df": 3.7, "share": share}, {"group": "la:team", "df": math.nan, "share": 0.1}]
    table = Table(rows, COLUMNS, title="not shown", notes=("Given the covariates.",))
    return Supplement(key="icc", title=title, sentences=("Rows of one group are alike.",), table=table)


WORDS = Supplement(key="words", title="Estimand", sentences=("Each <school> counts once.", "And no more."))


def record_of(*results):
    return locked(analyses=results)


def test_nothing_is_shown_where_no_model_has_more_to_say():
    assert supplements.build(record_of(analysis())) is None


def test_tables_keep_their_names_and_carry_their_sentences():
    section = supplements.build(record_of(analysis(supplements=(WORDS, icc()))))
    heading, words, table = section.blocks
    assert heading.text == "In care at 12 months, as randomised"
    assert words.text == "Estimand. Each <school> counts once. And no more."
    assert table.caption == "Intraclass correlation"
    assert [cell.text for cell in table.headings] == ["Group", "df", "Share"]
    assert [row[0].text for row in table.rows] == ["la", "la:team"]
    assert [row[2].text for row in table.rows] == ["0.041", "0.100"]
    assert table.notes == ("Rows of one group are alike.", "Given the covariates.")


def test_a_varied_analysis_shows_what_differs():
    same = analysis(id="same", of="primary", role="sensitivity", title="CR2", supplements=(icc(),))
    other = analysis(id="other", of="primary", role="sensitivity", title="Poisson", supplements=(WORDS, icc(0.2)))
    section = supplements.build(record_of(analysis(supplements=(WORDS, icc())), same, other))
    details = [block for block in section.blocks if block.kind == "details"]
    assert [block.summary for block in details] == ["Poisson"]
    assert [block.kind for block in details[0].blocks] == ["table"]  # the words are those of the original


def test_the_page_escapes_what_it_shows():
    html = render_html(record_of(analysis(supplements=(WORDS, icc()))))
    assert "Each &lt;school&gt; counts once." in html
    assert "<school>" not in html
    assert read_page(html)


def test_word_holds_the_tables(tmp_path):
    docx = pytest.importorskip("docx")
    from wwc_eval.report.word import write_word

    path = tmp_path / "report.docx"
    write_word(record_of(analysis(supplements=(WORDS, icc()))), path)
    document = docx.Document(str(path))
    assert any(table.rows[1].cells[0].text == "la" for table in document.tables)
    assert any("More on each analysis" in paragraph.text for paragraph in document.paragraphs)
