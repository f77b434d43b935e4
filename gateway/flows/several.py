"""Does the same for each of many things, so many at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")


async def each(
    work: Callable[[Thing], Awaitable[Answer]], things: Iterable[Thing], *, at_once: int
) -> list[Answer]:
    """What the work answers for each, in their order; raises the first failure, and what had not
    begun by then is not begun.
    """
    turns = asyncio.Semaphore(at_once)

    async def in_turn(thing: Thing) -> Answer:
        async with turns:
            return await work(thing)

    try:
        async with asyncio.TaskGroup() as tasks:
            going = [tasks.create_task(in_turn(thing)) for thing in things]
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return [task.result() for task in going]
