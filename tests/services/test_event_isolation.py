"""What one caller's trouble does to others, and the database's to the service."""

import asyncio

import asyncpg
import grpc
import pytest

from event_svc.__main__ import assemble
from kith.event.v1 import event_service_pb2 as pb
from svckit import migrate, serve
from svckit.addresses import Bind
from tests.support.cluster import administrator
from tests.support.events import Stub, a_message, event_service, log_one
from tests.support.refusals import Refusal, refusal_of
from tests.support.services import channel_to, running, store_of

# Fails for one content, as data that the store refuses would.
POISON = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.content ? 'poison' THEN RAISE EXCEPTION USING ERRCODE = '22000'; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON event.event_log
    FOR EACH ROW EXECUTE FUNCTION public.refuse()"""


async def test_a_poisoned_event_fails_alone_among_those_it_was_batched_with(database):
    async with administrator(database) as admin:
        await admin.execute(POISON)
    contents = [{"text": "fine"}] * 80
    contents[40] = {"poison": True}

    async with event_service(database) as events:
        answers = await asyncio.gather(
            *(log_one(events, content=content) for content in contents), return_exceptions=True
        )

    failed = [n for n, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert failed == [40]
    assert answers[40].code() is grpc.StatusCode.INVALID_ARGUMENT
    positions = sorted(answer.position for n, answer in enumerate(answers) if n != 40)
    assert positions == list(range(1, 80))


async def test_a_poisoned_request_of_a_batch_fails_alone_and_the_order_stays(database):
    async with administrator(database) as admin:
        await admin.execute(POISON)
    request = pb.BatchLogEventsRequest()
    for n in range(20):
        request.requests.add(
            events=[a_message(), a_message(content={"poison": 1} if n == 7 else {})]
        )

    async with event_service(database) as events:
        results = (await events.BatchLogEvents(request)).results

    assert Refusal.of(results[7].error).reason == "INVALID_ARGUMENT"
    places = [place.position for result in results for place in result.response.events]
    assert places == list(range(1, 39))


async def test_what_the_store_says_stays_in_the_log(database):
    async with administrator(database) as admin:
        await admin.execute(POISON.replace("'22000'", "'XX001', MESSAGE = 'table event_ids'"))

    async with event_service(database) as events:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await log_one(events, content={"poison": 1})

    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert "event_ids" not in f"{raised.value.details()} {raised.value.trailing_metadata()}"


async def test_a_service_without_its_schema_says_so_and_works_once_it_is_there(database):
    async with administrator(database) as admin:
        await admin.execute("DROP SCHEMA event CASCADE")

    async with running(assemble, database, "event") as address, channel_to(address) as channel:
        events = Stub(channel)
        batch = await events.BatchLogEvents(
            pb.BatchLogEventsRequest(
                requests=[pb.LogEventsRequest(events=[a_message()]), pb.LogEventsRequest()]
            )
        )
        refusals = [
            await refusal_of(log_one(events)),
            await refusal_of(events.ListEvents(pb.ListEventsRequest())),
            Refusal.of(batch.results[0].error),
        ]
        await migrate.migrate(database.url(), "event_svc", "event")
        place = await log_one(events)

    assert {refusal.reason for refusal in refusals} == {"STORE_UNAVAILABLE"}
    assert Refusal.of(batch.results[1].error).reason == "INVALID_ARGUMENT"
    assert place.position == 1


async def test_what_was_taken_on_is_logged_before_the_service_stops(database):
    async with store_of(database, "event") as store:
        service = await serve.start(assemble(store), Bind("127.0.0.1", 0))
        async with channel_to(str(service.address)) as channel:
            events = Stub(channel)
            await log_one(events)
            calls = [asyncio.create_task(log_one(events)) for _ in range(50)]
            async with administrator(database) as admin:
                while not await admin.fetchval("SELECT position > 1 FROM event.log_head"):
                    await asyncio.sleep(0)
                await service.stop()
                answers = await asyncio.gather(*calls, return_exceptions=True)
                stored = await admin.fetchval("SELECT count(*) FROM event.event_log")

    answered = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert stored >= 1 + len(answered)
    assert answered


async def test_the_login_role_reaches_functions_and_nothing_else(database):
    async with event_service(database) as events:
        await log_one(events)
    connection = await asyncpg.connect(database.url("kith_event"))
    try:
        schemas = await connection.fetch(
            """SELECT nspname FROM pg_namespace
               WHERE has_schema_privilege(oid, 'USAGE, CREATE')
                 AND nspname !~ '^pg_'
                 AND nspname NOT IN ('information_schema', 'public', 'extensions')"""
        )
        partition = await connection.fetchval(
            "SELECT to_char(now() AT TIME ZONE 'UTC', '\"event_log_\"YYYYMMDD')"
        )
        for table in ("event_log", partition, "event_ids", "log_head", "partitions", "cursors"):
            for statement in ("SELECT FROM", "DELETE FROM", "TRUNCATE"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(f"{statement} event.{table}")
        # Parts of functions do nothing on their own.
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT event.make_partition('2001-01-01')")
        for neighbour in ("identity", "knowledge"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT {neighbour}.schema_version()")
    finally:
        await connection.close()

    assert [row["nspname"] for row in schemas] == ["event"]


async def test_the_public_may_execute_nothing(database):
    async with administrator(database) as admin:
        open_to_all = await admin.fetch(
            """SELECT p.proname FROM pg_proc p
               WHERE p.pronamespace = 'event'::regnamespace
                 AND has_function_privilege('public', p.oid, 'EXECUTE')"""
        )
        unprotected = await admin.fetch(
            """SELECT relname FROM pg_class
               WHERE relnamespace = 'event'::regnamespace AND relkind IN ('r', 'p')
                 AND NOT relrowsecurity"""
        )

    assert (open_to_all, unprotected) == ([], [])
