"""Registration events: what is logged when somebody becomes known, exactly once."""

import asyncio
from collections.abc import Iterable, Sequence

from gateway import tracing
from gateway.channels import FAILURES
from gateway.clients import Clients
from gateway.errors import moved
from gateway.flows.entries import registration_event
from gateway.models.people import Registration
from gateway.rendering.values import purposes
from kith.event.v1 import event_service_pb2
from kith.identity.v1 import identity_service_pb2, person_pb2
from svckit import logs, structs

log = logs.get(__name__)

MOST_CONFIRMING = 256


def registration_request(registration: Registration) -> identity_service_pb2.RegisterPersonRequest:
    """What identity is asked for."""
    return identity_service_pb2.RegisterPersonRequest(
        platform=registration.platform,
        platform_id=registration.platform_id,
        metadata=structs.from_dict(registration.metadata),
        consent=person_pb2.Consent(purposes=purposes(registration.consent)),
    )


class Registrations:
    """Registers people, and sees to it that each registration is in the log."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._confirming: set[asyncio.Task[None]] = set()

    async def register(
        self, registration: Registration
    ) -> identity_service_pb2.RegisterPersonResponse:
        """The person behind a platform id, whose registration is in the log."""
        [answer] = await self._clients.identity.register([registration_request(registration)])
        if isinstance(answer, BaseException):
            raise moved(answer, "consent.purposes", "consent")
        if answer.identity.registration_pending:
            await self.log(answer.identity)
        return answer

    async def log(self, linked: identity_service_pb2.Identity | person_pb2.Link) -> None:
        """Log the registration event of a link, then confirm it; raises if it is not logged."""
        [outcome] = await self.log_all([linked])
        if isinstance(outcome, BaseException):
            raise outcome

    async def log_all(
        self, linked: Sequence[identity_service_pb2.Identity | person_pb2.Link]
    ) -> Sequence[object]:
        """Do so for several; failures stand in their places."""
        outcomes = await self._clients.events.log(
            event_service_pb2.LogEventsRequest(events=[registration_event(link)]) for link in linked
        )
        self.confirm(
            link.link_id
            for link, outcome in zip(linked, outcomes, strict=True)
            if not isinstance(outcome, BaseException)
        )
        return outcomes

    def confirm(self, link_ids: Iterable[str]) -> None:
        """Tell identity, in the background, that registration events are logged.

        Where that fails the link stays pending, and the catch-up reader does it again.
        """
        confirmed = sorted(set(link_ids))
        if confirmed and len(self._confirming) < MOST_CONFIRMING:
            task = asyncio.create_task(self._confirm(confirmed), name="confirm registrations")
            self._confirming.add(task)
            task.add_done_callback(self._confirming.discard)

    async def drain(self) -> None:
        """Return when nothing is left to do in the background."""
        while self._confirming:
            await asyncio.wait(self._confirming)

    async def _confirm(self, link_ids: list[str]) -> None:
        # The request that it was for is answered by now, and its deadline does not count.
        tracing.enter(tracing.without_deadline())
        try:
            await self._clients.identity.confirm(link_ids)
        except FAILURES as error:
            log.warning("registrations are not confirmed yet", links=len(link_ids), why=str(error))
