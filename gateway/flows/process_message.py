"""What happens with messages, stage by stage: resolve, decide, log, keep as knowledge.

Every stage takes the whole list, so that the log has the order of the list; one message is a
list of one. docs/messages.md tells the same in words.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.answers.messages import KnowledgeAnswer, MessageAnswer
from gateway.channels import FAILURES
from gateway.clients import Clients
from gateway.errors import renamed
from gateway.flows import entries, relevance
from gateway.flows.histories import current_of
from gateway.flows.knowing import Knowing, skipped
from gateway.flows.originals import originals_of
from gateway.flows.registrations import Registrations
from gateway.models.messages import Message
from kith.event.v1 import event_pb2, event_service_pb2
from kith.identity.v1 import identity_service_pb2
from svckit import errors

Account = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as a client sent it; `key` names it where it has no message id."""

    message: Message
    key: entries.IdempotencyKey | None = None


class _Case:
    """One message on its way; one that has its outcome, such as a failure, goes no further."""

    __slots__ = ("account", "event", "identity", "logged", "message", "outcome", "sent")

    def __init__(self, sent: Sent) -> None:
        message = sent.message
        self.sent = sent
        self.message = message
        person = message.to_sender_id if message.role == "assistant" else message.sender_id
        self.account: Account = (message.platform, person or "")
        self.identity = identity_service_pb2.Identity()
        self.event = event_pb2.NewEvent()
        self.logged = event_pb2.LoggedEvent()
        self.outcome: MessageAnswer | BaseException | None = None

    @property
    def registers(self) -> bool:
        """Whether an unknown person is to become known by it."""
        return self.message.role == "user"

    def fail(self, error: BaseException) -> None:
        """Take it out, because of an error about its person."""
        field = "sender_id" if self.registers else "to_sender_id"
        self.outcome = renamed(error, {"platform_id": field})


class ProcessMessages:
    """The flow, over the three services."""

    def __init__(
        self,
        clients: Clients,
        registrations: Registrations,
        knowing: Knowing,
        *,
        unknown_sender: Literal["register", "reject"],
        consent_default: relevance.ConsentDefault,
    ) -> None:
        self._clients = clients
        self._registrations = registrations
        self._knowing = knowing
        self._registers = unknown_sender == "register"
        self._default = consent_default

    async def __call__(self, sent: Sequence[Sent]) -> list[MessageAnswer | BaseException]:
        """The answer or the error of each message, in order."""
        cases = [_Case(one) for one in sent]
        await self._resolve(cases)
        self._decide(_going_on(cases))
        await self._log(_going_on(cases))
        await self._keep(_going_on(cases))
        return [_outcome(case) for case in cases]

    async def _resolve(self, cases: Sequence[_Case]) -> None:
        """Find the person whom each message concerns."""
        accounts = list(dict.fromkeys(case.account for case in cases))
        answers = await self._clients.identity.resolve(accounts)
        found = dict(zip(accounts, answers, strict=True))

        new = {case.account for case in cases if case.registers} if self._registers else set()
        unknown = [
            account
            for account in accounts
            if account in new and isinstance(found[account], errors.NotFound)
        ]
        if unknown:
            found |= await self._register(unknown)

        for case in cases:
            outcome = found[case.account]
            if isinstance(outcome, BaseException):
                case.fail(outcome)
            else:
                case.identity = outcome

    async def _register(
        self, accounts: Sequence[Account]
    ) -> dict[Account, identity_service_pb2.Identity | BaseException]:
        outcomes = await self._clients.identity.register(
            identity_service_pb2.RegisterPersonRequest(platform=platform, platform_id=platform_id)
            for platform, platform_id in accounts
        )
        return {
            account: outcome if isinstance(outcome, BaseException) else outcome.identity
            for account, outcome in zip(accounts, outcomes, strict=True)
        }

    def _decide(self, cases: Iterable[_Case]) -> None:
        """Give each message its id, and decide what is to be kept of it."""
        for case in cases:
            message, consent = case.message, case.identity.consent
            # A bot is nobody's link, so its id stands as it was given.
            sender = case.identity.platform_id if case.registers else message.sender_id.strip()
            case.event = entries.message_event(
                entries.message_id(message, sender, case.sent.key),
                message,
                case.identity,
                relevance.should_store_as_knowledge(message, consent, self._default),
                keep_text=relevance.allows_text(consent, self._default),
            )

    async def _log(self, cases: Sequence[_Case]) -> None:
        """Append each message, after the registration of its person if that is not logged yet."""
        requests = []
        for case in cases:
            request = event_service_pb2.LogEventsRequest()
            if case.identity.registration_pending:
                request.events.append(entries.registration_event(case.identity))
            request.events.append(case.event)
            requests.append(request)
        for case, outcome in zip(cases, await self._clients.events.log(requests), strict=True):
            if isinstance(outcome, BaseException):
                case.outcome = renamed(outcome, {"content": "text", "occurred_at": "timestamp"})
            else:
                case.logged = outcome.events[-1]
        self._registrations.confirm(
            case.identity.link_id for case in _going_on(cases) if case.identity.registration_pending
        )

    async def _keep(self, cases: Sequence[_Case]) -> None:
        """Make knowledge of the messages, and answer."""
        fresh = [case for case in cases if not case.logged.duplicate]
        events = [entries.as_logged(case.event, case.logged) for case in fresh]
        for case, event, kept in zip(fresh, events, await self._knowing.keep(events), strict=True):
            case.outcome = _answer(event.person_id, case.logged, kept)
        if len(fresh) < len(cases):
            await self._answer_repeats([case for case in cases if case.logged.duplicate])

    async def _answer_repeats(self, cases: Sequence[_Case]) -> None:
        """Answer as the first call did: what was logged then counts, not who or how it is now."""
        try:
            originals = await originals_of(
                self._clients.events, {case.logged.position for case in cases}
            )
            wanted = [event for event in originals.values() if entries.decision_of(event).wanted]
            allowed = await current_of(self._clients.events, await self._knowing.consenting(wanted))
        except FAILURES as error:
            for case in cases:
                case.outcome = error
            return
        kept = dict(
            zip(
                (event.position for event in allowed),
                await self._knowing.keep(allowed),
                strict=True,
            )
        )
        for case in cases:
            original = originals.get(case.logged.position)
            if original is None:
                # Erased, or dropped by retention: the log knows the id and no more.
                case.outcome = _answer(case.identity.person_id, case.logged, skipped("gone"))
                continue
            decision = entries.decision_of(original)
            reason = "consent_denied" if decision.wanted else decision.reason
            answer = kept.get(original.position) or skipped(reason)
            case.outcome = _answer(original.person_id, case.logged, answer)


def _going_on(cases: Iterable[_Case]) -> list[_Case]:
    return [case for case in cases if case.outcome is None]


def _outcome(case: _Case) -> MessageAnswer | BaseException:
    assert case.outcome is not None, "the last stage gives every message its outcome"
    return case.outcome


def _answer(
    person_id: str, logged: event_pb2.LoggedEvent, knowledge: KnowledgeAnswer
) -> MessageAnswer:
    return {
        "person_id": person_id,
        "event_id": logged.event_id,
        "position": logged.position,
        "duplicate": logged.duplicate,
        "knowledge": knowledge,
    }
