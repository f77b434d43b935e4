"""Resolving accounts over a real channel, and what it records about who was seen."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import person_pb2
from tests.support.cluster import Database, administrator
from tests.support.identity import GRANTED, Stub, a_request, identity_service
from tests.support.refusals import Refusal, refusal_of


@pytest.fixture
async def identity(database: Database) -> AsyncIterator[Stub]:
    async with identity_service(database) as stub:
        yield stub


def the_question(platform_id: str, platform: str = "discord") -> pb.ResolveIdentityRequest:
    return pb.ResolveIdentityRequest(platform=platform, platform_id=platform_id)


async def get(identity: Stub, person_id: str) -> person_pb2.Person:
    person: person_pb2.Person = (
        await identity.GetPerson(pb.GetPersonRequest(person_id=person_id))
    ).person
    return person


async def test_an_account_resolves_to_what_registration_answered(identity):
    mia = await identity.RegisterPerson(
        a_request("@Mia", platform="telegram", consent={"messages": GRANTED})
    )

    answers = [
        await identity.ResolveIdentity(the_question(spelling, "Telegram"))
        for spelling in ("@Mia", "mia", " MIA ")
    ]

    assert [answer.identity for answer in answers] == [mia.identity] * 3


async def test_an_unknown_account_is_not_found(identity):
    await identity.RegisterPerson(a_request("Mia"))

    refusal = await refusal_of(identity.ResolveIdentity(the_question("mia")))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "LINK_NOT_FOUND")
    assert refusal.metadata == {"platform": "discord", "platform_id": "mia"}


async def test_a_batch_answers_each_question_in_its_place(identity):
    mia = (await identity.RegisterPerson(a_request("mia"))).identity

    results = (
        await identity.BatchResolveIdentities(
            pb.BatchResolveIdentitiesRequest(
                requests=map(the_question, ["nobody", "mia", "", "mia", "x\ty"])
            )
        )
    ).results

    assert [results[at].response.identity for at in (1, 3)] == [mia, mia]
    refusals = [Refusal.of(results[at].error) for at in (0, 2, 4)]
    assert [refusal.reason for refusal in refusals] == [
        "LINK_NOT_FOUND", "INVALID_ARGUMENT", "INVALID_ARGUMENT"
    ]  # fmt: skip
    assert [refusal.fields for refusal in refusals[1:]] == [["platform_id"]] * 2


async def test_a_thousand_questions_are_answered_in_order(identity):
    names = [f"id-{number}" for number in range(1000)]
    await identity.BatchRegisterPersons(
        pb.BatchRegisterPersonsRequest(requests=map(a_request, names))
    )

    results = (
        await identity.BatchResolveIdentities(
            pb.BatchResolveIdentitiesRequest(requests=map(the_question, reversed(names)))
        )
    ).results

    assert [result.response.identity.platform_id for result in results] == names[::-1]


async def test_many_callers_at_once_each_get_their_own_answer(identity):
    names = [f"id-{number}" for number in range(200)]
    await identity.BatchRegisterPersons(
        pb.BatchRegisterPersonsRequest(requests=map(a_request, names))
    )

    answers = await asyncio.gather(
        *(identity.ResolveIdentity(the_question(name)) for name in names)
    )

    assert [answer.identity.platform_id for answer in answers] == names


async def test_resolving_records_when_somebody_was_seen(identity):
    mia = (await identity.RegisterPerson(a_request("mia"))).identity
    assert not (await get(identity, mia.person_id)).HasField("last_seen_at")

    await identity.ResolveIdentity(the_question("mia"))

    async with asyncio.timeout(10):
        while not (person := await get(identity, mia.person_id)).HasField("last_seen_at"):
            await asyncio.sleep(0.01)
    assert person.last_seen_at.ToNanoseconds() >= person.created_at.ToNanoseconds()


async def test_who_was_seen_is_written_when_the_service_stops(database):
    async with identity_service(database) as identity:
        # The second is noted while the first is being written, and waits its turn.
        for name in ("mia", "max"):
            await identity.RegisterPerson(a_request(name))
            await identity.ResolveIdentity(the_question(name))

    async with administrator(database) as admin:
        assert await admin.fetchval(
            "SELECT count(*) FROM identity.identity_registry WHERE last_seen_at IS NOT NULL"
        ) == 2  # fmt: skip


async def test_a_hot_person_is_written_once(database):
    async with administrator(database) as admin:
        await admin.execute(
            """CREATE TABLE public.writes (at timestamptz);
               CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
               'BEGIN INSERT INTO public.writes VALUES (now()); RETURN NULL; END';
               CREATE TRIGGER note AFTER UPDATE ON identity.identity_registry
               FOR EACH ROW EXECUTE FUNCTION public.note()"""
        )
        async with identity_service(database) as one, identity_service(database) as two:
            await one.RegisterPerson(a_request("mia"))
            for _ in range(20):
                await asyncio.gather(
                    *(stub.ResolveIdentity(the_question("mia")) for stub in (one, two) * 4)
                )

        assert await admin.fetchval("SELECT count(*) FROM public.writes") == 1


async def test_a_locked_person_is_resolved_all_the_same(database, identity):
    await identity.RegisterPerson(a_request("mia"))

    async with administrator(database) as admin, admin.transaction():
        await admin.execute("SELECT FROM identity.identity_registry FOR UPDATE")
        for _ in range(3):
            answer = await identity.ResolveIdentity(the_question("mia"), timeout=5)

    assert answer.identity.platform_id == "mia"
