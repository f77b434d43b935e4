"""What several kinds of requests have in common."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.values import Token, Word, wrong
from svckit import ids

ADA = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f30"

Purposes = dict[Word, Literal["granted", "denied", "unset"]]

MOST_PURPOSES = 64
# More than any page has, and no more than a message takes.
_MOST_ON_A_PAGE = 2**31 - 1

# Of writes that a search waits for: one, or a list.
IndexTokens = Annotated[
    list[Token],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(
        max_length=100,
        json_schema_extra={"anyOf": [{"type": "string"}, {"items": {"type": "string"}}]},
    ),
]


def body(*examples: dict[str, Any]) -> ConfigDict:
    """How a body is read, and what one looks like."""
    return ConfigDict(
        extra="forbid", strict=True, frozen=True, json_schema_extra={"examples": list(examples)}
    )


def ensure_platform(session_id: str | None, platform: str | None) -> None:
    """Refuse the name that a platform has for a conversation where it is not said which one."""
    if session_id and not platform and not ids.is_uuid(session_id):
        raise wrong("is required where session_id is no UUID", "platform")


# How a query is read: its numbers come as text.
QUERY = ConfigDict(extra="forbid", frozen=True)


class Page(BaseModel):
    """Which page of a list."""

    model_config = QUERY

    page_size: Annotated[int, AfterValidator(lambda size: min(size, _MOST_ON_A_PAGE))] = Field(
        default=50, ge=0, description="At most this many; 0 means 50, too many means the most."
    )
    page_token: str = Field(
        default="", max_length=2048, description="`next_page_token` of the page before."
    )
