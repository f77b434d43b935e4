"""What the cache keeps, for how long, and what makes it let go."""

import asyncio
import math
from collections.abc import Callable, Sequence

import pytest

from identity_svc.cache import EVERYTHING, IdentityCache
from identity_svc.domain.people import Account, Consent, Identity, LinkNotFound
from tests.support.identity import an_account


class Answers:
    """The one method of a store that the cache uses; a read can be held up once it has read."""

    def __init__(self) -> None:
        self.identities: dict[str, Identity] = {}
        self.reads = 0
        self.open = asyncio.Event()
        self.open.set()
        self.has_read = asyncio.Event()

    async def resolve(self, accounts: Sequence[Account]) -> list[Identity | LinkNotFound]:
        self.reads += 1
        found = [
            self.identities.get(account.platform_id) or LinkNotFound(account)
            for account in accounts
        ]
        self.has_read.set()
        await self.open.wait()
        return found

    def add(self, account: Account, **changes: object) -> Identity:
        values = {
            "person_id": f"person of {account.platform_id}",
            "link_id": f"link of {account.platform_id}",
            "consent": Consent({}, 0),
            "registration_pending": False,
            **changes,
        }
        identity = Identity(
            platform=account.platform,
            platform_id=account.platform_id,
            **values,  # type: ignore[arg-type]
        )
        self.identities[account.platform_id] = identity
        return identity


class Told:
    """Notices that come, proofs that hold, and losses, when the test says so."""

    def __init__(self) -> None:
        self.proved_at = -math.inf
        self.notice: Callable[[str], None]
        self.lose: Callable[[], None]

    def on_notice(self, callback: Callable[[str], None]) -> None:
        self.notice = callback

    def on_lost(self, callback: Callable[[], None]) -> None:
        self.lose = callback


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Answers:
    return Answers()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(store: Answers, told: Told, clock: Clock) -> IdentityCache:
    return IdentityCache(store, told, most=3, clock=clock)


async def kept(cache: IdentityCache, store: Answers, **changes: object) -> Account:
    """An account whose answer has been read."""
    account = an_account()
    store.add(account, **changes)
    await cache.resolve([account])
    return account


async def test_an_answer_is_good_for_a_second_after_its_read_began(cache, store, clock):
    store.open.clear()
    account = an_account()
    identity = store.add(account)
    reading = asyncio.create_task(cache.resolve([account]))
    await store.has_read.wait()
    clock.now += 0.75
    store.open.set()
    await reading

    clock.now += 0.25
    assert cache.get(account) == identity
    clock.now += 0.01
    assert cache.get(account) is None


async def test_an_answer_is_good_until_a_second_after_the_last_proof(cache, store, told, clock):
    account = await kept(cache, store)

    for _ in range(100):
        told.proved_at = clock.now
        clock.now += 1
        assert cache.get(account) is not None

    clock.now += 0.01
    assert cache.get(account) is None


@pytest.mark.parametrize("name", ["person", "link"])
async def test_a_change_of_the_person_or_the_link_is_let_go_of_and_nobody_elses(
    name, cache, store, told
):
    mia, max_ = await kept(cache, store), await kept(cache, store)

    told.notice("someone else")
    told.notice(f"{name} of {mia.platform_id}")

    assert cache.get(mia) is None
    assert cache.get(max_) is not None


async def test_all_accounts_of_a_person_who_changed_are_let_go_of(cache, store, told):
    accounts = [await kept(cache, store, person_id="mia") for _ in range(3)]

    told.notice("mia")

    assert [cache.get(account) for account in accounts] == [None] * 3


async def test_a_notice_of_everything_or_a_loss_leaves_nothing(cache, store, told, clock):
    for let_go in (lambda: told.notice(EVERYTHING), told.lose):
        account = await kept(cache, store)
        told.proved_at = clock.now
        let_go()
        assert cache.get(account) is None


@pytest.mark.parametrize("what", ["person", "link", "everything", "loss"])
async def test_a_read_during_which_its_answer_changed_is_not_kept(what, cache, store, told, clock):
    account = an_account()
    store.open.clear()
    before = store.add(account)
    reading = asyncio.create_task(cache.resolve([account]))
    await store.has_read.wait()

    # It has been read, and is not there yet, when it changes and everybody is told.
    after = store.add(account, consent=Consent({"messages": "denied"}, 1))
    match what:
        case "everything":
            told.notice(EVERYTHING)
        case "loss":
            told.lose()
        case _:
            told.notice(f"{what} of {account.platform_id}")
    told.proved_at = clock.now
    store.open.set()
    assert await reading == [before]

    assert cache.get(account) is None
    assert await cache.resolve([account]) == [after]
    assert cache.get(account) == after


async def test_a_read_during_which_others_changed_is_kept(cache, store, told):
    account = an_account()
    store.open.clear()
    store.add(account)
    reading = asyncio.create_task(cache.resolve([account]))
    await store.has_read.wait()
    told.notice("somebody else")
    store.open.set()
    await reading

    assert cache.get(account) is not None


async def test_what_a_read_is_told_is_bounded(cache, store, told, monkeypatch):
    monkeypatch.setattr("identity_svc.cache.MOST_CHANGES", 5)
    account = an_account()
    store.open.clear()
    store.add(account)
    reading = asyncio.create_task(cache.resolve([account]))
    await store.has_read.wait()
    for number in range(6):
        told.notice(str(number))
    store.open.set()
    await reading

    assert cache.get(account) is None


async def test_who_is_unknown_or_still_to_be_confirmed_is_asked_for_each_time(cache, store):
    nobody = an_account()
    await cache.resolve([nobody])
    pending = await kept(cache, store, registration_pending=True)

    assert cache.get(nobody) is None
    assert cache.get(pending) is None


async def test_who_was_not_asked_for_the_longest_goes_first(cache, store):
    first, second, third = [await kept(cache, store) for _ in range(3)]
    assert cache.get(first)

    fourth = await kept(cache, store)

    assert [cache.get(each) is not None for each in (first, second, third, fourth)] == [
        True, False, True, True,
    ]  # fmt: skip


async def test_what_went_leaves_nothing_behind(cache, store, told):
    for number in range(50):
        account = await kept(cache, store, person_id=f"person {number % 7}")
        if number % 3 == 0:
            told.notice(f"person {number % 7}")
        if number % 5 == 0:
            await cache.resolve([account])
    names = {name for entry in cache._entries.values() for name in (
        entry.identity.person_id, entry.identity.link_id)}  # fmt: skip

    assert len(cache._entries) <= 3
    assert cache._keys.keys() == names
    assert not cache._reads


async def test_a_size_of_nothing_keeps_nothing(store, told, clock):
    cache = IdentityCache(store, told, most=0, clock=clock)
    account = await kept(cache, store)

    assert cache.get(account) is None
