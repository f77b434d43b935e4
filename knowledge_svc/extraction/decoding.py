"""Bytes to text, whatever wrote them."""

import codecs
import io
from typing import BinaryIO

from knowledge_svc.extraction.parts import broken

_BLOCK = 1 << 20
# What the guess is made of: the surroundings of the first byte that is no UTF-8.
_SAMPLE = 64 << 10
# What files are in where they are not in Unicode: of all that are known, far more would fit.
_WESTERN = "cp1252"
_USUAL = [
    _WESTERN, "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257",
    "cp874", "cp932", "euc_jp", "gb18030", "big5", "cp949",
]  # fmt: skip
_ABOUT_THE_SAME = 0.01
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def text_of(file: BinaryIO, *, declared: str | None = None) -> io.TextIOWrapper:
    """A seekable file as text, line ends as `\\n`; what cannot be decoded becomes U+FFFD.

    A byte order mark decides, else UTF-8 where all of it is, else the declared encoding, else
    the likeliest one. Raises ExtractionFailed where it looks like no text at all.
    """
    encoding = _encoding_of(file, declared)
    file.seek(0)
    return io.TextIOWrapper(file, encoding, errors="replace")


def _encoding_of(file: BinaryIO, declared: str | None) -> str:
    file.seek(0)
    head = file.read(_SAMPLE)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if zeros := head.count(0):
        # Of Western text in UTF-16 about every second byte is zero; a lone one is rubbish.
        if zeros > len(head) // 5:
            return "utf-16-be" if head[0::2].count(0) > head[1::2].count(0) else "utf-16-le"
        if zeros > len(head) // 100:
            raise broken("it is not text")
    place = _first_that_is_no_utf8(file)
    if place is None:
        return "utf-8"
    if declared and (name := _known(declared)):
        return name
    file.seek(max(0, place - _SAMPLE // 2))
    return _likeliest(file.read(_SAMPLE))


def _likeliest(sample: bytes) -> str:
    # Most files need no guess, and it takes longer to load than they take to read.
    from charset_normalizer import from_bytes

    matches = from_bytes(sample, cp_isolation=_USUAL)
    best = matches.best()
    if best is None:
        raise broken("its encoding is unknown")
    # Central and Western Europe write the same letters with most of the same bytes.
    for match in matches:
        if match.encoding == _WESTERN and match.chaos <= best.chaos + _ABOUT_THE_SAME:
            return _WESTERN
    return best.encoding


def _first_that_is_no_utf8(file: BinaryIO) -> int | None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    at = 0
    while True:
        block = file.read(_BLOCK)
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            return at + error.start
        if not block:
            return None
        at += len(block)


def _known(name: str) -> str | None:
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    # Browsers read Latin-1 as what Windows made of it, and so did who wrote the page.
    return "cp1252" if known in ("iso8859-1", "ascii") else known
