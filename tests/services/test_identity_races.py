"""Whatever many callers do to the same people at once: one of them wins, nothing is half done."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from kith.identity.v1 import identity_service_pb2 as pb
from tests.support.cluster import Database
from tests.support.identity import DENIED, GRANTED, Stub, a_request, sound_replicas


@pytest.fixture
async def stubs(database: Database) -> AsyncIterator[list[Stub]]:
    async with sound_replicas(database) as replicas:
        yield replicas


async def register(stub: Stub, platform_id: str | None = None, **changes: Any) -> pb.Identity:
    return (await stub.RegisterPerson(a_request(platform_id, **changes))).identity


def a_proof(person_id: str, platform_id: str) -> pb.LinkIdentityRequest:
    return pb.LinkIdentityRequest(
        person_id=person_id, platform="discord", platform_id=platform_id, verified=True
    )


async def person_ids(stub: Stub, person_id: str) -> list[str]:
    answer = await stub.GetPerson(pb.GetPersonRequest(person_id=person_id))
    return list(answer.person.person_ids)


async def test_registering_an_id_while_it_is_linked_with_proof_leads_to_one_person(stubs):
    mia = (await register(stubs[0])).person_id

    answers = await asyncio.gather(
        *(stubs[n % 2].RegisterPerson(a_request("wanted")) for n in range(32)),
        stubs[0].LinkIdentity(a_proof(mia, "wanted")),
        *(stubs[n % 2].RegisterPerson(a_request("wanted")) for n in range(32)),
    )

    linked = answers.pop(32)
    resolved = await register(stubs[0], "wanted")
    assert resolved.person_id == mia
    assert {answer.identity.link_id for answer in answers} == {resolved.link_id}
    assert linked.link.link_id == resolved.link_id
    # Whoever came first made the link; if it was a registration, proof brought it home.
    assert sum(answer.created for answer in answers) + linked.created == 1
    assert linked.HasField("merge") != linked.created


async def test_two_who_prove_each_others_ids_at_once_become_one(stubs):
    pairs = [(await register(stubs[0]), await register(stubs[0])) for _ in range(8)]

    answers = await asyncio.gather(
        *(
            stubs[turn].LinkIdentity(a_proof(one.person_id, other.platform_id))
            for mia, max_ in pairs
            for turn, (one, other) in enumerate(((mia, max_), (max_, mia)))
        )
    )

    assert sum(answer.HasField("merge") for answer in answers) == len(pairs)
    for mia, max_ in pairs:
        assert set(await person_ids(stubs[0], mia.person_id)) == {mia.person_id, max_.person_id}


async def test_many_who_prove_one_id_at_once_all_become_one(stubs):
    holder = await register(stubs[0], "wanted")
    people = [(await register(stubs[0])).person_id for _ in range(12)]

    await asyncio.gather(
        *(stubs[n % 2].LinkIdentity(a_proof(one, "wanted")) for n, one in enumerate(people))
    )

    assert set(await person_ids(stubs[0], people[0])) == {holder.person_id, *people}


async def test_of_unlinking_and_linking_at_once_nothing_is_half_done(stubs):
    holders = [await register(stubs[0], f"id-{n}") for n in range(10)]
    people = [(await register(stubs[0])).person_id for _ in range(10)]

    outcomes = await asyncio.gather(
        *(
            call
            for n, (holder, one) in enumerate(zip(holders, people, strict=True))
            for call in (
                stubs[0].UnlinkIdentity(
                    pb.UnlinkIdentityRequest(person_id=holder.person_id, link_id=holder.link_id)
                ),
                stubs[1].LinkIdentity(a_proof(one, f"id-{n}")),
            )
        )
    )

    for holder, one, unlinked, linked in zip(
        holders, people, outcomes[::2], outcomes[1::2], strict=True
    ):
        assert unlinked.link.HasField("ended_at")
        # The old tenure, and its holder with it; or one of their own.
        assert linked.HasField("merge") == (linked.link.link_id == holder.link_id)
        assert (holder.person_id in await person_ids(stubs[0], one)) == linked.HasField("merge")


async def test_everything_at_once_on_a_few_people_stays_sound(stubs):
    """Random calls; a seed would not bring back the order in which they happen to run."""
    chance = random.Random(7)
    people = [(await register(stubs[0], f"own-{n}")).person_id for n in range(8)]

    async def step() -> None:
        stub, (one, other) = chance.choice(stubs), chance.sample(people, 2)
        match chance.randrange(7):
            case 0:
                await stub.MergePersons(
                    pb.MergePersonsRequest(source_person_id=one, target_person_id=other)
                )
            case 1:
                await stub.UnmergePersons(pb.UnmergePersonsRequest(source_person_id=one))
            case 2:
                await stub.LinkIdentity(a_proof(one, f"shared-{chance.randrange(4)}"))
            case 3:
                links = await stub.ListLinks(pb.ListLinksRequest(person_id=one))
                link = chance.choice(list(links.links))
                await stub.UnlinkIdentity(
                    pb.UnlinkIdentityRequest(person_id=one, link_id=link.link_id)
                )
            case 4:
                await register(
                    stub, f"shared-{chance.randrange(4)}",
                    consent={f"p{chance.randrange(9)}": GRANTED},
                )  # fmt: skip
            case 5:
                await stub.SetConsent(
                    pb.SetConsentRequest(
                        person_id=one, purposes={"x": chance.choice([GRANTED, DENIED])}
                    )
                )
            case 6:
                await stub.UpdatePerson(pb.UpdatePersonRequest(person_id=one))

    async def walk() -> list[grpc.StatusCode]:
        refusals = []
        for _ in range(25):
            try:
                await step()
            except grpc.aio.AioRpcError as error:
                refusals.append(error.code())
        return refusals

    refusals = {
        code for codes in await asyncio.gather(*(walk() for _ in range(16))) for code in codes
    }

    # Not merged, no such link any more; never a deadlock, nor a store that gave up.
    assert refusals <= {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND}
    answer = await stubs[0].BatchGetPersons(pb.BatchGetPersonsRequest(person_ids=people))
    known = [one for person in answer.persons for one in person.person_ids]
    assert len(known) == len(set(known))
    assert set(people) <= set(known)
