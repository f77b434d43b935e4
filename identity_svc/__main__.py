"""The identity service's process: settings, store, servicer, server."""

import asyncio

from identity_svc.adapters.sql_consent import SqlConsentStore
from identity_svc.adapters.sql_links import SqlLinkStore
from identity_svc.adapters.sql_merges import SqlMergeStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.domain import DOMAIN
from identity_svc.presence import Presence
from identity_svc.servicers.consent import Consents
from identity_svc.servicers.links import Links
from identity_svc.servicers.merges import Merges
from identity_svc.servicers.people import People
from identity_svc.settings import Settings
from kith.identity.v1 import identity_service_pb2, identity_service_pb2_grpc
from svckit import logs, serve, settings
from svckit.combining import combined
from svckit.stores import Store, open_store

SERVICE = identity_service_pb2.DESCRIPTOR.services_by_name["IdentityService"].full_name


def assemble(store: Store) -> serve.Service:
    """The service over a store."""
    store_of_people = SqlIdentityStore(store.functions)
    people = People(store_of_people, Presence(store_of_people))
    servicer = combined(
        identity_service_pb2_grpc.IdentityServiceServicer,
        people,
        Links(SqlLinkStore(store.functions)),
        Merges(SqlMergeStore(store.functions)),
        Consents(SqlConsentStore(store.functions)),
    )
    return serve.Service(
        domain=DOMAIN,
        names=[SERVICE],
        add=lambda server: identity_service_pb2_grpc.add_IdentityServiceServicer_to_server(
            servicer, server
        ),
        prepare=store.prepare,
        check=store.check,
        drain=people.drain,
    )


async def main() -> None:
    """Serve until told to stop."""
    chosen = settings.load(Settings, "identity")
    logs.configure("identity", chosen.log_level)
    async with open_store(chosen, "identity_svc", "identity") as store:
        await serve.run(assemble(store), chosen)


if __name__ == "__main__":
    asyncio.run(main())
