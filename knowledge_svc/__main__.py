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
    knowledge_service_pb2,
    knowledge_service_pb2_grpc,
)
from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_documents import SqlDocumentStore, SqlReadingQueue
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.adapters.sql_searching import SqlSearchStore
from knowledge_svc.adapters.wordllama import WordLlamaEmbedder
from knowledge_svc.backends import Backends, open_backends
from knowledge_svc.domain import DOMAIN
from knowledge_svc.domain.backends import Misconfigured
from knowledge_svc.domain.items import space_of
from knowledge_svc.downloads import Downloads, Links
from knowledge_svc.indexer import Indexer, Pace
from knowledge_svc.ingest import Ingest
from knowledge_svc.reading import Readers
from knowledge_svc.reranking import Reranking
from knowledge_svc.search import Search
from knowledge_svc.servicers.documents import Documents
from knowledge_svc.servicers.items import Items
from knowledge_svc.settings import Settings
from knowledge_svc.shredding import Shredder
from knowledge_svc.spooling import Spool
from knowledge_svc.uploads import Uploads
from svckit import logs, serve, settings
from svckit.combining import combined
from svckit.stores import Store, open_store

SERVICE = knowledge_service_pb2.DESCRIPTOR.services_by_name["KnowledgeService"].full_name
DOCUMENT_SERVICE = document_service_pb2.DESCRIPTOR.services_by_name["DocumentService"].full_name
SERVICES = [SERVICE, DOCUMENT_SERVICE]


@dataclass(frozen=True)
class _DocumentParts:
    """What serves documents, and what works on them in the background."""

    servicer: Documents
    readers: Readers
    shredder: Shredder


def _documents(store: Store, backends: Backends, indexer: Indexer, pace: Pace) -> _DocumentParts:
    records, blobs = SqlDocumentStore(store.functions), backends.blobs
    spool, downloads = Spool(backends.spool), Downloads(blobs)
    queue = SqlReadingQueue(store.functions)
    readers = Readers(queue, downloads, backends.extractor, spool, indexer.wake, pace)
    shredder = Shredder(records, blobs, spool, indexer.wake, pace.poll_seconds)
    uploads = Uploads(records, blobs, readers.wake)
    servicer = Documents(
        records, blobs, spool, uploads, downloads, Links(records), shredder, readers.wake
    )
    return _DocumentParts(servicer, readers, shredder)


def assemble(store: Store, backends: Backends, pace: Pace | None = None) -> serve.Service:
    """The service over a store, and what else it stands on."""
    index, embedder = backends.index, backends.embedder
    items = SqlItemStore(store.functions)
    queue = SqlIndexQueue(store.functions)
    space = space_of(embedder.model, embedder.dimension)
    pace = pace or Pace()
    indexer = Indexer(queue, items, index, embedder, space, pace)
    ingest = Ingest(items, index, space, indexer.wake)
    # Whatever embeds texts: kin words are looked for with the model that is always there.
    local = embedder if isinstance(embedder, WordLlamaEmbedder) else WordLlamaEmbedder()
    search = Search(
        SqlSearchStore(store.functions), queue, index, embedder, local, space,
        indexer.progressed, Reranking(backends.reranker),
    )  # fmt: skip
    documents = _documents(store, backends, indexer, pace)
    # Of each service of the contract: what registers it, its base, the parts that answer it.
    contract: list[tuple[Any, Any, list[object]]] = [
        (
            knowledge_service_pb2_grpc.add_KnowledgeServiceServicer_to_server,
            knowledge_service_pb2_grpc.KnowledgeServiceServicer,
            [Items(items, ingest, search)],
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
        space.ensure_is(await queue.ensure_space(space))
        await index.prepare(space)
        await asyncio.gather(embedder.load(), local.load())
        indexer.start()
        documents.readers.start()
        documents.shredder.start()

    async def drain() -> None:
        await documents.readers.stop()
        await documents.shredder.stop()
        await ingest.drain()
        await indexer.stop()

    return serve.Service(
        domain=DOMAIN,
        names=SERVICES,
        add=add,
        prepare=prepare,
        check=store.check,
        drain=drain,
    )


async def main() -> None:
    """Serve until told to stop."""
    chosen = settings.load(Settings, "knowledge")
    logs.configure("knowledge", chosen.log_level)
    try:
        async with (
            open_store(chosen, "knowledge_svc", "knowledge") as store,
            open_backends(chosen, store) as backends,
        ):
            await serve.run(assemble(store, backends), chosen)
    except Misconfigured as error:
        print(f"kith knowledge: {error}", file=sys.stderr)  # noqa: T201 - as for settings
        raise SystemExit(2) from None


if __name__ == "__main__":
    uvloop.run(main())
