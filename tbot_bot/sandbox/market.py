"""The one market behind every vendor: a day's bars, cut into ticks, with quotes and modelled puts.

Everything that takes an instant answers with what was known by then.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Final

from tbot_bot.core.bars import Bar, Quote
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.instants import SECOND, Duration, Instant
from tbot_bot.core.instruments import AssetClass, Instrument, Rounding, equity, put_option
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.money import CENT, ZERO, exact
from tbot_bot.marketdata.dice import Dice
from tbot_bot.marketdata.puts import HALF_SPREAD_FRACTION, next_expiry, price_put, strikes_around, volatility_of
from tbot_bot.sandbox.price_path import ticks_of
from tbot_bot.sandbox.tickets import Trade

TICK: Final = SECOND
HALF_SPREAD_BPS: Final = Decimal(2)
"""Hundredths of a percent between the last price and either side of the quote, then out to the next cent."""
_BASIS_POINT: Final = Decimal("0.0001")
_EXPIRIES: Final = 4
_ROUND_LOT: Final = 100
_CONTRACTS: Final = Decimal(50)


class TickBars(Mapping[str, Bar]):
    """The ticks that begin at one instant, by symbol; made when asked for."""

    def __init__(self, market: "SandboxMarket", start: Instant) -> None:
        """Look at `market` between `start` and one tick later."""
        self._market, self._start = market, start
        self._found: dict[str, Bar | None] = {}

    def __getitem__(self, symbol: str) -> Bar:
        """Return the symbol's tick.

        Raises:
            KeyError: it does not trade in this tick.
        """
        found = self.get(symbol)
        if found is None:
            raise KeyError(symbol)
        return found

    def get(self, symbol: str, default: Bar | None = None) -> Bar | None:  # type: ignore[override]
        """Return the symbol's tick; venues ask for the same ones again and again."""
        if symbol not in self._found:
            self._found[symbol] = self._market.ticks(symbol, self._start).get(self._start)
        return self._found[symbol] or default

    def __iter__(self) -> Iterator[str]:
        """Yield the symbols that trade in this tick."""
        return (symbol for symbol in self._market.symbols if self._start in self._market.ticks(symbol, self._start))

    def __len__(self) -> int:
        """Return how many symbols trade in this tick."""
        return sum(1 for _ in self)


class SandboxMarket:
    """One trading day, tick by tick; also the pricer of the puts that the venues trade."""

    def __init__(self, day: MarketDay, *, seed: int = 1, tick: Duration = TICK) -> None:
        """`seed` shapes the way inside the bars; `tick` divides the span of the day's bars."""
        self.source = day
        self.day = day.day
        self.tick = tick
        self.seed = seed
        self.symbols = day.symbols
        self._known = frozenset(day.symbols)
        self._by_start = {piece.start: {bar.symbol: bar for bar in piece.bars} for piece in day.slices()}
        self._cut: dict[str, dict[int, Bar]] = {}
        self._cut_of = Instant(0)
        self._volatilities: dict[tuple[str, int], float | None] = {}
        self._stopped: dict[str, list[tuple[Instant, Instant | None]]] = {}
        """From when till when a share was halted; None: it still is."""

    def knows(self, symbol: str) -> bool:
        """Return whether the share is traded here."""
        return symbol in self._known

    def instrument(self, symbol: str, *, fractional: bool = False) -> Instrument | None:
        """Return the share or (by its OCC symbol) the put on one; None where there is none."""
        if symbol in self._known:
            return equity(symbol, fractional=fractional)
        return _put_of(symbol) if symbol[:-15] in self._known else None

    def bars_at(self, start: Instant) -> TickBars:
        """Return the ticks that begin at `start`."""
        return TickBars(self, start)

    def ticks(self, symbol: str, at: Instant) -> Mapping[int, Bar]:
        """Return the symbol's ticks of the bar round `at`, by their start; not only what is known at `at`."""
        start = self._bar_start(at)
        if start != self._cut_of:
            self._cut, self._cut_of = {}, start
        found = self._cut.get(symbol)
        if found is None:
            bar = self._by_start.get(start, {}).get(symbol)
            found = {} if bar is None else {tick.start: tick for tick in ticks_of(bar, self.tick, self.seed)}
            self._cut[symbol] = found
        return found

    def minute_bars(self, end: Instant) -> tuple[Bar, ...]:
        """Return the source's bars that are complete exactly at `end`, by symbol."""
        return tuple(bar for bar in self._by_start.get(Instant(end - self.source.span), {}).values() if bar.end == end)

    def stop(self, symbol: str, at: Instant) -> None:
        """Remember that nothing is traded in a share from now on."""
        self._stopped.setdefault(symbol, []).append((at, None))

    def go_on(self, symbol: str, at: Instant) -> None:
        """Remember that a share is traded again."""
        begun, _ = self._stopped[symbol].pop()
        self._stopped[symbol].append((begun, at))

    def bars_until(self, symbol: str, at: Instant) -> tuple[Bar, ...]:
        """Return the source's bars that ended by `at`, without those in which the share was halted throughout."""
        return tuple(bar for bar in self.source.bars_until(symbol, at) if self.is_traded(bar))

    def is_traded(self, bar: Bar) -> bool:
        """Return whether the share was not halted for the whole of `bar`."""
        halts = self._stopped.get(bar.symbol, ())
        return not any(begun <= bar.start and (ended is None or bar.end <= ended) for begun, ended in halts)

    def price(self, symbol: str, at: Instant) -> Decimal | None:
        """Return the share's last price known at `at`; before the first, the previous close."""
        known = None
        if self.day.open_at <= at < self.day.close_at:
            for start, tick in self.ticks(symbol, at).items():
                if start > at:
                    break
                known = tick.close if tick.end <= at else tick.open
        if known is None:
            known = self.source.last_price(symbol, at) or self.source.previous_close(symbol)
        return None if known is None else equity(symbol).round_price(float(known))

    def trade(self, symbol: str, end: Instant) -> Trade | None:
        """Return the print of the tick that ended at `end`, None where it did not trade."""
        start = Instant(end - self.tick)
        tick = self.ticks(symbol, start).get(start)
        if tick is None:
            return None
        number = (start - self.day.open_at) // self.tick + 1
        return Trade(symbol, end, equity(symbol).round_price(float(tick.close)), Decimal(int(tick.volume)), number)

    def quote(self, symbol: str, at: Instant) -> Quote | None:
        """Return bid and ask of a share or a put; None for what is not known here."""
        instrument = self.instrument(symbol)
        if instrument is None:
            return None
        if instrument.asset_class is AssetClass.OPTION:
            return self._option_quote(instrument, at)
        price = self.price(symbol, at)
        if price is None:
            return None
        half = price * HALF_SPREAD_BPS * _BASIS_POINT
        bid = instrument.round_price(price - half, Rounding.DOWN)
        ask = instrument.round_price(price + half, Rounding.UP)
        dice = Dice(self.seed, int.from_bytes(symbol.encode(), "big"), at)
        bid_size, ask_size = (Decimal(_ROUND_LOT * int(dice.uniform(1, 9))) for _ in range(2))
        return Quote(symbol, at, max(bid, instrument.tick(bid)), ask, bid_size, ask_size, modelled=True)

    def puts(self, underlying: str, at: Instant) -> tuple[Instrument, ...]:
        """Return the listed puts on a share: the coming Fridays, strikes on the usual grid; none for unknown shares."""
        price = self.price(underlying, self.day.open_at) if self.knows(underlying) else None
        if price is None:
            return ()
        found, wait = [], 0
        for _ in range(_EXPIRIES):
            expiry = next_expiry(at, wait)
            found += [put_option(underlying, expiry, strike) for strike in strikes_around(price)]
            wait = (expiry - exchange_time(at).date()).days + 1
        return tuple(found)

    def volatility(self, symbol: str, at: Instant) -> float | None:
        """Return what puts on `symbol` are modelled with at `at` (0.35 is 35 %); None where nothing is known."""
        key = (symbol, self._bar_start(at))
        if key not in self._volatilities:
            if len(self._volatilities) > len(self.symbols) * 4:
                self._volatilities.clear()
            vix, own = self.source.vix_at(at), self.source.realised_volatility(symbol, at)
            self._volatilities[key] = volatility_of(vix, own)
        return self._volatilities[key]

    def option_price(self, instrument: Instrument, at: Instant) -> float | None:
        """Return the put's modelled premium per share at the share's present price."""
        spot = self.price(instrument.underlying, at)
        volatility = self.volatility(instrument.underlying, at)
        return None if spot is None or volatility is None else price_put(instrument, float(spot), at, volatility)

    def pricer(self) -> "ModelledPremiums":
        """Return what prices puts for a venue."""
        return ModelledPremiums(self)

    def _option_quote(self, instrument: Instrument, at: Instant) -> Quote | None:
        price = self.option_price(instrument, at)
        if price is None:
            return None
        middle = exact(repr(price))
        half = max(CENT, middle * HALF_SPREAD_FRACTION)
        bid = max(instrument.round_price(middle - half, Rounding.DOWN), ZERO)
        ask = instrument.round_price(middle + half, Rounding.UP)
        return Quote(instrument.symbol, at, bid, ask, _CONTRACTS, _CONTRACTS, modelled=True)

    def _bar_start(self, at: Instant) -> Instant:
        opened, span = self.day.open_at, self.source.span
        return Instant(opened + (at - opened) // span * span)


class ModelledPremiums:
    """The venues' `PutPricer`."""

    def __init__(self, market: SandboxMarket) -> None:
        """Take volatilities from `market`."""
        self._market = market

    def price(self, instrument: Instrument, spot: float, at: Instant) -> float | None:
        """Return the premium in dollars per share with the underlying at `spot`."""
        volatility = self._market.volatility(instrument.underlying, at)
        return None if volatility is None else price_put(instrument, spot, at, volatility)


def _put_of(symbol: str) -> Instrument | None:
    """Read an unpadded OCC symbol of a put: root, yymmdd, P, strike x 1000 on eight digits."""
    root, day, right, strike = symbol[:-15], symbol[-15:-9], symbol[-9:-8], symbol[-8:]
    if right != "P" or not (day.isdigit() and strike.isdigit()):
        return None
    try:
        expiry = date(2000 + int(day[:2]), int(day[2:4]), int(day[4:]))
    except ValueError:
        return None
    return put_option(root, expiry, Decimal(strike) / 1000)
