"""Takes in what is to be logged: many concurrent calls, few appends."""

from collections.abc import Sequence
from itertools import chain, islice

from event_svc.domain.log import Append, LoggedEvent
from event_svc.ports.log import EventStore
from svckit.batcher import Batcher, Size
from svckit.errors import ServiceError, SqlError, is_about_data

Outcome = Sequence[LoggedEvent] | BaseException


class Intake:
    """Every event that is logged comes through here, however it was sent.

    A call's requests stay together, so that they are appended in the order given whatever
    others send at the same time, and each still has an outcome of its own.
    """

    def __init__(self, events: EventStore) -> None:
        self._events = events
        self._calls: Batcher[Sequence[Append], Sequence[Outcome]] = Batcher(
            "event.append", self._append, measure=_size_of, keys=_ids_of
        )
        # For a call that fails on data: no keys, so its requests keep their order, and
        # the batcher halves them until the culprit stands alone.
        self._apart: Batcher[Append, Sequence[LoggedEvent]] = Batcher(
            "event.append.apart", events.append, measure=lambda request: _size_of([request])
        )

    async def log(self, request: Append) -> Sequence[LoggedEvent]:
        """Log the events of one request; raises what it failed with."""
        [outcome] = await self._calls.submit([request])
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def log_each(self, requests: Sequence[Append]) -> Sequence[Outcome]:
        """Log independent requests in order; failures stand in their places."""
        try:
            return await self._calls.submit(requests) if requests else []
        except (ServiceError, SqlError) as error:
            return [error] * len(requests)

    async def drain(self) -> None:
        """Return when everything that was taken on is logged."""
        await self._calls.close()

    async def _append(self, calls: Sequence[Sequence[Append]]) -> list[Sequence[Outcome]]:
        try:
            outcomes = iter(await self._events.append(list(chain.from_iterable(calls))))
        except (ServiceError, SqlError) as error:
            # Several calls are the batcher's to halve, a single request has failed.
            if len(calls) > 1 or len(calls[0]) == 1 or not is_about_data(error):
                raise
            return [await self._apart.submit_all(calls[0])]
        return [list(islice(outcomes, len(call))) for call in calls]


def _size_of(requests: Sequence[Append]) -> Size:
    return Size(
        items=sum(len(request.events) for request in requests),
        bytes=sum(request.bytes for request in requests),
    )


def _ids_of(requests: Sequence[Append]) -> list[str]:
    return [event.event_id for request in requests for event in request.events]
