"""People: parse, ask the store (together with whoever else is asking), render."""

from collections.abc import Sequence

import orjson

from identity_svc.cache import IdentityCache
from identity_svc.domain import DOMAIN
from identity_svc.domain.links import LinkPlace
from identity_svc.domain.people import (
    Account,
    Identity,
    LinkNotFound,
    Person,
    PersonNotFound,
    PersonPlace,
    Registered,
    Registration,
)
from identity_svc.ports.people import IdentityStore
from identity_svc.presence import Presence
from identity_svc.wire import links
from identity_svc.wire import people as wire
from identity_svc.wire.places import page_of, place_of
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import batches, fields, ids, pages, rpc
from svckit.batcher import Batcher, Size


class People:
    """Single calls and batches go through the same batchers, one for each hot method."""

    def __init__(self, store: IdentityStore, presence: Presence, cache: IdentityCache) -> None:
        self._store = store
        self._presence = presence
        self._cache = cache
        self._register: Batcher[Registration, Registered] = Batcher(
            "identity.register", self._register_and_forget, measure=_size_of_registration
        )
        self._resolve: Batcher[Account, Identity] = Batcher(
            "identity.resolve", self._resolve_and_note, measure=_size_of_account
        )
        self._get: Batcher[str, Person] = Batcher("identity.get", store.get)
        self._get_basic: Batcher[str, Person] = Batcher(
            "identity.get_basic", lambda person_ids: store.get(person_ids, whole=False)
        )
        self._confirm: Batcher[Sequence[str], None] = Batcher(
            "identity.confirm", self._confirm_together, measure=lambda them: Size(items=len(them))
        )

    async def drain(self) -> None:
        """Return when everything that was taken on is done."""
        for batcher in (
            self._register, self._resolve, self._get, self._get_basic, self._confirm,
        ):  # fmt: skip
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

    async def CreatePerson(
        self, request: pb.CreatePersonRequest, context: rpc.Context
    ) -> pb.CreatePersonResponse:
        created = await self._store.create(wire.to_creation(request), etag=ids.new())
        return pb.CreatePersonResponse(
            person=wire.from_person(created.person), created=created.created
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
        get = self._get if wire.wants_whole(request) else self._get_basic
        outcomes = await get.submit_all(person_ids)
        found: dict[str, Person] = {}
        missing: dict[str, None] = {}
        for person_id, outcome in zip(person_ids, outcomes, strict=True):
            if isinstance(outcome, PersonNotFound):
                missing[person_id] = None
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                found[outcome.person_id] = outcome
        return pb.BatchGetPersonsResponse(
            persons=map(wire.from_person, found.values()), missing_ids=missing
        )

    async def ListPersons(
        self, request: pb.ListPersonsRequest, context: rpc.Context
    ) -> pb.ListPersonsResponse:
        wanted = wire.to_filter(request)
        limit = pages.size(request.page_size, default=50, most=500)
        query = ("persons", wanted)
        after = place_of(PersonPlace, request.page_token, *query)

        found = await self._store.find(wanted, after=after, limit=limit + 1)
        page, token = page_of(found, limit, wire.from_person, lambda person: person.place, *query)
        return pb.ListPersonsResponse(persons=page, next_page_token=token)

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
        account = links.to_account(request)
        identity = self._known(account) or await self._resolve.submit(account)
        return wire.from_resolved(identity)

    async def BatchResolveIdentities(
        self, request: pb.BatchResolveIdentitiesRequest, context: rpc.Context
    ) -> pb.BatchResolveIdentitiesResponse:
        requests = fields.batch(request.requests, "requests")
        outcomes = await batches.answer_each(requests, links.to_account, self._resolve_all)
        return pb.BatchResolveIdentitiesResponse(
            results=[
                pb.ResolveIdentityResult(error=rpc.status_of(outcome, DOMAIN))
                if isinstance(outcome, BaseException)
                else pb.ResolveIdentityResult(response=wire.from_resolved(outcome))
                for outcome in outcomes
            ]
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
        after = place_of(LinkPlace, request.page_token, *query)

        found = await self._store.pending(
            created_before=created_before, after=after, limit=limit + 1
        )
        page, token = page_of(found, limit, links.from_link, lambda link: link.place, *query)
        return pb.ListPendingRegistrationsResponse(links=page, next_page_token=token)

    async def _register_and_forget(self, registrations: Sequence[Registration]) -> list[Registered]:
        outcomes = await self._store.register(registrations)
        # Everybody is told of decisions that were filled in; who asks here next need not wait.
        self._cache.forget(
            outcome.identity.person_id
            for registration, outcome in zip(registrations, outcomes, strict=True)
            if registration.consent and not outcome.created
        )
        return outcomes

    def _known(self, account: Account) -> Identity | None:
        """Who holds an account as far as the cache knows; they were seen just now."""
        identity = self._cache.get(account)
        if identity is not None:
            self._presence.seen((identity.person_id,))
        return identity

    async def _resolve_all(self, accounts: Sequence[Account]) -> list[Identity | BaseException]:
        """One answer each, in order: what is known at once, all else in one go."""
        known = [self._known(account) for account in accounts]
        asked = [account for account, identity in zip(accounts, known, strict=True) if not identity]
        answers = iter(await self._resolve.submit_all(asked) if asked else ())
        return [identity or next(answers) for identity in known]

    async def _resolve_and_note(self, accounts: Sequence[Account]) -> list[Identity | LinkNotFound]:
        outcomes = await self._cache.resolve(accounts)
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
