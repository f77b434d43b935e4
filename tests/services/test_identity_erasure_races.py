"""People who are erased while two replicas are asked for everything about them at once."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from kith.identity.v1 import erasure_pb2, group_pb2
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import ids
from tests.support.cluster import Database, administrator
from tests.support.identity import (
    DENIED,
    GRANTED,
    Stub,
    a_request,
    a_struct,
    identity_service,
    sound_replicas,
)
from tests.support.refusals import Refusal, refusal_of

CALLS = 64
# Whoever comes too late is told so in one of these words.
TOO_LATE = {
    "PERSON_ERASING", "PERSON_NOT_FOUND", "LINK_NOT_FOUND", "LINK_TAKEN", "NOT_MERGED",
    "MERGE_NOT_FOUND", "SESSION_CLAIMED", "SESSION_NOT_FOUND", "IDEMPOTENCY_CONFLICT",
    "VERIFICATION_NOT_FOUND", "VERIFICATION_EXPIRED", "VERIFICATION_FAILED",
    "VERIFICATION_THROTTLED",
}  # fmt: skip


@dataclass
class Cast:
    """Mia, who is erased and has an alias; Max, with whom she once was one; what they share."""

    mia: pb.Identity
    alias: pb.Identity
    max_: pb.Identity
    group_id: str
    session_id: str
    verification: pb.StartLinkVerificationResponse


@pytest.fixture
async def stubs(database: Database) -> AsyncIterator[list[Stub]]:
    async with sound_replicas(database) as replicas:
        yield replicas


async def a_cast(stub: Stub) -> Cast:
    consent = {"messages": GRANTED}
    mia, alias, max_ = [
        (await stub.RegisterPerson(a_request(consent=consent))).identity for _ in range(3)
    ]
    await stub.ConfirmRegistrations(pb.ConfirmRegistrationsRequest(link_ids=[mia.link_id]))
    await stub.MergePersons(
        pb.MergePersonsRequest(source_person_id=alias.person_id, target_person_id=mia.person_id)
    )
    for _ in range(2):
        await stub.LinkIdentity(a_link(max_.person_id, alias, verified=True))
        await stub.UnmergePersons(pb.UnmergePersonsRequest(source_person_id=mia.person_id))
    group = await stub.CreateGroup(
        pb.CreateGroupRequest(
            group=group_pb2.Group(kind="household"), person_ids=[mia.person_id, max_.person_id]
        )
    )
    session = await stub.CreateSession(pb.CreateSessionRequest(data=a_struct({"a": 1})))
    verification = await stub.StartLinkVerification(
        pb.StartLinkVerificationRequest(
            person_id=max_.person_id, platform=mia.platform, platform_id=mia.platform_id
        )
    )
    return Cast(mia, alias, max_, group.group.group_id, session.session.session_id, verification)


def a_link(person_id: str, whose: pb.Identity | None = None, **changes: Any) -> Any:
    account = whose or pb.Identity(platform="web", platform_id=ids.new())
    return pb.LinkIdentityRequest(
        person_id=person_id, platform=account.platform, platform_id=account.platform_id, **changes
    )


def everything(stub: Stub, cast: Cast) -> list[Awaitable[Any]]:
    """A call of every kind, about somebody who is being erased."""
    mia, alias, max_ = cast.mia, cast.alias, cast.max_
    one = random.choice([mia, alias]).person_id
    return [
        stub.RegisterPerson(a_request(mia.platform_id, consent={"knowledge": DENIED})),
        stub.RegisterPerson(a_request(alias.platform_id)),
        stub.CreatePerson(pb.CreatePersonRequest(person_id=one)),
        stub.ResolveIdentity(
            pb.ResolveIdentityRequest(platform=mia.platform, platform_id=mia.platform_id)
        ),
        stub.GetPerson(pb.GetPersonRequest(person_id=one)),
        stub.ListPersons(pb.ListPersonsRequest(platform="discord")),
        stub.UpdatePerson(pb.UpdatePersonRequest(person_id=one, metadata=a_struct({"b": 2}))),
        stub.ConfirmRegistrations(
            pb.ConfirmRegistrationsRequest(link_ids=[alias.link_id, mia.link_id])
        ),
        stub.LinkIdentity(a_link(one)),
        stub.LinkIdentity(a_link(one, max_, verified=True)),
        stub.LinkIdentity(a_link(max_.person_id, alias, verified=True)),
        stub.UnlinkIdentity(pb.UnlinkIdentityRequest(person_id=one, link_id=mia.link_id)),
        stub.MergePersons(
            pb.MergePersonsRequest(source_person_id=max_.person_id, target_person_id=one)
        ),
        stub.UnmergePersons(pb.UnmergePersonsRequest(source_person_id=alias.person_id)),
        stub.UnmergePersons(pb.UnmergePersonsRequest(source_person_id=max_.person_id)),
        stub.SetConsent(pb.SetConsentRequest(person_id=one, purposes={"messages": DENIED})),
        stub.AddGroupMember(pb.AddGroupMemberRequest(group_id=cast.group_id, person_id=one)),
        stub.RemoveGroupMember(pb.RemoveGroupMemberRequest(group_id=cast.group_id, person_id=one)),
        stub.CreateGroup(
            pb.CreateGroupRequest(
                group=group_pb2.Group(kind="couple"), person_ids=[max_.person_id, one]
            )
        ),
        stub.ClaimSession(pb.ClaimSessionRequest(session_id=cast.session_id, person_id=one)),
        stub.StartLinkVerification(
            pb.StartLinkVerificationRequest(person_id=one, platform="web", platform_id="page")
        ),
        stub.ConfirmLinkVerification(
            pb.ConfirmLinkVerificationRequest(
                verification_id=cast.verification.verification_id, code=cast.verification.code
            )
        ),
    ]


async def amid_everything(stubs: list[Stub], cast: Cast, call: Awaitable[Any]) -> Any:
    """The answer to a call among many, none of which fails in a way that is not foreseen."""
    crowd = [each for n in range(3) for each in everything(stubs[n % 2], cast)]
    random.shuffle(crowd)
    assert len(crowd) >= CALLS
    half = len(crowd) // 2
    outcomes = await asyncio.gather(*crowd[:half], call, *crowd[half:], return_exceptions=True)
    answer = outcomes.pop(half)
    if isinstance(answer, BaseException):
        raise answer
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, grpc.aio.AioRpcError), outcome
            assert (await refused(outcome)).reason in TOO_LATE, outcome
    return answer


async def refused(error: grpc.aio.AioRpcError) -> Refusal:
    async def again() -> None:
        raise error

    return await refusal_of(again())


def a_step(erasure_id: str, stage: "erasure_pb2.ErasureStage") -> pb.RecordErasureStepRequest:
    return pb.RecordErasureStepRequest(erasure_id=erasure_id, stage=stage)


async def named_anywhere(database: Database, erased: set[str]) -> list[str]:
    """Rows outside of the receipts that have one of these ids in them."""
    async with administrator(database) as admin:
        tables = await admin.fetch(
            """SELECT c.oid::regclass::text AS name FROM pg_class c
               WHERE c.relnamespace = 'identity'::regnamespace AND c.relkind = 'r'
                 AND c.relname NOT IN ('erasures', 'erased_persons')"""
        )
        return [
            row["text"]
            for table in tables
            for row in await admin.fetch(f"SELECT t::text AS text FROM {table['name']} t")
            if any(identifier in row["text"] for identifier in erased)
        ]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_comes_at_once_an_erasure_is_whole(stubs, database, seed):
    random.seed(seed)
    cast = await a_cast(stubs[0])

    started = await amid_everything(
        stubs, cast, stubs[0].StartErasure(pb.StartErasureRequest(person_id=cast.mia.person_id))
    )
    erasure_id = started.erasure.erasure_id
    for stage in (erasure_pb2.ERASURE_STAGE_KNOWLEDGE, erasure_pb2.ERASURE_STAGE_EVENTS):
        await stubs[1].RecordErasureStep(a_step(erasure_id, stage))
    done = await amid_everything(
        stubs, cast,
        stubs[1].RecordErasureStep(a_step(erasure_id, erasure_pb2.ERASURE_STAGE_IDENTITY)),
    )  # fmt: skip

    receipt = done.erasure
    erased = {*receipt.person_ids, *receipt.subject_ids}
    assert cast.mia.person_id in receipt.person_ids
    assert (receipt.person_ids, receipt.subject_ids) == (
        started.erasure.person_ids, started.erasure.subject_ids,
    )  # fmt: skip
    assert set(receipt.steps[-1].remaining.values()) <= {0}
    assert await named_anywhere(database, erased) == []
    newcomer = await stubs[0].RegisterPerson(a_request(cast.mia.platform_id))
    assert newcomer.identity.person_id not in erased


async def test_people_who_were_one_are_erased_at_the_same_time(stubs, database):
    cast = [await a_cast(stubs[n % 2]) for n in range(4)]
    people = [each.person_id for them in cast for each in (them.mia, them.max_)]

    async def erase(person_id: str, stub: Stub) -> set[str]:
        started = await stub.StartErasure(pb.StartErasureRequest(person_id=person_id))
        for stage in erasure_pb2.ErasureStage.values()[1:]:
            await stub.RecordErasureStep(a_step(started.erasure.erasure_id, stage))
        return {*started.erasure.person_ids, *started.erasure.subject_ids}

    erased = await asyncio.gather(*(erase(one, stubs[n % 2]) for n, one in enumerate(people)))

    assert await named_anywhere(database, set().union(*erased)) == []


async def test_others_stay_one_whom_a_link_of_somebody_erased_had_joined(database):
    async with identity_service(database) as stub:
        mia, max_, eva = [(await stub.RegisterPerson(a_request())).identity for _ in range(3)]
        await stub.MergePersons(
            pb.MergePersonsRequest(source_person_id=mia.person_id, target_person_id=max_.person_id)
        )
        await stub.LinkIdentity(a_link(eva.person_id, mia, verified=True))
        await stub.UnmergePersons(pb.UnmergePersonsRequest(source_person_id=mia.person_id))
        started = await stub.StartErasure(pb.StartErasureRequest(person_id=mia.person_id))
        for stage in erasure_pb2.ErasureStage.values()[1:]:
            await stub.RecordErasureStep(a_step(started.erasure.erasure_id, stage))

        apart = await stub.UnmergePersons(pb.UnmergePersonsRequest(source_person_id=max_.person_id))

    assert started.erasure.person_ids == [mia.person_id]
    assert apart.source.person_id == max_.person_id
    assert apart.target.person_id == eva.person_id
