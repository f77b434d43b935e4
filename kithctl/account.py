"""Under which user Postgres runs."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from kithctl.failure import Failure

_UNPRIVILEGED = "nobody"


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int

    @property
    def groups(self) -> list[int]:
        """Every group that the user is in."""
        return os.getgrouplist(self.name, self.gid)


def current() -> Account:
    """The user that this process runs as."""
    return _of(
        os.geteuid(),
        "the user id {uid} has no name on this machine, and Postgres does not run without one: "
        "add the user, or set KITH_DATABASE_URL to an existing Postgres",
    )


def for_cluster(data: Path) -> Account:
    """The user that Postgres runs as on these files: never root.

    That is the user who starts it or, where root does, the files' owner; new files are given to
    the machine's own `nobody`.
    """
    starter = current()
    if not data.exists():
        return starter if starter.uid != 0 else _nobody()
    owner = data.stat().st_uid
    if owner == 0:
        raise Failure(f"{data} belongs to root, as whom Postgres does not run: give it to nobody")
    if starter.uid not in (0, owner):
        raise Failure(f"{data} belongs to user {_name(owner)}: start kith as that user or as root")
    return _of(owner, f"{data} belongs to user id {{uid}}, which has no name on this machine")


def _nobody() -> Account:
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise Failure(
            f"Postgres does not run as root and there is no user {_UNPRIVILEGED!r} to run it as: "
            "start kith as another user, or set KITH_DATABASE_URL to an existing Postgres"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _of(uid: int, unknown: str) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise Failure(unknown.format(uid=uid)) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
