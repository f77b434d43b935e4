"""The process that reads a file has nothing of ours, and is gone when nobody waits for it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from knowledge_svc.domain.extraction import ExtractionFailed, FailureReason
from knowledge_svc.extraction.limits import Limits
from knowledge_svc.extraction.listening import Listener, Untrue
from knowledge_svc.extraction.process import ProcessExtractor
from tests.support.extraction import HOSTILE, exists, extracted, extractor, is_running
from tests.support.up import wait_until


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A file that is read for an hour."""
    path = tmp_path / "hostile"
    path.write_text("sleep")
    return path


async def test_it_inherits_no_secret_no_file_and_no_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINECONE_API_KEY", "a secret")
    with (tmp_path / "other").open("w") as other:
        os.set_inheritable(other.fileno(), True)
        found = await extracted(b"look around", HOSTILE, tmp_path)

    seen = json.loads("".join(chunk.content for chunk in found.chunks))
    assert set(seen["environment"]) <= {
        "OPENBLAS_NUM_THREADS", "PYTHONPATH", "LC_ALL", "LC_CTYPE", "MALLOC_ARENA_MAX",
        "__CF_USER_TEXT_ENCODING",
    }  # fmt: skip
    # The file, what is thrown away twice, and the pipe.
    assert sorted(seen["descriptors"].values()) == ["-", "c", "c", "p"]
    assert seen["leads_its_group"]
    assert (seen["file_size"], seen["core"]) == (0, 0)


async def test_leaving_early_ends_it(hostile: Path) -> None:
    async with extractor().open(hostile, HOSTILE) as extraction:
        assert is_running(extraction.pid)

    assert not exists(extraction.pid)


async def test_a_cancelled_reader_leaves_neither_child_nor_zombie(hostile: Path) -> None:
    pids: asyncio.Queue[int] = asyncio.Queue()

    async def read() -> None:
        async with extractor().open(hostile, HOSTILE) as extraction:
            pids.put_nowait(extraction.pid)
            async for _ in extraction:
                pass

    task = asyncio.create_task(read())
    pid = await pids.get()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not exists(pid)


async def test_one_that_is_killed_midway_has_crashed(tmp_path: Path) -> None:
    path = tmp_path / "endless"
    path.write_text("endless")

    with pytest.raises(ExtractionFailed) as raised:
        async with extractor().open(path, HOSTILE) as extraction:
            async for _ in extraction:
                os.kill(extraction.pid, signal.SIGKILL)

    assert raised.value.reason is FailureReason.CRASHED
    assert not exists(extraction.pid)


def test_it_dies_with_the_service(hostile: Path) -> None:
    script = f"""
import uvloop
from pathlib import Path
from tests.support.extraction import HOSTILE, extractor

async def read():
    async with extractor().open(Path({str(hostile)!r}), HOSTILE) as extraction:
        print(extraction.pid, flush=True)
        async for _ in extraction:
            pass

uvloop.run(read())
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        pid = int(service.stdout.readline())
        assert is_running(pid)
        service.kill()

    wait_until(lambda: not is_running(pid), seconds=5)


async def test_chunks_before_a_failure_come_and_then_the_failure(tmp_path: Path) -> None:
    path = tmp_path / "half"
    path.write_text("half")
    numbers: list[int] = []

    with pytest.raises(ExtractionFailed) as raised:
        async with extractor().open(path, HOSTILE) as extraction:
            async for batch in extraction:
                assert len(batch) <= 100
                numbers += [chunk.number for chunk in batch]

    assert raised.value.reason is FailureReason.BROKEN
    assert numbers == list(range(len(numbers))) != []
    with pytest.raises(RuntimeError):
        _ = extraction.outline


async def test_no_more_files_are_read_at_once_than_may_be(hostile: Path) -> None:
    files = extractor(Limits(workers=1))
    async with files.open(hostile, HOSTILE):
        waiting = asyncio.create_task(_pid_of(files, hostile))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.3)

    assert await waiting


async def _pid_of(files: ProcessExtractor, path: Path) -> int:
    async with files.open(path, HOSTILE) as extraction:
        return extraction.pid


async def test_time_in_which_the_taker_is_busy_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("Some words to read. " * 50_000)
    chunks = 0
    slow = True

    async with extractor(Limits(seconds=2.0)).open(path, "text/plain") as extraction:
        async for batch in extraction:
            if slow:
                await asyncio.sleep(2.2)
                slow = False
            chunks += len(batch)

    assert chunks == extraction.outline.chunks > 1_000


async def test_what_came_of_files_is_counted(tmp_path: Path) -> None:
    def count(outcome: str) -> float:
        labels = {"media_type": "text/plain", "outcome": outcome}
        name = "kith_knowledge_extraction_seconds_count"
        return REGISTRY.get_sample_value(name, labels) or 0.0

    good, empty = count("ok"), count("no_text")
    await extracted(b"Words.", "text/plain", tmp_path)
    with pytest.raises(ExtractionFailed):
        await extracted(b" ", "text/plain", tmp_path)

    assert (count("ok") - good, count("no_text") - empty) == (1, 1)


def test_fifty_mebibytes_of_text_leave_the_memory_of_the_service_flat(tmp_path: Path) -> None:
    script = f"""
import resource, sys, uvloop
from pathlib import Path
from knowledge_svc.extraction.listening import Listener, Untrue
from knowledge_svc.extraction.process import ProcessExtractor

def peak():
    # The kernel's figure of a process counts what it was forked from; the file's does not.
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

path = Path({str(tmp_path)!r}) / "large"
with path.open("w") as file:
    for number in range(50):
        file.write(f"Sentence {{number:09}} of a long, long text. " * 26_215)

async def read():
    async with ProcessExtractor().open(path, "text/plain") as extraction:
        async for batch in extraction:
            pass
        return extraction.outline

before = peak()
outline = uvloop.run(read())
print(path.stat().st_size, outline.characters, outline.chunks, peak() - before)
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True
    )

    size, characters, chunks, growth = map(int, answer.stdout.split())
    assert size == characters > 50_000_000
    assert chunks > 50_000
    assert growth < 16 << 20


@pytest.mark.parametrize(
    "line",
    [
        b'C{"number": 0, "content": "abc", "start": 0, "end": 2}',
        b'C{"number": 0, "content": "", "start": 0, "end": 0}',
        b'C{"number": 0, "content": "a\\u0000", "start": 0, "end": 2}',
        b'C{"number": 0, "content": "\\ud800", "start": 0, "end": 1}',
        b'C{"number": 0, "content": "a", "start": -1, "end": 0}',
        b'C{"number": 0, "content": "a", "start": 0, "end": 1, "page": 0}',
        b'C{"number": 0, "content": "a", "start": 0, "end": 1, "page": 2147483648}',
        b'C{"number": 0, "content": "a", "start": 9223372036854775807, "end": 9223372036854775808}',
        b'C{"number": 0, "content": "a", "start": 0, "end": 1, "said_at": "noon"}',
        b'C{"number": 1, "content": "a", "start": 0, "end": 1}',
        b'C{"number": 0, "content": "%s", "start": 0, "end": 9000}' % (b"x" * 9_000),
        b'O{"chunks": 0, "characters": 0}',
        b'O{"chunks": 2, "characters": 9}',
        b'F["TIRED", "no"]',
        b"X",
        b"",
    ],
)
def test_a_line_that_no_honest_process_writes_is_not_believed(line: bytes) -> None:
    with pytest.raises(Untrue):
        Listener(10).hear(line)
