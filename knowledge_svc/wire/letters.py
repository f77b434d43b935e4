"""IndexService's messages about what waits and what was given up."""

from collections.abc import Sequence

from kith.knowledge.v1 import index_service_pb2 as pb
from knowledge_svc.domain.items import Backlog
from knowledge_svc.domain.letters import DeadLetter, LetterPlace, Letters
from knowledge_svc.wire.places import moment_and_id
from svckit import fields, pages
from svckit.errors import InvalidRequest

_MOST_IDS = 1_000


def to_place(page_token: str, namespaces: list[str]) -> LetterPlace | None:
    """Where the page before ended; None at the start."""
    place = moment_and_id(page_token, "dead letters", namespaces)
    return LetterPlace(*place) if place else None


def to_ids(request: pb.ReplayDeadLettersRequest) -> list[str] | None:
    """The items to try again; None for all."""
    if request.all:
        if request.knowledge_ids:
            raise InvalidRequest("knowledge_ids", "must be empty where all is set")
        return None
    fields.batch(request.knowledge_ids, "knowledge_ids", most=_MOST_IDS)
    return fields.uuids(request.knowledge_ids, "knowledge_ids", most=_MOST_IDS)


def from_letters(found: Letters, limit: int, namespaces: list[str]) -> pb.ListDeadLettersResponse:
    """A page of letters, out of one more than fit on it."""
    page, more = found.letters[:limit], found.letters[limit:]
    return pb.ListDeadLettersResponse(
        dead_letters=[_from_letter(letter) for letter in page],
        next_page_token=_page_token(page[-1], namespaces) if more else "",
        total=found.total,
    )


def _page_token(last: DeadLetter, namespaces: list[str]) -> str:
    return pages.token([last.failed_at, last.knowledge_id], "dead letters", namespaces)


def _from_letter(letter: DeadLetter) -> pb.DeadLetter:
    return pb.DeadLetter(
        knowledge_id=letter.knowledge_id,
        namespace=letter.namespace,
        error=" ".join(letter.error.split()),
        attempts=letter.attempts,
        failed_at=fields.to_timestamp(letter.failed_at),
        pending_since=fields.to_timestamp(letter.pending_since),
        space=letter.space,
    )


def from_backlog(backlog: Backlog, spaces: Sequence[pb.Space]) -> pb.GetIndexStatusResponse:
    """What waits, beside the spaces."""
    return pb.GetIndexStatusResponse(
        backlog=backlog.rows,
        oldest_pending_seconds=backlog.oldest_seconds,
        dead_letters=backlog.dead_letters,
        spaces=spaces,
    )
