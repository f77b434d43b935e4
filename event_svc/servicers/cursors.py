"""The contract's methods on cursors."""

from event_svc.ports.cursors import CursorStore
from event_svc.wire import cursors as wire
from event_svc.wire.log import to_position
from kith.event.v1 import event_service_pb2 as pb
from svckit import rpc


class Cursors:
    """How far consumers have come."""

    def __init__(self, cursors: CursorStore) -> None:
        self._cursors = cursors

    async def GetCursor(
        self, request: pb.GetCursorRequest, context: rpc.Context
    ) -> pb.GetCursorResponse:
        position = await self._cursors.get(wire.to_name(request.name))
        return pb.GetCursorResponse(position=position)

    async def SaveCursor(
        self, request: pb.SaveCursorRequest, context: rpc.Context
    ) -> pb.SaveCursorResponse:
        position = await self._cursors.save(
            wire.to_name(request.name),
            to_position(request.position, "position"),
            wire.to_token(request.fencing_token),
        )
        return pb.SaveCursorResponse(position=position)

    async def AcquireCursor(
        self, request: pb.AcquireCursorRequest, context: rpc.Context
    ) -> pb.AcquireCursorResponse:
        lease = await self._cursors.acquire(
            wire.to_name(request.name),
            wire.to_name(request.owner, "owner"),
            wire.to_seconds(request),
        )
        return wire.from_lease(lease)

    async def ReleaseCursor(
        self, request: pb.ReleaseCursorRequest, context: rpc.Context
    ) -> pb.ReleaseCursorResponse:
        released = await self._cursors.release(
            wire.to_name(request.name), wire.to_token(request.fencing_token, least=1)
        )
        return pb.ReleaseCursorResponse(released=released)
