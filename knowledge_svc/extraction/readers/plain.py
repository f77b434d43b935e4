"""Plain text, in pieces: however long it is, little of it is in memory."""

from collections.abc import Iterator
from typing import BinaryIO

from knowledge_svc.extraction.decoding import text_of
from knowledge_svc.extraction.parts import Given, Part, Text

_PIECE = 1 << 16


def read(file: BinaryIO, given: Given) -> Iterator[Part]:
    """See Reader."""
    text = text_of(file)
    while piece := text.read(_PIECE):
        yield Text(piece)
