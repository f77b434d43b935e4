"""The part of IdentityService that records erasures."""

from identity_svc.cache import IdentityCache
from identity_svc.domain.places import Place
from identity_svc.ports.erasure import ErasureStore
from identity_svc.wire import erasure as wire
from identity_svc.wire.places import page_of, place_of
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import fields, ids, pages, rpc
from svckit.errors import InvalidRequest


class Erasures:
    """What is to be erased, and how far that has come."""

    def __init__(self, store: ErasureStore, cache: IdentityCache) -> None:
        self._store = store
        self._cache = cache

    async def StartErasure(
        self, request: pb.StartErasureRequest, context: rpc.Context
    ) -> pb.StartErasureResponse:
        started = await self._store.start(
            fields.uuid(request.person_id, "person_id"), erasure_id=ids.new()
        )
        self._cache.forget(started.erasure.subject_ids)
        return pb.StartErasureResponse(
            erasure=wire.from_erasure(started.erasure), started=started.started
        )

    async def RecordErasureStep(
        self, request: pb.RecordErasureStepRequest, context: rpc.Context
    ) -> pb.RecordErasureStepResponse:
        erasure = await self._store.record(
            fields.uuid(request.erasure_id, "erasure_id"),
            wire.to_stage(request),
            erased=wire.to_counts(request.erased, "erased"),
            remaining=wire.to_counts(request.remaining, "remaining"),
        )
        return pb.RecordErasureStepResponse(erasure=wire.from_erasure(erasure))

    async def GetErasure(
        self, request: pb.GetErasureRequest, context: rpc.Context
    ) -> pb.GetErasureResponse:
        erasure_id = fields.optional_uuid(request.erasure_id, "erasure_id")
        person_id = fields.optional_uuid(request.person_id, "person_id")
        if erasure_id and person_id:
            raise InvalidRequest("person_id", "cannot be given with erasure_id")
        if erasure_id:
            erasure = await self._store.get(erasure_id)
        elif person_id:
            erasure = await self._store.of_person(person_id)
        else:
            raise InvalidRequest("erasure_id", "is required, or person_id")
        return pb.GetErasureResponse(erasure=wire.from_erasure(erasure))

    async def ListErasures(
        self, request: pb.ListErasuresRequest, context: rpc.Context
    ) -> pb.ListErasuresResponse:
        running = wire.to_running(request)
        limit = pages.size(request.page_size, default=50, most=500)
        query = ("erasures", running)
        after = place_of(Place, request.page_token, *query)

        erasures = await self._store.list(running=running, after=after, limit=limit + 1)
        page, token = page_of(
            erasures, limit, wire.from_erasure,
            lambda one: Place(one.started_at, one.erasure_id), *query,
        )  # fmt: skip
        return pb.ListErasuresResponse(erasures=page, next_page_token=token)
