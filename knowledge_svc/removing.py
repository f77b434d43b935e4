"""Removes files in time: whoever removes one holds its key for a while only."""

import asyncio
from collections.abc import Sequence

from knowledge_svc.domain.blobs import BlobsUnavailable
from knowledge_svc.ports.blobs import BlobStore


async def removed_in(seconds: float, blobs: BlobStore, keys: Sequence[str]) -> None:
    """Remove files, at most 1,000; raises BlobsUnavailable where that takes longer."""
    try:
        async with asyncio.timeout(seconds):
            await blobs.delete(keys)
    except TimeoutError:
        raise BlobsUnavailable("the blob store takes too long") from None
