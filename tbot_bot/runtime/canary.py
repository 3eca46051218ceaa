"""The canary before the open: does the way to the market work today, before anything depends on it.

Disk, clock, journal, alerts, and each broker: authenticate, read the account, quote, place an order far from the market
under a name of its own, cancel it. In its quick form, for embedded markets and compressed clocks, the order goes to a
simulated venue in memory and no broker is asked.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from tbot_bot.broker.broker_sim import SimulatedBroker
from tbot_bot.broker.matching import Venue
from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.error_handler import BrokerError, MachineError, TbotError
from tbot_bot.config.named_files import universe_symbols
from tbot_bot.config.scrub import scrub
from tbot_bot.config.settings import Settings
from tbot_bot.core.errors import BrokerProblem
from tbot_bot.core.identity import Leg, SessionId, StrategyName, client_order_id, trade_id
from tbot_bot.core.instants import SECOND, iso
from tbot_bot.core.instruments import equity
from tbot_bot.core.money import plain
from tbot_bot.core.orders import BrokerOrder, OrderRequest, OrderType, Side
from tbot_bot.core.protocols import Broker
from tbot_bot.journal.canary import CanaryRun, CanaryStep
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.noted import Noted
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.runtime.alert_keeper import ALERTS_LOCK, wanted
from tbot_bot.runtime.build_check import FREE_BYTES_MIN
from tbot_bot.runtime.clock import monotonic_seconds, wall_now
from tbot_bot.runtime.locks import SUPERVISOR_LOCK, holder
from tbot_bot.runtime.real_reach import REAL

IBKR_CLIENT_ID: Final = 32_003
"""Beyond what `IBKR_CLIENT_ID` may be: what it placed it can cancel, and a runner keeps its own."""
SYMBOL: Final = "SPY"
"""What is quoted and ordered where `UNIVERSE` names nothing."""
SECONDS_MAX: Final = 30.0
"""Real time for one broker."""
DRIFT_MAX: Final = 2 * SECOND
_FAR: Final = Decimal("0.5")
"""Of the bid: no market comes there between the order and its cancel."""
_CENT: Final = Decimal("0.01")
_ATTEMPTS_MAX: Final = 50
_LOOK_SECONDS: Final = 0.1
_LOOKS_MAX: Final = 100
_ALERT_LOOKS_MAX: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryRoom:
    """What one canary works with."""

    settings: Settings
    records: OutputPaths
    day: date
    run: int
    quick: bool
    symbol: str = ""

    @property
    def chosen(self) -> str:
        """Return the symbol of quote and order."""
        listed = universe_symbols(self.settings.home, self.settings.bot.universe)
        return self.symbol or next(iter(listed), SYMBOL)


async def canary(room: CanaryRoom) -> CanaryRun:
    """Try everything, and return and journal what came of it.

    Raises:
        JournalError: the journal cannot be written. That is a failed canary.
    """
    steps = [
        await _step("disk", lambda: _disk(room)),
        await _step("alerts", lambda: _alerts(room)),
    ]
    if room.quick:
        steps.append(await _step("order", lambda: _rehearsed(room)))
    else:
        for name in room.settings.bot.enabled_brokers:
            steps += await _broker(room, name)
    with Journal.open(room.records.journal, room.records.mode) as journal:
        steps.insert(0, await _step("journal", lambda: _journal(journal)))
        done = CanaryRun(
            at=wall_now(), day=room.day, run=room.run, passed=all(one.passed for one in steps), steps=tuple(steps)
        )
        journal.append([Entry.of(done, kind=Kind.NOTE, at=done.at, recorded_at=done.at)])
    return done


async def _step(name: str, attempt: Callable[[], Awaitable[str]]) -> CanaryStep:
    try:
        words, passed = await attempt(), True
    except (TbotError, BrokerProblem, OSError) as problem:
        words, passed = str(problem), False
    except TimeoutError:
        words, passed = f"no answer within {SECONDS_MAX:g} s", False
    return CanaryStep(name=name, passed=passed, text=scrub(words))


async def _disk(room: CanaryRoom) -> str:
    free = shutil.disk_usage(room.records.home).free
    if free < FREE_BYTES_MIN:
        mend = "Make room: a full disk stops all entries."
        raise MachineError(f"{free // 10**6} MB free, {FREE_BYTES_MIN // 10**6} MB needed", mend=mend)
    return f"{free // 10**6} MB free"


async def _journal(journal: Journal) -> str:
    began = monotonic_seconds()
    word = Noted(at=wall_now(), text="a canary writes")
    journal.append([Entry.of(word, kind=Kind.NOTE, at=word.at, recorded_at=word.at)])
    (row,) = journal.tail(1)
    return f"row {row.seq} written and read in {(monotonic_seconds() - began) * 1e3:.1f} ms"


async def _alerts(room: CanaryRoom) -> str:
    """Look whether what sends alerts is at work, where alerts are configured and a supervisor runs."""
    control = room.settings.home / room.settings.env.control_dir
    if not wanted(room.settings):
        return "none are configured, or test mode tells nobody"
    if holder(control / SUPERVISOR_LOCK) is None:
        return "configured; the bot does not run, so nobody sends them now"
    for _ in range(_ALERT_LOOKS_MAX):
        if holder(control / ALERTS_LOCK) is not None:
            return "what sends them is at work"
        await asyncio.sleep(_LOOK_SECONDS)
    raise MachineError("what sends them is not at work", mend="`tbot alerts test` tries each channel.")


# --- brokers ----------------------------------------------------------------------------------------------------------


async def _broker(room: CanaryRoom, name: str) -> list[CanaryStep]:
    """Try one real broker, step by step; what needs a step that failed is not tried."""
    from tbot_bot.runtime.live_brokers import live_broker  # noqa: PLC0415 - client libraries

    if name not in REAL:
        return [CanaryStep(name=f"{name} account", passed=False, text="this broker is sent no orders")]
    try:
        broker = live_broker(name, room.settings, now=wall_now, note=lambda _: None, ibkr_client_id=IBKR_CLIENT_ID)
    except TbotError as error:
        return [CanaryStep(name=f"{name} account", passed=False, text=scrub(str(error)))]
    steps: list[CanaryStep] = []
    try:
        bid: list[Decimal] = []
        for what, attempt in (
            ("account", lambda: _account(broker)),
            ("clock", lambda: _clock(broker)),
            ("quote", lambda: _quote(room, broker, bid)),
            ("order", lambda: _order(room, broker, bid)),
        ):
            steps.append(await _step(f"{name} {what}", lambda attempt=attempt: _timed(attempt)))  # type: ignore[misc]
            if not steps[-1].passed:
                break
    finally:
        await broker.close()
    return steps


async def _timed(attempt: Callable[[], Awaitable[str]]) -> str:
    return await asyncio.wait_for(attempt(), SECONDS_MAX)


async def _account(broker: Broker) -> str:
    await broker.connect()
    found = await broker.account()
    return f"equity {found.equity:.2f}, cash {found.cash:.2f}"


async def _clock(broker: Broker) -> str:
    before = wall_now()
    there = await broker.clock()
    after = wall_now()
    if there is None:
        return "it keeps none"
    off = max(before - there, there - after, 0)
    if off > DRIFT_MAX:
        mend = "Set the machine's clock, and let chrony or systemd-timesyncd keep it."
        raise MachineError(f"{iso(there)} there, {off / SECOND:.3f} s off", mend=mend)
    return f"{off / SECOND:.3f} s off"


async def _quote(room: CanaryRoom, broker: Broker, bid: list[Decimal]) -> str:
    from tbot_bot.broker.broker_alpaca import AlpacaBroker  # noqa: PLC0415 - client libraries
    from tbot_bot.broker.broker_ibkr import IbkrBroker  # noqa: PLC0415

    symbol = room.chosen
    quote = None
    if isinstance(broker, AlpacaBroker):
        snapshot = (await broker.snapshots((symbol,))).get(symbol)
        quote = None if snapshot is None else snapshot.quote
    elif isinstance(broker, IbkrBroker):
        quote = await broker.market.quote(symbol)
    if quote is None or quote.bid <= 0:
        mend = "Look at the market data subscription; `tbot canary --symbol` takes another share."
        raise BrokerError(f"no quote of {symbol}", mend=mend)
    bid.append(quote.bid)
    return f"{symbol} {plain(quote.bid)} to {plain(quote.ask)}"


async def _order(room: CanaryRoom, broker: Broker, bid: list[Decimal]) -> str:
    bot = room.settings.bot
    mode = {"alpaca": bot.alpaca_mode, "ibkr": bot.ibkr_mode}[broker.name]
    if not bot.test_mode and mode is BrokerMode.LIVE and not bot.canary_live:
        return "none at a live account; CANARY_LIVE=true has one sent"
    price = max((bid[0] * _FAR).quantize(_CENT), _CENT)
    return await _placed_and_cancelled(room, broker, room.chosen, price)


async def _rehearsed(room: CanaryRoom) -> str:
    broker = SimulatedBroker(Venue(broker="sim", cash=Decimal(1_000), is_open=lambda _: True))
    return await _placed_and_cancelled(room, broker, SYMBOL, Decimal(1))


async def _placed_and_cancelled(room: CanaryRoom, broker: Broker, symbol: str, price: Decimal) -> str:
    began = monotonic_seconds()
    request = await _request(room, broker, symbol, price)
    name = request.client_order_id
    try:
        await broker.submit(request)
        await _until(broker, name, lambda order: order.status.open, "does not rest")
    finally:
        await broker.cancel(name)
    gone = await _until(broker, name, lambda order: not order.status.open, "was not cancelled")
    if gone.filled_quantity:
        mend = "`tbot flatten` closes it."
        raise BrokerError(f"{name} was executed for {plain(gone.filled_quantity)}", mend=mend)
    took = monotonic_seconds() - began
    return f"{name}: 1 {symbol} at {plain(price)} placed and cancelled in {took:.2f} s"


async def _request(room: CanaryRoom, broker: Broker, symbol: str, price: Decimal) -> OrderRequest:
    """Return an order under the first name that the broker does not know yet.

    Raises:
        BrokerError: so many canaries have run on one day that a person should look.
    """
    session = SessionId(day=room.day, strategy=StrategyName.OPEN, run=room.run)
    trade = trade_id(session, broker.name, symbol)
    for attempt in range(1, _ATTEMPTS_MAX + 1):
        name = client_order_id(trade, Leg.CANARY, attempt)
        if await broker.order_by_client_id(name) is None:
            return OrderRequest(
                client_order_id=name, trade_id=trade, broker=broker.name, instrument=equity(symbol), side=Side.BUY,
                quantity=Decimal(1), order_type=OrderType.LIMIT, limit_price=price,
            )  # fmt: skip
    raise BrokerError(f"{_ATTEMPTS_MAX} canaries have run on {room.day.isoformat()}", mend="Try again tomorrow.")


async def _until(broker: Broker, name: str, holds: Callable[[BrokerOrder], bool], otherwise: str) -> BrokerOrder:
    found = None
    for _ in range(_LOOKS_MAX):
        found = await broker.order_by_client_id(name)
        if found is not None and holds(found):
            return found
        await asyncio.sleep(_LOOK_SECONDS)
    reason = f": {found.reason}" if found is not None and found.reason else ""
    mend = "Look at the order at the broker."
    raise BrokerError(f"{name} {otherwise}{reason}", where=broker.name, mend=mend)


__all__ = ["CanaryRoom", "canary"]
