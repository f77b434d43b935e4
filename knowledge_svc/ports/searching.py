"""What a search needs from outside: what items say, vectors of words, a second opinion."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from knowledge_svc.domain.items import Filter, Item
from knowledge_svc.domain.searching import Few, Many, Neighbour, Passage


class SearchStore(Protocol):
    """The items as a search sees them: those that are there and fit a filter."""

    async def look_over(self, chosen: Filter, words: Sequence[str], *, most: int) -> Few | Many:
        """Which items fit, where they are at most 3,000; else the best by words, BM25."""
        ...

    async def passages(self, chosen: Filter, revisions: Sequence[int]) -> Sequence[Passage]:
        """What ranking has to know of those of the writes whose items are there and fit."""
        ...

    async def surroundings(
        self, ids: Sequence[str], chosen: Filter, *, reach: int
    ) -> Sequence[Passage]:
        """The same of those of the items that are there and fit, and of what fits beside each,
        `reach` items to either side in its session.
        """
        ...

    async def matching_ids(self, chosen: Filter, *, most: int) -> Sequence[str] | None:
        """The ids of all items that fit; None where they are more than `most`."""
        ...

    async def fitting_ids(self, chosen: Filter, *, after: str | None, limit: int) -> Sequence[str]:
        """The ids of items that fit, in order, from behind one on; none at the end."""
        ...

    async def read(self, ids: Sequence[str], chosen: Filter) -> Mapping[str, Item]:
        """Those of the items that are there and fit, by id."""
        ...

    async def beside(
        self, ids: Sequence[str], chosen: Filter, *, reach: int
    ) -> Sequence[Neighbour]:
        """What is there and fits beside each of the items, `reach` items to either side in
        its session, in the order in which it was said.
        """
        ...


class WordVectors(Protocol):
    """Vectors of single words, near where the words mean much the same."""

    def of_words(self, words: Sequence[str]) -> Any:
        """A matrix with a row of length 1 for each word, of zeros where a word has nothing to
        embed; it takes time, and may be called in a thread.
        """
        ...


class Reranker(Protocol):
    """A model that reads query and text together, and so tells better what answers what."""

    model: str

    async def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """How well each text answers the query, in order; higher is better, within one call.

        Raises Unavailable while the model cannot be reached.
        """
        ...
