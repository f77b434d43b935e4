"""How much at once, how large, how long: each class of request has bounds of its own."""

import re
from dataclasses import dataclass

from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import tracing
from gateway.errors import Refused
from gateway.middleware import HEALTH
from gateway.settings import Settings
from svckit.errors import ResourceExhausted

REFUSED = Counter("kith_http_refused_total", "Requests refused at a bound, by class.", ["bound"])

MESSAGES_BATCH = "/v1/messages:batch"
EVENTS_BATCH = "/v1/events:batch"
_LOG = re.compile(r"/v1/(?:events|persons/[^/]+/timeline)(/stream)?")
_WALK = re.compile(r"/v1/integrity/(?:verify|repair)")
# Each walk reads through all that is known.
_MOST_WALKS = 4
_EXPORT = re.compile(r"/v1/persons/[^/]+/export")
DOCUMENTS = "/v1/documents"
_CONTENT = re.compile(rf"{DOCUMENTS}/[^/]+/content")
# A file of the largest size, and the form around it.
UPLOAD_BYTES = (50 << 20) + (128 << 10)
_WAITS = re.compile(rb"(?:^|&)wait=")
NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})


@dataclass
class _Class:
    """A class of requests: how many may be in flight, and each one's size and time."""

    name: str
    most: int
    most_bytes: int | None
    seconds: float | None
    in_flight: int = 0


class Limits:
    """Refuses at once what is too much, instead of slowing down for everybody."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        seconds = settings.request_seconds
        self._single = _Class("single", settings.most_requests, settings.request_bytes, seconds)
        self._batch = _Class("batch", settings.most_batches, settings.batch_bytes, seconds)
        # A stream goes on for as long as it likes; its lines are bounded where they are read.
        self._stream = _Class("stream", settings.most_streams, None, None)
        # An export takes as long as its client does.
        self._export = _Class("export", settings.most_exports, settings.request_bytes, None)
        # Files take as long as the line does.
        self._transfer = _Class(
            "transfer", settings.most_transfers, UPLOAD_BYTES, settings.transfer_seconds
        )
        # Whoever follows the log stays for as long as they like, and costs little meanwhile.
        self._follower = _Class("follower", settings.most_followers, settings.request_bytes, None)
        self._walk = _Class("walk", _MOST_WALKS, settings.request_bytes, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        kind = self._class_of(scope, headers)
        if kind.in_flight >= kind.most:
            REFUSED.labels(kind.name).inc()
            raise ResourceExhausted(f"too many requests at once; at most {kind.most} are answered")
        kind.in_flight += 1
        try:
            await self._within(kind, headers, scope, receive, send)
        finally:
            kind.in_flight -= 1

    async def _within(
        self, kind: _Class, headers: dict[bytes, bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        if kind.most_bytes is not None:
            length = headers.get(b"content-length", b"0")
            if length.isdigit() and int(length) > kind.most_bytes:
                raise _too_large(kind.most_bytes)
            receive = _counted(receive, kind.most_bytes)
        if kind.seconds is None:
            await self._app(scope, receive, send)
            return
        async with tracing.within(kind.seconds):
            await self._app(scope, receive, send)

    def _class_of(self, scope: Scope, headers: dict[bytes, bytes]) -> _Class:
        path = scope["path"]
        if scope["method"] == "GET" and (log := _LOG.fullmatch(path)):
            is_long = log[1] or _WAITS.search(scope["query_string"])
            return self._follower if is_long else self._single
        if _WALK.fullmatch(path):
            return self._walk
        if scope["method"] == "GET" and _EXPORT.fullmatch(path):
            return self._export
        if (path == DOCUMENTS and scope["method"] == "POST") or _CONTENT.fullmatch(path):
            return self._transfer
        if path == MESSAGES_BATCH and is_ndjson(
            headers.get(b"content-type", b"").decode("latin-1")
        ):
            return self._stream
        return self._batch if path in (MESSAGES_BATCH, EVENTS_BATCH) else self._single


def is_ndjson(content_type: str) -> bool:
    """Whether a media type is JSON by lines."""
    return content_type.partition(";")[0].strip().lower() in NDJSON


def _counted(receive: Receive, most: int) -> Receive:
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise _too_large(most)
        return message

    return counted


def _too_large(most: int) -> Refused:
    return Refused(413, "BODY_TOO_LARGE", f"the body is larger than {most} bytes")
