"""The identity service's process: settings, store, servicer, server."""

import uvloop

from identity_svc import cache
from identity_svc.adapters.sql_consent import SqlConsentStore
from identity_svc.adapters.sql_erasure import SqlErasureStore
from identity_svc.adapters.sql_groups import SqlGroupStore
from identity_svc.adapters.sql_links import SqlLinkStore
from identity_svc.adapters.sql_merges import SqlMergeStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.adapters.sql_sessions import SqlSessionStore
from identity_svc.adapters.sql_verification import SqlVerificationStore
from identity_svc.cache import IdentityCache
from identity_svc.domain import DOMAIN
from identity_svc.presence import Presence
from identity_svc.servicers.consent import Consents
from identity_svc.servicers.erasure import Erasures
from identity_svc.servicers.groups import Groups
from identity_svc.servicers.links import Links
from identity_svc.servicers.merges import Merges
from identity_svc.servicers.people import People
from identity_svc.servicers.sessions import Sessions
from identity_svc.servicers.verification import Verification
from identity_svc.settings import Settings
from identity_svc.sweeping import Sweeper
from kith.identity.v1 import identity_service_pb2, identity_service_pb2_grpc
from svckit import logs, serve, settings
from svckit.combining import combined
from svckit.listener import NoNotices
from svckit.stores import Store, open_store

SERVICE = identity_service_pb2.DESCRIPTOR.services_by_name["IdentityService"].full_name


def assemble(store: Store, cache_entries: int = cache.DEFAULT_ENTRIES) -> serve.Service:
    """The service over a store."""
    store_of_people = SqlIdentityStore(store.functions)
    notices = store.listen(cache.CHANNEL) if cache_entries else NoNotices()
    identities = IdentityCache(store_of_people, notices, most=cache_entries)
    people = People(store_of_people, Presence(store_of_people), identities)
    erasures = SqlErasureStore(store.functions)
    sessions = SqlSessionStore(store.functions)
    verifications = SqlVerificationStore(store.functions)
    sweeper = Sweeper(sessions, verifications, erasures)
    servicer = combined(
        identity_service_pb2_grpc.IdentityServiceServicer,
        people,
        Links(SqlLinkStore(store.functions), identities),
        Merges(SqlMergeStore(store.functions), identities),
        Consents(SqlConsentStore(store.functions), identities),
        Verification(verifications, identities),
        Groups(SqlGroupStore(store.functions)),
        Sessions(sessions),
        Erasures(erasures, identities),
    )

    async def prepare() -> None:
        await store.prepare()
        sweeper.begin()

    async def drain() -> None:
        await sweeper.drain()
        await people.drain()

    return serve.Service(
        domain=DOMAIN,
        names=[SERVICE],
        add=lambda server: identity_service_pb2_grpc.add_IdentityServiceServicer_to_server(
            servicer, server
        ),
        prepare=prepare,
        check=store.check,
        drain=drain,
    )


async def main() -> None:
    """Serve until told to stop."""
    chosen = settings.load(Settings, "identity")
    logs.configure("identity", chosen.log_level)
    async with open_store(chosen, "identity_svc", "identity") as store:
        await serve.run(assemble(store, chosen.cache_entries), chosen)


if __name__ == "__main__":
    uvloop.run(main())
