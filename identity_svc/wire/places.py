"""Places in lists, as page tokens carry them."""

import functools
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from google.protobuf.message import Message
from pydantic import TypeAdapter, ValidationError

from svckit import ids, pages
from svckit.errors import InvalidRequest

Place = TypeVar("Place", bound=tuple[Any, ...])
Listed = TypeVar("Listed")
Shown = TypeVar("Shown", bound=Message)

_adapter = functools.cache(TypeAdapter[Any])


def place_of(kind: type[Place], page_token: str, *query: Any) -> Place | None:
    """Where the page before ended, None for the first page.

    `kind` is a NamedTuple; its fields whose names end in `_id` hold UUIDs. Raises
    InvalidRequest for a token of another query, and for one that no page ended with.
    """
    found = pages.place(page_token, *query)
    if not page_token:
        return None
    try:
        place: Place = _adapter(kind).validate_python(found)
    except ValidationError:
        raise InvalidRequest("page_token", "is malformed") from None
    for name, value in zip(kind.__annotations__, place, strict=True):
        if not _is_storable(value) or (name.endswith("_id") and not ids.is_uuid(value)):
            raise InvalidRequest("page_token", "is malformed")
    return place


def _is_storable(value: datetime | int | str) -> bool:
    match value:
        case datetime():
            return value.tzinfo is not None
        case int():
            return 0 <= value < 2**63
        case _:
            return "\0" not in value


def page_of(
    found: Sequence[Listed], limit: int, show: Callable[[Listed], Shown],
    place: Callable[[Listed], tuple[Any, ...]], *query: Any,
) -> tuple[list[Shown], str]:  # fmt: skip
    """The page out of up to one more than `limit` things, and the token of the next one.

    It ends early where more would not fit into a message.
    """
    page = pages.fitting(map(show, found[:limit]))
    more = len(page) < len(found)
    return page, pages.token(tuple(place(found[len(page) - 1])), *query) if more else ""
