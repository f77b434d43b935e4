"""Log lines: what they carry of the call that they belong to."""

import contextvars
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
import pytest
import structlog

from svckit import logs

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Any]]]:
    """What was logged, as it is written; the process is as before afterwards."""
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, write_through=True))
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    logs.configure("test")
    yield lambda: [orjson.loads(line) for line in written.getvalue().splitlines()]
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers = handlers
    root.setLevel(level)


def answer(metadata: Mapping[str, Any]) -> None:
    """Two lines of a call, of which the standard library has the second."""
    logs.bind_call(metadata)
    logs.get("kit").info("first")
    logging.getLogger("library").info("second")


def test_all_lines_of_a_call_carry_the_trace_and_request_id_that_came_with_it(lines):
    metadata = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "x-request-id": "r-1"}
    contextvars.copy_context().run(answer, metadata)

    written = lines()
    assert [line["event"] for line in written] == ["first", "second"]
    assert {(line["trace_id"], line["request_id"]) for line in written} == {(TRACE, "r-1")}


def test_a_call_that_brings_no_ids_gets_its_own_and_keeps_them(lines):
    for _ in range(2):
        contextvars.copy_context().run(answer, {})
    logs.get("kit").info("outside")

    *written, outside = lines()
    found = [(line["trace_id"], line["request_id"]) for line in written]
    assert found[0] == found[1] != found[2] == found[3]
    assert len(found[0][0]) == 32
    assert "trace_id" not in outside and "request_id" not in outside


def test_nothing_that_came_with_a_call_but_its_ids_reaches_the_log(lines):
    contextvars.copy_context().run(answer, {"authorization": "Bearer hunter2"})

    assert "hunter2" not in str(lines())
