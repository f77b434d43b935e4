"""Original files under their keys, and the errors of the store that keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass

from svckit.errors import Unavailable


class BlobsUnavailable(Unavailable):
    """The blob store cannot be reached."""

    reason = "BLOBS_UNAVAILABLE"


class BlobNotFound(Exception):
    """There is no file under the key."""


@dataclass(frozen=True)
class Blob:
    """A file that is there: its size in bytes, and when it was written, ISO 8601."""

    key: str
    size: int
    modified_at: str


@dataclass(frozen=True)
class BlobPage:
    """Some files, and where to go on; None at the end."""

    blobs: Sequence[Blob]
    after: str | None
