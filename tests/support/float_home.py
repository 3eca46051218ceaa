"""An installation whose journal knows two brokers' accounts, with a bank behind them."""

from datetime import date
from decimal import Decimal

from tbot_bot.core.calendar import trading_day
from tbot_bot.core.codec import loads
from tbot_bot.core.events import AccountsRead
from tbot_bot.core.identity import Mode
from tbot_bot.core.orders import Account
from tbot_bot.journal.store import Entry, Journal, Kind, journal_path, open_reader
from tests.support.bank_stand_in import TOKEN

DAY = date(2025, 9, 4)
ACCOUNTS = """name,account_id,daily_limit
alpaca,acc-alpaca,1000000
ibkr,acc-ibkr,1000000
reserve,acc-reserve,1000000
"""
SETTINGS = "ALPACA_ENABLED=true\nIBKR_ENABLED=true\nTOTAL_CAPITAL=400000\n"
BALANCES = {"acc-alpaca": "200000", "acc-ibkr": "200000", "acc-reserve": "200000"}


def furnish(home, bank_url="", *, token=TOKEN, settings=SETTINGS, accounts=ACCOUNTS):
    """Write the settings of an installation; without `accounts` there is no such file."""
    home.mkdir(exist_ok=True)
    lines = [f"MERCURY_API_TOKEN={token}", *([f"MERCURY_URL={bank_url}"] if bank_url else [])]
    (home / ".env").write_text("\n".join([*lines, ""]), encoding="ascii")
    (home / ".env_bot").write_text(settings, encoding="ascii")
    if accounts:
        (home / "float_accounts.csv").write_text(accounts, encoding="ascii")
    return home


def read_accounts(home, *, day=DAY, session="open", **equities):
    """Put what a session's open read into the journal: `alpaca="150000"`."""
    at = trading_day(day).open_at
    row = AccountsRead(at=at, accounts=tuple(_account(name, Decimal(equity)) for name, equity in equities.items()))
    with Journal.open(_path(home), Mode.PAPER) as journal:
        journal.append(
            [
                Entry.of(
                    row, kind=Kind.INPUT, at=at, recorded_at=at, session=f"{day.isoformat()}/{session}", input_number=1
                )
            ]
        )


def told(home):
    """Return the names of the transfers' rows in the journal, in order."""
    with open_reader(_path(home)) as journal:
        return [type(loads(row.payload)).__name__ for row in journal.rows(session="", kind=Kind.CONTROL)]


def control_rows(home):
    """Return the rows themselves."""
    with open_reader(_path(home)) as journal:
        return [loads(row.payload) for row in journal.rows(session="", kind=Kind.CONTROL)]


def _account(name, equity):
    return Account(broker=name, equity=equity, cash=equity, buying_power=equity, settled_cash=equity)


def _path(home):
    return journal_path(home / "output" / "journal", Mode.PAPER)
