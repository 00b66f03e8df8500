"""The page: sections found by name, rendered with their figures into one self-contained HTML file."""

from __future__ import annotations

import base64
import importlib
import pkgutil
import re
import weakref
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from wwc_eval.errors import DesignError, shown
from wwc_eval.report.blocks import Html, Section
from wwc_eval.report.masthead import masthead
from wwc_eval.report.record import RunRecord
from wwc_eval.report.words import clean

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["build_sections", "html_block", "render_html", "render_report", "write_figures"]

SECTIONS = "wwc_eval.report.sections"
_FILE = re.compile(r"[a-z0-9_]+")
_built: list[tuple[weakref.ref[RunRecord], object, tuple[Section, ...]]] = []
"""Sections of the record rendered last, while it lives: its page and its Word file are drawn once."""


def render_report(record: RunRecord, folder: str | Path) -> Path:
    """Write ``report.html`` and ``figures/`` of a run.

    The page needs nothing beside itself: no script, font, style sheet or picture from elsewhere. The same record
    gives the same bytes.

    Parameters
    ----------
    record : RunRecord
        What the run hands over.
    folder : str or Path
        Where to write; made if it does not exist. Other files in it are left alone.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    DesignError
        If two figures of the sections bear one name, or one that is no plain file name.

    Examples
    --------
    >>> render_report.__name__
    'render_report'
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    sections = build_sections(record)
    write_figures(sections, target / "figures")
    page = target / "report.html"
    page.write_text(render_html(record, sections), encoding="utf-8", newline="\n")
    return page


def render_html(record: RunRecord, sections: Iterable[Section] | None = None) -> str:
    """The page as text; sections as :func:`build_sections` makes them where none are given."""
    chosen = tuple(build_sections(record) if sections is None else sections)
    environment = _environment()
    loader = environment.loader
    if loader is None:  # pragma: no cover - the environment is made with one
        raise AssertionError
    style = loader.get_source(environment, "style.css")[0]
    page = environment.get_template("page.html")
    return page.render(head=masthead(record), sections=chosen, style=Markup(style.strip())) + "\n"  # noqa: S704 - our own file


def build_sections(record: RunRecord) -> tuple[Section, ...]:
    """Every section that has something to show, in order.

    Each module of ``wwc_eval/report/sections`` has ``ORDER`` (a whole number; equal numbers go by name),
    ``TITLE`` and ``build(record)``, which returns a :class:`Section` or None.
    """
    modules = _modules()
    for last, among, sections in _built:
        if last() is record and among is modules:
            return sections
    sections = _sections_of(record, modules)
    _built[:] = [(weakref.ref(record, lambda _: _built.clear()), modules, sections)]
    return sections


def _sections_of(record: RunRecord, modules: Iterable[tuple[str, Any]]) -> tuple[Section, ...]:
    built = []
    for name, module in modules:
        section = module.build(record)
        if section is not None:
            built.append(replace(section, key=section.key or name.replace("_", "-")))
    names = [figure.name for section in built for figure in section.figures]
    unfit = [name for name in names if not _FILE.fullmatch(name)]
    if unfit:
        raise DesignError(
            f"figure {shown(unfit[0])} cannot name a file", fix="use small letters, figures and underscores"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DesignError(f"figure '{twice[0]}' is drawn twice", fix="give each figure of a report its own name")
    return tuple(built)


def write_figures(sections: Iterable[Section], folder: Path) -> list[Path]:
    """Write every figure as ``name.svg`` and, where there are pixels, ``name.png``."""
    figures = [figure for section in sections for figure in section.figures]
    if figures:
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in figures:
        path = folder / f"{figure.name}.svg"
        path.write_text(figure.svg, encoding="utf-8", newline="\n")
        written.append(path)
        if figure.png is not None:
            written.append(path.with_suffix(".png"))
            written[-1].write_bytes(figure.png)
    return written


def html_block(source: str, *, words: str, **values: Any) -> Html:
    """A block from a small template; every value is escaped and every name must be given.

    Parameters
    ----------
    source : str
        Jinja template.
    words : str
        The sentence that says the same in Word.
    values
        Names of the template.

    Examples
    --------
    >>> html_block("<b>{{ text }}</b>", words="", text="<i>").markup
    Markup('<b>&lt;i&gt;</b>')
    """
    markup = Markup(_environment().from_string(source).render(**values))  # noqa: S704 - autoescaped
    return Html(markup=markup, words=words)


@lru_cache(maxsize=1)
def _modules() -> tuple[tuple[str, Any], ...]:
    package = importlib.import_module(SECTIONS)
    names = [info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]
    modules = [(name, importlib.import_module(f"{SECTIONS}.{name}")) for name in names]
    return tuple(sorted(modules, key=lambda pair: (pair[1].ORDER, pair[0])))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("wwc_eval.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=False,
        finalize=_shown,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["drawing"] = _drawing
    return environment


def _shown(value: Any) -> Any:
    """What an expression puts on the page: plain text loses its control characters, markup stays."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else clean(value)


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")


def _drawing(svg: str) -> Markup:
    """An SVG of our own drawing (its texts escaped there), without its XML declaration."""
    return Markup(svg[svg.index("<svg") :])  # noqa: S704
