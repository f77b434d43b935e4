"""Streams of events into the log, over a real channel: answered in order, cut, held back."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from event_svc.__main__ import assemble
from event_svc.domain.log import Append, LoggedEvent
from event_svc.servicers.ingest import OF_EACH, Ingest
from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from svckit import ids, serve
from svckit.addresses import Bind
from svckit.batcher import Size
from tests.support.cluster import administrator
from tests.support.events import Stub, a_message, event_service, log_one
from tests.support.refusals import Refusal
from tests.support.services import channel_to, running, store_of


@pytest.fixture
async def events(database):
    async with event_service(database) as stub:
        yield stub


def request(sequence: int, *messages: event_pb2.NewEvent) -> pb.IngestEventsRequest:
    return pb.IngestEventsRequest(sequence=sequence, events=messages)


def requests_of(*batches: Iterable[event_pb2.NewEvent]) -> list[pb.IngestEventsRequest]:
    return [request(n, *messages) for n, messages in enumerate(batches, start=1)]


async def ingest(events: Stub, requests: Iterable[pb.IngestEventsRequest]) -> Any:
    return [answer async for answer in events.IngestEvents(iter(requests))]


def positions(answer: pb.IngestEventsResponse) -> list[int]:
    return [place.position for place in answer.response.events]


async def refusal_ending(call: Any) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in call:
            pass
    status = rpc_status.from_call(raised.value)
    assert status is not None, raised.value
    return Refusal.of(status)


async def stored(database: Any) -> list[str]:
    async with administrator(database) as admin:
        rows = await admin.fetch("SELECT event_id::text FROM event.event_log ORDER BY position")
    return [row["event_id"] for row in rows]


async def test_each_request_is_answered_in_order_with_its_sequence(events, database):
    batches = [[a_message() for _ in range(n % 3 + 1)] for n in range(200)]

    answers = await ingest(events, requests_of(*batches))

    assert [answer.sequence for answer in answers] == list(range(1, 201))
    assert [p for answer in answers for p in positions(answer)] == list(range(1, 400))
    assert await stored(database) == [m.event_id for messages in batches for m in messages]


async def test_an_answer_comes_while_the_stream_stays_open(events):
    call = events.IngestEvents()

    for sequence in (3, 7):
        await call.write(request(sequence, a_message()))
        answer = await call.read()
        assert (answer.sequence, len(positions(answer))) == (sequence, 1)
    await call.done_writing()

    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_what_is_wrong_with_a_request_does_not_end_the_stream(events, database):
    known, erased = await log_one(events), ids.new()
    async with administrator(database) as admin:
        await admin.execute("INSERT INTO event.tombstones VALUES ($1, now())", erased)
    twice = a_message()

    answers = await ingest(
        events,
        requests_of(
            [a_message()],
            [a_message(), a_message(known.event_id, platform="slack")],
            [a_message(), a_message(platform="")],
            [],
            [a_message(person_id=erased)],
            [twice, twice],
            [a_message(known.event_id)],
            [a_message()],
        ),
    )

    reasons = [Refusal.of(answer.error).reason if answer.HasField("error") else "" for answer in
               answers]  # fmt: skip
    assert reasons == [
        "", "IDEMPOTENCY_CONFLICT", "INVALID_ARGUMENT", "INVALID_ARGUMENT", "SUBJECT_ERASED",
        "INVALID_ARGUMENT", "", "",
    ]  # fmt: skip
    fields = [field for n in (2, 3, 5) for field in Refusal.of(answers[n].error).fields]
    assert fields == ["events[1].platform", "events", "events[1].event_id"]
    assert [positions(answers[n]) for n in (0, 6, 7)] == [[2], [known.position], [3]]


@pytest.mark.parametrize("sequences", [[1, 2, 2, 3], [1, 2, -1, 3]])
async def test_a_sequence_that_does_not_grow_ends_the_stream_after_what_came_before(
    events, database, sequences
):
    answers: list[pb.IngestEventsResponse] = []
    call = events.IngestEvents()
    for sequence in sequences:
        await call.write(request(sequence, a_message()))

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        while True:
            answers.append(await call.read())

    refusal = Refusal.of(rpc_status.from_call(raised.value))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.fields == ["sequence"]
    assert [answer.sequence for answer in answers] == [1, 2]
    assert len(await stored(database)) == 2


async def test_a_first_sequence_has_to_be_positive(events):
    refusal = await refusal_ending(events.IngestEvents(iter([request(0, a_message())])))

    assert refusal.fields == ["sequence"]


async def test_requests_stay_in_order_whatever_ids_they_share(events, database):
    shared = [a_message() for _ in range(3)]
    batches = [[a_message(), shared[n % 3], a_message()] for n in range(60)]

    answers, *_ = await asyncio.gather(
        ingest(events, requests_of(*batches)),
        *(ingest(events, requests_of(*([m] for m in shared[::-1]))) for _ in range(5)),
    )

    new = [place.position for a in answers for place in a.response.events if not place.duplicate]
    assert new == sorted(new)
    assert len(await stored(database)) == 123


async def test_a_stream_cut_anywhere_and_sent_again_logs_everything_once_in_order(events, database):
    chooser = random.Random(4)
    waiting = requests_of(*([a_message(), a_message()] for _ in range(300)))
    everything = [message.event_id for one in waiting for message in one.events]
    answered: set[int] = set()
    cuts = 0

    while waiting:
        call = events.IngestEvents(iter(waiting))
        after = chooser.randint(0, 60)
        async for answer in call:
            assert answer.HasField("response")
            answered.add(answer.sequence)
            after -= 1
            if after <= 0 and cuts < 12:
                cuts += call.cancel()
                break
        waiting = [one for one in waiting if one.sequence not in answered]

    assert cuts == 12
    assert len(answered) == 300
    # Whatever the service had read of the streams that were cut, it logged in their order.
    assert await stored(database) == everything


async def test_many_streams_beside_single_calls_are_all_answered(events, database):
    streams = [requests_of(*([a_message()] for _ in range(40))) for _ in range(25)]

    answers = await asyncio.gather(
        *(ingest(events, requests) for requests in streams), *(log_one(events) for _ in range(50))
    )

    for stream in answers[:25]:
        places = [position for answer in stream for position in positions(answer)]
        assert places == sorted(places)
        assert len(places) == 40
    assert len(set(await stored(database))) == 25 * 40 + 50


async def test_a_client_that_never_reads_is_held_back(database):
    # A window that stays at 64 KiB: one answer of these.
    options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1 << 16)]
    content = {"text": "x" * 1000}
    written = 0

    async def write(call: Any) -> None:
        nonlocal written
        for sequence in range(1, 40):
            messages = (a_message(content=content) for _ in range(1000))
            await call.write(request(sequence, *messages))
            written = sequence

    async with (
        running(assemble, database, "event") as address,
        grpc.aio.insecure_channel(address, options) as channel,
    ):
        call = Stub(channel).IngestEvents()
        writing = asyncio.create_task(write(call))
        before = -1
        while written > before:
            before = written
            await asyncio.wait([writing], timeout=1)
        held_back = not writing.done()
        place = await log_one(Stub(channel))
        writing.cancel()
        call.cancel()

    # What the stream's window and the connection hold, and no more.
    assert held_back
    assert OF_EACH.items / 1000 <= written < 20
    assert place.position <= 1000 * written + 1


async def test_what_was_read_is_answered_before_the_service_stops(database):
    async with store_of(database, "event") as store:
        service = await serve.start(assemble(store), Bind("127.0.0.1", 0))
        async with channel_to(str(service.address)) as channel:
            call = Stub(channel).IngestEvents()
            for sequence in range(1, 101):
                await call.write(request(sequence, a_message()))
            first = await call.read()
            async with asyncio.timeout(5):
                stopping = asyncio.create_task(service.stop(grace=10))
                answers = [first]
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    while True:
                        answers.append(await call.read())
                await stopping

    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert [answer.sequence for answer in answers] == list(range(1, len(answers) + 1))
    # What is logged was answered: nothing is left for the caller to guess.
    assert len(await stored(database)) == len(answers)


class FakeIntake:
    """An intake that logs when it is told to, and counts."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.gate = asyncio.Event()

    async def log_each(self, requests: list[Append]) -> list[list[LoggedEvent]]:
        self.calls.append(len(requests))
        await self.gate.wait()
        return [
            [LoggedEvent(event.event_id, 1, "2026-11-21T00:00:00+00:00", False)
             for event in one.events]
            for one in requests
        ]  # fmt: skip


class Requests:
    """A stream of requests without an end, that counts how many were taken from it."""

    def __init__(self) -> None:
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[pb.IngestEventsRequest]:
        while True:
            self.taken += 1
            yield request(self.taken, a_message())


async def settled(requests: Requests) -> int:
    """How many requests were taken when no more are."""
    before = -1
    while requests.taken > before:
        before = requests.taken
        for _ in range(20):
            await asyncio.sleep(0)
    return before


async def test_a_stream_reads_no_further_than_its_bound_and_gives_back_what_it_held():
    intake, requests = FakeIntake(), Requests()
    streams = Ingest(intake, each=Size(10, 1 << 20), together=Size(100, 1 << 20))  # type: ignore[arg-type]
    answers = streams.IngestEvents(requests.__aiter__(), None)  # type: ignore[arg-type]
    first = asyncio.create_task(anext(answers))

    # One more is in the hand, and has no room.
    assert await settled(requests) == 11
    intake.gate.set()
    assert (await first).sequence == 1
    # Nobody takes further answers, so what is logged is still held.
    assert await settled(requests) == 11
    assert (await anext(answers)).sequence == 2
    assert await settled(requests) == 12
    await answers.aclose()

    assert streams.held == Size(0, 0)
    assert sum(intake.calls) == 11


async def test_streams_together_read_no_further_than_their_bound():
    intake = FakeIntake()
    streams = Ingest(intake, each=Size(10, 1 << 20), together=Size(15, 1 << 20))  # type: ignore[arg-type]
    sources = [Requests() for _ in range(4)]
    calls = [streams.IngestEvents(one.__aiter__(), None) for one in sources]  # type: ignore[arg-type]
    firsts = [asyncio.create_task(anext(call)) for call in calls]

    assert sum([await settled(one) for one in sources]) == 15 + 4
    # Whoever goes leaves room for the others.
    intake.gate.set()
    assert [(await first).sequence for first in firsts] == [1] * 4
    await calls[0].aclose()
    assert [await settled(one) >= 10 for one in sources[1:]] == [True] * 3
    for call in calls[1:]:
        await call.aclose()

    assert streams.held == Size(0, 0)
