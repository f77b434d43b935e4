"""Memories over the SQL functions of schema `knowledge`."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from knowledge_svc.domain.items import SubjectErased, Terms
from knowledge_svc.domain.memories import (
    Forgetting,
    Memory,
    MemoryFilter,
    MemoryPlace,
    NewMemory,
    Sorting,
    Upsert,
    Upserted,
    content_of,
    memory_id,
)
from svckit import ids as new_ids
from svckit.errors import ServiceError
from svckit.sql import SqlFunctions


class SqlMemoryStore:
    """The memories in Postgres."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def upsert(
        self, upserts: Sequence[Upsert], terms: Sequence[Sequence[Terms]]
    ) -> list[Sequence[Upserted] | ServiceError]:
        requests = [_request(upsert, of) for upsert, of in zip(upserts, terms, strict=True)]
        return [
            _outcome(answer)
            for answer in await self._functions.call("upsert_memories", requests=requests)
        ]

    async def delete(self, forgettings: Sequence[Forgetting]) -> list[bool]:
        requests = [{**vars(one), "memory_id": one.memory_id} for one in forgettings]
        answers = await self._functions.call("delete_memories", requests=requests)
        return [answer["ok"] for answer in answers]

    async def get(self, person_ids: Sequence[str], key: str) -> list[Memory]:
        rows = await self._functions.call("get_memories", person_ids=[*person_ids], key=key)
        return [Memory(**row) for row in rows]

    async def read(self, ids: Sequence[str], person_ids: Sequence[str]) -> dict[str, Memory]:
        rows = await self._functions.call("read_memories", ids=[*ids], person_ids=[*person_ids])
        return {row["memory_id"]: Memory(**row) for row in rows}

    async def page(
        self,
        person_ids: Sequence[str],
        chosen: MemoryFilter,
        sorting: Sorting,
        *,
        after: MemoryPlace | None,
        limit: int,
    ) -> list[Memory]:
        rows = await self._functions.call(
            "list_memories",
            person_ids=[*person_ids],
            filter=chosen.as_json(),
            sorting=sorting,
            most=limit,
            after=None if after is None else vars(after),
        )
        return [Memory(**row) for row in rows]

    async def versions(self, memory_id: str, *, before: int | None, limit: int) -> list[Memory]:
        rows = await self._functions.call(
            "list_memory_versions", memory_id=memory_id, most=limit, before_version=before
        )
        return [Memory(**row) for row in rows]

    async def count_accesses(
        self, accesses: Mapping[str, tuple[int, float]], flush_id: str
    ) -> None:
        counted = [
            {"memory_id": one, "count": count, "seconds_ago": seconds_ago}
            for one, (count, seconds_ago) in accesses.items()
        ]
        await self._functions.call("count_accesses", accesses=counted, flush_id=flush_id)


def _outcome(answer: Mapping[str, Any]) -> Sequence[Upserted] | ServiceError:
    if "error" in answer:
        return SubjectErased(answer["error"]["subject_id"])
    return [
        Upserted(Memory(**one["memory"]), one["changed"], one["revision"]) for one in answer["ok"]
    ]


def _request(upsert: Upsert, terms: Sequence[Terms]) -> dict[str, Any]:
    return {
        "person_id": upsert.person_id,
        "request_id": upsert.request_id,
        "person_ids": [*upsert.person_ids],
        "memories": [
            _memory(upsert.person_id, memory, of)
            for memory, of in zip(upsert.memories, terms, strict=True)
        ],
    }


def _memory(person_id: str, memory: NewMemory, terms: Terms) -> dict[str, Any]:
    content = content_of(memory.key, memory.value)
    return {
        **vars(memory),
        "memory_id": memory_id(person_id, memory.key),
        # The item's, where the key is not remembered yet.
        "knowledge_id": new_ids.new(),
        "content": content,
        "content_hash": rf"\x{hashlib.sha256(content.encode()).hexdigest()}",
        "terms": terms.names,
        "term_counts": terms.counts,
        "term_total": terms.total,
    }
