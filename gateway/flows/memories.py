"""Memories of a person: whose they are, and whether they allow it.

What is written is remembered of the person as addressed, so that unmerging gives each their own
back; what is read is that of everybody they are, the target of their merges first.
"""

from collections.abc import Sequence

from gateway.clients import Clients
from gateway.clients.identity import PersonNotFound
from gateway.flows import relevance
from gateway.flows.owners import ConsentDenied
from gateway.flows.subjects import MOST_SUBJECTS, TooManySubjects
from gateway.models.memories import MemoriesQuery, MemorySearch, NewMemory
from kith.identity.v1 import person_pb2
from kith.knowledge.v1 import memory_pb2, memory_service_pb2
from svckit import fields, structs
from svckit.errors import NotFound

_ORDERS = {
    "key": memory_service_pb2.MEMORY_ORDER_KEY,
    "importance": memory_service_pb2.MEMORY_ORDER_IMPORTANCE,
    "updated": memory_service_pb2.MEMORY_ORDER_UPDATED,
    "accessed": memory_service_pb2.MEMORY_ORDER_ACCESSED,
}


class _MemoryNotFound(NotFound):
    """The same that the service says."""

    reason = "MEMORY_NOT_FOUND"

    def __init__(self, person_id: str, key: str) -> None:
        super().__init__(f"person {person_id} has no memory {key!r}", person_id=person_id, key=key)


class Remembering:
    """Writes and reads memories. Of people who deny knowledge now nothing is told, as in searches,
    and nothing is written; forgetting is always possible.
    """

    def __init__(
        self, clients: Clients, consent_default: relevance.ConsentDefault, seconds: float
    ) -> None:
        self._identity = clients.identity
        self._memories = clients.memories
        self._default = consent_default
        self._seconds = seconds

    async def upsert(
        self, person_id: str, memories: Sequence[NewMemory]
    ) -> memory_service_pb2.UpsertMemoriesResponse:
        """Set memories of the person as addressed, all or none; raises ConsentDenied."""
        person = await self._person(person_id)
        if not self._allows(person):
            raise ConsentDenied(person_id)
        return await self._memories.upsert(
            memory_service_pb2.UpsertMemoriesRequest(
                person_id=person_id,
                memories=map(_new_memory, memories),
                person_ids=person.person_ids,
            )
        )

    async def get(self, person_id: str, key: str) -> memory_service_pb2.GetMemoryResponse:
        """The memory that counts, and those that it shadows."""
        person = await self._person(person_id)
        if not self._allows(person):
            raise _MemoryNotFound(person_id, key)
        request = memory_service_pb2.GetMemoryRequest(person_ids=person.person_ids, key=key)
        return await self._memories.ask(self._memories.stub.GetMemory, request)

    async def page(
        self, person_id: str, query: MemoriesQuery
    ) -> memory_service_pb2.ListMemoriesResponse:
        """A page of everybody's whom the person is; tokens belong to the person as addressed."""
        person = await self._person(person_id)
        if not self._allows(person):
            return memory_service_pb2.ListMemoriesResponse()
        request = memory_service_pb2.ListMemoriesRequest(
            person_ids=person.person_ids,
            categories=query.category,
            min_importance=query.min_importance,
            exclude_shadowed=query.exclude_shadowed,
            order=_ORDERS[query.order],
            page_size=query.page_size,
            page_token=query.page_token,
            page_scope=person_id,
        )
        return await self._memories.ask(self._memories.stub.ListMemories, request)

    async def versions(
        self, person_id: str, key: str, page_size: int, page_token: str
    ) -> memory_service_pb2.ListMemoryVersionsResponse:
        """The history of a key, of the person as addressed alone."""
        if not self._allows(await self._person(person_id)):
            return memory_service_pb2.ListMemoryVersionsResponse()
        request = memory_service_pb2.ListMemoryVersionsRequest(
            person_id=person_id, key=key, page_size=page_size, page_token=page_token
        )
        return await self._memories.ask(self._memories.stub.ListMemoryVersions, request)

    async def search(
        self, person_id: str, search: MemorySearch
    ) -> memory_service_pb2.SearchMemoriesResponse:
        """The best of everybody's whom the person is."""
        person = await self._person(person_id)
        if not self._allows(person):
            return memory_service_pb2.SearchMemoriesResponse()
        request = memory_service_pb2.SearchMemoriesRequest(
            person_ids=person.person_ids,
            query=search.query,
            categories=search.categories,
            exclude_shadowed=search.exclude_shadowed,
            limit=search.limit,
            at_least=search.at_least,
        )
        return await self._memories.search(request, self._seconds)

    async def delete(
        self, person_id: str, key: str, *, purge: bool
    ) -> memory_service_pb2.DeleteMemoryResponse:
        """Forget a key of everybody whom the person is: what one forgets, no other brings back."""
        person = await self._person(person_id)
        request = memory_service_pb2.DeleteMemoryRequest(
            person_id=person_id, key=key, purge=purge, person_ids=person.person_ids
        )
        return await self._memories.ask(self._memories.stub.DeleteMemory, request)

    async def _person(self, person_id: str) -> person_pb2.Person:
        """Who an id means now, with all ids that mean them, the one who counts first."""
        people = await self._identity.persons([person_id])
        if person_id not in people:
            raise PersonNotFound(person_id)
        person = people[person_id]
        if len(person.person_ids) > MOST_SUBJECTS:
            raise TooManySubjects(person_id, len(person.person_ids))
        return person

    def _allows(self, person: person_pb2.Person) -> bool:
        return relevance.allows_knowledge(person.consent, self._default)


def _new_memory(memory: NewMemory) -> memory_pb2.NewMemory:
    return memory_pb2.NewMemory(
        key=memory.key,
        value=memory.value,
        category=memory.category,
        importance=memory.importance,
        metadata=structs.from_dict(memory.metadata),
        source_event_id=memory.source_event_id or "",
        occurred_at=fields.to_timestamp(memory.occurred_at),
    )
