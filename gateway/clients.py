"""What the gateway asks of the three services; hot methods are batched.

Methods that take several requests answer each with its result or its exception, in order.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf import timestamp_pb2

from gateway.batched import Batched
from gateway.channels import Channel, answer_error
from gateway.settings import Settings
from gateway.tracing import Trace
from kith.event.v1 import event_service_pb2
from kith.event.v1.event_service_pb2_grpc import EventServiceStub
from kith.identity.v1 import identity_service_pb2, person_pb2
from kith.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from kith.knowledge.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from svckit import errors
from svckit.batcher import Size

MOST_EVENTS = 1000
MOST_IDS = 1000


def _outcomes(results: Iterable[Any], service: str) -> list[Any]:
    """What each result of a batch method holds: its response, or the error as an exception."""
    return [
        answer_error(result.error, service) if result.HasField("error") else result.response
        for result in results
    ]


class Identity:
    """Who is who."""

    def __init__(self, channel: Channel, seconds: float) -> None:
        self.channel = channel
        self._seconds = seconds
        self._stub = IdentityServiceStub(channel.grpc)
        self._resolve = Batched("resolve", self._resolve_all, lambda _: Size())
        self._register = Batched(
            "register", self._register_all, lambda request: Size(bytes=request.ByteSize())
        )
        self._persons = Batched("persons", self._get_all, lambda _: Size())
        self._confirm = Batched("confirm", self._confirm_all, lambda _: Size())

    async def resolve(
        self, accounts: Iterable[tuple[str, str]]
    ) -> list[identity_service_pb2.Identity | BaseException]:
        """Who holds each (platform, platform id); LINK_NOT_FOUND where nobody does."""
        return await self._resolve.submit_all(accounts)

    async def register(
        self, requests: Iterable[identity_service_pb2.RegisterPersonRequest]
    ) -> list[identity_service_pb2.RegisterPersonResponse | BaseException]:
        """The person behind each platform id, created where there is none."""
        return await self._register.submit_all(requests)

    async def person(self, person_id: str) -> person_pb2.Person:
        """One person; raises NotFound."""
        request = identity_service_pb2.GetPersonRequest(person_id=person_id)
        return (await self.channel.call(self._stub.GetPerson, request, self._seconds)).person

    async def persons(self, person_ids: Iterable[str]) -> dict[str, person_pb2.Person]:
        """Those of the people that exist, by id; raises if they cannot be read."""
        asked = list(dict.fromkeys(person_ids))
        found: dict[str, person_pb2.Person] = {}
        for person_id, outcome in zip(asked, await self._persons.submit_all(asked), strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome is not None:
                found[person_id] = outcome
        return found

    async def update(self, request: identity_service_pb2.UpdatePersonRequest) -> person_pb2.Person:
        """The person after a change of metadata."""
        return (await self.channel.call(self._stub.UpdatePerson, request, self._seconds)).person

    async def link(
        self, request: identity_service_pb2.LinkIdentityRequest
    ) -> identity_service_pb2.LinkIdentityResponse:
        """Give a person one more platform id."""
        return await self.channel.call(self._stub.LinkIdentity, request, self._seconds)

    async def links(
        self, request: identity_service_pb2.ListLinksRequest
    ) -> identity_service_pb2.ListLinksResponse:
        """A page of a person's links."""
        return await self.channel.call(self._stub.ListLinks, request, self._seconds)

    async def confirm(self, link_ids: Iterable[str]) -> None:
        """Record that the registration events of links are logged."""
        for outcome in await self._confirm.submit_all(link_ids):
            if isinstance(outcome, BaseException):
                raise outcome

    async def pending_registrations(
        self, created_before: timestamp_pb2.Timestamp | None
    ) -> AsyncIterator[Sequence[person_pb2.Link]]:
        """The links whose registration event is not confirmed, oldest first, page by page."""
        token = ""
        while True:
            request = identity_service_pb2.ListPendingRegistrationsRequest(
                created_before=created_before, page_size=500, page_token=token
            )
            method = self._stub.ListPendingRegistrations
            page = await self.channel.call(method, request, self._seconds)
            if page.links:
                yield page.links
            token = page.next_page_token
            if not token:
                return

    async def close(self) -> None:
        """Flush the batches, then close the channel."""
        for batched in (self._resolve, self._register, self._persons, self._confirm):
            await batched.close()
        await self.channel.close()

    async def _resolve_all(self, accounts: list[tuple[str, str]], trace: Trace) -> list[Any]:
        request = identity_service_pb2.BatchResolveIdentitiesRequest(
            requests=[
                identity_service_pb2.ResolveIdentityRequest(
                    platform=platform, platform_id=platform_id
                )
                for platform, platform_id in accounts
            ]
        )
        method = self._stub.BatchResolveIdentities
        answer = await self.channel.call(method, request, self._seconds, trace)
        return [
            outcome if isinstance(outcome, Exception) else outcome.identity
            for outcome in _outcomes(answer.results, self.channel.name)
        ]

    async def _register_all(
        self, requests: list[identity_service_pb2.RegisterPersonRequest], trace: Trace
    ) -> list[Any]:
        request = identity_service_pb2.BatchRegisterPersonsRequest(requests=requests)
        method = self._stub.BatchRegisterPersons
        answer = await self.channel.call(method, request, self._seconds, trace)
        return _outcomes(answer.results, self.channel.name)

    async def _get_all(self, person_ids: list[str], trace: Trace) -> list[person_pb2.Person | None]:
        request = identity_service_pb2.BatchGetPersonsRequest(person_ids=dict.fromkeys(person_ids))
        answer = await self.channel.call(self._stub.BatchGetPersons, request, self._seconds, trace)
        found = {person.person_id: person for person in answer.persons}
        return [found.get(person_id) for person_id in person_ids]

    async def _confirm_all(self, link_ids: list[str], trace: Trace) -> list[None]:
        request = identity_service_pb2.ConfirmRegistrationsRequest(link_ids=dict.fromkeys(link_ids))
        await self.channel.call(self._stub.ConfirmRegistrations, request, self._seconds, trace)
        return [None] * len(link_ids)


class Events:
    """What happened."""

    def __init__(self, channel: Channel, seconds: float) -> None:
        self.channel = channel
        self._seconds = seconds
        self._stub = EventServiceStub(channel.grpc)
        self._log = Batched(
            "log",
            self._log_all,
            lambda request: Size(len(request.events), request.ByteSize()),
        )

    async def log(
        self, requests: Iterable[event_service_pb2.LogEventsRequest]
    ) -> list[event_service_pb2.LogEventsResponse | BaseException]:
        """Append the events of each request, all of them or none, in the order given."""
        return await self._log.submit_all(requests)

    async def page(
        self, request: event_service_pb2.ListEventsRequest
    ) -> event_service_pb2.ListEventsResponse:
        """A page of the log."""
        return await self.channel.call(self._stub.ListEvents, request, self._seconds)

    async def cursor(self, name: str) -> int:
        """How far a consumer has come; 0 where nothing was saved yet."""
        request = event_service_pb2.GetCursorRequest(name=name)
        try:
            answer = await self.channel.call(self._stub.GetCursor, request, self._seconds)
        except errors.NotFound:
            return 0
        return answer.position

    async def acquire_cursor(
        self, name: str, owner: str, seconds: float
    ) -> event_service_pb2.AcquireCursorResponse:
        """Hold a cursor for so long from now on, or prolong that; CURSOR_HELD if others do."""
        request = event_service_pb2.AcquireCursorRequest(name=name, owner=owner)
        request.ttl.FromMilliseconds(round(seconds * 1000))
        return await self.channel.call(self._stub.AcquireCursor, request, self._seconds)

    async def save_cursor(self, name: str, position: int, fencing_token: int) -> None:
        """Record how far a consumer has come; LEASE_LOST if the cursor is not its own."""
        request = event_service_pb2.SaveCursorRequest(
            name=name, position=position, fencing_token=fencing_token
        )
        await self.channel.call(self._stub.SaveCursor, request, self._seconds)

    async def release_cursor(self, name: str, fencing_token: int) -> None:
        """Give a cursor back; one that was lost meanwhile is fine."""
        request = event_service_pb2.ReleaseCursorRequest(name=name, fencing_token=fencing_token)
        await self.channel.call(self._stub.ReleaseCursor, request, self._seconds)

    async def close(self) -> None:
        """Flush the batches, then close the channel."""
        await self._log.close()
        await self.channel.close()

    async def _log_all(
        self, requests: list[event_service_pb2.LogEventsRequest], trace: Trace
    ) -> list[Any]:
        request = event_service_pb2.BatchLogEventsRequest(requests=requests)
        answer = await self.channel.call(self._stub.BatchLogEvents, request, self._seconds, trace)
        return _outcomes(answer.results, self.channel.name)


class Knowledge:
    """What is known."""

    def __init__(self, channel: Channel, seconds: float, store_seconds: float) -> None:
        self.channel = channel
        self._seconds = seconds
        self._store_seconds = store_seconds
        self._stub = KnowledgeServiceStub(channel.grpc)
        self._store = Batched("store", self._store_all, lambda item: Size(bytes=item.ByteSize()))

    async def store(
        self, items: Iterable[knowledge_pb2.NewKnowledge]
    ) -> list[knowledge_service_pb2.StoreKnowledgeResponse | BaseException]:
        """Keep each item."""
        return await self._store.submit_all(items)

    async def missing(self, knowledge_ids: Sequence[str]) -> set[str]:
        """Those of up to 1,000 ids that are neither stored nor deleted."""
        request = knowledge_service_pb2.FindMissingRequest(knowledge_ids=knowledge_ids)
        answer = await self.channel.call(self._stub.FindMissing, request, self._seconds)
        return set(answer.missing_ids)

    async def search(
        self, request: knowledge_service_pb2.SearchKnowledgeRequest, seconds: float
    ) -> knowledge_service_pb2.SearchKnowledgeResponse:
        """What a query finds."""
        return await self.channel.call(self._stub.SearchKnowledge, request, seconds)

    async def close(self) -> None:
        """Flush the batches, then close the channel."""
        await self._store.close()
        await self.channel.close()

    async def _store_all(self, items: list[knowledge_pb2.NewKnowledge], trace: Trace) -> list[Any]:
        request = knowledge_service_pb2.BatchStoreKnowledgeRequest(
            requests=[knowledge_service_pb2.StoreKnowledgeRequest(item=item) for item in items]
        )
        method = self._stub.BatchStoreKnowledge
        answer = await self.channel.call(method, request, self._store_seconds, trace)
        return _outcomes(answer.results, self.channel.name)


class Clients:
    """The three services."""

    def __init__(self, settings: Settings) -> None:
        token, seconds = settings.token, settings.call_seconds
        self.identity = Identity(
            Channel(
                "identity", settings.identity_address, token, ["kith.identity.v1.IdentityService"],
                # With an etag, the repeat of a change that succeeded would be a conflict.
                once=["UpdatePerson"],
            ),
            seconds,
        )  # fmt: skip
        self.events = Events(
            Channel("event", settings.event_address, token, ["kith.event.v1.EventService"]), seconds
        )
        self.knowledge = Knowledge(
            Channel(
                "knowledge", settings.knowledge_address, token,
                ["kith.knowledge.v1.KnowledgeService"],
            ),
            seconds,
            settings.knowledge_seconds,
        )  # fmt: skip

    @property
    def channels(self) -> Sequence[Channel]:
        """One to each service."""
        return [self.identity.channel, self.events.channel, self.knowledge.channel]


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Clients]:
    """The services, whether they are there yet or not; flushed and closed at the end."""
    clients = Clients(settings)
    try:
        yield clients
    finally:
        for service in (clients.identity, clients.events, clients.knowledge):
            await service.close()
