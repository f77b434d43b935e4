"""How much of an answer fits into one message."""

from collections.abc import Iterable
from typing import TypeVar

from google.protobuf.message import Message

T = TypeVar("T", bound=Message)

# Clients take messages of 4 MiB unless told otherwise.
_PAGE_BYTES = 3 << 20


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
