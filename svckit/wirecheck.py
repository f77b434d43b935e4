"""Parses request bytes, and where they are malformed says which field it is.

The protobuf runtime refuses a string that is not UTF-8 without naming it, and grpc would
answer INTERNAL; here it is an InvalidRequest like any other.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf import empty_pb2, unknown_fields
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from svckit.errors import InvalidRequest

_LENGTH_DELIMITED = 2


def parser(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """`Message.FromString` of some message, raising InvalidRequest by field."""
    message: type[Message] = deserialize.__self__  # type: ignore[attr-defined]

    def parse(wire: bytes) -> Any:
        try:
            return deserialize(wire)
        except DecodeError:
            field = _malformed(wire, message.DESCRIPTOR)
            if field is None:
                raise InvalidRequest("request", "is not a valid message") from None
            raise InvalidRequest(field, "is not valid UTF-8") from None

    return parse


def _malformed(wire: bytes, descriptor: Any) -> str | None:
    """The path of the first string that is not UTF-8, None if that is not what is wrong."""
    try:
        holder = empty_pb2.Empty.FromString(wire)
    except DecodeError:
        return None
    seen: dict[int, int] = {}
    fields: Any = unknown_fields.UnknownFieldSet(holder)
    for unknown in fields:
        field = descriptor.fields_by_number.get(unknown.field_number)
        if field is None or unknown.wire_type != _LENGTH_DELIMITED:
            continue
        index = seen[field.number] = seen.get(field.number, -1) + 1
        name = f"{field.name}[{index}]" if field.is_repeated else field.name
        if field.type == FieldDescriptor.TYPE_STRING:
            try:
                unknown.data.decode()
            except UnicodeDecodeError:
                return name
        elif field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type is not None:
            inner = _malformed(unknown.data, field.message_type)
            if inner is not None:
                return f"{name}.{inner}"
    return None
