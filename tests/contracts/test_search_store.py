"""What every SearchStore finds in the texts of events, whatever it stores them in."""

from typing import Any

import pytest

from event_svc.adapters.sql_log import SqlEventStore
from event_svc.adapters.sql_search import SqlSearchStore
from event_svc.domain.log import EventFilter
from event_svc.domain.search import Mode, patterns_of
from svckit import ids
from svckit.sql import SqlFunctions
from tests.support.cluster import administrator
from tests.support.event_days import fill_days
from tests.support.events import an_event, logged

ADA, BOB, GROUP, SESSION = (ids.new() for _ in range(4))
OF_ADA = EventFilter(subject_ids=[ADA])


@pytest.fixture
def schema() -> str:
    return "event"


@pytest.fixture
def store(functions: SqlFunctions) -> SqlSearchStore:
    """The search over each transport in turn."""
    return SqlSearchStore(functions)


@pytest.fixture
def events(functions: SqlFunctions) -> SqlEventStore:
    """An empty log behind it."""
    return SqlEventStore(functions)


async def say(events: SqlEventStore, *contents: Any, **body: Any) -> list[int]:
    """The positions of new events of Ada's; a text stands for a content with that text."""
    new = [
        an_event(
            content={"text": content} if isinstance(content, str) else content,
            **{"link_id": ADA, **body},
        )
        for content in contents
    ]
    return [place.position for place in await logged(events, *new)]


async def found(
    store: SqlSearchStore, query: str, mode: Mode = Mode.WORDS, chosen: EventFilter = OF_ADA
) -> list[int]:
    """The positions that a search leads to, the newest first, over all of its pages."""
    positions: list[int] = []
    before: int | None = None
    while True:
        page = await store.search(chosen, patterns_of(query, mode), before=before, limit=3)
        positions += [event.position for event in page.events]
        if not page.more:
            return positions
        assert before is None or page.scanned_position < before
        before = page.scanned_position


async def test_every_word_has_to_be_there_in_any_order_and_case(store, events):
    await say(
        events, "The quick brown Fox", "a FOX, quick!", "quick foxes", "quick\nfox", "the_fox quick"
    )

    assert await found(store, "fox QUICK") == [4, 2, 1]
    assert await found(store, "brown fox quick") == [1]
    assert await found(store, "fox fox") == [4, 2, 1]
    assert await found(store, "wolf") == []


async def test_a_word_is_a_word_in_every_script(store, events):
    await say(events, "Ein CAFÉ in Straßburg", "Cafés", "über", "überall", "ΣΊΣΥΦΟΣ", "привет, мир")
    await say(events, "e\u0301te\u0301", "नमस्ते दुनिया")

    assert await found(store, "café") == [1]
    assert await found(store, "cafe\u0301") == [1]
    assert await found(store, "STRAßBURG") == [1]
    assert await found(store, "ÜBER") == [3]
    assert await found(store, "σίσυφος") == [5]
    assert await found(store, "МИР") == [6]
    assert await found(store, "Été") == [7]
    assert await found(store, "दुनिया") == [8]
    # A vowel sign belongs to its word.
    assert await found(store, "दुनिय") == []


async def test_scripts_without_spaces_have_words_wherever_they_occur(store, events):
    await say(events, "東京都に住んでいます", "京都", "iPhoneを買った", "학교에서 만나", "ฉันรักเธอ")

    assert await found(store, "東京") == [1]
    assert await found(store, "京都") == [2, 1]
    assert await found(store, "iphone") == [3]
    assert await found(store, "買った iphone") == [3]
    assert await found(store, "학교") == [4]
    assert await found(store, "รัก") == [5]


async def test_what_is_no_word_is_found_as_it_stands(store, events):
    await say(events, "so \U0001f382 happy", "100 % sure", "100 percent", ":-) fine")

    assert await found(store, "\U0001f382") == [1]
    assert await found(store, "100 %") == [2]
    assert await found(store, ":-)") == [4]


async def test_a_substring_is_taken_literally(store, events):
    texts = [
        "100%_off", "100 off", "C:\\temp\\new", "a.b*c", "axbbc", "[x] (y) {2} ^$ | +?",
        "***=plain", "(?i)", "quote ' \" $$ $1", "two  spaces", "tab\tline\nend",
    ]  # fmt: skip
    await say(events, *texts)

    for position, text in enumerate(texts, start=1):
        assert await found(store, text, Mode.SUBSTRING) == [position], text
    assert await found(store, "0%_O", Mode.SUBSTRING) == [1]
    assert await found(store, "%", Mode.SUBSTRING) == [1]
    assert await found(store, "_", Mode.SUBSTRING) == [1]
    assert await found(store, "\\", Mode.SUBSTRING) == [3]
    assert await found(store, ".", Mode.SUBSTRING) == [4]
    assert await found(store, "  ", Mode.SUBSTRING) == [10]
    assert await found(store, "\n", Mode.SUBSTRING) == [11]


async def test_case_is_folded_character_by_character(store, events):
    await say(events, "GRÜẞE aus Köln", "strasse", "K is Kelvin", "ΟΔΟΣ")

    assert await found(store, "grüße", Mode.SUBSTRING) == [1]
    assert await found(store, "KÖLN", Mode.SUBSTRING) == [1]
    assert await found(store, "ko\u0308ln", Mode.SUBSTRING) == [1]
    assert await found(store, "straße", Mode.SUBSTRING) == []
    assert await found(store, "k is", Mode.SUBSTRING) == [3]
    assert await found(store, "οδος", Mode.SUBSTRING) == [4]


async def test_all_texts_of_the_content_count_at_any_depth_and_no_keys(store, events):
    await say(
        events,
        {"title": "needle", "n": 7},
        {"parts": [{"deep": [["a needle here"]]}, 1, None, True]},
        {"needle": "hay", "more": {"needle": 1}},
        {"first": "nee", "second": "dle"},
        {"first": "one", "second": "two"},
        {},
    )
    await say(events, "hay", metadata={"text": "needle"})

    assert await found(store, "needle") == [2, 1]
    assert await found(store, "needle", Mode.SUBSTRING) == [2, 1]
    assert await found(store, "two one") == [5]
    assert await found(store, "needle\x1f", Mode.SUBSTRING) == []
    assert await found(store, "true", Mode.SUBSTRING) == []


async def test_what_was_taken_away_is_not_found(store, events, database):
    await say(events, "needle", "needle")
    async with administrator(database) as admin:
        await admin.execute(
            "UPDATE event.event_log SET content = '{}', redacted_at = now() WHERE position = 1"
        )

    assert await found(store, "needle") == [2]


async def test_only_the_scope_is_searched(store, events):
    await say(events, "needle")
    await say(events, "needle", link_id=BOB, group_id=GROUP, event_type="join")
    await say(events, "needle", session_id=SESSION, platform="slack")
    await say(events, "needle", link_id=BOB, occurred_at="2001-01-01T00:00:00+00:00")

    for chosen, expected in (
        (OF_ADA, [3, 1]),
        (EventFilter(subject_ids=[ADA, BOB, ADA]), [4, 3, 2, 1]),
        (EventFilter(group_id=GROUP), [2]),
        (EventFilter(session_id=SESSION), [3]),
        (EventFilter(subject_ids=[BOB], event_types=["join"]), [2]),
        (EventFilter(subject_ids=[ADA], platforms=["discord"]), [1]),
        (
            EventFilter(
                occurred_from="2001-01-01T00:00:00+00:00", occurred_to="2001-01-02T00:00:00+00:00"
            ),
            [4],
        ),
        (EventFilter(subject_ids=[ids.new()]), []),
    ):
        assert await found(store, "needle", chosen=chosen) == expected


async def test_a_page_looks_at_a_bounded_part_and_the_next_goes_on(store, database):
    async with administrator(database) as admin:
        await fill_days(
            admin, "date '2024-01-01'", 3, 8000,
            subject_id=f"CASE WHEN n % 2 = 0 THEN '{ADA}'::uuid ELSE '{BOB}'::uuid END",
            content="""jsonb_build_object('text',
                CASE WHEN d = 0 AND n IN (2, 3) THEN 'needle' ELSE 'hay' END)""",
        )  # fmt: skip

        for chosen, expected in (
            (OF_ADA, [2]),
            (EventFilter(subject_ids=[ADA, BOB]), [3, 2]),
            (
                EventFilter(
                    occurred_from="2024-01-01T00:00:00+00:00",
                    occurred_to="2024-01-04T00:00:00+00:00",
                ),
                [3, 2],
            ),
        ):
            first = await store.search(
                chosen, patterns_of("needle", Mode.WORDS), before=None, limit=10
            )

            assert (first.events, first.more) == ([], True)
            assert 24_000 - 25_000 < first.scanned_position < 16_001
            assert await found(store, "needle", chosen=chosen) == expected


async def test_large_contents_shorten_what_a_page_looks_at(store, database):
    async with administrator(database) as admin:
        # Hardly to be compressed, so that it is stored about as large as it is.
        await admin.execute(
            """CREATE TEMP TABLE heavy AS SELECT jsonb_build_object(
                   'text', string_agg(md5(i::text), '')) AS content
               FROM generate_series(1, 4000) i"""
        )
        await fill_days(
            admin, "date '2024-01-01'", 1, 100,
            subject_id=f"'{ADA}'::uuid", content="(SELECT content FROM heavy)",
        )  # fmt: skip

    page = await store.search(OF_ADA, patterns_of("needle", Mode.WORDS), before=None, limit=10)

    assert (page.events, page.more) == ([], True)
    assert 1 < page.scanned_position < 100
    assert await found(store, "needle") == []
