"""Finds items by words and by meaning: one word search and one vector search, side by side."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from knowledge_svc import metrics
from knowledge_svc.domain.items import (
    Candidate,
    Filter,
    Found,
    Hit,
    Mode,
    SemanticSearchUnavailable,
    Space,
    WordHits,
    Write,
)
from knowledge_svc.ports.items import (
    MOST_IDS,
    MOST_MATCHES,
    Embedder,
    IndexQueue,
    ItemStore,
    Purpose,
    VectorIndex,
)
from knowledge_svc.terms import query_terms
from svckit import logs
from svckit.errors import Unavailable

log = logs.get(__name__)

# What each side counts for in a hybrid score; both sides are brought to 0..1 before.
KEYWORD_WEIGHT = 0.5
SEMANTIC_WEIGHT = 0.5

# Fewer candidates than this from one side may miss what both together would put first.
_LEAST_CANDIDATES = 20
_OVERFETCH = 4

# How often it is asked whether a write that another replica may index is done.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1

_NO_WORDS = WordHits({}, None)


@dataclass(frozen=True)
class Question:
    """A search. `seconds` is what is left for it, `at_least` what it must see."""

    query: str
    mode: Mode
    filter: Filter
    limit: int
    at_least: Sequence[Write]
    seconds: float

    @property
    def candidates(self) -> int:
        """How many candidates each side looks for at first."""
        return self.limit if self.mode is Mode.KEYWORD else max(2 * self.limit, _LEAST_CANDIDATES)


class Search:
    """`progressed(seconds)` returns when the local indexer is a step further."""

    def __init__(
        self,
        items: ItemStore,
        queue: IndexQueue,
        index: VectorIndex,
        embedder: Embedder,
        space: Space,
        progressed: Callable[[float], Awaitable[None]],
    ) -> None:
        self._items = items
        self._queue = queue
        self._index = index
        self._embedder = embedder
        self._space = space
        self._progressed = progressed

    async def search(self, question: Question) -> Found:
        """The hits, best first, equal ones in order of id."""
        # What is kept back is for the search itself and for the answer's way home.
        kept_back = min(1.0, question.seconds / 4)
        end = asyncio.get_running_loop().time() + question.seconds
        pending = await self._wait_for(question.at_least, until=end - kept_back)
        with metrics.SEARCH_SECONDS.labels(question.mode.value).time():
            neighbours = _Neighbours(
                self._items, self._index, self._embedder, self._space,
                question, until=end - kept_back / 2,
            )  # fmt: skip
            words, _ = await asyncio.gather(self._by_words(question), neighbours.look())
            if neighbours.failed and question.mode is Mode.SEMANTIC:
                raise SemanticSearchUnavailable
            candidates = await self._read(question, words, neighbours)
        if neighbours.failed:
            metrics.DEGRADED.inc()
        hits = _ranked(question.mode, candidates, words, neighbours.similarities)
        return Found(hits[: question.limit], pending, neighbours.failed)

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
        return await self._items.search_words(terms, question.filter, limit=question.candidates)

    async def _read(
        self, question: Question, words: WordHits, neighbours: "_Neighbours"
    ) -> Sequence[Candidate]:
        """The candidates of both sides that fit the whole filter, enough of them for a page."""
        # Where words found less than was asked for, what is only near has none of them.
        found_all = len(words.scores) < question.candidates or question.mode is Mode.KEYWORD
        weights = None if found_all else words.weights
        while True:
            near = neighbours.similarities
            found = list(dict.fromkeys([*words.scores, *near]))
            if not found:
                return []
            candidates = await self._items.read(found, question.filter, weights)
            fitting = sum(candidate.item.knowledge_id in near for candidate in candidates)
            if fitting >= question.limit or neighbours.are_all:
                return candidates
            await neighbours.look()


class _Neighbours:
    """The items near one question; each `look` goes further than the one before."""

    def __init__(
        self,
        items: ItemStore,
        index: VectorIndex,
        embedder: Embedder,
        space: Space,
        question: Question,
        *,
        until: float,
    ) -> None:
        self._items = items
        self._index = index
        self._embedder = embedder
        self._space = space
        self._question = question
        self._until = until
        self._vector: Sequence[float] | None = None
        self._ids: Sequence[str] | None = None
        self._asked = 0
        self.similarities: Mapping[str, float] = {}
        self.are_all = question.mode is Mode.KEYWORD
        self.failed = False

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
        if self._vector is None:
            [self._vector] = await self._embedder.embed([question.query], Purpose.QUERY)
            if narrow != question.filter:
                # Few items fit what no index can narrow by: then those alone are compared.
                self._ids = await self._items.matching_ids(question.filter, most=MOST_IDS)
        if not any(self._vector) or self._ids == []:
            self.are_all = True
            return
        asked = min(self._asked * _OVERFETCH or question.candidates, MOST_MATCHES)
        matches = await self._index.nearest(
            self._space.name, self._vector, limit=asked, narrow=narrow, ids=self._ids
        )
        self._asked = asked
        self.similarities = {match.knowledge_id: match.similarity for match in matches}
        self.are_all = len(matches) < asked or asked == MOST_MATCHES


def _ranked(
    mode: Mode,
    candidates: Sequence[Candidate],
    words: WordHits,
    similarities: Mapping[str, float],
) -> list[Hit]:
    # What an item of average length scores that has each of the words once.
    full = sum(words.weights["terms"].values()) if words.weights else 0.0
    hits = []
    for candidate in candidates:
        knowledge_id = candidate.item.knowledge_id
        keyword = words.scores.get(knowledge_id, candidate.keyword)
        semantic = similarities.get(knowledge_id)
        match mode:
            case Mode.KEYWORD:
                score = keyword or 0.0
            case Mode.SEMANTIC:
                score = semantic or 0.0
            case Mode.HYBRID:
                score = _fused(keyword, semantic, full)
        if score > 0 or mode is Mode.SEMANTIC:
            hits.append(Hit(candidate.item, score, keyword, semantic))
    return sorted(hits, key=lambda hit: (-hit.score, hit.item.knowledge_id))


def _fused(keyword: float | None, semantic: float | None, full: float) -> float:
    words = keyword / (keyword + full) if keyword else 0.0
    meaning = max(semantic or 0.0, 0.0)
    return KEYWORD_WEIGHT * words + SEMANTIC_WEIGHT * meaning
