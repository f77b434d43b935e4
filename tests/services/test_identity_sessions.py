"""Onboarding sessions, over a real channel."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import grpc
import pytest
from google.protobuf import duration_pb2
from prometheus_client import REGISTRY

from identity_svc.adapters.sql_erasure import SqlErasureStore
from identity_svc.adapters.sql_sessions import SqlSessionStore
from identity_svc.adapters.sql_verification import SqlVerificationStore
from identity_svc.domain.sessions import NewSession
from identity_svc.sweeping import BATCH, Sweeper
from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import session_pb2
from svckit import ids, structs
from tests.support.cluster import Database, administrator
from tests.support.identity import Stub, a_request, a_struct, identity_service
from tests.support.refusals import refusal_of
from tests.support.services import store_of

OPEN, CLAIMED, EXPIRED = (
    session_pb2.SESSION_STATE_OPEN, session_pb2.SESSION_STATE_CLAIMED,
    session_pb2.SESSION_STATE_EXPIRED,
)  # fmt: skip


@pytest.fixture
async def identity(database: Database) -> AsyncIterator[Stub]:
    async with identity_service(database) as stub:
        yield stub


async def a_session(identity: Stub, **data: object) -> session_pb2.Session:
    answer = await identity.CreateSession(pb.CreateSessionRequest(data=a_struct(data)))
    return answer.session


def claiming(session: session_pb2.Session, person_id: str) -> pb.ClaimSessionRequest:
    return pb.ClaimSessionRequest(session_id=session.session_id, person_id=person_id)


async def expire(database: Database, ago: str = "1 second") -> None:
    """Have all sessions expired since then."""
    async with administrator(database) as admin:
        await admin.execute(
            f"UPDATE identity.onboarding_sessions SET expires_at = now() - interval '{ago}'"
        )


async def test_a_session_becomes_a_person(identity):
    made = await identity.CreateSession(
        pb.CreateSessionRequest(
            data=a_struct({"name": "Mia"}), ttl=duration_pb2.Duration(seconds=3600)
        )
    )
    changed = await identity.UpdateSession(
        pb.UpdateSessionRequest(
            session_id=made.session.session_id,
            data=a_struct({"lang": "de"}),
            etag=made.session.etag,
        )
    )
    mia = (await identity.RegisterPerson(a_request(metadata={"lang": "en"}))).identity
    claimed = await identity.ClaimSession(claiming(made.session, mia.person_id))
    read = await identity.GetSession(pb.GetSessionRequest(session_id=made.session.session_id))

    session = made.session
    lasts = session.expires_at.ToDatetime() - session.created_at.ToDatetime()
    assert (made.created, session.state, session.person_id) == (True, OPEN, "")
    assert UUID(session.session_id).version == 4
    assert not session.HasField("claimed_at")
    assert lasts == timedelta(hours=1)
    assert structs.to_dict(changed.session.data) == {"name": "Mia", "lang": "de"}
    assert structs.to_dict(claimed.person.metadata) == {"name": "Mia", "lang": "de"}
    assert claimed.person.person_id == mia.person_id
    assert (claimed.session.state, claimed.session.person_id) == (CLAIMED, mia.person_id)
    assert claimed.session.HasField("claimed_at")
    assert read.session == claimed.session


async def test_a_session_id_is_an_idempotency_key(identity):
    request = pb.CreateSessionRequest(session_id=ids.new(), data=a_struct({"a": 1}))

    answers = [await identity.CreateSession(request) for _ in range(2)]
    request.ttl.seconds = 60
    refusal = await refusal_of(identity.CreateSession(request))

    assert [answer.created for answer in answers] == [True, False]
    assert answers[0].session == answers[1].session
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "IDEMPOTENCY_CONFLICT")
    assert refusal.metadata == {"session_id": request.session_id}


async def test_what_does_not_fit_is_told_by_its_reason(identity, database):
    mia = (await identity.RegisterPerson(a_request())).identity.person_id
    max_ = (await identity.RegisterPerson(a_request())).identity.person_id
    session, late = await a_session(identity), await a_session(identity)
    update = pb.UpdateSessionRequest(session_id=session.session_id)

    stale = await refusal_of(
        identity.UpdateSession(pb.UpdateSessionRequest(session_id=session.session_id, etag="old"))
    )
    await identity.ClaimSession(claiming(session, mia))
    taken = [
        await refusal_of(identity.ClaimSession(claiming(session, max_))),
        await refusal_of(identity.UpdateSession(update)),
    ]
    await expire(database)
    update.session_id = late.session_id
    expired = [
        await refusal_of(identity.ClaimSession(claiming(late, max_))),
        await refusal_of(identity.UpdateSession(update)),
    ]
    seen = await identity.GetSession(pb.GetSessionRequest(session_id=late.session_id))

    named = {"session_id": session.session_id}
    assert (stale.reason, stale.metadata) == ("ETAG_MISMATCH", named)
    for refusal in taken:
        assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
        assert (refusal.reason, refusal.metadata) == ("SESSION_CLAIMED", named)
        assert mia not in refusal.message
    for refusal in expired:
        assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
        assert refusal.reason == "SESSION_EXPIRED"
    assert seen.session.state == EXPIRED


async def test_of_claims_at_two_instances_one_wins(database):
    async with identity_service(database) as one, identity_service(database) as two:
        crowd = [(await one.RegisterPerson(a_request())).identity.person_id for _ in range(64)]
        session = await a_session(one, prize=True)
        outcomes = await asyncio.gather(
            *(
                stub.ClaimSession(claiming(session, person_id))
                for person_id, stub in zip(crowd, [one, two] * 32, strict=True)
            ),
            return_exceptions=True,
        )
        people = await one.BatchGetPersons(pb.BatchGetPersonsRequest(person_ids=crowd))

    won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    having = [person.person_id for person in people.persons if person.metadata.fields]
    assert [answer.person.person_id for answer in won] == having
    assert (len(won), len(lost)) == (1, 63)
    assert {error.code() for error in lost} == {grpc.StatusCode.FAILED_PRECONDITION}


async def test_what_is_past_its_time_is_swept_batch_by_batch(database):
    async with store_of(database, "identity") as store:
        sessions = SqlSessionStore(store.functions)
        await sessions.create(NewSession(), call_id=ids.new())
        async with administrator(database) as admin:
            await admin.execute(
                """INSERT INTO identity.onboarding_sessions (
                       session_id, data, created_at, expires_at, etag, body_hash, call_id)
                   SELECT gen_random_uuid(), '{}', now(), now() - interval '25 hours',
                          gen_random_uuid(), '', gen_random_uuid()
                   FROM generate_series(1, $1)""",
                BATCH + 1,
            )
        verifications = SqlVerificationStore(store.functions)

        await Sweeper(sessions, verifications, SqlErasureStore(store.functions)).sweep()

        counts = await sessions.count()

    assert (counts.open, counts.expired) == (1, 0)
    gauge = "kith_identity_sessions"
    assert REGISTRY.get_sample_value(gauge, {"state": "open"}) == 1
    assert REGISTRY.get_sample_value(gauge, {"state": "expired"}) == 0
    assert REGISTRY.get_sample_value("kith_identity_erasures_running") == 0


async def test_the_service_sweeps_by_itself(database):
    async with administrator(database) as admin:
        await admin.execute(
            """INSERT INTO identity.onboarding_sessions (
                   session_id, data, created_at, expires_at, etag, body_hash, call_id)
               VALUES (gen_random_uuid(), '{}', now(), now() - interval '25 hours',
                       gen_random_uuid(), '', gen_random_uuid())"""
        )
        async with identity_service(database), asyncio.timeout(10):
            while await admin.fetchval("SELECT count(*) FROM identity.onboarding_sessions"):
                await asyncio.sleep(0.01)
