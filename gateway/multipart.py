"""Reads `multipart/form-data` as it arrives: the fields first, then one file, in bounded memory.

The file comes last, so that what is said of it is known when its first byte is: nothing waits on
a disk, and a refusal comes before the bytes do.
"""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.errors import Refused
from svckit.errors import InvalidRequest

FILE = "file"
MOST_FIELDS = 32
FIELDS_BYTES = 64 << 10


@dataclass
class _Part:
    """One part: a field, or the file."""

    name: str
    filename: str | None
    media_type: str


@dataclass
class _Headers:
    """The headers of the part at hand, as far as they have been read."""

    name: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    found: dict[bytes, bytes] = field(default_factory=dict)

    def end(self) -> None:
        self.found[bytes(self.name).lower()] = bytes(self.value)
        self.name.clear()
        self.value.clear()


# A part begins, has bytes, and ends (None); the end of all is an event of its own.
_Event = _Part | bytes | None
_END = b""


class Form:
    """A form; `fields`, `filename` and `media_type` are whole once the file has begun."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._events: deque[_Event] = deque()
        self._headers = _Headers()
        self._parser = MultipartParser(
            _boundary_of(content_type),
            {
                "on_part_begin": self._part_begins,
                "on_header_field": lambda data, a, b: self._headers.name.extend(data[a:b]),
                "on_header_value": lambda data, a, b: self._headers.value.extend(data[a:b]),
                "on_header_end": lambda: self._headers.end(),
                "on_headers_finished": self._headers_end,
                "on_part_data": lambda data, a, b: self._events.append(bytes(data[a:b])),
                "on_part_end": lambda: self._events.append(None),
                "on_end": lambda: self._events.append(_END),
            },
        )
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.media_type = ""

    async def begin(self) -> None:
        """Read up to the file's first byte. Raises InvalidRequest where there is no file."""
        size = 0
        while isinstance(part := await self._next(), _Part):
            if part.name == FILE:
                self.filename, self.media_type = part.filename or "", part.media_type
                return
            if part.filename is not None:
                raise InvalidRequest(part.name, f"is a file; the one file is called {FILE}")
            if part.name in self.fields or len(self.fields) >= MOST_FIELDS:
                raise InvalidRequest(part.name, "is given more than once, or one too many")
            value = bytearray()
            while (block := await self._next()) is not None:
                assert isinstance(block, bytes)
                value += block
                size += len(block)
                if size > FIELDS_BYTES:
                    raise InvalidRequest(part.name, "makes the fields larger than 64 KiB")
            self.fields[part.name] = _text(bytes(value), part.name)
        raise InvalidRequest(FILE, "is required, as the last part")

    async def blocks(self) -> AsyncIterator[bytes]:
        """The bytes of the file, as they arrive; after its end there is nothing else."""
        while (block := await self._next()) is not None:
            assert isinstance(block, bytes)
            yield block
        if (last := await self._next()) != _END:
            name = last.name if isinstance(last, _Part) else "body"
            raise InvalidRequest(name, f"comes after the file; {FILE} is the last part")

    async def _next(self) -> _Event:
        while not self._events:
            data = await anext(self._body, None)
            if data is None:
                raise InvalidRequest("body", "ends before the form does")
            try:
                self._parser.write(data)
            except FormParserError:
                raise InvalidRequest("body", "is no multipart/form-data") from None
        return self._events.popleft()

    def _part_begins(self) -> None:
        self._headers = _Headers()

    def _headers_end(self) -> None:
        found = self._headers.found
        _, options = parse_options_header(found.get(b"content-disposition", b""))
        name, filename = options.get(b"name"), options.get(b"filename")
        if name is None:
            raise InvalidRequest("body", "has a part without a name")
        self._events.append(
            _Part(
                _text(name, "body"),
                None if filename is None else _text(filename, "filename"),
                found.get(b"content-type", b"").decode("latin-1").strip(),
            )
        )


def _boundary_of(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind.lower() != b"multipart/form-data":
        raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", "send multipart/form-data")
    if not 1 <= len(boundary) <= 70:
        raise InvalidRequest("body", "is multipart/form-data without a boundary")
    return boundary


def _text(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(name, "is not valid UTF-8") from None
