"""The channels: mail, Slack, and any other service by URL. Each sends one message once and says what came of it.

Deciding whether to try again is not theirs (`outbox.py`). No secret leaves with a failure: the addresses themselves
are secrets, so what a library says of them is scrubbed.
"""

import asyncio
import hashlib
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final, Protocol

from tbot_bot.config.env import EnvSettings
from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.scrub import scrub
from tbot_bot.core.instants import Duration, seconds

TIMEOUT_SECONDS: Final = 20.0
"""For one attempt, whatever the other side does."""
_TLS_PORT: Final = 465
_DETAIL_MAX: Final = 300
_CHAT_MAX: Final = 3_500
"""Characters of a chat message: Slack takes 40,000, but nobody reads them."""
_TRY_LATER: Final = frozenset({408, 425, 429})
PING_PREFIX: Final = "ping+"
"""`ping+https://...` in ALERT_URLS is an address that is visited while all is well: its silence is the alarm."""


class ChannelFailed(TbotError):
    """A message was not taken, as far as we know."""

    code = "CHANNEL"

    def __init__(self, detail: str, *, refused: bool = False, wait: Duration | None = None) -> None:
        """`refused`: the same again will hardly be taken; `wait`: how long we were asked to wait."""
        super().__init__(scrub(" ".join(detail.split()))[:_DETAIL_MAX])
        self.refused, self.wait = refused, wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message as channels take it."""

    id: str
    subject: str
    text: str
    html: str = ""
    images: Mapping[str, bytes]
    """Content id to PNG, for the HTML."""


class Channel(Protocol):
    """One place where messages go."""

    @property
    def name(self) -> str:
        """Return its name, which shows no secret."""
        ...

    async def send(self, letter: Letter) -> None:
        """Hand `letter` over.

        Raises:
            ChannelFailed: it was not taken, or nobody can tell.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MailChannel:
    """The owner's mail server. A password goes over TLS only, except to this very machine."""

    host: str
    port: int
    user: str
    password: str
    recipient: str
    timeout: float = TIMEOUT_SECONDS
    name: str = "mail"

    async def send(self, letter: Letter) -> None:
        """Hand `letter` to the mail server.

        Raises:
            ChannelFailed: see `Channel.send`.
        """
        import aiosmtplib  # noqa: PLC0415 - only where mail is sent

        login = bool(self.user and self.password)
        implicit = self.port == _TLS_PORT
        must = login and not is_this_machine(self.host)
        try:
            async with asyncio.timeout(self.timeout):
                await aiosmtplib.send(
                    mail_of(letter, sender=self._sender(), recipient=self.recipient),
                    hostname=self.host,
                    port=self.port,
                    username=self.user if login else None,
                    password=self.password if login else None,
                    use_tls=implicit,
                    start_tls=None if implicit or not must else True,
                    tls_context=ssl.create_default_context(),
                    timeout=self.timeout,
                )
        except TimeoutError:
            raise ChannelFailed(f"{self.host}:{self.port} did not answer within {self.timeout:g} s") from None
        except aiosmtplib.SMTPAuthenticationError as error:
            raise ChannelFailed(
                f"the mail server {self.host} refuses the login: {error.code} {error.message}. Look at SMTP_USER and"
                f" SMTP_PASS", refused=True,
            ) from None  # fmt: skip
        except aiosmtplib.SMTPResponseException as error:
            raise ChannelFailed(
                f"the mail server {self.host} says {error.code} {error.message}", refused=error.code >= 500  # noqa: PLR2004
            ) from None  # fmt: skip
        except aiosmtplib.SMTPRecipientsRefused as error:
            said = "; ".join(f"{one.code} {one.message}" for one in error.recipients)
            raise ChannelFailed(
                f"the mail server {self.host} does not take mail for ALERT_EMAIL: {said}",
                refused=all(one.code >= 500 for one in error.recipients),  # noqa: PLR2004
            ) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            hint = "; the server offers no TLS, and a password is not sent without" if "STARTTLS" in str(error) else ""
            raise ChannelFailed(f"{self.host}:{self.port}: {type(error).__name__}: {error}{hint}") from None

    def _sender(self) -> str:
        return self.user if "@" in self.user else self.recipient


def mail_of(letter: Letter, *, sender: str, recipient: str) -> EmailMessage:
    """Return the mail: plain text, with the HTML and its pictures beside it where there are any."""
    mail = EmailMessage()
    mail["Subject"] = letter.subject
    mail["From"], mail["To"] = sender, recipient
    mail["Message-ID"] = f"<{letter.id}@tbot.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(letter.text)
    if letter.html:
        mail.add_alternative(letter.html, subtype="html")
        parts = mail.get_payload()
        page = parts[-1] if isinstance(parts, list) else None
        if isinstance(page, EmailMessage):
            for name, data in letter.images.items():
                page.add_related(data, "image", "png", cid=f"<{name}>", disposition="inline", filename=f"{name}.png")
    return mail


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackChannel:
    """A Slack channel's incoming webhook."""

    url: str
    timeout: float = TIMEOUT_SECONDS
    name: str = "slack"

    async def send(self, letter: Letter) -> None:
        """Post `letter`.

        Raises:
            ChannelFailed: see `Channel.send`.
        """
        quoted = letter.text[:_CHAT_MAX].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        text = f"*{letter.subject}*\n```{quoted}```\n_{letter.id}_"
        await _request("POST", self.url, "Slack", self.timeout, json={"text": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlChannel:
    """Any service that apprise knows; the library is loaded with the first message."""

    url: str
    name: str
    timeout: float = TIMEOUT_SECONDS

    async def send(self, letter: Letter) -> None:
        """Hand `letter` to the service.

        Raises:
            ChannelFailed: see `Channel.send`.
        """
        try:
            async with asyncio.timeout(self.timeout):
                await asyncio.to_thread(self._send, letter)
        except TimeoutError:
            raise ChannelFailed(f"{self.name} did not answer within {self.timeout:g} s") from None

    def _send(self, letter: Letter) -> None:
        try:
            import apprise
        except ImportError:
            raise ChannelFailed("needs the extra `notify`: install apprise", refused=True) from None
        service = apprise.Apprise.instantiate(self.url)
        if not isinstance(service, apprise.NotifyBase):
            raise ChannelFailed(f"{self.name}: apprise knows no such service; see its list of URLs", refused=True)
        with apprise.LogCapture(level=apprise.logging.WARNING) as told:  # type: ignore[no-untyped-call]  # theirs
            done = service.notify(body=letter.text[:_CHAT_MAX], title=letter.subject)
            words = told.getvalue() if told is not None else ""
        if not done:  # an AppriseResult is never `is False`
            raise ChannelFailed(f"{self.name}: {words or 'not delivered'}")


async def ping(url: str, patience: float = TIMEOUT_SECONDS) -> None:
    """Visit a dead-man address once.

    Raises:
        ChannelFailed: it did not answer well.
    """
    await _request("GET", url, "the dead-man address", patience)


async def _request(method: str, url: str, whom: str, patience: float, json: Mapping[str, str] | None = None) -> None:
    import httpx2  # noqa: PLC0415 - only where something is sent

    try:
        async with asyncio.timeout(patience), httpx2.AsyncClient(timeout=patience) as client:
            answer = await client.request(method, url, json=json)
    except TimeoutError:
        raise ChannelFailed(f"{whom} did not answer within {patience:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:  # its text may hold the address; its name tells enough
        raise ChannelFailed(f"{whom}: {type(error).__name__}") from None
    if answer.is_success:
        return
    status = answer.status_code
    said = answer.text[:100]
    wait = answer.headers.get("Retry-After", "")
    raise ChannelFailed(
        f"{whom} answers {status} {said}",
        refused=400 <= status < 500 and status not in _TRY_LATER,  # noqa: PLR2004
        wait=seconds(min(int(wait), 3600)) if wait.isdigit() else None,
    )


def is_this_machine(host: str) -> bool:
    """Return whether `host` can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in {"localhost", "localhost.localdomain"}


def url_name(url: str) -> str:
    """Return a name for a service that tells it from others and tells no secret of it."""
    scheme = url.partition(":")[0]
    return f"{scheme}-{hashlib.sha256(url.encode()).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """What the settings name."""

    senders: tuple[Channel, ...]
    pings: tuple[str, ...]
    """Dead-man addresses."""
    missing: tuple[str, ...]
    """In words, what is half configured."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the channels' names."""
        return tuple(sender.name for sender in self.senders)


def channels_of(env: EnvSettings, timeout: float = TIMEOUT_SECONDS) -> Channels:
    """Return the channels that `.env` names; nothing is opened."""
    senders: list[Channel] = []
    missing = []
    if env.smtp_host and env.alert_email:
        password = env.smtp_pass.get_secret_value()
        senders.append(
            MailChannel(
                host=env.smtp_host, port=env.smtp_port, user=env.smtp_user, password=password,
                recipient=env.alert_email, timeout=timeout,
            )
        )  # fmt: skip
        if bool(env.smtp_user) is not bool(password):
            missing.append("mail without login: SMTP_USER and SMTP_PASS belong together")
    elif env.smtp_host or env.alert_email:
        missing.append(f"no mail: {'ALERT_EMAIL' if env.smtp_host else 'SMTP_HOST'} is empty")
    slack = env.slack_webhook_url.get_secret_value()
    if slack:
        senders.append(SlackChannel(url=slack, timeout=timeout))
    urls = [one.get_secret_value() for one in env.alert_urls]
    further = [url for url in urls if not url.startswith(PING_PREFIX)]
    senders += [UrlChannel(url=url, name=url_name(url), timeout=timeout) for url in further]
    pings = tuple(url.removeprefix(PING_PREFIX) for url in urls if url.startswith(PING_PREFIX))
    return Channels(senders=tuple(senders), pings=pings, missing=tuple(missing))


__all__ = [
    "PING_PREFIX", "TIMEOUT_SECONDS", "Channel", "ChannelFailed", "Channels", "Letter", "MailChannel", "SlackChannel",
    "UrlChannel", "channels_of", "is_this_machine", "mail_of", "ping", "url_name",
]  # fmt: skip
