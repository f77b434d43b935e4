"""Files on their way: in a folder of this machine, checked while they are written."""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO

from knowledge_svc.domain.blobs import BlobsUnavailable
from knowledge_svc.domain.documents import MOST_BYTES, DocumentTooLarge
from svckit.errors import ResourceExhausted

_PREFIX = "kith-spool-"
# What is older was left behind by a process that died: no upload and no reading lasts as long.
_LEFT_BEHIND_SECONDS = 3600.0
# Each may be as large as a document.
_MOST_FILES = 64


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BlobsUnavailable(f"the folder of files on their way: {error.strerror}") from error


class Spooled:
    """A file as it arrives: its size, and the SHA-256 of what has been written so far."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    async def write(self, data: bytes) -> None:
        """Add bytes; raises DocumentTooLarge before it takes too many."""
        self.size += len(data)
        if self.size > MOST_BYTES:
            raise DocumentTooLarge
        with _translated():
            await asyncio.to_thread(self._write, data)

    async def end(self) -> None:
        """Nothing more comes: all of it can be read at `path`."""
        with _translated():
            await asyncio.to_thread(self._file.flush)

    @property
    def sha256(self) -> str:
        """In hex."""
        return self._hash.hexdigest()

    def remove(self) -> None:
        """Be gone. Closing waits for a write in a thread, and may itself find the disk full."""
        self.path.unlink(missing_ok=True)
        with suppress(OSError):
            self._file.close()

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)


class Spool:
    """A folder for files on their way; None is the system's for temporary files."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder or Path(tempfile.gettempdir())
        self._open = 0

    @asynccontextmanager
    async def file(self) -> AsyncIterator[Spooled]:
        """An empty file, gone when the block ends, however it ends.

        Raises ResourceExhausted where too many are on their way, and BlobsUnavailable where the
        folder does not take it.
        """
        if self._open >= _MOST_FILES:
            raise ResourceExhausted("too many files are on their way at once")
        self._open += 1
        try:
            # Not in a thread: whoever is cancelled meanwhile would leave it behind.
            with _translated():
                file = self._new()
            spooled = Spooled(Path(file.name), file)
            try:
                yield spooled
            finally:
                spooled.remove()
        finally:
            self._open -= 1

    async def sweep(self) -> None:
        """Remove what processes that died have left behind."""
        await asyncio.to_thread(self._sweep)

    def _new(self) -> IO[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Unlinked by the block itself, since others have to open it by its path.
        return tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=self._folder, delete=False)

    def _sweep(self) -> None:
        oldest = time.time() - _LEFT_BEHIND_SECONDS
        for path in self._folder.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
