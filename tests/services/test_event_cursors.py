"""Cursors as their consumers see them, over a real channel."""

import asyncio
import os
import signal
import sys

import grpc
import pytest

from event_svc.__main__ import assemble
from kith.event.v1 import event_service_pb2 as pb
from tests.support.events import Stub, event_service, log_one
from tests.support.refusals import refusal_of
from tests.support.services import channel_to, running

# Holds a cursor for a second, prints its token, and saves position 2 once it is told to.
OWNER = """
import sys, grpc
from kith.event.v1 import event_service_pb2 as pb, event_service_pb2_grpc
events = event_service_pb2_grpc.EventServiceStub(grpc.insecure_channel(sys.argv[1]))
request = pb.AcquireCursorRequest(name="shared", owner="stopped", ttl={"seconds": 1})
token = events.AcquireCursor(request).fencing_token
print(token, flush=True)
sys.stdin.readline()
try:
    events.SaveCursor(pb.SaveCursorRequest(name="shared", position=2, fencing_token=token))
    print("saved", flush=True)
except grpc.RpcError as error:
    print(error.code().name, flush=True)
"""


@pytest.fixture
async def events(database):
    async with event_service(database) as stub:
        yield stub


def acquire(events: Stub, owner: str, **changes):
    return events.AcquireCursor(pb.AcquireCursorRequest(name="shared", owner=owner, **changes))


def save(events: Stub, position: int, token: int = 0):
    return events.SaveCursor(
        pb.SaveCursorRequest(name="shared", position=position, fencing_token=token)
    )


async def test_an_owner_that_was_stopped_for_too_long_cannot_save(database):
    async with running(assemble, database, "event") as address, channel_to(address) as channel:
        events = Stub(channel)
        for _ in range(3):
            await log_one(events)
        owner = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OWNER, address,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert owner.stdin is not None and owner.stdout is not None
        old_token = int(await owner.stdout.readline())
        os.kill(owner.pid, signal.SIGSTOP)
        held = await refusal_of(acquire(events, "other"))
        async with asyncio.timeout(5):
            while True:
                try:
                    taken = await acquire(events, "other", ttl={"seconds": 1})
                    break
                except grpc.aio.AioRpcError as error:
                    assert error.code() is grpc.StatusCode.ABORTED
                    await asyncio.sleep(0.02)
        await save(events, 1, taken.fencing_token)
        os.kill(owner.pid, signal.SIGCONT)
        answer, _ = await owner.communicate(b"save\n")
        position = (await events.GetCursor(pb.GetCursorRequest(name="shared"))).position

    assert held.reason == "CURSOR_HELD"
    assert held.retry_after is not None and 0 < held.retry_after <= 1
    assert taken.fencing_token > old_token
    assert (answer.decode().strip(), position) == ("ABORTED", 1)


async def test_a_cursor_goes_from_one_owner_to_the_next(events):
    for _ in range(5):
        await log_one(events)

    first = await acquire(events, "a")
    await save(events, 3, first.fencing_token)
    refusals = [await refusal_of(save(events, 4, token)) for token in (0, 99)]
    request = pb.ReleaseCursorRequest(name="shared", fencing_token=first.fencing_token)
    released = [(await events.ReleaseCursor(request)).released for _ in range(2)]
    second = await acquire(events, "b")
    lost = await refusal_of(save(events, 5, first.fencing_token))
    beyond = await refusal_of(save(events, 6, second.fencing_token))

    assert {refusal.reason for refusal in [*refusals, lost]} == {"LEASE_LOST"}
    assert lost.code is grpc.StatusCode.ABORTED
    assert lost.metadata == {"name": "shared"}
    assert released == [True, False]
    assert (first.position, second.position) == (0, 3)
    assert second.expires_at.seconds - first.expires_at.seconds < 30
    assert beyond.fields == ["position"]


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("AcquireCursor", {"owner": "a"}, "name"),
        ("AcquireCursor", {"name": "a b", "owner": "a"}, "name"),
        ("AcquireCursor", {"name": "a"}, "owner"),
        ("AcquireCursor", {"name": "a", "owner": "x" * 129}, "owner"),
        ("AcquireCursor", {"name": "a", "owner": "a", "ttl": {"nanos": 999_999_999}}, "ttl"),
        ("AcquireCursor", {"name": "a", "owner": "a", "ttl": {"seconds": 3601}}, "ttl"),
        ("AcquireCursor", {"name": "a", "owner": "a", "ttl": {"seconds": 2**62}}, "ttl"),
        ("AcquireCursor", {"name": "a", "owner": "a", "ttl": {}}, "ttl"),
        ("SaveCursor", {"name": "a", "position": 0, "fencing_token": -1}, "fencing_token"),
        ("SaveCursor", {"name": "a", "position": -1}, "position"),
        ("ReleaseCursor", {"name": "a"}, "fencing_token"),
        ("ReleaseCursor", {"name": "", "fencing_token": 1}, "name"),
    ],
)
async def test_a_malformed_request_is_refused_by_field(events, method, request_, field):
    request = getattr(pb, f"{method}Request")(**request_)

    refusal = await refusal_of(getattr(events, method)(request))

    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
