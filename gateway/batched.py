"""A `svckit` batcher in front of a Batch… method, which knows whose request it carries."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from gateway import tracing
from svckit import logs
from svckit.batcher import Batcher, Size

log = logs.get(__name__)

Request = TypeVar("Request")
Answer = TypeVar("Answer")

# More than the bounds on requests, batches and streams let in together.
MOST_WAITING = 40_000


class Batched(Generic[Request, Answer]):
    """Coalesces the requests of many callers into calls of `call`.

    A call for one trace belongs to that trace; a call for several has a trace of its own,
    and a log line says which ones it carries.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[list[Request], tracing.Trace], Awaitable[Sequence[Answer | BaseException]]],
        measure: Callable[[Request], Size],
    ) -> None:
        self._name = name
        self._call = call
        self._batcher: Batcher[tuple[Request, tracing.Trace], Answer] = Batcher(
            f"gateway.{name}",
            self._run,
            measure=lambda carried: measure(carried[0]),
            most_waiting=MOST_WAITING,
        )

    async def submit(self, request: Request) -> Answer:
        """The answer to one request; raises what it failed with."""
        return await self._batcher.submit((request, tracing.current()))

    async def submit_all(self, requests: Iterable[Request]) -> list[Answer | BaseException]:
        """The answers to several, queued in order; failures stand in their places."""
        trace = tracing.current()
        return await self._batcher.submit_all((request, trace) for request in requests)

    async def close(self) -> None:
        """Return when everything that was submitted has been answered."""
        await self._batcher.close()

    async def _run(
        self, carried: list[tuple[Request, tracing.Trace]]
    ) -> Sequence[Answer | BaseException]:
        traces = {trace.trace_id: trace for _, trace in carried}
        if len(traces) == 1:
            [trace] = traces.values()
        else:
            trace = tracing.new()
            log.debug("a batch", batcher=self._name, trace_id=trace.trace_id, carries=list(traces))
        # Each caller keeps its own deadline; the call itself has that of its kind.
        return await self._call(
            [request for request, _ in carried], tracing.Trace(trace.trace_id, trace.request_id)
        )
