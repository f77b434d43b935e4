"""What every RedactionStore takes away, and what it leaves, over both transports."""

import asyncio
from dataclasses import replace

import pytest

from event_svc.adapters.sql_log import SqlEventStore
from event_svc.adapters.sql_redaction import SqlRedactionStore
from event_svc.domain.log import EventFilter, EventNotFound, SubjectErased
from event_svc.domain.redaction import ErasureStep, Remains
from svckit import ids
from svckit.sql import SqlFunctions
from tests.support.cluster import administrator
from tests.support.events import an_event, logged, move_clock

ADA, BOB, LINK, GROUP, TALK = (ids.new() for _ in range(5))
EVERYTHING = EventFilter()
TOMORROW = "now() + interval '1 day'"


@pytest.fixture
def schema() -> str:
    return "event"


@pytest.fixture
def events(functions: SqlFunctions) -> SqlEventStore:
    return SqlEventStore(functions)


@pytest.fixture
def store(functions: SqlFunctions) -> SqlRedactionStore:
    return SqlRedactionStore(functions)


@pytest.fixture
async def admin(database):
    async with administrator(database) as connection:
        yield connection


def said(text: str, **changes):
    return an_event(
        **{"person_id": ADA, "content": {"text": text}, "metadata": {"m": text}, **changes}
    )


async def all_of(events: SqlEventStore, chosen: EventFilter = EVERYTHING):
    page = await events.page(chosen, limit=1000)
    assert not page.more
    return page.events


async def erased(store: SqlRedactionStore, *subject_ids: str, most: int = 100) -> int:
    """Erase subjects to the end; how many events it took."""
    await store.begin_erasure(subject_ids)
    total, more = 0, True
    while more:
        step = await store.erase_step(subject_ids, most)
        total, more = total + step.erased, step.more
    return total


async def test_a_redacted_event_says_nothing_and_keeps_its_place(store, events):
    first, secret = said("hello"), said("secret", session_id=TALK, session_key="#talk")
    places = await logged(events, first, secret)

    redacted = await store.redact([secret.event_id], "asked for")

    found = await events.get(secret.event_id)
    assert redacted == [secret.event_id]
    assert (found.content, found.metadata, found.redaction_reason) == ({}, {}, "asked for")
    assert found.redacted_at > found.created_at
    assert (found.position, found.created_at) == (places[1].position, places[1].created_at)
    assert (found.subject_id, found.session_key) == (ADA, "#talk")
    untouched = await events.get(first.event_id)
    assert (untouched.content, untouched.redacted_at) == ({"text": "hello"}, None)


async def test_only_what_is_newly_redacted_is_answered(store, events):
    one, two = said("one"), said("two")
    await logged(events, one, two)

    first = await store.redact([one.event_id, ids.new(), one.event_id], "first")
    again = await store.redact([two.event_id, one.event_id], "again")
    nothing = await store.redact([one.event_id, two.event_id, ids.new()], "nothing")

    assert (first, again, nothing) == ([one.event_id], [two.event_id], [])
    assert (await events.get(one.event_id)).redaction_reason == "first"
    assert len(await all_of(events)) == 4


async def test_a_retry_of_what_was_redacted_is_a_duplicate_whatever_it_says(store, events, admin):
    secret = said("secret")
    [place] = await logged(events, secret)
    await store.redact([secret.event_id], "test")

    for retry in (secret, said("something else", event_id=secret.event_id)):
        assert await logged(events, retry) == [replace(place, duplicate=True)]

    assert (await events.get(secret.event_id)).content == {}
    hashes = await admin.fetch("SELECT body_hash FROM event.event_ids WHERE position = 1")
    assert [row["body_hash"] for row in hashes] == [None]


async def test_a_notice_without_content_stands_where_the_events_stood(store, events):
    by_link = said("a", link_id=LINK, group_id=GROUP)
    also = said("b", link_id=LINK, group_id=GROUP)
    in_talk = said("c", session_id=TALK)
    of_nobody = said("d", person_id=None)
    sent = [by_link, in_talk, also, of_nobody]
    await logged(events, *sent)

    await store.redact([event.event_id for event in sent], "private words")

    notices = [event for event in await all_of(events) if event.event_type == "redaction"]
    assert {notice.platform for notice in notices} == {"kith"}
    assert sorted(
        ((n.subject_id, n.group_id, n.session_id, n.content) for n in notices), key=str
    ) == sorted(
        [
            (LINK, GROUP, None,
             {"event_ids": [by_link.event_id, also.event_id], "positions": [1, 3]}),
            (ADA, None, TALK, {"event_ids": [in_talk.event_id], "positions": [2]}),
            (None, None, None, {"event_ids": [of_nobody.event_id], "positions": [4]}),
        ],
        key=str,
    )  # fmt: skip
    assert "private words" not in str(notices)
    assert [n.position for n in notices] == [5, 6, 7]


async def test_events_of_many_days_are_redacted_together_and_dropped_ones_passed_over(
    store, events, admin
):
    sent = [said(f"day {n}") for n in range(4)]
    for day, event in enumerate(sent):
        await move_clock(admin, f"now() + interval '{day} days'")
        await logged(events, event)
    name = await admin.fetchval(
        "DELETE FROM event.partitions WHERE first_position = 1 RETURNING name"
    )
    await admin.execute(f"DROP TABLE event.{name}")

    redacted = await store.redact([event.event_id for event in sent], "test")

    assert redacted == [event.event_id for event in sent[1:]]


async def test_nothing_that_was_said_is_left_in_any_table(store, events, admin):
    secret = said("needle" * 10_000)
    also = said("needle", session_key="needle", session_id=ids.new())
    await logged(events, secret, also)

    await store.redact([secret.event_id], "test")
    await erased(store, ADA)

    tables = await admin.fetch(
        """SELECT oid::regclass::text AS name FROM pg_class
           WHERE relnamespace = 'event'::regnamespace AND relkind = 'r'"""
    )
    for row in tables:
        holds = f"SELECT count(*) FROM {row['name']} t WHERE t::text LIKE '%needle%'"
        assert await admin.fetchval(holds) == 0, row["name"]


async def test_an_erased_subject_is_refused_before_anything_is_shredded(store, events):
    await logged(events, said("a"), said("b", person_id=BOB))

    begun = [await store.begin_erasure([ADA, LINK]), await store.begin_erasure([ADA, LINK])]
    with pytest.raises(SubjectErased) as raised:
        await logged(events, said("late"))
    with pytest.raises(SubjectErased):
        await logged(events, said("late", person_id=BOB, link_id=LINK))
    [allowed] = await logged(events, said("more", person_id=BOB))

    assert begun == [2, 0]
    assert raised.value.metadata == {"subject_id": ADA}
    assert allowed.position == 5  # after two notices
    assert await store.count([ADA]) == Remains(1, 1, 0)


async def test_each_subject_has_one_notice_after_everything_that_was_logged_about_it(store, events):
    await logged(events, said("a"), said("b", link_id=LINK))

    await erased(store, ADA, LINK)
    await erased(store, LINK, ADA)

    for subject_id in (ADA, LINK):
        *_, notice = await all_of(events, EventFilter(subject_ids=[subject_id]))
        assert (notice.event_type, notice.platform) == ("erasure", "kith")
        assert (notice.content, notice.metadata, notice.redacted_at) == ({}, {}, None)
        assert (notice.person_id, notice.link_id) == (None, None)
        assert notice.position > 2
    assert len(await all_of(events)) == 4


async def test_what_is_left_of_an_erased_event_is_its_place_and_ids_that_mean_nothing(
    store, events
):
    event = said(
        "secret", link_id=LINK, group_id=GROUP, session_id=TALK, session_key="+49 171 1234567",
        consent_version=3, occurred_at="2001-02-03T04:05:06+00:00",
    )  # fmt: skip
    [place] = await logged(events, event)

    assert await erased(store, LINK) == 1

    left, _ = await all_of(events)
    assert left == replace(
        left, event_id=event.event_id, position=1, subject_id=LINK, person_id=ADA, link_id=LINK,
        group_id=GROUP, session_id=None, session_key=None, event_type="message",
        platform="discord", content={}, metadata={}, occurred_at="2001-02-03T04:05:06+00:00",
        created_at=place.created_at, consent_version=3, redaction_reason="erased",
    )  # fmt: skip
    assert left.redacted_at > left.created_at


async def test_the_key_of_an_erased_event_leads_nowhere_and_stays_taken(store, events):
    event, other = said("secret"), said("kept", person_id=BOB)
    [place, _] = await logged(events, event, other)
    await erased(store, ADA)

    with pytest.raises(EventNotFound):
        await events.get(event.event_id)
    retried = await logged(events, said("anything", person_id=BOB, event_id=event.event_id))

    assert retried == [replace(place, position=0, duplicate=True)]
    assert (await events.get(other.event_id)).content == {"text": "kept"}


async def test_erasing_goes_on_where_it_stopped_and_is_done_once(store, events, admin):
    for day in range(3):
        await move_clock(admin, f"now() + interval '{day} days'")
        await logged(events, *(said("x") for _ in range(4)), said("y", link_id=LINK))
    await store.begin_erasure([ADA, LINK])

    steps = [await store.erase_step([ADA, LINK], 6)]
    while steps[-1].more:
        steps.append(await store.erase_step([ADA, LINK], 6))
    again = await store.erase_step([ADA, LINK], 6)

    assert len(steps) > 2
    assert all(step.erased <= 6 for step in steps)
    assert [step.erased_in_all for step in steps] == [
        sum(step.erased for step in steps[: n + 1]) for n in range(len(steps))
    ]
    assert again == ErasureStep(0, 15, False)
    assert await store.count([ADA, LINK]) == Remains(0, 15, 0)


async def test_racing_erasures_take_each_event_once(store, events):
    await logged(events, *(said("x") for _ in range(60)))

    taken = await asyncio.gather(*(erased(store, ADA, most=7) for _ in range(4)))

    assert sum(taken) == 60
    assert await store.count([ADA]) == Remains(0, 60, 0)


async def test_a_subject_without_events_is_erased_and_refused_too(store, events):
    assert await erased(store, *(ids.new() for _ in range(250)), ADA) == 0

    with pytest.raises(SubjectErased):
        await logged(events, said("late"))


async def test_an_erasure_takes_what_was_redacted_and_what_looks_like_a_notice(store, events):
    event, forged = said("x"), said("y", event_type="erasure", platform="kith")
    await logged(events, event, forged)
    await store.redact([event.event_id], "first")

    assert await erased(store, ADA) == 3  # and the notice of the redaction

    *past, notice = await all_of(events)
    assert {event.redaction_reason for event in past} == {"erased"}
    assert notice.redaction_reason is None
    assert await store.count([ADA]) == Remains(0, 3, 0)


async def test_redacting_what_is_being_erased_adds_no_notice(store, events):
    event = said("x")
    await logged(events, event)
    await store.begin_erasure([ADA])

    assert await store.redact([event.event_id], "test") == [event.event_id]

    assert [e.event_type for e in await all_of(events)] == ["message", "erasure"]
    assert await erased(store, ADA) == 1


async def test_remains_are_looked_for_in_the_log_and_not_in_the_marks(store, events, admin):
    await logged(events, said("x"), said("y"), said("z", person_id=BOB))
    await erased(store, ADA)
    before = await store.count([ADA, BOB])

    await admin.execute(
        """UPDATE event.event_log SET metadata = '{"left": 1}' WHERE position = 2"""
    )

    assert before == Remains(1, 3, 0)
    assert await store.count([ADA]) == Remains(1, 2, 0)
