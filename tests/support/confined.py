"""Runs a command under the memory rule and the system call filter of a unit, as systemd would: for tests.

    python -m tests.support.confined "@system-service" "~@privileged @resources" -- COMMAND...

A call that the filter leaves out fails with EPERM; memory that was ever writable cannot be made executable.
"""

import ctypes
import errno
import os
import subprocess
import sys

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_MDWE = 65
_SCMP_ACT_ALLOW = 0x7FFF0000
_SCMP_ACT_ERRNO = 0x00050000


def calls_of(groups: str) -> set[str]:
    """Return the system calls of systemd's groups, sets within sets resolved."""
    found: set[str] = set()
    for group in groups.split():
        shown = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
        for line in shown.stdout.splitlines()[1:]:
            word = line.strip()
            if word.startswith("@"):
                found |= calls_of(word)
            elif word and not word.startswith("#"):
                found.add(word)
    return found


def confine(allowed: set[str]) -> None:
    """Put the filter and the memory rule on this process and all that it becomes."""
    libc = ctypes.CDLL(None, use_errno=True)
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    seccomp.seccomp_init.argtypes = [ctypes.c_uint32]
    seccomp.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    seccomp.seccomp_load.argtypes = [ctypes.c_void_p]
    rules = seccomp.seccomp_init(_SCMP_ACT_ERRNO | errno.EPERM)
    for name in sorted(allowed):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0 and seccomp.seccomp_rule_add(rules, _SCMP_ACT_ALLOW, number, 0):
            raise OSError(f"no rule for {name}")
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    if libc.prctl(_PR_SET_MDWE, 1, 0, 0, 0) and ctypes.get_errno() != errno.EINVAL:  # before Linux 6.3
        raise OSError(ctypes.get_errno(), "PR_SET_MDWE")
    if seccomp.seccomp_load(rules):
        raise OSError("the filter cannot be loaded")


if __name__ == "__main__":
    allow, deny, _, *command = sys.argv[1:]
    confine(calls_of(allow) - calls_of(deny.removeprefix("~")))
    os.execvp(command[0], command)  # noqa: S606 - that is what it is for
