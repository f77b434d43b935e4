"""Which space serves, and what this process can embed for; a search never mixes spaces."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from knowledge_svc.domain.items import Space, SpaceMismatch, space_of
from knowledge_svc.domain.spaces import NothingToReindex
from knowledge_svc.ports.items import Embedder, IndexQueue, Purpose
from knowledge_svc.ports.spaces import SpaceStore
from svckit.errors import Unavailable


@dataclass(frozen=True)
class Embedded:
    """A query as a vector, the space that it can be compared in, and what embedded it."""

    space: str
    embedder: Embedder
    vector: Sequence[float]


class Spaces:
    """The spaces that this process has an embedder for: the configured one, and the next."""

    def __init__(self, store: SpaceStore, embedders: Sequence[Embedder]) -> None:
        self._store = store
        self._embedders = {space_of(one.model, one.dimension): one for one in embedders}
        self._presumed = self.configured[0]

    @property
    def configured(self) -> Sequence[Space]:
        """Those of this process, the next one last."""
        return [*self._embedders]

    async def open(self, queue: IndexQueue) -> None:
        """Have a space that serves; raises SpaceMismatch where this process cannot embed for it."""
        serving = await queue.ensure_space(self.configured[0])
        self.ensure_has(serving)
        self._presumed = serving

    def ensure_has(self, serving: Space) -> None:
        """Raise SpaceMismatch where there is no embedder for what serves."""
        if serving not in self._embedders:
            raise SpaceMismatch(serving, self.configured)

    def embedder_of(self, space: Space) -> Embedder | None:
        """What makes its vectors, if this process has that."""
        return self._embedders.get(space)

    async def next(self) -> Space:
        """What can be built beside the serving space; raises NothingToReindex, and Unavailable
        in the first moments of a new database, when none serves yet.
        """
        serving = await self._store.serving()
        if serving is None:
            raise Unavailable("no space serves yet")
        for space in self.configured:
            if space.name != serving:
                return space
        raise NothingToReindex

    async def serving(self) -> str:
        """The name of the space that serves now."""
        return await self._store.serving() or self._presumed.name

    async def serving_space(self) -> Space:
        """The space that serves now; this process need not be able to embed for it."""
        roles = await self._store.roles()
        return next((one for one, state in roles.items() if state == "serving"), self._presumed)

    async def embed(self, query: str) -> Embedded:
        """The query for the space that serves now; raises Unavailable where this process cannot.

        It is embedded for the space that served last while it is asked which one does.
        """
        presumed = self._presumed
        attempt, serving = await asyncio.gather(
            self._embedded(presumed, query), self._store.serving(), return_exceptions=True
        )
        if isinstance(serving, BaseException):
            raise serving
        if serving not in (None, presumed.name):
            return await self.embed_for(serving, query)
        if isinstance(attempt, BaseException):
            raise attempt
        return attempt

    async def embed_for(self, serving: str, query: str) -> Embedded:
        """The query for a space that was found to serve; raises Unavailable as above."""
        self._presumed = self._named(serving)
        return await self._embedded(self._presumed, query)

    async def embed_presuming(self, query: str) -> Embedded:
        """The query for the space that served last: for who learns from the search whether it
        still does. Where its embedder fails it is asked after all.
        """
        presumed = self._presumed
        try:
            return await self._embedded(presumed, query)
        except Exception:
            serving = await self.serving()
            if serving == presumed.name:
                raise
            return await self.embed_for(serving, query)

    async def _embedded(self, space: Space, query: str) -> Embedded:
        embedder = self._embedders[space]
        [vector] = await embedder.embed([query], Purpose.QUERY)
        return Embedded(space.name, embedder, vector)

    def _named(self, name: str) -> Space:
        for space in self.configured:
            if space.name == name:
                return space
        raise Unavailable(f"this replica has no embedder for {name}, which serves")
