"""The routes of projections: what each asks the services, and what it makes of the answers."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from kith.event.v1 import event_service_pb2 as pb
from kith.event.v1 import projection_pb2
from kith.identity.v1 import person_pb2
from svckit import ids
from tests.support.identityroutes import AT_NOON, NOON
from tests.support.scripted import Scripted

ADA, GRACE, LINK = (ids.named("test", str(n)) for n in range(3))
ADA_AND_GRACE = person_pb2.Person(
    person_id=ADA, person_ids=[ADA, GRACE], subject_ids=[ADA, LINK, GRACE]
)
PROJECTION = projection_pb2.Projection(
    name="mood", event_types=["check"], value_path=["a", "b"], key_path=["k"],
    state=projection_pb2.PROJECTION_STATE_BACKFILLING, backfilled_position=3, since_position=9,
    created_at=NOON,
)  # fmt: skip
PROJECTION_SHOWN = {
    "name": "mood", "event_types": ["check"], "value_path": ["a", "b"], "key_path": ["k"],
    "state": "backfilling", "backfilled_position": 3, "since_position": 9, "created_at": AT_NOON,
}  # fmt: skip


# One gateway for all of them: to put one together takes longer than to ask it.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Scripted]:
    async with Scripted().running() as scripted:
        yield scripted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(running: Scripted) -> AsyncIterator[httpx.AsyncClient]:
    async with running.gateway() as client:
        yield client


@pytest.fixture
def scripted(running: Scripted) -> Scripted:
    running.forget()
    running.people(ADA_AND_GRACE)
    return running


async def test_projections_are_defined_listed_read_and_deleted(
    scripted: Scripted, gateway: httpx.AsyncClient
):
    scripted.events.answer(
        "DefineProjection", pb.DefineProjectionResponse(projection=PROJECTION, created=True)
    )
    scripted.events.answer("GetProjection", pb.GetProjectionResponse(projection=PROJECTION))
    scripted.events.answer("ListProjections", pb.ListProjectionsResponse(projections=[PROJECTION]))
    scripted.events.answer("DeleteProjection", pb.DeleteProjectionResponse(deleted=True))
    body = {
        "name": "Mood", "event_types": ["Check"], "value_path": ["a", "b"], "key_path": ["k"]
    }  # fmt: skip

    defined = await gateway.post("/v1/projections", json=body)
    read = await gateway.get("/v1/projections/MOOD")
    listed = await gateway.get("/v1/projections")
    deleted = await gateway.delete("/v1/projections/mood")

    assert (defined.status_code, defined.json()) == (201, PROJECTION_SHOWN)
    assert scripted.events.last("DefineProjection").projection == projection_pb2.Projection(
        name="mood", event_types=["check"], value_path=["a", "b"], key_path=["k"]
    )
    assert (read.status_code, read.json()) == (200, PROJECTION_SHOWN)
    assert scripted.events.last("GetProjection").name == "mood"
    assert listed.json() == {"projections": [PROJECTION_SHOWN]}
    assert deleted.json() == {"deleted": True}


async def test_a_persons_projection_is_over_all_of_their_subjects(
    scripted: Scripted, gateway: httpx.AsyncClient
):
    value = projection_pb2.ProjectionValue(
        key="sleep", count=2, sum=3, mean=1.5, last=2, last_position=9, last_occurred_at=NOON
    )
    scripted.events.answer("ListProjectionValues", pb.ListProjectionValuesResponse(values=[value]))

    answer = await gateway.get(
        f"/v1/persons/{GRACE}/projections/mood",
        params={"key": "", "page_size": 2, "page_token": "t"},
    )

    assert answer.json() == {
        "values": [
            {
                "key": "sleep", "count": 2, "sum": 3.0, "mean": 1.5, "last": 2.0,
                "last_position": 9, "last_occurred_at": AT_NOON,
            }
        ],
        "next_page_token": None,
    }  # fmt: skip
    assert scripted.events.last("ListProjectionValues") == pb.ListProjectionValuesRequest(
        name="mood", subject_ids=[ADA, LINK, GRACE], key="", combine_subjects=True, page_size=2,
        page_token="t", page_scope=GRACE,
    )  # fmt: skip
