"""Lets one user through folders that are closed to it, and closes them again.

Postgres does not run as root. Started by root it runs as a user who may be unable to reach the
files, because a folder above them is root's alone (`/root`, or one made by `mktemp -d`). Opening
such a folder to everybody is not ours to do; an entry in its access control list that lets this one
user search it, and not list it, shows nothing to anyone else. What was granted is written down
before it is granted and taken back when Postgres has stopped, or after a crash at the next stop.

Two stacks below one folder share the grant: each holds a shared lock on a folder that it needs a
grant for, and only who can lock it exclusively takes the grant away.
"""

import contextlib
import fcntl
import json
import os
from pathlib import Path

from kithctl import acl
from kithctl.account import Account
from kithctl.files import read_if_there, write_atomically


class SearchGrants:
    """The folders that one user may search because of us."""

    def __init__(self, record: Path, account: Account) -> None:
        self._record = record
        self._account = account
        self._held: dict[Path, int] = {}
        self._original = self._read_record()
        self._reached: list[Path] = []

    def renew(self) -> None:
        """Let the user again reach what `ensure` has opened: a chmod by somebody else, while a
        server runs, takes the grant's effect away.
        """
        for folder in list(self._reached):
            self.ensure(folder)

    def ensure(self, folder: Path) -> None:
        """Let the user reach a folder and search it; raises AclUnsupported where that cannot be."""
        for ancestor in (*reversed(folder.parents), folder):
            entries = acl.read(ancestor)
            if self._may_search(ancestor, acl.without_user(entries, self._account.uid)):
                continue
            in_use = self._hold(ancestor)
            entries = acl.read(ancestor)
            granted = self._may_search(ancestor, entries)
            if granted and not in_use:
                continue  # by the machine's administrator, or by us before a crash
            self._remember(
                ancestor, acl.without_user(entries, self._account.uid) if granted else entries
            )
            if not granted:
                acl.write(ancestor, self._granting(ancestor, entries))
        if folder not in self._reached:
            self._reached.append(folder)

    def revoke(self) -> None:
        """Put every folder back as it was, except those that another stack still needs."""
        for folder in sorted(self._original, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(BlockingIOError):
                with contextlib.suppress(FileNotFoundError, acl.AclUnsupported):
                    self._restore(folder)
                del self._original[folder]
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()
        self._write_record()

    def _restore(self, folder: Path) -> None:
        fcntl.flock(self._open(folder), fcntl.LOCK_EX | fcntl.LOCK_NB)
        original, found = self._original[folder], acl.read(folder)
        if found == self._granting(folder, original):
            acl.write(folder, original)
        else:  # somebody else has changed it since
            acl.write(folder, acl.without_user(found, self._account.uid))

    def _granting(self, folder: Path, entries: acl.Acl) -> acl.Acl:
        allowed = self._permissions(folder, entries)
        return acl.with_user(entries, self._account.uid, allowed | acl.SEARCH)

    def _may_search(self, folder: Path, entries: acl.Acl) -> bool:
        return bool(self._permissions(folder, entries) & acl.SEARCH)

    def _permissions(self, folder: Path, entries: acl.Acl) -> int:
        status = folder.stat()
        owners = (status.st_uid, status.st_gid)
        return acl.permissions(entries, owners, self._account.uid, self._account.groups)

    def _hold(self, folder: Path) -> bool:
        """Keep others from taking our grant away; says whether somebody else needs it as well."""
        descriptor = self._open(folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return True
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return False

    def _open(self, folder: Path) -> int:
        if folder not in self._held:
            self._held[folder] = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self._held[folder]

    def _remember(self, folder: Path, original: acl.Acl) -> None:
        self._original.setdefault(folder, original)
        self._write_record()

    def _read_record(self) -> dict[Path, acl.Acl]:
        text = read_if_there(self._record)
        if text is None:
            return {}
        record = json.loads(text)
        folders = {
            Path(path): acl.decode(bytes.fromhex(value))
            for path, value in record["folders"].items()
        }
        if record["uid"] == self._account.uid:
            return folders
        for folder, original in folders.items():  # the files have been given to another user
            with contextlib.suppress(FileNotFoundError):
                acl.write(folder, original)
        return {}

    def _write_record(self) -> None:
        if not self._original:
            self._record.unlink(missing_ok=True)
            return
        folders = {str(path): acl.encode(entries).hex() for path, entries in self._original.items()}
        record = {"uid": self._account.uid, "folders": folders}
        write_atomically(self._record, json.dumps(record, indent=1))
