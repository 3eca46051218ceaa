"""Copies by SFTP: OpenSSH's own `sftp` in batch mode, which brings its ciphers, its agents and its checks of hosts.

No password is ever asked for, a host that is not in the known_hosts file is refused, and no settings of the user's
ssh are read, so that what is checked stands here.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tbot_bot.config.error_handler import MachineError
from tbot_bot.config.scrub import scrub
from tbot_bot.reporting.backup_errors import BackupError
from tbot_bot.reporting.backup_shelf import sum_of

if TYPE_CHECKING:
    from tbot_bot.reporting.backup_remotes import RemoteAddress

_PORT: Final = 22
_CONNECT_SECONDS: Final = 15
_PATIENCE_SECONDS: Final = 3_600
_TOLD_MAX: Final = 300
_LISTED: Final = re.compile(r"-\S+\s+\S+\s+\S+\s+\S+\s+(\d+)\s.*?(\S+)")
_PART: Final = ".part"


class SftpRemote:
    """A folder at another machine."""

    def __init__(self, address: "RemoteAddress", home: Path, scratch: Path) -> None:
        """Nothing is reached for yet; what is read back goes to `scratch` for a moment."""
        self._address, self._home, self._scratch = address, home, scratch
        self._folder: Final = address.path or "/"
        self.shown: Final = address.shown

    def sizes(self) -> dict[str, int]:
        """Return the names and sizes in bytes of what lies there."""
        told = self._run(f"cd {_quoted(self._folder)}", "ls -lan")
        found = (_LISTED.fullmatch(line.strip()) for line in told.splitlines())
        return {match[2].rpartition("/")[2]: int(match[1]) for match in found if match}

    def put(self, path: Path, name: str, sha256: str) -> None:
        """Copy a file there, read it back, then give it its name."""
        part, back = self._at(f".{name}{_PART}"), self._scratch / f".copy-{name}"
        try:
            self._run(f"put {_quoted(str(path))} {_quoted(part)}", f"get {_quoted(part)} {_quoted(str(back))}")
            if sum_of(back) != sha256:
                raise BackupError("the copy is not what was sent", where=self.shown, mend="It is sent again later.")
        finally:
            back.unlink(missing_ok=True)
        self._run(f"-rm {_quoted(self._at(name))}", f"rename {_quoted(part)} {_quoted(self._at(name))}")

    def get(self, name: str, to: Path) -> None:
        """Fetch a file."""
        self._run(f"get {_quoted(self._at(name))} {_quoted(str(to))}")

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no failure."""
        self._run(f"-rm {_quoted(self._at(name))}")

    def _at(self, name: str) -> str:
        return f"{self._folder.rstrip('/')}/{name}"

    def _run(self, *lines: str) -> str:
        program = shutil.which("sftp")
        if program is None:
            raise MachineError("there is no sftp on this machine", where=self.shown, mend="Install OpenSSH's client.")
        try:
            done = subprocess.run(  # noqa: S603 - a fixed program, its words are ours or the owner's
                [program, *self._words()], input="\n".join((*lines, "")), capture_output=True, text=True,
                errors="replace", timeout=_PATIENCE_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise BackupError("no end within an hour", where=self.shown, mend="Look at the network.") from None
        if done.returncode:
            said = scrub(" ".join(done.stderr.split()))[-_TOLD_MAX:] or f"status {done.returncode}"
            mend = "Look at the address, the key, known_hosts and the room there."
            raise BackupError(f"sftp failed ({said})", where=self.shown, mend=mend)
        return done.stdout

    def _words(self) -> list[str]:
        options = ["BatchMode=yes", "LogLevel=ERROR", "StrictHostKeyChecking=yes", "PasswordAuthentication=no",
                   "KbdInteractiveAuthentication=no", f"ConnectTimeout={_CONNECT_SECONDS}",
                   "ServerAliveInterval=15", "ServerAliveCountMax=4", "UpdateHostKeys=no"]  # fmt: skip
        known, identity = self._address.option("known_hosts"), self._address.option("identity")
        if known:
            options += [f'UserKnownHostsFile="{self._home / known}"', "GlobalKnownHostsFile=none"]
        if identity:
            options += [f'IdentityFile="{self._home / identity}"', "IdentitiesOnly=yes"]
        words = ["-F", "none", "-b", "-", "-P", str(self._address.port or _PORT)]
        for option in options:
            words += ["-o", option]
        user = f"{self._address.user}@" if self._address.user else ""
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return [*words, "--", f"{user}{host}"]


def _quoted(text: str) -> str:
    """Return a path as one word of sftp's language, in which quotes keep spaces and a backslash keeps the next sign."""
    return '"' + re.sub(r'(["\\*?\[\]])', r"\\\1", text) + '"'


__all__ = ["SftpRemote"]
