"""What goes on for as long as a client likes: it ends with the client, or with this process."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from prometheus_client import Gauge
from starlette.types import Receive

OPEN = Gauge("kith_http_streams_open", "Streams and long polls being answered.", ["kind"])

T = TypeVar("T")


class Live:
    """Runs what is live, all of which `stop` ends at once."""

    def __init__(self) -> None:
        self._stopping = asyncio.get_running_loop().create_future()

    @property
    def is_stopping(self) -> bool:
        """Whether this process has been told to stop."""
        return self._stopping.done()

    def stop(self) -> None:
        """End everything."""
        if not self._stopping.done():
            self._stopping.set_result(None)

    async def run(self, kind: str, work: Coroutine[Any, Any, T], receive: Receive) -> T | None:
        """What some work comes to; None where the client has gone, or all is to end, before."""
        with OPEN.labels(kind).track_inprogress():
            working = asyncio.create_task(work)
            gone = asyncio.create_task(_gone(receive))
            try:
                await asyncio.wait(
                    {working, gone, self._stopping}, return_when=asyncio.FIRST_COMPLETED
                )
                return working.result() if working.done() else None
            finally:
                working.cancel()
                gone.cancel()
                await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
