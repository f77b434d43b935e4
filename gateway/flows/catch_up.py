"""The catch-up reader: finishes what a flow could not, after an outage or a crash.

It walks the log under a named cursor, stores the knowledge that is missing and has it follow edits
and deletions, and it logs registrations whose event never came. Of several gateways the one that
holds the cursor does so.
Everything it does is the same as in the flows, by the same ids, so a reader that has lost the
cursor without knowing does no harm.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from prometheus_client import Counter, Gauge

from gateway import tracing
from gateway.answers.messages import KnowledgeAnswer
from gateway.channels import FAILURES
from gateway.clients import MOST_EVENTS, MOST_IDS, Clients
from gateway.flows.entries import MESSAGE, decision_of, knowledge_id
from gateway.flows.histories import current_of
from gateway.flows.knowing import Knowing
from gateway.flows.registrations import Registrations
from gateway.flows.settling import Settling
from gateway.flows.versions import DELETION, EDIT
from kith.event.v1 import event_pb2, event_service_pb2
from svckit import errors, fields, ids, logs

log = logs.get(__name__)

CURSOR = "gateway.catch_up"
# What the event service says to a reader whose cursor is another's.
ANOTHER_READER = {"CURSOR_HELD", "LEASE_LOST"}
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 2.0
RELEASE_SECONDS = 2.0

POSITION = Gauge("kith_catch_up_position", "How far the catch-up reader has looked.")
CAUGHT_UP = Counter("kith_catch_up_stored_total", "Messages the catch-up reader stored.")
SWEPT = Counter("kith_catch_up_registrations_total", "Registrations the reader logged.")


class StillAway(Exception):
    """Knowledge cannot be stored yet."""


class CatchUp:
    """One reader. `grace` is how old something is before its own flow is given up on, `lease`
    for how long others leave the cursor to a reader that is not heard of; all in seconds.
    """

    def __init__(
        self, clients: Clients, registrations: Registrations, knowing: Knowing,
        settling: Settling, *, grace: float, poll: float, lease: float,
    ) -> None:  # fmt: skip
        self._clients = clients
        self._registrations = registrations
        self._knowing = knowing
        self._settling = settling
        self._grace = timedelta(seconds=grace)
        self._poll = poll
        self._lease = lease
        self._owner = f"gateway:{ids.new()}"
        self._token = 0

    async def run(self) -> None:
        """Catch up again and again until cancelled; pauses grow while a service is away."""
        try:
            await self._run()
        finally:
            # Whoever is next need not wait for the lease to run out.
            with suppress(*FAILURES):
                async with asyncio.timeout(RELEASE_SECONDS):
                    await self._release()

    async def once(self) -> None:
        """Finish everything that is older than the grace now, unless another reader does."""
        try:
            position = await self._hold()
            await self._sweep_registrations()
            while await self._walk_page(position):
                position = await self._hold()
        except errors.Conflict as error:
            if error.reason not in ANOTHER_READER:
                raise
            log.debug("another gateway catches up", why=str(error))

    async def _run(self) -> None:
        pause = 0.0
        while True:
            tracing.enter(replace(tracing.new(), is_background=True))
            try:
                await self.once()
            except (*FAILURES, StillAway) as error:
                if not pause:
                    log.warning("catching up waits", why=str(error))
                pause = min(max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
            except Exception:
                # Whatever it is, later messages must not wait for a restart.
                log.exception("catching up failed")
                pause = LONGEST_PAUSE
            else:
                pause = 0.0
            await self._rest(pause or self._poll)

    async def _hold(self) -> int:
        """Hold the cursor for another while; answers where it is."""
        lease = await self._clients.events.acquire_cursor(CURSOR, self._owner, self._lease)
        if lease.fencing_token != self._token:
            log.info("catching up from here on", position=lease.position)
        self._token = lease.fencing_token
        return lease.position

    async def _release(self) -> None:
        if self._token:
            await self._clients.events.release_cursor(CURSOR, self._token)

    async def _rest(self, seconds: float) -> None:
        """Wait, but not longer than the grace once a flow has deferred something."""
        self._knowing.deferred.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._knowing.deferred.wait()
                await asyncio.sleep(self._grace.total_seconds())
        except TimeoutError:
            return

    async def _sweep_registrations(self) -> None:
        """Log the registrations of links that nobody has confirmed for long."""
        before = fields.to_timestamp(datetime.now(UTC) - self._grace)
        async for links in self._clients.identity.pending_registrations(before):
            outcomes = await self._registrations.log_all(links)
            failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            SWEPT.inc(len(links) - len(failures))
            log.info("registrations logged late", links=len(links), failed=len(failures))
            for failure in failures:
                # What is wrong with one link must not hold up the others.
                if not errors.is_about_data(failure):
                    raise failure
                log.error("a registration cannot be logged", exc_info=failure)

    async def _walk_page(self, position: int) -> bool:
        """Look at a page of the log; whether there may be another right behind it."""
        page = await self._clients.events.page(
            event_service_pb2.ListEventsRequest(
                filter=event_pb2.EventFilter(event_types=[MESSAGE, EDIT, DELETION]),
                after_position=position,
                order=event_service_pb2.ORDER_ASCENDING,
                page_size=MOST_EVENTS,
            )
        )
        ripe = self._ripe(page.events)
        await self._store_missing([event for event in ripe if event.event_type == MESSAGE])
        await self._settle([event for event in ripe if event.event_type != MESSAGE])
        if len(ripe) < len(page.events):
            # Never past a younger event: its own flow may still fail.
            await self._advance(position, ripe[-1].position if ripe else position)
            return False
        # A page may be short, or even empty, and not be the last.
        await self._advance(position, page.scanned_position)
        return bool(page.next_page_token)

    def _ripe(self, events: Sequence[event_pb2.Event]) -> Sequence[event_pb2.Event]:
        """The events before the first that is younger than the grace."""
        before = datetime.now(UTC) - self._grace
        young = (
            index for index, event in enumerate(events) if event.created_at.ToDatetime(UTC) > before
        )
        return events[: next(young, len(events))]

    async def _store_missing(self, events: Sequence[event_pb2.Event]) -> None:
        wanted = [event for event in events if decision_of(event).wanted]
        for start in range(0, len(wanted), MOST_IDS):
            part = {
                knowledge_id(event.event_id): event for event in wanted[start : start + MOST_IDS]
            }
            missing = await self._clients.knowledge.missing(list(part))
            absent = [event for identifier, event in part.items() if identifier in missing]
            if not absent:
                continue
            # An edit that came meanwhile was deferred as well, or the item would be there.
            allowed = await self._knowing.consenting(absent)
            answers = await self._knowing.keep(await current_of(self._clients.events, allowed))
            stored = sum(answer["state"] == "stored" for answer in answers)
            CAUGHT_UP.inc(stored)
            log.info("caught up", stored=stored, missing=len(absent))
            _ensure_settled(answers)

    async def _settle(self, changes: Sequence[event_pb2.Event]) -> None:
        """Do what edits and deletions ask for, in case that their own flow did not."""
        if changes:
            _ensure_settled(await self._settling.finish(changes))

    async def _advance(self, before: int, position: int) -> None:
        # The log may end before the cursor: a backup is being restored, and the cursor with it.
        if position > before:
            await self._clients.events.save_cursor(CURSOR, position, self._token)
        POSITION.set(position)


def _ensure_settled(answers: Sequence[KnowledgeAnswer]) -> None:
    if any(answer["state"] == "deferred" for answer in answers):
        raise StillAway("knowledge is still not to be had")
