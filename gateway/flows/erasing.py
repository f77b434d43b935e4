"""Erases people from everywhere: knowledge, then events, then identity, each step recorded.

Identity writes down first whom to erase, and each step once nothing is left of it; so whatever
dies or is away, any gateway goes on with what is not recorded. Every step may be repeated, and
two gateways at the same erasure do no harm.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from prometheus_client import Counter, Gauge

from gateway import tracing
from gateway.channels import FAILURES
from gateway.clients import Clients
from gateway.flows.catch_up import ANOTHER_READER
from kith.event.v1 import event_service_pb2
from kith.identity.v1 import erasure_pb2, identity_service_pb2
from kith.knowledge.v1 import knowledge_service_pb2
from svckit import errors, ids, logs

log = logs.get(__name__)

CURSOR = "gateway.erasures"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
RELEASE_SECONDS = 2.0
# Where a step takes longer, the next call goes on with it.
STEP_SECONDS = 30.0
PAGE_SIZE = 100

KNOWLEDGE = erasure_pb2.ERASURE_STAGE_KNOWLEDGE
EVENTS = erasure_pb2.ERASURE_STAGE_EVENTS
IDENTITY = erasure_pb2.ERASURE_STAGE_IDENTITY
STAGES = (KNOWLEDGE, EVENTS, IDENTITY)

Stage: TypeAlias = "erasure_pb2.ErasureStage.ValueType"

UNFINISHED = Gauge("kith_erasures_unfinished", "Erasures that are started and not done.")
FINISHED = Counter("kith_erasures_finished_total", "Erasures that this process has finished.")
FAILED = Counter("kith_erasure_failures_total", "Tries to do a step that failed.", ["stage"])


class StillThere(Exception):
    """Something is left of somebody, or was when it was counted again."""


# What leaves an erasure to be gone on with later.
SETBACKS = (*FAILURES, StillThere)


class Erasing:
    """Starts erasures and does their steps; `left_over` is set where one is to be gone on with."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.left_over = asyncio.Event()

    async def start(self, person_id: str) -> erasure_pb2.Erasure:
        """Record that a person is to be erased; the erasure that is there, where one is."""
        identity = self._clients.identity
        request = identity_service_pb2.StartErasureRequest(person_id=person_id)
        return (await identity.ask(identity.stub.StartErasure, request)).erasure

    async def read(self, erasure_id: str) -> erasure_pb2.Erasure:
        """One erasure."""
        identity = self._clients.identity
        request = identity_service_pb2.GetErasureRequest(erasure_id=erasure_id)
        return (await identity.ask(identity.stub.GetErasure, request)).erasure

    async def within(self, erasure: erasure_pb2.Erasure, seconds: float) -> erasure_pb2.Erasure:
        """How far an erasure comes in so many seconds; what is left is gone on with later."""
        try:
            async with asyncio.timeout(seconds):
                return await self.go_on(erasure)
        except SETBACKS as error:
            log.warning("an erasure waits", erasure_id=erasure.erasure_id, why=str(error))
            self.left_over.set()
        with suppress(*FAILURES):
            return await self.read(erasure.erasure_id)
        return erasure

    async def go_on(self, erasure: erasure_pb2.Erasure) -> erasure_pb2.Erasure:
        """Do the steps that are not recorded; raises one of SETBACKS where one cannot be done."""
        done = {step.stage for step in erasure.steps}
        for stage in STAGES:
            if stage not in done:
                erasure = await self._do(stage, erasure)
        if IDENTITY not in done:
            FINISHED.inc()
            log.info("somebody was erased", erasure_id=erasure.erasure_id)
        return erasure

    async def _do(self, stage: Stage, erasure: erasure_pb2.Erasure) -> erasure_pb2.Erasure:
        identity = self._clients.identity
        try:
            erased, remaining = await self._erase(stage, erasure.subject_ids)
            if any(remaining.values()):
                raise StillThere(f"left when counted again: {dict(remaining)}")
            request = identity_service_pb2.RecordErasureStepRequest(
                erasure_id=erasure.erasure_id, stage=stage, erased=erased, remaining=remaining
            )
            answer = await identity.ask(identity.stub.RecordErasureStep, request)
        except SETBACKS:
            FAILED.labels(name_of(stage)).inc()
            raise
        return answer.erasure

    async def _erase(
        self, stage: Stage, subject_ids: Sequence[str]
    ) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """How much was erased, and how much an independent count still finds."""
        match stage:
            case erasure_pb2.ERASURE_STAGE_KNOWLEDGE:
                return await self._erase_knowledge(subject_ids)
            case erasure_pb2.ERASURE_STAGE_EVENTS:
                return await self._erase_events(subject_ids)
            case _:
                # Identity does its own step when it is recorded, and counts by itself.
                return {}, {}

    async def _erase_knowledge(
        self, subject_ids: Sequence[str]
    ) -> tuple[Mapping[str, int], Mapping[str, int]]:
        knowledge = self._clients.knowledge
        pb = knowledge_service_pb2
        erased = await knowledge.channel.call(
            knowledge.stub.EraseSubjects,
            pb.EraseSubjectsRequest(subject_ids=subject_ids),
            STEP_SECONDS,
        )
        left = await knowledge.channel.call(
            knowledge.stub.CountSubjects,
            pb.CountSubjectsRequest(subject_ids=subject_ids),
            STEP_SECONDS,
        )
        return erased.erased_in_all, left.remaining

    async def _erase_events(
        self, subject_ids: Sequence[str]
    ) -> tuple[Mapping[str, int], Mapping[str, int]]:
        events = self._clients.events
        pb = event_service_pb2
        erased = await events.channel.call(
            events.stub.EraseSubjects,
            pb.EraseSubjectsRequest(subject_ids=subject_ids),
            STEP_SECONDS,
        )
        left = await events.channel.call(
            events.stub.CountSubjects,
            pb.CountSubjectsRequest(subject_ids=subject_ids),
            STEP_SECONDS,
        )
        remaining = {"events": left.readable, "projection_values": left.projection_values}
        return {"events": erased.erased_in_all}, remaining


class GoingOn:
    """Goes on with erasures that their own request could not finish; of several gateways one does.

    `grace` is how old an erasure is before its own request is given up on, `lease` for how long
    others leave the cursor to a gateway that is not heard of; all in seconds.
    """

    def __init__(
        self, clients: Clients, erasing: Erasing, *, grace: float, poll: float, lease: float
    ) -> None:
        self._clients = clients
        self._erasing = erasing
        self._grace = timedelta(seconds=grace)
        self._poll = poll
        self._lease = lease
        self._owner = f"gateway:{ids.new()}"
        self._token = 0

    async def run(self) -> None:
        """Look again and again until cancelled; pauses grow while something is left."""
        pause = 0.0
        try:
            while True:
                tracing.enter(replace(tracing.new(), is_background=True))
                try:
                    pause = FIRST_PAUSE if await self.once() else 0.0
                except SETBACKS as error:
                    if not pause:
                        log.warning("erasures wait", why=str(error))
                    pause = min(max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
                except Exception:
                    log.exception("going on with erasures failed")
                    pause = LONGEST_PAUSE
                await self._rest(pause)
        finally:
            # Whoever is next need not wait for the lease to run out.
            with suppress(*FAILURES):
                async with asyncio.timeout(RELEASE_SECONDS):
                    await self._release()

    async def once(self) -> bool:
        """Do what can be done of every unfinished erasure; raises what stood in the way last.

        Answers whether some are left to their own requests for now.
        """
        found = await self._unfinished()
        UNFINISHED.set(len(found))
        before = datetime.now(UTC) - self._grace
        ripe = [erasure for erasure in found if erasure.started_at.ToDatetime(UTC) <= before]
        setback: Exception | None = None
        for erasure in ripe:
            if not await self._hold():
                return False
            try:
                await self._erasing.go_on(erasure)
                UNFINISHED.dec()
            except SETBACKS as error:
                # One that cannot be finished must not hold up the others.
                log.warning("an erasure waits", erasure_id=erasure.erasure_id, why=str(error))
                setback = error
        if setback is not None:
            raise setback
        return len(ripe) < len(found)

    async def _unfinished(self) -> list[erasure_pb2.Erasure]:
        identity = self._clients.identity
        request = identity_service_pb2.ListErasuresRequest(
            state=erasure_pb2.ERASURE_STATE_RUNNING, page_size=PAGE_SIZE
        )
        pages = identity.pages(identity.stub.ListErasures, request)
        return [erasure async for page in pages for erasure in page.erasures]

    async def _hold(self) -> bool:
        """Hold the cursor for another while; whether no other gateway does."""
        try:
            lease = await self._clients.events.acquire_cursor(CURSOR, self._owner, self._lease)
        except errors.Conflict as error:
            if error.reason not in ANOTHER_READER:
                raise
            log.debug("another gateway goes on with erasures", why=str(error))
            return False
        self._token = lease.fencing_token
        return True

    async def _release(self) -> None:
        if self._token:
            await self._clients.events.release_cursor(CURSOR, self._token)

    async def _rest(self, pause: float) -> None:
        """Wait before looking again: not long once a request has left something over."""
        self._erasing.left_over.clear()
        try:
            async with asyncio.timeout(pause or self._poll):
                await self._erasing.left_over.wait()
                await asyncio.sleep(self._grace.total_seconds())
        except TimeoutError:
            return


def name_of(stage: Stage) -> str:
    """A stage as clients and metrics call it."""
    return erasure_pb2.ErasureStage.Name(stage).removeprefix("ERASURE_STAGE_").lower()
