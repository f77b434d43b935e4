"""What the service makes of the lines that a process writes about a file: it believes none of them.

Whoever wrote a hostile file may have got hold of the process that read it.
"""

from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from knowledge_svc.domain.extraction import Chunk, ExtractionFailed, FailureReason, Outline

# A chunk of 8 KiB with all its quotes escaped, and its speakers.
MOST_LINE_BYTES = 64 << 10

_MOST_CONTENT_BYTES = 8 << 10
_MOST_DETAIL_CHARACTERS = 200
_MOST_TITLE_CHARACTERS = 200
# As many as there are lines in a chunk.
_MOST_SPEAKERS = 500
# More than any file has of pages or characters, and no more than an answer can tell.
_MOST_PLACE = 2**31 - 1

_chunk = TypeAdapter(Chunk)
_outline = TypeAdapter(Outline)
_failure = TypeAdapter(tuple[FailureReason, str])


class Untrue(Exception):
    """A line is not what an honest process would have written."""


class Listener:
    """Makes sense of the lines of one process, in order, as far as they do."""

    def __init__(self, most_chunks: int) -> None:
        self._most_chunks = most_chunks
        self.chunks = 0

    def hear(self, line: bytes) -> Chunk | Outline | ExtractionFailed:
        """What a line says; raises Untrue."""
        if len(line) > MOST_LINE_BYTES:
            raise Untrue("a line is too long")
        try:
            match line[:1]:
                case b"C":
                    return self._chunk(_chunk.validate_json(line[1:]))
                case b"O":
                    return self._outline(_outline.validate_json(line[1:]))
                case b"F":
                    reason, detail = _failure.validate_json(line[1:])
                    printable = "".join(c for c in detail if c.isprintable())
                    return ExtractionFailed(reason, printable[:_MOST_DETAIL_CHARACTERS])
        except ValidationError as error:
            raise Untrue("a line is malformed") from error
        raise Untrue("a line is of no known kind")

    def _chunk(self, chunk: Chunk) -> Chunk:
        _expect(chunk.number == self.chunks < self._most_chunks, "chunks are out of order")
        _expect(0 < len(chunk.content.encode()) <= _MOST_CONTENT_BYTES, "a chunk is too large")
        _expect(0 <= chunk.start == chunk.end - len(chunk.content), "a place is wrong")
        _expect(chunk.end <= _MOST_PLACE, "a place is wrong")
        _expect(chunk.page is None or 0 < chunk.page <= _MOST_PLACE, "a page is wrong")
        _expect(len(chunk.speakers) <= _MOST_SPEAKERS, "there are too many speakers")
        _expect(_is_clean(chunk.content, *chunk.speakers), "a text is unreadable")
        _expect(chunk.said_at is None or _is_moment(chunk.said_at), "a time is wrong")
        self.chunks += 1
        return chunk

    def _outline(self, outline: Outline) -> Outline:
        _expect(outline.chunks == self.chunks > 0, "chunks are missing")
        title = outline.title or ""
        _expect(len(title) <= _MOST_TITLE_CHARACTERS and _is_clean(title), "the title is wrong")
        return outline


def _is_clean(*texts: str) -> bool:
    # What no database takes; lone surrogates are no JSON to begin with.
    return not any("\0" in text for text in texts)


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Untrue(otherwise)
