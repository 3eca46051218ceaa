"""Dry runs of days made by hand or by a seed, and what they leave behind."""

import csv
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tbot_bot.core.codec import loads
from tbot_bot.core.commands import Decided, RaiseAlert, TradeRecord
from tbot_bot.core.identity import Mode
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import open_reader
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.day_loop import dry_run
from tbot_bot.runtime.requests import DryRunRequest

DAY = date(2025, 12, 2)
BELL = datetime(2025, 12, 2, 14, 30, tzinfo=UTC)
HEADER = ("timestamp", "symbol", "open", "high", "low", "close", "volume")
SENSITIVE = {
    "STRAT_OPEN_BUFFER": "0.001",
    "STRAT_MID_VWAP_THRESHOLD": "0.004",
    "ADX_FILTER_ENABLED": "false",
    "BOLLINGER_FILTER_ENABLED": "false",
    "CLOSE_MOMENTUM_PCT": "0.001",
    "SHORT_TYPE_OPEN": "ShortSell",
    "SHORT_TYPE_MID": "ShortSell",
    "SHORT_TYPE_CLOSE": "ShortSell",
}
"""Settings under which a random day trades in every session, in both directions."""


def minute_of(at):
    """Return which minute after the bell an instant is, on `DAY`."""
    return (at - int(BELL.timestamp()) * 10**9) / (60 * 10**9)


def random_walks(seed, symbols=6, minutes=390, deviation=0.0015):
    """Return symbol -> rows (minute, open, high, low, close, volume) of independent random walks."""
    dice = random.Random(seed)
    days = {}
    for number in range(symbols):
        price, rows = dice.uniform(10, 90), []
        for minute in range(minutes):
            opened = round(price * (1 + dice.gauss(0, deviation / 3)), 2)
            closed = round(opened * (1 + dice.gauss(0, deviation)), 2)
            high = round(max(opened, closed) * (1 + abs(dice.gauss(0, deviation / 3))), 2)
            low = round(min(opened, closed) * (1 - abs(dice.gauss(0, deviation / 3))), 2)
            rows.append((minute, opened, high, low, closed, dice.randrange(5_000, 200_000)))
            price = closed
        days[f"S{number:02}"] = rows
    return days


def write_csv(path, days, bell=BELL):
    """Write symbol -> rows as a CSV file of minute bars, by time, then symbol."""
    lines = [
        (f"{bell + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}", symbol, *map(repr, prices), volume)
        for symbol, rows in days.items()
        for minute, *prices, volume in rows
    ]
    lines.sort()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(lines)
    return path


def write_parquet(path, days, bell=BELL):
    """Write the same as a Parquet file, by symbol, then time."""
    cells = [
        (symbol, bell + timedelta(minutes=row[0]), *row[1:]) for symbol, rows in sorted(days.items()) for row in rows
    ]
    symbol, ts, open_, high, low, close, volume = zip(*cells, strict=True)
    table = pa.table({
        "symbol": symbol, "ts": pa.array(ts, pa.timestamp("us", tz="UTC")),
        "open": open_, "high": high, "low": low, "close": close, "volume": pa.array(volume, pa.int64()),
    })  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def write_vix(path, value=20.0):
    """Write daily VIX values around `DAY`."""
    days = [DAY + timedelta(days=offset) for offset in range(-5, 2)]
    rows = [f"{day.isoformat()},VIX,{value},{value},{value},{value}" for day in days]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["date,symbol,open,high,low,close", *rows]) + "\n")
    return path


class Rehearsed:
    """A dry run that is over: its report, its journal and its files."""

    def __init__(self, home, data, day=DAY, vix=None, **settings):
        self.home, self.day = home, day
        overrides = tuple(settings.items())
        self.report = dry_run(DryRunRequest(home=home, data=data, day=day, vix=vix, overrides=overrides))

    @property
    def paths(self):
        return records_for(self.home, Mode.PAPER, test_mode=True)

    def rows(self):
        """Return the journal's rows."""
        with open_reader(self.paths.journal) as journal:
            return list(journal.rows())

    def decided(self):
        """Return (session, answer) in order."""
        found = [(row.session, loads(row.payload)) for row in self.rows() if row.kind is Kind.COMMAND]
        return [(session, answer) for session, answer in found if isinstance(answer, Decided)]

    def outputs(self, kind):
        """Return every decision or command of `kind`."""
        return [output for _, answer in self.decided() for output in answer.outputs if isinstance(output, kind)]

    def inputs(self, kind):
        """Return every journaled input of `kind`."""
        found = [loads(row.payload) for row in self.rows() if row.kind is Kind.INPUT]
        return [event for event in found if isinstance(event, kind)]

    def verified(self):
        """Return the journal's verification."""
        return verify(self.paths.journal)

    def check(self):
        """Hold the run against what every dry run promises."""
        found = self.verified()
        assert found.ok, (found.problem, found.tapes)
        assert all(line.end_reason != "not over" for line in self.report.sessions)
        unclosed = [trade for trade in self.outputs(TradeRecord) if trade.error_code == "unclosed"]
        alerts = [alert.text for alert in self.outputs(RaiseAlert)]
        assert all(any(trade.trade_id in text for text in alerts) for trade in unclosed)
        return self


def rehearse(folder, seed=1, name="run", vix=20.0, **settings):
    """Run a random day under the sensitive settings, in a home of its own."""
    data = write_csv(folder / f"bars_{seed}.csv", random_walks(seed))
    vix_file = None if vix is None else write_vix(folder / "vix.csv", vix)
    return Rehearsed(folder / name, data, vix=vix_file, **{**SENSITIVE, **settings})


def files_below(home: Path):
    """Return every file below `home` by its relative path."""
    if not home.exists():
        return {}
    return {str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}


__all__ = ["BELL", "DAY", "SENSITIVE", "Rehearsed", "files_below", "rehearse"]
