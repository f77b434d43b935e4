"""Proving whose an account is, over a real channel."""

from collections.abc import AsyncIterator

import grpc
import pytest
from prometheus_client import REGISTRY

from kith.identity.v1 import identity_service_pb2 as pb
from tests.support.cluster import Database, administrator
from tests.support.identity import Stub, a_request, identity_service
from tests.support.refusals import refusal_of


@pytest.fixture
async def identity(database: Database) -> AsyncIterator[Stub]:
    async with identity_service(database) as stub:
        yield stub


async def somebody(identity: Stub) -> str:
    """The id of a person."""
    return str((await identity.RegisterPerson(a_request())).identity.person_id)


def a_start(person_id: str, platform_id: str = "@Mia") -> pb.StartLinkVerificationRequest:
    return pb.StartLinkVerificationRequest(
        person_id=person_id, platform="telegram", platform_id=platform_id
    )


def a_try(
    started: pb.StartLinkVerificationResponse, code: str | None = None
) -> pb.ConfirmLinkVerificationRequest:
    return pb.ConfirmLinkVerificationRequest(
        verification_id=started.verification_id, code=started.code if code is None else code
    )


def counted(outcome: str) -> float:
    name = "kith_identity_verifications_total"
    return REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0


async def test_a_code_links_an_account_however_it_is_typed(identity):
    mia = await somebody(identity)
    started = await identity.StartLinkVerification(a_start(mia))
    typed = f" {started.code[:4].lower()} {started.code[4:]}\n"

    made = await identity.ConfirmLinkVerification(a_try(started, typed))
    again = await identity.ConfirmLinkVerification(a_try(started))

    resolved = await identity.ResolveIdentity(
        pb.ResolveIdentityRequest(platform="telegram", platform_id="mia")
    )
    assert (made.link.person_id, made.link.platform_id) == (mia, "mia")
    assert made.link.original_platform_id == "@Mia"
    assert made.link.verified
    assert (made.created, again.created) == (True, False)
    assert again.link == made.link
    assert resolved.identity.link_id == made.link.link_id


async def test_a_wrong_code_is_told_with_the_tries_that_are_left(identity):
    started = await identity.StartLinkVerification(a_start(await somebody(identity)))

    refusals = [
        await refusal_of(identity.ConfirmLinkVerification(a_try(started, f"WRONG{n}")))
        for n in range(6)
    ]

    assert {refusal.code for refusal in refusals} == {grpc.StatusCode.FAILED_PRECONDITION}
    assert [refusal.reason for refusal in refusals] == [
        *["VERIFICATION_FAILED"] * 5, "VERIFICATION_EXPIRED",
    ]  # fmt: skip
    assert [refusal.metadata.get("tries_left") for refusal in refusals] == [*"43210", None]
    for refusal in refusals:
        assert refusal.metadata["verification_id"] == started.verification_id
        assert started.code not in refusal.message


async def test_starting_tells_nothing_about_who_holds_an_account(identity):
    held = (await identity.CreatePerson(pb.CreatePersonRequest())).person
    await identity.LinkIdentity(
        pb.LinkIdentityRequest(person_id=held.person_id, platform="telegram", platform_id="@Mia")
    )
    max_ = await somebody(identity)

    of_taken = await identity.StartLinkVerification(a_start(max_))
    of_free = await identity.StartLinkVerification(a_start(max_, "free"))
    of_own = await identity.StartLinkVerification(a_start(held.person_id))
    refusal = await refusal_of(identity.ConfirmLinkVerification(a_try(of_taken)))

    for answer in (of_taken, of_free, of_own):
        assert {field.name for field, _ in answer.ListFields()} == {
            "verification_id", "code", "expires_at",
        }  # fmt: skip
        assert held.person_id not in str(answer)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "LINK_TAKEN")
    assert refusal.metadata == {"platform": "telegram", "platform_id": "mia"}
    assert held.person_id not in refusal.message


async def test_too_many_starts_are_told_when_to_come_back(identity):
    mia = await somebody(identity)
    started = [await identity.StartLinkVerification(a_start(mia)) for _ in range(5)]

    refusal = await refusal_of(identity.StartLinkVerification(a_start(mia)))

    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED, "VERIFICATION_THROTTLED",
    )  # fmt: skip
    assert refusal.metadata == {}
    assert 590 < refusal.retry_after <= 600
    assert len({answer.code for answer in started}) == 5


async def test_what_is_not_there_is_named(identity):
    nobody = "01a1fc5d-aad2-70f0-86e8-84cd58513b15"

    of_nobody = await refusal_of(identity.StartLinkVerification(a_start(nobody)))
    of_nothing = await refusal_of(
        identity.ConfirmLinkVerification(
            pb.ConfirmLinkVerificationRequest(verification_id=nobody, code="ACDEFGHJ")
        )
    )

    assert (of_nobody.reason, of_nobody.metadata) == ("PERSON_NOT_FOUND", {"person_id": nobody})
    assert (of_nothing.reason, of_nothing.metadata) == (
        "VERIFICATION_NOT_FOUND", {"verification_id": nobody},
    )  # fmt: skip


async def test_no_code_reaches_the_database(identity, database):
    mia = await somebody(identity)
    started = await identity.StartLinkVerification(a_start(mia))
    await refusal_of(identity.ConfirmLinkVerification(a_try(started, "GUESS")))

    async with administrator(database) as admin:
        seen = await admin.fetch("SELECT t::text AS text FROM identity.link_verifications t")

    assert len(seen) == 1
    for code in (started.code, started.code.lower(), "GUESS"):
        assert code not in seen[0]["text"]


async def test_outcomes_are_counted(identity):
    outcomes = ("started", "confirmed", "failed", "expired", "throttled")
    before = {outcome: counted(outcome) for outcome in outcomes}
    mia = await somebody(identity)

    started = [await identity.StartLinkVerification(a_start(mia)) for _ in range(5)]
    await refusal_of(identity.StartLinkVerification(a_start(mia)))
    await refusal_of(identity.ConfirmLinkVerification(a_try(started[0])))
    await refusal_of(identity.ConfirmLinkVerification(a_try(started[-1], "WRONG")))
    await identity.ConfirmLinkVerification(a_try(started[-1]))

    assert [counted(outcome) - before[outcome] for outcome in outcomes] == [5, 1, 1, 1, 1]
