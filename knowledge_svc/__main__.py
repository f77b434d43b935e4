"""The knowledge service's process: settings, store, index, embedder, servicer, indexer, server."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

import grpc
import uvloop

from kith.knowledge.v1 import (
    document_service_pb2,
    document_service_pb2_grpc,
    index_service_pb2,
    index_service_pb2_grpc,
    integrity_service_pb2,
    integrity_service_pb2_grpc,
    knowledge_service_pb2,
    knowledge_service_pb2_grpc,
    memory_service_pb2,
    memory_service_pb2_grpc,
)
from knowledge_svc.accesses import Accesses
from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_documents import SqlDocumentStore, SqlReadingQueue
from knowledge_svc.adapters.sql_erasing import SqlErasureStore, SqlExportStore
from knowledge_svc.adapters.sql_integrity import SqlIntegrityStore
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.adapters.sql_letters import SqlLetterStore
from knowledge_svc.adapters.sql_memories import SqlMemoryStore
from knowledge_svc.adapters.sql_searching import SqlSearchStore
from knowledge_svc.adapters.sql_shelves import SqlShelfStore
from knowledge_svc.adapters.sql_spaces import SqlSpaceStore
from knowledge_svc.adapters.wordllama import WordLlamaEmbedder
from knowledge_svc.backends import Backends, open_backends
from knowledge_svc.census import Census
from knowledge_svc.domain import DOMAIN
from knowledge_svc.domain.backends import Misconfigured
from knowledge_svc.domain.integrity import Care
from knowledge_svc.domain.items import Space, SpaceMismatch
from knowledge_svc.downloads import Downloads, Links
from knowledge_svc.erasing import Erasing
from knowledge_svc.exporting import Exporting
from knowledge_svc.ground_truth import GroundTruth
from knowledge_svc.indexer import Indexer
from knowledge_svc.ingest import Ingest
from knowledge_svc.keeping import Keeper
from knowledge_svc.pace import Pace
from knowledge_svc.ports.items import Embedder
from knowledge_svc.reading import Readers
from knowledge_svc.recalling import Recalling
from knowledge_svc.remembering import Remembering
from knowledge_svc.repair import Repairs
from knowledge_svc.reranking import Reranking
from knowledge_svc.search import Search
from knowledge_svc.servicers.documents import Documents
from knowledge_svc.servicers.erasing import Erasure
from knowledge_svc.servicers.index import DeadLetters
from knowledge_svc.servicers.integrity import Integrity
from knowledge_svc.servicers.items import Items
from knowledge_svc.servicers.memories import Memories
from knowledge_svc.servicers.reindexing import Reindexing
from knowledge_svc.servicers.shelves import Shelves
from knowledge_svc.settings import Settings
from knowledge_svc.shredding import Shredder
from knowledge_svc.spaces import Spaces
from knowledge_svc.spooling import Spool
from knowledge_svc.uploads import Uploads
from svckit import logs, serve, settings
from svckit.combining import combined
from svckit.errors import Unavailable
from svckit.stores import Store, open_store

SERVICE = knowledge_service_pb2.DESCRIPTOR.services_by_name["KnowledgeService"].full_name
INDEX_SERVICE = index_service_pb2.DESCRIPTOR.services_by_name["IndexService"].full_name
MEMORY_SERVICE = memory_service_pb2.DESCRIPTOR.services_by_name["MemoryService"].full_name
INTEGRITY = integrity_service_pb2.DESCRIPTOR.services_by_name["IntegrityService"].full_name
DOCUMENT_SERVICE = document_service_pb2.DESCRIPTOR.services_by_name["DocumentService"].full_name
SERVICES = [SERVICE, DOCUMENT_SERVICE, INDEX_SERVICE, MEMORY_SERVICE, INTEGRITY]

# How long a database may take to say which space serves before the process begins to listen.
_PEEK_SECONDS = 2.0


@dataclass(frozen=True)
class _DocumentParts:
    """What serves documents, and what works on them in the background."""

    servicer: Documents
    readers: Readers
    shredder: Shredder


def _documents(store: Store, backends: Backends, keeper: Keeper, pace: Pace) -> _DocumentParts:
    records, blobs = SqlDocumentStore(store.functions), backends.blobs
    spool, downloads = Spool(backends.spool), Downloads(blobs)
    queue = SqlReadingQueue(store.functions)
    readers = Readers(queue, downloads, backends.extractor, spool, keeper.wake, pace)
    shredder = Shredder(records, blobs, spool, keeper.wake, pace.poll_seconds)
    uploads = Uploads(records, blobs, readers.wake)
    servicer = Documents(
        records, blobs, spool, uploads, downloads, Links(records), shredder, readers.wake
    )
    return _DocumentParts(servicer, readers, shredder)


def assemble(
    store: Store, backends: Backends, pace: Pace | None = None, care: Care | None = None
) -> serve.Service:
    """The service over a store, and what else it stands on."""
    pace = pace or Pace()
    index, embedder = backends.index, backends.embedder
    items = SqlItemStore(store.functions)
    queue = SqlIndexQueue(store.functions)
    space_store = SqlSpaceStore(store.functions)
    spaces = Spaces(space_store, [*filter(None, (embedder, backends.next_embedder))])

    def indexer_of(space: Space, embedder: Embedder) -> Indexer:
        queue = SqlIndexQueue(store.functions, space.name)
        return Indexer(queue, items, index, embedder, space, pace)

    keeper = Keeper(spaces, space_store, index, indexer_of, pace)
    ingest = Ingest(items, index, spaces, keeper.wake, pace)
    shelves = SqlShelfStore(store.functions)
    letters = SqlLetterStore(store.functions)
    # Whatever embeds texts: kin words are looked for with the model that is always there.
    local = embedder if isinstance(embedder, WordLlamaEmbedder) else WordLlamaEmbedder()
    search = Search(
        SqlSearchStore(store.functions), queue, index, spaces, local,
        keeper.progressed, Reranking(backends.reranker),
    )  # fmt: skip
    memories = SqlMemoryStore(store.functions)
    remembering = Remembering(memories, keeper.wake)
    accesses = Accesses(memories)
    reindexing = Reindexing(spaces, space_store, keeper, backends.extractor.chunker or None)
    erasure = Erasure(
        Erasing(SqlErasureStore(store.functions), items, index, backends.blobs),
        Exporting(SqlExportStore(store.functions), backends.blobs),
    )
    documents = _documents(store, backends, keeper, pace)
    # Of each service of the contract: what registers it, its base, the parts that answer it.
    contract: list[tuple[Any, Any, list[Any]]] = [
        (
            knowledge_service_pb2_grpc.add_KnowledgeServiceServicer_to_server,
            knowledge_service_pb2_grpc.KnowledgeServiceServicer,
            [Items(items, ingest, search), Shelves(shelves), erasure],
        ),
        (
            index_service_pb2_grpc.add_IndexServiceServicer_to_server,
            index_service_pb2_grpc.IndexServiceServicer,
            [DeadLetters(letters, queue, spaces, space_store, keeper.wake), reindexing],
        ),
        (
            memory_service_pb2_grpc.add_MemoryServiceServicer_to_server,
            memory_service_pb2_grpc.MemoryServiceServicer,
            [Memories(memories, remembering, Recalling(search, memories), accesses)],
        ),
        (
            integrity_service_pb2_grpc.add_IntegrityServiceServicer_to_server,
            integrity_service_pb2_grpc.IntegrityServiceServicer,
            [_integrity(store, backends, spaces, keeper, care or Care())],
        ),
        (
            document_service_pb2_grpc.add_DocumentServiceServicer_to_server,
            document_service_pb2_grpc.DocumentServiceServicer,
            [documents.servicer],
        ),
    ]

    def add(server: grpc.aio.Server) -> None:
        for register, base, parts in contract:
            register(combined(base, *parts), server)

    async def prepare() -> None:
        await store.prepare()
        await spaces.open(queue)
        await asyncio.gather(keeper.start(), local.load())
        documents.readers.start()
        documents.shredder.start()

    async def drain() -> None:
        await documents.readers.stop()
        await documents.shredder.stop()
        await ingest.drain()
        await remembering.drain()
        await accesses.drain()
        await keeper.stop()

    return serve.Service(
        domain=DOMAIN,
        names=SERVICES,
        add=add,
        prepare=prepare,
        check=store.check,
        drain=drain,
        end_streams=reindexing.end,
    )


def _integrity(
    store: Store, backends: Backends, spaces: Spaces, keeper: Keeper, care: Care
) -> Integrity:
    rows = SqlIntegrityStore(store.functions)
    index, blobs = backends.index, backends.blobs
    census = Census(rows, index, blobs, care)
    repairs = Repairs(census, rows, index, blobs, care, keeper.wake)
    return Integrity(census, repairs, lambda space: GroundTruth(rows, index, blobs, space), spaces)


async def main() -> None:
    """Serve until told to stop."""
    chosen = settings.load(Settings, "knowledge")
    logs.configure("knowledge", chosen.log_level)
    try:
        async with (
            open_store(chosen, "knowledge_svc", "knowledge") as store,
            open_backends(chosen, store) as backends,
        ):
            await _ensure_embeddable(store, backends)
            await serve.run(assemble(store, backends), chosen)
    except (Misconfigured, SpaceMismatch) as error:
        print(f"kith knowledge: {error}", file=sys.stderr)  # noqa: T201 - as for settings
        raise SystemExit(2) from None


async def _ensure_embeddable(store: Store, backends: Backends) -> None:
    """Refuse a model that is not that of the vectors; a database that is away is asked later."""
    space_store = SqlSpaceStore(store.functions)
    spaces = Spaces(space_store, [*filter(None, (backends.embedder, backends.next_embedder))])
    try:
        async with asyncio.timeout(_PEEK_SECONDS):
            roles = await space_store.roles()
    except (Unavailable, TimeoutError):
        return
    for space, state in roles.items():
        if state == "serving":
            spaces.ensure_has(space)


if __name__ == "__main__":
    uvloop.run(main())
