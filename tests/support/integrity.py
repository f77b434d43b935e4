"""A knowledge service on each pair of stores, and the ways to break what it keeps.

`World` writes as the services do and breaks as nobody should: behind the service's back, in the
rows, in the index, among the files. Its faults have an age, so no test waits for a grace period.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import asyncpg
import pytest

from kith.knowledge.v1 import document_service_pb2, integrity_service_pb2_grpc
from kith.knowledge.v1 import integrity_service_pb2 as pb
from kith.knowledge.v1 import knowledge_service_pb2 as knowledge_pb
from knowledge_svc.__main__ import assemble
from knowledge_svc.adapters.local_blobs import LocalBlobs
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.adapters.pinecone import PineconePlace, open_pinecone
from knowledge_svc.backends import Backends
from knowledge_svc.domain.items import Space, Vector, space_of
from knowledge_svc.ports.items import VectorIndex
from svckit import ids
from svckit.stores import Store
from tests.support import pinecone
from tests.support.blobs import blobs_of, folder_of
from tests.support.cluster import Database
from tests.support.documents import DocumentClient, DocumentStub
from tests.support.extractor import SentenceExtractor
from tests.support.knowledge import (
    QUICK,
    QUICK_CARE,
    Stub,
    a_request,
    eventually,
    is_serving,
    wordllama,
)
from tests.support.services import channel_to, running
from tests.support.walks import Walked

IntegrityStub = integrity_service_pb2_grpc.IntegrityServiceStub
Vectors = Literal["pgvector", "pinecone"]

# Faults are an hour old, writes a moment.
GRACE = 600
SPACE = space_of(wordllama().model, wordllama().dimension)


@dataclass
class World:
    """A service and everything that it stands on."""

    database: Database
    knowledge: Stub
    documents: DocumentClient
    integrity: IntegrityStub
    index: VectorIndex
    blobs: LocalBlobs
    admin: Any
    vectors: Vectors
    address: str = ""
    space: Space = SPACE
    files: dict[str, bytes] = field(default_factory=dict)

    # What the service does.

    async def store(self, *contents: str, **changes: Any) -> list[str]:
        """The ids of new items, which are indexed."""
        stored = []
        for start in range(0, len(contents), 500):
            batch = [a_request(one, **changes) for one in contents[start : start + 500]]
            answer = await self.knowledge.BatchStoreKnowledge(
                knowledge_pb.BatchStoreKnowledgeRequest(requests=batch)
            )
            stored += [result.response.knowledge_id for result in answer.results]
        await eventually(partial(self._are_indexed, stored), seconds=30)
        return stored

    async def _are_indexed(self, stored: Sequence[str]) -> bool:
        waiting = await self.admin.fetchval(
            "SELECT count(*) FROM knowledge.index_states WHERE state = 'pending' "
            "AND knowledge_id = ANY ($1::uuid[])", [*stored]
        )  # fmt: skip
        return bool(waiting == 0)

    async def indexed(self) -> None:
        """Return when nothing waits."""
        await eventually(self._is_idle, seconds=30)

    async def _is_idle(self) -> bool:
        waiting = await self.admin.fetchval(
            "SELECT count(*) FROM knowledge.index_states WHERE state IN ('pending', 'deleting')"
        )
        return bool(waiting == 0)

    async def delete(self, knowledge_id: str) -> None:
        """Delete an item as its owner does."""
        request = knowledge_pb.DeleteKnowledgeRequest(knowledge_id=knowledge_id)
        await self.knowledge.DeleteKnowledge(request)

    async def is_forgotten(self, knowledge_id: str) -> bool:
        """Whether there is neither row nor vector of an item any more."""
        row = await self.admin.fetchval(
            "SELECT 1 FROM knowledge.knowledge_items WHERE knowledge_id = $1", knowledge_id
        )
        return row is None and await self._are_gone([knowledge_id])

    async def replace(self, knowledge_id: str, content: str) -> None:
        """A new write of an item."""
        digest = hashlib.sha256(content.encode()).hexdigest()
        await self.admin.execute(
            "SELECT knowledge.replace_items(jsonb_build_array(jsonb_build_object("
            "'knowledge_id', $1::text, 'content', $2::text, 'content_hash', $3::text)))",
            knowledge_id, content, rf"\x{digest}",
        )  # fmt: skip

    async def upload(self, *pieces: str, **changes: Any) -> str:
        """The id of a new document with these sentences, which is read."""
        content = "\n".join(f"{piece.removesuffix('.')}." for piece in pieces)
        document = await self.documents.read(
            content, **{"namespace": "handbooks", "key": ids.new(), **changes}
        )
        self.files[await self.key(document.document_id)] = content.encode()
        return document.document_id

    async def withdraw(self, document_id: str) -> None:
        """Delete a document as its owner does."""
        key = await self.key(document_id)
        assert await self.documents.delete(document_id)
        del self.files[key]

    async def read_anew(self, document_id: str) -> None:
        """Have the text of a document be read again."""
        request = document_service_pb2.ExtractDocumentRequest(document_id=document_id)
        await self.documents.documents.ExtractDocument(request)

    async def pieces(self, document_id: str) -> list[str]:
        """Ids of the pieces that it shows, in order."""
        rows = await self.admin.fetch(
            "SELECT i.knowledge_id::text FROM knowledge.knowledge_items i "
            "JOIN knowledge.documents d USING (document_id, reading) "
            "WHERE document_id = $1 AND i.deleted_at IS NULL ORDER BY chunk_number", document_id
        )  # fmt: skip
        return [row[0] for row in rows]

    async def key(self, document_id: str) -> str:
        """Where its file is."""
        return str(
            await self.admin.fetchval(
                "SELECT blob_key FROM knowledge.documents WHERE document_id = $1", document_id
            )
        )

    async def put(self, key: str, content: bytes, age_seconds: float = 0) -> None:
        """A file, written so long ago."""
        source = folder_of(self.database) / ids.new()
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(content)
        await self.blobs.put(key, source, media_type="text/plain")
        source.unlink()
        if age_seconds:
            then = time.time() - age_seconds
            os.utime(self.path(key), (then, then))

    def path(self, key: str) -> Path:
        """The file itself."""
        return folder_of(self.database) / "blobs" / key

    # What nobody should do.

    async def sql(self, statement: str, *arguments: Any) -> None:
        """Change rows behind the service's back."""
        await self.admin.execute(statement, *arguments)

    async def lose_vectors(self, lost: Sequence[str]) -> None:
        """Have the index forget."""
        await self.index.delete(self.space.name, lost)
        await eventually(partial(self._are_gone, lost))

    async def _are_gone(self, lost: Sequence[str]) -> bool:
        return not await self.index.fetch(self.space.name, lost)

    async def plant_vectors(self, strangers: Sequence[str]) -> None:
        """Vectors of nobody's items, past every fence."""
        if self.vectors == "pgvector":
            await self.sql(
                f"""INSERT INTO knowledge.vectors_{self.space.name}
                        (knowledge_id, occurred_at, namespace, embedding)
                    SELECT s, now(), 'default', array_fill(0.0625, ARRAY[256])::extensions.vector
                    FROM unnest($1::uuid[]) s""",
                [*strangers],
            )
        else:
            await self.overwrite_vectors(strangers)
        await eventually(partial(self._are_there, strangers))

    async def _are_there(self, wanted: Sequence[str]) -> bool:
        return len(await self.index.fetch(self.space.name, wanted)) == len(wanted)

    async def overwrite_vectors(self, wanted: Sequence[str], **changes: Any) -> None:
        """Vectors that say something else than the items."""
        given: dict[str, Any] = {
            "namespace": "default", "occurred_at": "2020-01-01T00:00:00+00:00", **changes,
        }  # fmt: skip
        values = [1.0] + [0.0] * (self.space.dimension - 1)
        vectors = [Vector(one, values, **given) for one in wanted]
        await self.index.upsert(self.space.name, vectors)

    async def keeps_hashes(self) -> bool:
        """Whether the index says what content a vector was made of."""
        [some] = (await self.index.ids(self.space.name, after=None, limit=1)).ids
        [held] = await self.index.fetch(self.space.name, [some])
        return held.content_hash is not None

    async def age_suspects(self) -> None:
        """Have what was noted be noted an hour ago."""
        await self.sql(
            "UPDATE knowledge.suspects SET first_seen = now() - interval '1 hour', "
            "last_seen = now() - interval '1 hour'"
        )

    # What is asked.

    async def verify(self, **changes: Any) -> Walked:
        """A census through everything, files included."""
        request = pb.VerifyIntegrityRequest(
            **{"read_files": True, "grace_seconds": GRACE, **changes}
        )
        parts = [part async for part in self.integrity.VerifyIntegrity(request, timeout=60)]
        return Walked(
            [part.finding for part in parts if part.HasField("finding")], [],
            [part.progress for part in parts if part.HasField("progress")], parts[-1].summary,
        )  # fmt: skip

    async def repair(
        self, kinds: Iterable[pb.FindingKind.ValueType] = (), dry_run: bool = False, **changes: Any
    ) -> Walked:
        """A census that mends."""
        census = pb.VerifyIntegrityRequest(
            **{"read_files": True, "grace_seconds": GRACE, **changes}
        )
        request = pb.RepairIntegrityRequest(census=census, kinds=[*kinds], dry_run=dry_run)
        parts = [part async for part in self.integrity.RepairIntegrity(request, timeout=60)]
        repairs = [part.repair for part in parts if part.HasField("repair")]
        return Walked(
            [repair.finding for repair in repairs], [repair.action for repair in repairs],
            [part.progress for part in parts if part.HasField("progress")], parts[-1].summary,
        )  # fmt: skip

    async def read_texts(self) -> None:
        """Return when all texts are read and all deletions of documents finished."""

        async def is_done() -> bool:
            return not await self.admin.fetchval(
                "SELECT EXISTS (SELECT FROM knowledge.documents WHERE state IN "
                "('storing', 'pending', 'running', 'deleting')) "
                "OR EXISTS (SELECT FROM knowledge.hidden_readings)"
            )

        await eventually(is_done, seconds=30)

    async def clean(self) -> None:
        """Return when everything waits for nobody and a census finds nothing."""
        await self.read_texts()
        await self.indexed()
        walked = await self.verify()
        assert walked.told == Counter()

    async def live_ids(self) -> set[str]:
        """The ids of all items that are there."""
        rows = await self.admin.fetch(
            "SELECT knowledge_id::text FROM knowledge.knowledge_items WHERE deleted_at IS NULL"
        )
        return {row[0] for row in rows}

    async def vector_ids(self) -> set[str]:
        """The ids of all vectors."""
        found: set[str] = set()
        after = None
        while True:
            page = await self.index.ids(self.space.name, after=after, limit=1000)
            found |= {*page.ids}
            after = page.after
            if after is None:
                return found

    async def keys(self) -> set[str]:
        """The keys of all files."""
        return {blob.key for blob in (await self.blobs.page(after=None, limit=10_000)).blobs}


@asynccontextmanager
async def hosting(vectors: Vectors) -> AsyncIterator[None]:
    """Where the kind of index is a hosted one, its stand-in; processes find it, too."""
    if vectors == "pgvector":
        yield
        return
    stand_in = pinecone.Pinecone()
    stand_in.add("kith", SPACE.dimension)
    async with stand_in.running() as url:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PINECONE_CONTROLLER_HOST", url)
            yield


@asynccontextmanager
async def a_world(database: Database, vectors: Vectors) -> AsyncIterator[World]:
    """A service on a kind of index, within its `hosting`, and a local folder."""
    async with AsyncExitStack() as opened:
        hosted: VectorIndex | None = None
        if vectors == "pinecone":
            place = PineconePlace("kith")
            hosted = await opened.enter_async_context(open_pinecone(pinecone.KEY, place))
            await hosted.prepare(SPACE)
        indexes: list[VectorIndex] = []
        blobs, extractor = blobs_of(database), SentenceExtractor()

        def assembled(store: Store) -> Any:
            index = hosted or PgvectorIndex(store.functions)
            indexes.append(index)
            backends = Backends(index, wordllama(), blobs, extractor=extractor)
            return assemble(store, backends, QUICK, care=QUICK_CARE)

        address = await opened.enter_async_context(running(assembled, database, "knowledge"))
        channel = await opened.enter_async_context(channel_to(address))
        admin = await opened.enter_async_context(asyncpg.create_pool(database.url(), min_size=0))
        await eventually(partial(is_serving, channel))
        stub = Stub(channel)
        documents = DocumentClient(DocumentStub(channel), stub, extractor, blobs)
        yield World(
            database, stub, documents, IntegrityStub(channel), indexes[0], blobs, admin, vectors,
            address,
        )  # fmt: skip
