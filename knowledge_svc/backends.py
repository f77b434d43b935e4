"""Opens the vector index, the embedder and the reranker that the settings choose.

What only one of them needs is imported where it is chosen.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from knowledge_svc.adapters.local_blobs import LocalBlobs
from knowledge_svc.adapters.no_extractor import NoExtractor
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.adapters.pinecone import PineconePlace, open_pinecone
from knowledge_svc.adapters.remembering import RememberingEmbedder
from knowledge_svc.adapters.supabase_blobs import open_supabase_blobs
from knowledge_svc.adapters.voyage import VoyageModel, open_voyage
from knowledge_svc.adapters.wordllama import WordLlamaEmbedder
from knowledge_svc.domain.backends import Misconfigured
from knowledge_svc.domain.items import space_of
from knowledge_svc.extraction.limits import Limits
from knowledge_svc.extraction.process import ProcessExtractor
from knowledge_svc.ports.blobs import BlobStore
from knowledge_svc.ports.extraction import Extractor
from knowledge_svc.ports.items import Embedder, VectorIndex
from knowledge_svc.ports.searching import Reranker
from knowledge_svc.settings import Settings
from svckit.stores import Store


@dataclass(frozen=True)
class Backends:
    """What is chosen; nothing reranks without Voyage."""

    index: VectorIndex
    embedder: Embedder
    blobs: BlobStore
    reranker: Reranker | None = None
    # What `kith knowledge reindex` builds for.
    next_embedder: Embedder | None = None
    extractor: Extractor = field(default_factory=NoExtractor)
    # Where files are on their way in or out; None is the system's folder for temporary files.
    spool: Path | None = None


@asynccontextmanager
async def open_backends(chosen: Settings, store: Store) -> AsyncIterator[Backends]:
    """The backends, checked as far as they can be reached.

    Raises Misconfigured where one of them cannot be what the settings say; one that is away
    is asked again when it is needed.
    """
    async with AsyncExitStack() as opened:
        embedder, reranker = await _open_embedder(chosen, opened)
        following = await _open_next(chosen, opened)
        index: VectorIndex
        if chosen.vector_backend == "pgvector":
            index = PgvectorIndex(store.functions)
        else:
            assert chosen.pinecone_key is not None  # the settings' own check
            _ensure_installed("pinecone", extra="pinecone")
            place = PineconePlace(
                chosen.pinecone_index,
                chosen.pinecone_host or None,
                chosen.pinecone_cloud,
                chosen.pinecone_region,
            )
            index = await opened.enter_async_context(
                open_pinecone(chosen.pinecone_key.get_secret_value(), place)
            )
            for one in filter(None, (embedder, following)):
                await index.prepare(space_of(one.model, one.dimension))
        yield Backends(
            index,
            embedder,
            await _open_blobs(chosen, opened),
            reranker,
            following,
            _extractor(chosen),
            chosen.home / "spool",
        )


def _extractor(chosen: Settings) -> Extractor:
    return ProcessExtractor(
        Limits(
            seconds=chosen.extraction_seconds,
            memory_mebibytes=chosen.extraction_memory_mib,
            workers=chosen.extraction_workers,
        )
    )


async def _open_blobs(chosen: Settings, opened: AsyncExitStack) -> BlobStore:
    if chosen.blob_backend == "local":
        return LocalBlobs(chosen.home / "blobs")
    assert chosen.supabase_url is not None and chosen.supabase_key is not None
    _ensure_installed("supabase", extra="supabase")
    key = chosen.supabase_key.get_secret_value()
    return await opened.enter_async_context(
        open_supabase_blobs(chosen.supabase_url, key, chosen.bucket)
    )


async def _open_embedder(
    chosen: Settings, opened: AsyncExitStack
) -> tuple[Embedder, Reranker | None]:
    if chosen.embedding_backend == "wordllama":
        return WordLlamaEmbedder(), None
    return await _open_voyage(chosen, opened, chosen.voyage_model, chosen.voyage_dimension)


async def _open_next(chosen: Settings, opened: AsyncExitStack) -> Embedder | None:
    if chosen.next_embedder is None:
        return None
    if chosen.next_embedder == "wordllama":
        return WordLlamaEmbedder()
    assert chosen.next_voyage_model is not None  # the settings' own check
    dimension = chosen.next_voyage_dimension or chosen.voyage_dimension
    embedder, _ = await _open_voyage(chosen, opened, chosen.next_voyage_model, dimension)
    return embedder


async def _open_voyage(
    chosen: Settings, opened: AsyncExitStack, name: str, dimension: int
) -> tuple[Embedder, Reranker]:
    assert chosen.voyage_key is not None  # the settings' own check
    _ensure_installed("voyageai", extra="voyage")
    model = VoyageModel(name, dimension, chosen.voyage_reranker, chosen.voyage_url or None)
    embedder, reranker = await opened.enter_async_context(
        open_voyage(chosen.voyage_key.get_secret_value(), model)
    )
    return RememberingEmbedder(embedder), reranker


def _ensure_installed(package: str, *, extra: str) -> None:
    if find_spec(package) is None:
        raise Misconfigured(f"{extra} is chosen and not installed: pip install 'kith[{extra}]'")
