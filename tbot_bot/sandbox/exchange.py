"""The sandbox exchange's core: one market, one account per vendor, one clock, stepped by a task or by hand.

The interface that vendors stand on:

    exchange.now()                        market time; never goes backward
    exchange.market                       symbols, prices, quotes, bars, puts (`SandboxMarket`)
    exchange.desk("alpaca")               the account: place, cancel, replace, orders, positions (`Desk`)
    exchange.desk("alpaca").subscribe(f)  order news, at once and in order
    exchange.watch(f, {"SYN01"})          trades, quotes, bars and halts of those symbols
    exchange.advance_to(instant)          by hand, for tests; `run()` does it by the clock
    exchange.faults                       what goes wrong on purpose (`FaultPlan`); vendors ask it per call
    exchange.truth()                      what the venue knows

Everything happens in the thread of one event loop; listeners are called from within a step and must not block.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final

from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.instants import Instant, later
from tbot_bot.core.protocols import Clock
from tbot_bot.sandbox.desk import Desk
from tbot_bot.sandbox.faults import FaultPlan
from tbot_bot.sandbox.market import SandboxMarket
from tbot_bot.sandbox.tickets import MarketUpdate, Trading, Truth

CASH: Final = Decimal(100_000)
"""Dollars in an account that nobody gave another sum: what the vendors' paper accounts begin with."""

MarketListener = Callable[[MarketUpdate], None]


class Watch:
    """One subscriber to the tape; `symbols` may change at any time."""

    def __init__(self, listener: MarketListener, symbols: Iterable[str], end: Callable[["Watch"], None]) -> None:
        """Tell `listener` of `symbols` (shares; puts have quotes only)."""
        self.listener = listener
        self.symbols = set(symbols)
        self._end = end

    def close(self) -> None:
        """Tell nothing any more."""
        self._end(self)


class Exchange:
    """The market and its accounts."""

    def __init__(self, market: SandboxMarket, *, accounts: Mapping[str, Decimal], clock: Clock | None = None) -> None:
        """`accounts` are cash in dollars by vendor; without a `clock` time moves by `advance_to` alone."""
        self.market = market
        self.clock = clock
        self.desks = {name: Desk(name, market, cash=cash) for name, cash in accounts.items()}
        self.faults = FaultPlan(self.now)
        self._halted: frozenset[str] = frozenset()
        self._halted_since: dict[str, Instant] = {}
        """Of what is told as halted."""
        self._usual = {name: desk.rules.participation for name, desk in self.desks.items()}
        self._watches: list[Watch] = []
        self._obeying = False
        self._next = market.day.open_at
        self._now = Instant(0)

    def now(self) -> Instant:
        """Return market time: the clock's, never before what was stepped to."""
        return self._now if self.clock is None else max(self._now, self.clock.now())

    @property
    def is_open(self) -> bool:
        """Return whether the regular session is on."""
        return self.market.day.open_at <= self.now() < self.market.day.close_at

    def desk(self, name: str) -> Desk:
        """Return a vendor's account.

        Raises:
            LogicError: the exchange was made without it.
        """
        found = self.desks.get(name)
        if found is None:
            raise LogicError(f"the exchange keeps no account for {name!r}, only {', '.join(self.desks)}")
        found.now = max(found.now, self.now())
        return found

    def watch(self, listener: MarketListener, symbols: Iterable[str] = ()) -> Watch:
        """Tell `listener` of the symbols' trades, quotes, minute bars and halts from now on."""
        made = Watch(listener, symbols, self._unwatch)
        self._watches.append(made)
        return made

    def halt(self, symbol: str, *, halted: bool = True) -> None:
        """Stop or resume trading in a share and the puts on it."""
        self._halted = self._halted | {symbol} if halted else self._halted - {symbol}
        self._obey_faults()

    @property
    def halted(self) -> frozenset[str]:
        """Return what does not trade now, by a person's word or by a fault."""
        return self._halted | self.faults.halted()

    def publish(self, update: MarketUpdate) -> None:
        """Tell whoever watches the update's symbol."""
        for watch in tuple(self._watches):
            if update.symbol in watch.symbols:
                watch.listener(update)

    def advance_to(self, at: Instant) -> None:
        """Step through every tick up to and including `at`; going back does nothing."""
        day = self.market.day
        while self._next <= min(at, day.close_at):
            self._tick(self._next)
            self._next = later(self._next, self.market.tick)
        self._now = max(self._now, at)
        for desk in self.desks.values():
            desk.now = max(desk.now, self._now)

    async def run(self) -> None:
        """Follow the clock for ever.

        Raises:
            LogicError: the exchange has no clock.
        """
        if self.clock is None:
            raise LogicError("an exchange without a clock is stepped by hand")
        while True:
            self.advance_to(self.clock.now())
            begun = self._next <= self.market.day.close_at
            await self.clock.sleep_until(self._next if begun else later(self._now, self.market.tick))

    def truth(self) -> Truth:
        """Return what the venue knows of every account."""
        return Truth(
            at=self.now(),
            is_open=self.is_open,
            halted=tuple(sorted(self.halted)),
            accounts=tuple(desk.truth() for desk in self.desks.values()),
        )

    # --- inside ------------------------------------------------------------------------------------------------------

    def _tick(self, at: Instant) -> None:
        market, day = self.market, self.market.day
        before = Instant(at - market.tick)
        self._now = max(self._now, at)
        self._obey_faults()
        if at > day.open_at:
            ended = market.bars_at(before)
            for desk in self.desks.values():
                desk.range_tick(at, ended)
            self._tell_tape(at)
        if at < day.close_at:
            begun = market.bars_at(at)
            last = at + market.tick >= day.close_at
            for desk in self.desks.values():
                desk.open_tick(at, begun, last=last)
        else:
            for desk in self.desks.values():
                desk.end_day(at)

    def _obey_faults(self) -> None:
        if not self.faults.rules and not self._halted and not self._obeying:
            return
        self._obeying = bool(self.faults.rules) or bool(self._halted)
        halted = self.halted
        for name, desk in self.desks.items():
            desk.set_rules(halted=halted, participation=self.faults.participation(name, self._usual[name]))
        for symbol in sorted(halted.symmetric_difference(self._halted_since)):
            if symbol in halted:
                self._halted_since[symbol] = self.now()
                self.market.stop(symbol, self.now())
            else:
                del self._halted_since[symbol]
                self.market.go_on(symbol, self.now())
            self.publish(Trading(symbol, self.now(), symbol in halted))

    def _tell_tape(self, at: Instant) -> None:
        """Tell the trades of the tick that ended at `at`, the quotes of now, and bars that are complete."""
        if not self._watches:
            return
        wanted = sorted({symbol for watch in self._watches for symbol in watch.symbols})
        for symbol in wanted:
            trade = self.market.trade(symbol, at) if self.market.knows(symbol) else None
            option = not self.market.knows(symbol)
            if symbol not in self.halted and (trade is not None or option):
                if trade is not None:
                    self.publish(trade)
                quote = self.market.quote(symbol, at)
                if quote is not None:
                    self.publish(quote)
        for bar in self.market.minute_bars(at):
            if bar.start < self._halted_since.get(bar.symbol, at):  # some of its minute was traded
                self.publish(bar)

    def _unwatch(self, watch: Watch) -> None:
        if watch in self._watches:
            self._watches.remove(watch)
