"""Gathers what is known of a person from all three services at once.

Identity comes first, because who somebody is and what they allow decides on all the rest. Of what
comes then each part may fail, or be too slow, for itself.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gateway import tracing
from gateway.answers.context import MissingAnswer, SectionName
from gateway.channels import FAILURES
from gateway.clients import Clients
from gateway.errors import renamed
from gateway.flows import relevance, versions
from gateway.flows.entries import MESSAGE
from gateway.flows.subjects import MOST_SUBJECTS, TooManySubjects
from gateway.models.context import ContextRequest
from gateway.rendering.values import conversation
from kith.event.v1 import event_pb2, event_service_pb2
from kith.identity.v1 import identity_service_pb2, person_pb2
from kith.knowledge.v1 import (
    knowledge_pb2,
    knowledge_service_pb2,
    memory_pb2,
    memory_service_pb2,
)
from svckit import errors, logs

log = logs.get(__name__)

T = TypeVar("T")

# How much is asked for; what of it fits is decided later.
MOST_LINKS = 100
MOST_IMPORTANT = 50
MOST_NEAR = 20
MOST_HITS = 30
MOST_BESIDE = 1
MOST_MESSAGES = 100
# Of what is left of the request's time; the rest is to answer.
_SHARE = 0.85
# The shelf of memories, which have a section of their own.
_MEMORIES = "memories"
# A filter names so many shelves at most.
_MOST_SHELVES = 32


@dataclass
class Gathered:
    """What there is, before any budget."""

    person: person_pb2.Person
    links: Sequence[person_pb2.Link] = ()
    important: Sequence[memory_pb2.Memory] = ()
    near: Sequence[memory_service_pb2.MemoryHit] = ()
    hits: Sequence[knowledge_service_pb2.SearchHit] = ()
    # Newest first.
    messages: Sequence[event_pb2.Event] = ()
    missing: list[MissingAnswer] = field(default_factory=list)
    is_degraded: bool = False

    def miss(self, section: SectionName, error: BaseException | None = None) -> None:
        """Say once that a section lacks something: by an error, or because it is not allowed."""
        why: MissingAnswer = {"section": section, "reason": "consent_denied"}
        if error is not None:
            self.is_degraded = True
            why["reason"] = "timeout" if isinstance(error, TimeoutError) else "unavailable"
        if all(one["section"] != section for one in self.missing):
            self.missing.append(why)


class Gathering:
    """Asks for everything; `seconds` bounds what comes after identity."""

    def __init__(
        self, clients: Clients, consent_default: relevance.ConsentDefault, seconds: float
    ) -> None:
        self._clients = clients
        self._default = consent_default
        self._seconds = seconds

    async def gather(self, request: ContextRequest) -> Gathered:
        """What there is of the person. Without identity there is nothing: raises what it raised,
        PersonNotFound, or TooManySubjects.
        """
        gathered = Gathered(await self._person(request))
        person = gathered.person
        if len(person.subject_ids) > MOST_SUBJECTS:
            raise TooManySubjects(person.person_id, len(person.subject_ids))
        parts: list[Awaitable[None]] = [self._links(gathered)]
        if relevance.allows_knowledge(person.consent, self._default):
            parts += [
                self._important(gathered),
                self._near(gathered, request),
                self._hits(gathered, request),
            ]
        else:
            gathered.miss("memories")
            gathered.miss("knowledge")
        if relevance.allows_text(person.consent, self._default):
            parts.append(self._messages(gathered, request))
        else:
            gathered.miss("messages")
        await asyncio.gather(*parts)
        gathered.missing.sort(key=lambda one: one["section"])
        return gathered

    async def _person(self, request: ContextRequest) -> person_pb2.Person:
        person_id = request.person_id
        if person_id is None:
            account = (request.platform or "", request.sender_id or "")
            [found] = await self._clients.identity.resolve([account])
            if isinstance(found, BaseException):
                raise renamed(found, {"platform_id": "sender_id"})
            person_id = found.person_id
        return await self._clients.identity.person(person_id)

    async def _part(
        self, gathered: Gathered, section: SectionName, work: Awaitable[T], nothing: T
    ) -> T:
        """What a part answers in time; where it does not, that it is missing."""
        try:
            async with tracing.within(_SHARE * tracing.current().seconds_left(self._seconds)):
                return await work
        except FAILURES as error:
            if errors.is_about_data(error):
                raise
            log.warning("a part of a context is missing", section=section, why=str(error))
            gathered.miss(section, error)
            return nothing

    async def _links(self, gathered: Gathered) -> None:
        identity = self._clients.identity
        request = identity_service_pb2.ListLinksRequest(
            person_id=gathered.person.person_id, page_size=MOST_LINKS
        )
        nothing = identity_service_pb2.ListLinksResponse()
        work = identity.ask(identity.stub.ListLinks, request)
        found = await self._part(gathered, "profile", work, nothing)
        gathered.links = [link for link in found.links if not link.HasField("ended_at")]

    async def _important(self, gathered: Gathered) -> None:
        memories = self._clients.memories
        request = memory_service_pb2.ListMemoriesRequest(
            person_ids=gathered.person.person_ids,
            exclude_shadowed=True,
            order=memory_service_pb2.MEMORY_ORDER_IMPORTANCE,
            page_size=MOST_IMPORTANT,
        )
        nothing = memory_service_pb2.ListMemoriesResponse()
        work = memories.ask(memories.stub.ListMemories, request)
        gathered.important = (await self._part(gathered, "memories", work, nothing)).memories

    async def _near(self, gathered: Gathered, request: ContextRequest) -> None:
        search = memory_service_pb2.SearchMemoriesRequest(
            person_ids=gathered.person.person_ids,
            query=request.query,
            exclude_shadowed=True,
            limit=MOST_NEAR,
            at_least=request.at_least,
        )
        nothing = memory_service_pb2.SearchMemoriesResponse()
        work = self._clients.memories.search(search, self._seconds)
        found = await self._part(gathered, "memories", work, nothing)
        gathered.near = found.hits
        gathered.is_degraded |= found.degraded

    async def _hits(self, gathered: Gathered, request: ContextRequest) -> None:
        nothing = knowledge_service_pb2.SearchKnowledgeResponse()
        work = self._known(gathered.person, request)
        found = await self._part(gathered, "knowledge", work, nothing)
        gathered.hits = [hit for hit in found.hits if hit.item.namespace != _MEMORIES]
        gathered.is_degraded |= found.degraded

    async def _known(
        self, person: person_pb2.Person, request: ContextRequest
    ) -> knowledge_service_pb2.SearchKnowledgeResponse:
        """What is known beside memories; where those take the places of others, once more
        without them.
        """
        knowledge = self._clients.knowledge
        # All of it is the person's own, who allows it: there is nobody else to ask.
        search = knowledge_service_pb2.SearchKnowledgeRequest(
            query=request.query,
            filter=knowledge_pb2.KnowledgeFilter(
                subject_ids=person.subject_ids, namespaces=request.namespaces
            ),
            limit=MOST_HITS,
            expand=MOST_BESIDE,
            at_least=request.at_least,
        )
        found = await knowledge.search(search, self._seconds)
        is_full = len(found.hits) == MOST_HITS
        if not is_full or all(hit.item.namespace != _MEMORIES for hit in found.hits):
            return found
        shelves = knowledge_service_pb2.ListNamespacesRequest(subject_ids=person.subject_ids)
        listed = (await knowledge.ask(knowledge.stub.ListNamespaces, shelves)).namespaces
        others = [one.namespace for one in listed if one.namespace != _MEMORIES]
        if request.namespaces:
            others = [one for one in others if one in request.namespaces]
        if not 0 < len(others) <= _MOST_SHELVES:
            return found
        search.filter.ClearField("namespaces")
        search.filter.namespaces.extend(others)
        return await knowledge.search(search, self._seconds)

    async def _messages(self, gathered: Gathered, request: ContextRequest) -> None:
        page = event_service_pb2.ListEventsRequest(
            filter=event_pb2.EventFilter(
                subject_ids=gathered.person.subject_ids,
                session_id=conversation(request.session_id, request.platform or ""),
                event_types=[MESSAGE, versions.EDIT],
            ),
            order=event_service_pb2.ORDER_DESCENDING,
            page_size=MOST_MESSAGES,
        )
        nothing = event_service_pb2.ListEventsResponse()
        found = await self._part(gathered, "messages", self._clients.events.page(page), nothing)
        gathered.messages = versions.as_read(found.events)
