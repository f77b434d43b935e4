"""Vectors, filters and errors in the words of Pinecone's document indexes.

Times are whole microseconds there: its filters order numbers alone.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from knowledge_svc.adapters.patience import Passing
from knowledge_svc.domain.backends import Refused
from knowledge_svc.domain.items import Filter, Indexed, Vector
from svckit.errors import Unavailable

# The field of the vector, and the fields beside it.
FIELD = "embedding"
HELD = (
    "knowledge_id", "namespace", "occurred_at", "subject_id", "group_id", "session_id",
    "content_hash",
)  # fmt: skip

# Of one request: the service takes 2 MB and 1,000 documents or ids.
_MOST_BYTES = 1_500_000
MOST_DOCUMENTS = 1_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def translated(error: Exception) -> Exception:
    """What an error of the package means to Kith."""
    from pinecone.errors.exceptions import (
        ApiError,
        PineconeConnectionError,
        PineconeTimeoutError,
        RateLimitError,
        ResponseParsingError,
    )

    if isinstance(error, RateLimitError):
        return Passing("pinecone throttles", error.retry_after)
    if isinstance(error, PineconeTimeoutError):
        return Passing("pinecone does not answer in time")
    if isinstance(error, PineconeConnectionError | ResponseParsingError):
        return Passing("pinecone cannot be reached")
    if isinstance(error, ApiError):
        if error.status_code == 408 or error.status_code >= 500:
            return Passing(f"pinecone answers {error.status_code}")
        # A wrong key, an unpaid bill, an index that is not ready: nobody's vectors are to blame.
        if error.status_code in {401, 402, 403, 409, 412}:
            return Unavailable(f"pinecone answers {error.status_code}")
    return Refused(str(error))


def document(vector: Vector, dimension: int) -> dict[str, Any]:
    """A vector as a document; raises Refused for one that Pinecone would refuse or spoil."""
    values = [round(value, 7) for value in vector.values]
    if len(values) != dimension:
        raise Refused(f"a vector of dimension {len(values)} where the space has {dimension}")
    if not all(map(math.isfinite, values)):
        raise Refused("a vector with a value that is no number")
    held = {name: getattr(vector, name) for name in HELD}
    held["occurred_at"] = _microseconds(vector.occurred_at)
    # A field without a value is left out: null is refused.
    given = {name: value for name, value in held.items() if value is not None}
    return {"_id": vector.knowledge_id, FIELD: values, **given}


def batches(documents: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The documents in as many requests as they need."""
    batch: list[dict[str, Any]] = []
    size = 0
    for one in documents:
        added = len(orjson.dumps(one)) + 1
        if batch and (size + added > _MOST_BYTES or len(batch) == MOST_DOCUMENTS):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += added
    if batch:
        yield batch


def near(values: Sequence[float]) -> dict[str, Any]:
    """The clause that scores by nearness."""
    return {
        "type": "dense_vector", "field": FIELD, "values": [round(value, 7) for value in values],
    }  # fmt: skip


def conditions_of(narrow: Filter, ids: Sequence[str] | None = None) -> dict[str, Any]:
    """A narrowing filter in Pinecone's words; it has no way to say that none are wanted."""
    by_field: dict[str, Any] = {}
    for field, values in (
        ("namespace", narrow.namespaces),
        ("subject_id", narrow.subject_ids),
        ("knowledge_id", ids),
    ):
        if values is not None:
            by_field[field] = {"$in": [*values]}
    for field, value in (("group_id", narrow.group_id), ("session_id", narrow.session_id)):
        if value is not None:
            by_field[field] = {"$eq": value}
    bounds = {
        operator: _microseconds(time)
        for operator, time in (("$gte", narrow.occurred_from), ("$lt", narrow.occurred_to))
        if time is not None
    }
    if bounds:
        by_field["occurred_at"] = bounds
    return by_field


def indexed(document: Any) -> Indexed:
    """What a document holds beside the vector; None for what is not as Kith writes it."""
    given = {name: document.get(name) for name in HELD}
    held = {name: value if isinstance(value, str) else None for name, value in given.items()}
    held["occurred_at"] = _moment(given["occurred_at"])
    return Indexed(**{**held, "knowledge_id": document.id})


def _moment(microseconds: Any) -> str | None:
    try:
        return (_EPOCH + int(microseconds) * _MICROSECOND).isoformat()
    except (TypeError, ValueError, OverflowError):
        return None


def _microseconds(time: str) -> int:
    return (datetime.fromisoformat(time) - _EPOCH) // _MICROSECOND
