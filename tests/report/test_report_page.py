"""The page as a whole: self-contained, escaped, accessible, the same each time."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import jinja2
import pytest
from report_records import draft, locked
from report_trials import HOSTILE, RECORDS

from wwc_eval.errors import DesignError
from wwc_eval.report import Figure, Section, Text, html_block, page, render_report
from wwc_eval.report.masthead import masthead

EVERY = sorted(RECORDS)
ADDRESS = re.compile(r"(?:https?:|ftp:|file:|javascript:|//)", re.IGNORECASE)
FORBIDDEN = {
    "script",
    "link",
    "iframe",
    "object",
    "embed",
    "form",
    "base",
    "audio",
    "video",
    "source",
    "foreignobject",
}
LOADING = {"src", "href", "xlink:href", "data", "action", "poster", "srcset", "background", "formaction", "style"}


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", EVERY)
def test_the_page_loads_nothing_and_runs_nothing(rendered, name):
    for element in rendered(name).page.root.all():
        assert element.tag not in FORBIDDEN
        for attribute, value in element.attributes.items():
            assert not attribute.startswith("on"), (element.tag, attribute)
            if attribute == "src":
                assert value.startswith("data:image/svg+xml;base64,")
            elif attribute in {"href", "xlink:href"}:
                assert value.startswith("#")
            elif attribute in LOADING:
                assert not ADDRESS.search(value)
                assert "url(" not in value


@pytest.mark.parametrize("name", EVERY)
def test_style_and_drawings_load_nothing(rendered, name):
    page_of = rendered(name).page
    (style,) = page_of.root.all("style")
    assert "url(" not in style.text
    assert "@import" not in style.text
    drawings = [image.attributes["src"].partition(",")[2] for image in page_of.root.all("img")]
    for drawing in drawings:
        for element in ET.fromstring(base64.b64decode(drawing)).iter():
            for attribute, value in element.attrib.items():
                if attribute.endswith("href"):
                    assert value.startswith("#")
                assert "url(" not in value or "url(#" in value


@pytest.mark.parametrize("name", EVERY)
def test_a_policy_forbids_what_is_not_there(rendered, name):
    policies = rendered(name).page.root.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert [one.attributes["content"] for one in policies] == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    ]


@pytest.mark.parametrize("name", EVERY)
def test_the_page_stays_small(rendered, name):
    assert len(rendered(name).html.encode()) < 1_500_000


def test_hostile_texts_stay_texts(rendered):
    report = rendered("hostile")
    shown = report.page.body.text
    assert "<script>alert(1)</script>" in shown
    assert "<img src=x onerror=alert(2)>" in shown
    assert "{{ 7*7 }} {% raw %}" in shown
    assert not {"\x00", "\x1b", "\u202e"} & set(report.html)
    assert "alert" not in "".join(element.tag for element in report.page.root.all())


def test_every_place_of_a_hostile_record_is_shown_escaped(rendered):
    """Nothing of the record is dropped for safety: each user text is found, as text."""
    report = rendered("hostile")
    head = HOSTILE[:8]
    for key in (
        "headline",
        "design",
        "participant-flow",
        "baseline",
        "missing-data",
        "results",
        "subgroups",
        "methods",
    ):
        assert head in report.page.section(key).text, key
    for key in ("deviations", "disclosure", "appendix"):
        assert head in report.page.section(key).text, key


@pytest.mark.parametrize("name", EVERY)
def test_figures_are_well_formed_files(rendered, name):
    for path in (rendered(name).folder / "figures").glob("*.svg"):
        ET.fromstring(path.read_bytes())
    for path in (rendered(name).folder / "figures").glob("*.png"):
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert b"tEXt" not in content  # no software, no date
        assert b"tIME" not in content


@pytest.mark.parametrize("name", EVERY)
def test_headings_go_down_one_step_at_a_time(rendered, name):
    levels = [int(e.tag[1]) for e in rendered(name).page.root.all() if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", EVERY)
def test_the_page_can_be_used_without_seeing_it(rendered, name):
    root = rendered(name).page.root
    assert root.all("html")[0].attributes["lang"] == "en-GB"
    assert all(image.attributes.get("alt") for image in root.all("img"))
    for svg in root.all("svg"):
        assert svg.attributes["role"] == "img"
        assert len(svg.all("title")) == len(svg.all("desc")) == 1
    for table in root.all("table"):
        assert table.all("caption")[0].text
        assert all("scope" in head.attributes for head in table.all("th"))
    for region in root.all(role="region"):
        assert region.attributes["aria-label"]


@pytest.mark.parametrize("name", EVERY)
def test_anchors_and_identifiers_agree(rendered, name):
    root = rendered(name).page.root
    identifiers = [element.attributes["id"] for element in root.all() if "id" in element.attributes]
    assert len(identifiers) == len(set(identifiers))
    targets = {element.attributes["href"][1:] for element in root.all("a")}
    assert targets <= set(identifiers)
    assert {section.attributes["id"] for section in root.all("section")} <= targets


@pytest.mark.parametrize("name", EVERY)
def test_rows_of_tables_are_of_one_width(rendered, name):
    for table in rendered(name).page.root.all("table"):
        pending: list[int] = []
        widths = []
        for row in table.all("tr"):
            carried = len(pending)
            pending = [left - 1 for left in pending if left > 1]
            cells = [cell for cell in row.children if not isinstance(cell, str)]
            widths.append(carried + sum(int(cell.attributes.get("colspan", 1)) for cell in cells))
            for cell in cells:
                rows = int(cell.attributes.get("rowspan", 1))
                pending += [rows - 1] * int(cell.attributes.get("colspan", 1)) if rows > 1 else []
        assert len(set(widths)) == 1, (table.all("caption")[0].text[:60], widths)


@pytest.mark.parametrize("name", EVERY)
def test_only_drafts_are_marked_as_drafts(rendered, name):
    report = rendered(name)
    marks = [element for element in report.page.root.all("div") if element.has_class("watermark")]
    if report.record.draft:
        assert [mark.text for mark in marks] == ["DRAFT"]
        assert "before its analysis plan was locked" in report.page.body.text
        assert "Confirmatory run" not in report.page.body.text
    else:
        assert not marks
        assert "DRAFT" not in report.page.body.text
        assert "Confirmatory run 1 of 1" in report.page.body.text


def test_a_draft_under_a_lock_says_so():
    head = masthead(replace(draft(), lock=locked().lock))
    assert head.status.startswith("This run was not made under the lock of its analysis plan")


def test_the_same_record_gives_the_same_bytes_in_any_process(rendered, tmp_path):
    """Another hash seed, Matplotlib configuration, time zone and folder; Matplotlib's state is left as it was."""
    configuration = tmp_path / "matplotlibrc"
    configuration.write_text("font.size: 30\naxes.facecolor: red\nsvg.fonttype: path\nlines.linewidth: 9\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from report_records import locked;"
        "from wwc_eval.report import render_report; import matplotlib as m; m.rcParams['font.size'] = 17;"
        "render_report(locked(), sys.argv[2]); assert m.rcParams['font.size'] == 17;"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "MATPLOTLIBRC": str(configuration), "TZ": "Asia/Tokyo"}
    subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(out)],
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    assert digests(out) == digests(rendered("locked").folder)


def test_a_record_is_drawn_once_for_its_page_and_its_word_file():
    record = replace(locked())
    sections = page.build_sections(record)
    assert page.build_sections(record) is sections
    other = replace(record, draft=True)
    assert page.build_sections(other) is not sections
    again = page.build_sections(record)
    assert again is not sections
    assert [figure.png for one in again for figure in one.figures] == [
        figure.png for one in sections for figure in one.figures
    ]
    del record
    assert not any(last() is None for last, *_ in page._built)


def test_a_report_is_written_over_and_leaves_other_files(tmp_path):
    (tmp_path / "results.json").write_text("{}")
    (tmp_path / "report.html").write_text("an earlier page")
    assert render_report(locked(), tmp_path) == tmp_path / "report.html"
    assert "an earlier page" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "results.json").read_text() == "{}"
    for name in ("forest.png", "forest.svg", "flow.svg", "flow.png", "balance.png", "forest_subgroups.png"):
        assert (tmp_path / "figures" / name).stat().st_size > 1000


def test_the_report_loads_its_libraries_only_to_render():
    code = "import sys, wwc_eval.report; assert not {'matplotlib', 'jinja2', 'scipy', 'docx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def with_sections(monkeypatch, **modules):
    monkeypatch.setattr(page, "_modules", lambda: tuple(modules.items()))


def test_sections_are_found_in_order():
    names = [name for name, _ in page._modules()]
    orders = [module.ORDER for _, module in page._modules()]
    assert orders == sorted(orders)
    assert names[:2] == ["decision", "headline"]
    assert names[-1] == "appendix"
    assert all(module.TITLE for _, module in page._modules())


def test_a_section_with_nothing_to_show_is_left_out(monkeypatch):
    empty = SimpleNamespace(build=lambda _: None)
    full = SimpleNamespace(build=lambda record: Section(title=record.plan["id"], blocks=[Text(text="body")]))
    with_sections(monkeypatch, fidelity_scores=full, nothing=empty)
    (section,) = page.build_sections(locked())
    assert section.key == "fidelity-scores"
    assert section.title == "family-conferencing-2026"


@pytest.mark.parametrize("names", [("twice", "twice"), ("../up",), ("Über",), ("",)])
def test_figures_need_their_own_plain_names(monkeypatch, names):
    figures = [Figure(name=name, title="t", alt="a", svg="<svg/>") for name in names]
    with_sections(monkeypatch, one=SimpleNamespace(build=lambda _: Section(title="t", blocks=figures)))
    with pytest.raises(DesignError, match="figure"):
        page.build_sections(locked())


def test_a_template_must_be_given_every_name():
    with pytest.raises(jinja2.UndefinedError):
        html_block("<p>{{ missing }}</p>", words="")


def test_colours_of_texts_have_contrast():
    """WCAG AA: 4.5 to 1 for text on its ground."""

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        high, low = sorted((luminance(one), luminance(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    style = Path(page.__file__).with_name("templates").joinpath("style.css").read_text(encoding="utf-8")
    colour = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", style))
    grounds = {
        "ink": ["#ffffff", "faint", "accent-soft"],
        "quiet": ["#ffffff", "faint"],
        "accent": ["#ffffff", "faint"],
    }
    grounds |= {"warn": ["warn-soft"], "bad": ["bad-soft"]}
    for text, behind in grounds.items():
        for ground in behind:
            assert contrast(colour[text], colour.get(ground, ground)) >= 4.5, (text, ground)
    for step, ground, text in re.findall(
        r"heat-(\d) \{ background: (#[0-9a-f]{3,6});(?: color: (#[0-9a-f]{3,6});)? \}", style
    ):
        full = [
            c if len(c) == 7 else "#" + "".join(2 * part for part in c[1:])
            for c in (ground, text or colour["ink"])
        ]
        assert contrast(*full) >= 4.5, step
