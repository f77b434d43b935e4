"""The files of an embedded Postgres: made once, whole or not at all."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from kithctl import program
from kithctl.account import Account
from kithctl.child import Child, Command
from kithctl.failure import Failure

PORT = 5432
"""No TCP port: the number in the socket's name."""

Settings = Mapping[str, str | int | bool]
"""Parameters of Postgres by name, as in postgresql.conf."""

_FIRST_SETTINGS: Settings = {
    "shared_buffers": "256MB",
    "max_connections": 200,
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": False,
}
"""What a new cluster's postgresql.conf says, for its owner to change."""

_UNFINISHED = ".data-"
_HELPER_PATIENCE = 10.0
_POLL = 0.02


def is_there(data: Path) -> bool:
    """Whether a cluster is there; one of another major version is a failure."""
    version = data / "PG_VERSION"
    if not version.exists():
        return False
    found = version.read_text().strip()
    if found != program.MAJOR_VERSION:
        raise Failure(
            f"{data} was made by Postgres {found} and this is {program.MAJOR_VERSION}: "
            "take it over with `pg_dump` of that version and `pg_restore` (docs/operations.md)"
        )
    return True


async def make(data: Path, binaries: Path, account: Account, *, durable: bool = True) -> None:
    """Make a cluster that its superuser `postgres` owns.

    It is made beside its place and renamed, so that a start cut short leaves nothing that the next
    one could take for a cluster.
    """
    for leftover in data.parent.glob(f"{_UNFINISHED}*"):
        await _remove(leftover)
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=data.parent))
    own(unfinished, account)
    arguments = [
        str(binaries / "initdb"),
        f"--pgdata={unfinished}",
        "--username=postgres",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--data-checksums",
        "--auth=reject",
        "--no-instructions",
        *(f"--set={name}={text(value)}" for name, value in _FIRST_SETTINGS.items()),
        *(() if durable else ("--no-sync",)),
    ]
    try:
        await _initdb(command(arguments, account))
    except BaseException:
        await _remove(unfinished)
        raise
    _put_in_place(unfinished, data)


async def _initdb(initdb: Command) -> None:
    with tempfile.TemporaryFile() as output:
        child = await Child.start(initdb, output)
        try:
            code = await child.wait()
        finally:
            await child.stop()
        output.seek(0)
        said = output.read().decode(errors="replace").strip().splitlines()
    if code != 0:
        raise Failure(f"cannot make a database cluster: {said[-1] if said else f'status {code}'}")


def admit_only(data: Path, starter: str, account: Account) -> None:
    """Let the user who started us in, in every role, and no other user of this machine.

    The kernel vouches for who is at the other end of a socket, so no password is needed or kept.
    """
    for name, rules in {
        "pg_hba.conf": "local all all peer map=kith\n",
        "pg_ident.conf": f'kith "{starter}" all\n',
    }.items():
        file = data / name
        file.write_text(f"# Written at every start.\n{rules}", encoding="utf-8")
        own(file, account)


def arguments(binaries: Path, data: Path, socket_folder: Path, settings: Settings) -> list[str]:
    """The command that serves a cluster, on a Unix socket alone, logging to standard error."""
    quoted = str(socket_folder).replace('"', '""')
    fixed: Settings = {
        "listen_addresses": "",
        "unix_socket_directories": f'"{quoted}"',
        "unix_socket_permissions": "0700",
        "port": PORT,
        "logging_collector": False,
        "log_destination": "stderr",
        "cluster_name": "kith",
    }
    chosen = [f"{name}={text(value)}" for name, value in {**settings, **fixed}.items()]
    return [str(binaries / "postgres"), "-D", str(data), *(f"--{setting}" for setting in chosen)]


def command(arguments: list[str], account: Account) -> Command:
    """A program of Postgres, run as the user that owns the files and with nothing of ours in its
    environment: neither secrets nor the PG… variables, which would change what it does.
    """
    kept = ("PATH", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
    user = account.name if account.uid != os.geteuid() else None
    return Command(arguments, environment, folder=Path("/"), user=user)


def text(value: str | int | bool) -> str:
    """A setting's value as Postgres reads it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def own(path: Path, account: Account) -> None:
    """Give a file or folder of ours to the user that Postgres runs as."""
    if account.uid != os.geteuid():
        os.chown(path, account.uid, account.gid)


async def _remove(unfinished: Path) -> None:
    """Remove files that a helper of a killed initdb may be working on for a moment longer."""
    deadline = time.monotonic() + _HELPER_PATIENCE
    while True:
        try:
            return shutil.rmtree(unfinished)
        except OSError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_POLL)


def _put_in_place(unfinished: Path, data: Path) -> None:
    unfinished.rename(data)
    descriptor = os.open(data.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
