"""IndexService, as far as it makes one space give way to another."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence

from kith.knowledge.v1 import index_service_pb2 as pb
from knowledge_svc.domain.items import Space
from knowledge_svc.domain.spaces import NothingToReindex, SpaceNotFound, SpaceNotReady, SpaceStatus
from knowledge_svc.keeping import Keeper
from knowledge_svc.ports.spaces import SpaceStore
from knowledge_svc.spaces import Spaces
from knowledge_svc.wire import spaces as wire
from svckit import rpc

_WATCH_SECONDS = 1.0
# Over so many looks the speed is told.
_LOOKS = 10


class Reindexing:
    """`chunker` is that of the configured extractor, None where there is none."""

    def __init__(
        self, spaces: Spaces, store: SpaceStore, keeper: Keeper, chunker: str | None
    ) -> None:
        self._spaces = spaces
        self._store = store
        self._keeper = keeper
        self._chunker = chunker
        self._ended = asyncio.Event()

    def end(self) -> None:
        """End the streams: the process stops."""
        self._ended.set()

    async def StartReindex(
        self, request: pb.StartReindexRequest, context: rpc.Context
    ) -> pb.StartReindexResponse:
        if request.documents:
            if self._chunker is None:
                raise NothingToReindex
            reread = await self._store.reread_documents(self._chunker)
            return pb.StartReindexResponse(documents=reread)
        space = await self._spaces.next()
        started = await self._store.start(space)
        self._keeper.look()
        return pb.StartReindexResponse(space=await self._read(space.name), started=started)

    async def WatchReindex(
        self, request: pb.WatchReindexRequest, context: rpc.Context
    ) -> AsyncIterator[pb.WatchReindexResponse]:
        name = wire.to_space(request.space) if request.space else await self._building()
        clock = asyncio.get_running_loop().time
        looks: deque[tuple[float, int]] = deque(maxlen=_LOOKS)
        while not self._ended.is_set():
            status = await self._status(name)
            looks.append((clock(), status.indexed_items))
            yield pb.WatchReindexResponse(
                space=self._rendered(status),
                items_per_second=_speed(looks),
                caught_up=status.has_caught_up,
            )
            if status.has_caught_up:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _WATCH_SECONDS)

    async def CutOver(self, request: pb.CutOverRequest, context: rpc.Context) -> pb.CutOverResponse:
        name = wire.to_space(request.space)
        await self._store.switch(name)
        self._keeper.look()
        return pb.CutOverResponse(space=await self._read(name))

    async def RollBack(
        self, request: pb.RollBackRequest, context: rpc.Context
    ) -> pb.RollBackResponse:
        roles = await self._store.roles()
        standby = [space.name for space, state in roles.items() if state == "standby"]
        if not standby:
            raise SpaceNotReady("", "")
        await self._store.switch(standby[0])
        self._keeper.look()
        return pb.RollBackResponse(space=await self._read(standby[0]))

    async def DropSpace(
        self, request: pb.DropSpaceRequest, context: rpc.Context
    ) -> pb.DropSpaceResponse:
        dropped = await self._store.start_drop(wire.to_space(request.space))
        self._keeper.look()
        return pb.DropSpaceResponse(dropped=dropped)

    async def _building(self) -> str:
        roles = await self._store.roles()
        for space, state in roles.items():
            if state == "building":
                return space.name
        raise SpaceNotFound("")

    async def _read(self, name: str) -> pb.Space:
        return self._rendered(await self._status(name))

    async def _status(self, name: str) -> SpaceStatus:
        for status in await self._store.spaces():
            if status.space.name == name:
                return status
        raise SpaceNotFound(name)

    def _rendered(self, status: SpaceStatus) -> pb.Space:
        return wire.from_status(status, is_embeddable=self._can_embed(status.space))

    def _can_embed(self, space: Space) -> bool:
        return self._spaces.embedder_of(space) is not None


def _speed(looks: Sequence[tuple[float, int]]) -> float:
    """Items per second between the first look and the last."""
    (first, before), (last, after) = looks[0], looks[-1]
    return max(after - before, 0) / (last - first) if last > first else 0.0
