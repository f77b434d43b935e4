"""Appending to the log, measured from outside of its process."""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator

import grpc

from bench.floors import ROWS
from bench.measure import CALLERS, WARM_UP, Figures, closed_loop, figures
from kith.event.v1 import event_pb2, event_service_pb2_grpc
from kith.event.v1 import event_service_pb2 as pb
from tests.support.up import RunningKith

BATCHES = (100, 1000)
# How many events the requests of a stream hold, and how many streams there are, so that client
# and server overlap.
STREAMED = (1, 100)
STREAMS = 2
SECONDS = 4.0
# How many events of a stream are sent before the first of them is answered: without a bound
# latencies would be those of the buffers between client and server.
OUTSTANDING = 2000
# Requests are made before the clock runs: the load generator has half of the machine at best.
MOST_SINGLE, MOST_EVENTS = 30_000, 200_000

INSERT = f"floor: asyncpg insert, {ROWS} rows, 1 caller (rows)"
INGEST = f"IngestEvents of 100, {STREAMS} streams (rows)"
RATIOS = (
    *((f"LogEvent, {n} callers", f"floor: empty RPC, {n} callers") for n in CALLERS),
    *((f"LogEvent, {n} callers", f"floor: empty RPC in the kit, {n} callers") for n in CALLERS),
    ("BatchLogEvents of 1000, 2 callers (rows)", INSERT),
    (INGEST, INSERT),
    (INGEST, f"floor: asyncpg COPY, {ROWS} rows, 1 caller (rows)"),
)


async def rows(running: RunningKith) -> AsyncIterator[tuple[str, Figures]]:
    """Single appends, batches and streams."""
    async with grpc.aio.insecure_channel(running.address("event")) as channel:
        stub = event_service_pb2_grpc.EventServiceStub(channel)
        for callers in CALLERS:
            yield f"LogEvent, {callers} callers", await appends(stub, callers)
        for events in BATCHES:
            yield f"BatchLogEvents of {events}, 2 callers (rows)", await batches(stub, events)
        for events in STREAMED:
            yield f"IngestEvents of {events}, {STREAMS} streams (rows)", await ingest(stub, events)


async def appends(stub: event_service_pb2_grpc.EventServiceStub, callers: int) -> Figures:
    """`LogEvent`, one event a call."""
    requests = iter([pb.LogEventRequest(event=_event()) for _ in range(MOST_SINGLE)])
    return await closed_loop(lambda: stub.LogEvent(next(requests)), callers=callers)


async def batches(stub: event_service_pb2_grpc.EventServiceStub, events: int) -> Figures:
    """`BatchLogEvents`, rows a second; two callers, so that client and server overlap."""
    requests = iter(
        [
            pb.BatchLogEventsRequest(
                requests=[pb.LogEventsRequest(events=[_event()]) for _ in range(events)]
            )
            for _ in range(MOST_EVENTS // events)
        ]
    )
    return await closed_loop(
        lambda: stub.BatchLogEvents(next(requests)), callers=2, seconds=SECONDS, items=events
    )


async def ingest(stub: event_service_pb2_grpc.EventServiceStub, events: int) -> Figures:
    """`IngestEvents`, rows a second that were answered, and how long each request took."""
    most = min(MOST_EVENTS // events, 60_000) // STREAMS
    ready = [
        [
            pb.IngestEventsRequest(sequence=n, events=[_event() for _ in range(events)])
            for n in range(1, most + 1)
        ]
        for _ in range(STREAMS)
    ]
    start = time.perf_counter()
    measured_from, end = start + SECONDS * WARM_UP, start + SECONDS
    latencies: list[float] = []

    async def stream(requests: list[pb.IngestEventsRequest]) -> None:
        sent: list[float] = []
        room = asyncio.Semaphore(OUTSTANDING // events)

        async def until_the_end() -> AsyncIterator[pb.IngestEventsRequest]:
            for request in itertools.takewhile(lambda _: time.perf_counter() < end, requests):
                await room.acquire()
                sent.append(time.perf_counter())
                yield request

        async for answer in stub.IngestEvents(until_the_end()):
            if answer.HasField("error"):
                raise RuntimeError(f"an event was refused: {answer.error.message}")
            room.release()
            now = time.perf_counter()
            if measured_from <= now < end:
                latencies.append(now - sent[answer.sequence - 1])

    await asyncio.gather(*map(stream, ready))
    return figures(latencies, end - measured_from, events)


def _event() -> event_pb2.NewEvent:
    # No message: those are read again by the gateway's reader, on the same two cores.
    event = event_pb2.NewEvent(
        event_id=str(uuid.uuid4()), event_type="page_view", platform="web", person_id=_PERSON
    )
    event.content.update({"text": "A message of quite ordinary length.", "role": "user"})
    return event


_PERSON = str(uuid.uuid4())
