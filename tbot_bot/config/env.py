"""Where things are and what is secret: every variable of `.env`, as one frozen model."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import SecretStr

from tbot_bot.config.choices import BrokerMode, Environment
from tbot_bot.config.fields import Kind, choice, duration, flag, relative_path, secret, secrets, whole, words
from tbot_bot.config.model import SettingsGroup
from tbot_bot.core.instants import MINUTE, SECOND, Duration

_NO_SECRET = SecretStr("")
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_LOOPBACK = r"(?:localhost|127\.0\.0\.1|\[::1\])"
_LATER = r"(?::[0-9]{1,5})?(?:/[^\s@,?#]*)?"
_ADDRESS = r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*|localhost)"
_WEBHOOK = r"|https://\S+|http://(127\.0\.0\.1|localhost)[:/]\S*"  # a relay on this machine needs no TLS
_ONE_URL = r"[a-z][a-z0-9+.-]*://[^\s,]+"
_PLACE = r"|(?![A-Za-z][A-Za-z0-9+.-]*://)[^\x00-\x1f]{1,1000}|(?:s3|sftp)://[^\s]{1,2000}"
_PLACES = "nothing, a folder, s3://bucket/prefix?endpoint=... or sftp://user@host/folder"


def _url(description: str, *, socket: bool = False, may_be_empty: bool = False) -> Kind:
    scheme = "ws" if socket else "http"
    pattern = rf"{scheme}s://{_HOST}{_LATER}|{scheme}://{_LOOPBACK}{_LATER}"
    empty = "nothing, or " if may_be_empty else ""
    expected = f"{empty}a URL {scheme}s://host without a login or a query ({scheme}:// only for this machine)"
    return words(description, expected, f"|{pattern}" if may_be_empty else pattern)


def _port(description: str) -> Kind:
    return whole(description, 1, 65_535)


def _key(description: str) -> Kind:
    """Return the kind of a key that is sent in a header; what no key contains came with a careless copy."""
    return secret(description, "a key of letters, digits and signs without spaces, or nothing", r"[!-~]{0,500}")


def _text(description: str) -> Kind:
    return words(description, "a text, or nothing", r"[^\x00-\x1f]{0,300}")


class Installation(SettingsGroup):
    """This installation."""

    title: ClassVar[str] = "Installation"

    environment: Annotated[
        Environment, choice(Environment, "In production only the encrypted .env_bot.enc is read.")
    ] = Environment.DEVELOPMENT
    control_dir: Annotated[Path, relative_path("Folder of the start, stop and kill files.")] = Path("control")
    env_bot_path: Annotated[Path, relative_path("The file that says how to trade.")] = Path(".env_bot")
    database_url: Annotated[
        SecretStr,
        secret(
            "Database of the records; empty: the embedded one.",
            "nothing, or a PostgreSQL URL postgresql://...",
            r"|postgres(?:ql)?://[^\s]+",
        ),
    ] = _NO_SECRET
    encryption_key: Annotated[
        SecretStr,
        secret(
            "Key of .env_bot.enc; the ENCRYPTION_KEY of the process environment goes before this one.",
            "nothing, or 32 bytes as 44 characters of urlsafe base64",
            r"|[A-Za-z0-9_-]{43}=",
        ),
    ] = _NO_SECRET


class Dashboard(SettingsGroup):
    """The optional dashboard."""

    title: ClassVar[str] = "Dashboard"

    local: Annotated[bool, flag("Listen on the local address; false: on the remote one.")] = True
    local_ip: Annotated[str, words("Local address.", "an IP address or localhost", _ADDRESS)] = "127.0.0.1"
    local_port: Annotated[int, _port("Local port.")] = 6900
    remote_ip: Annotated[str, words("Address that other machines reach.", "an IP address", _ADDRESS)] = "127.0.0.1"
    remote_port: Annotated[int, _port("Port that other machines reach.")] = 6900
    username: Annotated[str, _text("Login name; empty: nobody can log in.")] = ""
    encrypted_password: Annotated[SecretStr, secret("Hash of the password, from tools/encrypt_password.py.")] = (
        _NO_SECRET
    )
    session_timeout: Annotated[
        Duration, duration("Idle time after which a login ends.", MINUTE, Duration(86_400 * SECOND), SECOND)
    ] = Duration(3000 * SECOND)


class MarketData(SettingsGroup):
    """Finnhub, and where the VIX is read without a key."""

    title: ClassVar[str] = "Market data"

    finnhub_api_key: Annotated[SecretStr, _key("Key of the Finnhub account.")] = _NO_SECRET
    finnhub_url: Annotated[str, _url("Finnhub's interface.")] = "https://finnhub.io/api/v1"
    yahoo_url: Annotated[str, _url("Yahoo's charts, for the VIX alone.")] = "https://query1.finance.yahoo.com"


class Alpaca(SettingsGroup):
    """Alpaca; the URLs also make the sandbox reachable."""

    title: ClassVar[str] = "Alpaca"

    alpaca_paper_api_key: Annotated[SecretStr, _key("Key of the paper account.")] = _NO_SECRET
    alpaca_paper_secret_key: Annotated[SecretStr, _key("Secret of the paper account.")] = _NO_SECRET
    alpaca_live_api_key: Annotated[SecretStr, _key("Key of the live account.")] = _NO_SECRET
    alpaca_live_secret_key: Annotated[SecretStr, _key("Secret of the live account.")] = _NO_SECRET
    alpaca_paper_url: Annotated[str, _url("Trading interface, paper.")] = "https://paper-api.alpaca.markets"
    alpaca_live_url: Annotated[str, _url("Trading interface, live.")] = "https://api.alpaca.markets"
    alpaca_data_url: Annotated[str, _url("Market data.")] = "https://data.alpaca.markets"
    alpaca_stream_url: Annotated[str, _url("Streaming market data.", socket=True)] = "wss://stream.data.alpaca.markets"


class Ibkr(SettingsGroup):
    """Interactive Brokers, through IB Gateway or TWS."""

    title: ClassVar[str] = "Interactive Brokers"

    ibkr_host: Annotated[str, words("Machine of the gateway.", "a host name or address", f"{_HOST}|{_ADDRESS}")] = (
        "127.0.0.1"
    )
    ibkr_paper_port: Annotated[int, _port("Port of the paper gateway.")] = 4002
    ibkr_live_port: Annotated[int, _port("Port of the live gateway.")] = 4001
    ibkr_client_id: Annotated[
        int, whole("Number of our connection; no other program may use it. 0 would take over manual orders.", 1, 31_999)
    ] = 1
    ibkr_paper_account_number: Annotated[SecretStr, _key("Paper account.")] = _NO_SECRET
    ibkr_live_account_number: Annotated[SecretStr, _key("Live account.")] = _NO_SECRET
    ibkr_paper_username: Annotated[str, _text("Login of the paper gateway itself, for its unattended start.")] = ""
    ibkr_paper_password: Annotated[SecretStr, secret("Password of the paper gateway itself.")] = _NO_SECRET
    ibkr_live_username: Annotated[str, _text("Login of the live gateway itself, for its unattended start.")] = ""
    ibkr_live_password: Annotated[SecretStr, secret("Password of the live gateway itself.")] = _NO_SECRET


class Alerts(SettingsGroup):
    """Where alerts go."""

    title: ClassVar[str] = "Alerts"

    smtp_host: Annotated[str, words("Mail server; empty: no mail.", "nothing, or a host name", f"|{_HOST}")] = ""
    smtp_port: Annotated[int, _port("Port of the mail server.")] = 587
    smtp_user: Annotated[str, _text("Login at the mail server.")] = ""
    smtp_pass: Annotated[SecretStr, secret("Password at the mail server.")] = _NO_SECRET
    alert_email: Annotated[
        str, words("Who gets the mail.", "nothing, or one mail address", r"|[^\s@,;]+@[^\s@,;]+")
    ] = ""
    slack_webhook_url: Annotated[
        SecretStr, secret("Slack channel; the URL is the password.", "nothing, or a URL https://...", _WEBHOOK)
    ] = _NO_SECRET
    alert_urls: Annotated[
        tuple[SecretStr, ...],
        secrets("Any further notification service.", "nothing, or URLs parted by commas (write %2C inside)", _ONE_URL),
    ] = ()


class Backups(SettingsGroup):
    """Copies outside this machine."""

    title: ClassVar[str] = "Backups"

    backup_remote: Annotated[SecretStr, secret("First place for copies: folder, S3 or SFTP URL.", _PLACES, _PLACE)] = (
        _NO_SECRET
    )
    backup_remote_second: Annotated[SecretStr, secret("Second place for copies.", _PLACES, _PLACE)] = _NO_SECRET
    backup_recipient_key: Annotated[
        SecretStr,
        secret(
            "Public key that backups are encrypted for as well; `tbot backup key` makes one.",
            "nothing, or the 44 characters that `tbot backup key` prints",
            r"|[A-Za-z0-9_-]{43}=",
        ),
    ] = _NO_SECRET


class Bank(SettingsGroup):
    """Transfers of the float."""

    title: ClassVar[str] = "Bank"

    mercury_api_token: Annotated[SecretStr, _key("Token of the bank account; empty: plans only.")] = _NO_SECRET
    mercury_url: Annotated[str, _url("The bank's interface.")] = "https://api.mercury.com/api/v1"


class CompanyBooks(SettingsGroup):
    """The firm's own books in Manager.io."""

    title: ClassVar[str] = "Company books"

    manager_url: Annotated[
        str, _url("Interface of the Manager.io business, for `tbot ledger push`.", may_be_empty=True)
    ] = ""
    manager_api_key: Annotated[SecretStr, _key("Access token of that business.")] = _NO_SECRET


class EnvSettings(Installation, Dashboard, MarketData, Alpaca, Ibkr, Alerts, Backups, Bank, CompanyBooks):
    """Where things are and what is secret. Build it with `load_settings`."""

    @property
    def dashboard_address(self) -> tuple[str, int]:
        """Return the address and port on which the dashboard listens."""
        return (self.local_ip, self.local_port) if self.local else (self.remote_ip, self.remote_port)

    def alpaca_keys(self, mode: BrokerMode) -> tuple[SecretStr, SecretStr]:
        """Return key and secret of the account that `mode` trades."""
        if mode is BrokerMode.LIVE:
            return self.alpaca_live_api_key, self.alpaca_live_secret_key
        return self.alpaca_paper_api_key, self.alpaca_paper_secret_key

    def ibkr_account(self, mode: BrokerMode) -> SecretStr:
        """Return the number of the account that `mode` trades."""
        return self.ibkr_live_account_number if mode is BrokerMode.LIVE else self.ibkr_paper_account_number
