"""Files through the real process that reads them."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from knowledge_svc.domain.extraction import Chunk, Outline
from knowledge_svc.extraction.limits import Limits
from knowledge_svc.extraction.process import ProcessExtractor
from knowledge_svc.extraction.readers import READERS

# Read by a reader that does what the file says.
HOSTILE = "test/hostile"
_READERS = {**READERS, HOSTILE: "tests.support.misreader"}


@dataclass(frozen=True)
class Extracted:
    """All that came out of a file."""

    chunks: Sequence[Chunk]
    outline: Outline

    def having(self, words: str) -> Chunk:
        """The first chunk with these words."""
        return next(chunk for chunk in self.chunks if words in chunk.content)


def extractor(limits: Limits | None = None, *, ocr: str | None = None) -> ProcessExtractor:
    """One that also reads what is hostile."""
    return ProcessExtractor(limits, ocr=ocr, readers=_READERS)


async def extracted(
    content: bytes,
    media_type: str,
    folder: Path,
    limits: Limits | None = None,
    *,
    ocr: str | None = None,
) -> Extracted:
    """What comes out of a file with this content; raises ExtractionFailed."""
    path = folder / "file"
    path.write_bytes(content)
    chunks: list[Chunk] = []
    async with extractor(limits, ocr=ocr).open(path, media_type) as extraction:
        async for batch in extraction:
            chunks += batch
        return Extracted(chunks, extraction.outline)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of it."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()[:1] not in ("", "Z")


def exists(pid: int) -> bool:
    """Whether there is anything left of such a process, a zombie included."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False)
    return bool(shown.stdout.strip())
