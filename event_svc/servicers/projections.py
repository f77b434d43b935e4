"""Defines projections and reads what they have counted."""

from event_svc.backfill import Backfill
from event_svc.ports.projections import ProjectionStore
from event_svc.wire import projections as wire
from kith.event.v1 import event_service_pb2 as pb
from svckit import pages, rpc


class Projections:
    """Projections over their port; a new one has the back-fill begin at once."""

    def __init__(self, store: ProjectionStore, backfill: Backfill) -> None:
        self._store = store
        self._backfill = backfill

    async def DefineProjection(
        self, request: pb.DefineProjectionRequest, context: rpc.Context
    ) -> pb.DefineProjectionResponse:
        projection, created = await self._store.define(wire.to_definition(request.projection))
        self._backfill.wake()
        return pb.DefineProjectionResponse(
            projection=wire.from_projection(projection), created=created
        )

    async def GetProjection(
        self, request: pb.GetProjectionRequest, context: rpc.Context
    ) -> pb.GetProjectionResponse:
        projection = await self._store.get(wire.to_name(request.name))
        return pb.GetProjectionResponse(projection=wire.from_projection(projection))

    async def ListProjections(
        self, request: pb.ListProjectionsRequest, context: rpc.Context
    ) -> pb.ListProjectionsResponse:
        return pb.ListProjectionsResponse(
            projections=map(wire.from_projection, await self._store.list())
        )

    async def DeleteProjection(
        self, request: pb.DeleteProjectionRequest, context: rpc.Context
    ) -> pb.DeleteProjectionResponse:
        deleted = await self._store.delete(wire.to_name(request.name))
        self._backfill.wake()
        return pb.DeleteProjectionResponse(deleted=deleted)

    async def ListProjectionValues(
        self, request: pb.ListProjectionValuesRequest, context: rpc.Context
    ) -> pb.ListProjectionValuesResponse:
        limit = pages.size(request.page_size, default=50, most=1000)
        chosen = wire.to_values(request)
        query = wire.query_of(request, chosen)
        after = wire.to_place(request.page_token, query)

        # One more than fits, to learn whether others follow.
        found = await self._store.values(chosen, after=after, limit=limit + 1)
        page = found[:limit]
        token = ""
        if len(found) > limit:
            token = pages.token([page[-1].key, page[-1].subject_id], query)
        return pb.ListProjectionValuesResponse(
            values=map(wire.from_value, page), next_page_token=token
        )
