"""Ids: UUIDv7 for what is new, UUIDv5 for what stands for something."""

import re
from uuid import UUID, uuid5

import orjson
import uuid_utils

# The root of all names below; changing it would make every retry a stranger.
NAMESPACE = UUID("6f0a3a6e-3c07-5c4b-9d4e-4b6974680001")

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def new() -> str:
    """A UUIDv7, so that ids sort by the time they were made."""
    return str(uuid_utils.uuid7())


def named(*parts: str) -> str:
    """The id of what these words name: `uuid5` of their JSON array."""
    return str(uuid5(NAMESPACE, orjson.dumps(parts).decode()))


def derived(identifier: str, name: str) -> str:
    """The id of what belongs to something: `uuid5(identifier, name)`."""
    return str(uuid5(UUID(identifier), name))


def is_uuid(text: str) -> bool:
    """Whether text is a UUID in its usual form of 36 characters."""
    return _UUID.fullmatch(text) is not None


def conversation(platform: str, text: str) -> str:
    """The id of a conversation that a platform names by any text; a UUID stays itself."""
    return text.lower() if is_uuid(text) else named("conversation", platform, text)
