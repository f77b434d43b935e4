"""The end of the log in memory, for all who follow it."""

from collections import OrderedDict

from event_svc.domain.redaction import TakenAway
from event_svc.domain.subscriptions import Entry

MOST_EVENTS = 8192
MOST_BYTES = 16 << 20
# What an entry takes besides what is shown: its ids, and its place here.
ENTRY_BYTES = 1024


class Tail:
    """Every event after `start`, up to `end`; the oldest make room for new ones."""

    def __init__(
        self, start: int, *, most_events: int = MOST_EVENTS, most_bytes: int = MOST_BYTES
    ) -> None:
        self.start = start
        self.end = start
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, entry: Entry) -> None:
        """Add what comes next; the end moves to it."""
        self._entries[entry.position] = entry
        self._bytes += _size_of(entry)
        self.end = entry.position
        while len(self._entries) > self._most_events or self._bytes > self._most_bytes:
            self._make_room()

    def forget(self, taken: TakenAway) -> None:
        """Forget what was taken away from the log, and all before the last of it."""
        last = next((entry for entry in reversed(self._entries.values()) if entry in taken), None)
        while last is not None and self.start < last.position:
            self._make_room()

    def get(self, position: int) -> Entry | None:
        """The event at a position, None once it had to make room."""
        return self._entries.get(position)

    def after(self, position: int) -> list[Entry]:
        """The events after a position that is not before `start`, in order."""
        found: list[Entry] = []
        # From the end, since most who ask have seen nearly everything.
        for entry in reversed(self._entries.values()):
            if entry.position <= position:
                break
            found.append(entry)
        found.reverse()
        return found

    def _make_room(self) -> None:
        self.start, oldest = self._entries.popitem(last=False)
        self._bytes -= _size_of(oldest)


def _size_of(entry: Entry) -> int:
    return len(entry.shown) + ENTRY_BYTES
