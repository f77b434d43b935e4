"""Projections over a real channel: definitions, values, and the back-fill behind them."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from event_svc import backfill
from event_svc.adapters.sql_log import SqlEventStore
from event_svc.adapters.sql_projections import SqlProjectionStore
from event_svc.backfill import Backfill
from event_svc.domain.projections import BackfillStep
from kith.event.v1 import event_service_pb2 as pb
from kith.event.v1 import projection_pb2
from svckit import ids
from svckit.errors import Unavailable
from tests.support.cluster import Database, administrator
from tests.support.events import Stub, a_message, event_service
from tests.support.projections import Counted, a_definition, table_of, whole_log
from tests.support.refusals import refusal_of
from tests.support.services import store_of

ADA, BOB = sorted(ids.new() for _ in range(2))
READY = projection_pb2.PROJECTION_STATE_READY


@pytest.fixture
async def events(database):
    async with event_service(database) as stub:
        yield stub


@pytest.fixture
async def admin(database):
    async with administrator(database) as connection:
        yield connection


def a_projection(**changes: Any) -> projection_pb2.Projection:
    fields = {
        "name": "scores", "event_types": ["message"], "value_path": ["score"],
        "key_path": ["key"], **changes,
    }  # fmt: skip
    return projection_pb2.Projection(**fields)


async def define(events: Stub, **changes: Any) -> pb.DefineProjectionResponse:
    return await events.DefineProjection(
        pb.DefineProjectionRequest(projection=a_projection(**changes))
    )


async def until_ready(events: Stub, name: str = "scores") -> projection_pb2.Projection:
    while True:
        answer = await events.GetProjection(pb.GetProjectionRequest(name=name))
        if answer.projection.state == READY:
            return answer.projection
        await asyncio.sleep(0.01)


async def values(events: Stub, *subject_ids: str, **request: Any):
    return await events.ListProjectionValues(
        pb.ListProjectionValuesRequest(**{"name": "scores", "subject_ids": subject_ids, **request})
    )


async def log_scores(events: Stub, *scores: float, subject: str = ADA, key: str = "k") -> None:
    messages = [a_message(person_id=subject, content={"score": n, "key": key}) for n in scores]
    await events.LogEvents(pb.LogEventsRequest(events=messages))


async def test_a_projection_over_history_counts_it_and_goes_on_counting(events):
    await log_scores(events, 1, 2, 3)

    first = await define(events, event_types=["message", "edit", "message"])
    again = await define(events, event_types=["edit", "message"])
    await log_scores(events, 10)
    ready = await until_ready(events)
    [value] = (await values(events, ADA)).values

    assert (first.created, again.created) == (True, False)
    assert list(first.projection.event_types) == ["edit", "message"]
    assert (ready.since_position, ready.backfilled_position) == (3, 3)
    assert (value.subject_id, value.key, value.count) == (ADA, "k", 4)
    assert (value.sum, value.mean, value.last, value.last_position) == (16, 4, 10, 4)
    last = (await events.ListEvents(pb.ListEventsRequest(after_position=3))).events[0]
    assert value.last_occurred_at == last.occurred_at


async def test_projections_are_listed_and_deleted_by_name(events):
    for name in ("b", "a"):
        await define(events, name=name)

    both = (await events.ListProjections(pb.ListProjectionsRequest())).projections
    deleted = [
        (await events.DeleteProjection(pb.DeleteProjectionRequest(name="b"))).deleted
        for _ in range(2)
    ]
    one = (await events.ListProjections(pb.ListProjectionsRequest())).projections

    assert [p.name for p in both] == ["a", "b"]
    assert deleted == [True, False]
    assert [p.name for p in one] == ["a"]


async def test_unknown_and_contradicted_projections_are_told_by_name(events):
    await define(events)

    unknown = [
        await refusal_of(events.GetProjection(pb.GetProjectionRequest(name="other"))),
        await refusal_of(values(events, ADA, name="other")),
    ]
    conflict = await refusal_of(define(events, key_path=[]))

    for refusal in unknown:
        assert refusal.code is grpc.StatusCode.NOT_FOUND
        assert (refusal.reason, refusal.metadata) == (
            "PROJECTION_NOT_FOUND", {"projection": "other"}
        )  # fmt: skip
    assert conflict.code is grpc.StatusCode.ABORTED
    assert (conflict.reason, conflict.metadata) == (
        "PROJECTION_CONFLICT", {"projection": "scores"}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"), ({"name": "Scores"}, "name"), ({"name": "x" * 65}, "name"),
        ({"event_types": []}, "event_types"), ({"event_types": ["a", "B"]}, "event_types[1]"),
        ({"event_types": [f"t{n}" for n in range(33)]}, "event_types"),
        ({"value_path": []}, "value_path"), ({"value_path": ["a"] * 9}, "value_path"),
        ({"value_path": ["a", ""]}, "value_path[1]"), ({"value_path": ["\0"]}, "value_path[0]"),
        ({"value_path": ["x" * 65]}, "value_path[0]"),
        ({"key_path": ["a"] * 9}, "key_path"), ({"key_path": [""]}, "key_path[0]"),
    ],
)  # fmt: skip
async def test_a_malformed_definition_is_refused_by_field(events, changes, field):
    refusal = await refusal_of(define(events, **changes))

    assert (refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", [f"projection.{field}"])


async def test_a_malformed_question_is_refused_by_field(events):
    await define(events)
    for request, field in [
        ({"name": "a b"}, "name"), ({"subject_ids": []}, "subject_ids"),
        ({"subject_ids": [ADA, "x"]}, "subject_ids[1]"),
        ({"subject_ids": [ids.new() for _ in range(1001)]}, "subject_ids"),
        ({"key": "x" * 257}, "key"), ({"key": "\0"}, "key"), ({"page_size": -1}, "page_size"),
        ({"page_token": "?"}, "page_token"), ({"page_scope": "x" * 129}, "page_scope"),
    ]:  # fmt: skip
        refusal = await refusal_of(values(events, **{"subject_ids": [ADA], **request}))
        assert (refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", [field]), request
    for call in (
        events.GetProjection(pb.GetProjectionRequest(name="A")),
        events.DeleteProjection(pb.DeleteProjectionRequest(name="")),
    ):
        assert (await refusal_of(call)).fields == ["name"]


async def test_values_are_paged_and_a_token_belongs_to_its_question(events):
    await define(events)
    for key in "abc":
        await log_scores(events, 1, key=key)
        await log_scores(events, 2, subject=BOB, key=key)

    found, token = [], ""
    while True:
        page = await values(events, ADA, BOB, page_size=4, page_token=token)
        found += [(value.key, value.subject_id) for value in page.values]
        token = page.next_page_token
        if not token:
            break
    first = await values(events, ADA, BOB, page_size=1)
    scoped = await values(events, ADA, page_size=1, page_scope="person")
    combined = await values(events, ADA, BOB, page_size=2, combine_subjects=True)
    rest = await values(
        events, ADA, BOB, combine_subjects=True, page_token=combined.next_page_token
    )

    assert found == [(key, subject) for key in "abc" for subject in (ADA, BOB)]
    for other in ({"subject_ids": [ADA]}, {"key": "a"}, {"combine_subjects": True}):
        request = {"subject_ids": [ADA, BOB], "page_token": first.next_page_token, **other}
        assert (await refusal_of(values(events, **request))).fields == ["page_token"]
    grown = await values(events, ADA, BOB, page_scope="person", page_token=scoped.next_page_token)
    assert [(v.key, v.subject_id) for v in grown.values] == found[1:]
    assert [(v.subject_id, v.key, v.sum) for v in combined.values] == [("", "a", 3), ("", "b", 3)]
    assert [(v.key, v.sum) for v in rest.values] == [("c", 3)]


async def test_another_process_finishes_what_one_has_left_behind(database):
    async with event_service(database) as first, store_of(database, "event") as store:
        await log_scores(first, *[1] * 400)
        while not await stop_worker():
            await asyncio.sleep(0)
        await define(first)
        for _ in range(3):
            await SqlProjectionStore(store.functions).backfill(50)
        left = await first.GetProjection(pb.GetProjectionRequest(name="scores"))

    async with event_service(database) as second:
        await until_ready(second)
        [value] = (await values(second, ADA)).values

    assert (left.projection.state != READY, left.projection.backfilled_position) == (True, 150)
    assert (value.count, value.sum) == (400, 400)


async def stop_worker() -> bool:
    """End the only back-fill as a crash would; answers whether there was one yet."""
    workers = [task for task in asyncio.all_tasks() if task.get_name() == "backfill"]
    for worker in workers:
        worker.cancel()
        await asyncio.wait([worker])
    return bool(workers)


class FakeProjections:
    """A ProjectionStore as far as the back-fill goes."""

    def __init__(self, *steps: BackfillStep | Exception) -> None:
        self.steps = list(steps)
        self.asked: asyncio.Queue[int] = asyncio.Queue()

    async def backfill(self, most_positions: int) -> BackfillStep:
        self.asked.put_nowait(most_positions)
        step = self.steps.pop(0) if self.steps else BackfillStep(False, 0)
        if isinstance(step, Exception):
            raise step
        return step

    define = get = list = delete = values = backfill  # type: ignore[assignment]


async def test_the_back_fill_steps_further_while_it_is_quick_and_less_far_after_trouble():
    store = FakeProjections(BackfillStep(True, 9), Unavailable("away"), BackfillStep(True, 5))
    worker = Backfill(store, idle=0.001)  # type: ignore[arg-type]

    worker.start()
    worker.start()
    asked = [await asyncio.wait_for(store.asked.get(), 5) for _ in range(4)]
    await worker.drain()

    assert asked == [2000, 4000, 1000, 2000]


async def test_an_append_opens_the_partition_of_today_alone(database, admin):
    await admin.execute(
        "SELECT event.make_partition((now() AT TIME ZONE 'UTC')::date - n)"
        " FROM generate_series(0, 60) n"
    )
    async with store_of(database, "event") as store:
        await SqlProjectionStore(store.functions).define(a_definition())
    event = f"""[[{{"event_id": "{ids.new()}", "person_id": "{ADA}", "event_type": "message",
                   "platform": "discord", "content": {{"score": 1, "key": "k"}}}}]]"""

    async with admin.transaction():
        await admin.execute("SELECT event.append_events($1)", event)
        await admin.execute("SELECT event.project_appended(1, 1, created_at) FROM event.log_head")
        opened = await admin.fetchval(
            r"""SELECT count(DISTINCT c.oid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                WHERE l.pid = pg_backend_pid() AND c.relname ~ '^event_log_\d{8}$'"""
        )
        sums = await admin.fetchval("SELECT sum FROM event.projection_values")

    assert (opened, sums) == (1, 2)


@pytest.fixture
async def two(database: Database) -> AsyncIterator[list[Stub]]:
    """Two instances of the service."""
    async with event_service(database) as first, event_service(database) as second:
        yield [first, second]


@pytest.mark.parametrize("seed", range(2))
async def test_values_are_what_the_log_says_whoever_is_at_it_and_whatever_dies(
    two, database, admin, monkeypatch, seed
):
    """Writers, redactions, erasures and definitions at once, and connections that break."""
    monkeypatch.setattr(backfill, "FIRST_POSITIONS", 7)
    monkeypatch.setattr(backfill, "MOST_POSITIONS", 30)
    monkeypatch.setattr(backfill, "RETRY_SECONDS", 0.01)
    chance = random.Random(seed)
    subjects = [ids.new() for _ in range(5)]
    gone = subjects[:2]
    known: list[str] = []

    async def tried(call):
        """An answer, however often the store was away; None for an erased subject."""
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                    return None
                assert error.code() is grpc.StatusCode.UNAVAILABLE, error
                await asyncio.sleep(0.01)

    async def write(stub):
        for _ in range(25):
            messages = [
                a_message(
                    person_id=chance.choice(subjects),
                    content={"score": chance.choice([0.1, 3, -7.5]), "key": chance.choice("ab")},
                )
                for _ in range(chance.choice([1, 1, 4]))
            ]
            for _ in range(chance.choice([1, 1, 2])):
                request = pb.LogEventsRequest(events=messages)
                await tried(lambda request=request: stub.LogEvents(request))
            known.extend(message.event_id for message in messages)

    async def until_known(number):
        while len(known) < number:
            await asyncio.sleep(0.001)

    async def redact(stub):
        for number in range(10, 200, 15):
            await until_known(number)
            request = pb.RedactEventsRequest(event_ids=chance.sample(known, 5), reason="test")
            await tried(lambda request=request: stub.RedactEvents(request))

    async def define_some(stub):
        for number, name in zip((20, 70, 120), "pqr", strict=True):
            await until_known(number)
            await tried(lambda name=name: define(stub, name=name))

    async def erase(stub):
        await until_known(100)
        request = pb.EraseSubjectsRequest(subject_ids=gone)
        await tried(lambda: stub.EraseSubjects(request))

    async def break_connections():
        for number in (30, 80, 110, 150):
            await until_known(number)
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'kith kith_event' AND random() < 0.4"
            )

    await asyncio.gather(
        *(write(stub) for stub in two for _ in range(4)),
        *(redact(stub) for stub in two),
        define_some(two[0]),
        erase(two[1]),
        break_connections(),
    )
    for name in "pqr":
        await until_ready(two[0], name)

    async with store_of(database, "event") as store:
        projections = SqlProjectionStore(store.functions)
        log = await whole_log(SqlEventStore(store.functions))
        for projection in await projections.list():
            expected = Counted(projection).table(log)
            found = await table_of(projections, projection.definition.name, *subjects)
            assert found == expected
            assert {subject for subject, _ in found} == set(subjects[2:])
    assert len([event for event in log if event.event_type == "message"]) > 100
