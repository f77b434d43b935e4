"""IndexService: what waits to be indexed, and what was given up."""

import asyncio
from collections.abc import Callable

from kith.knowledge.v1 import index_service_pb2 as pb
from knowledge_svc.domain.items import Space
from knowledge_svc.ports.items import IndexQueue
from knowledge_svc.ports.letters import LetterStore
from knowledge_svc.wire import letters as wire
from svckit import fields, pages, rpc

_MOST_NAMESPACES = 32


class DeadLetters:
    """Items that the indexer gave up; `wake` is called when there is something to try again."""

    def __init__(
        self, store: LetterStore, queue: IndexQueue, space: Space, wake: Callable[[], None]
    ) -> None:
        self._store = store
        self._queue = queue
        self._space = space
        self._wake = wake

    async def GetIndexStatus(
        self, request: pb.GetIndexStatusRequest, context: rpc.Context
    ) -> pb.GetIndexStatusResponse:
        backlog, spaces = await asyncio.gather(self._queue.backlog(), self._store.spaces())
        return wire.from_status(backlog, [*spaces], self._space.name)

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: rpc.Context
    ) -> pb.ListDeadLettersResponse:
        limit = pages.size(request.page_size, default=50, most=500)
        namespaces = fields.words(request.namespaces, "namespaces", most=_MOST_NAMESPACES)
        before = wire.to_place(request.page_token, namespaces)

        found = await self._store.letters(namespaces or None, before=before, limit=limit + 1)
        return wire.from_letters(found, limit, self._space.name, namespaces)

    async def ReplayDeadLetters(
        self, request: pb.ReplayDeadLettersRequest, context: rpc.Context
    ) -> pb.ReplayDeadLettersResponse:
        knowledge_ids = wire.to_ids(request)
        if knowledge_ids is None:
            replayed = await self._store.replay_all()
        else:
            replayed = await self._store.replay(knowledge_ids)
        self._wake()
        return pb.ReplayDeadLettersResponse(replayed=replayed)
