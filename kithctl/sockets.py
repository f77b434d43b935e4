"""The folder of Postgres's socket, whose path has to be short: the kernel takes 108 bytes."""

import contextlib
import os
import tempfile
from pathlib import Path

from kithctl.account import Account
from kithctl.cluster import PORT, own
from kithctl.failure import Failure
from kithctl.files import read_if_there, write_atomically

_LONGEST = 99
_NAME = f".s.PGSQL.{PORT}"
_PREFIX = "kith-"


def open_folder(postgres: Path, account: Account) -> Path:
    """A folder that the server's user and root alone can enter.

    It is in KITH_HOME, or where that makes the path too long, a new one among the temporary files.
    That one's name is recorded; `remove_folder` finds it there, at the stop or, if there was none,
    at the next start.
    """
    remove_folder(postgres)
    folder = postgres / "socket"
    if _fits(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
    else:
        folder = _temporary()
        write_atomically(_record(postgres), str(folder))
    own(folder, account)
    return folder


def remove_folder(postgres: Path) -> None:
    """Remove the socket and its folder, wherever it is; no server may be using it."""
    recorded = read_if_there(_record(postgres))
    for folder in (postgres / "socket", *([Path(recorded)] if recorded else [])):
        (folder / _NAME).unlink(missing_ok=True)
        (folder / f"{_NAME}.lock").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()
    _record(postgres).unlink(missing_ok=True)


def _temporary() -> Path:
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp")):
        if _fits(Path(parent) / f"{_PREFIX}12345678"):
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)).resolve()
    raise Failure("no temporary folder has a path short enough for a socket: set TMPDIR")


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / _NAME)) <= _LONGEST


def _record(postgres: Path) -> Path:
    return postgres / "socket-folder"
