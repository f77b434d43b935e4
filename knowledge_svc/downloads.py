"""Gives files out as they came, or says that they are not; and links to them."""

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

from knowledge_svc.domain.blobs import BlobNotFound
from knowledge_svc.domain.documents import Document, FileLost, SignatureInvalid
from knowledge_svc.ports.blobs import BlobStore
from knowledge_svc.ports.documents import DocumentStore
from svckit.errors import InvalidRequest


class Downloads:
    """Reads files out of the blob store."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def read(
        self, document: Document, *, offset: int = 0, length: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset` on, `length` of them, or all where that is 0.

        Of a whole file the last block comes only when the checksum is right. Raises FileLost, at
        the first block where the file is not there; InvalidRequest for an offset behind its end.
        """
        if offset > document.size or (offset == document.size and offset > 0):
            raise InvalidRequest("offset", f"is behind the end; the file has {document.size} bytes")
        wanted = min(length or document.size, document.size - offset)
        checksum = hashlib.sha256() if wanted == document.size else None
        held: bytes | None = None
        read = 0
        try:
            stored = self._blobs.read(document.blob_key, offset=offset, length=wanted)
            async with aclosing(stored) as blocks:
                async for block in blocks:
                    if held is not None:
                        yield held
                    held = block
                    read += len(block)
                    if checksum is not None:
                        checksum.update(block)
        except BlobNotFound:
            raise FileLost(document.document_id) from None
        if read != wanted or (checksum is not None and checksum.hexdigest() != document.sha256):
            raise FileLost(document.document_id)
        if held is not None:
            yield held


class Links:
    """Signs links that this service serves itself, and knows its own again."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._key: bytes | None = None

    async def sign(self, document_id: str, *, seconds: int) -> tuple[str, datetime]:
        """A path that the gateway serves, and until when it does."""
        until = int(time.time()) + seconds
        signature = f"{until}.{_mac(await self._secret(), document_id, until)}"
        path = f"/v1/documents/{document_id}/content?signature={signature}"
        return path, datetime.fromtimestamp(until, UTC)

    async def check(self, document_id: str, signature: str) -> None:
        """Raise SignatureInvalid unless this service has signed a link to it that still holds."""
        told, _, mac = signature.partition(".")
        until = int(told) if told.isascii() and told.isdigit() and len(told) < 12 else 0
        expected = _mac(await self._secret(), document_id, until)
        if not hmac.compare_digest(mac.encode(), expected.encode()) or until < time.time():
            raise SignatureInvalid

    async def _secret(self) -> bytes:
        if self._key is None:
            self._key = bytes.fromhex(await self._store.signing_key(secrets.token_hex(32)))
        return self._key


def _mac(key: bytes, document_id: str, until: int) -> str:
    found = hmac.digest(key, f"{document_id} {until}".encode(), "sha256")
    return urlsafe_b64encode(found).decode().rstrip("=")
