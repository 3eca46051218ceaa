"""Copies in S3-compatible storage. An object is there whole or not at all, so there is no name to write under first."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tbot_bot.config.error_handler import MachineError
from tbot_bot.config.scrub import scrub
from tbot_bot.reporting.backup_errors import BackupError

if TYPE_CHECKING:
    from tbot_bot.reporting.backup_remotes import RemoteAddress

_PART_BYTES: Final = 8 << 20
_PIECE: Final = 1 << 20
_CONNECT_SECONDS: Final = 10
_READ_SECONDS: Final = 60
_TRIES: Final = 3


class S3Remote:
    """A bucket, below a prefix."""

    def __init__(self, address: "RemoteAddress") -> None:
        """Nothing is reached for yet."""
        self._address: Final = address
        prefix = address.path.strip("/")
        self._prefix: Final = f"{prefix}/" if prefix else ""
        self.shown: Final = address.shown
        self._made: Any = None

    def sizes(self) -> dict[str, int]:
        """Return the names and sizes in bytes of what lies there."""
        found = {}
        with self._renamed():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._address.host, Prefix=self._prefix, Delimiter="/"
            )
            for page in pages:
                for each in page.get("Contents", ()):
                    found[str(each["Key"]).removeprefix(self._prefix)] = int(each["Size"])
        return found

    def put(self, path: Path, name: str, sha256: str) -> None:
        """Copy a file there, in parts of 8 MiB, and read back what arrived."""
        self._open()
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, use_threads=False)
        with self._renamed():
            self._client.upload_file(str(path), self._address.host, self._prefix + name, Config=config)
            if self._sum_of(name) == sha256:
                return
        self.remove(name)
        raise BackupError("the copy is not what was sent", where=self.shown, mend="It is sent again at the next run.")

    def get(self, name: str, to: Path) -> None:
        """Fetch a file."""
        with self._renamed(), to.open("wb") as file:
            body = self._client.get_object(Bucket=self._address.host, Key=self._prefix + name)["Body"]
            for piece in body.iter_chunks(_PIECE):
                file.write(piece)

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no failure."""
        with self._renamed():
            self._client.delete_object(Bucket=self._address.host, Key=self._prefix + name)

    def _sum_of(self, name: str) -> str:
        digest = hashlib.sha256()
        body = self._client.get_object(Bucket=self._address.host, Key=self._prefix + name)["Body"]
        for piece in body.iter_chunks(_PIECE):
            digest.update(piece)
        return digest.hexdigest()

    @property
    def _client(self) -> Any:  # noqa: ANN401 - boto3 makes its clients' classes at run time
        self._open()
        return self._made

    def _open(self) -> None:
        if self._made is None:
            try:
                import boto3
                from botocore.config import Config  # noqa: PLC0415
            except ImportError:
                mend = "Install the extra: pip install 'tradebot[s3]'."
                raise MachineError("boto3 is not installed", where=self.shown, mend=mend) from None
            config = Config(
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                retries={"max_attempts": _TRIES, "mode": "standard"},
                s3={"addressing_style": "path"} if self._address.option("endpoint") else None,
                request_checksum_calculation="when_required",  # other makers' servers know no newer sums
                response_checksum_validation="when_required",
            )
            self._made = boto3.session.Session().client(
                "s3",
                endpoint_url=self._address.option("endpoint") or None,
                region_name=self._address.option("region") or None,
                aws_access_key_id=self._address.user or None,
                aws_secret_access_key=self._address.password or None,
                config=config,
            )

    @contextmanager
    def _renamed(self) -> Iterator[None]:
        """Give what boto3 says our name, without what it quotes of our credentials."""
        self._open()
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            yield
        except (Boto3Error, BotoCoreError, ClientError) as error:
            said = scrub(str(error).replace(self._address.password or "\0", "********"))
            mend = "Look at the address, the credentials and the network."
            raise BackupError(
                f"the storage refuses or cannot be reached ({said})", where=self.shown, mend=mend
            ) from None


__all__ = ["S3Remote"]
