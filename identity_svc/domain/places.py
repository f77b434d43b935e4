"""Where pages end, for lists that are ordered by a time and then by an id."""

from datetime import datetime
from typing import NamedTuple


class Place(NamedTuple):
    """Behind which row the next page begins."""

    moment: datetime
    row_id: str
