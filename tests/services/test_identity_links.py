"""Linking one more account to a person, over a real channel."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from kith.identity.v1 import identity_service_pb2 as pb
from tests.support.cluster import Database, administrator
from tests.support.identity import Stub, a_request, identity_service
from tests.support.refusals import refusal_of


@pytest.fixture
async def identity(database: Database) -> AsyncIterator[Stub]:
    async with identity_service(database) as stub:
        yield stub


async def somebody(identity: Stub, platform_id: str | None = None) -> str:
    """The id of a person."""
    answer = await identity.RegisterPerson(a_request(platform_id))
    return str(answer.identity.person_id)


def a_link(person_id: str, platform_id: str, **changes: object) -> pb.LinkIdentityRequest:
    return pb.LinkIdentityRequest(
        **{"person_id": person_id, "platform": "telegram", "platform_id": platform_id, **changes}
    )


async def test_a_linked_account_leads_to_the_person(identity):
    mia = await somebody(identity)

    made = await identity.LinkIdentity(a_link(mia, "@Mia"))
    resolved = await identity.ResolveIdentity(
        pb.ResolveIdentityRequest(platform="telegram", platform_id="MIA")
    )

    assert made.created
    assert (made.link.platform_id, made.link.original_platform_id) == ("mia", "@Mia")
    assert not made.link.verified
    assert not made.link.registration_pending
    assert not made.link.HasField("ended_at")
    assert (resolved.identity.person_id, resolved.identity.link_id) == (mia, made.link.link_id)
    assert not resolved.identity.registration_pending


async def test_linking_again_answers_the_link_that_is_there(identity):
    mia = await somebody(identity)

    answers = [
        await identity.LinkIdentity(a_link(mia, spelling, verified=verified))
        for spelling, verified in (("@Mia", False), ("mia", True), ("MIA", False))
    ]

    assert [answer.created for answer in answers] == [True, False, False]
    assert [answer.link.verified for answer in answers] == [False, True, True]
    assert {answer.link.link_id for answer in answers} == {answers[0].link.link_id}
    assert {answer.link.original_platform_id for answer in answers} == {"@Mia"}


async def test_an_account_of_somebody_else_is_taken_without_a_hint_of_whose(identity):
    mia, max_ = await somebody(identity), await somebody(identity)
    held = await identity.LinkIdentity(a_link(mia, "wanted"))

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await identity.LinkIdentity(a_link(max_, "@Wanted"))
    refusal = await refusal_of(identity.LinkIdentity(a_link(max_, "@Wanted")))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "LINK_TAKEN")
    assert refusal.metadata == {"platform": "telegram", "platform_id": "wanted"}
    told = f"{raised.value.details()} {raised.value.trailing_metadata()}"
    assert mia not in told
    assert held.link.link_id not in told


async def test_proof_brings_the_past_of_an_account_along(identity):
    mia = await somebody(identity)
    held = (await identity.RegisterPerson(a_request("wanted", platform="telegram"))).identity

    linked = await identity.LinkIdentity(
        a_link(mia, "@Wanted", verified=True, verification_method="oauth")
    )
    again = await identity.LinkIdentity(a_link(mia, "@Wanted", verified=True))

    assert not linked.created
    assert (linked.link.link_id, linked.link.person_id) == (held.link_id, held.person_id)
    assert (linked.link.verified, linked.link.verification_method) == (True, "oauth")
    assert linked.link.HasField("verified_at")
    assert (linked.merge.source_person_id, linked.merge.target_person_id) == (held.person_id, mia)
    assert linked.merge.reason == "link"
    assert again.link == linked.link
    assert not again.HasField("merge")
    person = (await identity.GetPerson(pb.GetPersonRequest(person_id=held.person_id))).person
    assert person.person_id == mia
    assert list(person.subject_ids)[-2:] == [held.person_id, held.link_id]


async def test_who_was_created_is_not_taken_over_and_nobody_learns_that_they_were(identity):
    mia = await somebody(identity)
    other = (await identity.CreatePerson(pb.CreatePersonRequest())).person.person_id
    await identity.LinkIdentity(a_link(other, "wanted"))

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await identity.LinkIdentity(a_link(mia, "wanted", verified=True))

    assert raised.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert other not in f"{raised.value.details()} {raised.value.trailing_metadata()}"


async def test_an_unlinked_account_is_free_for_somebody_else(identity):
    mia, max_ = await somebody(identity), await somebody(identity)
    link = (await identity.LinkIdentity(a_link(mia, "wanted"))).link
    request = pb.UnlinkIdentityRequest(person_id=mia, link_id=link.link_id)

    refusal = await refusal_of(
        identity.UnlinkIdentity(pb.UnlinkIdentityRequest(person_id=max_, link_id=link.link_id))
    )
    ended = (await identity.UnlinkIdentity(request)).link
    again = (await identity.UnlinkIdentity(request)).link
    anew = await identity.LinkIdentity(a_link(max_, "wanted"))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "LINK_NOT_FOUND")
    assert refusal.metadata == {"link_id": link.link_id}
    assert ended.HasField("ended_at")
    assert again == ended
    assert anew.created
    assert anew.link.link_id != link.link_id


async def test_of_two_instances_that_link_one_account_one_person_gets_it(database):
    async with identity_service(database) as one, identity_service(database) as two:
        people = [await somebody(one) for _ in range(8)]
        outcomes = await asyncio.gather(
            *(
                stub.LinkIdentity(a_link(person, "wanted"))
                for person in people
                for stub in (one, two)
            ),
            return_exceptions=True,
        )

    won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert len(won) == 2
    assert len({answer.link.link_id for answer in won}) == 1
    assert sorted(answer.created for answer in won) == [False, True]
    assert {error.code() for error in lost} == {grpc.StatusCode.ALREADY_EXISTS}
    assert len(lost) == 14


async def test_linking_and_registering_one_account_at_once_ends_with_one_owner(identity):
    people = [await somebody(identity) for _ in range(10)]
    names = [f"wanted-{number}" for number in range(10)]

    outcomes = await asyncio.gather(
        *(
            call
            for person, name in zip(people, names, strict=True)
            for call in (
                identity.LinkIdentity(a_link(person, name)),
                identity.RegisterPerson(a_request(name, platform="telegram")),
            )
        ),
        return_exceptions=True,
    )

    for number, name in enumerate(names):
        linked, registered = outcomes[2 * number : 2 * number + 2]
        resolved = await identity.ResolveIdentity(
            pb.ResolveIdentityRequest(platform="telegram", platform_id=name)
        )
        assert registered.identity.link_id == resolved.identity.link_id
        if registered.created:
            assert linked.code() is grpc.StatusCode.ALREADY_EXISTS
        else:
            assert linked.link.link_id == resolved.identity.link_id


async def test_links_come_in_pages_oldest_first_ended_ones_included(identity, database):
    mia = await somebody(identity)
    for number in range(4):
        await identity.LinkIdentity(a_link(mia, f"mia-{number}"))
    async with administrator(database) as admin:
        await admin.execute(
            "UPDATE identity.identity_links SET ended_at = now() WHERE platform_id = 'mia-1'"
        )

    found, token = [], ""
    while True:
        page = await identity.ListLinks(
            pb.ListLinksRequest(person_id=mia, page_size=2, page_token=token)
        )
        found += page.links
        token = page.next_page_token
        if not token:
            break

    person = (await identity.GetPerson(pb.GetPersonRequest(person_id=mia))).person
    assert [link.link_id for link in found] == list(person.subject_ids)[1:]
    assert [link.platform_id for link in found if link.HasField("ended_at")] == ["mia-1"]
    assert [link.registration_pending for link in found] == [True] + [False] * 4


async def test_a_page_size_beyond_the_most_is_cut_and_none_means_the_default(identity, database):
    mia = await somebody(identity)
    async with administrator(database) as admin:
        await admin.execute(
            """INSERT INTO identity.identity_links
                   (link_id, person_id, platform, platform_id, original_platform_id)
               SELECT gen_random_uuid(), $1, 'web', n::text, n::text FROM generate_series(1, 600) n
            """,
            mia,
        )

    sizes = [
        len((await identity.ListLinks(pb.ListLinksRequest(person_id=mia, page_size=n))).links)
        for n in (0, 7, 5000)
    ]

    assert sizes == [50, 7, 500]
