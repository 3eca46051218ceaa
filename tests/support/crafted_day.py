"""A small recorded day made by hand: one winter Tuesday with bars that make OPEN trade, as a CSV file."""

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

DAY = date(2025, 12, 2)
BELL = datetime(2025, 12, 2, 14, 30, tzinfo=UTC)
Prices = tuple[float, float, float, float]
HEADER = ("timestamp", "symbol", "open", "high", "low", "close", "volume")


def flat(price: float, minutes: int, width: float = 0.2) -> list[Prices]:
    """Return bars that stay at `price`."""
    return [(price, price + width, price - width, price)] * minutes


def breakout_up(minutes: int = 390) -> list[Prices]:
    """Return a day that leaves its range (49.8 to 50.2) upward in its 21st minute and stays there."""
    return [*flat(50.0, 20), (50.1, 51.7, 50.0, 51.6), *flat(51.6, minutes - 21, width=0.1)]


def with_history(path: Path, *, market_cap: int = 5_000_000_000) -> None:
    """Add what a screen outside test mode asks of a day: the day before, and the fundamentals beside the file."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file))
    firsts = {symbol: (opened, volume) for _, symbol, opened, _, _, _, volume in reversed(rows)}
    before = f"{BELL - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    earlier = [[before, symbol, opened, opened, opened, opened, "5000000"] for symbol, (opened, _) in firsts.items()]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *sorted(earlier), *rows])
    facts = "".join(f"{symbol},{market_cap},5000000,Technology\n" for symbol in sorted(firsts))
    (path.parent / "fundamentals.csv").write_text(f"symbol,market_cap,avg_volume,sector\n{facts}", encoding="utf-8")


def write_day(path: Path, symbols: Mapping[str, Sequence[Prices]] | None = None, *, volume: int = 200_000) -> Path:
    """Write one day of minute bars, by time, then symbol; `symbols` maps a name to (open, high, low, close) rows."""
    rows = []
    for symbol, bars in (symbols or {"AAA": breakout_up(), "BBB": flat(20.0, 390)}).items():
        for minute, prices in enumerate(bars):
            start = BELL + timedelta(minutes=minute)
            rows.append((f"{start:%Y-%m-%dT%H:%M:%SZ}", symbol, *(f"{price:.4f}" for price in prices), volume))
    rows.sort()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows)
    return path
