"""Sends a file's messages to a gateway: in batches, in order, each until it has been answered."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import orjson

from kithctl.failure import Failure
from kithctl.importing.gateway import PASSING, Gateway, Refused
from kithctl.importing.records import Malformed, Message, Record, Skipped
from kithctl.importing.tally import Tally

MOST_MESSAGES = 500
MOST_BYTES = 1 << 20

# How the gateway's problems name a field of one of several messages: `[3].text`.
_ITEM = re.compile(r"\[(\d+)\]")


class Journal(Protocol):
    """Where an import says how it goes."""

    def progress(self, tally: Tally) -> None:
        """A batch has been answered."""
        ...

    def failed(self, place: int, why: str) -> None:
        """A message was left out, and the import goes on."""
        ...


class InvalidMessage(Failure):
    """The message at `place` cannot be imported as it is; nothing from it on has been sent."""

    def __init__(self, place: int, problem: str) -> None:
        super().__init__(problem)
        self.place = place


class Importer:
    """One import. `tally` is right at any time, also after `run` has raised."""

    def __init__(self, gateway: Gateway, journal: Journal, *, skip_invalid: bool = False) -> None:
        self.tally = Tally()
        self._gateway = gateway
        self._journal = journal
        self._skip_invalid = skip_invalid

    def run(self, records: Iterable[Record]) -> None:
        """Send all messages among the records.

        Raises InvalidMessage unless those are to be skipped, Refused and Unreachable where the
        gateway does not play along, and what reading the records raises. Everything before the
        place where it stopped has then been sent; sending it again would change nothing.
        """
        for batch in batches(self._messages(records)):
            self._send(batch)
            self._journal.progress(self.tally)

    def _messages(self, records: Iterable[Record]) -> Iterator[Message]:
        for record in records:
            match record:
                case Message():
                    yield record
                case Skipped():
                    self.tally.skipped[record.why] += 1
                case Malformed():
                    self._leave_out(record.place, record.problem)

    def _send(self, batch: Sequence[Message]) -> None:
        pauses = self._gateway.pauses()
        waiting = batch
        while waiting:
            bodies = [message.body for message in waiting]
            try:
                results = self._gateway.post("/v1/messages:batch", bodies)["results"]
            except Refused as refused:
                waiting = self._without_invalid(waiting, refused)
                continue
            unanswered = self._settle(waiting, results)
            if len(unanswered) < len(waiting):
                pauses.progress()
            if unanswered:
                pauses.again(f"{len(unanswered)} messages could not be stored now")
            waiting = unanswered
        if batch:
            self.tally.reached = batch[-1].place

    def _settle(
        self, messages: Sequence[Message], results: Sequence[dict[str, Any]]
    ) -> list[Message]:
        """Count the results; answers the messages that are worth another try."""
        again = []
        for message, result in zip(messages, results, strict=True):
            problem = result.get("error")
            if problem is None:
                self.tally.count(result)
            elif problem["status"] in PASSING:
                again.append(message)
            else:
                self.tally.sent += 1
                self._fail(message.place, problem["reason"], problem["detail"])
        return again

    def _without_invalid(self, batch: Sequence[Message], refused: Refused) -> list[Message]:
        """What is left of a batch that was refused for some of its messages."""
        problems = invalid_items(refused, len(batch))
        if not problems:
            raise refused
        if not self._skip_invalid:
            self._send(batch[: min(problems)])
        for index, problem in sorted(problems.items()):
            self._leave_out(batch[index].place, problem)
        return [message for index, message in enumerate(batch) if index not in problems]

    def _leave_out(self, place: int, problem: str) -> None:
        if not self._skip_invalid:
            raise InvalidMessage(place, problem)
        self._fail(place, "INVALID_ARGUMENT", problem)

    def _fail(self, place: int, reason: str, detail: str) -> None:
        self.tally.failed[reason] += 1
        self._journal.failed(place, f"{detail} ({reason})")


def batches(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """The messages in lists that one call may carry; where reading fails, first what was read."""
    batch: list[Message] = []
    size = 0
    try:
        for message in messages:
            length = len(orjson.dumps(message.body))
            if batch and (len(batch) == MOST_MESSAGES or size + length > MOST_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(message)
            size += length
    except Failure:
        yield batch
        raise
    yield batch


def invalid_items(refused: Refused, count: int) -> dict[int, str]:
    """The indexes, below count, of the messages that a refusal names, with what is wrong."""
    problems: dict[int, str] = {}
    for error in refused.problem.get("errors", ()):
        named = _ITEM.match(error["field"])
        if named and int(named[1]) < count:
            field = error["field"][named.end() :].removeprefix(".") or "body"
            problems.setdefault(int(named[1]), f"{field}: {error['message']}")
    return problems
