"""Questions, what is known of items to rank them, hits, and the errors of searching."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from knowledge_svc.domain.items import Filter, Item, Write
from svckit.errors import Unavailable


class SemanticSearchUnavailable(Unavailable):
    """The embedder or the vector index cannot be reached; words still find items."""

    reason = "SEMANTIC_SEARCH_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("search by meaning is not possible now; keyword search is")


class Mode(Enum):
    """What a search goes by."""

    HYBRID = "hybrid"
    SEMANTIC = "semantic"
    KEYWORD = "keyword"


# Fewer candidates than this from one side may miss what both together would put first.
_LEAST_CANDIDATES = 60
# With fewer of the nearest vectors, much of what neighbours could lend stays unknown.
_LEAST_NEAREST = 200
# Among very many that is little all the same, and each of them takes time to find.
_LEAST_NEAREST_OF_MANY = 80
# So many hits a reranker reads, at least.
_LEAST_RERANKED = 50


@dataclass(frozen=True)
class Question:
    """A search. `seconds` is what is left for it, `at_least` what it must see.

    `min_score` leaves out hits below it; `expand` is how many neighbours a hit brings along.
    """

    query: str
    mode: Mode
    filter: Filter
    limit: int
    at_least: Sequence[Write]
    seconds: float
    min_score: float | None = None
    expand: int = 0
    rerank: bool = False

    @property
    def candidates(self) -> int:
        """How many candidates each side looks for at first."""
        return max(2 * self.depth, _LEAST_CANDIDATES) if self.mode is Mode.HYBRID else self.depth

    @property
    def nearest(self) -> int:
        """How many of the nearest vectors are looked for at first."""
        return max(self.candidates, _LEAST_NEAREST) if self.mode is Mode.HYBRID else self.depth

    @property
    def nearest_of_many(self) -> int:
        """The same where there are so many vectors that they are not compared one by one."""
        least = _LEAST_NEAREST_OF_MANY
        return max(self.candidates, least) if self.mode is Mode.HYBRID else self.depth

    @property
    def depth(self) -> int:
        """How many hits are wanted before they are reranked and cut to a page."""
        return max(self.limit, _LEAST_RERANKED) if self.rerank else self.limit


class Passage(NamedTuple):
    """What ranking knows of an item, as of one write of it; `said_at` is seconds since 1970."""

    revision: int
    knowledge_id: str
    session_id: str | None
    namespace: str
    group_id: str | None
    subject_id: str | None
    said_at: float
    position: int
    is_question: bool
    length: int
    terms: Sequence[str]
    counts: Sequence[int]


@dataclass(frozen=True)
class Few:
    """A scope of few items: the writes that they are of, in no order."""

    revisions: Sequence[int]


@dataclass(frozen=True)
class Many:
    """A scope of many items: their number, their average length, how many have each of the
    words, and the best by words, BM25 by id.
    """

    items: float
    average: float
    holding: Mapping[str, float]
    scores: Mapping[str, float]


@dataclass(frozen=True)
class KinWord:
    """A word of the query, and one of kin meaning that stands for it in an item, in part."""

    asked: str
    found: str
    share: float


@dataclass(frozen=True)
class Scored:
    """An item's score and what went into it; what was not computed is None."""

    knowledge_id: str
    score: float
    keyword: float | None = None
    semantic: float | None = None
    conversation: float | None = None
    kin: Sequence[KinWord] = ()
    reranked: float | None = None


@dataclass(frozen=True)
class Neighbour:
    """An item beside a hit in its conversation; those before it have negative distances."""

    hit_id: str
    distance: int
    item: Item


@dataclass(frozen=True)
class Hit:
    """An item found, why, and what stands beside it, in the order in which it was said."""

    item: Item
    scored: Scored
    beside: Sequence[Neighbour] = ()


@dataclass(frozen=True)
class Found:
    """The answer to a search; `pending` are writes it should have seen and may not have."""

    hits: Sequence[Hit]
    pending: Sequence[Write] = ()
    is_degraded: bool = False
    is_reranked: bool = False
