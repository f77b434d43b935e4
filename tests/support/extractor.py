"""What reads plain text by its sentences, in the test's own process, and fails on command."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from knowledge_svc.domain.extraction import Chunk, ExtractionFailed, FailureReason, Outline

_BATCH = 3


class Sentences:
    """The chunks of a text; "!!BROKEN!!" in it is one."""

    def __init__(self, text: str, gate: asyncio.Event | None) -> None:
        self._text = text
        self._gate = gate
        self._chunks = 0

    async def __aiter__(self) -> AsyncIterator[Sequence[Chunk]]:
        parts = [part.strip() for part in self._text.split(".") if part.strip()]
        for first in range(0, len(parts), _BATCH):
            batch = [_chunk(n, part) for n, part in enumerate(parts[first:][:_BATCH], start=first)]
            self._chunks += len(batch)
            yield batch
            if self._gate is not None:
                await self._gate.wait()
        if "!!BROKEN!!" in self._text:
            raise ExtractionFailed(FailureReason.BROKEN, "it is broken at its end")
        if not parts:
            raise ExtractionFailed(FailureReason.NO_TEXT, "there is no text in it")

    @property
    def outline(self) -> Outline:
        return Outline(self._chunks, len(self._text), pages=None, title="A title")


def _chunk(number: int, part: str) -> Chunk:
    """`12:00 Ada: words` is what somebody said."""
    said_at, speakers = None, ()
    if part.startswith("@"):
        said_at, speaker, part = part[1:].split(" ", 2)
        speakers = (speaker,)
    return Chunk(number, f"{part}.", 0, len(part), speakers=speakers, said_at=said_at)


class SentenceExtractor:
    """Reads `text/plain`. `gate` holds readings back, `fault` is raised, `opened` counts."""

    chunker = "sentences-test-1"

    def __init__(self) -> None:
        self.gate: asyncio.Event | None = None
        self.fault: Exception | None = None
        self.opened = 0

    def can_read(self, media_type: str) -> bool:
        return media_type == "text/plain"

    @asynccontextmanager
    async def open(self, path: Path, media_type: str) -> AsyncIterator[Sentences]:
        self.opened += 1
        if self.fault is not None:
            raise self.fault
        yield Sentences(await asyncio.to_thread(path.read_text, "utf-8"), self.gate)
