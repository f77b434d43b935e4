"""The event service's process: settings, store, servicers, workers, server."""

import uvloop

from event_svc.adapters.sql_cursors import SqlCursorStore
from event_svc.adapters.sql_log import SqlEventStore
from event_svc.adapters.sql_projections import SqlProjectionStore
from event_svc.adapters.sql_redaction import SqlRedactionStore
from event_svc.adapters.sql_retention import SqlDayStore
from event_svc.adapters.sql_search import SqlSearchStore
from event_svc.adapters.sql_stats import SqlStatsStore
from event_svc.adapters.sql_subscriptions import SqlLogHistory
from event_svc.backfill import Backfill
from event_svc.domain import DOMAIN
from event_svc.intake import Intake
from event_svc.log_reader import LogReader
from event_svc.partitions import Partitions
from event_svc.retention import Retention as Keeper
from event_svc.servicers import subscriptions
from event_svc.servicers.cursors import Cursors
from event_svc.servicers.export import Export
from event_svc.servicers.ingest import Ingest
from event_svc.servicers.log import Log
from event_svc.servicers.projections import Projections
from event_svc.servicers.redaction import Redaction
from event_svc.servicers.retention import Retention
from event_svc.servicers.search import Search
from event_svc.servicers.stats import Stats
from event_svc.settings import Settings
from event_svc.subscriptions import HEARTBEAT_SECONDS, Subscriptions
from event_svc.wire.subscriptions import shown
from kith.event.v1 import event_service_pb2, event_service_pb2_grpc
from svckit import logs, serve, settings
from svckit.combining import combined
from svckit.stores import Store, open_store

SERVICE = event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name


def assemble(
    store: Store, *, retention_days: int | None = None, heartbeat: float = HEARTBEAT_SECONDS
) -> serve.Service:
    """The service over a store.

    It keeps so many days before today, or all; idle subscribers hear of it every `heartbeat`
    seconds.
    """
    events = SqlEventStore(store.functions)
    days = SqlDayStore(store.functions)
    projections = SqlProjectionStore(store.functions)
    history = SqlLogHistory(store.functions)

    intake = Intake(events)
    partitions = Partitions(events, days, retention_days=retention_days)
    backfill = Backfill(projections)
    wake_ups = store.listen("kith_event_log", table="log_head")
    reader = LogReader(history, wake_ups, shown)
    followers = Subscriptions(history, reader, shown, heartbeat=heartbeat)

    ingest = Ingest(intake)
    servicer = combined(
        event_service_pb2_grpc.EventServiceServicer,
        Log(events, history, intake),
        ingest,
        Search(SqlSearchStore(store.functions)),
        Stats(SqlStatsStore(store.functions)),
        subscriptions.Subscriptions(followers),
        Cursors(SqlCursorStore(store.functions)),
        Projections(projections, backfill),
        Redaction(SqlRedactionStore(store.functions)),
        Export(events),
        Retention(Keeper(days)),
    )

    async def prepare() -> None:
        await store.prepare()
        await partitions.keep()
        backfill.start()

    async def drain() -> None:
        await followers.drain()
        await backfill.drain()
        await partitions.drain()
        await intake.drain()

    def end_streams() -> None:
        ingest.end()
        followers.end()

    return serve.Service(
        domain=DOMAIN,
        names=[SERVICE],
        add=lambda server: event_service_pb2_grpc.add_EventServiceServicer_to_server(
            servicer, server
        ),
        prepare=prepare,
        check=store.check,
        drain=drain,
        end_streams=end_streams,
    )


async def main() -> None:
    """Serve until told to stop."""
    chosen = settings.load(Settings, "event")
    logs.configure("event", chosen.log_level)
    async with open_store(chosen, "event_svc", "event") as store:
        service = assemble(
            store, retention_days=chosen.retention_days, heartbeat=chosen.heartbeat_seconds
        )
        await serve.run(service, chosen)


if __name__ == "__main__":
    uvloop.run(main())
