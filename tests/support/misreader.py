"""A reader of files that does what the file says: the worst that a library may be brought to."""

import ctypes
import json
import os
import resource
import signal
import stat
import time
from collections.abc import Iterator
from typing import BinaryIO

from knowledge_svc.extraction.parts import Given, Part, Text, broken

SENTENCE = "The quick brown fox jumps over the lazy dog. "


def read(file: BinaryIO, given: Given) -> Iterator[Part]:
    """See Reader."""
    match file.read().decode():
        case "spin":
            while True:
                pass
        case "sleep":
            time.sleep(3_600)
        case "allocate":
            blocks = []
            while True:
                blocks.append(bytearray(16 << 20))
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "burn":
            os.kill(os.getpid(), signal.SIGXCPU)
        case "recurse":
            yield from read(file, given) if _depth() else ()
        case "raise":
            raise KeyError("a secret of the file")
        case "endless":
            while True:
                yield Text(SENTENCE * 100)
        case "half":
            yield Text(SENTENCE * 5_000)
            raise broken("the second half is damaged")
        case "print":
            os.write(1, b"C{}\n" * 10)
            yield Text("All is well.")
        case "flood":
            while True:
                _say(b"x" * 65_536)
        case "talk nonsense":
            _say(b'C{"number": 0}\n')
            time.sleep(3_600)
        case "claim":
            _say(_chunk(number=7))
            time.sleep(3_600)
        case "look around":
            yield Text(json.dumps(_surroundings()))


def _depth() -> int:
    return 1 + _depth()


def _chunk(number: int) -> bytes:
    return b"C%s\n" % json.dumps({"number": number, "content": "x", "start": 0, "end": 1}).encode()


def _say(line: bytes) -> None:
    """Write where only honest lines should be written."""
    for descriptor in _descriptors():
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.write(descriptor, line)


def _descriptors() -> list[int]:
    found = []
    for descriptor in range(64):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        found.append(descriptor)
    return found


def _surroundings() -> dict[str, object]:
    return {
        "environment": dict(os.environ),
        "descriptors": {
            str(d): stat.filemode(os.fstat(d).st_mode)[0] for d in _descriptors()
        },
        "leads_its_group": os.getpgid(0) == os.getpid() == os.getsid(0),
        "file_size": resource.getrlimit(resource.RLIMIT_FSIZE)[0],
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    }  # fmt: skip
