"""GetEventStats: parse, ask the store, render."""

from datetime import UTC, datetime

from event_svc.ports.stats import StatsStore
from event_svc.wire import stats as wire
from kith.event.v1 import event_service_pb2 as pb
from svckit import rpc


class Stats:
    """Counts of events."""

    def __init__(self, store: StatsStore) -> None:
        self._store = store

    async def GetEventStats(
        self, request: pb.GetEventStatsRequest, context: rpc.Context
    ) -> pb.GetEventStatsResponse:
        counts = await self._store.counts(wire.to_query(request, datetime.now(UTC)))
        return pb.GetEventStatsResponse(
            counts=map(wire.from_count, counts), total=sum(count.count for count in counts)
        )
