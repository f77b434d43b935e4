"""Web pages: what a reader of the page sees, without menus, scripts and forms."""

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from lxml import etree

from knowledge_svc.extraction.decoding import text_of
from knowledge_svc.extraction.parts import Given, Part, Text, Title

_PIECE = 1 << 16
_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([a-zA-Z0-9_:.-]{1,40})""", re.I)
_HEAD = 4096
_MOST_TITLE_PIECE = 1_000
_BLANKS = re.compile("[ \t\r\n\f]+")
_INVISIBLE = frozenset({
    "button", "canvas", "datalist", "dialog", "embed", "footer", "iframe", "math", "menu",
    "nav", "noembed", "noframes", "noscript", "object", "script", "select", "style", "svg",
    "template", "textarea",
})  # fmt: skip
# After these a new line begins.
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd",
    "details", "div", "dl", "dt", "fieldset", "figcaption", "figure", "form", "h1", "h2", "h3",
    "h4", "h5", "h6", "header", "hr", "html", "li", "main", "ol", "option", "p", "pre",
    "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
})  # fmt: skip
_IS_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)


def read(file: BinaryIO, given: Given) -> Iterator[Part]:
    """See Reader."""
    declared = _CHARSET.search(file.read(_HEAD))
    page = text_of(file, declared=declared and declared[1].decode())
    seen = _Seen()
    parser = etree.HTMLParser(target=seen, huge_tree=True, remove_comments=True)
    while piece := page.read(_PIECE):
        parser.feed(piece)
        yield from seen.taken()
    parser.close()
    yield from seen.taken()


class _Seen:
    """What the parser tells, as text; nothing is kept of the page's structure but depths."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._title = ""
        self._is_title = False
        self._depth = 0
        # How deep the element is that hides everything inside.
        self._hidden_from: int | None = None
        self._is_line_empty = True

    def taken(self) -> Iterator[Part]:
        """What has been seen since the last time."""
        if self._title and not self._is_title:
            yield Title(self._title)
            self._title = ""
        if self._parts:
            yield Text("".join(self._parts))
            self._parts.clear()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._hidden_from is None:
            if tag in _INVISIBLE or _is_hidden(attributes):
                self._hidden_from = self._depth
            elif tag == "title":
                self._is_title = True
            elif tag in _BLOCKS:
                self._break()

    def end(self, tag: str) -> None:
        if self._hidden_from == self._depth:
            self._hidden_from = None
        elif self._hidden_from is None:
            if tag == "title":
                self._is_title = False
            elif tag in _BLOCKS:
                self._break()
            elif tag in ("td", "th"):
                self._parts.append("\t")
        self._depth -= 1

    def data(self, text: str) -> None:
        if self._hidden_from is not None:
            return
        if self._is_title:
            self._title += text[:_MOST_TITLE_PIECE]
            return
        text = _BLANKS.sub(" ", text)
        if self._is_line_empty:
            text = text.lstrip(" ")
        if text:
            self._parts.append(text)
            self._is_line_empty = False

    def close(self) -> None:
        return None

    def _break(self) -> None:
        if not self._is_line_empty:
            self._parts.append("\n")
            self._is_line_empty = True


def _is_hidden(attributes: Mapping[str, str]) -> bool:
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or bool(_IS_HIDDEN.search(attributes.get("style", "")))
    )
