"""A zip made as it is sent: nothing of it is kept but what was not taken yet.

The standard library's zipfile writes to what cannot seek; all that is added here is that what it
has written is taken away after each block. The list of entries stands at the very end, so a zip
that was broken off is none: every reader refuses it.
"""

import asyncio
import hashlib
import re
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

# Of a name that came with a file these stay.
_UNSAFE = re.compile(r"[^\w.()+-]+")
_MOST_CHARACTERS = 100


@dataclass(frozen=True)
class Entry:
    """One entry that is whole: its size in bytes, and its SHA-256 in hex."""

    name: str
    size: int
    sha256: str


class Zip:
    """Entries one after the other; what is yielded makes up the zip."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)
        self.entries: list[Entry] = []

    async def add(self, name: str, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Add an entry."""
        info = zipfile.ZipInfo(name, datetime.now(UTC).timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        # A plain file that its owner may read and write.
        info.external_attr = 0o600 << 16
        digest, size = hashlib.sha256(), 0
        # How large it will be is not known, so there is room for more than 4 GiB.
        with self._zip.open(info, "w", force_zip64=True) as entry:
            async for block in blocks:
                digest.update(block)
                size += len(block)
                # zlib takes milliseconds for a block, and lets others go on meanwhile.
                await asyncio.to_thread(entry.write, block)
                if written := self._sink.take():
                    yield written
        yield self._sink.take()
        self.entries.append(Entry(name, size, digest.hexdigest()))

    def close(self) -> bytes:
        """The end, without which it is no zip."""
        self._zip.close()
        return self._sink.take()


class _Sink:
    """What was written and not taken."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def flush(self) -> None:
        """There is nothing behind it."""

    def close(self) -> None:
        """What was written can still be taken."""

    def take(self) -> bytes:
        written = bytes(self._written)
        self._written.clear()
        return written


def safe_name(filename: str) -> str:
    """A file's name that is one on every system and leads nowhere else; `file` where none is left.

    The ending stays; of a long name the middle goes.
    """
    name = _UNSAFE.sub("_", filename).strip("._") or "file"
    if len(name) > _MOST_CHARACTERS:
        stem, dot, ending = name.rpartition(".")
        ending = dot + ending if stem and len(ending) <= 16 else ""
        name = name[: _MOST_CHARACTERS - len(ending)].rstrip("._") + ending
    return name
