"""Reads message bodies, one JSON object a line."""

import codecs
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from kithctl.importing.records import Malformed, Message, Record

# What a message may hold (32 KiB of text, 16 KiB of metadata) fits even if all of it is escaped.
MOST_LINE_BYTES = 1 << 20


def read(file: BinaryIO) -> Iterator[Record]:
    """The records of a file of JSON lines; blank lines are passed over."""
    for number, line in enumerate(_lines(file), start=1):
        if line is None:
            yield Malformed(number, f"is longer than {MOST_LINE_BYTES} bytes")
        elif line := line.removeprefix(codecs.BOM_UTF8).strip():
            yield _record(number, line)


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Each line, None in place of one that is too long to be held."""
    while line := file.readline(MOST_LINE_BYTES + 1):
        if len(line) <= MOST_LINE_BYTES:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(MOST_LINE_BYTES)
        yield None


def _record(number: int, line: bytes) -> Record:
    try:
        body: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        # What follows is a place inside of the line, which would read as one in the file.
        return Malformed(number, f"is not JSON: {error.msg}")
    if not isinstance(body, dict):
        return Malformed(number, "is not a JSON object")
    return Message(number, body)
