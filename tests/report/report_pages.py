"""A small reader of HTML for the tests: elements with their attributes, texts and sections."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "hr", "input", "col"}
# drawn by SVG with an end tag or as an empty element
EMPTY_SVG = {"rect", "polyline", "polygon", "path", "line", "circle"}


@dataclass
class Element:
    """An element of the page."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside, spaces joined."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join(" ".join(parts).replace("\u00a0", " ").split())

    def all(self, tag: str | None = None, **attributes: str) -> list[Element]:
        """Elements inside, in order."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                same = tag is None or child.tag == tag
                if same and all(
                    child.attributes.get(name.rstrip("_")) == value for name, value in attributes.items()
                ):
                    found.append(child)
                found += child.all(tag, **attributes)
        return found

    def has_class(self, name: str) -> bool:
        """Whether the element is of a class."""
        return name in self.attributes.get("class", "").split()


class Page(HTMLParser):
    """The parsed page; refuses tags that do not close."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("root", {})
        self.here = self.root

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.children.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag, attrs):
        self.here.children.append(Element(tag, {name: value or "" for name, value in attrs}, self.here))

    def handle_endtag(self, tag):
        assert tag == self.here.tag, f"</{tag}> closes <{self.here.tag}>"
        self.here = self.here.parent

    def handle_data(self, data):
        self.here.children.append(data)

    def section(self, key: str) -> Element:
        """A section by its key."""
        (found,) = self.root.all("section", id=key)
        return found

    @property
    def body(self) -> Element:
        """The body."""
        (found,) = self.root.all("body")
        return found


def read_page(html: str) -> Page:
    """The page, every tag of which closes."""
    page = Page()
    page.feed(html)
    page.close()
    assert page.here is page.root
    return page


def table_rows(section: Element, caption: str) -> list[list[str]]:
    """Texts of the body cells of a table, by the beginning of its caption."""
    tables = [table for table in section.all("table") if table.all("caption")[0].text.startswith(caption)]
    assert len(tables) == 1, [table.all("caption")[0].text for table in section.all("table")]
    (body,) = tables[0].all("tbody")
    return [[cell.text for cell in row.all() if cell.tag in {"td", "th"}] for row in body.all("tr")]
