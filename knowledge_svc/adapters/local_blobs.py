"""Original files in a folder of this machine."""

import asyncio
import errno
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

from knowledge_svc.domain.blobs import Blob, BlobNotFound, BlobPage, BlobsUnavailable

T = TypeVar("T")

_BLOCK = 256 << 10
# What is not whole yet; no key begins with a dot.
_UNFINISHED = ".unfinished-"
# Nobody writes to it any more: a file is put within two minutes, or given up.
_ABANDONED_SECONDS = 600.0
# To make a folder that others remove.
_TRIES = 10


class LocalBlobs:
    """A file for each key below one folder; replicas share it only if they share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    async def put(self, key: str, path: Path, *, media_type: str) -> None:
        await self._in_thread(self._put, self._path(key), path)

    async def read(
        self, key: str, *, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        file = await self._opened(self._path(key))
        if file is None:
            raise BlobNotFound(key)
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

    async def _opened(self, path: Path) -> IO[bytes] | None:
        opening = asyncio.ensure_future(self._in_thread(self._open, path))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread goes on; what it opens is nobody's then.
            opening.add_done_callback(_close)
            raise

    def _open(self, path: Path) -> IO[bytes] | None:
        self._ensure_inside(path)
        try:
            # What is a link leads elsewhere, whoever put it there.
            return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _ensure_inside(self, path: Path) -> None:
        """Raise where a folder on the way is a link."""
        if path.parent.resolve() != path.parent:
            raise OSError(errno.ELOOP, "a folder is a link")

    def _put(self, path: Path, source: Path) -> None:
        number, name = self._unfinished(path)
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

    def _unfinished(self, path: Path) -> tuple[int, str]:
        for _ in range(_TRIES):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._ensure_inside(path)
            try:
                return tempfile.mkstemp(prefix=_prefix_of(path), dir=path.parent)
            except FileNotFoundError:
                # Somebody has removed the folder with its last file just now.
                continue
        raise FileNotFoundError(errno.ENOENT, "the folder goes away again and again")

    def _delete(self, paths: Sequence[Path]) -> None:
        for path in paths:
            with suppress(FileNotFoundError, NotADirectoryError):
                self._ensure_inside(path)
                # A process that died over it has left what it had of it.
                for part in path.parent.glob(f"{_prefix_of(path)}*"):
                    part.unlink(missing_ok=True)
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
        return list(islice(_walk(self._folder, "", after), limit))

    def _owned(self, owners: Sequence[str]) -> Iterator[str]:
        namespaces = [each.name for each in self._folder.iterdir()] if self._folder.is_dir() else []
        for namespace in namespaces:
            for owner in owners:
                yield from self._files(self._path(f"{namespace}/{owner}"))

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


def _prefix_of(path: Path) -> str:
    """How the names begin of what is not whole yet of a file; the name itself may be too long."""
    return f"{_UNFINISHED}{hashlib.sha256(path.name.encode()).hexdigest()[:16]}-"


def _stat(path: Path, key: str) -> Blob | None:
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    modified = datetime.fromtimestamp(found.st_mtime, UTC).isoformat()
    return Blob(key, found.st_size, modified)


def _walk(folder: Path, prefix: str, after: str) -> Iterator[Blob]:
    """Files in order of key, from behind `after` on; folders that end before it are left out."""
    try:
        with os.scandir(folder) as found:
            entries = [e for e in found if not e.name.startswith(_UNFINISHED) or _is_abandoned(e)]
    except (FileNotFoundError, NotADirectoryError):
        return  # gone meanwhile, with its last file
    # A folder stands where its keys do, which have a slash behind its name.
    ordered = sorted(
        (f"{prefix}{e.name}/" if e.is_dir(follow_symlinks=False) else f"{prefix}{e.name}", e)
        for e in entries if not e.is_symlink()
    )  # fmt: skip
    for key, entry in ordered:
        if key.endswith("/"):
            if key > after or after.startswith(key):
                yield from _walk(Path(entry.path), key, after)
        elif key > after:
            blob = _stat(Path(entry.path), key)
            if blob is not None:
                yield blob


def _is_abandoned(unfinished: "os.DirEntry[str]") -> bool:
    """Whether a process died over it, so that it is a file that nobody knows, like any other."""
    try:
        written_at = unfinished.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return False
    return time.time() - written_at > _ABANDONED_SECONDS


def _close(opening: asyncio.Future[IO[bytes] | None]) -> None:
    if not opening.cancelled() and opening.exception() is None and (file := opening.result()):
        file.close()


def _settle(folder: Path) -> None:
    """Have what was done in the folder outlive a crash of the machine."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
