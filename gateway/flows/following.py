"""Following the log: what there is, then what is committed, of everybody or of one person."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from gateway.channels import FAILURES
from gateway.clients import Clients
from gateway.flows.subjects import subjects_of
from kith.event.v1 import event_pb2, event_service_pb2
from svckit import errors, logs

log = logs.get(__name__)

Start = Literal["beginning", "now"] | int


@dataclass(frozen=True, slots=True)
class Step:
    """Some events in order, or none; whoever resumes after `position` misses nothing.

    Events up to `told` are late: those of somebody who has joined.
    """

    events: Sequence[event_pb2.Event]
    position: int
    is_caught_up: bool = False
    told: int = 0


class Following:
    """Follows the log, each time over a subscription of its own.

    `expand_seconds` is how soon it is noticed that a person was merged, or has one more link.
    """

    def __init__(self, clients: Clients, expand_seconds: float) -> None:
        self._clients = clients
        self._expand_seconds = expand_seconds

    async def follow(
        self, chosen: event_pb2.EventFilter, start: Start, person_id: str | None = None
    ) -> AsyncIterator[Step]:
        """What happens, for ever; every event once, in order of position.

        A person is followed through links and merges that come and go: what is new joins
        within seconds, without the past that it had before. Raises what the service raises,
        PersonNotFound, TooManySubjects.
        """
        subjects = await subjects_of(self._clients.identity, person_id)
        told = _Told()
        while True:
            chosen.subject_ids[:] = subjects
            request = _subscription(chosen, start)
            expansion = _Expansion(self._clients, person_id, subjects, self._expand_seconds)
            with closing(self._clients.events.subscribe(request)) as answers:
                while not expansion.has_changed:
                    answer = await answers.next(expansion.seconds_left)
                    if answer is not None:
                        step = told.step(answer)
                        if step is not None:
                            yield step
                    # What is told twice must be over before it can begin again.
                    if told.is_level:
                        await expansion.look_again(told.position)
            if expansion.safe_position is not None:
                start = expansion.safe_position
            told.known = frozenset(subjects)
            subjects = expansion.subjects

    async def first_of(
        self, chosen: event_pb2.EventFilter, after: int, seconds: float, most: int
    ) -> Step:
        """The first events after a position, or, after a time, how far there are none."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        position = after
        with closing(self._clients.events.subscribe(_subscription(chosen, after))) as answers:
            while answer := await answers.next(max(0.0, deadline - loop.time())):
                position = answer.position
                if answer.events:
                    events = answer.events[:most]
                    whole = len(events) == len(answer.events)
                    return Step(events, position if whole else events[-1].position)
        return Step((), position)


class _Told:
    """How far a follower was told, and who of, over all of its subscriptions.

    A person's new subjects are read from a little before where their follower is; then the
    events of those known before come a second time, and are left out.
    """

    def __init__(self) -> None:
        self.known: frozenset[str] = frozenset()
        self.position: int | None = None
        self._read = 0
        self._was_caught_up = False

    @property
    def is_level(self) -> bool:
        """Whether everything up to the position is read, of the new subjects too."""
        return self.position is None or self._read >= self.position

    def step(self, answer: event_service_pb2.SubscribeEventsResponse) -> Step | None:
        """What an answer tells that is new; None for nothing."""
        before = -1 if self.position is None else self.position
        events = [
            event
            for event in answer.events
            if event.position > before or event.subject_id not in self.known
        ]
        self._read = answer.position
        self.position = max(before, answer.position)
        caught_up = answer.mark == event_service_pb2.SUBSCRIPTION_MARK_CAUGHT_UP
        is_first = caught_up and not self._was_caught_up
        self._was_caught_up |= caught_up
        is_heartbeat = answer.mark == event_service_pb2.SUBSCRIPTION_MARK_HEARTBEAT
        if not (events or is_first or is_heartbeat):
            return None
        return Step(events, self.position, is_first, max(before, 0))


class _Expansion:
    """The subjects of a person, looked at again and again; those of nobody never change."""

    def __init__(
        self, clients: Clients, person_id: str | None, subjects: Sequence[str], seconds: float
    ) -> None:
        self._clients = clients
        self._person_id = person_id
        self._seconds = seconds
        # None: as soon as something was told.
        self._due: float | None = None
        self.subjects = subjects
        self.has_changed = False
        # Nothing up to here is of a subject that is not among these.
        self.safe_position: int | None = None

    @property
    def seconds_left(self) -> float | None:
        """How long to wait for the log before the next look; None for as long as it takes."""
        if self._person_id is None:
            return None
        return self._seconds if self._due is None else max(0.0, self._due - self._now())

    async def look_again(self, position: int | None) -> None:
        """Look whether the subjects have changed, if it is time."""
        if self._person_id is None or position is None:
            return
        if self._due is not None and self._now() < self._due:
            return
        self._due = self._now() + self._seconds
        try:
            subjects = await subjects_of(self._clients.identity, self._person_id)
        except FAILURES as error:
            if not isinstance(error, errors.ServiceError) or not errors.is_about_data(error):
                # Those known are followed on meanwhile.
                log.info("a person cannot be expanded", person_id=self._person_id, why=str(error))
                return
            raise
        if set(subjects) == set(self.subjects):
            self.safe_position = position
            return
        self.subjects = subjects
        self.has_changed = True
        if self.safe_position is None:
            self.safe_position = position

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _subscription(
    chosen: event_pb2.EventFilter, start: Start
) -> event_service_pb2.SubscribeEventsRequest:
    match start:
        case "beginning":
            return event_service_pb2.SubscribeEventsRequest(filter=chosen, from_beginning=True)
        case "now":
            return event_service_pb2.SubscribeEventsRequest(filter=chosen, from_now=True)
        case position:
            return event_service_pb2.SubscribeEventsRequest(filter=chosen, after_position=position)
