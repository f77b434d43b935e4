"""The messages of MemoryService to the domain, checked on the way, and back."""

import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from kith.knowledge.v1 import memory_pb2
from kith.knowledge.v1 import memory_service_pb2 as pb
from knowledge_svc.domain.items import Write
from knowledge_svc.domain.memories import (
    Forgetting,
    Memory,
    MemoryFilter,
    MemoryPlace,
    NewMemory,
    Sorting,
    Upsert,
    Upserted,
)
from knowledge_svc.recalling import Inquiry, Recalled
from knowledge_svc.wire.items import index_token, to_write
from knowledge_svc.wire.searching import QUERY_BYTES
from svckit import fields, pages, structs
from svckit.errors import InvalidRequest

VALUE_BYTES = 8 << 10
_KEY_CHARACTERS = 128
_CATEGORY_CHARACTERS = 64
_SCOPE_CHARACTERS = 128
_MOST_MEMORIES = 100
_MOST_TOGETHER = 1000
_MOST_PEOPLE = 1000
_MOST_CATEGORIES = 32
_MOST_HITS = 100
_MOST_TOKENS = 100

_SORTINGS: dict[int, Sorting] = {
    pb.MEMORY_ORDER_UNSPECIFIED: "key",
    pb.MEMORY_ORDER_KEY: "key",
    pb.MEMORY_ORDER_IMPORTANCE: "importance",
    pb.MEMORY_ORDER_UPDATED: "updated",
    pb.MEMORY_ORDER_ACCESSED: "accessed",
}


def to_key(value: str, field: str) -> str:
    """What a memory is about: 1 to 128 characters, no control characters."""
    if not value:
        raise InvalidRequest(field, "is required")
    fields.characters(value, field, most=_KEY_CHARACTERS)
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise InvalidRequest(field, "holds a control character")
    return value


def to_upsert(request: pb.UpsertMemoriesRequest) -> Upsert:
    """What one request sets."""
    person_id = fields.uuid(request.person_id, "person_id")
    given = fields.batch(request.memories, "memories", most=_MOST_MEMORIES)
    memories = [_to_memory(memory, f"memories[{n}]") for n, memory in enumerate(given)]
    places: dict[str, int] = {}
    for place, memory in enumerate(memories):
        first = places.setdefault(memory.key, place)
        if first != place:
            raise InvalidRequest(f"memories[{place}].key", f"is that of memories[{first}] too")
    people = fields.uuids(request.person_ids, "person_ids", most=_MOST_PEOPLE)
    return Upsert(person_id, memories, person_ids=list(dict.fromkeys(people)))


def to_upserts(request: pb.BatchUpsertMemoriesRequest) -> Sequence[pb.UpsertMemoriesRequest]:
    """The requests of a batch, few enough and small enough."""
    requests = fields.batch(request.requests, "requests")
    together = sum(len(one.memories) for one in requests)
    if together > _MOST_TOGETHER:
        problem = f"have {together} memories in all; at most {_MOST_TOGETHER} are allowed"
        raise InvalidRequest("requests", problem)
    return requests


def _to_memory(message: memory_pb2.NewMemory, field: str) -> NewMemory:
    importance = message.importance if message.HasField("importance") else None
    if importance is not None and not 0 <= importance <= 1:
        raise InvalidRequest(f"{field}.importance", "must be 0 to 1")
    return NewMemory(
        key=to_key(message.key, f"{field}.key"),
        value=fields.text(message.value, f"{field}.value", most=VALUE_BYTES),
        category=_category(message.category, f"{field}.category"),
        importance=importance,
        metadata=fields.struct(message.metadata, f"{field}.metadata"),
        source_event_id=fields.optional_uuid(message.source_event_id, f"{field}.source_event_id"),
        occurred_at=fields.timestamp(message, f"{field}.occurred_at"),
    )


def _category(value: str, field: str) -> str:
    return fields.characters(value, field, most=_CATEGORY_CHARACTERS)


def to_people(person_ids: Sequence[str]) -> list[str]:
    """Whose memories are read: one to 1,000, the one who counts first, each once."""
    fields.batch(person_ids, "person_ids", most=_MOST_PEOPLE)
    people = fields.uuids(person_ids, "person_ids", most=_MOST_PEOPLE)
    return list(dict.fromkeys(people))


def to_forgettings(request: pb.DeleteMemoryRequest) -> list[Forgetting]:
    """What is to be deleted: of the person, and of those who are one with them."""
    people = [
        fields.uuid(request.person_id, "person_id"),
        *fields.uuids(request.person_ids, "person_ids", most=_MOST_PEOPLE),
    ]
    key = to_key(request.key, "key")
    return [Forgetting(person_id, key, request.purge) for person_id in dict.fromkeys(people)]


def to_categories(values: Sequence[str]) -> list[str] | None:
    """Of which categories; None for all."""
    if len(values) > _MOST_CATEGORIES:
        problem = f"has {len(values)} values; at most {_MOST_CATEGORIES} are allowed"
        raise InvalidRequest("categories", problem)
    return [_category(value, f"categories[{n}]") for n, value in enumerate(values)] or None


def to_filter(request: pb.ListMemoriesRequest) -> MemoryFilter:
    """Which memories a list has."""
    if not 0 <= request.min_importance <= 1:
        raise InvalidRequest("min_importance", "must be 0 to 1")
    return MemoryFilter(
        to_categories(request.categories), request.min_importance, request.exclude_shadowed
    )


def to_sorting(order: int) -> Sorting:
    """What a list goes by."""
    if order not in _SORTINGS:
        raise InvalidRequest("order", "is unknown")
    return _SORTINGS[order]


def to_query(
    request: pb.ListMemoriesRequest, people: Sequence[str], chosen: MemoryFilter, sorting: Sorting
) -> Mapping[str, Any]:
    """What page tokens of a list are bound to."""
    scope = fields.characters(request.page_scope, "page_scope", most=_SCOPE_CHARACTERS)
    return {"people": scope or people, "filter": chosen.as_json(), "sorting": sorting}


def to_place(page_token: str, query: Mapping[str, Any]) -> MemoryPlace | None:
    """Where the page before ended; None at the start."""
    place = pages.place(page_token, query)
    if place is None:
        return None
    try:
        rank, key, person_id = place
        return MemoryPlace(
            _rank(rank, query["sorting"]), to_key(key, "page_token"), str(uuid.UUID(person_id))
        )
    except (ValueError, TypeError, AttributeError):
        raise InvalidRequest("page_token", "is malformed") from None


def _rank(value: Any, sorting: Sorting) -> float | str | None:
    match sorting:
        case "key":
            return None
        case "importance":
            return float(value)
        case "accessed" if value is None:
            return None
    return datetime.fromisoformat(value).isoformat()


def page_token(last: Memory, query: Mapping[str, Any]) -> str:
    """The token of the page after this memory."""
    ranks: dict[Sorting, float | str | None] = {
        "key": None,
        "importance": last.importance,
        "updated": last.updated_at,
        "accessed": last.last_accessed_at,
    }
    return pages.token([ranks[query["sorting"]], last.key, last.person_id], query)


def to_version(page_token: str, memory_id: str) -> int | None:
    """Below which version a page of a history begins; None at the start."""
    place = pages.place(page_token, memory_id)
    if place is not None and (not isinstance(place, int) or not 0 < place < 2**31):
        raise InvalidRequest("page_token", "is malformed")
    return place


def version_token(last: Memory) -> str:
    """The token of the page after this version."""
    return pages.token(last.version, last.memory_id)


def to_inquiry(request: pb.SearchMemoriesRequest, seconds: float) -> Inquiry:
    """A search that has so many seconds."""
    if request.limit < 0:
        raise InvalidRequest("limit", "must not be negative")
    if len(request.at_least) > _MOST_TOKENS:
        problem = f"has {len(request.at_least)} values; at most {_MOST_TOKENS} are allowed"
        raise InvalidRequest("at_least", problem)
    return Inquiry(
        query=fields.text(request.query, "query", most=QUERY_BYTES),
        person_ids=to_people(request.person_ids),
        filter=MemoryFilter(
            to_categories(request.categories), exclude_shadowed=request.exclude_shadowed
        ),
        limit=min(request.limit or 10, _MOST_HITS),
        at_least=[
            to_write(token, f"at_least[{index}]") for index, token in enumerate(request.at_least)
        ],
        seconds=seconds,
    )


def from_upserted(upserted: Sequence[Upserted]) -> pb.UpsertMemoriesResponse:
    """What came of one request."""
    return pb.UpsertMemoriesResponse(
        memories=[from_memory(one.memory) for one in upserted],
        changed=[one.changed for one in upserted],
        index_tokens=[_token(one) if one.changed else "" for one in upserted],
    )


def _token(upserted: Upserted) -> str:
    assert upserted.memory.knowledge_id is not None, "what was set just now has an item"
    return index_token(Write(upserted.memory.knowledge_id, upserted.revision))


def from_recalled(recalled: Recalled) -> pb.SearchMemoriesResponse:
    """The answer to a search."""
    return pb.SearchMemoriesResponse(
        hits=[
            pb.MemoryHit(memory=from_memory(hit.memory), score=hit.score) for hit in recalled.hits
        ],
        pending_tokens=map(index_token, recalled.pending),
        degraded=recalled.is_degraded,
    )


def from_memory(memory: Memory) -> memory_pb2.Memory:
    """A memory, or a version of one, as callers see it."""
    return memory_pb2.Memory(
        memory_id=memory.memory_id,
        person_id=memory.person_id,
        key=memory.key,
        value=memory.value,
        category=memory.category,
        importance=memory.importance,
        metadata=structs.from_dict(memory.metadata),
        source_event_id=memory.source_event_id or "",
        occurred_at=fields.to_timestamp(memory.occurred_at),
        created_at=fields.to_timestamp(memory.created_at),
        updated_at=fields.to_timestamp(memory.updated_at),
        version=memory.version,
        access_count=memory.access_count,
        last_accessed_at=fields.to_timestamp(memory.last_accessed_at),
        shadowed_by_person_id=memory.shadowed_by or "",
        deleted=memory.is_deletion,
        knowledge_id=memory.knowledge_id or "",
    )
