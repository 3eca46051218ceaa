"""A real mail server and a real HTTP endpoint on loopback that fail, hang, refuse, and come back."""

import socket
import ssl
import threading
import time
from contextlib import closing
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PATIENCE_SECONDS = 60.0


def free_port() -> int:
    """Return a port that nobody listens on at this moment; aiosmtpd cannot take 0."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class MailServer:
    """An SMTP server that keeps what it takes. `answer` is what it says to a message; `hang` makes it silent."""

    def __init__(self, port: int = 0, *, login: tuple[str, str] | None = None, tls: ssl.SSLContext | None = None):
        self.port = port or free_port()
        self.mails: list[EmailMessage] = []
        self.answer = "250 OK"
        self.hang = threading.Event()
        self.held = 0
        """Messages that arrived whole and were not answered at once."""
        self.takes_first = False
        """Whether a message that it stalls over is kept before that, not after."""
        self._login = login
        self._controller = Controller(
            self, hostname="127.0.0.1", port=self.port, tls_context=tls, auth_required=login is not None,
            auth_require_tls=False, authenticator=self._authenticate if login else None,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang.clear()
        self._controller.stop()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - theirs
        import asyncio  # noqa: PLC0415 - the server's own loop

        if self.takes_first:
            self._keep(envelope)
        self.held += self.hang.is_set()
        while self.hang.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.02)
        if not self.takes_first:
            self._keep(envelope)
        return self.answer

    def _keep(self, envelope: Envelope) -> None:
        if self.answer.startswith("250"):
            mail = message_from_bytes(_bytes(envelope.content), policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        found = (data.login.decode(), data.password.decode())
        return AuthResult(success=found == self._login, handled=False)

    @property
    def subjects(self) -> list[str]:
        """Return the subjects of the mails, in order of arrival."""
        return [str(mail["Subject"]) for mail in self.mails]

    def wait_for(self, words: str, patience: float = PATIENCE_SECONDS) -> EmailMessage:
        """Return the first mail whose subject or text holds `words`, as soon as it is there."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            for mail in [*self.mails]:
                if words in str(mail["Subject"]) or words in body(mail):
                    return mail
            time.sleep(0.05)
        raise AssertionError(f"no mail says {words!r}: {self.subjects}")


def _bytes(content: bytes | str | None) -> bytes:
    return content if isinstance(content, bytes) else (content or "").encode()


def body(mail: EmailMessage) -> str:
    """Return a mail's plain text."""
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def mail_settings(port: int, **more: str) -> str:
    """Return the lines of `.env` that name the server."""
    lines = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "ALERT_EMAIL": "owner@example.test", **more}
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def write_home(home: Path, env: str, bot: str = "ALERTS_IN_TEST_MODE=true\n") -> Path:
    """Make a home folder with both settings files, in test mode."""
    home.mkdir(exist_ok=True)
    (home / ".env").write_text(env)
    (home / ".env").chmod(0o600)
    (home / ".env_bot").write_text(bot)
    return home
