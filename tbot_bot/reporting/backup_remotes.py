"""Places for copies of backups: a folder, S3-compatible storage, SFTP; chosen by the form of BACKUP_REMOTE.

    backups-elsewhere, or an absolute path              a folder, such as a mounted disk
    s3://BUCKET/PREFIX?endpoint=https://HOST&region=R   with KEY:SECRET@ before BUCKET, percent-encoded, or the
                                                        credentials that boto3 finds by itself
    sftp://USER@HOST:PORT/FOLDER?identity=FILE&known_hosts=FILE

A copy is written under another name, read back and compared by its SHA-256 sum before it gets its own.
"""

import errno
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from tbot_bot.config.error_handler import ConfigError, ConfigProblem
from tbot_bot.reporting.backup_errors import BackupError
from tbot_bot.reporting.backup_shelf import sum_of

PART: Final = ".part"
_EXPECTED: Final = "nothing, a folder, s3://bucket/prefix?endpoint=... or sftp://user@host/folder"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Remote(Protocol):
    """A place for copies. All methods raise BackupError where it cannot be reached or refuses."""

    @property
    def shown(self) -> str:
        """Return its name for people: the variable, and the address without credentials."""

    def sizes(self) -> dict[str, int]:
        """Return the names and sizes in bytes of what lies there."""

    def put(self, path: Path, name: str, sha256: str) -> None:
        """Copy a file there and look at what arrived."""

    def get(self, name: str, to: Path) -> None:
        """Fetch a file."""

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAddress:
    """A remote's setting, taken apart."""

    kind: str
    """`folder`, `s3` or `sftp`."""
    shown: str
    host: str = ""
    """For S3 the bucket."""
    port: int = 0
    path: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str) -> str:
        """Return what the query says of `name`; empty: nothing."""
        return dict(self.options).get(name, "")


def address_of(text: str, variable: str) -> RemoteAddress:
    """Read BACKUP_REMOTE or BACKUP_REMOTE_SECOND.

    Raises:
        ConfigError: no such form. The message shows nothing of the text.
    """
    if "://" not in text:
        return RemoteAddress(kind="folder", shown=f"{variable} ({text})", path=text)
    try:
        address = _taken_apart(urlsplit(text), variable)
    except ValueError:
        raise _problem(variable, "a URL that can be read") from None
    match address.kind:
        case "s3" if address.host:
            _require_options(address, {"endpoint", "region"}, variable)
            if address.option("endpoint") and not _may_be_called(address.option("endpoint")):
                raise _problem(variable, "an https:// endpoint (http:// only for this machine)")
        case "sftp" if address.host:
            _require_options(address, {"identity", "known_hosts"}, variable)
            if address.password:
                raise _problem(variable, "an sftp:// URL without a password: logins are by key (identity=...)")
        case _:
            raise _problem(variable, _EXPECTED)
    return address


def remote_of(address: RemoteAddress, home: Path, scratch: Path) -> Remote:
    """Return the remote; nothing is reached for yet. `scratch` is a folder for what has to be read back."""
    if address.kind == "s3":
        from tbot_bot.reporting.backup_s3 import S3Remote  # noqa: PLC0415 - only where there is one

        return S3Remote(address)
    if address.kind == "sftp":
        from tbot_bot.reporting.backup_sftp import SftpRemote  # noqa: PLC0415

        return SftpRemote(address, home, scratch)
    return FolderRemote(home / address.path, address.shown)


class FolderRemote:
    """A folder, which has to be there: a disk that is not mounted would else be filled from underneath."""

    def __init__(self, folder: Path, shown: str) -> None:
        """Nothing is looked at yet."""
        self._folder: Final = folder
        self.shown: Final = shown

    def sizes(self) -> dict[str, int]:
        """Return the names and sizes in bytes of what lies there."""
        try:
            return {each.name: each.stat().st_size for each in os.scandir(self._folder) if each.is_file()}
        except OSError as error:
            raise self._failure(error) from error

    def put(self, path: Path, name: str, sha256: str) -> None:
        """Copy a file there and look at what arrived."""
        part = self._folder / f".{name}{PART}"
        try:
            self._folder.stat()
            try:
                with path.open("rb") as source, part.open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
                    copy.flush()
                    os.fsync(copy.fileno())
                if sum_of(part) != sha256:
                    raise BackupError("the copy is not what was sent", where=self.shown, mend="Look at that disk.")
                part.replace(self._folder / name)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise self._failure(error) from error

    def get(self, name: str, to: Path) -> None:
        """Fetch a file."""
        try:
            shutil.copyfile(self._folder / name, to)
        except OSError as error:
            raise self._failure(error) from error

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no failure."""
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> BackupError:
        if error.errno == errno.ENOENT:
            return BackupError("the folder is not there", where=self.shown, mend="Mount its disk, or make the folder.")
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        what = "the disk is full" if full else f"cannot be used ({error.strerror})"
        mend = "Make room there." if full else "Look at the rights of the folder."
        return BackupError(what, where=self.shown, mend=mend)


def _taken_apart(url: SplitResult, variable: str) -> RemoteAddress:
    at = url.netloc.rpartition("@")[2]
    options = tuple(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
    return RemoteAddress(
        kind=url.scheme,
        shown=f"{variable} ({url.scheme}://{at}{url.path})",
        host=(url.hostname or "") if url.scheme != "s3" else at,
        port=(url.port or 0) if url.scheme != "s3" else 0,
        path=unquote(url.path),
        user=unquote(url.username or ""),
        password=unquote(url.password or ""),
        options=options,
    )


def _may_be_called(endpoint: str) -> bool:
    url = urlsplit(endpoint)
    return bool(url.hostname) and (url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK))


def _require_options(address: RemoteAddress, known: set[str], variable: str) -> None:
    if not {name for name, _ in address.options} <= known:
        raise _problem(variable, f"no words behind ? but {' and '.join(sorted(known))}")


def _problem(variable: str, expected: str) -> ConfigError:
    mend = "docs/backups.md shows the forms"
    return ConfigError([ConfigProblem(file=".env", variable=variable, expected=expected, mend=mend)])


__all__ = ["PART", "FolderRemote", "Remote", "RemoteAddress", "address_of", "remote_of"]
