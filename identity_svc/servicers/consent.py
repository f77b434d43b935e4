"""Consent: parse, ask the store, render."""

from identity_svc.cache import IdentityCache
from identity_svc.domain.consent import ConsentPlace
from identity_svc.ports.consent import ConsentStore
from identity_svc.wire import consent as wire
from identity_svc.wire.places import page_of, place_of
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import fields, pages, rpc


class Consents:
    """What people allow, and how it came to that."""

    def __init__(self, store: ConsentStore, cache: IdentityCache) -> None:
        self._store = store
        self._cache = cache

    async def SetConsent(
        self, request: pb.SetConsentRequest, context: rpc.Context
    ) -> pb.SetConsentResponse:
        person_id = fields.uuid(request.person_id, "person_id")
        consent = await self._store.set(
            person_id, wire.to_decisions(request), source=wire.to_source(request)
        )
        # By an alias this finds nothing, and the notice has to tell.
        self._cache.forget([person_id])
        return pb.SetConsentResponse(consent=wire.from_consent(consent))

    async def GetConsent(
        self, request: pb.GetConsentRequest, context: rpc.Context
    ) -> pb.GetConsentResponse:
        person_id = fields.uuid(request.person_id, "person_id")
        return pb.GetConsentResponse(
            consent=wire.from_consent(await self._store.consent(person_id))
        )

    async def ListConsentHistory(
        self, request: pb.ListConsentHistoryRequest, context: rpc.Context
    ) -> pb.ListConsentHistoryResponse:
        person_id = fields.uuid(request.person_id, "person_id")
        purpose = wire.to_wanted_purpose(request)
        limit = pages.size(request.page_size, default=50, most=500)
        query = ("consent history", person_id, purpose)
        before = place_of(ConsentPlace, request.page_token, *query)

        found = await self._store.history(
            person_id, purpose=purpose, before=before, limit=limit + 1
        )
        page, token = page_of(found, limit, wire.from_change, lambda change: change.place, *query)
        return pb.ListConsentHistoryResponse(changes=page, next_page_token=token)
