"""Original files in a folder of this machine."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from knowledge_svc.domain.blobs import Blob, BlobNotFound, BlobPage, BlobsUnavailable

T = TypeVar("T")

_BLOCK = 256 << 10
# What is not whole yet; no key begins with a dot.
_UNFINISHED = ".unfinished-"


class LocalBlobs:
    """A file for each key below one folder; replicas share it only if they share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    async def put(self, key: str, path: Path, *, media_type: str) -> None:
        await self._in_thread(self._put, self._path(key), path)

    async def read(
        self, key: str, *, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        try:
            file = await asyncio.to_thread(self._path(key).open, "rb")
        except FileNotFoundError:
            raise BlobNotFound(key) from None
        except OSError as error:
            raise BlobsUnavailable(f"the folder of files: {error.strerror}") from error
        with file:
            file.seek(offset)
            left = length
            while left is None or left > 0:
                block = await self._in_thread(
                    file.read, _BLOCK if left is None else min(_BLOCK, left)
                )
                if not block:
                    return
                yield block
                left = None if left is None else left - len(block)

    async def stat(self, key: str) -> Blob | None:
        return await self._in_thread(_stat, self._path(key), key)

    async def delete(self, keys: Sequence[str]) -> None:
        await self._in_thread(self._delete, [self._path(key) for key in keys])

    async def page(self, *, after: str | None, limit: int) -> BlobPage:
        blobs = await self._in_thread(self._page, after or "", limit)
        return BlobPage(blobs, blobs[-1].key if len(blobs) == limit else None)

    async def owned(self, owners: Sequence[str], *, limit: int) -> Sequence[str]:
        return await self._in_thread(lambda: [*islice(self._owned(owners), limit)])

    async def url(self, key: str, *, filename: str, seconds: int) -> str | None:
        return None

    def _path(self, key: str) -> Path:
        path = self._folder.joinpath(*key.split("/"))
        # Keys are made by the service; this is the last gate all the same.
        if not key or any(part in ("", ".", "..") for part in key.split("/")) or "\0" in key:
            raise ValueError("not a key")
        return path

    def _put(self, path: Path, source: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
        try:
            with os.fdopen(number, "wb") as target, source.open("rb") as file:
                shutil.copyfileobj(file, target, _BLOCK)
                target.flush()
                os.fsync(target.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _settle(path.parent)

    def _delete(self, paths: Sequence[Path]) -> None:
        for path in paths:
            with suppress(FileNotFoundError):
                path.unlink()
                _settle(path.parent)
            # Folders go with their last file; one that has others, or that somebody writes to
            # just now, stays.
            for folder in path.parents:
                if folder == self._folder:
                    break
                try:
                    folder.rmdir()
                except OSError:
                    break

    def _page(self, after: str, limit: int) -> list[Blob]:
        keys = nsmallest(limit, (key for key in self._keys() if key > after))
        stats = (_stat(self._path(key), key) for key in keys)
        return [blob for blob in stats if blob is not None]

    def _owned(self, owners: Sequence[str]) -> Iterator[str]:
        namespaces = [each.name for each in self._folder.iterdir()] if self._folder.is_dir() else []
        for namespace in namespaces:
            for owner in owners:
                yield from self._files(self._path(f"{namespace}/{owner}"))

    def _keys(self) -> Iterator[str]:
        for key in self._files(self._folder):
            if not key.rpartition("/")[2].startswith(_UNFINISHED):
                yield key

    def _files(self, below: Path) -> Iterator[str]:
        for folder, _, names in os.walk(below):
            prefix = Path(folder).relative_to(self._folder).as_posix()
            for name in names:
                yield name if prefix == "." else f"{prefix}/{name}"

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        try:
            return await asyncio.to_thread(work, *arguments)
        except OSError as error:
            raise BlobsUnavailable(f"the folder of files: {error.strerror}") from error


def _stat(path: Path, key: str) -> Blob | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    modified = datetime.fromtimestamp(found.st_mtime, UTC).isoformat()
    return Blob(key, found.st_size, modified)


def _settle(folder: Path) -> None:
    """Have what was done in the folder outlive a crash of the machine."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
