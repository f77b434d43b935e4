"""What is opened to one user, and closed again."""

import json
import os
import pwd
from pathlib import Path

import pytest

from kithctl import acl
from kithctl.access import SearchGrants
from kithctl.account import Account

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root opens folders to others")


@pytest.fixture
def nobody() -> Account:
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder of root's alone, with another one in it."""
    outer = tmp_path / "outer"
    (outer / "inner").mkdir(parents=True)
    outer.chmod(0o700)
    return outer


def may_search(folder: Path, user: Account) -> bool:
    status = folder.stat()
    owners = (status.st_uid, status.st_gid)
    return bool(acl.permissions(acl.read(folder), owners, user.uid, user.groups) & acl.SEARCH)


def test_a_closed_folder_is_opened_to_one_user_and_closed_again(closed, tmp_path, nobody):
    grants = SearchGrants(tmp_path / "record", nobody)

    grants.ensure(closed / "inner")
    opened = may_search(closed, nobody)
    grants.revoke()

    assert opened
    assert not may_search(closed, nobody)
    assert closed.stat().st_mode & 0o7777 == 0o700
    assert os.listxattr(closed) == []
    assert not (tmp_path / "record").exists()


def test_a_folder_that_is_open_to_all_is_left_alone(closed, tmp_path, nobody):
    closed.chmod(0o755)
    grants = SearchGrants(tmp_path / "record", nobody)

    grants.ensure(closed / "inner")

    assert os.listxattr(closed) == []
    grants.revoke()


def test_a_grant_that_a_chmod_has_undone_is_renewed(closed, tmp_path, nobody):
    grants = SearchGrants(tmp_path / "record", nobody)
    grants.ensure(closed / "inner")
    closed.chmod(0o700)
    undone = not may_search(closed, nobody)

    grants.renew()

    assert undone
    assert may_search(closed, nobody)
    grants.revoke()
    assert not may_search(closed, nobody)
    assert os.listxattr(closed) == []


def test_what_a_killed_process_has_opened_is_closed_by_the_next(closed, tmp_path, nobody):
    killed = SearchGrants(tmp_path / "record", nobody)
    killed.ensure(closed)
    for descriptor in killed._held.values():
        os.close(descriptor)

    following = SearchGrants(tmp_path / "record", nobody)
    following.ensure(closed)
    following.revoke()

    assert not may_search(closed, nobody)


def test_a_folder_that_two_need_stays_open_until_the_second_is_done(closed, tmp_path, nobody):
    first = SearchGrants(tmp_path / "first", nobody)
    second = SearchGrants(tmp_path / "second", nobody)
    first.ensure(closed)
    second.ensure(closed)

    first.revoke()
    still_open = may_search(closed, nobody)
    second.revoke()

    assert still_open
    assert not may_search(closed, nobody)


def test_what_somebody_changed_meanwhile_stays_changed(closed, tmp_path, nobody):
    grants = SearchGrants(tmp_path / "record", nobody)
    grants.ensure(closed)
    acl.write(closed, acl.with_user(acl.read(closed), 54321, acl.READ))

    grants.revoke()

    assert not may_search(closed, nobody)
    assert acl.Entry(acl.USER, 54321, acl.READ) in acl.read(closed)


def test_a_grant_of_the_administrator_is_not_taken_away(closed, tmp_path, nobody):
    acl.write(closed, acl.with_user(acl.read(closed), nobody.uid, acl.SEARCH))
    grants = SearchGrants(tmp_path / "record", nobody)

    grants.ensure(closed)
    grants.revoke()

    assert may_search(closed, nobody)


def test_the_record_is_written_before_the_folder_is_opened(closed, tmp_path, nobody, monkeypatch):
    recorded: list[list[str]] = []
    monkeypatch.setattr(
        acl,
        "write",
        lambda path, entries: recorded.append(
            list(json.loads((tmp_path / "record").read_text())["folders"])
        ),
    )

    SearchGrants(tmp_path / "record", nobody).ensure(closed)

    assert str(closed) in recorded[-1]
