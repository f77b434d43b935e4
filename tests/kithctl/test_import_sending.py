"""How an import reaches the gateway: in order, completely, and never twice."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from starlette.responses import Response

from kithctl.failure import Failure
from kithctl.importing.gateway import TRIES, Gateway, Refused, Unreachable
from kithctl.importing.importer import MOST_BYTES, MOST_MESSAGES, Importer, InvalidMessage
from kithctl.importing.naming import named
from kithctl.importing.records import Malformed, Message, Record, Skipped, UnreadableFile
from kithctl.importing.tally import Tally
from tests.support.batchroute import CUT, BatchRoute, problem
from tests.support.http import serving


class Notes:
    """A journal that keeps what it is told, in place of showing it."""

    def __init__(self) -> None:
        self.failures: dict[int, str] = {}
        self.pauses: list[float] = []

    def progress(self, tally: Tally) -> None:
        """Of no interest here."""

    def failed(self, place: int, why: str) -> None:
        self.failures[place] = why

    def pausing(self, seconds: float, why: str) -> None:
        self.pauses.append(seconds)


class Setting:
    """An importer before a stand-in for the gateway; its pauses take no time."""

    def __init__(self, url: str, route: BatchRoute) -> None:
        self.url = url
        self.route = route
        self.notes = Notes()

    async def run(self, records: Iterable[Record], *, skip_invalid: bool = False) -> Tally:
        """Import; where that fails, `tally` says how far it came."""
        with Gateway(
            self.url, "a key", on_pause=self.notes.pausing, sleep=lambda _: None
        ) as gateway:
            importer = Importer(gateway, self.notes, skip_invalid=skip_invalid)
            self.tally = importer.tally
            await asyncio.to_thread(importer.run, named(records))
        return importer.tally


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    route = BatchRoute()
    async with serving(route.app) as url:
        yield Setting(url, route)


def a_message(place: int, **changes: object) -> Message:
    body = {"platform": "discord", "sender_id": "1", "text": f"message {place}"}
    return Message(place, {**body, **changes})


def messages(count: int) -> list[Record]:
    return [a_message(place) for place in range(1, count + 1)]


async def test_messages_arrive_in_the_order_of_the_file_and_in_bounded_batches(setting):
    tally = await setting.run(messages(MOST_MESSAGES * 2 + 1))

    assert setting.route.texts == [f"message {n}" for n in range(1, MOST_MESSAGES * 2 + 2)]
    assert [len(batch) for batch in setting.route.batches] == [MOST_MESSAGES, MOST_MESSAGES, 1]
    assert (tally.sent, tally.new, tally.duplicates) == (1001, 1001, 0)
    assert tally.knowledge["stored"] == 1001


async def test_a_batch_of_large_messages_is_bounded_by_its_bytes(setting):
    await setting.run([a_message(n, text="x" * 30_000) for n in range(1, 101)])

    assert len(setting.route.log) == 100
    assert max(len(batch) * 30_000 for batch in setting.route.batches) <= MOST_BYTES
    assert len(setting.route.batches) == 3


async def test_importing_again_finds_everything_there_already(setting):
    # Two people say the same at one time, and one of them says it twice.
    records = [a_message(1, text="yes"), a_message(2, text="yes"), a_message(3, sender_id="2")]
    first = await setting.run(records)

    again = await setting.run(records)

    assert (first.new, first.duplicates) == (3, 0)
    assert (again.new, again.duplicates) == (0, 3)


async def test_a_message_id_of_the_file_is_kept(setting):
    await setting.run([a_message(1, message_id="m-1"), a_message(2, message_id="m-2")])

    assert list(setting.route.log) == ["m-1", "m-2"]


async def test_the_api_key_is_sent_as_a_bearer_token(setting):
    await setting.run(messages(1))

    assert setting.route.authorization == {"Bearer a key"}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_gateway_that_cannot_just_now_is_asked_again(setting, status):
    setting.route.faults += [Response(status_code=status), Response(status_code=status)]

    tally = await setting.run(messages(3))

    assert tally.new == 3
    assert len(setting.notes.pauses) == 2
    assert setting.notes.pauses[0] < setting.notes.pauses[1] * 1.01


async def test_retry_after_is_honoured(setting):
    setting.route.faults += [Response(status_code=429, headers={"retry-after": "7"})]

    await setting.run(messages(1))

    assert setting.notes.pauses == [7.0]


async def test_retry_after_may_be_a_date(setting):
    long_ago = "Wed, 21 Oct 2015 07:28:00 GMT"
    setting.route.faults += [Response(status_code=503, headers={"retry-after": long_ago})]

    await setting.run(messages(1))

    assert 0 < setting.notes.pauses[0] < 1


async def test_an_answer_that_was_cut_off_is_asked_for_again_and_nothing_is_doubled(setting):
    setting.route.faults += [None, CUT]

    tally = await setting.run(messages(MOST_MESSAGES + 2))

    assert len(setting.route.log) == MOST_MESSAGES + 2
    assert (tally.new, tally.duplicates) == (MOST_MESSAGES, 2)


async def test_a_gateway_that_stays_away_ends_the_import_where_it_got_to(setting):
    setting.route.faults += [None, *[Response(status_code=503)] * TRIES]

    with pytest.raises(Unreachable, match=f"gave up after {TRIES} tries"):
        await setting.run(messages(MOST_MESSAGES + 1))

    assert setting.tally.reached == MOST_MESSAGES
    assert len(setting.notes.pauses) == TRIES - 1


async def test_an_invalid_message_stops_the_import_behind_what_came_before(setting):
    records = [a_message(1), a_message(2), a_message(5, text=""), a_message(6)]

    with pytest.raises(InvalidMessage, match="text: is required") as raised:
        await setting.run(records)

    assert raised.value.place == 5
    assert setting.route.texts == ["message 1", "message 2"]
    assert setting.tally.reached == 2


async def test_invalid_messages_are_left_out_where_that_is_wanted(setting):
    records = [a_message(1), a_message(2, text=""), Malformed(3, "is not JSON"), a_message(4)]

    tally = await setting.run(records, skip_invalid=True)

    assert setting.route.texts == ["message 1", "message 4"]
    assert setting.notes.failures.keys() == {2, 3}
    assert tally.failed == {"INVALID_ARGUMENT": 2}


async def test_a_line_that_cannot_be_read_stops_the_import_behind_what_came_before(setting):
    with pytest.raises(InvalidMessage, match="is not JSON"):
        await setting.run([a_message(1), Malformed(2, "is not JSON"), a_message(3)])

    assert setting.route.texts == ["message 1"]


async def test_what_was_read_before_a_file_breaks_off_is_sent(setting):
    def broken() -> Iterable[Record]:
        yield a_message(1)
        raise UnreadableFile("breaks off")

    with pytest.raises(UnreadableFile):
        await setting.run(broken())

    assert setting.route.texts == ["message 1"]


async def test_a_message_that_fails_alone_is_counted_and_its_neighbours_are_not_held_up(setting):
    conflict = {"status": 409, "reason": "IDEMPOTENCY_CONFLICT", "detail": "another body"}
    setting.route.item_faults["message 2"] = [conflict]

    tally = await setting.run(messages(3))

    assert (tally.sent, tally.new) == (3, 2)
    assert tally.failed == {"IDEMPOTENCY_CONFLICT": 1}
    assert setting.notes.failures == {2: "another body (IDEMPOTENCY_CONFLICT)"}


async def test_a_message_that_fails_for_now_is_sent_again_alone(setting):
    busy = {"status": 503, "reason": "STORE_UNAVAILABLE", "detail": "the store is away"}
    setting.route.item_faults["message 2"] = [busy, busy]

    tally = await setting.run(messages(3))

    assert tally.new == 3
    assert [len(batch) for batch in setting.route.batches] == [3, 1, 1]


async def test_a_refusal_of_the_whole_call_is_not_repeated(setting):
    setting.route.faults += [problem(401, "UNAUTHENTICATED", "the API key is missing or wrong")]

    with pytest.raises(Refused, match="answers 401: the API key is missing or wrong"):
        await setting.run(messages(1), skip_invalid=True)

    assert setting.notes.pauses == []


async def test_what_is_no_message_is_counted_by_why(setting):
    tally = await setting.run([Skipped(1, "without text"), Skipped(2, "without text")])

    assert tally.skipped == {"without text": 2}
    assert setting.route.batches == []


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://somewhere", "http://", "http://a b:x"])
def test_what_is_no_url_is_said_so(url):
    with pytest.raises(Failure, match="is not a URL"):
        Gateway(url)
