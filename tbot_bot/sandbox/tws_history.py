"""Historical bars for the TWS side: the day's trading in any of the vendor's sizes, and earlier days as daily bars.

The market knows of earlier days only closes and a mean volume; their daily bars run from close to close.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from tbot_bot.core.bars import Bar
from tbot_bot.core.calendar import exchange_time, previous_trading_day, trading_day
from tbot_bot.core.instants import DAY, MINUTE, SECOND, Instant, instant, later, to_datetime
from tbot_bot.core.money import exact
from tbot_bot.sandbox import tws_codes as codes
from tbot_bot.sandbox.market import SandboxMarket
from tbot_bot.sandbox.tws_catalog import Listed
from tbot_bot.sandbox.tws_replies import HistoricalBar, HistoricalData, Problem
from tbot_bot.sandbox.tws_requests import ReqHistoricalData
from tbot_bot.sandbox.tws_times import BAR_SIZES, ZONE, duration, read_time, stamp

SHOWN: Final = frozenset({"TRADES", "ADJUSTED_LAST", "MIDPOINT"})
_SECONDS_SINCE_1970: Final = 2
_MEAN_TRADE: Final = 100


def answer(market: SandboxMarket, listed: Listed, asked: ReqHistoricalData, now: Instant) -> HistoricalData | Problem:
    """Return the bars that were complete at `now`, the unfinished last one included, or why there are none."""
    size = BAR_SIZES.get(asked.bar_size)
    if size is None:
        return codes.invalid(asked.req_id, f"Historical data bar size setting is invalid: {asked.bar_size!r}")
    if asked.what_to_show not in SHOWN:
        return codes.invalid(asked.req_id, f"{asked.what_to_show!r} is not offered; {', '.join(sorted(SHOWN))} are")
    if asked.end and asked.keep_up_to_date:
        return codes.invalid(asked.req_id, "End date not supported with keepUpToDate")
    try:
        end = min(read_time(asked.end), now) if asked.end else now
        begin = Instant(instant(to_datetime(end) - duration(asked.duration)))
    except ValueError as error:
        return codes.invalid(asked.req_id, str(error))
    if size == DAY:
        bars = [bar for bar in _days(market, listed, end) if bar.end > begin]
    else:
        bars = [bar for bar in _grouped(_pieces(market, listed, end, fine=size < MINUTE), size) if bar.start >= begin]
    if not bars:
        text = f"HMDS query returned no data: {listed.local_symbol}@{asked.contract.exchange} {asked.what_to_show}"
        text = f"Historical Market Data Service error message:{text}"
        return Problem(req_id=asked.req_id, code=codes.HISTORY_ERROR, text=text)
    return HistoricalData(
        req_id=asked.req_id,
        start=stamp(begin),
        end=stamp(end),
        bars=tuple(bar_told(bar, asked, daily=size == DAY) for bar in bars),
    )


def bar_told(bar: Bar, asked: ReqHistoricalData, *, daily: bool) -> HistoricalBar:
    """Return a bar in the request's spelling of time; without volume where no trades were asked for."""
    traded = asked.what_to_show != "MIDPOINT"
    mean = (bar.high + bar.low + bar.close) / 3
    return HistoricalBar(
        date=_spelled(Instant(bar.start), asked.format_date, daily=daily),
        open=_price(bar.open),
        high=_price(bar.high),
        low=_price(bar.low),
        close=_price(bar.close),
        volume=Decimal(round(bar.volume)) if traded else Decimal(-1),
        average=_price(round(mean, 4)) if traded else Decimal(-1),
        count=max(1, round(bar.volume / _MEAN_TRADE)) if traded else -1,
    )


def _spelled(start: Instant, form: int, *, daily: bool) -> str:
    local = exchange_time(start)
    if daily:
        return f"{local:%Y%m%d}"
    return str(start // SECOND) if form == _SECONDS_SINCE_1970 else f"{local:%Y%m%d %H:%M:%S} {ZONE}"


def _price(value: float) -> Decimal:
    return exact(repr(float(value)))


def _pieces(market: SandboxMarket, listed: Listed, at: Instant, *, fine: bool) -> Iterator[Bar]:
    """Yield what the day has traded until `at`: whole minutes, then the ticks since; all ticks where `fine`."""
    if listed.sec_type == "IND":
        yield from _index_minutes(market, at)
        return
    if listed.sec_type != "STK":
        return
    opened = market.day.open_at
    whole = () if fine else market.bars_until(listed.symbol, at)
    yield from whole
    begin = max((Instant(bar.end) for bar in whole), default=opened)
    while begin < min(at, market.day.close_at):
        for tick in sorted(market.ticks(listed.symbol, begin).values()):
            if tick.end <= at and market.is_traded(tick):
                yield tick
        begin = later(begin, market.source.span)


def _index_minutes(market: SandboxMarket, at: Instant) -> Iterator[Bar]:
    end = later(market.day.open_at, MINUTE)
    while end <= min(at, market.day.close_at):
        reading = market.source.vix_at(end)
        if reading is not None:
            value = float(reading.value)
            yield Bar("VIX", end - MINUTE, end, value, value, value, value, 0.0)
        end = later(end, MINUTE)


def _days(market: SandboxMarket, listed: Listed, end: Instant) -> list[Bar]:
    """Return daily bars, oldest first; the last is the day's own so far."""
    days = []
    if listed.sec_type == "STK":
        closes = market.source.daily_closes(listed.symbol)
        volume = market.source.average_volume(listed.symbol) or 0.0
        before = closes[0] if closes else 0.0
        for close, day in zip(closes, _earlier(market, len(closes)), strict=True):
            session = trading_day(day)
            high, low = max(before, close), min(before, close)
            days.append(Bar(listed.symbol, session.open_at, session.close_at, before, high, low, close, volume))
            before = close
    own = joined(_pieces(market, listed, end, fine=False))
    return [bar for bar in days if bar.end <= end] + ([own] if own is not None else [])


def _earlier(market: SandboxMarket, count: int) -> Sequence[date]:
    days, day = [], market.day.day
    for _ in range(count):
        day = previous_trading_day(day)
        days.append(day)
    return days[::-1]


def _grouped(pieces: Iterable[Bar], size: int) -> Iterator[Bar]:
    """Yield `pieces` joined to bars of `size`, on the clock's grid of it."""
    group: list[Bar] = []
    for piece in pieces:
        if group and piece.start // size != group[0].start // size:
            yield _on_grid(group, size)
            group = []
        group.append(piece)
    if group:
        yield _on_grid(group, size)


def _on_grid(group: list[Bar], size: int) -> Bar:
    bar = joined(group)
    assert bar is not None  # noqa: S101 - a group has a member
    start = bar.start // size * size
    return bar._replace(start=start, end=start + size)


def joined(pieces: Iterable[Bar]) -> Bar | None:
    """Return one bar of all `pieces`, oldest first; None of none."""
    bars = list(pieces)
    if not bars:
        return None
    return Bar(
        bars[0].symbol,
        bars[0].start,
        bars[-1].end,
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        sum(bar.volume for bar in bars),
    )
