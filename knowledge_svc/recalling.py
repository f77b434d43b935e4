"""Finds memories by words and by meaning: a search of their items, answered with the memories."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from knowledge_svc.domain.filters import OneOf
from knowledge_svc.domain.items import Filter, Write
from knowledge_svc.domain.memories import NAMESPACE, MemoryFilter, Recollection
from knowledge_svc.domain.searching import Found, Mode, Question
from knowledge_svc.ports.memories import MemoryStore
from knowledge_svc.search import Search

# How much further is looked when some of what was found is not to be shown, and how far at most.
_FURTHER = 4
_FURTHEST = 4000


@dataclass(frozen=True)
class Inquiry:
    """A search of people's memories, the one who counts first; `seconds` is what is left for it,
    `at_least` what it must see.
    """

    query: str
    person_ids: Sequence[str]
    filter: MemoryFilter
    limit: int
    at_least: Sequence[Write]
    seconds: float


@dataclass(frozen=True)
class Recalled:
    """The answer, best first; `pending` are writes it should have seen and may not have."""

    hits: Sequence[Recollection]
    pending: Sequence[Write]
    is_degraded: bool


class Recalling:
    """Searches memories on top of the search of everything."""

    def __init__(self, search: Search, memories: MemoryStore) -> None:
        self._search = search
        self._memories = memories

    async def recall(self, inquiry: Inquiry) -> Recalled:
        """The best that fit; where some of what is found does not, what is behind it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + inquiry.seconds
        question = Question(
            inquiry.query,
            Mode.HYBRID,
            _narrowed(inquiry),
            inquiry.limit,
            inquiry.at_least,
            inquiry.seconds,
        )
        found = await self._search.search(question)
        first, hits = found, await self._memories_of(found, inquiry)
        while len(hits) < inquiry.limit and len(found.hits) == question.limit < _FURTHEST:
            question = replace(
                question, limit=_FURTHER * question.limit, at_least=(), seconds=end - loop.time()
            )
            found = await self._search.search(question)
            hits = await self._memories_of(found, inquiry)
        return Recalled(
            hits[: inquiry.limit], first.pending, first.is_degraded or found.is_degraded
        )

    async def _memories_of(self, found: Found, inquiry: Inquiry) -> list[Recollection]:
        """The memories of the items found that fit; other items of the shelf are none."""
        scores = {hit.item.memory_id: hit.scored.score for hit in found.hits if hit.item.memory_id}
        read = await self._memories.read([*scores], inquiry.person_ids) if scores else {}
        return [
            Recollection(read[one], score)
            for one, score in scores.items()
            if one in read and inquiry.filter.admits(read[one])
        ]


def _narrowed(inquiry: Inquiry) -> Filter:
    """The part of the filter that items tell."""
    categories = inquiry.filter.categories
    return Filter(
        namespaces=[NAMESPACE],
        subject_ids=inquiry.person_ids,
        metadata=OneOf("category", tuple(categories)) if categories else None,
    )
