"""The kinds of values in requests: checked as the services check them, before any is asked."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError

from svckit import fields, ids, structs
from svckit.errors import InvalidRequest

TEXT_BYTES = 32 << 10
QUERY_BYTES = 8 << 10
CONTENT_BYTES = 256 << 10
MEMORY_BYTES = 8 << 10
MOST_POSITION = 2**63 - 1

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)")


def wrong(problem: str, spot: str = "") -> PydanticCustomError:
    """What is wrong with a value; `spot` is where inside of it."""
    return PydanticCustomError("kith", "{problem}", {"problem": problem, "spot": spot})


def _checked(check: Callable[[Any], Any]) -> AfterValidator:
    """One of the kit's checks as one of pydantic's."""

    def validate(value: Any) -> Any:
        try:
            return check(value)
        except InvalidRequest as error:
            [(spot, problem)] = error.violations
            raise wrong(problem, spot) from None

    return AfterValidator(validate)


def _moment(value: Any) -> Any:
    """RFC 3339 text as a time in UTC."""
    if not isinstance(value, str):
        raise wrong("must be a time as RFC 3339 text, such as 2026-03-01T09:30:00Z")
    # In a query, a plus sign that was not escaped arrives as a space.
    match = _RFC3339.fullmatch(re.sub(r" (?=\d\d:\d\d$)", "+", value))
    if match is None:
        raise wrong("must be a time as RFC 3339 has it, with its offset: 2026-03-01T09:30:00Z")
    day, time, fraction, offset = match.groups()
    # What is finer than a microsecond is cut off.
    fraction = (fraction or "").ljust(6, "0")[:6]
    try:
        moment = datetime.fromisoformat(f"{day}T{time}.{fraction}{offset.upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong("is not a time that exists") from None
    if moment.year < 1970:
        raise wrong("is out of range: years 1970 to 9999")
    return moment


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    structs.check(value, "", most_bytes=fields.METADATA_BYTES)
    return value


def _content(value: dict[str, Any]) -> dict[str, Any]:
    structs.check(value, "", most_bytes=CONTENT_BYTES)
    return value


def _json_object(value: Any) -> Any:
    """A JSON object that comes as text, as it does in a query."""
    if not isinstance(value, str):
        return value
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise wrong("is not valid JSON") from None
    if not isinstance(parsed, dict):
        raise wrong("must be a JSON object")
    return parsed


def _message_metadata(value: dict[str, Any]) -> dict[str, Any]:
    if "kith" in value:
        raise InvalidRequest(".kith", "is a key that Kith keeps for itself")
    return _metadata(value)


def _characters(value: str, *, most: int, least: int = 1) -> str:
    structs.check_text(value, "")
    if not least <= len(value) <= most:
        problem = f"is {len(value)} characters long; at most {most} are allowed"
        raise InvalidRequest("", problem if value else "is required")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise InvalidRequest("", "is required")
    return value


def _key(value: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise InvalidRequest("", "holds a control character")
    if value in (".", ".."):
        raise InvalidRequest("", "cannot be written in a path")
    return _characters(value, most=128)


@dataclass(frozen=True, eq=False)
class _Documented:
    """What a value looks like, with the examples of whoever uses it.

    pydantic's own WithJsonSchema drops these where a parameter of a route is of such a type.
    """

    schema: dict[str, Any]

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        examples = handler(core_schema).get("examples")
        return {**self.schema, **({"examples": examples} if examples else {})}


def _documented(**schema: Any) -> _Documented:
    return _Documented({"type": "string", **schema})


Word = Annotated[
    str,
    _checked(lambda value: fields.word(value, "")),
    _documented(pattern="^[A-Za-z0-9_.-]{1,64}$"),
]
Uuid = Annotated[str, _checked(lambda value: fields.uuid(value, "")), _documented(format="uuid")]
# An id that a platform gives: of a person, a message or a conversation.
PlatformId = Annotated[
    str,
    _checked(lambda value: _characters(value, most=256)),
    _checked(_not_blank),
    _documented(minLength=1, maxLength=256),
]
# A conversation, by any text of a platform or by its UUID, which has one spelling.
SessionId = Annotated[
    PlatformId, AfterValidator(lambda value: value.lower() if ids.is_uuid(value) else value)
]
Text = Annotated[
    str,
    _checked(lambda value: fields.text(value, "", most=TEXT_BYTES)),
    _documented(minLength=1, description="At most 32 KiB of UTF-8."),
]
SearchText = Annotated[
    str,
    _checked(lambda value: fields.text(value, "", most=QUERY_BYTES)),
    _checked(_not_blank),
    _documented(minLength=1, description="At most 8 KiB of UTF-8."),
]
Token = Annotated[
    str, _checked(lambda value: _characters(value, most=2048)), _documented(maxLength=2048)
]
# What somebody says about something; may be empty.
Note = Annotated[
    str, _checked(lambda value: _characters(value, most=256, least=0)), _documented(maxLength=256)
]
Reason = Annotated[PlatformId, _documented(minLength=1, maxLength=256)]
# What a memory is about.
MemoryKey = Annotated[str, _checked(_key), _documented(minLength=1, maxLength=128)]
MemoryText = Annotated[
    str,
    _checked(lambda value: fields.text(value, "", most=MEMORY_BYTES)),
    _documented(minLength=1, description="At most 8 KiB of UTF-8."),
]
Category = Annotated[
    str, _checked(lambda value: _characters(value, most=64, least=0)), _documented(maxLength=64)
]
# What a person types of a code, with whatever they put between its letters.
Code = Annotated[
    str, _checked(lambda value: _characters(value, most=64)), _documented(minLength=1, maxLength=64)
]
EventQueryText = Annotated[
    str,
    _checked(lambda value: _characters(value, most=512)),
    _checked(_not_blank),
    _documented(minLength=1, maxLength=512),
]
# The caller's name for a document.
Key = Annotated[
    str,
    _checked(lambda value: fields.text(value, "", most=512)),
    _documented(minLength=1, description="At most 512 bytes of UTF-8."),
]
FileName = Annotated[
    str,
    _checked(lambda value: _characters(value, most=255)),
    _checked(_not_blank),
    _documented(minLength=1, maxLength=255),
]
MediaType = Annotated[str, Field(pattern=r"^[\x21-\x7e][\x20-\x7e]{0,254}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]
Position = Annotated[int, Field(ge=0, le=MOST_POSITION)]
Moment = Annotated[datetime, BeforeValidator(_moment), _documented(format="date-time")]
Metadata = Annotated[dict[str, Any], _checked(_metadata)]
Content = Annotated[dict[str, Any], _checked(_content)]
JsonText = Annotated[
    dict[str, Any], BeforeValidator(_json_object), _checked(_metadata), _documented()
]
MessageMetadata = Annotated[dict[str, Any], _checked(_message_metadata)]
# What they may say is for the service to tell, which alone knows the language.
Conditions = Annotated[dict[str, Any], _checked(_metadata)]
