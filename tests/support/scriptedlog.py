"""A log in memory that is listed and followed as the contract of the event service says."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from kith.event.v1 import event_pb2, event_service_pb2
from svckit import ids, structs
from tests.support.scripted import Script

_EVENTS = event_service_pb2.SUBSCRIPTION_MARK_EVENTS
_CAUGHT_UP = event_service_pb2.SUBSCRIPTION_MARK_CAUGHT_UP
_HEARTBEAT = event_service_pb2.SUBSCRIPTION_MARK_HEARTBEAT


class ScriptedLog:
    """The log. `open` counts its subscriptions, `sent` the events that they have sent."""

    def __init__(self, script: Script, most: int = 1000) -> None:
        self.events: list[event_pb2.Event] = []
        self.open = 0
        self.sent = 0
        self._most = most
        self._beats = 0
        self._fault: Exception | None = None
        self._changed = asyncio.Condition()
        script.answer("ListEvents", self.page)
        script.answer("SubscribeEvents", self.subscribe)

    async def append(self, subject_id: str = "", **content: Any) -> event_pb2.Event:
        """One more event."""
        event = event_pb2.Event(
            event_id=ids.new(),
            position=len(self.events) + 1,
            subject_id=subject_id,
            event_type=str(content.pop("event_type", "note")),
            platform="web",
            content=structs.from_dict(content),
        )
        self.events.append(event)
        await self._wake()
        return event

    async def beat(self) -> None:
        """Have every subscription send a heartbeat."""
        self._beats += 1
        await self._wake()

    async def fail(self, error: Exception) -> None:
        """End every subscription that is open with an error."""
        self._fault = error
        await self._wake()
        self._fault = None

    def page(self, request: Any) -> Any:
        """ListEvents; its pages are gone on from by position alone."""
        found = self._matching(request.filter, request.after_position)
        if request.order == event_service_pb2.ORDER_DESCENDING:
            found.reverse()
        size = request.page_size or 50
        is_last = len(found) <= size
        return event_service_pb2.ListEventsResponse(
            events=found[:size],
            next_page_token="" if is_last else "more",
            scanned_position=len(self.events) if is_last else found[size - 1].position,
        )

    async def subscribe(self, request: Any) -> AsyncIterator[Any]:
        """SubscribeEvents."""
        position = request.after_position
        if request.WhichOneof("start") in (None, "from_now"):
            position = len(self.events)
        self.open += 1
        beats, is_caught_up = self._beats, False
        try:
            while True:
                found = self._matching(request.filter, position)[: self._most]
                whole = len(found) < self._most
                position = len(self.events) if whole else found[-1].position
                if found:
                    yield _answer(_EVENTS, position, found)
                    self.sent += len(found)
                if not whole:
                    continue
                if not is_caught_up:
                    is_caught_up = True
                    yield _answer(_CAUGHT_UP, position)
                if beats != self._beats:
                    beats = self._beats
                    yield _answer(_HEARTBEAT, position)
                await self._news(position, beats)
        finally:
            self.open -= 1

    async def _news(self, position: int, beats: int) -> None:
        async with self._changed:
            while position == len(self.events) and beats == self._beats:
                await self._changed.wait()
                if self._fault is not None:
                    raise self._fault

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
        # The waiting ones look before this one goes on.
        await asyncio.sleep(0)

    def _matching(self, chosen: event_pb2.EventFilter, after: int) -> list[event_pb2.Event]:
        return [
            event
            for event in self.events[after:]
            if not chosen.subject_ids or event.subject_id in chosen.subject_ids
            if not chosen.event_types or event.event_type in chosen.event_types
        ]


def _answer(mark: Any, position: int, events: list[event_pb2.Event] | None = None) -> Any:
    return event_service_pb2.SubscribeEventsResponse(mark=mark, position=position, events=events)
