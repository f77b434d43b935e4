"""Access control lists, on real folders."""

import os
from pathlib import Path

import pytest

from kithctl import acl
from kithctl.acl import GROUP, MASK, OTHER, OWNER, OWNING_GROUP, SEARCH, USER, Entry

NONE = 0xFFFFFFFF
SOMEBODY, SOMEBODY_ELSE = 54321, 54322
STRANGERS_GROUP = 54323


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    try:
        acl.write(folder, acl.with_user(acl.read(folder), SOMEBODY, SEARCH))
    except acl.AclUnsupported:
        pytest.skip("this file system keeps no access control lists")
    acl.write(folder, acl.from_mode(0o700))
    return folder


def entries(*lines: tuple[int, int, int]) -> acl.Acl:
    return tuple(Entry(*line) for line in lines)


def test_a_list_survives_being_written_and_read(folder):
    wanted = entries(
        (OWNER, NONE, 7),
        (USER, SOMEBODY, 1),
        (USER, SOMEBODY_ELSE, 5),
        (OWNING_GROUP, NONE, 5),
        (GROUP, STRANGERS_GROUP, 4),
        (MASK, NONE, 5),
        (OTHER, NONE, 0),
    )

    acl.write(folder, wanted)

    assert acl.read(folder) == wanted
    assert acl.decode(acl.encode(reversed(wanted))) == wanted


def test_a_folder_without_a_list_has_its_mode(folder):
    folder.chmod(0o751)

    assert acl.read(folder) == entries((OWNER, NONE, 7), (OWNING_GROUP, NONE, 5), (OTHER, NONE, 1))


def test_a_grant_lets_one_user_search_and_nobody_else_anything(folder):
    before = acl.read(folder)

    acl.write(folder, acl.with_user(before, SOMEBODY, SEARCH))

    owners = (os.getuid(), os.getgid())
    now = acl.read(folder)
    assert acl.permissions(now, owners, SOMEBODY, [STRANGERS_GROUP]) == SEARCH
    assert acl.permissions(now, owners, SOMEBODY_ELSE, [STRANGERS_GROUP]) == 0
    assert acl.permissions(now, owners, SOMEBODY_ELSE, [os.getgid()]) == 0


def test_taking_a_grant_back_leaves_the_mode_and_no_list(folder):
    folder.chmod(0o700)
    before = acl.read(folder)

    acl.write(folder, acl.with_user(before, SOMEBODY, SEARCH))
    acl.write(folder, acl.without_user(acl.read(folder), SOMEBODY))

    assert folder.stat().st_mode & 0o7777 == 0o700
    assert os.listxattr(folder) == []


def test_a_grant_does_not_give_others_what_the_mask_kept_from_them():
    masked = entries(
        (OWNER, NONE, 7),
        (USER, SOMEBODY_ELSE, 7),
        (OWNING_GROUP, NONE, 7),
        (MASK, NONE, 4),
        (OTHER, NONE, 0),
    )

    granted = acl.with_user(masked, SOMEBODY, SEARCH)

    for user, group in ((SOMEBODY_ELSE, STRANGERS_GROUP), (54329, 10)):
        before = acl.permissions(masked, (0, 10), user, [group])
        assert acl.permissions(granted, (0, 10), user, [group]) == before
    assert acl.permissions(granted, (0, 10), SOMEBODY, []) == SEARCH
