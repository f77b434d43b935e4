"""POSIX access control lists, read and written as Linux keeps them.

The list of a file is the extended attribute `system.posix_acl_access`: a version and entries of
(tag, permissions, id). Python has no module for it and the `acl` tools are often not installed, so
the few lines are here. `kithctl.access` decides what to grant.
"""

import errno
import os
import stat
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

READ, WRITE, SEARCH = 4, 2, 1

OWNER, USER, OWNING_GROUP, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
"""Tags, in the order in which the kernel wants the entries."""

_ATTRIBUTE = "system.posix_acl_access"
_VERSION = 2
_NO_ID = 0xFFFFFFFF
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_CAPPED_BY_MASK = (USER, OWNING_GROUP, GROUP)


class AclUnsupported(Exception):
    """This file system keeps no access control lists."""


@dataclass(frozen=True, order=True)
class Entry:
    """One line of a list: who (`identity` for a named user or group only), and what they may do."""

    tag: int
    identity: int
    permissions: int


Acl = tuple[Entry, ...]


def decode(value: bytes) -> Acl:
    """The entries in an attribute's value."""
    (version,) = _HEADER.unpack_from(value)
    if version != _VERSION:
        raise ValueError(f"access control list of version {version}")
    entries = (
        Entry(tag, identity, permissions)
        for tag, permissions, identity in _ENTRY.iter_unpack(value[_HEADER.size :])
    )
    return tuple(sorted(entries))


def encode(acl: Iterable[Entry]) -> bytes:
    """The attribute's value for these entries."""
    lines = (_ENTRY.pack(entry.tag, entry.permissions, entry.identity) for entry in sorted(acl))
    return _HEADER.pack(_VERSION) + b"".join(lines)


def from_mode(mode: int) -> Acl:
    """The list that a file without one has: its permission bits."""
    bits = stat.S_IMODE(mode)
    return (
        Entry(OWNER, _NO_ID, bits >> 6 & 7),
        Entry(OWNING_GROUP, _NO_ID, bits >> 3 & 7),
        Entry(OTHER, _NO_ID, bits & 7),
    )


def read(path: Path) -> Acl:
    """The list of a file, made from its mode where it has none."""
    if sys.platform != "linux":
        return from_mode(path.stat().st_mode)
    try:
        return decode(os.getxattr(path, _ATTRIBUTE))
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return from_mode(path.stat().st_mode)
        raise


def write(path: Path, acl: Acl) -> None:
    """Replace the list of a file; one that only says what a mode can say becomes the mode."""
    if sys.platform != "linux":
        raise AclUnsupported(str(path))
    try:
        os.setxattr(path, _ATTRIBUTE, encode(acl))
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM, errno.EROFS, errno.ENOSYS, errno.EACCES):
            raise AclUnsupported(str(path)) from error
        raise


def permissions(acl: Acl, owners: tuple[int, int], user: int, groups: Sequence[int]) -> int:
    """What a user may do, by the kernel's rules; `owners` are the file's user and group."""
    by_tag = {entry.tag: entry.permissions for entry in acl}
    cap = by_tag.get(MASK, 7)
    if user == owners[0]:
        return by_tag[OWNER]
    for entry in acl:
        if entry.tag == USER and entry.identity == user:
            return entry.permissions & cap
    of_groups = [
        entry.permissions & cap
        for entry in acl
        if (entry.tag == OWNING_GROUP and owners[1] in groups)
        or (entry.tag == GROUP and entry.identity in groups)
    ]
    if of_groups:
        # One matching entry must grant all that is asked for; for a single bit a union is the same.
        united = 0
        for granted in of_groups:
            united |= granted
        return united
    return by_tag[OTHER]


def with_user(acl: Acl, user: int, granted: int) -> Acl:
    """The same list, with one user granted something more and nobody else anything.

    A mask caps every entry but the owner's and the others'. It has to let the grant through, so
    what it was taking away from other entries is first taken away from the entries themselves.
    """
    cap = next((entry.permissions for entry in acl if entry.tag == MASK), None)
    entries = [_capped(entry, cap) for entry in acl if entry.tag != MASK]
    mine = next((e for e in entries if e.tag == USER and e.identity == user), None)
    if mine is not None:
        entries.remove(mine)
        granted |= mine.permissions
    entries.append(Entry(USER, user, granted))
    return _with_mask(entries)


def without_user(acl: Acl, user: int) -> Acl:
    """The same list without the entry of one user, and without a mask that capped only that."""
    cap = next((entry.permissions for entry in acl if entry.tag == MASK), None)
    entries = [
        _capped(entry, cap)
        for entry in acl
        if entry.tag != MASK and not (entry.tag == USER and entry.identity == user)
    ]
    if any(entry.tag in (USER, GROUP) for entry in entries):
        return _with_mask(entries)
    return tuple(sorted(entries))


def _capped(entry: Entry, cap: int | None) -> Entry:
    if cap is None or entry.tag not in _CAPPED_BY_MASK:
        return entry
    return replace(entry, permissions=entry.permissions & cap)


def _with_mask(entries: list[Entry]) -> Acl:
    united = 0
    for entry in entries:
        if entry.tag in _CAPPED_BY_MASK:
            united |= entry.permissions
    return tuple(sorted([*entries, Entry(MASK, _NO_ID, united)]))
