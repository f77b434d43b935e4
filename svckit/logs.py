"""JSON lines on stdout: one object a line, with trace and request id where there is a call."""

import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, cast

import orjson
import structlog

from svckit import ids

# Keys whose values never reach a log, whatever logs them.
SECRETS = frozenset({"authorization", "password", "token", "secret", "api_key", "apikey", "dsn"})


def configure(service: str, level: str = "info") -> None:
    """Send structlog's and the standard library's records to stdout as JSON lines."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_call,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _drop_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(
                    serializer=lambda *a, **k: _dumps(*a, **k).decode()
                ),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(threshold, logging.INFO))
    # Every request of httpx at INFO would be a second access log.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger; `name` is the module's."""
    return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger(module=name))


class _Call:
    """The ids of a call out of its metadata; most calls log nothing, so made when first asked."""

    __slots__ = ("_ids", "_metadata")

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._metadata = metadata
        self._ids: dict[str, str] | None = None

    def ids(self) -> dict[str, str]:
        if self._ids is None:
            # W3C: version-trace-span-flags.
            _, _, rest = str(self._metadata.get("traceparent", "")).partition("-")
            self._ids = {
                "trace_id": rest.partition("-")[0] or ids.new().replace("-", ""),
                "request_id": str(self._metadata.get("x-request-id", "")) or ids.new(),
            }
        return self._ids


_call: ContextVar[_Call | None] = ContextVar("kith_call", default=None)


def bind_call(metadata: Mapping[str, Any]) -> None:
    """Give the log lines of this context the trace and request id of the call it answers."""
    _call.set(_Call(metadata))


def _add_call(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    call = _call.get()
    return event if call is None else {**call.ids(), **event}


def _dumps(value: Any, **_: Any) -> bytes:
    return orjson.dumps(value, default=str)


def _drop_secrets(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key in SECRETS.intersection(event):
        event[key] = "***"
    return event
