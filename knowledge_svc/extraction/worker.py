"""The process that reads one file: `python -m knowledge_svc.extraction.worker ARGUMENTS`.

The file is its standard input, what it finds goes to standard output (see `lines`), the
arguments are an Order in JSON. It trusts neither the file nor the libraries that read it: what it
may use is bounded before the first byte is read.
"""

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from knowledge_svc.domain.extraction import ExtractionFailed, FailureReason, Outline
from knowledge_svc.extraction.limits import Limits
from knowledge_svc.extraction.lines import chunk_line, last_line
from knowledge_svc.extraction.ocr import Ocr
from knowledge_svc.extraction.parts import Given, Part, Reader

OUT_OF_MEMORY = 77

_MOST_FILES = 32
_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Order:
    """What to do: which module reads the file, and for whom."""

    reader: str
    parent: int
    limits: Limits
    ocr: str | None = None

    def as_json(self) -> str:
        """As an argument of the process."""
        return orjson.dumps(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """What `as_json` wrote."""
        members = orjson.loads(text)
        return cls(**{**members, "limits": Limits(**members["limits"])})


def main() -> None:
    """Read the file, and end."""
    order = Order.from_json(sys.argv[1])
    # A library that prints must not speak in our name.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _watch(order)
    _confine(order.limits)
    try:
        _write(order, output)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BrokenPipeError:
        os._exit(1)
    # Without the tidying up of libraries, which may stumble over what they met.
    os._exit(0)


def _write(order: Order, output: BinaryIO) -> None:
    end: Outline | ExtractionFailed
    try:
        # Within the limits too, as everything that is loaded for the file.
        from knowledge_svc.extraction.chunking import Chunking

        chunking = Chunking(order.limits)
        for chunk in chunking.chunks_of(_parts(order)):
            output.write(chunk_line(chunk))
        end = chunking.outline
    except (MemoryError, BrokenPipeError):
        raise
    except ExtractionFailed as failure:
        end = failure
    except RecursionError:
        end = ExtractionFailed(FailureReason.TOO_MUCH, "it is nested too deeply")
    except Exception as error:  # noqa: BLE001 - libraries raise what they like on what is no file of theirs
        end = ExtractionFailed(FailureReason.BROKEN, f"reading it ended in {type(error).__name__}")
    output.write(last_line(end))
    output.flush()


def _parts(order: Order) -> Iterator[Part]:
    reader = cast(Reader, import_module(order.reader))
    ocr = cast(Ocr, import_module(order.ocr)) if order.ocr else None
    with os.fdopen(0, "rb") as file:
        yield from reader.read(file, Given(order.limits, ocr))


def _watch(order: Order) -> None:
    """End when the parent does, which may happen without a word."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_keep_looking, args=(order,), daemon=True).start()


def _keep_looking(order: Order) -> None:
    while os.getppid() == order.parent:
        if sys.platform == "darwin":
            # There the kernel does not bound it.
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if used > order.limits.memory_mebibytes << 20:
                os._exit(OUT_OF_MEMORY)
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def _confine(limits: Limits) -> None:
    os.nice(10)
    with suppress(OSError):
        # Where memory is short for everybody, this process is the one to go.
        Path("/proc/self/oom_score_adj").write_text("1000")
    seconds = max(1, round(limits.seconds))
    _limit(resource.RLIMIT_CPU, seconds, seconds + 1)
    _limit(resource.RLIMIT_AS, limits.memory_mebibytes << 20)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _MOST_FILES)
    # No process and no thread besides; root is not bound by this one.
    _limit(resource.RLIMIT_NPROC, 0)


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    # Not every system knows every limit, and some are lower already.
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (soft, soft if hard is None else hard))


if __name__ == "__main__":
    main()
