"""Places in lists, as the functions take them."""

from identity_svc.domain.places import Place

_FIRST_ID = "00000000-0000-0000-0000-000000000000"


def arguments_of(after: Place | None, moment: str, row_id: str) -> dict[str, str]:
    """A place as two arguments of these names; None is before everything."""
    return {
        moment: after.moment.isoformat() if after else "-infinity",
        row_id: after.row_id if after else _FIRST_ID,
    }
