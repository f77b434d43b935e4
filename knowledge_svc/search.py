"""Finds items by words and by meaning: one word search and one vector search, side by side."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from knowledge_svc import metrics, ranking
from knowledge_svc.domain.items import Item, Write
from knowledge_svc.domain.searching import (
    Found,
    Hit,
    Many,
    Mode,
    Neighbour,
    Question,
    Scored,
    SemanticSearchUnavailable,
)
from knowledge_svc.nearness import Nearness
from knowledge_svc.ports.items import IndexQueue, VectorIndex
from knowledge_svc.ports.searching import SearchStore, WordVectors
from knowledge_svc.reranking import Reranking
from knowledge_svc.scopes import Scope, Scopes
from knowledge_svc.spaces import Spaces
from knowledge_svc.terms import are_long, query_terms

# How often it is asked whether a write that another replica may index is done.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1
# Among many items what stands this near a hit is read. On the tuning half of the evaluation,
# searched as if it were many, one place more finds nothing more.
_REACH_OF_MANY = 2


class _Page(NamedTuple):
    """The best with their items; whether fewer are there than were ranked and would have fitted."""

    best: Sequence[Scored]
    items: Mapping[str, Item]
    has_gaps: bool


class Search:
    """`progressed(seconds)` returns when the local indexer is a step further."""

    def __init__(
        self,
        store: SearchStore,
        queue: IndexQueue,
        index: VectorIndex,
        spaces: Spaces,
        words: WordVectors,
        progressed: Callable[[float], Awaitable[None]],
        reranking: Reranking,
    ) -> None:
        self._store = store
        self._scopes = Scopes(store, words)
        self._queue = queue
        self._index = index
        self._spaces = spaces
        self._progressed = progressed
        self._reranking = reranking

    async def search(self, question: Question) -> Found:
        """The hits, best first, equal ones in order of id."""
        self._reranking.ensure_possible(question)
        # What is kept back is for the search itself and for the answer's way home.
        kept_back = min(1.0, question.seconds / 4)
        end = asyncio.get_running_loop().time() + question.seconds
        pending = await self._wait_for(question.at_least, until=end - kept_back)
        with metrics.SEARCH_SECONDS.labels(question.mode.value).time():
            nearness = self._nearness(question, end - kept_back / 2)
            page = await self._looked(question, nearness)
            if page.has_gaps:
                # What was ranked has gone meanwhile, and perhaps something has come in its place:
                # another version of a document does so at once.
                metrics.SECOND_LOOKS.inc()
                nearness = self._nearness(question, end - kept_back / 2)
                page = await self._looked(question, nearness)
            best, is_reranked = await self._reranking.applied(
                question, page.best, page.items, until=end - kept_back / 4
            )
            hits = await self._hits(question, best, page.items)
        if nearness.failed:
            metrics.DEGRADED.inc()
        return Found(hits, pending, nearness.failed, is_reranked)

    def _nearness(self, question: Question, until: float) -> Nearness:
        return Nearness(self._store, self._index, self._spaces, question, until=until)

    async def _looked(self, question: Question, nearness: Nearness) -> _Page:
        match question.mode:
            case Mode.SEMANTIC:
                return await self._by_meaning(question, nearness)
            case Mode.KEYWORD:
                return await self._read(question, await self._by_words(question))
            case Mode.HYBRID:
                return await self._read(question, await self._by_both(question, nearness))

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

    async def _by_meaning(self, question: Question, nearness: Nearness) -> _Page:
        """The nearest that fit, looked for further and further until they fill the page."""
        await nearness.look()
        if nearness.failed:
            raise SemanticSearchUnavailable
        while True:
            near = ranking.by_meaning(nearness.similarities)
            page = await self._read(question, near, nearness.items)
            is_full = len(page.best) >= question.depth
            if is_full or nearness.are_all or _are_too_far(question, nearness):
                return page
            await nearness.look()

    async def _by_words(self, question: Question) -> Sequence[Scored]:
        asked = await _asked(question.query)
        if not asked:
            return []
        scope, many = await self._scopes.look_over(question.filter, asked, most=question.candidates)
        if scope is None:
            scores = many.scores if many else {}
            return [Scored(one, score, keyword=score) for one, score in scores.items()]
        return ranking.by_words(scope, ranking.Words(scope, asked), question.depth)

    async def _by_both(self, question: Question, nearness: Nearness) -> Sequence[Scored]:
        asked = await _asked(question.query)
        (scope, many), _ = await asyncio.gather(
            self._scopes.look_over(question.filter, asked, most=question.candidates),
            nearness.look(),
        )
        if many:
            scope = await self._surroundings(question, many, nearness)
        elif scope:
            await self._fill(question, scope, nearness)
        if not scope:
            return []
        kinship = await scope.kinship(asked)
        words = ranking.Words(scope, asked, kinship, many)
        return ranking.fused(
            scope, words, nearness.similarities, nearness.calibration, question.depth,
            least=nearness.least,
        )  # fmt: skip

    async def _fill(self, question: Question, scope: Scope, nearness: Nearness) -> None:
        """Look for near ones until enough of them are in the scope."""
        while not nearness.are_all:
            if sum(one in scope.places for one in nearness.similarities) >= question.depth:
                return
            await nearness.look()

    async def _surroundings(self, question: Question, many: Many, nearness: Nearness) -> Scope:
        """Of many items those that words or meaning found and that fit, enough of them for a
        page, and what stands beside them.
        """
        width = question.candidates
        while True:
            near = list(nearness.similarities)[:width]
            found = _most_promising(many.scores, nearness.similarities, near)[: width // 2]
            passages = await self._store.surroundings(found, question.filter, reach=_REACH_OF_MANY)
            known = {passage.knowledge_id for passage in passages}
            has_all_near = width >= len(nearness.similarities)
            is_enough = len(known.intersection(near)) >= question.depth
            if is_enough or (has_all_near and nearness.are_all):
                return await self._scopes.of(passages)
            if has_all_near:
                await nearness.look()
            width = len(nearness.similarities)

    async def _read(
        self,
        question: Question,
        scored: Sequence[Scored],
        known: Mapping[str, Item] | None = None,
    ) -> _Page:
        """A page of those that are there and fit, with their items; `known` are all of them, if
        they have been read.
        """
        least = question.min_score
        if least is not None and not question.rerank:
            scored = [one for one in scored if one.score >= least]
        items: dict[str, Item] = {**known} if known is not None else {}
        start, step = (0, question.depth) if known is None else (len(scored), 0)
        while start < len(scored) and len(items) < question.depth:
            part = [one.knowledge_id for one in scored[start : start + step]]
            items |= await self._store.read(part, question.filter)
            start, step = start + step, 4 * step
        best = [one for one in scored if one.knowledge_id in items]
        # Of what an index found nobody knows whether it would have fitted.
        fitted = question.mode is not Mode.SEMANTIC or question.filter == question.filter.narrowing
        is_short = len(items) < min(question.depth, len(scored))
        return _Page(best[: question.depth], items, is_short and fitted and known is None)

    async def _hits(
        self, question: Question, best: Sequence[Scored], items: Mapping[str, Item]
    ) -> Sequence[Hit]:
        best = best[: question.limit]
        beside: dict[str, list[Neighbour]] = {one.knowledge_id: [] for one in best}
        if question.expand and best:
            shown = set(beside)
            ids = list(beside)
            found = await self._store.beside(ids, question.filter, reach=question.expand)
            # Nothing is shown twice: neither hits nor what stands beside two of them.
            for one in sorted(found, key=lambda one: (abs(one.distance), ids.index(one.hit_id))):
                if one.item.knowledge_id not in shown:
                    shown.add(one.item.knowledge_id)
                    beside[one.hit_id].append(one)
        return [
            Hit(
                items[one.knowledge_id],
                one,
                sorted(beside[one.knowledge_id], key=lambda other: other.distance),
            )
            for one in best
        ]


async def _asked(query: str) -> Sequence[str]:
    """The terms to look for."""
    if are_long([query]):
        return await asyncio.to_thread(query_terms, query)
    return query_terms(query)


def _most_promising(
    by_words: Mapping[str, float], by_meaning: Mapping[str, float], near: Sequence[str]
) -> list[str]:
    """What words found and what is near, those first that are high in both.

    Reading what stands beside an item costs more than finding it.
    """
    best_word = max(by_words.values(), default=0.0) or 1.0
    best_meaning = max(by_meaning.values(), default=0.0) or 1.0
    promise = {
        one: by_words.get(one, 0.0) / best_word + by_meaning.get(one, 0.0) / best_meaning
        for one in (*by_words, *near)
    }
    return sorted(promise, key=lambda one: (-promise[one], one))


def _are_too_far(question: Question, nearness: Nearness) -> bool:
    """Whether nothing that is further away could score enough."""
    least = question.min_score
    return least is not None and not question.rerank and nearness.least < least
