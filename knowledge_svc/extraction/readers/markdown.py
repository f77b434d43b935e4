"""Markdown as its reader sees it: headings and lists as lines, without the marks."""

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from markdown_it import MarkdownIt
from markdown_it.token import Token

from knowledge_svc.extraction.decoding import text_of
from knowledge_svc.extraction.parts import Given, Part, Text, Title

# Longer files are read in sections, so that memory stays flat.
_LEAST_SECTION = 256 << 10
_MOST_SECTION = 1 << 20
_HEADING = re.compile("#{1,6}[ \t]")
_FENCE = re.compile("[ ]{0,3}(```+|~~~+)")
_MARKUP = re.compile("<[^>]{0,1000}>|<!--.{0,10000}?-->", re.S)


def read(file: BinaryIO, given: Given) -> Iterator[Part]:
    """See Reader."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for section in _sections(text_of(file)):
        yield from _parts(parser.parse(section))


def _sections(text: io.TextIOWrapper) -> Iterator[str]:
    """The file cut before headings that are not in code, or anywhere where there is none."""
    lines: list[str] = []
    size = 0
    fence = ""
    while line := text.readline(_MOST_SECTION):
        if mark := _FENCE.match(line):
            if not fence:
                fence = mark[1]
            elif mark[1].startswith(fence):
                fence = ""
        is_border = size > _LEAST_SECTION and not fence and _HEADING.match(line)
        if is_border or size > _MOST_SECTION:
            yield "".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    yield "".join(lines)


def _parts(tokens: list[Token]) -> Iterator[Part]:
    for before, token in zip([None, *tokens], tokens, strict=False):
        match token.type:
            case "inline":
                text = _seen(token.children or [])
                if before and before.type == "heading_open" and before.tag == "h1":
                    yield Title(text)
                yield Text(text)
            case "fence" | "code_block":
                yield Text(token.content + "\n")
            case "html_block":
                yield Text(_MARKUP.sub(" ", token.content) + "\n")
            case "th_close" | "td_close":
                yield Text("\t")
            case "heading_close" | "paragraph_close":
                # Items of a tight list stand in lines, one under the other.
                yield Text("\n" if token.hidden else "\n\n")
            case "tr_close" | "table_close":
                yield Text("\n")


def _seen(tokens: list[Token]) -> str:
    """The words of a line: of a link its text, of a picture what stands in its place."""
    words = []
    for token in tokens:
        match token.type:
            case "softbreak" | "hardbreak":
                words.append("\n")
            case "html_inline":
                pass
            case "image":
                words.append(_seen(token.children or []))
            case _:
                words.append(token.content)
    return "".join(words)
