"""What keeps the original files: a folder, or a bucket."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Protocol

from knowledge_svc.domain.blobs import Blob, BlobPage


class BlobStore(Protocol):
    """Files under keys of ASCII words with slashes between.

    Every method raises BlobsUnavailable while the store cannot be reached.
    """

    async def put(self, key: str, path: Path, *, media_type: str) -> None:
        """Keep a copy of the file at `path`, whole or not at all; one under the same key gives way.

        Returns when the copy outlives a crash.
        """
        ...

    def read(
        self, key: str, *, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset` on, some 256 KiB at a time; raises BlobNotFound at the first.

        To be closed by whoever does not read to the end.
        """
        ...

    async def stat(self, key: str) -> Blob | None:
        """What is there under the key, or None."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove files, at most 1,000; keys without one are fine."""
        ...

    async def page(self, *, after: str | None, limit: int) -> BlobPage:
        """All files in order of key, from `BlobPage.after` of the page before on."""
        ...

    async def owned(self, owners: Sequence[str], *, limit: int) -> Sequence[str]:
        """Up to `limit` keys that have one of the owners for their second word, in no order.

        Keys are `namespace/subject/document_id/filename`, of the nil UUID without a subject. What
        a crash left half done is among them, where the store shows it: all of it can be deleted.
        (A bucket lists its namespaces, then what is below each `namespace/subject/`.)
        """
        ...

    async def url(self, key: str, *, filename: str, seconds: int) -> str | None:
        """A URL that serves the file for a while; None where the store has none to give."""
        ...
