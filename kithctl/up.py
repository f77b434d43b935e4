"""`kith up`: everything in one command, and nothing left when it ends."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from kithctl import account
from kithctl.claim import claim
from kithctl.failure import Failure
from kithctl.folders import make_closed
from kithctl.output import Output
from kithctl.stack import Plan, Stack, brings_postgres

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def up(home: Path, plan: Plan) -> None:
    """Run the plan in an absolute `home` until a signal ends it; raises Failure if it cannot."""
    try:
        visitor = account.for_cluster(home / "postgres" / "data") if brings_postgres() else None
        make_closed(home, visitor)
    except OSError as error:
        raise Failure(f"cannot use the folder {home}: {error.strerror}") from error
    console = Console()
    output = Output(sys.stdout.buffer, console)
    try:
        with claim(home) as ours, _progress(console, output) as progress:
            stack = Stack(plan, home, ours, output, progress.step)
            await _run(stack, output, progress)
    finally:
        await output.close()


async def _run(stack: Stack, output: Output, progress: "_Progress") -> None:
    """Start, wait for the first signal, stop; a second signal hurries the stop."""
    interrupted = asyncio.Event()
    stopping = False

    def on_signal() -> None:
        if stopping or interrupted.is_set():
            output.say("ending everything now")
            stack.force()
        interrupted.set()

    async def serve() -> None:
        await stack.start()
        progress.done()
        output.show(_summary(stack))
        await asyncio.Event().wait()

    with _handling(on_signal):
        serving = asyncio.create_task(serve())
        waiting = asyncio.create_task(interrupted.wait())
        await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
        stopping = not interrupted.is_set()
        progress.done()
        for task in (serving, waiting):
            task.cancel()
        outcome, _ = await asyncio.gather(serving, waiting, return_exceptions=True)
        if interrupted.is_set():
            output.say("stopping")
        await stack.stop()
    if isinstance(outcome, Exception):
        raise outcome


@contextlib.contextmanager
def _handling(on_signal: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    heeded = [number for number in _ENDING if not _is_nohup(number)]
    for number in heeded:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)


def _is_nohup(number: signal.Signals) -> bool:
    """Whether the terminal's end was meant to be survived."""
    return number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


class _Progress:
    """Says what is being done: in a spinner below the logs, or as lines if not at a terminal."""

    def __init__(self, step: Callable[[str], None], shown: contextlib.ExitStack) -> None:
        self.step = step
        self._shown = shown

    def done(self) -> None:
        """Take the spinner away."""
        self._shown.close()


@contextlib.contextmanager
def _progress(console: Console, output: Output) -> Iterator[_Progress]:
    with contextlib.ExitStack() as shown:
        if console.is_terminal:
            status = shown.enter_context(console.status("starting"))
            shown.enter_context(output.above(console))
            yield _Progress(status.update, shown)
        else:
            yield _Progress(output.say, shown)


def _summary(stack: Stack) -> str:
    """Where everything is, and what to try."""
    gateway = f"http://{stack.gateway.reachable_address}"
    identity = stack.services[0].reachable_address
    where = [f"  {'gateway':<10} {gateway}  (docs at {gateway}/docs)"]
    where += [f"  {process.name:<10} {process.address}" for process in stack.services]
    return "\n".join(
        [
            "",
            "Kith is up. Ctrl-C stops it.",
            *where,
            "",
            "Try:",
            _curl(f"{gateway}/v1/register", """{"platform": "telegram", "platform_id": "42"}"""),
            _curl(
                f"{gateway}/v1/messages",
                """{"platform": "telegram", "sender_id": "42", "text": "I moved to Lisbon."}""",
            ),
            _curl(f"{gateway}/v1/search", """{"query": "Where do they live?"}"""),
            f"  grpcurl -plaintext {identity} list",
            "",
        ]
    )


def _curl(url: str, body: str) -> str:
    return f"  curl -H 'content-type: application/json' -d '{body}' {url}"
