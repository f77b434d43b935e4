"""Where pages of lists end that go by a moment and an id."""

import uuid
from datetime import datetime
from typing import Any

from svckit import pages
from svckit.errors import InvalidRequest


def moment_and_id(page_token: str, *query: Any) -> tuple[str, str] | None:
    """The moment, ISO 8601, and the UUID that a token of a query leads to; None for no token."""
    place = pages.place(page_token, *query)
    if place is None:
        return None
    try:
        moment, identifier = place
        return datetime.fromisoformat(moment).isoformat(), str(uuid.UUID(identifier))
    except (ValueError, TypeError, AttributeError):
        raise InvalidRequest("page_token", "is malformed") from None
