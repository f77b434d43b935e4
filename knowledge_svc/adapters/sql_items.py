"""Items over the SQL functions of schema `knowledge`."""

from collections.abc import Mapping, Sequence
from typing import Any

from knowledge_svc.domain.items import (
    Entry,
    Filter,
    IdempotencyConflict,
    Item,
    KnowledgeNotFound,
    Place,
    Stored,
    SubjectErased,
)
from svckit.errors import ServiceError
from svckit.sql import SqlFunctions


class SqlItemStore:
    """The items in Postgres."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def store(self, entries: Sequence[Entry]) -> list[Stored | ServiceError]:
        outcomes = await self._functions.call(
            "store_items", requests=[_request(entry) for entry in entries]
        )
        return [_stored(entry, outcome) for entry, outcome in zip(entries, outcomes, strict=True)]

    async def get(self, knowledge_id: str) -> Item:
        row = await self._functions.call("get_item", knowledge_id=knowledge_id)
        if row is None:
            raise KnowledgeNotFound(knowledge_id)
        return Item(**row)

    async def page(self, chosen: Filter, *, before: Place | None, limit: int) -> list[Item]:
        rows = await self._functions.call(
            "list_items",
            filter=chosen.as_json(),
            most=limit,
            before_time=before.occurred_at if before else None,
            before_id=before.knowledge_id if before else None,
        )
        return [Item(**row) for row in rows]

    async def find_missing(self, ids: Sequence[str]) -> list[str]:
        missing: list[str] = await self._functions.call("find_missing", ids=[*ids])
        return missing

    async def start_deletions(
        self, ids: Sequence[str], requests: Sequence[str], *, owner: str, lease_seconds: float
    ) -> list[bool]:
        outcomes = await self._functions.call(
            "start_deletions",
            requests=[
                {"knowledge_id": knowledge_id, "request_id": request}
                for knowledge_id, request in zip(ids, requests, strict=True)
            ],
            owner=owner,
            lease_ms=int(lease_seconds * 1000),
        )
        return [outcome["ok"] for outcome in outcomes]

    async def finish_deletions(self, ids: Sequence[str], *, owner: str) -> None:
        await self._functions.call("finish_deletions", ids=[*ids], owner=owner)


def _stored(entry: Entry, outcome: Mapping[str, Any]) -> Stored | ServiceError:
    if "ok" in outcome:
        return Stored(**outcome["ok"])
    if outcome["error"]["code"] == "ZK002":
        return SubjectErased(outcome["error"]["subject_id"])
    return IdempotencyConflict(entry.item.knowledge_id)


def _request(entry: Entry) -> dict[str, Any]:
    item, terms = entry.item, entry.terms
    return {
        "knowledge_id": item.knowledge_id,
        "namespace": item.namespace,
        "content": item.content,
        "metadata": item.metadata,
        "subject_id": item.subject_id,
        "person_id": item.person_id,
        "group_id": item.group_id,
        "session_id": item.session_id,
        "platform": item.platform,
        "source_event_id": item.source_event_id,
        "source_position": item.source_position,
        "occurred_at": item.occurred_at,
        "owner": item.owner,
        "content_hash": _bytea(item.content_hash),
        "body_hash": _bytea(item.body_hash),
        "terms": terms.names,
        "term_counts": terms.counts,
        "term_total": terms.total,
    }


def _bytea(value: bytes) -> str:
    return rf"\x{value.hex()}"
