"""Pages that fit into a message, and their opaque tokens, which carry a place, are bound to a
query, and grant nothing.
"""

import base64
import hashlib
from collections.abc import Iterable
from typing import Any, TypeVar

import orjson
from google.protobuf.message import Message

from svckit.errors import InvalidRequest

# Clients take messages of 4 MiB unless told otherwise.
_PAGE_BYTES = 3 << 20
_OTHER_QUERY = "belongs to another query"

T = TypeVar("T", bound=Message)


def size(asked: int, *, default: int, most: int) -> int:
    """How many rows a page has: 0 means the default, too many means the most."""
    if asked < 0:
        raise InvalidRequest("page_size", "must not be negative")
    return min(asked or default, most)


def fitting(page: Iterable[T]) -> list[T]:
    """The first of a page that fit into a message that any client can take; one in any case.

    Metadata of 16 KiB can be six times as large in a message.
    """
    shown: list[T] = []
    left = _PAGE_BYTES
    for each in page:
        left -= each.ByteSize()
        if left < 0 and shown:
            break
        shown.append(each)
    return shown


def token(place: Any, *query: Any) -> str:
    """A token that leads back to a place (any JSON value) in a query (any JSON values)."""
    return base64.urlsafe_b64encode(orjson.dumps([_fingerprint(query), place])).decode().rstrip("=")


def place(page_token: str, *query: Any) -> Any:
    """The place a token leads to, None for no token; InvalidRequest for another query's."""
    if not page_token:
        return None
    try:
        padded = page_token + "=" * (-len(page_token) % 4)
        fingerprint, found = orjson.loads(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, TypeError):
        raise InvalidRequest("page_token", "is malformed") from None
    if fingerprint != _fingerprint(query):
        raise InvalidRequest("page_token", _OTHER_QUERY)
    return found


def _fingerprint(query: tuple[Any, ...]) -> str:
    canonical = orjson.dumps(query, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(canonical, digest_size=9).hexdigest()
