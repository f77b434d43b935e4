"""What surrounds every RPC: bounds, credential, ids for the logs, deadline, errors, metrics."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from grpc_status import rpc_status

from svckit import errors, ids, logs, metrics, rpc, wirecheck

log = logs.get(__name__)

# For callers that set no deadline of their own.
DEFAULT_SECONDS = 30.0

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
        self._bounds = bounds
        self._in_flight = dict.fromkeys((UNARY, BATCH, STREAM), 0)
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        method = details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(details)
        if handler is None or method.startswith("/grpc."):
            return handler
        self._wrapped[method] = self._wrap(handler, method)
        return self._wrapped[method]

    def _wrap(self, handler: Any, method: str) -> Any:
        short = method.rpartition("/")[2]
        parse = wirecheck.parser(handler.request_deserializer)
        if handler.response_streaming:
            return self._wrap_stream(handler, short, parse)

        call = handler.stream_unary if handler.request_streaming else handler.unary_unary
        bound = STREAM if handler.request_streaming else BATCH if "Batch" in short else UNARY

        async def answer(request: Any, context: rpc.Context) -> Any:
            async with self._around(short, bound, context):
                if handler.request_streaming:
                    return await call(_each(request, parse), context)
                async with asyncio.timeout(
                    None if context.time_remaining() is not None else DEFAULT_SECONDS
                ):
                    return await call(parse(request), context)

        make = (
            grpc.stream_unary_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        # Requests arrive as bytes, so that malformed ones are answered by us.
        return make(answer, None, handler.response_serializer)

    def _wrap_stream(self, handler: Any, short: str, parse: Callable[[bytes], Any]) -> Any:
        call = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def answer(request: Any, context: rpc.Context) -> AsyncIterator[Any]:
            async with self._around(short, STREAM, context):
                argument = _each(request, parse) if handler.request_streaming else parse(request)
                async for message in call(argument, context):
                    yield message

        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        return make(answer, None, handler.response_serializer)

    @asynccontextmanager
    async def _around(self, method: str, bound: str, context: rpc.Context) -> AsyncIterator[None]:
        """Everything but the call itself; raises nothing but what grpc itself understands."""
        started = time.perf_counter()
        code = "OK"
        metadata = dict(context.invocation_metadata() or ())
        _bind_ids(metadata)
        gauge = metrics.RPC_IN_FLIGHT.labels(bound)
        self._in_flight[bound] += 1
        gauge.inc()
        try:
            self._admit(bound, metadata)
            yield
        except (grpc.aio.AbortError, GeneratorExit):
            code = "ABORTED_BY_HANDLER"
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except TimeoutError:
            code = "DEADLINE_EXCEEDED"
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "took too long")
        except Exception as error:  # noqa: BLE001 - the one place that turns errors into statuses
            status = rpc.status_of(error, self._domain)
            code = rpc.STATUS_CODES[status.code].name
            await context.abort_with_status(rpc_status.to_status(status))
        finally:
            self._in_flight[bound] -= 1
            gauge.dec()
            seconds = time.perf_counter() - started
            metrics.RPC_SECONDS.labels(method, code).observe(seconds)
            log.info("rpc", method=method, code=code, ms=round(seconds * 1000, 2))

    def _admit(self, bound: str, metadata: Mapping[str, Any]) -> None:
        if self._credential is not None:
            given = str(metadata.get("authorization", "")).encode()
            if not hmac.compare_digest(given, self._credential):
                raise errors.Unauthenticated("the service token is missing or wrong")
        if self._in_flight[bound] > self._bounds.of(bound):
            metrics.RPC_REFUSED.labels(bound).inc()
            raise errors.ResourceExhausted(f"too many {bound} calls at once")


def _bind_ids(metadata: Mapping[str, Any]) -> None:
    """Give the call's log lines the trace it belongs to (W3C `traceparent`)."""
    _, _, rest = str(metadata.get("traceparent", "")).partition("-")
    structlog.contextvars.bind_contextvars(
        trace_id=rest.partition("-")[0] or ids.new().replace("-", ""),
        request_id=str(metadata.get("x-request-id", "")) or ids.new(),
    )


async def _each(
    requests: AsyncIterator[bytes], parse: Callable[[bytes], Any]
) -> AsyncIterator[Any]:
    async for request in requests:
        yield parse(request)
