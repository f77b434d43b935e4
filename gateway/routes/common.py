"""What the routes of several resources have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Header, Path, Request

from gateway.errors import Refused
from gateway.middleware.guard import CALLER
from gateway.models.common import ADA
from gateway.values import Uuid, Word
from svckit import ids
from svckit.errors import Conflict, InvalidRequest

PersonId = Annotated[Uuid, Path(examples=[ADA])]
Name = Annotated[Word, Path(examples=["mood"])]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=2048)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=255,
        description="Names what is created where the body has no id for it, so that a retry is "
        "the same request.",
    ),
]  # fmt: skip


def chosen_id(given: str | None, request: Request, path: str, key: str | None) -> str:
    """The id of what a request creates: the one given, or its key's, or a new one."""
    if given is not None:
        return given
    return ids.named(request.scope[CALLER], path, key) if key else ids.new()


@contextmanager
def condition(if_match: str | None, etag: str | None) -> Iterator[str]:
    """The etag that a change depends on, empty for none."""
    in_header = _etag_of(if_match)
    try:
        yield in_header or etag or ""
    except Conflict as error:
        if in_header and error.reason == "ETAG_MISMATCH":
            # What HTTP says of a precondition in a header (RFC 9110, 13.1.1).
            raise Refused(412, error.reason, error.message) from None
        raise


def _etag_of(if_match: str | None) -> str | None:
    """The etag of an If-Match header; none for `*`, which anything matches."""
    if if_match is None or if_match.strip() == "*":
        return None
    etag = if_match.strip().removeprefix("W/").strip('"')
    if not etag:
        # The services would take none for no condition at all.
        raise InvalidRequest("If-Match", "holds no etag")
    return etag
