"""What the service needs from outside: a store, a queue, a vector index, an embedder."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

from knowledge_svc.domain.changes import Change
from knowledge_svc.domain.items import (
    Backlog,
    Entry,
    Failure,
    Filter,
    IdPage,
    Indexed,
    Item,
    Kind,
    Match,
    Place,
    Space,
    Stored,
    Task,
    Vector,
    Write,
)
from svckit.errors import ServiceError

# The most vectors that `VectorIndex.nearest` is asked for, and the most ids it is given.
MOST_MATCHES = 10_000
MOST_IDS = 2_000


class ItemStore(Protocol):
    """The items, which are the truth, and the words that find them."""

    async def store(self, entries: Sequence[Entry]) -> list[Stored | ServiceError]:
        """Keep independent items; each gets its answer, in order.

        An item is there already if its id is; or, where it has no source event, if its
        owner has the same content in the same namespace. A deleted id stays deleted. New
        items wait in the queue to be indexed, and are found by words at once.
        """
        ...

    async def update(self, changes: Sequence[Change]) -> list[Item | ServiceError]:
        """Change independent items; each change gets the item as it is now, in order.

        A change that is there already changes nothing, whatever the etag, so that a retry
        answers what the first call did; any other is a new write. One of the content waits in
        the queue to be indexed; words find it at once. In the place of an item stand
        KnowledgeNotFound, EtagMismatch, ContentTaken, KnowledgeDerived, SubjectErased, or
        InvalidRequest where the metadata would be too large.
        """
        ...

    async def get(self, knowledge_id: str) -> Item:
        """The item; raises KnowledgeNotFound."""
        ...

    async def page(self, chosen: Filter, *, before: Place | None, limit: int) -> Sequence[Item]:
        """Items that fit, newest first, from below a place on."""
        ...

    async def find_missing(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of the ids, in order, that are neither stored nor deleted."""
        ...

    async def start_deletions(
        self, ids: Sequence[str], requests: Sequence[str], *, owner: str, lease_seconds: float
    ) -> list[bool | ServiceError]:
        """First step: nobody sees the items any more, and nobody can bring them back.

        Answers for each whether this request (an id of its own, so that it can be
        repeated) deleted it, or KnowledgeDerived. The queue finishes what `owner` has not
        within the lease.
        """
        ...

    async def bar(self, knowledge_id: str, request: str) -> bool:
        """Have an id count as deleted by this request, though there is no item.

        False where there is one: it stays, and is to be deleted.
        """
        ...

    async def finish_deletions(self, ids: Sequence[str], *, owner: str) -> None:
        """Last step, after the vectors are gone: forget those of the items that `owner` holds."""
        ...


class IndexQueue(Protocol):
    """What is still to be done to the vector index; several indexers may share it."""

    async def ensure_space(self, proposed: Space) -> Space:
        """The serving space; where there is none yet, the proposed one from now on."""
        ...

    async def claim(
        self, owner: str, kind: Kind, *, most: int, most_bytes: int, lease_seconds: float
    ) -> Sequence[Task]:
        """Take up tasks of a kind that are due, oldest first, up to so much content.

        They are due again when the lease ends. Of contents one at least is claimed.
        """
        ...

    async def renew(self, owner: str, ids: Sequence[str], *, lease_seconds: float) -> None:
        """Hold the tasks of these items for so long from now on, as far as `owner` still does."""
        ...

    async def mark_indexed(
        self, writes: Sequence[Write], model: str | None, *, owner: str
    ) -> Sequence[str]:
        """Say that exactly these writes are in the index, with vectors of the model, if any.

        A later write of such an item is due at once, unless somebody else than `owner` is at
        it. Answers the ids of items that were deleted meanwhile: their vectors must go again.
        """
        ...

    async def put_off(self, failures: Sequence[Failure], *, owner: str) -> None:
        """Note failures and when to try again; an item that failed for good is given up.

        What `owner` does not hold any more is somebody else's business and stays as it is.
        """
        ...

    async def pending(self, writes: Sequence[Write]) -> Sequence[Write]:
        """Those of the writes, in order, that still wait to be indexed."""
        ...

    async def settle(self) -> None:
        """Do what storing puts off, so that searches by words stay quick."""
        ...

    async def backlog(self) -> Backlog:
        """What waits."""
        ...


class VectorIndex(Protocol):
    """Vectors by space; a derived copy that can be rebuilt.

    Every method raises Unavailable while the index cannot be reached, or throttles; any
    other error is that of the vectors at hand.
    """

    async def prepare(self, space: Space) -> None:
        """Make the space usable, at the latest when it is first used; may be repeated.

        Raises Misconfigured where the index can never hold it.
        """
        ...

    async def drop(self, space: str) -> None:
        """Remove a space that does not serve, with all its vectors; one that is not there is fine.

        It has to be prepared again before it can be used.
        """
        ...

    async def count(self, space: str) -> int:
        """How many vectors the space has; of a hosted index about so many, as of a while ago."""
        ...

    async def upsert(self, space: str, vectors: Sequence[Vector]) -> None:
        """Add the vectors or replace those with their ids.

        An index beside the items leaves out vectors of deleted items, and of an older write
        than the one there; of any other index, a deletion that met them removes them.

        Returns when searches see them, as far as the index can tell and soon enough for
        the indexer's lease.
        """
        ...

    async def delete(self, space: str, ids: Sequence[str]) -> None:
        """Remove the vectors; ids without one are fine. Searches may see them a little longer."""
        ...

    async def discard(self, space: str, ids: Sequence[str]) -> None:
        """Remove vectors that no item has.

        An index that can see the items leaves those that one has now; another one takes the
        caller's word for it, who looks again afterwards.
        """
        ...

    async def delete_where(self, space: str, narrow: Filter) -> None:
        """Remove the vectors that fit a `Filter.narrowing` which narrows by something."""
        ...

    async def ids(self, space: str, *, after: str | None, limit: int) -> IdPage:
        """The ids of all vectors in order, from `IdPage.after` of the page before on."""
        ...

    async def fetch(self, space: str, ids: Sequence[str]) -> Sequence[Indexed]:
        """What is held of those of the ids that have a vector, in no order."""
        ...

    async def nearest(
        self,
        space: str,
        query: Sequence[float],
        *,
        limit: int,
        narrow: Filter,
        ids: Sequence[str] | None = None,
    ) -> Sequence[Match]:
        """The nearest by cosine, best first, equal ones in order of id.

        Of equal ones at the end of the page a hosted index may choose any. `narrow` is a
        `Filter.narrowing`; `ids`, at most MOST_IDS, leaves no others.
        """
        ...


@dataclass(frozen=True)
class Near:
    """What is near in a space. Where another one serves, that is all there is to know.

    `items`, if they were wanted, are those of the matches that are there and fit, in no order.
    """

    serving: str | None
    matches: Sequence[Match] = ()
    items: Sequence[Item] | None = None


@runtime_checkable
class ItemIndex(Protocol):
    """A vector index that stands beside the items and the spaces, and tells of all at once."""

    async def nearest_items(
        self,
        space: str,
        query: Sequence[float],
        *,
        limit: int,
        limit_of_many: int,
        chosen: Filter,
        with_items: bool,
        ids: Sequence[str] | None = None,
    ) -> Near:
        """As `VectorIndex.nearest`, narrowed by what it can of the filter, if the space serves.

        Among so many vectors that they are not compared one by one each of the nearest takes
        time to find: there `limit_of_many` is the limit.
        """
        ...


class Purpose(Enum):
    """What a text is embedded for; hosted models embed the two differently."""

    DOCUMENT = "document"
    QUERY = "query"


@dataclass(frozen=True)
class Calibration:
    """What a model's cosines mean, so that ranking can set them beside words.

    `unrelated` is about the cosine of a query and a text that have nothing to do with one
    another, and counts as nothing. `weight` is what a cosine of 1 is worth, where an item that
    has each word of the query once is worth 0.5: more for a model that tells meaning better.
    """

    unrelated: float
    weight: float


class Embedder(Protocol):
    """Texts to vectors of one model."""

    model: str
    dimension: int
    calibration: Calibration

    async def load(self) -> None:
        """Do now what the first use would have to wait for; may be repeated."""
        ...

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        """A vector of length 1 for each text, or of zeros where a text has nothing to embed.

        Of a very long text the beginning counts. Raises Unavailable while the model cannot
        be reached; any other error is the texts' own.
        """
        ...
