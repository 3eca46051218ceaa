"""Known secrets in every setting that can hold one, servers that quote them back, and a search that misses no form."""

import base64
import hashlib
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, quote_plus

from tbot_bot.config.env import EnvSettings
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.model import variables
from tests.support.post_office import free_port
from tests.support.terminal import CLI, REPOSITORY

PATIENCE_SECONDS: Final = 120.0
_CUT: Final = 8
"""Characters of the beginning or the end that give a secret away."""


def word_of(name: str) -> str:
    """Return a word that stands nowhere else, and whose beginning and end do not either."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f"Zq{digest[:8]}.{name.lower().replace('_', '')}-{digest[8:16]}xK"


def canary_of(name: str, closed: int) -> tuple[str, str]:
    """Return a value that variable `name` accepts, and the secret in it. At port `closed` nobody listens."""
    word = word_of(name)
    match name:
        case "ENCRYPTION_KEY" | "BACKUP_RECIPIENT_KEY":
            key = base64.urlsafe_b64encode(hashlib.sha256(word.encode()).digest()).decode()
            return key, key
        case "DATABASE_URL":
            return f"postgresql://tbot:{word}@127.0.0.1:{closed}/tbot", word
        case "SLACK_WEBHOOK_URL":
            return f"http://127.0.0.1:{closed}/services/{word}", word
        case "ALERT_URLS":
            return f"json://user:{word}@127.0.0.1:{closed}/x,ping+http://127.0.0.1:{closed}/{word}", word
        case "BACKUP_REMOTE":
            return f"s3://key:{word}@bucket/tbot?endpoint=http://127.0.0.1:{closed}", word
        case "BACKUP_REMOTE_SECOND":
            return f"sftp://{word}@127.0.0.1:{closed}/folder", word
        case "IBKR_PAPER_ACCOUNT_NUMBER":
            return f"D{word}", f"D{word}"  # else it is refused before anybody is asked
        case _:
            return word, word


SECRET_NAMES: Final = tuple(
    variable.name for model in (EnvSettings, BotSettings) for variable in variables(model) if variable.kind.secret
)
"""Taken from the models: a secret that is added to them is searched for from then on."""


def forms_of(secret: str) -> frozenset[bytes]:
    """Return how a secret may stand in a file: as it is, encoded in base64 wherever it begins, quoted, hex, cut."""
    raw = secret.encode()
    texts = {secret, quote(secret, safe=""), quote_plus(secret), raw.hex(), raw.hex().upper(),
             "".join(f"%{byte:02X}" for byte in raw), secret[:_CUT], secret[-_CUT:]}  # fmt: skip
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + raw)
        inner = whole[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6].decode()
        texts |= {inner, inner.translate(str.maketrans("+/", "-_"))}
    return frozenset(text.encode() for text in texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What a search looked at, and what it found."""

    files: int
    size: int
    leaks: tuple[tuple[str, str, str], ...]
    """Secret, where, and the text around it."""


def search(contents: Mapping[str, bytes], secrets: Mapping[str, str]) -> Searched:
    """Look for every form of every secret in everything."""
    forms = {name: forms_of(secret) for name, secret in secrets.items()}
    leaks = [
        (name, where, repr(content[max(content.index(form) - 60, 0) : content.index(form) + 60]))
        for where, content in contents.items()
        for name, many in forms.items()
        for form in many
        if form in content
    ]
    return Searched(files=len(contents), size=sum(map(len, contents.values())), leaks=tuple(leaks))


def files_below(home: Path, *but: str) -> dict[str, bytes]:
    """Return every file below `home` except those named."""
    return {str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("*"))
            if path.is_file() and path.name not in but}  # fmt: skip


class Telltale:
    """A server that refuses everything and quotes back address, headers and body: the most talkative vendor."""

    def __init__(self, status: int) -> None:
        class Answer(BaseHTTPRequestHandler):
            def _refuse(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                said = f"refused: {self.path} {dict(self.headers)} {self.rfile.read(length)!r}".encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(said)))
                self.send_header("X-Asked-For", quote(self.path))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _refuse  # noqa: N815 - theirs

            def log_message(self, *_: object) -> None:
                """Say nothing: the test's own output is searched as well."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Resetting:
    """A port that takes every connection and resets it after the first bytes."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self._socket.accept()
            except OSError:
                return  # closed: the test is over
            with taken:
                taken.settimeout(5)
                try:
                    taken.recv(65_536)
                    taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except OSError:
                    continue  # the caller has gone


@dataclass(slots=True, kw_only=True)
class CanaryRoom:
    """A home whose settings hold a canary in every secret variable, and what every command in it printed."""

    home: Path
    closed: int = field(default_factory=free_port)
    printed: dict[str, bytes] = field(default_factory=dict)

    @property
    def secrets(self) -> dict[str, str]:
        """Return each secret by its variable."""
        return {name: canary_of(name, self.closed)[1] for name in SECRET_NAMES}

    def furnish(self, env: Mapping[str, str] | None = None, bot: Mapping[str, str] | None = None) -> None:
        """Write both settings files; `env` and `bot` are further lines, or others of the same name."""
        lines = {name: canary_of(name, self.closed)[0] for name in SECRET_NAMES}
        lines |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(self.closed), "SMTP_USER": "bot@example.test",
                  "ALERT_EMAIL": "owner@example.test", "IBKR_PAPER_PORT": str(self.closed),
                  "IBKR_LIVE_PORT": str(self.closed)} | dict(env or {})  # fmt: skip
        self.write(".env", "".join(f"{name}={value}\n" for name, value in lines.items()))
        chosen = {"TEST_MODE": "true", "ALERTS_IN_TEST_MODE": "true"} | dict(bot or {})
        self.write(".env_bot", "".join(f"{name}={value}\n" for name, value in chosen.items()))
        (self.home / "VERSION.md").write_text((REPOSITORY / "VERSION.md").read_text(encoding="utf-8"))

    def write(self, name: str, text: str) -> None:
        """Write a settings file as its owner would."""
        (self.home / name).write_text(text, encoding="utf-8")
        (self.home / name).chmod(0o600)

    def tbot(self, path: str, *words: str, program: str = CLI, patience: float = PATIENCE_SECONDS) -> int:
        """Run a command of the error path `path` and keep what it printed."""
        ended = subprocess.run(
            [sys.executable, "-c", program, *words], capture_output=True, timeout=patience, check=False,
            cwd=REPOSITORY, env={**os.environ, "TBOT_HOME": str(self.home), "COLUMNS": "200"},
        )  # fmt: skip
        self.printed[f"{path}: {' '.join(words)} ({len(self.printed)})"] = ended.stdout + ended.stderr
        return ended.returncode

    def said(self, path: str) -> str:
        """Return all that the commands of one error path printed."""
        return b"\n".join(text for name, text in self.printed.items() if name.startswith(f"{path}: ")).decode()

    def search(self, *but: str) -> Searched:
        """Search all files but the settings themselves and those named `but`, and all that was printed."""
        return search(files_below(self.home, ".env", ".env_bot", *but) | self.printed, self.secrets)


def said_of(searched: Iterable[Searched], paths: int) -> str:
    """Return the line that the closing note quotes."""
    all_of = tuple(searched)
    files, size = sum(one.files for one in all_of), sum(one.size for one in all_of)
    return f"secrets: {len(SECRET_NAMES)}, error paths: {paths}, files and outputs: {files}, bytes: {size}"


__all__ = ["SECRET_NAMES", "CanaryRoom", "Resetting", "Searched", "Telltale", "canary_of", "files_below", "forms_of",
           "said_of", "search", "word_of"]  # fmt: skip
