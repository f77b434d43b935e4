"""What is wrong with merges, consent or proof is INVALID_ARGUMENT and names the field."""

from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf import timestamp_pb2

from kith.identity.v1 import identity_service_pb2 as pb
from svckit import ids, pages
from tests.support.cluster import Database
from tests.support.identity import GRANTED, Stub, identity_service
from tests.support.refusals import Refusal, refusal_of

SOMEBODY = "01a1fc5d-aad2-70f0-86e8-84cd58513b15"


@pytest.fixture
async def identity(database: Database) -> AsyncIterator[Stub]:
    async with identity_service(database) as stub:
        yield stub


def assert_names(refusal: Refusal, field: str) -> None:
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert list(refusal.fields) == [field]


async def test_what_is_said_about_consent_merges_and_proof_is_checked(identity):
    other = ids.new()
    granted = {"x": GRANTED}
    consent = pb.SetConsentRequest(person_id=SOMEBODY)
    two = {"source_person_id": SOMEBODY, "target_person_id": other}
    calls = (
        (identity.SetConsent(consent), "purposes"),
        *(
            (
                identity.SetConsent(
                    pb.SetConsentRequest(person_id=SOMEBODY, purposes=granted, source=source)
                ),
                "source",
            )
            for source in ("x" * 257, "a\0b")
        ),
        *(
            (
                identity.ListConsentHistory(
                    pb.ListConsentHistoryRequest(person_id=SOMEBODY, purpose=purpose)
                ),
                "purpose",
            )
            for purpose in ("Messages", "two words", "x" * 65)
        ),
        *(
            (identity.MergePersons(pb.MergePersonsRequest(reason=reason, **two)), "reason")
            for reason in ("x" * 257, "a\0b")
        ),
        (
            identity.MergePersons(
                pb.MergePersonsRequest(source_person_id=SOMEBODY, target_person_id=SOMEBODY.upper())
            ),
            "target_person_id",
        ),
        (identity.UnmergePersons(pb.UnmergePersonsRequest()), "merge_id"),
        (
            identity.UnmergePersons(
                pb.UnmergePersonsRequest(merge_id=other, source_person_id=SOMEBODY)
            ),
            "source_person_id",
        ),
        *(
            (
                identity.LinkIdentity(
                    pb.LinkIdentityRequest(
                        person_id=SOMEBODY, platform="web", platform_id="x",
                        verified=verified, verification_method=method,
                    )
                ),
                "verification_method",
            )
            for verified, method in (
                (True, "OAuth"), (True, "two words"), (True, "x" * 65), (False, "oauth")
            )
        ),
        (
            identity.BatchGetPersons(pb.BatchGetPersonsRequest(person_ids=[SOMEBODY], view=7)),
            "view",
        ),
        (identity.ListPersons(pb.ListPersonsRequest(platform="two words")), "platform"),
        *(
            (
                identity.ListPersons(
                    pb.ListPersonsRequest(**{field: timestamp_pb2.Timestamp(seconds=-1)})
                ),
                field,
            )
            for field in ("seen_from", "seen_to")
        ),
    )  # fmt: skip

    for call, field in calls:
        assert_names(await refusal_of(call), field)


@pytest.mark.parametrize(
    "place",
    [
        [], ["2026-01-01T00:00:00+00:00", -1, SOMEBODY, "x"],
        ["2026-01-01T00:00:00+00:00", 2**63, SOMEBODY, "x"],
        ["2026-01-01T00:00:00+00:00", 1, "nonsense", "x"],
        ["2026-01-01T00:00:00+00:00", 1, SOMEBODY, "a\0b"],
        ["2026-01-01T00:00:00", 1, SOMEBODY, "x"],
    ],
)  # fmt: skip
async def test_a_forged_place_in_a_history_is_refused(identity, place):
    token = pages.token(place, "consent history", SOMEBODY, None)

    refusal = await refusal_of(
        identity.ListConsentHistory(
            pb.ListConsentHistoryRequest(person_id=SOMEBODY, page_token=token)
        )
    )

    assert_names(refusal, "page_token")
