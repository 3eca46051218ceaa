"""Which gateway and which account the settings name."""

from typing import Final

from tbot_bot.broker.ibkr_link import Endpoint
from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.error_handler import ConfigError, ConfigProblem
from tbot_bot.config.settings import Settings
from tbot_bot.core.instants import SECOND

DEADLINE_SECONDS_MAX: Final = 5.0
"""A gateway on this machine that needs longer for one answer is not well, however patient `API_TIMEOUT` is.

A session does nothing else while an order waits for its answer, which takes one deadline and a quarter at a mute
gateway: two such orders in a row have to end before the supervisor takes the session for blind.
"""


def ibkr_endpoint(settings: Settings, client_id: int | None = None) -> tuple[Endpoint, bool]:
    """Return where to connect, and whether that is the live account; in test mode it never is.

    Raises:
        ConfigError: no account number, or one of the other kind: paper accounts begin with D, live ones do not.
    """
    bot, env = settings.bot, settings.env
    mode = BrokerMode.PAPER if bot.test_mode else bot.ibkr_mode
    live = mode is BrokerMode.LIVE
    account = env.ibkr_account(mode).get_secret_value()
    variable = f"IBKR_{mode.name}_ACCOUNT_NUMBER"
    if not account or account.upper().startswith("D") is live:
        kind = "a live account, whose number does not begin with D" if live else "a paper account, beginning with D"
        mend = "the gateway shows it in its title bar"
        raise ConfigError([ConfigProblem(file=".env", variable=variable, expected=f"the number of {kind}", mend=mend)])
    endpoint = Endpoint(
        host=env.ibkr_host,
        port=env.ibkr_live_port if live else env.ibkr_paper_port,
        client_id=env.ibkr_client_id if client_id is None else client_id,
        account=account,
        deadline_seconds=min(bot.api_timeout / SECOND, DEADLINE_SECONDS_MAX),
    )
    return endpoint, live
