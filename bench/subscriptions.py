"""What following the log costs: `python -m bench.subscriptions`, or as a part of `make bench`."""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc

from bench.measure import Figures, figures
from kith.event.v1 import event_pb2, event_service_pb2_grpc
from kith.event.v1 import event_service_pb2 as pb
from tests.support.up import RunningKith

SUBSCRIBERS = (1, 100, 1000)
EVENTS_A_SECOND = 10
SECONDS = 5.0
BACKLOG = 20_000
BATCH = 1000
READERS = (1, 10)
# Streams on one connection wait for one another.
STREAMS_A_CHANNEL = 250


def _event(subject: str) -> event_pb2.NewEvent:
    event = event_pb2.NewEvent(
        event_id=str(uuid.uuid4()), event_type="message", platform="web", person_id=subject
    )
    event.content.update({"text": "A message of quite ordinary length.", "role": "user"})
    return event


RATIOS: Sequence[tuple[str, str]] = ()


async def rows(running: RunningKith) -> AsyncIterator[tuple[str, Figures]]:
    """Latency of deliveries, and how fast history is read."""
    address = running.address("event")
    for count in SUBSCRIBERS:
        from_call, from_commit = await deliveries(address, count)
        name = f"{count} subscribers, {EVENTS_A_SECOND} events/s"
        yield f"append and delivery, {name}", from_call
        yield f"delivery after commit, {name}", from_commit
    await log_backlog(address)
    for count in READERS:
        yield f"catching up, {count} subscribers (events)", await catch_up(address, count)


async def deliveries(address: str, subscribers: int) -> tuple[Figures, Figures]:
    """Until a subscriber has an event: since the writer sent it, and since the writer was told
    that it is committed, which may be later than the subscriber is.

    Each subscriber follows a subject of its own, and each event matches one of them.
    """
    subjects = [str(uuid.uuid4()) for _ in range(subscribers)]
    arrived: dict[str, float] = {}

    async def receive(call: Any, is_seated: asyncio.Event) -> None:
        async for answer in call:
            if answer.mark == pb.SUBSCRIPTION_MARK_CAUGHT_UP:
                is_seated.set()
            for event in answer.events:
                arrived[event.event_id] = time.perf_counter()

    async with AsyncExitStack() as stack:
        writer, *stubs = [
            event_service_pb2_grpc.EventServiceStub(
                await stack.enter_async_context(
                    grpc.aio.insecure_channel(
                        address, options=[("grpc.use_local_subchannel_pool", 1)]
                    )
                )
            )
            for _ in range(1 + -(-subscribers // STREAMS_A_CHANNEL))
        ]
        receivers = []
        for subject, stub in zip(subjects, itertools.cycle(stubs)):
            chosen = event_pb2.EventFilter(subject_ids=[subject])
            is_seated = asyncio.Event()
            call = stub.SubscribeEvents(pb.SubscribeEventsRequest(filter=chosen))
            receivers.append((asyncio.create_task(receive(call, is_seated)), is_seated))
        for _, is_seated in receivers:
            await is_seated.wait()

        sent: dict[str, float] = {}
        committed: dict[str, float] = {}
        for subject in itertools.islice(itertools.cycle(subjects), int(SECONDS * EVENTS_A_SECOND)):
            event = _event(subject)
            sent[event.event_id] = time.perf_counter()
            await writer.LogEvent(pb.LogEventRequest(event=event))
            committed[event.event_id] = time.perf_counter()
            await asyncio.sleep(1 / EVENTS_A_SECOND)
        async with asyncio.timeout(5):
            while len(arrived) < len(committed):  # noqa: ASYNC110 - it ends by itself in a moment
                await asyncio.sleep(0.01)
        for task, _ in receivers:
            task.cancel()
        await asyncio.gather(*(task for task, _ in receivers), return_exceptions=True)
    return (
        figures([arrived[one] - sent[one] for one in sent], SECONDS),
        figures([max(arrived[one] - committed[one], 0.0) for one in committed], SECONDS),
    )


async def log_backlog(address: str) -> None:
    """Make history to catch up with."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = event_service_pb2_grpc.EventServiceStub(channel)
        for _ in range(0, BACKLOG, BATCH):
            events = [_event(str(uuid.uuid4())) for _ in range(BATCH)]
            await stub.LogEvents(pb.LogEventsRequest(events=events))


async def catch_up(address: str, subscribers: int) -> Figures:
    """Everything from the beginning; events a second of all together, latencies of answers."""
    waits: list[float] = []

    async def read(channel: grpc.aio.Channel) -> int:
        stub = event_service_pb2_grpc.EventServiceStub(channel)
        call = stub.SubscribeEvents(pb.SubscribeEventsRequest(from_beginning=True))
        count, before = 0, time.perf_counter()
        async for answer in call:
            waits.append(time.perf_counter() - before)
            before += waits[-1]
            if answer.mark == pb.SUBSCRIPTION_MARK_CAUGHT_UP:
                break
            count += len(answer.events)
        call.cancel()
        return count

    async with grpc.aio.insecure_channel(address) as channel:
        started = time.perf_counter()
        counts = await asyncio.gather(*(read(channel) for _ in range(subscribers)))
        seconds = time.perf_counter() - started
    found = figures(waits, seconds)
    return Figures(sum(counts) / seconds, found.p50, found.p99)
