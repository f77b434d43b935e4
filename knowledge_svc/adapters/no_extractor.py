"""What reads files where nothing is there to read them."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from knowledge_svc.domain.extraction import ExtractionFailed, FailureReason
from knowledge_svc.ports.extraction import Extraction


class NoExtractor:
    """Files are kept and served, and have no text."""

    chunker = ""

    def can_read(self, media_type: str) -> bool:
        return False

    def open(self, path: Path, media_type: str) -> AbstractAsyncContextManager[Extraction]:
        raise ExtractionFailed(FailureReason.NO_TEXT, f"nothing reads {media_type} here")
