"""Parses request bytes, and where they are malformed says which field it is.

The protobuf runtime refuses a string that is not UTF-8, and messages that are nested too
deep, without naming the field, and grpc would answer INTERNAL; here it is an
InvalidRequest like any other. In large messages it may be the request that is named: looking
for the field takes much longer than parsing, and nobody else is served meanwhile.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf import empty_pb2, unknown_fields
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from svckit.errors import InvalidRequest

_LENGTH_DELIMITED = 2
# The runtime's own bound.
_MOST_DEPTH = 100
# So much is looked through: a mebibyte of tiny fields takes a second.
_MOST_BYTES = 1 << 20
_JSON = "google/protobuf/struct.proto"


def parser(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """`Message.FromString` of some message, raising InvalidRequest by field."""
    message: type[Message] = deserialize.__self__  # type: ignore[attr-defined]

    def parse(wire: bytes) -> Any:
        try:
            return deserialize(wire)
        except DecodeError:
            found = _Search().malformed(wire, message.DESCRIPTOR)
            if found is None:
                raise InvalidRequest("request", "is not a valid message") from None
            raise InvalidRequest(*found) from None

    return parse


class _Search:
    """A search for what is wrong in a message, which ends when it has become too much work."""

    def __init__(self) -> None:
        self._left = _MOST_BYTES

    def malformed(self, wire: bytes, descriptor: Any, depth: int = 1) -> tuple[str, str] | None:
        """The path of the first field that is wrong and what is; None if that is not found."""
        if depth > _MOST_DEPTH:
            return "", "is nested too deep"
        if len(wire) > self._left:
            return None
        try:
            holder = empty_pb2.Empty.FromString(wire)
        except DecodeError:
            return None
        seen: dict[int, int] = {}
        fields: Any = unknown_fields.UnknownFieldSet(holder)
        # What a field holds is passed over here, and looked through a level below.
        self._left -= len(wire) - sum(
            len(unknown.data) for unknown in fields if unknown.wire_type == _LENGTH_DELIMITED
        )
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
                    return name, "is not valid UTF-8"
            elif field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type is not None:
                inner = self.malformed(unknown.data, field.message_type, depth + 1)
                if inner is not None:
                    path, problem = inner
                    if path:
                        return f"{name}.{path}", problem
                    # Too deep in JSON: what is named is the field that holds all of it.
                    return "" if descriptor.file.name == _JSON else name, problem
        return None
