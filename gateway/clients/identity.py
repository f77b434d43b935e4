"""Who is who."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf import timestamp_pb2

from gateway.batched import Batched
from gateway.channels import Channel
from gateway.clients.service import Service
from gateway.tracing import Trace
from kith.identity.v1 import identity_service_pb2, person_pb2
from kith.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from svckit.batcher import Size
from svckit.errors import NotFound

if TYPE_CHECKING:
    from kith.identity.v1.identity_service_pb2_grpc import IdentityServiceAsyncStub as AsyncStub
else:
    # Only the types tell the two apart.
    AsyncStub = IdentityServiceStub

MOST_IDS = 1000


class PersonNotFound(NotFound):
    """There is no such person; the same that the service says."""

    reason = "PERSON_NOT_FOUND"

    def __init__(self, person_id: str) -> None:
        super().__init__(f"there is no person {person_id}", person_id=person_id)


class Identity(Service[AsyncStub]):
    """The identity service."""

    def __init__(self, channel: Channel, seconds: float) -> None:
        super().__init__(channel, IdentityServiceStub(channel.grpc), seconds)
        self._resolve = Batched("resolve", self._resolve_all, lambda _: Size())
        self._register = Batched(
            "register", self._register_all, lambda request: Size(bytes=request.ByteSize())
        )
        self._persons = Batched("persons", self._get_all, lambda _: Size())
        self._confirm = Batched("confirm", self._confirm_all, lambda _: Size())
        self._batches += [self._resolve, self._register, self._persons, self._confirm]

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
        """One person with everything; of somebody who was merged, who they are now."""
        request = identity_service_pb2.GetPersonRequest(person_id=person_id)
        return (await self.ask(self.stub.GetPerson, request)).person

    async def persons(self, person_ids: Iterable[str]) -> dict[str, person_pb2.Person]:
        """Who each of these ids means now, as far as it means anybody, by the id asked for.

        They come without their metadata and merges. Raises if they cannot be read.
        """
        asked = list(dict.fromkeys(person_ids))
        found: dict[str, person_pb2.Person] = {}
        for person_id, outcome in zip(asked, await self._persons.submit_all(asked), strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome is not None:
                found[person_id] = outcome
        return found

    async def subjects(self, person_id: str) -> Sequence[str]:
        """Under which subjects a person's past is found; raises PersonNotFound."""
        people = await self.persons([person_id])
        if person_id not in people:
            raise PersonNotFound(person_id)
        return people[person_id].subject_ids

    async def confirm(self, link_ids: Iterable[str]) -> None:
        """Record that the registration events of links are logged."""
        for outcome in await self._confirm.submit_all(link_ids):
            if isinstance(outcome, BaseException):
                raise outcome

    async def pending_registrations(
        self, created_before: timestamp_pb2.Timestamp | None
    ) -> AsyncIterator[Sequence[person_pb2.Link]]:
        """The links whose registration event is not confirmed, oldest first, page by page."""
        request = identity_service_pb2.ListPendingRegistrationsRequest(
            created_before=created_before, page_size=500
        )
        async for page in self.pages(self.stub.ListPendingRegistrations, request):
            if page.links:
                yield page.links

    async def _resolve_all(self, accounts: list[tuple[str, str]], trace: Trace) -> list[Any]:
        request = identity_service_pb2.BatchResolveIdentitiesRequest(
            requests=[
                identity_service_pb2.ResolveIdentityRequest(
                    platform=platform, platform_id=platform_id
                )
                for platform, platform_id in accounts
            ]
        )
        method = self.stub.BatchResolveIdentities
        answer = await self.channel.call(method, request, self._seconds, trace)
        return [
            outcome if isinstance(outcome, Exception) else outcome.identity
            for outcome in self._outcomes(answer.results)
        ]

    async def _register_all(
        self, requests: list[identity_service_pb2.RegisterPersonRequest], trace: Trace
    ) -> list[Any]:
        request = identity_service_pb2.BatchRegisterPersonsRequest(requests=requests)
        method = self.stub.BatchRegisterPersons
        answer = await self.channel.call(method, request, self._seconds, trace)
        return self._outcomes(answer.results)

    async def _get_all(self, person_ids: list[str], trace: Trace) -> list[person_pb2.Person | None]:
        request = identity_service_pb2.BatchGetPersonsRequest(
            person_ids=dict.fromkeys(person_ids), view=identity_service_pb2.PERSON_VIEW_BASIC
        )
        answer = await self.channel.call(self.stub.BatchGetPersons, request, self._seconds, trace)
        # Several of the ids may lead to one person, who is answered once.
        found = {
            person_id: person
            for person in answer.persons
            for person_id in (person.person_id, *person.person_ids)
        }
        return [found.get(person_id) for person_id in person_ids]

    async def _confirm_all(self, link_ids: list[str], trace: Trace) -> list[None]:
        request = identity_service_pb2.ConfirmRegistrationsRequest(link_ids=dict.fromkeys(link_ids))
        await self.channel.call(self.stub.ConfirmRegistrations, request, self._seconds, trace)
        return [None] * len(link_ids)
