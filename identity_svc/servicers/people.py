"""IdentityService: parse, ask the store (together with whoever else is asking), render."""

from collections.abc import Sequence

import orjson

from identity_svc.domain import DOMAIN
from identity_svc.domain.people import (
    Account,
    Identity,
    LinkNotFound,
    Person,
    PersonNotFound,
    Registered,
    Registration,
)
from identity_svc.ports.people import IdentityStore
from identity_svc.presence import Presence
from identity_svc.wire import people as wire
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import batches, fields, ids, pages, rpc
from svckit.batcher import Batcher, Size


class People:
    """Single calls and batches go through the same batchers, one for each hot method."""

    def __init__(self, store: IdentityStore, presence: Presence) -> None:
        self._store = store
        self._presence = presence
        self._register: Batcher[Registration, Registered] = Batcher(
            "identity.register", store.register, measure=_size_of_registration
        )
        self._resolve: Batcher[Account, Identity] = Batcher(
            "identity.resolve", self._resolve_and_note, measure=_size_of_account
        )
        self._get: Batcher[str, Person] = Batcher("identity.get", store.get)
        self._confirm: Batcher[Sequence[str], None] = Batcher(
            "identity.confirm", self._confirm_together, measure=lambda them: Size(items=len(them))
        )

    async def drain(self) -> None:
        """Return when everything that was taken on is done."""
        for batcher in (self._register, self._resolve, self._get, self._confirm):
            await batcher.close()
        await self._presence.drain()

    async def RegisterPerson(
        self, request: pb.RegisterPersonRequest, context: rpc.Context
    ) -> pb.RegisterPersonResponse:
        registration = wire.to_registration(request)
        return wire.from_registered(await self._register.submit(registration))

    async def BatchRegisterPersons(
        self, request: pb.BatchRegisterPersonsRequest, context: rpc.Context
    ) -> pb.BatchRegisterPersonsResponse:
        requests = fields.batch(request.requests, "requests")
        outcomes = await batches.answer_each(
            requests, wire.to_registration, self._register.submit_all
        )
        return pb.BatchRegisterPersonsResponse(
            results=[
                pb.RegisterPersonResult(error=rpc.status_of(outcome, DOMAIN))
                if isinstance(outcome, BaseException)
                else pb.RegisterPersonResult(response=wire.from_registered(outcome))
                for outcome in outcomes
            ]
        )

    async def GetPerson(
        self, request: pb.GetPersonRequest, context: rpc.Context
    ) -> pb.GetPersonResponse:
        person_id = fields.uuid(request.person_id, "person_id")
        return pb.GetPersonResponse(person=wire.from_person(await self._get.submit(person_id)))

    async def BatchGetPersons(
        self, request: pb.BatchGetPersonsRequest, context: rpc.Context
    ) -> pb.BatchGetPersonsResponse:
        fields.batch(request.person_ids, "person_ids")
        person_ids = fields.uuids(request.person_ids, "person_ids", most=1000)
        response = pb.BatchGetPersonsResponse()
        outcomes = await self._get.submit_all(person_ids)
        for person_id, outcome in zip(person_ids, outcomes, strict=True):
            if isinstance(outcome, PersonNotFound):
                response.missing_ids.append(person_id)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                response.persons.append(wire.from_person(outcome))
        return response

    async def UpdatePerson(
        self, request: pb.UpdatePersonRequest, context: rpc.Context
    ) -> pb.UpdatePersonResponse:
        person = await self._store.update(
            fields.uuid(request.person_id, "person_id"),
            fields.struct(request.metadata, "metadata"),
            etag=wire.to_etag(request),
            new_etag=ids.new(),
        )
        return pb.UpdatePersonResponse(person=wire.from_person(person))

    async def ResolveIdentity(
        self, request: pb.ResolveIdentityRequest, context: rpc.Context
    ) -> pb.ResolveIdentityResponse:
        return wire.from_resolved(await self._resolve.submit(wire.to_account(request)))

    async def BatchResolveIdentities(
        self, request: pb.BatchResolveIdentitiesRequest, context: rpc.Context
    ) -> pb.BatchResolveIdentitiesResponse:
        requests = fields.batch(request.requests, "requests")
        outcomes = await batches.answer_each(requests, wire.to_account, self._resolve.submit_all)
        return pb.BatchResolveIdentitiesResponse(
            results=[
                pb.ResolveIdentityResult(error=rpc.status_of(outcome, DOMAIN))
                if isinstance(outcome, BaseException)
                else pb.ResolveIdentityResult(response=wire.from_resolved(outcome))
                for outcome in outcomes
            ]
        )

    async def LinkIdentity(
        self, request: pb.LinkIdentityRequest, context: rpc.Context
    ) -> pb.LinkIdentityResponse:
        linked = await self._store.link(
            fields.uuid(request.person_id, "person_id"),
            wire.to_account(request),
            verified=request.verified,
            link_id=ids.new(),
        )
        return pb.LinkIdentityResponse(link=wire.from_link(linked.link), created=linked.created)

    async def ListLinks(
        self, request: pb.ListLinksRequest, context: rpc.Context
    ) -> pb.ListLinksResponse:
        person_id = fields.uuid(request.person_id, "person_id")
        limit = pages.size(request.page_size, default=50, most=500)
        query = ("links", person_id)
        after = wire.to_place(request.page_token, *query)

        links = await self._store.links(person_id, after=after, limit=limit + 1)
        page, more = links[:limit], links[limit:]
        return pb.ListLinksResponse(
            links=map(wire.from_link, page),
            next_page_token=wire.page_token(page, *query) if more else "",
        )

    async def ConfirmRegistrations(
        self, request: pb.ConfirmRegistrationsRequest, context: rpc.Context
    ) -> pb.ConfirmRegistrationsResponse:
        fields.batch(request.link_ids, "link_ids")
        await self._confirm.submit(fields.uuids(request.link_ids, "link_ids", most=1000))
        return pb.ConfirmRegistrationsResponse()

    async def ListPendingRegistrations(
        self, request: pb.ListPendingRegistrationsRequest, context: rpc.Context
    ) -> pb.ListPendingRegistrationsResponse:
        created_before = wire.to_created_before(request)
        limit = pages.size(request.page_size, default=50, most=500)
        query = ("pending", created_before)
        after = wire.to_place(request.page_token, *query)

        links = await self._store.pending(
            created_before=created_before, after=after, limit=limit + 1
        )
        page, more = links[:limit], links[limit:]
        return pb.ListPendingRegistrationsResponse(
            links=map(wire.from_link, page),
            next_page_token=wire.page_token(page, *query) if more else "",
        )

    async def _resolve_and_note(self, accounts: Sequence[Account]) -> list[Identity | LinkNotFound]:
        outcomes = await self._store.resolve(accounts)
        self._presence.seen(
            outcome.person_id for outcome in outcomes if isinstance(outcome, Identity)
        )
        return outcomes

    async def _confirm_together(self, calls: Sequence[Sequence[str]]) -> list[None]:
        await self._store.confirm([link_id for link_ids in calls for link_id in link_ids])
        return [None] * len(calls)


def _size_of_registration(registration: Registration) -> Size:
    metadata = len(orjson.dumps(registration.metadata)) if registration.metadata else 0
    return Size(bytes=metadata + len(registration.consent) * 80 + _bytes_of(registration.account))


def _size_of_account(account: Account) -> Size:
    return Size(bytes=_bytes_of(account))


def _bytes_of(account: Account) -> int:
    # Ids, names and the like beside the platform id, which may hold wide characters.
    return 300 + 4 * len(account.platform_id)
