"""Lists of erasures."""

from typing import Literal

from gateway.models.common import Page


class ErasuresQuery(Page):
    """Which erasures."""

    state: Literal["running", "succeeded"] | None = None
