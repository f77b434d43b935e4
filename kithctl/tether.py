"""Becomes another program, which dies with the process that asked for it.

    python -I -S tether.py PARENT_PID SIGNAL USER PROGRAM ARGUMENT...

The kernel sends SIGNAL when the parent's thread that started us is gone, however it went. This is a
program and not a `preexec_fn`, which would run Python in a fork of a process with threads. USER is
whom to become first (root only), or `-`; the order matters, since a change of user clears the
request for the signal. It imports nothing outside the standard library, and is run without the
site folder: it costs 15 ms.
"""

import ctypes
import os
import pwd
import sys

_PR_SET_PDEATHSIG = 1


def become(name: str) -> None:
    """Give up root for the named user."""
    user = pwd.getpwnam(name)
    os.initgroups(name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def die_with(parent: int, signal_number: int) -> None:
    """Ask for the signal; elsewhere than on Linux nobody can be asked."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the process that started this one is gone")


def main() -> None:
    """Read the command line, and be the program that it names."""
    parent, signal_number, user, program, *arguments = sys.argv[1:]
    if user != "-":
        try:
            become(user)
        except (KeyError, OSError) as error:
            sys.exit(f"cannot become user {user}: {error}")
    die_with(int(parent), int(signal_number))
    try:
        os.execv(program, [program, *arguments])
    except OSError as error:
        sys.exit(f"cannot run {program}: {error.strerror}")


if __name__ == "__main__":
    main()
