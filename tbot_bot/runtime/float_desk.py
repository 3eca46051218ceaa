"""Floats put together: the owner's settings, what the journal knows, and the plan that follows. Talks to no bank."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.settings import Settings, load_settings
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.journal.store import JournalReader, open_reader
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.defense_mode import in_defense
from tbot_bot.trading.float_bot import FloatRules, RebalancePlan, is_check_day, rebalance
from tbot_bot.treasury.accounts import FloatAccounts, load_accounts
from tbot_bot.treasury.float_book import FloatBook, read_book

SIMULATED: Final = "sim"
"""The one broker of a test mode that has none enabled."""
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatView:
    """All that there is to say of the floats, at one moment."""

    rules: FloatRules
    plan: RebalancePlan
    book: FloatBook
    accounts: FloatAccounts | None
    """None where the owner has named none: then no limit is known, and nothing can be sent."""
    bank_objection: str
    """Why no transfer can be made; empty where one can."""
    at: Instant
    """The moment that readings are held against. In test mode days are rehearsed, so it is that of the last reading."""

    @property
    def day(self) -> date:
        """Return New York's day at that moment."""
        return exchange_time(self.at).date()


def rules_of(bot: BotSettings, journal: JournalReader | None) -> FloatRules:
    """Return what `bot` says of floats, and whether the bot defends itself: by its setting, or by `journal`."""
    return FloatRules(
        brokers=bot.enabled_brokers or (SIMULATED,),
        total_capital=bot.total_capital,
        reserve_fraction=bot.reserve_fraction,
        tolerance=bot.rebalance_tolerance,
        check_weekdays=tuple(day.number for day in bot.rebalance_days),
        trading_weekdays=tuple(day.number for day in bot.trading_days),
        defense=in_defense(journal, bot),
    )


def float_records(settings: Settings) -> OutputPaths:
    """Return the records that the bot of `settings` writes: the floats are read from their journal."""
    bot = settings.bot
    return records_for(settings.home, Mode.LIVE, test_mode=bot.test_mode, force_paper_export=bot.force_paper_export)


def look(home: Path, *, from_reserve: Decimal = ZERO) -> FloatView:
    """Return the floats of the installation at `home`, with the plan of this moment.

    Raises:
        ConfigError: the settings or `float_accounts.csv` cannot be used.
        JournalError: the journal is damaged.
    """
    settings = load_settings(home, defaults_if_absent=True)
    path = float_records(settings).journal
    with ExitStack() as stack:
        journal = stack.enter_context(open_reader(path)) if path.exists() else None
        return view_of(settings, journal, load_accounts(home), from_reserve=from_reserve)


def view_of(
    settings: Settings, journal: JournalReader | None, accounts: FloatAccounts | None, *, from_reserve: Decimal = ZERO
) -> FloatView:
    """Return the floats as `journal` knows them now."""
    rules = rules_of(settings.bot, journal)
    now = wall_now()
    book = read_book(journal, rules.brokers)
    at = now
    if settings.bot.test_mode:
        at = max((reading.read_at for reading in book.readings.values()), default=now)
    return FloatView(
        rules=rules,
        plan=rebalance(
            rules, book.readings, at=at, limits=_limits_left(accounts, book, now), from_reserve=from_reserve
        ),
        book=book,
        accounts=accounts,
        bank_objection=bank_objection(settings),
        at=at,
    )


def bank_objection(settings: Settings) -> str:
    """Return why no transfer can be made with `settings`; empty where one can."""
    env = settings.env
    if not env.mercury_api_token.get_secret_value():
        return "without a MERCURY_API_TOKEN there are plans only"
    if urlsplit(env.mercury_url).hostname in _LOOPBACK:
        return ""
    if settings.bot.test_mode:
        return "in test mode no bank is asked but one on this machine, at 127.0.0.1"
    on_paper = [broker for broker, mode in _modes(settings.bot) if mode is BrokerMode.PAPER]
    if on_paper:
        return f"{' and '.join(on_paper)} trades on paper, and no real money follows invented floats"
    return ""


def _modes(bot: BotSettings) -> tuple[tuple[str, BrokerMode], ...]:
    modes = (("alpaca", bot.alpaca_mode), ("ibkr", bot.ibkr_mode))
    return tuple((broker, mode) for broker, mode in modes if broker in bot.enabled_brokers)


def plan_note(settings: Settings, journal: JournalReader, day: date) -> str:
    """Return what the supervisor notes of the floats at the end of `day`; empty on a day without a check.

    Raises:
        ConfigError, JournalError: see `look`.
    """
    if not is_check_day(rules_of(settings.bot, journal), day):
        return ""
    return "; ".join(plan_lines(view_of(settings, journal, load_accounts(settings.home)).plan))


def plan_lines(plan: RebalancePlan) -> tuple[str, ...]:
    """Return `plan` in words, a line a fact."""
    if plan.blocked:
        return tuple(f"no rebalance plan: {reason}" for reason in plan.blocked)
    lines = [f"{one.source} sends {dollars(one.amount)} to {one.destination}" for one in plan.transfers]
    lines += [
        f"{one.source} would send {dollars(one.amount)} more to {one.destination}; left for a later day by {one.why}"
        for one in plan.carried
    ]
    if plan.reserve_needed:
        lines.append(
            f"the brokers lack {dollars(plan.reserve_needed)} together; a plan stops at the reserve, "
            "which gives only by an authorization of its own (--from-reserve)"
        )
    if plan.excess:
        lines.append(f"the brokers have {dollars(plan.excess)} too much together; it stays with them")
    if not lines:
        return ("every float is within tolerance; nothing to send",)
    return (f"rebalance plan {plan.plan_id}", *lines)


def dollars(amount: Decimal) -> str:
    """Return `amount` as people write it, to the cent."""
    return f"{amount:,.2f}"


def _limits_left(accounts: FloatAccounts | None, book: FloatBook, now: Instant) -> Mapping[str, Decimal]:
    """Return what may still leave each account today; the bank's day is a real one, also in test mode."""
    if accounts is None:
        return {}
    sent = book.sent_on(exchange_time(now).date())
    return {name: max(limit - sent.get(name, ZERO), ZERO) for name, limit in accounts.limits.items()}


__all__ = [
    "FloatView",
    "bank_objection",
    "dollars",
    "float_records",
    "look",
    "plan_lines",
    "plan_note",
    "rules_of",
    "view_of",
]
