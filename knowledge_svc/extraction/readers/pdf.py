"""PDF, by the library of the Chrome browser."""

import re
from collections.abc import Iterator
from typing import BinaryIO

import pypdfium2
import pypdfium2.raw as pdfium

from knowledge_svc.extraction.ocr import Ocr, Picture
from knowledge_svc.extraction.parts import (
    Given,
    Pages,
    Part,
    Text,
    Title,
    broken,
    encrypted,
    too_much,
)

# What the library makes of a hyphen at the end of a line.
_HYPHEN = re.compile("\ufffe(?:\r?\n)?(.?)")
# A line from right to left comes out with the halves of each emoji exchanged.
_EXCHANGED = re.compile("([\udc00-\udfff])([\ud800-\udbff])")
# What OCR reads well: 200 dots an inch; larger pages get fewer.
_SCALE = 200 / 72
_MOST_PIXELS = 20_000_000


def read(file: BinaryIO, given: Given) -> Iterator[Part]:
    """See Reader. A page that cannot be read fails the file: half a document misleads."""
    try:
        document = pypdfium2.PdfDocument(file.read())
    except pypdfium2.PdfiumError as error:
        if error.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            raise encrypted("it opens with a password only") from error
        raise broken("it is no PDF, or a damaged one") from error
    pages = len(document)
    if pages > given.limits.pages:
        raise too_much(f"it has {pages} pages; at most {given.limits.pages} are read")
    yield Pages(pages)
    yield Title(document.get_metadata_value("Title"))
    for number in range(pages):
        try:
            page = document[number]
            text = _text_of(page, given.ocr)
        except pypdfium2.PdfiumError as error:
            raise broken(f"page {number + 1} is damaged") from error
        page.close()
        yield Text(text, number + 1)


def _text_of(page: pypdfium2.PdfPage, ocr: Ocr | None) -> str:
    content = page.get_textpage()
    text: str = content.get_text_range(errors="surrogatepass")
    content.close()
    if not text.strip() and ocr is not None:
        return ocr.text_of(_picture_of(page))
    text = _EXCHANGED.sub(r"\2\1", _HYPHEN.sub(_joined, text))
    # Two halves become one character.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _joined(hyphen: re.Match[str]) -> str:
    # A small letter goes on with the word; what else follows had its hyphen before.
    return hyphen[1] if hyphen[1].islower() else f"-{hyphen[1]}"


def _picture_of(page: pypdfium2.PdfPage) -> Picture:
    width, height = page.get_size()
    scale = min(_SCALE, (_MOST_PIXELS / max(1.0, width * height)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True)
    rows = memoryview(bitmap.buffer).cast("B")
    pixels = b"".join(
        rows[start : start + bitmap.width]
        for start in range(0, bitmap.stride * bitmap.height, bitmap.stride)
    )
    return Picture(bitmap.width, bitmap.height, pixels)
