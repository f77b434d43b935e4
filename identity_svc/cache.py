"""Keeps answers to "who holds this account", and lets go of them when they may be wrong.

An answer may be served for a second after its read began. It may be served for longer while
notices prove that nothing has changed: until a second after the last moment up to which every
change is known to have been told. docs/caching.md has the argument in full.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from identity_svc import metrics
from identity_svc.domain.people import Account, Identity, LinkNotFound
from identity_svc.ports.people import IdentityStore
from svckit.listener import Notices

CHANNEL = "kith_identity"
EVERYTHING = "*"
# For how long an answer may be out of date.
STALE_SECONDS = 1.0
DEFAULT_ENTRIES = 100_000
# A read during which more changes than this are told keeps nothing.
MOST_CHANGES = 10_000

_HITS = metrics.CACHE_LOOKUPS.labels("hit")
_MISSES = metrics.CACHE_LOOKUPS.labels("miss")

Key = tuple[str, str]


@dataclass(slots=True)
class _Entry:
    identity: Identity
    read_at: float


@dataclass(eq=False, slots=True)
class _Read:
    """A read in flight, and what was told to have changed since it began."""

    began_at: float
    changed: set[str] = field(default_factory=set)
    is_void: bool = False

    def tells_the_truth(self, identity: Identity) -> bool:
        return not (self.is_void or any(name in self.changed for name in _names(identity)))


def _names(identity: Identity) -> tuple[str, str]:
    """What an answer is found by: each change of it is told under one of these."""
    return (identity.person_id, identity.link_id)


class IdentityCache:
    """Bounded; what was not asked for the longest goes first.

    Unknown accounts are not kept, since nobody is told of a link that is new, nor are those
    whose registration is still to be confirmed.
    """

    def __init__(
        self, store: IdentityStore, notices: Notices, *, most: int = DEFAULT_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`clock` is that of `notices`. With `most` = 0 nothing is kept."""
        self._store = store
        self._notices = notices
        self._most = most
        self._clock = clock
        # The one asked for last is the last.
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        # Mostly of one, hence no sets: they are four times as large.
        self._keys: dict[str, tuple[Key, ...]] = {}
        self._reads: set[_Read] = set()
        metrics.CACHE_ENTRIES.set_function(lambda: len(self._entries))
        notices.on_notice(self._on_notice)
        notices.on_lost(self.flush)

    def get(self, account: Account) -> Identity | None:
        """Who holds an account, where that is known well enough."""
        key = (account.platform, account.platform_id)
        entry = self._entries.get(key)
        if entry is None:
            _MISSES.inc()
            return None
        # What is in here was read after continuity was last broken: `flush` saw to that.
        known_at = max(entry.read_at, self._notices.proved_at)
        if self._clock() - known_at > STALE_SECONDS:
            self._remove(key, "expired")
            _MISSES.inc()
            return None
        self._entries.move_to_end(key)
        _HITS.inc()
        return entry.identity

    async def resolve(self, accounts: Sequence[Account]) -> list[Identity | LinkNotFound]:
        """As IdentityStore: read, and keep what was read unless it has changed meanwhile."""
        read = _Read(self._clock())
        self._reads.add(read)
        try:
            outcomes = await self._store.resolve(accounts)
        finally:
            self._reads.discard(read)
        for outcome in outcomes:
            if isinstance(outcome, Identity) and not outcome.registration_pending:
                self._keep(outcome, read)
        return outcomes

    def forget(self, names: Iterable[str]) -> None:
        """Let go of what hangs on people or links, by their ids, and of reads under way."""
        told = list(names)
        for read in self._reads:
            read.changed.update(told)
            read.is_void |= len(read.changed) > MOST_CHANGES
        for name in told:
            for key in self._keys.pop(name, ()):
                self._remove(key, "invalidated")

    def flush(self) -> None:
        """Let go of everything, and of reads under way."""
        for read in self._reads:
            read.is_void = True
        metrics.CACHE_REMOVED.labels("flushed").inc(len(self._entries))
        self._entries.clear()
        self._keys.clear()

    def _on_notice(self, payload: str) -> None:
        if payload == EVERYTHING:
            self.flush()
        else:
            self.forget((payload,))

    def _keep(self, identity: Identity, read: _Read) -> None:
        if not self._most:
            return
        if not read.tells_the_truth(identity):
            metrics.CACHE_DROPPED.inc()
            return
        key = (identity.platform, identity.platform_id)
        if key in self._entries:
            self._remove(key, "replaced")
        elif len(self._entries) >= self._most:
            self._remove(next(iter(self._entries)), "evicted")
        self._entries[key] = _Entry(identity, read.began_at)
        for name in _names(identity):
            self._keys[name] = (*self._keys.get(name, ()), key)

    def _remove(self, key: Key, why: str) -> None:
        entry = self._entries.pop(key)
        for name in _names(entry.identity):
            others = tuple(other for other in self._keys.get(name, ()) if other != key)
            if others:
                self._keys[name] = others
            else:
                self._keys.pop(name, None)
        metrics.CACHE_REMOVED.labels(why).inc()
