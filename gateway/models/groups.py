"""Groups of people."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from gateway.models.common import ADA, Page, body
from gateway.values import Metadata, Note, Token, Uuid, Word, wrong

MOST_MEMBERS = 1000


class NewGroup(BaseModel):
    """Several people together: a couple, a household, a guild."""

    model_config = body(
        {"kind": "household", "name": "Rua das Flores 7", "person_ids": [ADA], "metadata": {}}
    )

    group_id: Uuid | None = Field(
        default=None, description="The id to have. With one, a retry is the same request."
    )
    kind: Word = Field(description="What it is, such as couple, household, guild.")
    name: Note = Field(default="", description="At most 256 characters.")
    metadata: Metadata = Field(default_factory=dict, description="At most 16 KiB.")
    person_ids: Annotated[list[Uuid], Field(max_length=MOST_MEMBERS)] = Field(
        default_factory=list, description="Who is in it from the start."
    )


class GroupPatch(BaseModel):
    """A change of a group."""

    model_config = body({"name": "Rua das Flores 9", "metadata": {"floor": 2}})

    name: Note | None = Field(default=None, description="Absent leaves it.")
    metadata: Metadata | None = Field(
        default=None, description="A JSON merge patch (RFC 7396); absent leaves it."
    )
    etag: Token | None = Field(
        default=None,
        description="Change only if the group still has this etag; If-Match does the same.",
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.name is None and self.metadata is None:
            raise wrong("is required, or name", "metadata")
        return self


class GroupsQuery(Page):
    """Which groups."""

    person_id: Uuid | None = Field(default=None, description="That this person is in.")
    kind: Word | None = Field(default=None, description="Of this kind.")


class PersonGroupsQuery(Page):
    """Which groups of a person."""

    kind: Word | None = Field(default=None, description="Of this kind.")


class Membership(BaseModel):
    """How somebody is in a group."""

    model_config = body({"role": "owner"})

    role: Word | None = Field(default=None, description="In which role; absent means none.")
