"""What documents need from outside to become text."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from knowledge_svc.domain.extraction import Chunk, Outline


class Extraction(Protocol):
    """The text of one file, as it comes out."""

    def __aiter__(self) -> AsyncIterator[Sequence[Chunk]]:
        """Chunks in order, some hundred at most at a time; raises ExtractionFailed."""
        ...

    @property
    def outline(self) -> Outline:
        """What is known at the end, and not before."""
        ...


class Extractor(Protocol):
    """Reads files where they can do no harm."""

    # How text becomes chunks; another one would make others of the same file.
    chunker: str

    def can_read(self, media_type: str) -> bool:
        """Whether there is text to be had from files of this type."""
        ...

    def open(self, path: Path, media_type: str) -> AbstractAsyncContextManager[Extraction]:
        """Begin with a file; leaving ends it, wherever it is."""
        ...
