"""Channels to the services: deadline, credential and trace on every call, retries within a budget.

What a service answers comes back as the exception that it raised; see `answer_error`.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

import grpc
import orjson
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from gateway import tracing
from svckit import errors, logs, rpc, serve

log = logs.get(__name__)

Request = TypeVar("Request", bound=Message)
Request_contra = TypeVar("Request_contra", bound=Message, contravariant=True)
Response = TypeVar("Response", bound=Message)
Response_co = TypeVar("Response_co", bound=Message, covariant=True)
Detail = TypeVar("Detail", bound=Message)

_RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", serve.MESSAGE_BYTES),
    ("grpc.max_send_message_length", serve.MESSAGE_BYTES),
    # A frozen peer is noticed by ping_timeout; keepalive_timeout has no effect.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC would wait up to two minutes before it tries a service that is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # How long a connection may take to be made, whatever the name says.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
]

_KINDS = {code: kind for kind, code in rpc.CODES.items()}


class RemoteError(Exception):
    """A service failed in a way that is no caller's business."""


class MessageTooLarge(errors.ServiceError):
    """A message does not fit through the channel; a smaller request may."""


# What a call to a service may raise.
FAILURES = (errors.ServiceError, RemoteError, TimeoutError)


class Method(Protocol[Request_contra, Response_co]):
    """A unary method of a stub."""

    def __call__(
        self, request: Request_contra, *, timeout: float | None, metadata: Any
    ) -> Awaitable[Response_co]: ...


class StreamMethod(Protocol[Request_contra, Response]):
    """A method of a stub that answers a stream."""

    def __call__(
        self, request: Request_contra, *, metadata: Any
    ) -> grpc.aio.UnaryStreamCall[Any, Response]: ...


class Answers(Generic[Response]):
    """The answers of a stream, read one at a time: what is not read yet is held back."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[Any, Response], service: str) -> None:
        self._call = call
        self._service = service
        self._reading: asyncio.Task[Any] | None = None

    async def next(self, seconds: float | None = None) -> Response | None:
        """The next answer, None if it does not come in time.

        Raises what the service raised, and Unavailable where it ends the stream.
        """
        answer = await self._read(seconds)
        if answer is grpc.aio.EOF:
            raise unreachable(self._service)
        return cast(Response | None, answer)

    async def each(self, seconds: float) -> AsyncIterator[Response]:
        """All answers of a stream that ends; raises TimeoutError where one takes longer."""
        while (answer := await self._read(seconds)) is not grpc.aio.EOF:
            if answer is None:
                raise TimeoutError(f"the {self._service} service did not go on in time")
            yield answer

    async def _read(self, seconds: float | None) -> Any:
        """The next answer, EOF at the end, None if it does not come in time."""
        if self._reading is None:
            # In a task of its own: to stop waiting for a read would cancel the call.
            self._reading = asyncio.ensure_future(self._call.read())
        done, _ = await asyncio.wait({self._reading}, timeout=seconds)
        if not done:
            return None
        reading, self._reading = self._reading, None
        try:
            return reading.result()
        except grpc.aio.AioRpcError as error:
            raise _raised(error, self._service) from None

    def close(self) -> None:
        """Cancel the call."""
        self._call.cancel()
        if self._reading is not None:
            # Nobody waits for it any more, whatever it ends with.
            self._reading.add_done_callback(lambda read: read.cancelled() or read.exception())
            self._reading.cancel()


class Channel:
    """The way to one service, wherever its replicas are.

    `once` names methods that are not to be repeated after a lost answer.
    """

    def __init__(
        self, name: str, target: str, token: str | None, services: Sequence[str],
        once: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.name = name
        self.target = target
        self._credential = (("authorization", f"Bearer {token}"),) if token else ()
        retried = {"name": [{"service": each} for each in services], "retryPolicy": _RETRY}
        # The more exact name wins, and has no policy.
        not_retried = [{"name": [{"service": services[0], "method": each}]} for each in once]
        config = {
            "loadBalancingConfig": [{"round_robin": {}}],
            "methodConfig": [retried, *not_retried],
            "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.2},
        }
        self.grpc = grpc.aio.insecure_channel(
            target, options=[*_OPTIONS, ("grpc.service_config", orjson.dumps(config).decode())]
        )
        self._health: Any = health_pb2_grpc.HealthStub(self.grpc)

    async def call(
        self, method: Method[Request, Response], request: Request, seconds: float,
        trace: tracing.Trace | None = None,
    ) -> Response:  # fmt: skip
        """What a method answers; raises what the service raised, or TimeoutError."""
        trace = trace or tracing.current()
        try:
            return await method(
                request,
                timeout=trace.seconds_left(seconds),
                metadata=(*trace.metadata(), *self._credential),
            )
        except grpc.aio.AioRpcError as error:
            raise _raised(error, self.name) from None

    def stream(
        self, method: StreamMethod[Request, Response], request: Request
    ) -> Answers[Response]:
        """What a streaming method answers, for as long as it is not closed."""
        metadata = (*tracing.current().metadata(), *self._credential)
        return Answers(method(request, metadata=metadata), self.name)

    async def send(
        self, method: Callable[..., grpc.aio.StreamUnaryCall[Request, Response]],
        messages: AsyncIterator[Request], seconds: float,
    ) -> Response:  # fmt: skip
        """What a method answers to a stream of messages; it may do so before their end.

        Whatever `messages` raises cancels the call, and is raised.
        """
        trace = tracing.current()
        call = method(
            timeout=trace.seconds_left(seconds),
            metadata=(*trace.metadata(), *self._credential),
        )
        try:
            async for message in messages:
                try:
                    await call.write(message)
                except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
                    break  # it is answered already; what with, the call knows
            else:
                await call.done_writing()
            return await call
        except grpc.aio.AioRpcError as error:
            raise _raised(error, self.name) from None
        finally:
            call.cancel()

    async def receive(
        self, method: Callable[..., grpc.aio.UnaryStreamCall[Request, Response]],
        request: Request, seconds: float,
    ) -> AsyncGenerator[Response, None]:  # fmt: skip
        """What a method answers as a stream that ends, as fast as it is taken."""
        trace = tracing.current()
        call = method(
            request, timeout=trace.seconds_left(seconds),
            metadata=(*trace.metadata(), *self._credential),
        )  # fmt: skip
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise _raised(error, self.name) from None
        finally:
            call.cancel()

    async def is_serving(self) -> bool:
        """Whether the service answers and says that it works."""
        try:
            answer = await self._health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Close it; calls in flight are cancelled."""
        await self.grpc.close()


def _raised(error: grpc.aio.AioRpcError, service: str) -> Exception:
    """The exception that stands behind a call that failed."""
    # The stub of from_call knows calls only; an AioRpcError has all that it reads.
    status = rpc_status.from_call(cast(grpc.Call, error)) or status_pb2.Status(
        code=error.code().value[0], message=error.details() or ""
    )
    return answer_error(status, service)


def answer_error(status: status_pb2.Status, service: str) -> Exception:
    """The exception that stands behind a status; the reverse of `svckit.rpc.status_of`.

    A status that no service of ours made has no ErrorInfo, and its text is not for callers.
    """
    info = _detail(status, error_details_pb2.ErrorInfo)
    if status.code == code_pb2.DEADLINE_EXCEEDED:
        return TimeoutError(f"the {service} service did not answer in time")
    if info is None:
        log.warning("a call failed", to=service, code=status.code, text=status.message)
        return _transport_error(status.code, service)
    kind = _KINDS.get(status.code)
    if kind is None or kind is errors.Unauthenticated:
        log.error("a service refused us", to=service, code=status.code, text=status.message)
        return RemoteError(f"{service}: {info.reason}")

    # Made without the constructors, whose arguments differ: a status has all that they set.
    error = kind.__new__(kind, status.message)
    error.message = status.message
    error.reason = info.reason
    error.metadata = dict(info.metadata)
    if isinstance(error, errors.InvalidRequest):
        request = _detail(status, error_details_pb2.BadRequest)
        error.violations = [
            (violation.field, violation.description)
            for violation in (request.field_violations if request else ())
        ]
    retry = _detail(status, error_details_pb2.RetryInfo)
    if retry is not None:
        error.retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    elif isinstance(error, errors.Unavailable | errors.ResourceExhausted):
        error.retry_after = 1.0
    return error


def _transport_error(code: int, service: str) -> Exception:
    if code in (code_pb2.UNAVAILABLE, code_pb2.CANCELLED):
        return unreachable(service)
    if code == code_pb2.RESOURCE_EXHAUSTED:
        return MessageTooLarge(f"a message to or from the {service} service is too large")
    return RemoteError(f"{service}: status {code}")


def unreachable(service: str) -> errors.Unavailable:
    """The error of a service that cannot be called."""
    error = errors.Unavailable(f"the {service} service cannot be reached", service=service)
    error.reason = "SERVICE_UNAVAILABLE"
    return error


def _detail(status: status_pb2.Status, kind: type[Detail]) -> Detail | None:
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    return None
