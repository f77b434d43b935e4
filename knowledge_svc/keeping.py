"""Keeps the spaces: an indexer for each that this process embeds for, and the ends of others."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

from knowledge_svc import metrics
from knowledge_svc.domain.items import Space
from knowledge_svc.domain.spaces import PARTNER, SpaceState
from knowledge_svc.indexer import Indexer
from knowledge_svc.pace import Pace
from knowledge_svc.ports.items import Embedder, VectorIndex
from knowledge_svc.ports.spaces import SpaceStore
from knowledge_svc.spaces import Spaces
from svckit import logs
from svckit.errors import Unavailable

log = logs.get(__name__)

_MOST_REMOVALS = 1_000


class Keeper:
    """Looks at the spaces once a poll; several replicas may, each step can be repeated."""

    def __init__(
        self,
        spaces: Spaces,
        store: SpaceStore,
        index: VectorIndex,
        indexer_of: Callable[[Space, Embedder], Indexer],
        pace: Pace,
    ) -> None:
        self._spaces = spaces
        self._store = store
        self._index = index
        self._indexer_of = indexer_of
        self._pace = pace
        self._roles: Mapping[Space, SpaceState] = {}
        self._prepared: set[Space] = set()
        self._indexers: dict[Space, Indexer] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when the serving space is looked after, and go on in the background."""
        await self._look()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="keeper")

    async def stop(self) -> None:
        """End after the batches in flight."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await asyncio.gather(*(indexer.stop() for indexer in self._indexers.values()))

    def wake(self) -> None:
        """There is work for the indexers: do not wait for the next poll."""
        for indexer in self._indexers.values():
            indexer.wake()

    def look(self) -> None:
        """The spaces have changed: do not wait for the next poll."""
        self._changed.set()

    async def progressed(self, seconds: float) -> None:
        """Return when the serving space is a batch further, or after so many seconds."""
        serving = next((one for one, state in self._roles.items() if state == "serving"), None)
        if serving in self._indexers:
            await self._indexers[serving].progressed(seconds)
        else:
            await asyncio.sleep(seconds)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._pace.poll_seconds)
            self._changed.clear()
            await self._tried(self._look())

    async def _look(self) -> None:
        roles = await self._store.roles()
        if roles != self._roles:
            self._roles = roles
            metrics.SPACES.clear()
            for space, state in roles.items():
                metrics.SPACES.labels(space.name, state).set(1)
        await self._leave(roles)
        for space, state in roles.items():
            if state == "serving":
                await self._staff(space)
            elif state in PARTNER:
                await self._tried(self._staff(space))
                await self._tried(self._remove(space.name))
            else:
                await self._tried(self._finish_drops())

    async def _staff(self, space: Space) -> None:
        """Have an indexer at a space that is in use, if this process embeds for it."""
        if space not in self._prepared:
            await self._index.prepare(space)
            self._prepared.add(space)
        embedder = self._spaces.embedder_of(space)
        if embedder and space not in self._indexers:
            await embedder.load()
            self._indexers[space] = self._indexer_of(space, embedder)
            self._indexers[space].start()

    async def _leave(self, roles: Mapping[Space, SpaceState]) -> None:
        """Have none at spaces that are being removed, or gone."""
        in_use = {space for space, state in roles.items() if state != "dropping"}
        self._prepared &= in_use
        for space in {*self._indexers} - in_use:
            await self._indexers.pop(space).stop()
            for gauge in (metrics.BACKLOG, metrics.OLDEST_PENDING, metrics.DEAD_LETTERS):
                with contextlib.suppress(KeyError):
                    gauge.remove(space.name)

    async def _remove(self, space: str) -> None:
        """Remove the vectors of deleted items from a space that does not serve."""
        while ids := await self._store.removals(space, most=_MOST_REMOVALS):
            await self._index.delete(space, ids)
            await self._store.forget_removals(space, ids)
            self.wake()

    async def _finish_drops(self) -> None:
        """Remove what is left of spaces that are being removed, if nobody writes there any more."""
        for name in await self._store.droppable():
            await self._index.drop(name)
            await self._store.forget(name)

    async def _tried(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:  # whatever it is, it is tried again at the next poll
            known = isinstance(error, Unavailable)
            log.warning("spaces wait", why=str(error), exc_info=None if known else error)
