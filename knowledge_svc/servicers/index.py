"""IndexService: what waits to be indexed, and what was given up."""

import asyncio
from collections.abc import Callable

from kith.knowledge.v1 import index_service_pb2 as pb
from knowledge_svc.ports.items import IndexQueue
from knowledge_svc.ports.letters import LetterStore
from knowledge_svc.ports.spaces import SpaceStore
from knowledge_svc.spaces import Spaces
from knowledge_svc.wire import letters as wire
from knowledge_svc.wire.spaces import from_status
from svckit import fields, pages, rpc

_MOST_NAMESPACES = 32


class DeadLetters:
    """Items that the indexer gave up; `wake` is called when there is something to try again."""

    def __init__(
        self,
        store: LetterStore,
        queue: IndexQueue,
        spaces: Spaces,
        space_store: SpaceStore,
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._queue = queue
        self._spaces = spaces
        self._space_store = space_store
        self._wake = wake

    async def GetIndexStatus(
        self, request: pb.GetIndexStatusRequest, context: rpc.Context
    ) -> pb.GetIndexStatusResponse:
        backlog, statuses = await asyncio.gather(self._queue.backlog(), self._space_store.spaces())
        return wire.from_backlog(
            backlog,
            [
                from_status(
                    status, is_embeddable=self._spaces.embedder_of(status.space) is not None
                )
                for status in statuses
            ],
        )

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: rpc.Context
    ) -> pb.ListDeadLettersResponse:
        limit = pages.size(request.page_size, default=50, most=500)
        namespaces = fields.words(request.namespaces, "namespaces", most=_MOST_NAMESPACES)
        before = wire.to_place(request.page_token, namespaces)

        found = await self._store.letters(namespaces or None, before=before, limit=limit + 1)
        return wire.from_letters(found, limit, namespaces)

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
