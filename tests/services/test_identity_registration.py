"""Registering people over a real channel: once, however many ask."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf import timestamp_pb2

from kith.identity.v1 import identity_service_pb2 as pb
from svckit import ids
from tests.support.cluster import Database, administrator
from tests.support.identity import DENIED, GRANTED, UNSET, Stub, a_request, identity_service
from tests.support.refusals import Refusal


@pytest.fixture
async def identity(database: Database) -> AsyncIterator[Stub]:
    async with identity_service(database) as stub:
        yield stub


async def test_somebody_unknown_is_created_and_then_known(identity):
    first = await identity.RegisterPerson(a_request("mia", consent={"messages": GRANTED}))
    again = await identity.RegisterPerson(a_request("mia"))

    assert (first.created, again.created) == (True, False)
    assert again.identity == first.identity
    assert ids.is_uuid(first.identity.person_id)
    assert ids.is_uuid(first.identity.link_id)
    assert first.identity.registration_pending
    assert first.identity.consent.purposes == {"messages": GRANTED}
    assert first.identity.consent.version == 1


async def test_every_spelling_of_an_id_is_one_person(identity):
    spellings = ["@MiaLind", "mialind", "  MIALIND\n"]

    answers = [
        await identity.RegisterPerson(a_request(spelling, platform=platform))
        for spelling, platform in zip(spellings, ["Telegram", "telegram", "TELEGRAM"], strict=True)
    ]

    assert [answer.created for answer in answers] == [True, False, False]
    assert {answer.identity.person_id for answer in answers} == {answers[0].identity.person_id}
    assert (answers[0].identity.platform, answers[0].identity.platform_id) == (
        "telegram", "mialind"
    )  # fmt: skip
    [link] = (
        await identity.ListLinks(pb.ListLinksRequest(person_id=answers[0].identity.person_id))
    ).links
    assert link.original_platform_id == "@MiaLind"


async def test_64_callers_of_two_instances_make_one_person(database):
    async with identity_service(database) as one, identity_service(database) as two:
        answers = await asyncio.gather(
            *(
                (one if number % 2 else two).RegisterPerson(
                    a_request("mia", consent={f"purpose-{number % 8}": GRANTED})
                )
                for number in range(64)
            )
        )

    assert sum(answer.created for answer in answers) == 1
    assert len({answer.identity.person_id for answer in answers}) == 1
    assert len({answer.identity.link_id for answer in answers}) == 1
    async with administrator(database) as admin:
        assert await admin.fetchval("SELECT count(*) FROM identity.identity_registry") == 1
        assert await admin.fetchval("SELECT count(*) FROM identity.identity_links") == 1
        assert await admin.fetchval("SELECT count(*) FROM identity.consent_history") == 8


async def test_crossing_batches_of_two_instances_make_each_person_once(database):
    names = [f"id-{number}" for number in range(100)]

    async with identity_service(database) as one, identity_service(database) as two:
        answers = await asyncio.gather(
            *(
                stub.BatchRegisterPersons(
                    pb.BatchRegisterPersonsRequest(requests=map(a_request, order))
                )
                for order in (names, names[::-1], names[50:] + names[:50])
                for stub in (one, two)
            )
        )

    results = [result.response for answer in answers for result in answer.results]
    assert len(results) == 600
    assert sum(result.created for result in results) == 100
    assert len({result.identity.person_id for result in results}) == 100


async def test_a_batch_answers_each_request_in_its_place(identity):
    requests = [
        a_request("mia", metadata={"name": "Mia"}),
        a_request(""),
        a_request("mia"),
        a_request("max", platform="no such platform!"),
        a_request("max"),
    ]

    results = (
        await identity.BatchRegisterPersons(pb.BatchRegisterPersonsRequest(requests=requests))
    ).results

    outcomes = [result.WhichOneof("outcome") for result in results]
    assert outcomes == ["response", "error", "response", "error", "response"]
    assert [results[at].response.created for at in (0, 2, 4)] == [True, False, True]
    refusals = [Refusal.of(results[at].error) for at in (1, 3)]
    assert [refusal.code for refusal in refusals] == [grpc.StatusCode.INVALID_ARGUMENT] * 2
    assert [refusal.reason for refusal in refusals] == ["INVALID_ARGUMENT"] * 2
    assert [refusal.fields for refusal in refusals] == [["platform_id"], ["platform"]]


async def test_a_batch_may_be_as_large_as_promised(identity):
    names = [f"id-{number % 500}" for number in range(1000)]

    results = (
        await identity.BatchRegisterPersons(
            pb.BatchRegisterPersonsRequest(requests=map(a_request, names))
        )
    ).results

    assert [result.response.created for result in results] == [True] * 500 + [False] * 500
    assert [result.response.identity.platform_id for result in results] == names


async def test_metadata_is_kept_at_creation_and_ignored_later(identity):
    first = await identity.RegisterPerson(
        a_request("mia", metadata={"name": "Mia", "none": None, "list": [1, {}, []]})
    )
    await identity.RegisterPerson(a_request("mia", metadata={"name": "Max"}))

    answer = await identity.GetPerson(pb.GetPersonRequest(person_id=first.identity.person_id))

    assert answer.person.metadata["name"] == "Mia"
    assert answer.person.metadata["none"] is None
    assert [*answer.person.metadata["list"]][:1] == [1]


async def test_a_retry_fills_consent_and_reverts_nothing(identity):
    await identity.RegisterPerson(a_request("mia", consent={"messages": DENIED}))

    again = await identity.RegisterPerson(
        a_request("mia", consent={"messages": GRANTED, "knowledge": GRANTED})
    )

    assert again.identity.consent.purposes == {"messages": DENIED, "knowledge": GRANTED}
    assert again.identity.consent.version == 2


async def test_consent_given_as_unset_stores_nothing(identity):
    first = await identity.RegisterPerson(a_request("mia", consent={"messages": UNSET, "news": 0}))
    again = await identity.RegisterPerson(a_request("mia", consent={"messages": GRANTED}))

    assert not first.identity.consent.purposes
    assert first.identity.consent.version == 0
    assert again.identity.consent.purposes == {"messages": GRANTED}


async def test_a_registration_is_pending_until_confirmed(identity):
    mia = (await identity.RegisterPerson(a_request("mia"))).identity
    max_ = (await identity.RegisterPerson(a_request("max"))).identity

    for _ in range(2):
        await identity.ConfirmRegistrations(
            pb.ConfirmRegistrationsRequest(link_ids=[mia.link_id, ids.new()])
        )

    pending = await identity.ListPendingRegistrations(pb.ListPendingRegistrationsRequest())
    assert [link.link_id for link in pending.links] == [max_.link_id]
    assert pending.next_page_token == ""
    assert not (await identity.RegisterPerson(a_request("mia"))).identity.registration_pending
    assert (await identity.RegisterPerson(a_request("max"))).identity.registration_pending


async def test_pending_registrations_come_in_pages_oldest_first(identity):
    made = [(await identity.RegisterPerson(a_request())).identity.link_id for _ in range(5)]

    found, token = [], ""
    while True:
        page = await identity.ListPendingRegistrations(
            pb.ListPendingRegistrationsRequest(page_size=2, page_token=token)
        )
        found += [link.link_id for link in page.links]
        token = page.next_page_token
        if not token:
            break
        assert len(page.links) == 2

    assert found == made


async def test_pending_registrations_can_be_limited_to_older_ones(identity):
    old = await identity.RegisterPerson(a_request())
    link = (await identity.ListPendingRegistrations(pb.ListPendingRegistrationsRequest())).links[0]
    just_after = timestamp_pb2.Timestamp(
        seconds=link.created_at.seconds, nanos=link.created_at.nanos + 1000
    )
    await identity.RegisterPerson(a_request())

    before = await identity.ListPendingRegistrations(
        pb.ListPendingRegistrationsRequest(created_before=link.created_at)
    )
    after = await identity.ListPendingRegistrations(
        pb.ListPendingRegistrationsRequest(created_before=just_after)
    )

    assert not before.links
    assert [found.link_id for found in after.links] == [old.identity.link_id]
