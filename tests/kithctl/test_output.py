"""Lines with the name of who said them."""

import io
import os
import threading
import time
from collections.abc import AsyncIterator

import pytest
from rich.console import Console

from kithctl.output import Output


@pytest.fixture
def stream() -> io.BytesIO:
    return io.BytesIO()


@pytest.fixture
async def output(stream: io.BytesIO) -> AsyncIterator[Output]:
    output = Output(stream)
    yield output
    await output.close()


def a_pipe_with(data: bytes) -> int:
    """The reading end of a pipe that somebody writes to and closes."""
    read_end, write_end = os.pipe()

    def write() -> None:
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(data)

    threading.Thread(target=write).start()
    return read_end


async def test_every_line_begins_with_the_name_of_the_process(output, stream):
    await output.pump("event", a_pipe_with(b"one\ntwo\n"))

    assert stream.getvalue() == b"event     | one\nevent     | two\n"


async def test_a_last_line_without_an_end_is_not_lost(output, stream):
    await output.pump("event", a_pipe_with(b"one\ntwo"))

    assert stream.getvalue().endswith(b"event     | two\n")


async def test_many_lines_arrive_whole_and_in_order(output, stream):
    lines = [f"line {number} {'x' * (number % 200)}" for number in range(20_000)]

    await output.pump("event", a_pipe_with("\n".join(lines).encode()))

    written = stream.getvalue().decode().splitlines()
    assert written == [f"event     | {line}" for line in lines]


async def test_a_line_without_end_does_not_pile_up(output, stream):
    await output.pump("event", a_pipe_with(b"x" * 3_000_000))

    assert stream.getvalue().count(b"x") == 3_000_000


async def test_the_last_lines_are_remembered(output):
    await output.pump("event", a_pipe_with(b"".join(b"%d\n" % n for n in range(100))))

    assert output.tail("event")[-1] == "99"
    assert len(output.tail("event")) == 20


async def test_names_are_coloured_at_a_terminal_and_lines_are_left_as_they_are():
    stream = io.BytesIO()
    output = Output(stream, Console(file=io.StringIO(), force_terminal=True))

    await output.pump("event", a_pipe_with(b"[bold]not markup[/bold]\n"))
    await output.close()

    assert stream.getvalue() == b"\x1b[33mevent     | \x1b[0m[bold]not markup[/bold]\n"


async def test_a_reader_that_went_away_stops_nobody():
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb", buffering=0) as stream:
        output = Output(stream)

        await output.pump("event", a_pipe_with(b"one\n" * 1000))
        await output.close()

    assert output.tail("event")[-1] == "one"


async def test_a_stuck_terminal_does_not_keep_us_from_ending():
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb", buffering=0) as stream:
        output = Output(stream)
        for _ in range(200):
            output.say("x" * 1000)

        started = time.monotonic()
        await output.close(patience=0.1)
        took = time.monotonic() - started

        def read_on() -> None:
            with os.fdopen(read_end, "rb") as reader:
                reader.read()

        goes_on = threading.Thread(target=read_on)
        goes_on.start()
        await output.close(patience=10)
    goes_on.join()
    assert took < 5
