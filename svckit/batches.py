"""Batch RPCs: independent requests in one call, each with a result of its own."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from svckit.errors import InvalidRequest

Message = TypeVar("Message")
Request = TypeVar("Request")
Answer = TypeVar("Answer")


async def answer_each(
    messages: Iterable[Message],
    parse: Callable[[Message], Request],
    ask: Callable[[list[Request]], Awaitable[Sequence[Answer | BaseException]]],
) -> list[Answer | BaseException]:
    """The answer to each message, in order; failures stand in their places.

    What is malformed fails alone: `ask` gets only what `parse` let pass, all at once.
    """
    requests: list[Request] = []
    outcomes: list[Any] = []
    for message in messages:
        try:
            requests.append(parse(message))
        except InvalidRequest as error:
            outcomes.append(error)
        else:
            outcomes.append(None)
    answers = iter(await ask(requests) if requests else [])
    return [next(answers) if outcome is None else outcome for outcome in outcomes]
