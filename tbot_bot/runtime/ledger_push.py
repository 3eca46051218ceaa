"""`tbot ledger push`: the ledger's documents into the company's own books in Manager.io."""

from collections.abc import Callable
from pathlib import Path

from tbot_bot.accounting.accounting_config import BooksConfig
from tbot_bot.accounting.ledger_reader import open_ledger_reader
from tbot_bot.accounting.manager_exporter import bodies
from tbot_bot.accounting.manager_push import ManagerClient, Pushed, push
from tbot_bot.config.error_handler import ConfigError, ConfigProblem
from tbot_bot.config.settings import ENV_FILE, Settings
from tbot_bot.core.instants import SECOND
from tbot_bot.runtime.ledger_export import mapping_at
from tbot_bot.runtime.locks import Lock


def push_to_company_books(
    config: BooksConfig, settings: Settings, mapping: Path, reach: Callable[[int], None]
) -> Pushed:
    """Post what the business at MANAGER_URL does not have yet; only one process at a time does.

    Raises:
        ConfigError: there is no address or no key.
        AlreadyRunning: another push is under way.
        LedgerError: the ledger or the mapping cannot be read, or lacks an account.
        PushFailed: the business could not be asked, or has not taken a document.
    """
    url, key = settings.env.manager_url, settings.env.manager_api_key.get_secret_value()
    _require(url, key)
    business, bot = mapping_at(mapping), settings.bot
    deadline, tries = bot.api_timeout / SECOND, 1 + bot.api_retry_limit
    with (
        open_ledger_reader(config.ledger) as ledger,
        Lock(config.ledger.with_name(f"{config.ledger.stem}.push.lock")),
        ManagerClient(url, key, deadline_seconds=deadline, tries=tries) as client,
    ):
        return push(client, list(bodies(ledger, business)), reach)


def _require(url: str, key: str) -> None:
    lacking = [name for name, value in (("MANAGER_URL", url), ("MANAGER_API_KEY", key)) if not value]
    if lacking:
        mend = "Manager shows both under its settings, Access Tokens"
        raise ConfigError(
            [
                ConfigProblem(file=ENV_FILE, variable=name, expected="that of the business to post to", mend=mend)
                for name in lacking
            ]
        )


__all__ = ["push_to_company_books"]
