"""Which items are near a question in meaning, looked for further and further.

No index filters by metadata or platform; how a page is full all the same, whatever fits:

- Few that fit are compared alone, by their ids.
- Else the nearest of all are looked for, four times as many in each round, up to MOST_MATCHES.
- Where too few of those fit, all that do are compared, by their ids, a part at a time.
"""

import asyncio
from collections.abc import Mapping, Sequence

from knowledge_svc.domain.items import Item, Match
from knowledge_svc.domain.searching import Mode, Question
from knowledge_svc.ports.items import MOST_IDS, MOST_MATCHES, Calibration, ItemIndex, VectorIndex
from knowledge_svc.ports.searching import SearchStore
from knowledge_svc.spaces import Embedded, Spaces
from svckit import logs
from svckit.errors import Unavailable
from svckit.ids import is_uuid

log = logs.get(__name__)

_OVERFETCH = 4
# How often another space may begin to serve under the search's eyes.
_TRIES = 3
_NOTHING = Calibration(unrelated=0.0, weight=0.0)


class Nearness:
    """The items near one question; each `look` goes further than the one before."""

    def __init__(
        self,
        store: SearchStore,
        index: VectorIndex,
        spaces: Spaces,
        question: Question,
        *,
        until: float,
    ) -> None:
        self._store = store
        self._index = index
        self._spaces = spaces
        self._question = question
        self._until = until
        self._embedded: Embedded | None = None
        self._ids: Sequence[str] | None = None
        self._asked = 0
        self.similarities: Mapping[str, float] = {}
        # Of what was found first, the items that fit; None where the index cannot tell, or
        # what was found is more than one page.
        self.items: Mapping[str, Item] | None = None
        # Whether there is nothing more to look for, and whether nothing was left out.
        self.are_all = question.mode is Mode.KEYWORD
        self._is_complete = False
        self.failed = False

    @property
    def least(self) -> float:
        """How similar, at most, is what is not among the similar; 0 where all of them are known."""
        return 0.0 if self._is_complete else min(self.similarities.values(), default=0.0)

    @property
    def calibration(self) -> Calibration:
        """What the similarities mean; without any it does not matter."""
        return self._embedded.embedder.calibration if self._embedded else _NOTHING

    async def look(self) -> None:
        """Find some, or more; a failure is noted and leaves what was found."""
        if self.are_all:
            return
        try:
            async with asyncio.timeout_at(self._until):
                await self._look()
        except Exception as error:
            known = isinstance(error, Unavailable | TimeoutError)
            log.warning("no search by meaning", why=str(error), exc_info=None if known else error)
            self.failed = self._asked == 0
            self.are_all = True

    async def _look(self) -> None:
        question = self._question
        narrow = question.filter.narrowing
        if self._embedded is None:
            self._embedded = await self._embed()
            if narrow != question.filter:
                # Few items fit what no index can narrow by: then those alone are compared.
                self._ids = await self._store.matching_ids(question.filter, most=MOST_IDS)
        if not any(self._embedded.vector) or self._ids == []:
            self.are_all = True
            return
        if self._asked == MOST_MATCHES:
            asked = question.nearest
            matches = await self._nearest_that_fit(asked)
            self.are_all = True
        else:
            asked = min(self._asked * _OVERFETCH or question.nearest, MOST_MATCHES)
            matches = await self._nearest(asked, self._ids)
            if not self._asked and len(matches) == question.nearest_of_many:
                # There may be more, as far as one can tell.
                asked = question.nearest_of_many
            self._asked = asked
            self.are_all = asked == MOST_MATCHES and narrow == question.filter
        self._is_complete = len(matches) < asked
        self.are_all = self.are_all or self._is_complete
        if not isinstance(self._index, ItemIndex):
            # It may hold what no item could ever be called.
            matches = [match for match in matches if is_uuid(match.knowledge_id)]
        self.similarities = {match.knowledge_id: match.similarity for match in matches}

    async def _embed(self) -> Embedded:
        """The query for the space that serves, to which the search keeps from the first look on.
        An index that knows the spaces tells with its first answer whether it is that one.
        """
        knows = isinstance(self._index, ItemIndex)
        spaces, query = self._spaces, self._question.query
        return await (spaces.embed_presuming(query) if knows else spaces.embed(query))

    async def _nearest(self, limit: int, ids: Sequence[str] | None) -> Sequence[Match]:
        assert self._embedded is not None
        self.items = None
        if not self._asked and isinstance(self._index, ItemIndex):
            return await self._first(self._index, limit, ids)
        return await self._index.nearest(
            self._embedded.space, self._embedded.vector,
            limit=limit, narrow=self._question.filter.narrowing, ids=ids,
        )  # fmt: skip

    async def _first(
        self, index: ItemIndex, limit: int, ids: Sequence[str] | None
    ) -> Sequence[Match]:
        question = self._question
        with_items = question.mode is Mode.SEMANTIC
        for _ in range(_TRIES):
            assert self._embedded is not None
            space, vector = self._embedded.space, self._embedded.vector
            near = await index.nearest_items(
                space, vector, limit=limit, limit_of_many=question.nearest_of_many,
                chosen=question.filter, with_items=with_items, ids=ids,
            )  # fmt: skip
            if near.serving in (None, space):
                if near.items is not None:
                    self.items = {item.knowledge_id: item for item in near.items}
                return near.matches
            self._embedded = await self._spaces.embed_for(near.serving, question.query)
        raise Unavailable("another space serves each time")

    async def _nearest_that_fit(self, limit: int) -> Sequence[Match]:
        """The nearest of all that fit, of whom too few are among the nearest of all."""
        best, after = list[Match](), None
        while part := await self._store.fitting_ids(
            self._question.filter, after=after, limit=MOST_IDS
        ):
            best += await self._nearest(limit, part)
            best = sorted(best, key=lambda match: (-match.similarity, match.knowledge_id))[:limit]
            after = part[-1]
        return best
