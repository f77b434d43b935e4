"""What the process that reads a file writes: a line for each chunk, and one for how it ended.

A line is a letter and JSON; `listening` reads them.
"""

import orjson

from knowledge_svc.domain.extraction import Chunk, ExtractionFailed, Outline


def chunk_line(chunk: Chunk) -> bytes:
    """A chunk as a line."""
    return b"C%s\n" % orjson.dumps(chunk)


def last_line(end: Outline | ExtractionFailed) -> bytes:
    """The end, good or bad, as a line."""
    if isinstance(end, Outline):
        return b"O%s\n" % orjson.dumps(end)
    return b"F%s\n" % orjson.dumps((end.reason, end.detail))
