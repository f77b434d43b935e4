"""Ids, the access log, metrics, and an answer to whatever goes wrong."""

import time

from prometheus_client import Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import tracing
from gateway.errors import problem_of
from gateway.middleware import HEALTH
from svckit import logs

log = logs.get(__name__)

SECONDS = Histogram(
    "kith_http_seconds", "Time to answer a request, by route and status.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)  # fmt: skip
IN_FLIGHT = Gauge("kith_http_in_flight", "Requests being answered.")

# Anything else would let a client make new series.
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Observe:
    """The outermost layer: nothing that is raised inside of it goes unanswered or unseen."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        trace = tracing.new(
            headers.get(b"traceparent", b"").decode("latin-1"),
            headers.get(b"x-request-id", b"").decode("latin-1"),
        )
        tracing.enter(trace)
        exchange = _Exchange(send, trace.request_id)
        IN_FLIGHT.inc()
        started = time.perf_counter()
        try:
            await self._app(scope, receive, exchange.send)
        except Exception as error:
            if not exchange.status:
                await problem_of(error).response()(scope, receive, exchange.send)
            elif not exchange.is_complete:
                log.error("an answer was broken off", exc_info=error)
                raise
        finally:
            IN_FLIGHT.dec()
            _record(scope, exchange.status, time.perf_counter() - started)


class _Exchange:
    """Watches an answer go out, and gives it the request's id."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode()
        self.status = 0
        self.is_complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self._request_id)]
            message = {**message, "headers": headers}
        elif not message.get("more_body", False):
            self.is_complete = True
        await self._send(message)


def _record(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path_format", "none")
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    SECONDS.labels(method, route, status).observe(seconds)
    write = log.debug if scope["path"] in HEALTH else log.info
    write("http", method=method, route=route, status=status, ms=round(seconds * 1000, 2))
