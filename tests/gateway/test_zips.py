"""A zip as it is made is one for every reader, and one that was broken off is none."""

import asyncio
import hashlib
import io
import random
import subprocess
import zipfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from gateway.zips import Zip, safe_name


async def blocks_of(blocks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


async def made(entries: dict[str, list[bytes]], *, whole: bool = True) -> bytes:
    made = Zip()
    written = b""
    for name, blocks in entries.items():
        async for piece in made.add(name, blocks_of(blocks)):
            written += piece
    return written + made.close() if whole else written


NOISE = random.Random(1).randbytes(300_000)
ENTRIES = {"a.jsonl": [b'{"a": 1}\n'] * 1000, "empty": [], "files/ü/n.bin": [NOISE, NOISE]}


async def test_what_went_in_comes_out(tmp_path: Path):
    content = await made(ENTRIES)
    path = tmp_path / "made.zip"
    path.write_bytes(content)

    with zipfile.ZipFile(path) as read:
        assert read.testzip() is None
        assert {name: read.read(name) for name in read.namelist()} == {
            name: b"".join(blocks) for name, blocks in ENTRIES.items()
        }


def test_another_implementation_reads_it_too(tmp_path: Path):
    path = tmp_path / "made.zip"
    path.write_bytes(asyncio.run(made(ENTRIES)))
    try:
        told = subprocess.run(["unzip", "-t", path], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unzip here")
    assert told.returncode == 0, told.stdout


async def test_one_that_was_broken_off_is_refused():
    content = await made(ENTRIES)

    for cut in (len(await made(ENTRIES, whole=False)), len(content) // 2, len(content) - 10):
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(io.BytesIO(content[:cut]))


async def test_sizes_and_digests_are_told():
    made = Zip()
    async for _ in made.add("a", blocks_of([b"one", b"two"])):
        pass

    [entry] = made.entries
    assert (entry.name, entry.size) == ("a", 6)
    assert entry.sha256 == hashlib.sha256(b"onetwo").hexdigest()


async def test_nothing_is_kept_of_what_was_taken():
    """Each block of noise is out again before the next goes in."""
    made, pending, most = Zip(), 0, 0

    async def noise() -> AsyncIterator[bytes]:
        nonlocal pending, most
        for _ in range(40):
            pending += len(NOISE)
            most = max(most, pending)
            yield NOISE

    async for piece in made.add("a", noise()):
        pending -= len(piece)

    assert most < 3 * len(NOISE)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("notes.txt", "notes.txt"),
        ("../../etc/passwd", "etc_passwd"),
        ("C:\\temp\\x.pdf", "C_temp_x.pdf"),
        (".hidden", "hidden"),
        ("..", "file"),
        ("", "file"),
        ("Brief an Jörg (neu).docx", "Brief_an_Jörg_(neu).docx"),
        ("a\0b\nc", "a_b_c"),
        ("x" * 300 + ".tar", "x" * 96 + ".tar"),
        ("报告.pdf", "报告.pdf"),
    ],
)
def test_names_of_files_are_made_safe(given: str, name: str):
    assert safe_name(given) == name
