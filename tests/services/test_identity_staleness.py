"""The promise of the cache, over real services: nothing is served stale for more than a second,
in any replica, whatever happens to the connection that tells of changes."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from signal import SIGKILL
from typing import Any

import asyncpg
import grpc
import pytest

from identity_svc import cache, metrics
from identity_svc.__main__ import assemble
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import ids
from svckit.listener import NoNotices, Notices, PostgresNotices
from svckit.stores import Store
from tests.support.cluster import Database, administrator
from tests.support.identity import DENIED, GRANTED, Stub, a_request
from tests.support.proxy import Proxy, proxy_to
from tests.support.services import channel_to, running

STALE_SECONDS = 1.0
# What telling takes on a machine that does something else besides; milliseconds if it does not.
TOLD_SECONDS = 0.5

IsFresh = Callable[[pb.Identity], bool]
Disturb = Callable[[], Awaitable[None]]


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Any]:
    async with administrator(database) as connected:
        yield connected


@pytest.fixture
async def proxy(database: Database) -> AsyncIterator[Proxy]:
    """What the listeners of both replicas go through."""
    async with proxy_to(database.url("kith_identity")) as between:
        yield between


@pytest.fixture
async def replicas(database: Database, proxy: Proxy) -> AsyncIterator[list[Stub]]:
    """Two instances of the service, with caches of their own, both told of changes."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(a_replica(database, proxy)) for _ in range(2)]
        yield [stub for stub, _ in opened]


@asynccontextmanager
async def a_replica(database: Database, proxy: Proxy | None) -> AsyncIterator[tuple[Stub, Notices]]:
    """A service whose listener goes through a proxy; without one it has no listener."""
    async with asyncpg.create_pool(database.url("kith_identity"), min_size=0, max_size=2) as pool:

        async def notify(channel: str, payload: str) -> None:
            await pool.execute("SELECT pg_notify($1, $2)", channel, payload)

        listened: list[Notices] = []

        def listen(channel: str, *, table: str | None = None) -> Notices:
            notices = PostgresNotices(proxy.url, channel, notify) if proxy else NoNotices()
            listened.append(notices)
            return notices

        def build(store: Store) -> Any:
            return assemble(replace(store, listen=listen))

        async with (
            running(build, database, "identity") as address,
            channel_to(address) as channel,
        ):
            [notices] = listened
            if isinstance(notices, PostgresNotices):
                async with asyncio.timeout(10):
                    while notices.proved_at < 0:
                        await asyncio.sleep(0.01)
            yield Stub(channel), notices
            if isinstance(notices, PostgresNotices):
                await notices.close()


async def somebody(stub: Stub) -> pb.Identity:
    """Somebody known and confirmed, whose answer may be kept."""
    registered = await stub.RegisterPerson(a_request(consent={"messages": GRANTED}))
    identity = registered.identity
    await stub.ConfirmRegistrations(pb.ConfirmRegistrationsRequest(link_ids=[identity.link_id]))
    return identity


async def resolve(stub: Stub, whom: pb.Identity) -> pb.Identity:
    answer = await stub.ResolveIdentity(
        pb.ResolveIdentityRequest(platform=whom.platform, platform_id=whom.platform_id)
    )
    return answer.identity


async def last_stale(stub: Stub, whom: pb.Identity, is_fresh: IsFresh) -> float:
    """When the last call began that was answered as before; asks without a pause."""
    last = 0.0
    fresh = 0
    async with asyncio.timeout(10):
        while fresh < 20:
            began = time.monotonic()
            try:
                identity = await resolve(stub, whom)
            except grpc.aio.AioRpcError as error:
                # No answer is not a wrong one.
                assert error.code() == grpc.StatusCode.UNAVAILABLE
                await asyncio.sleep(0.01)
                continue
            if is_fresh(identity):
                fresh += 1
            else:
                assert not fresh, "an answer was fresh, and then it was not"
                last = began
    return last


def hits() -> float:
    return metrics.CACHE_LOOKUPS.labels("hit")._value.get()


async def staleness(
    replicas: list[Stub], whom: pb.Identity, change: Disturb, is_fresh: IsFresh,
    disturb: Disturb | None = None,
) -> float:  # fmt: skip
    """For how long after a change was committed some replica has answered as before."""
    for stub in replicas:
        # The second time out of the cache.
        await resolve(stub, whom)
        before = hits()
        await resolve(stub, whom)
        assert hits() == before + 1
    if disturb:
        await disturb()
    asking = [asyncio.create_task(last_stale(stub, whom, is_fresh)) for stub in replicas]
    await asyncio.sleep(0.05)
    await change()
    committed_at = time.monotonic()
    return max(await asyncio.gather(*asking)) - committed_at


def denies(identity: pb.Identity) -> bool:
    return identity.consent.purposes.get("messages") == DENIED


def denying(connection: Any, whom: pb.Identity) -> Disturb:
    async def change() -> None:
        await connection.execute(
            "UPDATE identity.identity_registry SET consent_version = consent_version + 1, "
            'consent_status = \'{"messages": "denied"}\' WHERE person_id = $1',
            whom.person_id,
        )

    return change


async def test_a_decision_is_heard_of_at_once_while_the_listener_lives(replicas, connection):
    whom = await somebody(replicas[0])

    assert await staleness(replicas, whom, denying(connection, whom), denies) < TOLD_SECONDS


async def test_a_link_that_moves_to_somebody_else_is_heard_of_at_once(replicas, connection):
    whom, other = await somebody(replicas[0]), await somebody(replicas[0])

    async def move() -> None:
        async with connection.transaction():
            await connection.execute(
                "UPDATE identity.identity_links SET ended_at = now() WHERE link_id = $1",
                whom.link_id,
            )
            await connection.execute(
                "INSERT INTO identity.identity_links (link_id, person_id, platform, platform_id, "
                "original_platform_id) VALUES ($1, $2, $3, $4, $4)",
                ids.new(), other.person_id, whom.platform, whom.platform_id,
            )  # fmt: skip

    def is_moved(identity: pb.Identity) -> bool:
        return identity.person_id == other.person_id

    assert await staleness(replicas, whom, move, is_moved) < TOLD_SECONDS


async def test_while_the_listener_lives_answers_are_kept_for_longer_than_a_second(
    replicas, connection
):
    [stub, _] = replicas
    # Nobody is told of what happens without triggers: what is answered was not read again.
    await connection.execute("SET session_replication_role = 'replica'")

    async def is_kept() -> bool:
        whom = await somebody(stub)
        await resolve(stub, whom)
        await denying(connection, whom)()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            if denies(await resolve(stub, whom)):
                return False
        return True

    # A machine that is busy elsewhere may be late with a proof.
    async with asyncio.timeout(20):
        while not await is_kept():
            pass


@pytest.mark.parametrize("fault", ["ended", "cut", "hung", "refused"])
async def test_whatever_happens_to_the_listener_nothing_is_stale_for_more_than_a_second(
    fault: str, replicas: list[Stub], connection: Any, proxy: Proxy
):
    whom = await somebody(replicas[0])

    async def disturb() -> None:
        match fault:
            case "ended":
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                    "application_name = 'kith listener' AND datname = current_database()"
                )
            case "cut":
                proxy.cut()
            case "hung":
                proxy.flowing.clear()
            case "refused":
                proxy.refusing = True
                proxy.cut()

    change = denying(connection, whom)
    assert await staleness(replicas, whom, change, denies, disturb) <= STALE_SECONDS


async def test_a_postgres_that_dies_and_comes_back_makes_nothing_stale_for_more_than_a_second(
    database: Database, replicas: list[Stub]
):
    whom = await somebody(replicas[0])

    async def crash() -> None:
        # The connection ends with the server, or when it is closed, whichever is first.
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with administrator(database) as connection:
                await connection.execute("CHECKPOINT")
                # One backend killed takes all along, and the server recovers.
                os.kill(await connection.fetchval("SELECT pg_backend_pid()"), SIGKILL)

    async def change() -> None:
        async with asyncio.timeout(10):
            while True:
                try:
                    async with administrator(database) as connection:
                        return await denying(connection, whom)()
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await asyncio.sleep(0.01)

    assert await staleness(replicas, whom, change, denies, crash) <= STALE_SECONDS


async def test_without_a_listener_nothing_is_stale_for_more_than_a_second(database, connection):
    async with a_replica(database, None) as (stub, _):
        whom = await somebody(stub)
        change = denying(connection, whom)

        assert await staleness([stub], whom, change, denies) <= STALE_SECONDS


async def test_who_changes_something_sees_it_at_once_in_the_same_replica(database):
    # Nobody tells this one.
    async with a_replica(database, None) as (stub, _):
        mia, max_ = await somebody(stub), await somebody(stub)

        async def leads_to() -> str:
            return str((await resolve(stub, mia)).person_id)

        async def shows(call: Awaitable[Any], expected: str) -> None:
            await call
            assert await leads_to() == expected

        proof = pb.LinkIdentityRequest(
            person_id=max_.person_id, platform=mia.platform, platform_id=mia.platform_id,
            verified=True,
        )  # fmt: skip
        both = {"source_person_id": mia.person_id, "target_person_id": max_.person_id}
        parting = pb.UnmergePersonsRequest(source_person_id=mia.person_id)
        denial = pb.SetConsentRequest(person_id=mia.person_id, purposes={"messages": DENIED})
        assert await leads_to() == mia.person_id
        await shows(stub.LinkIdentity(proof), max_.person_id)
        await shows(stub.UnmergePersons(parting), mia.person_id)
        await shows(stub.MergePersons(pb.MergePersonsRequest(**both)), max_.person_id)
        await shows(stub.UnmergePersons(parting), mia.person_id)
        await stub.SetConsent(denial)
        assert denies(await resolve(stub, mia))
        await stub.StartErasure(pb.StartErasureRequest(person_id=mia.person_id))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await resolve(stub, mia)
        assert raised.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_decision_with_a_registration_is_seen_at_once_by_who_asks_there(replicas):
    [stub, _] = replicas
    registered = await stub.RegisterPerson(a_request())
    whom = registered.identity
    await stub.ConfirmRegistrations(pb.ConfirmRegistrationsRequest(link_ids=[whom.link_id]))
    for _ in range(20):
        await resolve(stub, whom)
        again = await stub.RegisterPerson(a_request(whom.platform_id, consent={ids.new(): GRANTED}))
        found = await resolve(stub, whom)
        assert found.consent.version >= again.identity.consent.version


async def test_batches_are_answered_out_of_the_cache_too_and_in_order(replicas):
    [stub, _] = replicas
    people = [await somebody(stub) for _ in range(3)]
    await resolve(stub, people[1])
    asked = [people[0], people[1], pb.Identity(platform="discord", platform_id="nobody"), people[2]]
    request = pb.BatchResolveIdentitiesRequest(
        requests=[
            pb.ResolveIdentityRequest(platform=one.platform, platform_id=one.platform_id)
            for one in asked
        ]
    )
    for known in (1, 3):
        before = hits()
        answer = await stub.BatchResolveIdentities(request)

        found = [result.response.identity.person_id for result in answer.results]
        assert found == [people[0].person_id, people[1].person_id, "", people[2].person_id]
        assert answer.results[2].HasField("error")
        assert hits() == before + known


async def test_a_service_told_to_keep_nothing_asks_each_time(database):
    async with (
        running(lambda store: assemble(store, 0), database, "identity") as address,
        channel_to(address) as channel,
    ):
        stub = Stub(channel)
        whom = await somebody(stub)
        before = hits()
        for _ in range(3):
            await resolve(stub, whom)

        assert hits() == before
        assert cache.CHANNEL not in str(asyncio.all_tasks())
