"""The way to real brokers for whoever closes our positions without the session: kill path, dead-man path, guard.

Which accounts: those that the last session's runner left word of, and those that the settings name. What cannot be
read in the settings is taken from that word, or from the built-in values; a live account is reached only where the
settings, or where they cannot tell the session's own, are not in test mode.

What is ours: every order that bears a name of our making, of the session's day and this broker. The journal is not
asked: it may be broken or new, and nobody else makes such names.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.error_handler import ConfigError, TbotError
from tbot_bot.config.settings import Settings, load_settings, salvaged_settings
from tbot_bot.core.errors import BrokerProblem, BrokerRefused, CredentialsRejected
from tbot_bot.core.identity import Mode, OrderName, SessionId, TradeName
from tbot_bot.core.instants import Instant, instant
from tbot_bot.core.protocols import Broker
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.flattening import is_of_our_making
from tbot_bot.runtime.market_source import is_embedded
from tbot_bot.runtime.runner_arguments import RunnerArguments
from tbot_bot.runtime.session_brokers import SessionBrokers, session_brokers

REAL: Final = ("alpaca", "ibkr")
LOOKING_CLIENT_ID: Final = 32_001
"""Where a runner may be alive and hold its own; nothing can be cancelled under it, and nothing is."""
_CONNECT_AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RealReach:
    """Which real accounts there may be something of ours in."""

    settings: Settings
    session: SessionId
    """The newest one that traded there, as far as is known."""
    days: frozenset[tuple[date, int]]
    """Days and runs whose orders are ours."""
    brokers: tuple[str, ...] = ()
    ibkr_client_id: int | None = None
    problems: tuple[str, ...] = ()
    """Accounts that are not reached, and why."""
    remarks: tuple[str, ...] = ()
    """What is odd, and hinders nothing."""

    @property
    def mode(self) -> Mode:
        """Return which books a session with these settings writes."""
        bot = self.settings.bot
        test, paper = bot.test_mode, bot.force_paper_export
        return records_for(self.settings.home, Mode.LIVE, test_mode=test, force_paper_export=paper).mode

    @property
    def since(self) -> Instant:
        """Return from when on orders are looked at: the evening before the first of the days, in New York."""
        first = min(day for day, _ in self.days)
        return instant(datetime(first.year, first.month, first.day, tzinfo=UTC))

    def ours(self, broker: str) -> Callable[[str], bool]:
        """Return what judges the client order ids at `broker`."""

        def of_these_days(trade: TradeName) -> bool:
            return trade.broker == broker and (trade.session.day, trade.session.run) in self.days

        return lambda order_id: OrderName.parse(order_id) is not None and is_of_our_making(order_id, of_these_days)


def real_reach(home: Path, control: Path, request: RunnerArguments | None, *, everywhere: bool) -> RealReach | None:
    """Return which real accounts are to be looked at; None: none.

    `request` is the session at hand, None where none is known. `everywhere`: whatever it is, the accounts of the last
    session that traded at real ones are looked at, too; else only where it is of the same day and run.
    """
    word = session_brokers(control)
    if word is not None and not everywhere and (request is None or not word.is_of_day(request.session)):
        word = None
    asked = None if request is None or request.rehearsal else request
    overrides = dict(asked.overrides if asked is not None else ())
    if word is not None and (asked is None or word.is_of_day(asked.session)):
        overrides = dict(word.request.overrides) | overrides
    settings, knows, remark = _settings(home, overrides)
    remarks = (remark,) if remark else ()
    named = () if is_embedded(settings.bot) else tuple(name for name in settings.bot.enabled_brokers if name in REAL)
    if word is None:
        if asked is None or not named:
            return None
        days = frozenset({(asked.session.day, asked.session.run)})
        return RealReach(settings=settings, session=asked.session, days=days, brokers=named, remarks=remarks)
    days = frozenset({(word.session.day, word.session.run)})
    if asked is not None and named:
        days |= {(asked.session.day, asked.session.run)}
    settings, problems = _of_the_session(settings, word, knows)
    brokers = tuple(dict.fromkeys([*(name for name, _ in word.modes), *named])) if not problems else named
    return RealReach(
        settings=settings,
        session=word.session,
        days=days,
        brokers=brokers,
        ibkr_client_id=word.ibkr_client_id,
        problems=problems,
        remarks=remarks,
    )


def _settings(home: Path, overrides: dict[str, str]) -> tuple[Settings, Callable[[str], bool], str]:
    try:
        return load_settings(home, overrides, defaults_if_absent=False), lambda _: True, ""
    except (ConfigError, OSError) as error:
        found = salvaged_settings(home, overrides)
        told = f"the settings cannot be used, so the brokers are reached by what can be read of them: {error}"
        return found.settings, found.knows, told


def _of_the_session(
    settings: Settings, word: SessionBrokers, knows: Callable[[str], bool]
) -> tuple[Settings, tuple[str, ...]]:
    """Return `settings` with the accounts that the session traded at, and those that must not be reached."""
    bot, modes = settings.bot, dict(word.modes)
    live = [name for name, mode in word.modes if mode is BrokerMode.LIVE]
    if live and knows("TEST_MODE") and bot.test_mode:
        mend = "set TEST_MODE=false again, or look at the broker yourself"
        names = ", ".join(live)
        return settings, (
            f"{names}: {word.session} traded a live account, and the settings are in test mode now: {mend}",
        )
    update = {
        "test_mode": word.test_mode,
        "alpaca_mode": modes.get("alpaca", bot.alpaca_mode),
        "ibkr_mode": modes.get("ibkr", bot.ibkr_mode),
    }
    return replace(settings, bot=bot.model_copy(update=update)), ()


def adapter(
    reach: RealReach, name: str, *, now: Callable[[], Instant], tell: Callable[[str], None], looking: bool
) -> Broker:
    """Return the adapter of one of the brokers, not connected.

    Under the session's own client id, so that its orders can be cancelled: the caller holds the runner's lock. Who is
    only `looking` holds no lock, and comes as somebody else.

    Raises:
        ConfigError, MachineError, LogicError: it cannot be built.
    """
    from tbot_bot.runtime.live_brokers import live_broker  # noqa: PLC0415 - imports client libraries

    client_id = LOOKING_CLIENT_ID if looking else reach.ibkr_client_id
    return live_broker(name, reach.settings, now=now, note=tell, ibkr_client_id=client_id)


async def connected(broker: Broker, late: Callable[[], bool]) -> str:
    """Connect `broker`, as often as it takes until `late`; return why it cannot be reached, empty where it can."""
    while True:
        try:
            await broker.connect()
        except (CredentialsRejected, BrokerRefused) as problem:
            return f"{broker.name} cannot be reached: {problem}"
        except BrokerProblem as problem:
            if late():
                return f"{broker.name} cannot be reached: {problem}"
            await asyncio.sleep(_CONNECT_AGAIN_SECONDS)
        else:
            return ""


@asynccontextmanager
async def reached(
    reach: RealReach, *, now: Callable[[], Instant], tell: Callable[[str], None], looking: bool
) -> AsyncIterator[tuple[Sequence[Broker], Sequence[str]]]:
    """Give the brokers that answer at once, connected, and what keeps us from the others."""
    found: list[Broker] = []
    problems = list(reach.problems)
    try:
        for name in reach.brokers:
            try:
                broker = adapter(reach, name, now=now, tell=tell, looking=looking)
            except TbotError as error:
                problems.append(f"{name} cannot be reached: {error}")
                continue
            found.append(broker)
        whys = await asyncio.gather(*(connected(broker, lambda: True) for broker in found))
        problems += filter(None, whys)
        yield [broker for broker, why in zip(found, whys, strict=True) if not why], problems
    finally:
        for broker in found:
            await broker.close()


__all__ = ["REAL", "RealReach", "adapter", "connected", "reached", "real_reach"]
