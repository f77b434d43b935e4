"""What surrounds every RPC, over a real channel with a small servicer behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import identity_service_pb2_grpc
from svckit import calls, serve
from svckit.addresses import Bind
from svckit.calls import Bounds
from svckit.errors import Conflict, InvalidRequest, SqlError, Unavailable

NAME = "kith.identity.v1.IdentityService"


class Changed(Conflict):
    reason = "ETAG_MISMATCH"


class Servicer(identity_service_pb2_grpc.IdentityServiceServicer):
    """Answers by the id it is asked for."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()

    async def GetPerson(self, request: pb.GetPersonRequest, context: Any) -> pb.GetPersonResponse:
        match request.person_id:
            case "invalid":
                raise InvalidRequest("person_id", "is odd")
            case "conflict":
                raise Changed("it changed", person_id="p1")
            case "unavailable":
                raise Unavailable("the store cannot be reached", retry_after=2.5)
            case "data":
                raise SqlError("22P05", "unsupported Unicode escape in table secrets")
            case "bug":
                raise RuntimeError("password=hunter2")
            case "slow":
                self.entered.set()
                await self.gate.wait()
        return pb.GetPersonResponse()


async def start(
    servicer: Servicer, *, token: str | None = None, bounds: Bounds | None = None, **service: Any
) -> serve.Running:
    async def nothing() -> None:
        """Ready at once."""

    return await serve.start(
        serve.Service(
            domain="identity.kith",
            names=[NAME],
            add=lambda server: identity_service_pb2_grpc.add_IdentityServiceServicer_to_server(
                servicer, server
            ),
            **({"prepare": nothing, "check": nothing, "drain": nothing} | service),
        ),
        Bind("127.0.0.1", 0),
        token=token,
        bounds=bounds or Bounds(),
    )


@asynccontextmanager
async def serving(servicer: Servicer, **options: Any) -> AsyncIterator[grpc.aio.Channel]:
    running = await start(servicer, **options)
    async with grpc.aio.insecure_channel(str(running.address)) as channel:
        yield channel
    await running.stop(grace=1)


async def failure(channel: grpc.aio.Channel, person_id: str) -> tuple[grpc.aio.AioRpcError, Any]:
    stub = identity_service_pb2_grpc.IdentityServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetPerson(pb.GetPersonRequest(person_id=person_id))
    return raised.value, rpc_status.from_call(raised.value)


def detail(status: Any, kind: type[Any]) -> Any:
    found = kind()
    assert any(packed.Unpack(found) for packed in status.details)
    return found


async def test_errors_arrive_with_reason_domain_and_metadata():
    async with serving(Servicer()) as channel:
        error, status = await failure(channel, "conflict")

    info = detail(status, error_details_pb2.ErrorInfo)
    assert error.code() is grpc.StatusCode.ABORTED
    assert (info.reason, info.domain) == ("ETAG_MISMATCH", "identity.kith")
    assert dict(info.metadata) == {"person_id": "p1"}


async def test_a_bad_field_is_named():
    async with serving(Servicer()) as channel:
        error, status = await failure(channel, "invalid")

    violation = detail(status, error_details_pb2.BadRequest).field_violations[0]
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (violation.field, violation.description) == ("person_id", "is odd")


async def test_unavailable_says_when_to_come_back():
    async with serving(Servicer()) as channel:
        error, status = await failure(channel, "unavailable")

    delay = detail(status, error_details_pb2.RetryInfo).retry_delay
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert delay.ToMilliseconds() == 2500


@pytest.mark.parametrize(("person_id", "secret"), [("bug", "hunter2"), ("data", "secrets")])
async def test_what_was_not_meant_for_the_caller_does_not_reach_it(person_id: str, secret: str):
    async with serving(Servicer()) as channel:
        error, status = await failure(channel, person_id)

    assert secret not in f"{error.details()} {status}"
    assert error.code() in {grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT}


@pytest.mark.parametrize(
    ("wire", "field"),
    [
        (b"\x0a\x03a\xff\x62", "platform"),
        (
            b"\x1a\x0b\x0a\x09\x0a\x01k\x12\x04\x1a\x02\xc3\x28",
            "metadata.fields[0].value.string_value",
        ),
    ],
)
async def test_a_string_that_is_not_utf8_is_named(wire: bytes, field: str):
    async with serving(Servicer()) as channel:
        call = channel.unary_unary(f"/{NAME}/RegisterPerson", lambda raw: raw, lambda raw: raw)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(wire)

    violation = detail(
        rpc_status.from_call(raised.value), error_details_pb2.BadRequest
    ).field_violations[0]
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (violation.field, violation.description) == (field, "is not valid UTF-8")


async def test_bytes_that_are_no_message_are_a_bad_request():
    async with serving(Servicer()) as channel:
        call = channel.unary_unary(f"/{NAME}/GetPerson", lambda raw: raw, lambda raw: raw)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"\x0a\xff\xff")

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_calls_that_go_well_are_logged_at_debug_others_by_whose_trouble_they_are():
    with structlog.testing.capture_logs() as lines:
        async with serving(Servicer()) as channel:
            for person_id in ("", "invalid", "unavailable"):
                stub = identity_service_pb2_grpc.IdentityServiceStub(channel)
                await asyncio.wait(
                    [
                        asyncio.ensure_future(
                            stub.GetPerson(pb.GetPersonRequest(person_id=person_id))
                        )
                    ]
                )

    levels = [(line["code"], line["log_level"]) for line in lines if line["event"] == "rpc"]
    assert levels == [("OK", "debug"), ("INVALID_ARGUMENT", "info"), ("UNAVAILABLE", "warning")]


async def test_past_the_bound_calls_are_refused_at_once_and_health_is_not():
    servicer = Servicer()
    async with serving(servicer, bounds=Bounds(unary=1)) as channel:
        stub = identity_service_pb2_grpc.IdentityServiceStub(channel)
        slow = asyncio.ensure_future(stub.GetPerson(pb.GetPersonRequest(person_id="slow")))
        await servicer.entered.wait()

        error, status = await failure(channel, "any")
        healthy = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        servicer.gate.set()
        await slow
        await stub.GetPerson(pb.GetPersonRequest())

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert detail(status, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 0
    assert healthy.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_call_without_a_deadline_gets_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calls, "DEFAULT_SECONDS", 0.05)
    servicer = Servicer()
    async with serving(servicer) as channel:
        stub = identity_service_pb2_grpc.IdentityServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.GetPerson(pb.GetPersonRequest(person_id="slow"))
        servicer.gate.set()
        in_time = await stub.GetPerson(pb.GetPersonRequest(person_id="slow"), timeout=10)

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert raised.value.details() == "took too long"
    assert in_time == pb.GetPersonResponse()


async def test_the_service_token_is_asked_for():
    async with serving(Servicer(), token="s3cret") as channel:
        stub = identity_service_pb2_grpc.IdentityServiceStub(channel)
        error, status = await failure(channel, "any")
        await stub.GetPerson(pb.GetPersonRequest(), metadata=[("authorization", "Bearer s3cret")])

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert detail(status, error_details_pb2.ErrorInfo).reason == "UNAUTHENTICATED"


async def test_health_follows_the_store():
    broken = True

    async def check() -> None:
        if broken:
            raise Unavailable("the store cannot be reached")

    async with serving(Servicer(), check=check) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=NAME))
        seen = [(await watch.read()).status]
        broken = False
        seen.append((await watch.read()).status)
        watch.cancel()

    states = health_pb2.HealthCheckResponse
    assert seen == [states.NOT_SERVING, states.SERVING]


async def test_reflection_lists_the_service():
    async with serving(Servicer()) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        await call.done_writing()

    assert NAME in {service.name for service in answer.list_services_response.service}


async def test_calls_in_flight_finish_when_the_server_stops():
    servicer = Servicer()
    drained = []

    async def drain() -> None:
        drained.append(servicer.gate.is_set())

    running = await start(servicer, drain=drain)
    async with grpc.aio.insecure_channel(str(running.address)) as channel:
        stub = identity_service_pb2_grpc.IdentityServiceStub(channel)
        slow = asyncio.ensure_future(stub.GetPerson(pb.GetPersonRequest(person_id="slow")))
        await servicer.entered.wait()
        stopping = asyncio.create_task(running.stop(grace=10))
        error, _ = await failure(channel, "any")
        servicer.gate.set()

        assert await slow == pb.GetPersonResponse()
        await stopping

    # Which of the two depends on how far the call had come when the listener closed.
    assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert drained == [True]
