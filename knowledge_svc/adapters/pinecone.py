"""The vector index on Pinecone: one document index, in which each space is a namespace.

A document has a vector, what a search is narrowed by, and the hash of the content that the
vector was made of; `pinecone_wire` has its words.
"""

import asyncio
import dataclasses
import importlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from knowledge_svc import metrics
from knowledge_svc.adapters.patience import Patience
from knowledge_svc.adapters.pinecone_wire import (
    FIELD,
    HELD,
    MOST_DOCUMENTS,
    batches,
    conditions_of,
    document,
    indexed,
    near,
    translated,
)
from knowledge_svc.domain.backends import Misconfigured, Refused
from knowledge_svc.domain.items import Filter, IdPage, Indexed, Match, Space, Vector
from svckit import logs
from svckit.errors import Unavailable

T = TypeVar("T")

log = logs.get(__name__)

# The service lists so many at a time.
_MOST_LISTED = 100

# Of one attempt, of all attempts at a call, of all calls of an upsert, and of how long a write
# may take to be seen. An indexer embeds before and marks after, all within 30 seconds.
_ATTEMPT_SECONDS = 5.0
_CALL_SECONDS = 8.0
_UPSERT_SECONDS = 16.0
_VISIBLE_SECONDS = 5.0
_FIRST_LOOK, _LONGEST_LOOK = 0.02, 0.5


@dataclass(frozen=True)
class PineconePlace:
    """Which index: one by name, made where it is missing; or one at an address, as it is."""

    index: str | None
    host: str | None = None
    cloud: str = "aws"
    region: str = "us-east-1"


class PineconeIndex:
    """Spaces as namespaces of one index; see `open_pinecone`.

    It connects when first used, so a process may start while Pinecone is away.
    """

    def __init__(self, client: Any, place: PineconePlace) -> None:
        self._client = client
        self._place = place
        self._patience = Patience("pinecone", seconds=_CALL_SECONDS)
        self._spaces: dict[str, Space] = {}
        self._connecting = asyncio.Lock()
        self._connected: _Connected | None = None

    async def prepare(self, space: Space) -> None:
        self._spaces[space.name] = space
        try:
            _check(await self._connect(space.dimension), space, self._place)
        except Refused as error:
            raise Misconfigured(
                f"PINECONE_INDEX, PINECONE_CLOUD, PINECONE_REGION: Pinecone refuses: {error}"
            ) from error
        except Unavailable as error:
            if getattr(error.__cause__, "status_code", None) in {401, 403}:
                raise Misconfigured("PINECONE_API_KEY: Pinecone does not accept it") from error
            log.warning("pinecone is asked again when it is needed", why=error.message)

    async def drop(self, space: str) -> None:
        # It may be from before this process; what has another dimension stands elsewhere.
        known = self._spaces.pop(space, None) or next(iter(self._spaces.values()), None)
        if known is None:
            raise Unavailable("the vectors' index is not known yet")
        connected = self._connected or await self._connect(known.dimension)
        await self._called(
            "delete",
            partial(connected.handle.documents.delete, namespace=space, delete_all=True),
            missing=None,
        )

    async def count(self, space: str) -> int:
        handle = await self._opened(space)
        stats = await self._called("describe", handle.describe_index_stats)
        held = stats.namespaces.get(space)
        return held.vector_count if held else 0

    async def upsert(self, space: str, vectors: Sequence[Vector]) -> None:
        async with self._patience.within(_UPSERT_SECONDS):
            await self._upsert(space, vectors)

    async def _upsert(self, space: str, vectors: Sequence[Vector]) -> None:
        documents = await self._documents(space)
        dimension = self._spaces[space].dimension
        position: int | None = None
        for batch in batches(document(vector, dimension) for vector in vectors):
            answer = await self._called(
                "upsert", partial(documents.upsert, namespace=space, documents=batch)
            )
            info = answer.response_info
            position = info.lsn_committed if info else None
        if position is not None:
            await self._seen(documents, space, position, vectors[0].values)

    async def delete(self, space: str, ids: Sequence[str]) -> None:
        documents = await self._documents(space)
        for start in range(0, len(ids), MOST_DOCUMENTS):
            some = [*ids[start : start + MOST_DOCUMENTS]]
            await self._called(
                "delete", partial(documents.delete, namespace=space, ids=some), missing=None
            )

    async def delete_where(self, space: str, narrow: Filter) -> None:
        documents = await self._documents(space)
        conditions = conditions_of(narrow)
        if conditions:
            await self._called(
                "delete",
                partial(documents.delete, namespace=space, filter=conditions),
                missing=None,
            )

    async def ids(self, space: str, *, after: str | None, limit: int) -> IdPage:
        documents = await self._documents(space)
        found: list[str] = []
        while len(found) < limit:
            pages = documents.list(
                namespace=space,
                limit=min(limit - len(found), _MOST_LISTED),
                pagination_token=after,
            )
            page = await self._called("list", partial(_first_page, pages), missing=None)
            found += [entry.id for entry in page.items] if page else []
            after = page.pagination_token if page else None
            if after is None:
                break
        return IdPage(found, after)

    async def fetch(self, space: str, ids: Sequence[str]) -> list[Indexed]:
        documents = await self._documents(space)
        held: list[Indexed] = []
        for start in range(0, len(ids), MOST_DOCUMENTS):
            some = [*ids[start : start + MOST_DOCUMENTS]]
            answer = await self._called(
                "fetch",
                partial(documents.fetch, namespace=space, ids=some, include_fields=[*HELD]),
                missing=None,
            )
            held += [indexed(one) for one in answer.documents.values()] if answer else []
        return held

    async def nearest(
        self,
        space: str,
        query: Sequence[float],
        *,
        limit: int,
        narrow: Filter,
        ids: Sequence[str] | None = None,
    ) -> list[Match]:
        documents = await self._documents(space)
        conditions = conditions_of(narrow, ids)
        if any(condition == {"$in": []} for condition in conditions.values()):
            return []
        answer = await self._called(
            "search",
            partial(
                documents.search,
                namespace=space,
                top_k=limit,
                score_by=[near(query)],
                filter=conditions or None,
            ),
            missing=None,
        )
        matches = [Match(one.id, one.score) for one in answer.matches] if answer else []
        return sorted(matches, key=lambda match: (-match.similarity, match.knowledge_id))

    async def close(self) -> None:
        """Give the connections back."""
        if self._connected is not None:
            await self._connected.handle.close()
        await self._client.close()

    async def _documents(self, space: str) -> Any:
        return (await self._opened(space)).documents

    async def _opened(self, space: str) -> Any:
        if space not in self._spaces:
            raise Unavailable("the vectors' space is not there yet")
        wanted = self._spaces[space]
        connected = self._connected or await self._connect(wanted.dimension)
        try:
            _check(connected, wanted, self._place)
        except Misconfigured as error:
            # Not the vectors' fault, so nothing is given up for it.
            raise Unavailable(str(error)) from error
        return connected.handle

    async def _connect(self, dimension: int) -> "_Connected":
        async with self._connecting:
            if self._connected is None:
                find = self._at_address if self._place.host else self._by_name
                self._connected = await find(dimension)
            return self._connected

    async def _at_address(self, dimension: int) -> "_Connected":
        handle = await self._handle(self._place.host)
        try:
            stats = await self._called("describe", handle.describe_index_stats)
        except BaseException:
            await handle.close()
            raise
        return _Connected(handle, stats.dimension, stats.metric)

    async def _by_name(self, dimension: int) -> "_Connected":
        name = self._place.index
        indexes = self._client.indexes
        found = await self._called("describe", partial(indexes.describe, name), missing=None)
        if found is None:
            log.info("making the index", index=name, dimension=dimension)
            found = await self._called("create", partial(self._create, dimension))
        if not found.status.ready or not found.host:
            raise Unavailable("pinecone is making the index")
        field = found.schema.fields.get(FIELD)
        metric = getattr(field, "metric", None)
        return _Connected(await self._handle(found.host), getattr(field, "dimension", None), metric)

    async def _create(self, dimension: int) -> Any:
        place = self._place
        return await self._client.indexes.create(
            name=place.index,
            schema={
                "fields": {
                    FIELD: {"type": "dense_vector", "dimension": dimension, "metric": "cosine"}
                }
            },
            deployment={
                "deployment_type": "managed", "cloud": place.cloud, "region": place.region,
            },
            timeout=-1,
        )  # fmt: skip

    async def _handle(self, host: str | None) -> Any:
        from pinecone.errors.exceptions import PineconeValueError

        try:
            handle = await self._client.index(host=host)
        except PineconeValueError as error:
            raise Misconfigured(f"PINECONE_HOST: {error}") from error
        # Handles take no setting for it: retries are this adapter's, within its bounds.
        http = handle._http
        http._config = dataclasses.replace(http._config, retry_config=_no_retries())
        return handle

    async def _seen(
        self, documents: Any, space: str, position: int, values: Sequence[float]
    ) -> None:
        """Return when searches see what was written at `position`, or cannot tell.

        It is given up after a while: the write is acknowledged, so repeating it would only
        add to what Pinecone is behind with.
        """
        clock = asyncio.get_running_loop()
        end, pause = clock.time() + _VISIBLE_SECONDS, _FIRST_LOOK
        while True:
            answer = await self._called(
                "look",
                partial(documents.search, namespace=space, top_k=1, score_by=[near(values)]),
                missing=None,
            )
            info = answer.response_info if answer else None
            if info and (info.lsn_reconciled is None or info.is_reconciled(position)):
                return
            if clock.time() + pause > end:
                metrics.INDEX_LATE.inc()
                log.warning("pinecone does not show a write in time", space=space)
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)

    async def _called(self, name: str, request: Callable[[], Awaitable[T]], **missing: Any) -> T:
        """What the request answers, or `missing` where that is given and there is no such thing."""

        async def attempt() -> T:
            from pinecone.errors.exceptions import NotFoundError, PineconeError

            try:
                return await request()
            except NotFoundError as error:
                # A namespace is there from its first write on.
                if missing:
                    answer: T = missing["missing"]
                    return answer
                raise Unavailable("pinecone has no such index") from error
            except PineconeError as error:
                raise translated(error) from error

        return await self._patience.call(name, attempt)


@dataclass(frozen=True)
class _Connected:
    """An open index, and what its vectors are; None where it has none of the expected name."""

    handle: Any
    dimension: int | None
    metric: str | None


@asynccontextmanager
async def open_pinecone(key: str, place: PineconePlace) -> AsyncIterator[PineconeIndex]:
    """An index with one client of its own."""
    # It takes a second to import.
    pinecone = await asyncio.to_thread(importlib.import_module, "pinecone")
    # It tells of every request; what Kith tells of them is in metrics.
    logging.getLogger("pinecone").setLevel(logging.WARNING)
    client = pinecone.AsyncPinecone(
        api_key=key, timeout=_ATTEMPT_SECONDS, retry_config=_no_retries()
    )
    index = PineconeIndex(client, place)
    try:
        yield index
    finally:
        await index.close()


def _no_retries() -> Any:
    from pinecone import RetryConfig

    return RetryConfig(max_retries=0)


def _check(connected: _Connected, space: Space, place: PineconePlace) -> None:
    variable, name = (
        ("PINECONE_HOST", place.host) if place.host else ("PINECONE_INDEX", place.index)
    )
    if connected.dimension is None:
        raise Misconfigured(
            f"{variable}: {name} is no document index with a dense vector named {FIELD}; "
            "name one that is not there yet, and it is made"
        )
    if connected.dimension != space.dimension:
        raise Misconfigured(
            f"{variable}: {name} holds vectors of {connected.dimension} dimensions, "
            f"{space.model} makes {space.dimension}; name another index or choose another model"
        )
    if connected.metric != "cosine":
        raise Misconfigured(f"{variable}: {name} compares by {connected.metric}, Kith needs cosine")


async def _first_page(pages: Any) -> Any:
    async for page in pages.pages():
        return page
    return None
