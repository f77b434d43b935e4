"""Messages: one, or many as a JSON array or as lines."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from gateway import tracing
from gateway.answers.messages import BatchAnswer, MessageAnswer
from gateway.errors import Refused, problem_of
from gateway.flows.entries import IdempotencyKey
from gateway.flows.process_message import ProcessMessages, Sent
from gateway.jsonbody import is_json, parse
from gateway.middleware.guard import CALLER
from gateway.middleware.limits import MESSAGES_BATCH, is_ndjson
from gateway.models.messages import MESSAGES, MOST_MESSAGES, Message
from gateway.openapi import problems
from gateway.responses import respond
from gateway.routes.lines import LINE_BYTES, LineExchange
from svckit import fields
from svckit.errors import InvalidRequest

PATH = "/v1/messages"
KEY_DESCRIPTION = (
    "Names a message without a message_id, so that a retry is the same message. In a batch it "
    "names the whole batch, and each message by its place."
)

Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", min_length=1, max_length=255, description=KEY_DESCRIPTION),
]

_messages = TypeAdapter(list[Message])
_REF = {"$ref": "#/components/schemas/Message"}
_BATCH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "array", "items": _REF, "maxItems": MOST_MESSAGES},
                "example": MESSAGES,
            },
            "application/x-ndjson": {"schema": _REF, "example": MESSAGES[0]},
        },
    }
}


def add(app: FastAPI, process: ProcessMessages, seconds: float) -> None:
    """Add the routes; `seconds` is how long one part of a stream may take."""

    @app.post(
        PATH, status_code=201, response_model=MessageAnswer, tags=["messages"],
        responses={
            200: {"model": MessageAnswer, "description": "A repeat: it was logged before."},
            **problems(404, 409, 413, 415),
        },
    )  # fmt: skip
    async def post_message(message: Message, request: Request, key: Key = None) -> Response:
        """Log what was said, and keep it as knowledge if it is worth knowing."""
        named = (request.scope[CALLER], PATH, key) if key else None
        [outcome] = await process([Sent(message, named)])
        if isinstance(outcome, BaseException):
            raise outcome
        return respond(outcome, 200 if outcome["duplicate"] else 201)

    @app.post(
        MESSAGES_BATCH, response_model=BatchAnswer, tags=["messages"],
        responses=problems(413, 415), openapi_extra=_BATCH_BODY,
    )  # fmt: skip
    async def post_messages(request: Request, key: Key = None) -> Response:
        """Process up to 1,000 messages, in order; or any number of lines, streamed.

        If one of an array is malformed nothing is written. Otherwise each has its result:
        its answer, or `{"error": problem}`.
        """
        named = (request.scope[CALLER], MESSAGES_BATCH, key) if key else None
        content_type = request.headers.get("content-type", "")
        if is_ndjson(content_type):
            return LineExchange(_Lines(process, named, seconds))
        if not is_json(content_type):
            raise Refused(
                415, "UNSUPPORTED_MEDIA_TYPE", "send application/json or application/x-ndjson"
            )
        sent = _parse_all(await request.body(), named)
        return respond({"results": [_result(outcome) for outcome in await process(sent)]})


class _Lines:
    """The results of some lines of a stream; nothing that goes wrong ends it."""

    def __init__(
        self, process: ProcessMessages, named: IdempotencyKey | None, seconds: float
    ) -> None:
        self._process = process
        self._named = named
        self._seconds = seconds

    async def __call__(self, lines: Sequence[bytes | None], first: int) -> Sequence[object]:
        results: list[Any] = []
        sent: list[Sent] = []
        for number, line in enumerate(lines, start=first):
            try:
                sent.append(Sent(_parse_line(line), _nth(self._named, number)))
                results.append(None)
            except (InvalidRequest, ValidationError) as error:
                results.append(error)
        outcomes = iter(await self._outcomes(sent))
        return [_result(next(outcomes) if result is None else result) for result in results]

    async def _outcomes(self, sent: Sequence[Sent]) -> Sequence[Any]:
        if not sent:
            return []
        try:
            async with tracing.within(self._seconds):
                return await self._process(sent)
        except Exception as error:  # noqa: BLE001 - each line says what became of it
            return [error] * len(sent)


def _parse_all(body: bytes, named: IdempotencyKey | None) -> list[Sent]:
    values = parse(body)
    if not isinstance(values, list):
        raise InvalidRequest("body", "must be an array of messages")
    fields.batch(values, "body", most=MOST_MESSAGES)
    messages = _messages.validate_python(values)
    return [Sent(message, _nth(named, index)) for index, message in enumerate(messages)]


def _parse_line(line: bytes | None) -> Message:
    if line is None:
        raise InvalidRequest("body", f"is longer than {LINE_BYTES} bytes")
    return Message.model_validate(parse(line))


def _nth(named: IdempotencyKey | None, index: int) -> IdempotencyKey | None:
    return (*named, str(index)) if named else None


def _result(outcome: MessageAnswer | BaseException) -> object:
    if isinstance(outcome, BaseException):
        return {"error": problem_of(outcome).body()}
    return outcome
