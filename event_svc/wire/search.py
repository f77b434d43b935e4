"""SearchEvents' messages to the domain, checked on the way."""

from datetime import datetime, timedelta
from typing import Any

from event_svc.domain.log import EventFilter
from event_svc.domain.search import MOST_WORDS, Mode, patterns_of
from event_svc.wire import log as wire
from kith.event.v1 import event_service_pb2 as pb
from svckit.errors import InvalidRequest
from svckit.structs import check_text

MOST_CHARACTERS = 512
LONGEST_RANGE = timedelta(days=31)

_MODES: dict[int, Mode] = {
    pb.SEARCH_MODE_UNSPECIFIED: Mode.WORDS,
    pb.SEARCH_MODE_WORDS: Mode.WORDS,
    pb.SEARCH_MODE_SUBSTRING: Mode.SUBSTRING,
}


def to_scope(request: pb.SearchEventsRequest) -> EventFilter:
    """A checked filter that is narrow enough to be searched."""
    chosen = wire.to_filter(request.filter)
    if not (chosen.subject_ids or chosen.group_id or chosen.session_id):
        if not (chosen.occurred_from and chosen.occurred_to):
            raise InvalidRequest(
                "filter", "needs subject_ids, group_id, session_id, or both occurred_from and "
                "occurred_to",
            )  # fmt: skip
        ends = (datetime.fromisoformat(end) for end in (chosen.occurred_to, chosen.occurred_from))
        if next(ends) - next(ends) > LONGEST_RANGE:
            raise InvalidRequest(
                "filter.occurred_from", f"is more than {LONGEST_RANGE.days} days before occurred_to"
            )
    return chosen


def to_mode(mode: int) -> Mode:
    """How to look."""
    if mode not in _MODES:
        raise InvalidRequest("mode", "is unknown")
    return _MODES[mode]


def to_patterns(query: str, mode: Mode) -> list[str]:
    """What the texts have to match."""
    check_text(query, "query")
    if not query or (mode is Mode.WORDS and not query.strip()):
        raise InvalidRequest("query", "is required")
    if len(query) > MOST_CHARACTERS:
        raise InvalidRequest(
            "query", f"is {len(query)} characters long; at most {MOST_CHARACTERS} are allowed"
        )
    patterns = patterns_of(query, mode)
    if len(patterns) > MOST_WORDS:
        raise InvalidRequest(
            "query", f"has {len(patterns)} words; at most {MOST_WORDS} are allowed"
        )
    return patterns


def query_of(request: pb.SearchEventsRequest, chosen: EventFilter, mode: Mode) -> Any:
    """What page tokens are bound to: everything but the size of a page."""
    return [
        "search", request.query, mode.value,
        *wire.choice_of(chosen, request.page_scope),
    ]  # fmt: skip
