"""Everything that the knowledge service can keep of somebody, put there behind its back."""

import hashlib
import json
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from knowledge_svc.domain.blobs import BlobNotFound
from svckit import ids
from tests.support.blobs import blobs_of
from tests.support.cluster import Database, administrator

LEASED = "now() + interval '1 hour'"


def key_of(subject_id: str, document_id: str, namespace: str = "transcripts") -> str:
    """Where the file of a document is."""
    return f"{namespace}/{subject_id}/{document_id}/notes.txt"


async def a_file(database: Database, key: str, content: bytes = b"What was said.") -> None:
    """A file in the blob store."""
    with NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        await blobs_of(database).put(key, Path(file.name), media_type="text/plain")


async def content_of(database: Database, key: str) -> bytes | None:
    """The bytes under a key, None where there are none."""
    try:
        return b"".join([block async for block in blobs_of(database).read(key)])
    except BlobNotFound:
        return None


async def a_document(
    database: Database, subject_id: str | None, *, state: str = "succeeded",
    content: bytes = b"What was said.", with_file: bool = True, **changes: Any,
) -> str:  # fmt: skip
    """A document with its file; answers its id."""
    document_id = ids.new()
    key = key_of(subject_id or "nobody", document_id)
    if with_file:
        await a_file(database, key, content)
    row = {
        "document_id": document_id, "revision": 1, "occurred_at": "2026-03-01T09:30:00Z",
        "subject_id": subject_id, "owner": subject_id or ids.named("nobody"),
        "size": len(content), "version": 1, "is_latest": True, "state": state,
        "namespace": "transcripts", "document_key": "", "filename": "notes.txt",
        "media_type": "text/plain", "blob_key": key, "metadata": {"mood": "calm"},
        "sha256": rf"\x{hashlib.sha256(content).hexdigest()}",
        "is_indexed": True, "chunks": 0, "characters": 0, "attempts": 0, "uploads": [],
        "created_at": "2026-03-01T09:30:00Z", "changed_at": "2026-03-01T09:30:00Z",
        "next_attempt_at": "2026-03-01T09:30:00Z", **changes,
    }  # fmt: skip
    async with administrator(database) as admin:
        await admin.execute(
            """INSERT INTO knowledge.documents
               SELECT * FROM jsonb_populate_record(NULL::knowledge.documents, $1)""",
            json.dumps(row),
        )
    return document_id


async def a_memory(database: Database, person_id: str, knowledge_id: str, versions: int = 2) -> str:
    """A memory with its history; answers its id."""
    memory_id = ids.new()
    async with administrator(database) as admin:
        await admin.execute(
            """INSERT INTO knowledge.memories (
                   memory_id, person_id, knowledge_id, occurred_at, created_at, updated_at,
                   importance, version, memory_key, category, value, metadata)
               VALUES ($1, $2, $3, now(), now(), now(), 0.5, $4, $5, 'taste', 'tea', '{}')""",
            memory_id, person_id, knowledge_id, versions, f"drink-{memory_id}",
        )  # fmt: skip
        await admin.execute(
            """INSERT INTO knowledge.memory_versions (memory_id, version, person_id, occurred_at,
                   created_at, importance, memory_key, category, value, metadata)
               SELECT $1, n, $2, now(), now(), 0.5, $3, 'taste', 'tea ' || n, '{"n": 1}'
               FROM generate_series(1, $4) n""",
            memory_id, person_id, f"drink-{memory_id}", versions,
        )  # fmt: skip
    return memory_id
