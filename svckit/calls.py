"""What surrounds every RPC: bounds, credential, ids for the logs, deadline, errors, metrics."""

import asyncio
import contextlib
import hmac
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Self

import grpc
from grpc_status import rpc_status

from svckit import errors, logs, metrics, rpc, wirecheck

log = logs.get(__name__)

# For callers that set no deadline of their own.
DEFAULT_SECONDS = 30.0

# Calls that went well are logged at debug, and from here on as warnings.
SLOW_SECONDS = 1.0

# Metadata of calls that nobody waits for, so that they may be slow.
BACKGROUND = "x-background"

# Codes that an operator should look into; all others are the caller's business.
_TROUBLE = frozenset(
    {
        *("INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"),
        "DATA_LOSS",
    }
)

UNARY, BATCH, STREAM = "unary", "batch", "stream"


@dataclass(frozen=True)
class Bounds:
    """How many calls of each class may be in flight at once; more are refused at once."""

    unary: int = 2000
    batch: int = 64
    stream: int = 2000

    def of(self, bound: str) -> int:
        return int(getattr(self, bound))


DEFAULT_BOUNDS = Bounds()


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps each method of our own services; health and reflection stay as they are."""

    def __init__(
        self, domain: str, *, token: str | None = None, bounds: Bounds = DEFAULT_BOUNDS
    ) -> None:
        self._domain = domain
        self._credential = f"Bearer {token}".encode() if token else None
        self._gates = {bound: _Gate(bound, bounds.of(bound)) for bound in (UNARY, BATCH, STREAM)}
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        method = details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(details)
        if handler is None or method.startswith("/grpc."):
            return handler
        self._wrapped[method] = self._wrap(handler, method.rpartition("/")[2])
        return self._wrapped[method]

    def _wrap(self, handler: Any, method: str) -> Any:
        parse = wirecheck.parser(handler.request_deserializer)
        if handler.response_streaming:
            return self._wrap_stream(handler, method, parse)

        call = handler.stream_unary if handler.request_streaming else handler.unary_unary
        gate = self._gates[
            STREAM if handler.request_streaming else BATCH if "Batch" in method else UNARY
        ]
        seconds = _Seconds(method)

        async def answer(request: Any, context: rpc.Context) -> Any:
            async with _Call(method, gate, seconds, context, self._domain, self._credential) as it:
                if handler.request_streaming:
                    return await call(_each(request, parse), context)
                it.limit()
                return await call(parse(request), context)

        make = (
            grpc.stream_unary_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        # Requests arrive as bytes, so that malformed ones are answered by us.
        return make(answer, None, handler.response_serializer)

    def _wrap_stream(self, handler: Any, method: str, parse: Callable[[bytes], Any]) -> Any:
        call = handler.stream_stream if handler.request_streaming else handler.unary_stream
        gate, seconds = self._gates[STREAM], _Seconds(method)

        async def answer(request: Any, context: rpc.Context) -> AsyncIterator[Any]:
            async with _Call(method, gate, seconds, context, self._domain, self._credential):
                argument = _each(request, parse) if handler.request_streaming else parse(request)
                # Closed at once when the caller is gone, not when somebody collects garbage.
                async with contextlib.aclosing(call(argument, context)) as messages:
                    async for message in messages:
                        yield message

        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        return make(answer, None, handler.response_serializer)


class _Gate:
    """Counts the calls of one class in flight, and refuses those past the bound."""

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.inside = 0
        metrics.RPC_IN_FLIGHT.labels(name).set_function(lambda: self.inside)

    def check(self) -> None:
        if self.inside > self.most:
            metrics.RPC_REFUSED.labels(self.name).inc()
            raise errors.ResourceExhausted(f"too many {self.name} calls at once")


class _Seconds(dict[str, Any]):
    """The histograms of one method by code; looking one up by labels each time is slow."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self._method = method

    def __missing__(self, code: str) -> Any:
        self[code] = metrics.RPC_SECONDS.labels(self._method, code)
        return self[code]


class _Call:
    """Everything around one call; it lets out nothing but what grpc itself understands.

    A class and not a generator, because it stands in the way of every call.
    """

    __slots__ = (
        *("_context", "_credential", "_domain", "_gate", "_is_background", "_is_over", "_method"),
        *("_seconds", "_started", "_timer"),
    )

    def __init__(
        self,
        method: str,
        gate: _Gate,
        seconds: _Seconds,
        context: rpc.Context,
        domain: str,
        credential: bytes | None,
    ) -> None:
        self._method = method
        self._gate = gate
        self._seconds = seconds
        self._context = context
        self._domain = domain
        self._credential = credential
        self._is_background = False
        self._is_over = False
        self._timer: asyncio.TimerHandle | None = None

    def limit(self) -> None:
        """Have the call end after a while, if its caller has set no deadline."""
        if self._context.time_remaining() is None:
            # What `asyncio.timeout` does, at a third of its price.
            task = asyncio.current_task()
            assert task is not None
            self._timer = task.get_loop().call_later(DEFAULT_SECONDS, self._end, task)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._is_over = True
        task.cancel()

    async def __aenter__(self) -> Self:
        self._started = time.perf_counter()
        self._gate.inside += 1
        try:
            metadata = dict(self._context.invocation_metadata() or ())
            logs.bind_call(metadata)
            self._is_background = BACKGROUND in metadata
            if self._credential is not None:
                given = str(metadata.get("authorization", "")).encode()
                if not hmac.compare_digest(given, self._credential):
                    raise errors.Unauthenticated("the service token is missing or wrong")
            self._gate.check()
        except errors.ServiceError as error:
            await self.__aexit__(type(error), error, None)
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._is_over and isinstance(error, asyncio.CancelledError):
            error = TimeoutError()
        code = "OK"
        try:
            if error is not None:
                code = _code_of(error)
                await self._abort(error)
        finally:
            self._gate.inside -= 1
            seconds = time.perf_counter() - self._started
            self._seconds[code].observe(seconds)
            self._log(code, seconds)

    def _log(self, code: str, seconds: float) -> None:
        """A line for the call. Calls that go well are many, and cost less than their line."""
        is_slow = seconds > SLOW_SECONDS and self._gate.name != STREAM and not self._is_background
        if code in _TROUBLE or (code == "OK" and is_slow):
            say = log.warning
        else:
            say = log.debug if code == "OK" else log.info
        say("rpc", method=self._method, code=code, ms=round(seconds * 1000, 2))

    async def _abort(self, error: BaseException) -> None:
        """End the call with the error's status; what grpc itself handles stays as it is."""
        if isinstance(error, TimeoutError):
            await self._context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "took too long")
        elif isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
            status = rpc.status_of(error, self._domain)
            await self._context.abort_with_status(rpc_status.to_status(status))


def _code_of(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "CANCELLED"
    if isinstance(error, TimeoutError):
        return "DEADLINE_EXCEEDED"
    return rpc.code_of(error)


async def _each(
    requests: AsyncIterator[bytes], parse: Callable[[bytes], Any]
) -> AsyncIterator[Any]:
    async for request in requests:
        yield parse(request)
