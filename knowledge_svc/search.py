"""Finds items by words and by meaning: one word search and one vector search, side by side."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from knowledge_svc import metrics, ranking
from knowledge_svc.domain.items import (
    Candidate,
    Found,
    Hit,
    Mode,
    Question,
    SemanticSearchUnavailable,
    Space,
    WordHits,
    Write,
)
from knowledge_svc.kin import Kin
from knowledge_svc.nearness import Nearness
from knowledge_svc.ports.items import Embedder, IndexQueue, ItemStore, VectorIndex
from knowledge_svc.terms import query_terms

# How often it is asked whether a write that another replica may index is done.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1

_NO_WORDS = WordHits({}, None)


class Search:
    """`progressed(seconds)` returns when the local indexer is a step further."""

    def __init__(
        self,
        items: ItemStore,
        queue: IndexQueue,
        index: VectorIndex,
        embedder: Embedder,
        kin: Kin,
        space: Space,
        progressed: Callable[[float], Awaitable[None]],
    ) -> None:
        self._items = items
        self._queue = queue
        self._index = index
        self._embedder = embedder
        self._kin = kin
        self._space = space
        self._progressed = progressed

    async def search(self, question: Question) -> Found:
        """The hits, best first, equal ones in order of id."""
        # What is kept back is for the search itself and for the answer's way home.
        kept_back = min(1.0, question.seconds / 4)
        end = asyncio.get_running_loop().time() + question.seconds
        pending = await self._wait_for(question.at_least, until=end - kept_back)
        with metrics.SEARCH_SECONDS.labels(question.mode.value).time():
            nearness = Nearness(
                self._items, self._index, self._embedder, self._space,
                question, until=end - kept_back / 2,
            )  # fmt: skip
            words, _ = await asyncio.gather(self._by_words(question), nearness.look())
            if nearness.failed and question.mode is Mode.SEMANTIC:
                raise SemanticSearchUnavailable
            hits = await self._hits(question, words, nearness)
        if nearness.failed:
            metrics.DEGRADED.inc()
        return Found(hits, pending, nearness.failed)

    async def _wait_for(self, writes: Sequence[Write], *, until: float) -> Sequence[Write]:
        """Those of the writes that were not indexed in time."""
        pause = _FIRST_PAUSE
        while writes:
            writes = await self._queue.pending(writes)
            remaining = until - asyncio.get_running_loop().time()
            if not writes or remaining <= 0:
                break
            await self._progressed(min(pause, remaining))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return writes

    async def _by_words(self, question: Question) -> WordHits:
        terms = [] if question.mode is Mode.SEMANTIC else query_terms(question.query)
        if not terms:
            return _NO_WORDS
        vocabulary = None
        if question.mode is Mode.HYBRID:
            vocabulary = await self._items.scope_terms(question.filter)
        words = await self._kin.forms(terms, vocabulary)
        return await self._items.find_by_words(words, question.filter, limit=question.candidates)

    async def _hits(self, question: Question, words: WordHits, nearness: Nearness) -> Sequence[Hit]:
        if question.mode is Mode.KEYWORD:
            scored = ranking.by_words(words)
        else:
            candidates = await self._weigh(question, words, nearness)
            scored = ranking.ranked(question.mode, candidates, words, nearness.similarities)
        best = scored[: question.limit]
        items = await self._items.read([one.knowledge_id for one in best]) if best else {}
        return [
            Hit(items[one.knowledge_id], one.score, one.keyword, one.semantic, one.conversation)
            for one in best
            if one.knowledge_id in items
        ]

    async def _weigh(
        self, question: Question, words: WordHits, nearness: Nearness
    ) -> Sequence[Candidate]:
        """The candidates of both sides that fit the whole filter, enough of them for a page."""
        reach = ranking.REACH if question.mode is Mode.HYBRID else 0
        while True:
            near = nearness.similarities
            found = list(dict.fromkeys([*words.scores, *near]))
            if not found:
                return []
            candidates = await self._items.weigh(found, question.filter, words.weights, reach=reach)
            fitting = sum(candidate.knowledge_id in near for candidate in candidates)
            if fitting >= question.limit or nearness.are_all:
                return candidates
            await nearness.look()
