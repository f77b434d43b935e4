"""What the clients of all services have in common."""

from collections.abc import AsyncIterator, Iterable
from typing import Any, Generic, TypeVar

from gateway.batched import Batched
from gateway.channels import Channel, Method, Request, Response, answer_error

Stub = TypeVar("Stub")


class Service(Generic[Stub]):
    """One service, by its stub."""

    def __init__(self, channel: Channel, stub: Stub, seconds: float) -> None:
        self.channel = channel
        self.stub = stub
        self._seconds = seconds
        self._batches: list[Batched[Any, Any]] = []

    async def ask(self, method: Method[Request, Response], request: Request) -> Response:
        """What a method of the stub answers; raises what the service raised."""
        return await self.channel.call(method, request, self._seconds)

    async def pages(
        self, method: Method[Request, Response], request: Request
    ) -> AsyncIterator[Response]:
        """All pages of a list from the one that is asked for; the request moves along with them."""
        asked: Any = request
        while True:
            page: Any = await self.ask(method, asked)
            yield page
            asked.page_token = page.next_page_token
            if not asked.page_token:
                return

    async def close(self) -> None:
        """Flush the batches, then close the channel."""
        for batched in self._batches:
            await batched.close()
        await self.channel.close()

    def _outcomes(self, results: Iterable[Any]) -> list[Any]:
        """What each result of a batch method holds: its response, or the error as an exception."""
        name = self.channel.name
        return [
            answer_error(result.error, name) if result.HasField("error") else result.response
            for result in results
        ]
