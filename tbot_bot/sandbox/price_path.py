"""From a bar to the trades inside it: seeded, the same on every machine, and true to the bar.

A bar of a minute is cut into ticks. Each tick that trades is a bar of its own; together they have exactly the
bar's open, high, low, close and volume. Thin bars trade in few ticks, so that a tick's share of the volume
still lets a share or an option contract execute whole.
"""

from typing import Final

from tbot_bot.core.bars import Bar
from tbot_bot.marketdata.dice import Dice

_SHARES_PER_TICK: Final = 1000.0
"""Volume that each tick has at least: a tenth of it, the venue's share, is one option contract's."""
_STRAY: Final = 0.25
"""How far a tick's price strays from the straight way, as a part of the bar's range."""


def ticks_of(bar: Bar, tick: int, seed: int) -> tuple[Bar, ...]:
    """Return the ticks of `bar` that trade, oldest first; `tick` is their span in nanoseconds."""
    places = max((bar.end - bar.start) // tick, 1)
    count = int(max(1, min(places, bar.volume // _SHARES_PER_TICK)))
    dice = Dice(seed, _spelled(bar.symbol), bar.start)
    chosen = sorted(dice.shuffled(places)[:count])
    chosen[0] = 0
    if count == 1:
        return (bar._replace(end=bar.start + tick),)
    prices = _walk(dice, bar, count)
    highest, lowest = _extremes(dice, bar, count)
    volumes = _shared_out(bar.volume, count)
    ticks = []
    for index, place in enumerate(chosen):
        before, after = prices[index], prices[index + 1]
        high = bar.high if index == highest else max(before, after)
        low = bar.low if index == lowest else min(before, after)
        start = bar.start + place * tick
        ticks.append(Bar(bar.symbol, start, start + tick, before, high, low, after, volumes[index]))
    return tuple(ticks)


def _walk(dice: Dice, bar: Bar, count: int) -> list[float]:
    """Return count + 1 prices from the open to the close, within the bar's range, on the cent where it has one."""
    digits = 4 if bar.low < 1.0 else 2
    reach = (bar.high - bar.low) * _STRAY
    prices = [bar.open]
    for step in range(1, count):
        straight = bar.open + (bar.close - bar.open) * step / count
        stray = round(straight + dice.uniform(-reach, reach), digits)
        prices.append(min(max(stray, bar.low), bar.high))
    prices.append(bar.close)
    return prices


def _extremes(dice: Dice, bar: Bar, count: int) -> tuple[int, int]:
    """Return the ticks of the high and the low: a rising bar sees its low first, a falling one its high."""
    early = int(dice.uniform(0.0, count / 2))
    late = min(int(dice.uniform(count / 2, float(count))), count - 1)
    return (late, early) if bar.close >= bar.open else (early, late)


def _shared_out(volume: float, count: int) -> list[float]:
    """Return `volume` in `count` whole parts, the rest in the first: exact for whole volumes."""
    part = float(int(volume / count))
    return [volume - part * (count - 1), *([part] * (count - 1))]


def _spelled(symbol: str) -> int:
    return int.from_bytes(symbol.encode(), "big")
