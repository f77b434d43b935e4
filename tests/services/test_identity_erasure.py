"""Erasing people, over a real channel."""

from collections.abc import AsyncIterator

import grpc
import pytest

from kith.identity.v1 import erasure_pb2
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import ids
from tests.support.cluster import Database, administrator
from tests.support.identity import Stub, a_request, identity_service
from tests.support.onboarding import merge
from tests.support.refusals import refusal_of

KNOWLEDGE, EVENTS, IDENTITY = (
    erasure_pb2.ERASURE_STAGE_KNOWLEDGE, erasure_pb2.ERASURE_STAGE_EVENTS,
    erasure_pb2.ERASURE_STAGE_IDENTITY,
)  # fmt: skip
RUNNING, SUCCEEDED = erasure_pb2.ERASURE_STATE_RUNNING, erasure_pb2.ERASURE_STATE_SUCCEEDED


@pytest.fixture
async def identity(database: Database) -> AsyncIterator[Stub]:
    async with identity_service(database) as stub:
        yield stub


async def erased(identity: Stub, person_id: str) -> erasure_pb2.Erasure:
    """An erasure with all of its steps."""
    erasure = (await identity.StartErasure(pb.StartErasureRequest(person_id=person_id))).erasure
    for stage in (KNOWLEDGE, EVENTS, IDENTITY):
        erasure = (await identity.RecordErasureStep(a_step(erasure, stage))).erasure
    return erasure


def a_step(
    erasure: erasure_pb2.Erasure, stage: "erasure_pb2.ErasureStage", **counts: dict[str, int]
) -> pb.RecordErasureStepRequest:
    return pb.RecordErasureStepRequest(erasure_id=erasure.erasure_id, stage=stage, **counts)


async def test_a_person_is_erased_step_by_step(identity, database):
    mia = (await identity.RegisterPerson(a_request("mia"))).identity
    alias = (await identity.RegisterPerson(a_request())).identity
    async with administrator(database) as admin:
        await merge(admin, alias.person_id, mia.person_id)

    started = await identity.StartErasure(pb.StartErasureRequest(person_id=alias.person_id))
    again = await identity.StartErasure(pb.StartErasureRequest(person_id=mia.person_id))
    unknown = await refusal_of(
        identity.ResolveIdentity(pb.ResolveIdentityRequest(platform="discord", platform_id="mia"))
    )
    newcomer = await identity.RegisterPerson(a_request("mia"))
    first = await identity.RecordErasureStep(
        a_step(started.erasure, KNOWLEDGE, erased={"items": 2**62}, remaining={"items": 0})
    )
    await identity.RecordErasureStep(a_step(started.erasure, EVENTS))
    done = await identity.RecordErasureStep(
        a_step(started.erasure, IDENTITY, erased={"persons": 99})
    )
    receipt = await identity.GetErasure(pb.GetErasureRequest(person_id=alias.person_id))

    assert (started.started, again.started) == (True, False)
    assert started.erasure == again.erasure
    assert started.erasure.state == RUNNING
    assert set(started.erasure.person_ids) == {mia.person_id, alias.person_id}
    assert set(started.erasure.subject_ids) == {
        mia.person_id, alias.person_id, mia.link_id, alias.link_id,
    }  # fmt: skip
    assert unknown.reason == "LINK_NOT_FOUND"
    assert newcomer.created
    assert newcomer.identity.person_id != mia.person_id
    [step] = first.erasure.steps
    assert (step.stage, step.erased, step.remaining) == (
        KNOWLEDGE, {"items": 2**62}, {"items": 0},
    )  # fmt: skip
    assert done.erasure.state == SUCCEEDED
    assert done.erasure.steps[-1].erased["persons"] == 2
    assert set(done.erasure.steps[-1].remaining.values()) == {0}
    assert done.erasure.HasField("finished_at")
    assert receipt.erasure == done.erasure


async def test_whoever_was_erased_is_not_there(identity):
    mia = (await identity.RegisterPerson(a_request())).identity
    erasure = await erased(identity, mia.person_id)

    gone = await refusal_of(identity.GetPerson(pb.GetPersonRequest(person_id=mia.person_id)))
    again = await identity.StartErasure(pb.StartErasureRequest(person_id=mia.person_id))
    repeated = await identity.RecordErasureStep(a_step(erasure, KNOWLEDGE, erased={"items": 1}))

    assert (gone.reason, gone.metadata) == ("PERSON_NOT_FOUND", {"person_id": mia.person_id})
    assert (again.started, again.erasure) == (False, erasure)
    assert repeated.erasure == erasure


async def test_whoever_is_being_erased_is_told_by_its_reason(identity):
    mia = (await identity.RegisterPerson(a_request())).identity
    session = (await identity.CreateSession(pb.CreateSessionRequest())).session
    erasure = (await identity.StartErasure(pb.StartErasureRequest(person_id=mia.person_id))).erasure

    refusal = await refusal_of(
        identity.ClaimSession(
            pb.ClaimSessionRequest(session_id=session.session_id, person_id=mia.person_id)
        )
    )

    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION, "PERSON_ERASING",
    )  # fmt: skip
    assert refusal.metadata == {"person_id": mia.person_id, "erasure_id": erasure.erasure_id}


async def test_steps_out_of_order_and_of_nothing_are_refused(identity):
    mia = (await identity.RegisterPerson(a_request())).identity
    erasure = (await identity.StartErasure(pb.StartErasureRequest(person_id=mia.person_id))).erasure
    nothing = ids.new()

    early = await refusal_of(identity.RecordErasureStep(a_step(erasure, IDENTITY)))
    of_nothing = await refusal_of(
        identity.RecordErasureStep(pb.RecordErasureStepRequest(erasure_id=nothing, stage=KNOWLEDGE))
    )
    of_nobody = await refusal_of(identity.GetErasure(pb.GetErasureRequest(person_id=nothing)))

    assert early.code is grpc.StatusCode.FAILED_PRECONDITION
    assert (early.reason, early.metadata) == (
        "ERASURE_OUT_OF_ORDER", {"erasure_id": erasure.erasure_id},
    )  # fmt: skip
    assert (of_nothing.reason, of_nothing.metadata) == (
        "ERASURE_NOT_FOUND", {"erasure_id": nothing},
    )  # fmt: skip
    assert (of_nobody.reason, of_nobody.metadata) == (
        "ERASURE_NOT_FOUND", {"person_id": nothing},
    )  # fmt: skip


async def test_those_that_run_are_found_after_a_crash(database):
    async with identity_service(database) as before:
        people = [(await before.RegisterPerson(a_request())).identity for _ in range(5)]
        started = [
            (
                await before.StartErasure(pb.StartErasureRequest(person_id=person.person_id))
            ).erasure.erasure_id
            for person in people
        ]
        await erased(before, people[2].person_id)

    async with identity_service(database) as after:
        found, token = [], ""
        while True:
            page = await after.ListErasures(
                pb.ListErasuresRequest(state=RUNNING, page_size=2, page_token=token)
            )
            found += [erasure.erasure_id for erasure in page.erasures]
            token = page.next_page_token
            if not token:
                break
        everything = await after.ListErasures(pb.ListErasuresRequest())

    assert found == started[:2] + started[3:]
    assert [erasure.erasure_id for erasure in everything.erasures] == started
