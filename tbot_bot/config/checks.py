"""Cross checks: what no variable can tell alone. Each is a function from the settings to objections; all are asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Final

from tbot_bot.config.choices import BrokerMode, SessionAnchor, TestModeVenue
from tbot_bot.config.env import EnvSettings
from tbot_bot.config.env_bot import BotSettings, StrategySettings
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import HOUR, MINUTE
from tbot_bot.core.money import ONE, plain

_SUM_TOLERANCE: Final = Decimal("1e-9")
# New York's regular hours, 9:30 to 16:00, in UTC: standard time, and the hour that daylight saving takes off both.
_OPEN_MINUTE: Final = 14 * 60 + 30
_CLOSE_MINUTE: Final = 21 * 60
_DAYLIGHT_SAVING_MINUTES: Final = HOUR // MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """What a check has against the settings; the first of `variables` is the one to look at."""

    variables: tuple[str, ...]
    expected: str
    mend: str
    missing: bool = False
    """Whether the first of `variables` has to be there and is not."""


Check = Callable[[EnvSettings, BotSettings], Iterator[Objection]]


def objections(env: EnvSettings, bot: BotSettings) -> tuple[Objection, ...]:
    """Return what all checks have against the settings."""
    return tuple(objection for check in CHECKS for objection in check(env, bot))


def weights(_env: EnvSettings, bot: BotSettings) -> Iterator[Objection]:
    """Object to weights that are not one for each trade, or do not share out the whole budget."""
    involved = ("WEIGHTS", "MAX_TRADES")
    if len(bot.weights) != bot.max_trades:
        yield Objection(
            variables=involved,
            expected=f"as many weights as MAX_TRADES={bot.max_trades}, not {len(bot.weights)}",
            mend="add or remove weights, or change MAX_TRADES",
        )
    total = sum(bot.weights, Decimal(0))
    if abs(total - ONE) > _SUM_TOLERANCE:
        yield Objection(
            variables=("WEIGHTS",), expected=f"weights that sum to 1, not {plain(total)}", mend="change the weights"
        )


def largest_trade(_env: EnvSettings, bot: BotSettings) -> Iterator[Objection]:
    """Object to a budget that a lone candidate, who gets all of it, may not spend."""
    if bot.max_risk_per_trade < bot.total_allocation:
        yield Objection(
            variables=("MAX_RISK_PER_TRADE", "TOTAL_ALLOCATION"),
            expected=f"at least TOTAL_ALLOCATION={plain(bot.total_allocation)}, which a lone candidate gets whole",
            mend="raise MAX_RISK_PER_TRADE or lower TOTAL_ALLOCATION",
        )


def ranges(_env: EnvSettings, bot: BotSettings) -> Iterator[Objection]:
    """Object to a least that is above its most."""
    pairs = [("MIN_PRICE", bot.min_price, "MAX_PRICE", bot.max_price)]
    for name in StrategyName:
        chosen, suffix = bot.strategy(name), name.name
        pairs.append(
            (f"MIN_MARKET_CAP_{suffix}", chosen.min_market_cap, f"MAX_MARKET_CAP_{suffix}", chosen.max_market_cap)
        )
    for low, least, high, most in pairs:
        if least > most:
            yield Objection(variables=(low, high), expected=f"at most {high}={plain(most)}", mend="swap the two")


def windows(_env: EnvSettings, bot: BotSettings) -> Iterator[Objection]:
    """Object to sessions outside a normal trading day, and to sessions that would run at the same time."""
    day_open, day_close = _OPEN_MINUTE, _CLOSE_MINUTE
    if bot.session_anchor is SessionAnchor.UTC:  # literal times: half of the year the day is an hour earlier
        day_open -= _DAYLIGHT_SAVING_MINUTES
    chosen = sorted(map(bot.strategy, bot.strategies), key=_start)
    for session in chosen:
        if _start(session) < day_open or _end(session) > day_close:
            yield Objection(
                variables=(*_window_variables(session), "SESSION_ANCHOR"),
                expected=f"a session between {_hhmm(day_open)} and {_hhmm(day_close)} UTC, "
                f"not {_hhmm(_start(session))} to {_hhmm(_end(session))} (analysis, breakout and monitoring)",
                mend="move the start or shorten the session",
            )
    for before, after in pairwise(chosen):
        if _end(before) > _start(after):
            yield Objection(
                variables=(*_window_variables(after), *_window_variables(before)),
                expected=f"a start at or after {_hhmm(_end(before))} UTC, when {before.name.name} ends",
                mend=f"start {after.name.name} later, or shorten {before.name.name}",
            )


def capital(_env: EnvSettings, bot: BotSettings) -> Iterator[Objection]:
    """Object to trading for real with a capital that nobody wrote down."""
    if not bot.test_mode and "total_capital" not in bot.model_fields_set:
        yield Objection(
            variables=("TOTAL_CAPITAL", "TEST_MODE"),
            expected="this variable, because TEST_MODE is false",
            mend="add TOTAL_CAPITAL=what the firm has, in dollars",
            missing=True,
        )


def brokers(_env: EnvSettings, bot: BotSettings) -> Iterator[Objection]:
    """Object to nobody to trade with."""
    switches = tuple(f"{name}_ENABLED" for name in ("ALPACA", "IBKR", "TRADIER", "WEBULL", "ROBINHOOD"))
    if not bot.enabled_brokers and not bot.test_mode:
        yield Objection(
            variables=switches, expected="at least one enabled broker", mend="set one of the *_ENABLED to true"
        )
    elif _at_paper_endpoints(bot) and not (bot.alpaca_enabled or bot.ibkr_enabled):
        yield Objection(
            variables=("TEST_MODE_VENUE", "TEST_MODE", *switches[:2]),
            expected="simulator, because no broker with a paper endpoint is enabled",
            mend="write simulator, or enable Alpaca or IBKR",
        )


def credentials(env: EnvSettings, bot: BotSettings) -> Iterator[Objection]:
    """Object to an enabled broker at which we could not log in; the simulator needs no login."""
    if bot.test_mode and not _at_paper_endpoints(bot):
        return
    if bot.alpaca_enabled:
        mode = BrokerMode.PAPER if bot.test_mode else bot.alpaca_mode
        involved = ("ALPACA_ENABLED", "ALPACA_MODE", "TEST_MODE", "TEST_MODE_VENUE")
        names = (f"ALPACA_{mode.name}_API_KEY", f"ALPACA_{mode.name}_SECRET_KEY")
        for name, key in zip(names, env.alpaca_keys(mode), strict=True):
            if not key.get_secret_value():
                yield _missing(name, involved, f"Alpaca in {mode} mode")
    if bot.ibkr_enabled:
        mode = BrokerMode.PAPER if bot.test_mode else bot.ibkr_mode
        involved = ("IBKR_ENABLED", "IBKR_MODE", "TEST_MODE", "TEST_MODE_VENUE")
        if not env.ibkr_account(mode).get_secret_value():
            yield _missing(f"IBKR_{mode.name}_ACCOUNT_NUMBER", involved, f"IBKR in {mode} mode")


CHECKS: Final[tuple[Check, ...]] = (weights, largest_trade, ranges, windows, capital, brokers, credentials)


def _missing(name: str, involved: tuple[str, ...], user: str) -> Objection:
    return Objection(
        variables=(name, *involved),
        expected=f"a credential, because {user} is enabled",
        mend="fill it in, or disable the broker",
        missing=True,
    )


def _at_paper_endpoints(bot: BotSettings) -> bool:
    return bot.test_mode and bot.test_mode_venue is TestModeVenue.BROKER_PAPER


def _start(session: StrategySettings) -> int:
    return session.start_time.hour * 60 + session.start_time.minute


def _end(session: StrategySettings) -> int:
    return _start(session) - (-session.window // MINUTE)  # rounded up to the minute


def _hhmm(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _window_variables(session: StrategySettings) -> tuple[str, ...]:
    name = session.name.name
    spans = tuple(f"{name}_{part}_TIME" for part in ("ANALYSIS", "BREAKOUT", "MONITORING"))
    return (f"START_TIME_{name}", *spans, f"STRAT_{name}_ENABLED", "STRATEGY_SEQUENCE", "STRATEGY_OVERRIDE")
