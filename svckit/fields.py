"""Checks of request fields; each returns the clean value or raises InvalidRequest by name."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from google.protobuf import struct_pb2, timestamp_pb2
from google.protobuf.message import Message

from svckit import ids, structs
from svckit.errors import InvalidRequest

METADATA_BYTES = 16 << 10

_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_SECONDS = 253_402_300_799  # the last second of the year 9999

T = TypeVar("T")


def uuid(value: str, field: str) -> str:
    """A UUID in its usual form, lower-cased."""
    if not ids.is_uuid(value):
        raise InvalidRequest(field, "must be a UUID" if value else "is required")
    return value.lower()


def optional_uuid(value: str, field: str) -> str | None:
    """A UUID, or None where the field is empty."""
    return uuid(value, field) if value else None


def uuids(values: Sequence[str], field: str, *, most: int) -> list[str]:
    """Up to `most` UUIDs, in order; none is fine."""
    if len(values) > most:
        raise InvalidRequest(field, f"has {len(values)} values; at most {most} are allowed")
    return [uuid(value, f"{field}[{index}]") for index, value in enumerate(values)]


def text(value: str, field: str, *, most: int, least: int = 1) -> str:
    """Text of `least` to `most` UTF-8 bytes, without NUL and lone surrogates."""
    structs.check_text(value, field)
    length = len(value) if value.isascii() else len(value.encode())
    if length < least:
        raise InvalidRequest(field, "is required" if least == 1 else f"needs {least} bytes")
    if length > most:
        raise InvalidRequest(field, f"is {length} bytes long; at most {most} are allowed")
    return value


def characters(value: str, field: str, *, most: int) -> str:
    """Text of at most `most` characters, without NUL and lone surrogates; may be empty."""
    structs.check_text(value, field)
    if len(value) > most:
        raise InvalidRequest(field, f"is {len(value)} characters long; at most {most} are allowed")
    return value


def word(value: str, field: str) -> str:
    """A name of 1 to 64 letters, digits, `_`, `-` and `.`, lower-cased."""
    if not _WORD.fullmatch(value):
        problem = "must be 1 to 64 letters, digits, '_', '-' or '.'" if value else "is required"
        raise InvalidRequest(field, problem)
    return value.lower()


def words(values: Sequence[str], field: str, *, most: int) -> list[str]:
    """Up to `most` words; none is fine."""
    if len(values) > most:
        raise InvalidRequest(field, f"has {len(values)} values; at most {most} are allowed")
    return [word(value, f"{field}[{index}]") for index, value in enumerate(values)]


def batch(values: Sequence[T], field: str, *, most: int = 1000) -> Sequence[T]:
    """One to `most` values."""
    size = len(values)
    if not 1 <= size <= most:
        raise InvalidRequest(field, f"has {size} entries; 1 to {most} are allowed")
    return values


def struct(
    message: struct_pb2.Struct, field: str, *, most_bytes: int = METADATA_BYTES
) -> dict[str, Any]:
    """A Struct as a checked dict; an absent one is empty."""
    if not message.fields:
        return {}
    value = structs.to_dict(message)
    # In JSON nothing takes more than six times its bytes here: a control character does.
    is_small = 6 * message.ByteSize() <= most_bytes
    structs.check(value, field, most_bytes=None if is_small else most_bytes)
    return value


def timestamp(message: Message, field: str) -> str | None:
    """A Timestamp field of a message as ISO 8601 text, None where it is not set.

    `field` is the path to name; its last part is the field's name. Years 1970 to 9999;
    what is finer than a microsecond is cut off.
    """
    name = field.rpartition(".")[2]
    if not message.HasField(name):
        return None
    value: timestamp_pb2.Timestamp = getattr(message, name)
    if not (0 <= value.seconds <= _LATEST_SECONDS and 0 <= value.nanos < 1_000_000_000):
        raise InvalidRequest(field, "is out of range: years 1970 to 9999")
    moment = datetime.fromtimestamp(value.seconds, UTC)
    return moment.replace(microsecond=value.nanos // 1000).isoformat()


def to_timestamp(moment: str | datetime | None) -> timestamp_pb2.Timestamp | None:
    """ISO 8601 text, as SQL functions answer it, as a Timestamp."""
    if moment is None:
        return None
    seconds, nanos = _since_the_epoch(moment)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)


# What was written together has the same moment.
@lru_cache(maxsize=1024)
def _since_the_epoch(moment: str | datetime) -> tuple[int, int]:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    since = moment - _EARLIEST
    return since.days * 86_400 + since.seconds, since.microseconds * 1000
