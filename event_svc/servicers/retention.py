"""RetainEvents: parse, drop, render."""

from event_svc.retention import Retention as Keeper
from event_svc.wire import retention as wire
from kith.event.v1 import event_service_pb2 as pb
from svckit import rpc


class Retention:
    """How long the log is kept."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def RetainEvents(
        self, request: pb.RetainEventsRequest, context: rpc.Context
    ) -> pb.RetainEventsResponse:
        retained = await self._keeper.retain(
            wire.to_keep_days(request.days),
            drop_keys=request.drop_keys,
            dry_run=request.dry_run,
        )
        return wire.from_retained(retained)
