"""Items over the SQL functions of schema `knowledge`."""

from collections.abc import Mapping, Sequence
from typing import Any

from knowledge_svc.domain.changes import Change, ContentTaken, EtagMismatch, KnowledgeDerived
from knowledge_svc.domain.items import (
    METADATA_BYTES,
    Entry,
    Filter,
    IdempotencyConflict,
    Item,
    KnowledgeNotFound,
    Place,
    Stored,
    SubjectErased,
    hash_of,
)
from svckit.errors import InvalidRequest, ServiceError
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

    async def update(self, changes: Sequence[Change]) -> list[Item | ServiceError]:
        outcomes = await self._functions.call(
            "update_items",
            requests=[_change(change) for change in changes],
            most_bytes=METADATA_BYTES,
        )
        return [_updated(change, one) for change, one in zip(changes, outcomes, strict=True)]

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
    ) -> list[bool | ServiceError]:
        outcomes = await self._functions.call(
            "start_deletions",
            requests=[
                {"knowledge_id": knowledge_id, "request_id": request}
                for knowledge_id, request in zip(ids, requests, strict=True)
            ],
            owner=owner,
            lease_ms=int(lease_seconds * 1000),
        )
        return [
            _derived(one, outcome["error"]) if "error" in outcome else outcome["ok"]
            for one, outcome in zip(ids, outcomes, strict=True)
        ]

    async def bar(self, knowledge_id: str, request: str) -> bool:
        barred: bool = await self._functions.call(
            "bar_item", knowledge_id=knowledge_id, request_id=request
        )
        return barred

    async def finish_deletions(self, ids: Sequence[str], *, owner: str) -> None:
        await self._functions.call("finish_deletions", ids=[*ids], owner=owner)


def _stored(entry: Entry, outcome: Mapping[str, Any]) -> Stored | ServiceError:
    if "ok" in outcome:
        return Stored(**outcome["ok"])
    if outcome["error"]["code"] == "ZK002":
        return SubjectErased(outcome["error"]["subject_id"])
    return IdempotencyConflict(entry.item.knowledge_id)


def _updated(change: Change, outcome: Mapping[str, Any]) -> Item | ServiceError:
    if "error" not in outcome:
        row = outcome["ok"]
        return KnowledgeNotFound(change.knowledge_id) if row is None else Item(**row)
    error = outcome["error"]
    match error["code"]:
        case "ZK002":
            return SubjectErased(error["subject_id"])
        case "ZK021":
            return EtagMismatch(change.knowledge_id)
        case "ZK022":
            return InvalidRequest(
                "metadata_patch", f"leaves metadata larger than {METADATA_BYTES} bytes"
            )
        case "ZK023":
            return ContentTaken(error["knowledge_id"])
        case _:
            return _derived(change.knowledge_id, error)


def _derived(knowledge_id: str, error: Mapping[str, Any]) -> KnowledgeDerived:
    if error["document_id"]:
        return KnowledgeDerived(knowledge_id, document_id=error["document_id"])
    return KnowledgeDerived(knowledge_id, memory_id=error["memory_id"])


def _change(change: Change) -> dict[str, Any]:
    request: dict[str, Any] = {
        "knowledge_id": change.knowledge_id,
        "etag": change.etag,
        "patch": change.metadata_patch,
    }
    if change.content is not None and change.terms is not None:
        request |= {
            "content": change.content,
            "content_hash": _bytea(hash_of(change.content)),
            "terms": change.terms.names,
            "term_counts": change.terms.counts,
            "term_total": change.terms.total,
        }
    return request


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
