"""The event service's process: settings, store, servicer, server."""

import asyncio

from event_svc.adapters.sql_log import SqlCursorStore, SqlEventStore
from event_svc.adapters.sql_projections import SqlProjectionStore
from event_svc.adapters.sql_redaction import SqlRedactionStore
from event_svc.adapters.sql_retention import SqlDayStore
from event_svc.adapters.sql_search import SqlSearchStore
from event_svc.adapters.sql_stats import SqlStatsStore
from event_svc.backfill import Backfill
from event_svc.domain import DOMAIN
from event_svc.intake import Intake
from event_svc.partitions import Partitions
from event_svc.retention import Retention as Keeper
from event_svc.servicers.export import Export
from event_svc.servicers.log import Log
from event_svc.servicers.projections import Projections
from event_svc.servicers.redaction import Redaction
from event_svc.servicers.retention import Retention
from event_svc.servicers.search import Search
from event_svc.servicers.stats import Stats
from event_svc.settings import Settings
from kith.event.v1 import event_service_pb2, event_service_pb2_grpc
from svckit import logs, serve, settings
from svckit.combining import combined
from svckit.stores import Store, open_store

SERVICE = event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name


def assemble(store: Store, retention_days: int | None = None) -> serve.Service:
    """The service over a store, which keeps so many days before today, or all."""
    events = SqlEventStore(store.functions)
    days = SqlDayStore(store.functions)
    partitions = Partitions(events, days, retention_days=retention_days)
    intake = Intake(events)
    projections = SqlProjectionStore(store.functions)
    backfill = Backfill(projections)
    servicer = combined(
        event_service_pb2_grpc.EventServiceServicer,
        Log(events, SqlCursorStore(store.functions), intake),
        Redaction(SqlRedactionStore(store.functions)),
        Projections(projections, backfill),
        Export(events),
        Search(SqlSearchStore(store.functions)),
        Stats(SqlStatsStore(store.functions)),
        Retention(Keeper(days)),
    )

    async def prepare() -> None:
        await store.prepare()
        await partitions.keep()
        backfill.start()

    async def drain() -> None:
        await backfill.drain()
        await partitions.drain()
        await intake.drain()

    return serve.Service(
        domain=DOMAIN,
        names=[SERVICE],
        add=lambda server: event_service_pb2_grpc.add_EventServiceServicer_to_server(
            servicer, server
        ),
        prepare=prepare,
        check=store.check,
        drain=drain,
    )


async def main() -> None:
    """Serve until told to stop."""
    chosen = settings.load(Settings, "event")
    logs.configure("event", chosen.log_level)
    async with open_store(chosen, "event_svc", "event") as store:
        await serve.run(assemble(store, chosen.retention_days), chosen)


if __name__ == "__main__":
    asyncio.run(main())
