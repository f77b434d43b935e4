"""What one caller's trouble does to others, and the database's to the service."""

import asyncio

import asyncpg
import grpc
import pytest

from identity_svc.__main__ import assemble
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import migrate
from tests.support.cluster import Database, administrator
from tests.support.identity import Stub, a_request, identity_service
from tests.support.refusals import Refusal, refusal_of
from tests.support.services import channel_to, running

# Fails for one platform id, as data that the store refuses would.
POISON = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.platform_id = 'poison' THEN RAISE EXCEPTION USING ERRCODE = '22000'; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON identity.identity_links
    FOR EACH ROW EXECUTE FUNCTION public.refuse()"""


async def test_a_poisoned_request_fails_alone_among_those_it_was_batched_with(database):
    async with administrator(database) as admin:
        await admin.execute(POISON)

    async with identity_service(database) as identity:
        names = [*(f"id-{n}" for n in range(40)), "poison", *(f"id-{n}" for n in range(40, 80))]
        answers = await asyncio.gather(
            *(identity.RegisterPerson(a_request(name)) for name in names), return_exceptions=True
        )
        batch = await identity.BatchRegisterPersons(
            pb.BatchRegisterPersonsRequest(requests=map(a_request, ["x", "poison", "y"]))
        )

    failed = [
        name
        for name, answer in zip(names, answers, strict=True)
        if isinstance(answer, BaseException)
    ]
    assert failed == ["poison"]
    assert answers[40].code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sum(answer.created for answer in answers if not isinstance(answer, BaseException)) == 80
    assert [result.WhichOneof("outcome") for result in batch.results] == [
        "response", "error", "response"
    ]  # fmt: skip
    assert Refusal.of(batch.results[1].error).reason == "INVALID_ARGUMENT"


async def test_what_the_store_says_stays_in_the_log(database):
    async with administrator(database) as admin:
        await admin.execute(POISON.replace("'22000'", "'XX001', MESSAGE = 'table identity_links'"))

    async with identity_service(database) as identity:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await identity.RegisterPerson(a_request("poison"))

    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert "identity_links" not in f"{raised.value.details()} {raised.value.trailing_metadata()}"


async def test_a_service_without_its_schema_says_so_and_works_once_it_is_there(
    database: Database,
):
    async with administrator(database) as admin:
        await admin.execute("DROP SCHEMA identity CASCADE")

    async with running(assemble, database, "identity") as address, channel_to(address) as channel:
        identity = Stub(channel)
        refusals = [
            await refusal_of(identity.RegisterPerson(a_request("mia"))),
            await refusal_of(
                identity.ResolveIdentity(
                    pb.ResolveIdentityRequest(platform="web", platform_id="mia")
                )
            ),
        ]
        await migrate.migrate(database.url(), "identity_svc", "identity")
        answer = await identity.RegisterPerson(a_request("mia"))

    for refusal in refusals:
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        assert refusal.reason == "STORE_UNAVAILABLE"
    assert answer.created


async def test_each_failure_of_an_unavailable_store_stands_in_its_place_in_a_batch(database):
    async with administrator(database) as admin:
        await admin.execute("DROP SCHEMA identity CASCADE")

    async with identity_service(database) as identity:
        batch = await identity.BatchRegisterPersons(
            pb.BatchRegisterPersonsRequest(requests=[a_request("mia"), a_request("")])
        )

    assert [Refusal.of(result.error).reason for result in batch.results] == [
        "STORE_UNAVAILABLE", "INVALID_ARGUMENT"
    ]  # fmt: skip


async def test_the_login_role_reaches_functions_and_nothing_else(database):
    connection = await asyncpg.connect(database.url("kith_identity"))
    try:
        schemas = await connection.fetch(
            """SELECT nspname FROM pg_namespace
               WHERE has_schema_privilege(oid, 'USAGE, CREATE')
                 AND nspname !~ '^pg_'
                 AND nspname NOT IN ('information_schema', 'public', 'extensions')"""
        )
        for table in ("identity_registry", "identity_links", "consent_history"):
            for statement in ("SELECT FROM", "DELETE FROM", "TRUNCATE"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(f"{statement} identity.{table}")
        for view in ("persons", "identities"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT FROM identity.{view}")
        # Parts of functions do nothing on their own.
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                """SELECT identity.fill_consents('[{"consent": {"a": "granted"}}]')"""
            )
    finally:
        await connection.close()

    assert [row["nspname"] for row in schemas] == ["identity"]
