"""Two spaces, and their queues."""

from tests.support.spaces import items, new, old, spaces

__all__ = ["items", "new", "old", "spaces"]
