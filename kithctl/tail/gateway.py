"""The log over a gateway's server-sent events."""

from collections.abc import Iterator
from typing import Any

import httpx
import orjson
from httpx_sse import EventSource, ServerSentEvent, SSEError

from kithctl.failure import Failure
from kithctl.importing.gateway import PASSING, Gateway, Refused
from kithctl.tail.source import Choice, Cut, Start, Told


class GatewaySource:
    """Events by way of a gateway, which knows who is one person."""

    def __init__(self, gateway: Gateway, choice: Choice) -> None:
        self._gateway = gateway
        self._query: dict[str, Any] = {
            "event_type": list(choice.event_types),
            "platform": list(choice.platforms),
        }
        person = choice.person_id
        self._path = f"/v1/persons/{person}/timeline/stream" if person else "/v1/events/stream"

    def tell(self, start: Start) -> Iterator[Told]:
        """See Source."""
        query = {**self._query, **({"after": start} if isinstance(start, int) else {"from": start})}
        try:
            with self._gateway.stream(self._path, query) as answer:
                for block in EventSource(answer).iter_sse():
                    told = _told(block)
                    if told is not None:
                        yield told
        except httpx.TransportError as error:
            raise Cut(f"{self._gateway.url}: {str(error) or type(error).__name__}") from None
        except SSEError:
            raise Failure(f"{self._gateway.url} answers no events; is it Kith's gateway?") from None
        except Refused as refused:
            if refused.status in PASSING:
                raise Cut(str(refused), float(refused.problem.get("retry_after", 0))) from None
            raise _final(refused.problem, refused) from None
        raise Cut("the gateway ended the stream")


def _told(block: ServerSentEvent) -> Told | None:
    if block.retry is not None:
        raise Cut("the gateway asks to come back", block.retry / 1000)
    if block.event == "error":
        problem = orjson.loads(block.data)
        raise _final(problem, Failure(f"the gateway says: {problem.get('detail')}"))
    if not block.id:
        return None
    position = int(block.id)
    if block.event == "event":
        return Told(position, orjson.loads(block.data))
    return Told(position, is_caught_up=block.event == "caught_up")


def _final(problem: dict[str, Any], otherwise: Failure) -> Failure:
    if problem.get("reason") != "POSITION_EXPIRED":
        return otherwise
    first = problem.get("first_position")
    return Failure(f"retention has dropped what came then; --from {first} is what is left")
