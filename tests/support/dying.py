"""A knowledge service that kills itself at a chosen step, in a process of its own.

A step is a call of one of its parts, `part.method`: `sql.<function>`, or a method of `index`,
`embedder`, `blobs` or `extractor`; it dies `before` the call or `after` it, the first time. In a
process of its own nothing is cleaned up, as in a crash, and restarting it is a new process.

    async with dying_service(database, at="sql.mark_indexed", when="before") as mortal:
        ...  # calls over mortal.channel until it is gone
        await mortal.gone()
    async with dying_service(database) as reborn: ...
"""

import asyncio
import inspect
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import grpc
import uvloop

from tests.support.blobs import folder_of
from tests.support.cluster import Database
from tests.support.services import channel_to

_AT = "KITH_TEST_DIES_AT"
_WHEN = "KITH_TEST_DIES"


class Mortal:
    """A part that is what it wraps, until the step comes."""

    def __init__(self, name: str, part: Any) -> None:
        self._name = name
        self._part = part

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._part, method)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            step = arguments[0] if self._name == "sql" and method == "call" else method
            if f"{self._name}.{step}" != os.environ.get(_AT):
                return found(*arguments, **named)
            if os.environ[_WHEN] == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = found(*arguments, **named)
            return _dying_after(answer) if inspect.isawaitable(answer) else answer

        return call


async def _dying_after(answer: Any) -> None:
    await answer
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Process:
    """A running service that may die."""

    process: asyncio.subprocess.Process
    channel: grpc.aio.Channel
    address: str

    async def gone(self, seconds: float = 20) -> None:
        """Return when it has died by its own hand; fails where it has not in time."""
        async with asyncio.timeout(seconds):
            assert await self.process.wait() == -signal.SIGKILL


@asynccontextmanager
async def dying_service(
    database: Database,
    *,
    at: str = "",
    when: Literal["before", "after"] = "before",
    **environment: str,
) -> AsyncIterator[Process]:
    """The service over a database and its folder of files; with no `at` it does not die."""
    with TemporaryDirectory() as folder:
        addresses = Path(folder) / "addresses.json"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.dying",
            env={
                **os.environ,
                "KITH_KNOWLEDGE_DATABASE_URL": database.url("kith_knowledge"),
                "KITH_KNOWLEDGE_BIND": "127.0.0.1:0",
                "KITH_KNOWLEDGE_METRICS_BIND": "127.0.0.1:0",
                "KITH_HOME": str(folder_of(database)),
                "KITH_ADDRESS_FILE": str(addresses),
                _AT: at,
                _WHEN: when,
                **environment,
            },
        )  # fmt: skip
        try:
            async with asyncio.timeout(30):
                while not addresses.exists():
                    assert process.returncode is None, "it died before it listened"
                    await asyncio.sleep(0.02)
            address = json.loads(addresses.read_text(encoding="utf-8"))["address"]
            async with channel_to(address) as channel:
                yield Process(process, channel, address)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _main() -> None:
    from knowledge_svc.__main__ import assemble
    from knowledge_svc.backends import open_backends
    from knowledge_svc.settings import Settings
    from svckit import serve, settings
    from svckit.stores import open_store
    from tests.support.extractor import SentenceExtractor
    from tests.support.knowledge import QUICK, QUICK_CARE

    chosen = settings.load(Settings, "knowledge")
    async with open_store(chosen, "knowledge_svc", "knowledge") as opened:
        functions: Any = Mortal("sql", opened.functions)
        store = replace(opened, functions=functions)
        async with open_backends(chosen, store) as opened_backends:
            backends = replace(opened_backends, extractor=SentenceExtractor())
            parts: dict[str, Any] = {
                name: Mortal(name, part)
                for name, part in vars(backends).items()
                if name in ("index", "embedder", "blobs", "extractor") and part is not None
            }
            service = assemble(store, replace(backends, **parts), QUICK, care=QUICK_CARE)
            await serve.run(service, chosen)


if __name__ == "__main__":
    uvloop.run(_main())
