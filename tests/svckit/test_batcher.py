"""The batcher: batches under load, never waits, and keeps strangers apart."""

import asyncio
from collections.abc import Sequence

import pytest

from svckit.batcher import Batcher, Size
from svckit.errors import InvalidRequest, ResourceExhausted, Unavailable


class Recorder:
    """A batch call that can be held back, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.started = asyncio.Event()

    async def __call__(self, numbers: list[int]) -> Sequence[int | BaseException]:
        self.batches.append(list(numbers))
        self.started.set()
        await self.gate.wait()
        if any(number < 0 for number in numbers):
            raise InvalidRequest("number", "must not be negative")
        return [ValueError("odd one") if number == 13 else number * 10 for number in numbers]


async def test_a_lone_request_goes_at_once():
    recorder = Recorder()
    batcher = Batcher("test", recorder)

    answer = await batcher.submit(1)

    assert answer == 10
    assert recorder.batches == [[1]]


async def test_what_arrives_during_a_batch_is_the_next_batch():
    recorder = Recorder()
    recorder.gate.clear()
    batcher = Batcher("test", recorder)

    first = asyncio.create_task(batcher.submit(1))
    await recorder.started.wait()
    others = [asyncio.create_task(batcher.submit(number)) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    recorder.gate.set()

    assert await asyncio.gather(first, *others) == [10, 20, 30, 40]
    assert recorder.batches == [[1], [2, 3, 4]]


async def test_under_load_those_who_are_about_to_come_are_let_in():
    recorder = Recorder()
    recorder.gate.clear()
    batcher = Batcher("test", recorder)

    async def caller(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await batcher.submit(turns)

    async def answered_and_back(number: int) -> None:
        await batcher.submit(number)
        await caller(number)

    first = [asyncio.create_task(answered_and_back(number)) for number in range(1, 5)]
    await recorder.started.wait()
    recorder.gate.set()
    await asyncio.gather(*first)

    # They come back one after another, some turns of the loop after their answers.
    assert recorder.batches == [[1, 2, 3, 4], [1, 2, 3, 4]]


async def test_a_batch_goes_however_steadily_others_come():
    recorder = Recorder()
    batcher = Batcher("test", recorder)
    submitted: list[asyncio.Task[int]] = []

    first = [asyncio.create_task(batcher.submit(1)) for _ in range(2)]
    while len(recorder.batches) < 3:
        submitted.append(asyncio.create_task(batcher.submit(len(submitted))))
        await asyncio.sleep(0)

    assert await asyncio.gather(*first) == [10, 10]
    await asyncio.wait(submitted)


async def test_a_poisoned_request_fails_alone():
    recorder = Recorder()
    batcher = Batcher("test", recorder)

    answers = await batcher.submit_all([1, 2, -3, 4, 5, 6, 7])

    assert isinstance(answers[2], InvalidRequest)
    assert [a for a in answers if not isinstance(a, BaseException)] == [10, 20, 40, 50, 60, 70]


async def test_an_error_of_one_answer_is_nobody_elses():
    batcher = Batcher("test", Recorder())

    answers = await batcher.submit_all([12, 13, 14])

    assert answers[0] == 120
    assert isinstance(answers[1], ValueError)
    assert answers[2] == 140


async def test_a_dead_backend_is_not_asked_once_per_request():
    calls = 0

    async def dead(numbers: list[int]) -> list[int]:
        nonlocal calls
        calls += 1
        raise Unavailable("gone")

    answers = await Batcher("test", dead).submit_all(range(100))

    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert calls == 1


async def test_who_waits_for_what_was_cancelled_is_told_and_others_go_on():
    asked: asyncio.Queue[asyncio.Future[list[int]]] = asyncio.Queue()

    async def call(numbers: list[int]) -> list[int]:
        answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        asked.put_nowait(answer)
        return await answer

    batcher = Batcher("test", call)
    first = asyncio.create_task(batcher.submit(1))
    (await asked.get()).cancel()
    with pytest.raises(Unavailable):
        await first

    second = asyncio.create_task(batcher.submit(2))
    (await asked.get()).set_result([20])
    assert await second == 20


async def test_requests_that_share_a_key_never_stand_in_one_batch_and_keep_their_order():
    recorder = Recorder()
    batcher = Batcher("test", recorder, keys=lambda number: [number % 10])

    await batcher.submit_all([1, 2, 11, 3, 21, 12])

    assert recorder.batches == [[1, 2, 3], [11, 12], [21]]


async def test_batches_are_bounded_by_items_and_by_bytes():
    recorder = Recorder()
    batcher = Batcher(
        "test", recorder, measure=lambda number: Size(1, number), most_items=3, most_bytes=100
    )

    await batcher.submit_all([1, 1, 1, 1, 60, 60, 500])

    assert recorder.batches == [[1, 1, 1], [1, 60], [60], [500]]


async def test_a_caller_that_gave_up_before_its_batch_is_left_out():
    recorder = Recorder()
    recorder.gate.clear()
    batcher = Batcher("test", recorder)

    first = asyncio.create_task(batcher.submit(1))
    await recorder.started.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await batcher.submit(2)
    third = asyncio.create_task(batcher.submit(3))
    await asyncio.sleep(0)
    recorder.gate.set()
    await asyncio.gather(first, third)

    assert recorder.batches == [[1], [3]]


async def test_a_full_queue_refuses_at_once():
    recorder = Recorder()
    recorder.gate.clear()
    batcher = Batcher("test", recorder, most_waiting=2)

    waiting = [asyncio.create_task(batcher.submit(number)) for number in (1,)]
    await recorder.started.wait()
    waiting += [asyncio.create_task(batcher.submit(number)) for number in (2, 3)]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted):
        await batcher.submit(4)
    recorder.gate.set()

    assert await asyncio.gather(*waiting) == [10, 20, 30]


async def test_closing_waits_for_what_is_queued():
    recorder = Recorder()
    recorder.gate.clear()
    batcher = Batcher("test", recorder)

    waiting = [asyncio.create_task(batcher.submit(number)) for number in (1, 2)]
    await recorder.started.wait()
    closing = asyncio.create_task(batcher.close())
    recorder.gate.set()
    await closing

    assert all(task.done() for task in waiting)
